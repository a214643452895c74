"""What a drift check found, as it is kept and shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from core.drift.performance import Performance

State = Literal["drift", "watch", "calm", "untested"]
STATES: tuple[State, ...] = ("drift", "watch", "calm", "untested")


@dataclass(frozen=True)
class CellReport:
    """One metric of one level against its reference; shifts and distances in standard deviations of that.

    lean      : mean shift, + higher than the reference
    by_window : mean shift of each of the three windows, oldest first
    p, adjusted : of the rarest of the three distances, calibrated; among all cells
    smallest  : shift that is found with 80 % probability; power: probability to find one of 0.5 sd
    before, after : shares of the reference and of the windows, by bins of a quarter from −4 sd on
    daily     : mean of the cell's series by day of the report
    """

    level: str
    metric: str
    state: State
    series: int
    lean: float | None
    by_window: tuple[float | None, ...]
    ks: float | None
    wasserstein: float | None
    psi: float | None
    p: float | None
    adjusted: float | None
    smallest: float | None
    power: float | None
    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()
    daily: tuple[float | None, ...] = ()

    @property
    def key(self) -> str:
        """How links name the cell."""
        return f"{self.level}.{self.metric}"


@dataclass(frozen=True)
class WholeReport:
    """A level, or everything (`level` ""), looked at together."""

    level: str
    cells: int
    lean: float
    p: float
    adjusted: float
    drifts: bool


@dataclass(frozen=True)
class Part:
    """One family of cells that is tested together: the metrics, or what the champion says of them.

    reference, windows : first and last day of each, both included
    days               : the days of `daily`
    memory             : days that say as much as one independent day, in the middle of the series
    unit               : what `memory` counts, and what is compared: days or hours
    """

    name: Literal["metrics", "scores"]
    reference: tuple[date, date]
    windows: tuple[tuple[date, date], ...]
    days: tuple[date, ...]
    cells: tuple[CellReport, ...]
    wholes: tuple[WholeReport, ...]
    memory: float
    false_per_year: float
    unit: str = "day"

    @property
    def drifted(self) -> tuple[CellReport, ...]:
        """The cells that drift, the farthest first."""
        found = [cell for cell in self.cells if cell.state == "drift"]
        return tuple(sorted(found, key=lambda cell: -(cell.wasserstein or 0.0)))

    @property
    def moved(self) -> bool:
        """Whether a cell, a level or everything drifts."""
        return bool(self.drifted) or any(whole.drifts for whole in self.wholes)


@dataclass(frozen=True)
class DriftReport:
    """One check of a domain.

    complete : share of the compared days' figures that had arrived
    newest   : the last day with figures; compared days end earlier, with their week
    scores   : None where they cannot be compared yet; `no_scores` says why
    learned  : first and last day that the champion learned from
    """

    domain: str
    model_version: str
    at: datetime
    actor: str
    newest: date
    complete: float
    metrics: Part
    scores: Part | None
    no_scores: str
    performance: Performance
    learned: tuple[date, date] | None = None
    notes: tuple[str, ...] = ()
    id: int = 0

    @property
    def parts(self) -> tuple[Part, ...]:
        """The families that were compared."""
        return (self.metrics,) if self.scores is None else (self.metrics, self.scores)

    @property
    def moved(self) -> bool:
        """Whether anything that is watched asks for a person."""
        asks = self.performance.advice in ("retrain", "fall back")
        return asks or any(part.moved for part in self.parts)


def revived(kept: Mapping[str, Any], **known: Any) -> DriftReport:
    """A report from the plain values that it was kept as."""
    return DriftReport(
        **{
            **kept,
            "at": datetime.fromisoformat(kept["at"]),
            "newest": date.fromisoformat(kept["newest"]),
            "metrics": _part(kept["metrics"]),
            "scores": None if kept["scores"] is None else _part(kept["scores"]),
            "performance": Performance(**_tuples(kept["performance"])),
            "learned": None if kept["learned"] is None else _span(kept["learned"]),
            "notes": tuple(kept["notes"]),
            **known,
        }
    )


def _part(kept: Mapping[str, Any]) -> Part:
    return Part(
        **{
            **kept,
            "reference": _span(kept["reference"]),
            "windows": tuple(_span(one) for one in kept["windows"]),
            "days": tuple(date.fromisoformat(day) for day in kept["days"]),
            "cells": tuple(CellReport(**_tuples(cell)) for cell in kept["cells"]),
            "wholes": tuple(WholeReport(**whole) for whole in kept["wholes"]),
        }
    )


def _tuples(kept: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()
    }


def _span(kept: Any) -> tuple[date, date]:
    first, last = kept
    return date.fromisoformat(first), date.fromisoformat(last)


@dataclass(frozen=True)
class CheckRow:
    """A check in a list."""

    id: int
    window_start: date
    window_end: date
    tested: int
    drifted: int
    model_version: str
    at: datetime
    actor: str


@dataclass(frozen=True)
class ProposalView:
    """A retraining that was proposed, and what came of it.

    offered : whether its challenger won the frozen backtest; None while that is not known
    outcome : the same in words
    """

    id: int
    domain: str
    trigger: str
    reason: str
    start: date
    end: date
    state: str
    created_at: datetime
    decided_at: datetime | None
    decided_by: str
    job_id: str
    check_id: int | None
    offered: bool | None
    outcome: str
    backtest: dict[str, Any] = field(default_factory=dict)
