"""A domain as data: levels, metrics, ratios and the vocabulary of causes; `core/domains` holds the values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np

from core.contracts import DAY, Floats
from core.errors import UnknownNameError

CHANGE_KINDS = ("deploy", "config", "rollback", "scaling", "flag", "maintenance", "other")
"""What may be done to a running system."""


@dataclass(frozen=True)
class Metric:
    """One measured quantity: `bad` is the direction that hurts (−1 drop, +1 rise, 0 either)."""

    name: str
    label: str
    unit: str = "count"
    additive: bool = True
    bad: int = 0
    actionable: bool = False


@dataclass(frozen=True)
class Ratio:
    """numerator / denominator, always of sums; `empty` is the value of x/0 with x > 0 (0/0 is missing)."""

    name: str
    label: str
    numerator: str
    denominator: str
    unit: str = ""
    bad: int = 0
    empty: float = float("nan")
    empty_label: str = "–"

    def of(self, numerator: Floats, denominator: Floats) -> Floats:
        """Element-wise ratio under the zero rules."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.asarray(numerator / denominator, dtype=np.float64)
        return np.where(denominator == 0, np.where(numerator > 0, self.empty, np.nan), ratio)


@dataclass(frozen=True)
class CauseType:
    """A word of the cause vocabulary with the shift it leaves.

    counts_as : the cause that people merged it into, "" where it stands for itself
    signature : channel → expected log change (sign and rough size); channels not named stay put
    levels    : levels at which it can be the root
    settings  : settings that give it away, name → sign of the change
    """

    name: str
    label: str
    levels: tuple[str, ...]
    signature: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, int] = field(default_factory=dict)
    counts_as: str = ""


@dataclass(frozen=True)
class Domain:
    """A domain as data; `ads`, `epc` and `services` are values of it, not code paths.

    step          : length of a period
    window        : periods that a detection run judges
    pause         : calm time within one episode; findings of one thing at most this far apart are the same finding
    lasting       : what is over sooner is no episode
    every_episode : whether a run tells of every episode in its window, or of the latest of each entity
    """

    name: str
    label: str
    levels: tuple[str, ...]
    level_labels: Mapping[str, str]
    metrics: tuple[Metric, ...]
    ratios: tuple[Ratio, ...]
    causes: tuple[CauseType, ...]
    settings: tuple[str, ...] = ()
    spend: str = ""
    revenue: str = ""
    step: np.timedelta64 = DAY
    window: int = 14
    pause: np.timedelta64 = 3 * DAY
    lasting: np.timedelta64 = 0 * DAY
    every_episode: bool = False
    defaults: Mapping[str, str] = field(default_factory=dict)

    def metric(self, name: str) -> Metric:
        """The declared metric, or a refusal that lists them."""
        return _named(self.name, "metric", self.metrics, name)

    def cause(self, name: str) -> CauseType:
        """The declared cause type, or a refusal that lists them."""
        return _named(self.name, "cause type", self.causes, name)

    def now(self, cause: str) -> str:
        """What a cause counts as; the name itself where it is none of the domain's."""
        merged = (known.counts_as for known in self.causes if known.name == cause)
        return next(merged, "") or cause

    def word(self, cause: str) -> str:
        """A cause's display word; the name itself where it is none of the domain's."""
        return next((known.label for known in self.causes if known.name == cause), cause)


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


def _named(who: str, thing: str, items: Sequence[N], name: str) -> N:
    for item in items:
        if item.name == name:
            return item
    raise UnknownNameError.of(who, thing, f"one of {', '.join(item.name for item in items)}", name)
