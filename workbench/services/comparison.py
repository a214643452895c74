"""What a comparison of two models shows, as plain values; made by `compare`, drawn by `workbench.ui`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Self

from core.evaluate.bootstrap import Interval
from core.evaluate.compare import CostCurve, McNemar, Verdict

SEVERE = ("high", "critical")
"""Severities of alerts that nobody wants to lose unseen."""


@dataclass(frozen=True)
class Contender:
    """A version as it stood in the comparison; `learned_until` is the last day that taught it."""

    id: str
    name: str
    digest: str
    created_at: datetime
    created_by: str
    learned_until: date


@dataclass(frozen=True)
class Figure:
    """One figure of both models with its interval, and of their difference (challenger less champion)."""

    name: str
    champion: Interval
    challenger: Interval
    difference: Interval


@dataclass(frozen=True)
class Slice:
    """A part of the days: a level, or a type of cause.

    rows : entity-days of a level, episodes of a type; the alarms of each model, and of both, among them
    real : how many of the rows people called real, and how many of those each model found
    """

    kind: str
    name: str
    rows: int
    champion: int
    challenger: int
    both: int
    real: int
    champion_real: int
    challenger_real: int


@dataclass(frozen=True)
class Dot:
    """One entity's oddest day for each model, as surprise −log₁₀ p; `alert` is its live alert, None without."""

    entity: str
    name: str
    level: str
    champion: float
    challenger: float
    alert: int | None = None
    severity: str = ""


@dataclass(frozen=True)
class AlertChange:
    """What a promotion would do to the list of open alerts: `kind` is vanish, appear or severity."""

    kind: str
    alert: int | None
    entity: str
    name: str
    level: str
    before: str
    after: str
    spend_at_risk: float
    currency: str
    muted: bool


@dataclass(frozen=True)
class Seen:
    """An episode that a model raises: its first and last period, how severe it is, and what it puts at risk."""

    first: datetime
    last: datetime
    severity: str
    spend_at_risk: float
    currency: str

    @classmethod
    def told(cls, plain: Mapping[str, Any]) -> Self:
        """An episode as a kept report tells it."""
        ends = {name: datetime.fromisoformat(plain[name]) for name in ("first", "last")}
        return cls(**{**plain, **ends})


@dataclass(frozen=True)
class Running:
    """What a model takes: milliseconds per 1,000 entity-days (median, and 95th percentile of repeats), and bytes."""

    milliseconds: float
    milliseconds_p95: float
    repeats: int
    bytes: int


@dataclass(frozen=True)
class Counted:
    """A share with what it was counted from."""

    hits: float
    of: int

    @property
    def share(self) -> float:
        return self.hits / self.of if self.of else float("nan")


@dataclass(frozen=True)
class Labels:
    """Rows that people judged real or normal, and those on which the models differ and nobody said who is right."""

    real: int
    normal: int
    open: int


@dataclass(frozen=True, eq=False)
class ComparisonView:
    """Everything about a pair; what depends on the live alerts (`changed`, the dots' alerts) is put in last.

    cuts     : the surprise from which each model raises an alarm
    incidents: F1 of the challenger by incident; causes : confirmed causes that it finds again
    errors   : detection runs of the last 30 days that failed
    unit     : what a period is called, of which `entity_days` counts those of all entities
    """

    domain: str
    champion: Contender
    challenger: Contender
    first: date
    last: date
    entities: int
    entity_days: int
    labels: Labels
    figures: tuple[Figure, ...]
    agreement: Interval
    kappa: Interval
    mcnemar: McNemar | None
    verdict: Verdict
    sentence: str
    slices: tuple[Slice, ...]
    dots: tuple[Dot, ...]
    cuts: Mapping[str, float]
    costs: Mapping[str, CostCurve]
    running: Mapping[str, Running]
    incidents: Counted
    causes: Counted
    errors: Counted
    raised: Mapping[str, Mapping[str, Sequence[Seen]]]
    names: Mapping[str, tuple[str, str]]
    notices: tuple[str, ...]
    open_alerts: int = 0
    open_severe: int = 0
    changed: tuple[AlertChange, ...] = field(default=())
    id: int | None = None
    unit: str = "day"

    def figure(self, name: str) -> Figure | None:
        """The figure of that name, None where it could not be had."""
        return next((figure for figure in self.figures if figure.name == name), None)
