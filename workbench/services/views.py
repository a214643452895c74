"""What the investigation pages show, as plain arrays and words; made by `investigate`, drawn by `workbench.ui`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Days = NDArray[np.datetime64]


@dataclass(frozen=True, eq=False)
class Curve:
    """One metric of one entity, observed beside expected; all arrays (n_day,), NaN = missing.

    spread  : standard deviation of observed − expected, in the metric's unit
    settled : share 0…1 of the final number that is known by now; below 1 more is still arriving
    bad     : −1 a drop hurts, +1 a rise hurts, 0 either
    """

    entity: str
    name: str
    metric: str
    label: str
    unit: str
    currency: str
    bad: int
    days: Days
    observed: Floats
    expected: Floats
    spread: Floats
    settled: Floats

    def last(self, many: int) -> Curve:
        """The same curve's newest periods."""
        return self.cut(slice(-many, None))

    def cut(self, span: slice) -> Curve:
        """The same curve over some of its periods."""
        columns = ("days", "observed", "expected", "spread", "settled")
        return replace(self, **{name: getattr(self, name)[span] for name in columns})


@dataclass(frozen=True, eq=False)
class Strip:
    """Calibrated p-values of one detector, (n_day,)."""

    detector: str
    days: Days
    p_values: Floats


@dataclass(frozen=True, eq=False)
class Heat:
    """Deviation from expected in standard deviations, (n_channel, n_day)."""

    days: Days
    channels: tuple[str, ...]
    labels: tuple[str, ...]
    deviations: Floats


@dataclass(frozen=True, eq=False)
class Contributions:
    """Shares of a score by channel, (n_channel,), for the total and each detector, and what no share covers."""

    labels: tuple[str, ...]
    total: Floats
    parts: Mapping[str, Floats]
    gap: float


@dataclass(frozen=True)
class Part:
    """One detector's say in an alert; `left_out` tells why it had none."""

    detector: str
    score: float | None
    p_value: float | None
    weight: float | None
    left_out: str = ""


@dataclass(frozen=True)
class Place:
    """An entity as a link: its id, level word and name."""

    entity: str
    level: str
    name: str


@dataclass(frozen=True, eq=False)
class AlertView:
    """What the Alert page shows beside the alert's own record; `unit` is what its periods are: "D" or "m"."""

    zone: str
    unit: str
    above: tuple[Place, ...]
    curves: tuple[Curve, ...]
    focus: str
    onset: np.datetime64
    last_day: np.datetime64
    anomalous: Days
    strips: tuple[Strip, ...]
    alpha: float
    heat: Heat | None
    contributions: Contributions | None
    parts: tuple[Part, ...]
    siblings: tuple[Curve, ...]
    settings: tuple[tuple[str, ...], ...]
    market: tuple[tuple[str, float | str], ...]
    notices: tuple[str, ...] = ()

    def curve(self, metric: str) -> Curve:
        """The curve of a metric; the first one where it has none."""
        return next((curve for curve in self.curves if curve.metric == metric), self.curves[0])


@dataclass(frozen=True)
class Node:
    """One node of the drawn hierarchy; x, y in 0…1, causes left.

    severity : "" where the node is calm
    number   : what to read beside the name, e.g. "−61 %"
    onset    : first anomalous day, `order` its place among the onsets (0 = none)
    hidden   : how many calm nodes this one stands for
    """

    id: str
    name: str
    level: str
    x: float
    y: float
    severity: str = ""
    number: str = ""
    onset: np.datetime64 | None = None
    order: int = 0
    hidden: int = 0


@dataclass(frozen=True)
class Lane:
    """One row of the onset timeline: a node and the first and last day it was anomalous."""

    id: str
    name: str
    level: str
    severity: str
    start: np.datetime64
    end: np.datetime64


@dataclass(frozen=True, eq=False)
class Candidate:
    """One possible source, with every term of its score.

    onset, onset_day : when it began, in UTC and as a local day, or a moment where periods are shorter (a datetime)
    """

    node: str
    name: str
    level: str
    type: str
    type_label: str
    onset: datetime
    onset_day: date
    path: tuple[str, ...]
    hops: int
    terms: Mapping[str, float]
    score: float
    confidence: float
    evidence: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class CauseView:
    """What the Root cause page shows beside the records of the alert and its incident; `unit` as in `AlertView`.

    kind : what was asked about, as `Case.kind`: a hierarchy of what was "expected", or "metrics" of a web of calls
    """

    zone: str
    unit: str
    kind: str
    method: str
    methods: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]
    lanes: tuple[Lane, ...]
    siblings_anomalous: int = 0
    siblings: int = 0
    notices: tuple[str, ...] = field(default=())


@dataclass(frozen=True, eq=False)
class Brief:
    """The state of things in numbers; each `…_by_day` has one entry per day of `days`, today last.

    at_risk : spend at risk of open alerts that no incident mutes, by currency
    """

    open: int
    critical: int
    incidents: int
    at_risk: Mapping[str, float]
    days: tuple[date, ...]
    alerts_by_day: tuple[float, ...]
    critical_by_day: tuple[float, ...]
    incidents_by_day: tuple[float, ...]
    at_risk_by_day: tuple[float, ...]


@dataclass(frozen=True)
class Freshness:
    """How far the data reaches; None where there is none."""

    newest_day: date | None
    as_of: datetime | None


@dataclass(frozen=True)
class Standing:
    """When detection last looked, at how much, and with which model."""

    last_run: datetime | None
    entities_checked: int
    last_error: str
    champion: str


@dataclass(frozen=True)
class Arrivals:
    """Report × day: "delivered", "partial" or "missing"; the worst of a report's profiles counts."""

    reports: tuple[str, ...]
    days: tuple[date, ...]
    states: tuple[tuple[str, ...], ...]
