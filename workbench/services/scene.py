"""One look at a whole domain: what every entity did, what was to be expected of it, and how odd that is.

Detection and the pages both start here, so an alert and its chart never disagree. What a domain reads and expects
is its builder's business (`BUILDERS`); from the scene on, all domains go one way.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.cases import Alarm, Case, Cause, Graph
from core.contracts import DAY, Algorithm, Floats, Panel, Times
from core.domain import Domain
from core.errors import InvalidInputError, NotEnoughDataError, UnknownNameError
from workbench.context import Context
from workbench.services import proposals, taxonomy
from workbench.services.labelled import naive

DAYS = 120
ALPHA = 0.01
FALSE_RATE = 0.05
BUILDERS = {
    "ads": "workbench.services.funnel_scene",
    "services": "workbench.services.service_scene",
}
"""Domain → module with `build(context, tenant, as_of=, days=)`, `newest(context, tenant)` and `SCENE`, its class."""
NAMED = 3
"""Metrics that a sentence names before it only counts the rest."""
Rows = NDArray[np.intp]
T = TypeVar("T")


class Episode(Protocol):
    """An entity's trouble, from column `first` to `last`, at its worst in column `worst`."""

    @property
    def entity(self) -> str: ...
    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...
    @property
    def worst(self) -> int: ...


@dataclass(frozen=True)
class Question:
    """What a localizer is asked: the alarms of what belongs together, at least one.

    since : where trouble rose slowly, when it began; what lies between that and the alarms is then left out
    """

    alarms: tuple[Alarm, ...]
    since: np.datetime64 | None = None


@dataclass(frozen=True)
class Outbreak:
    """Episodes that share a cause, by place, and how to ask for it: by the next question where none stands out."""

    places: tuple[int, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True, eq=False)
class Scene(ABC):
    """Everything read and derived before any model has its say; arrays are (n_entity, n_time, …).

    domain    : the domain, with its periods and metrics as they were read, and the tenant's words for causes
    graph     : what reaches what, with the components that people added
    panel     : raw metrics of every level
    settings  : what was set, by entity and day; NaN = not reported
    residual  : standardised deviations by channel
    reference : expected metrics as they should stand by now
    spread    : standard deviation of observed − expected
    """

    domain: Domain
    panel: Panel
    graph: Graph
    settings: Panel
    residual: Panel
    reference: Panel
    spread: Floats

    @cached_property
    def observed(self) -> Panel:
        """The metrics of the panel that something is expected of."""
        if self.panel.metrics == self.reference.metrics:
            return self.panel
        return self.panel.select(metrics=self.reference.metrics)

    @property
    def lessons(self) -> Panel:
        """The residual that models learn from."""
        return self.residual

    @cached_property
    def times(self) -> Times:
        """(n_time,) period labels as people say them: days, or minutes where a period is shorter than a day."""
        labels = self.panel.periods.labels
        return labels.astype(f"datetime64[{self.unit}]")

    @property
    def reach(self) -> int:
        """Periods that are judged, the newest: those of the window."""
        return self.domain.window

    def told_from(self, seen: datetime | None) -> int:
        """The column from which on a run tells what it finds, where an earlier one saw everything until `seen`.

        The window's first; where every episode is told, the first that nobody looked at, as far back as is judged.
        """
        window = max(len(self.times) - self.domain.window, 0)
        if not self.domain.every_episode:
            return window
        labels = self.panel.periods.labels
        new = 0 if seen is None else int(np.searchsorted(labels, np.datetime64(naive(seen))))
        return max(len(labels) - self.reach, min(new, window), 0)

    def back_to(self, seen: datetime | None) -> datetime | None:
        """From when on there is something to judge that nobody saw; None where this scene holds all of it."""
        return None

    @property
    def begin(self) -> datetime:
        """The first moment that is judged, in UTC."""
        label: datetime = self.times[len(self.times) - self.reach].astype("datetime64[us]").item()
        return label.replace(tzinfo=UTC)

    def unseen(self, seen: datetime | None) -> Sequence[str]:
        """What a run does not look at and why, in words, where an earlier one saw everything until `seen`."""
        return ()

    @property
    def unit(self) -> str:
        """ "D" or "m": what periods are told apart by."""
        return "D" if self.domain.step >= DAY else "m"

    @cached_property
    def changes(self) -> Mapping[str, Mapping[str, tuple[float, float]]]:
        """What was set before and at the end of the window, by entity."""
        return changes(self.settings, self.domain.window)

    def settled(self, metric: str) -> Floats:
        """(n_entity, n_time) share of a metric's final number that has arrived."""
        return np.ones(self.panel.values.shape[:2])

    case_kind: ClassVar[str] = "expected"
    """What kind of case its localizers are given, see `Case.kind`."""

    def alarm(self, entity: str, first: np.datetime64, last: np.datetime64) -> Alarm:
        """What an episode is, asked for its cause."""
        return Alarm(entity, last.astype("datetime64[s]"))

    def outbreaks(self, found: Sequence[Episode]) -> list[Outbreak]:
        """Which episodes are asked for their cause together; here each alone."""
        return [
            Outbreak((place,), (Question((self.alarm(episode.entity, *self._ends(episode)),)),))
            for place, episode in enumerate(found)
        ]

    def _ends(self, episode: Episode) -> tuple[np.datetime64, np.datetime64]:
        return self.times[episode.first], self.times[episode.last]

    def case(self, judged: Judged, question: Question) -> Case:
        """What the localizers look at."""
        alarm, *others = question.alarms
        # the localizers scan once per set of arrays, so these must stay the very same objects
        return Case(
            graph=self.graph,
            alarm=alarm,
            panel=self.observed,
            reference=self.reference,
            spread=self.spread,
            p_values=judged.p_values,
            alpha=judged.alpha,
            settings=self.changes,
            alarms=tuple(others),
        )

    def spoken(self, cause: Cause) -> Cause:
        """A cause as people are told of it."""
        return cause

    # ── What pages show ──

    def around(self, first: np.datetime64, last: np.datetime64, most: int) -> slice:
        """Columns to show of an episode between two of `times`: here the newest `most`."""
        return slice(-most, None)

    def since(self, first: np.datetime64, last: np.datetime64) -> np.datetime64:
        """From when on another entity's trouble may belong to an episode."""
        return last - self.domain.window * self.domain.step

    def metrics_of(self, row: int, span: slice) -> tuple[str, ...]:
        """What an entity is judged by: the channels, then the metrics that are none."""
        channels = self.residual.metrics
        return (*channels, *(name for name in self.observed.metrics if name not in channels))

    def word(self, metric: str) -> str:
        """A metric's label where it is not to be made from its name."""
        return ""

    def telling(self, row: int, focus: str, span: slice) -> str:
        """What to say of an entity beside one whose `focus` is of interest."""
        return focus

    def whole(self, entity: str) -> str:
        """What an entity is part of, "" for nothing: the first parent that an import told of."""
        parents = self.graph.parents(entity) if entity in self.graph.net else ()
        kinds = self.graph.net.nodes
        return next((one for one in parents if kinds[one].get("kind") != proposals.KIND), "")

    def above(self, entity: str) -> tuple[str, ...]:
        """What an entity is part of and what that is part of, top first."""
        line: list[str] = []
        while (entity := self.whole(entity)) and entity not in line:
            line.insert(0, entity)
        return tuple(line)

    def siblings(self, entity: str) -> list[str]:
        """Those of its level that are part of the same."""
        whole = self.whole(entity)
        if not whole:
            return []
        level = self.graph.level(entity)
        children = self.graph.children(whole)
        return [child for child in children if child != entity and self.graph.level(child) == level]

    # ── What is at stake ──

    @abstractmethod
    def at_stake(self, rows: Rows, first: Rows, last: Rows) -> tuple[Floats, Floats]:
        """Of episodes (n,): money at risk per period, and that over what all turn over in one (0 = no money)."""

    @abstractmethod
    def lost(self, row: int, first: int, last: int) -> float | None:
        """Revenue missing against the expectation over an episode, as known by now; None where nothing is known."""

    @abstractmethod
    def conditions(self, entity: str) -> Mapping[str, float]:
        """How things stand around an entity, by name."""


def look(
    context: Context,
    tenant: str,
    *,
    domain: str = "ads",
    as_of: datetime | None = None,
    days: int = DAYS,
) -> Scene:
    """Read a domain as known at `as_of` (now when absent); NotEnoughDataError when nothing was imported."""
    built: Scene = _builder(domain).build(context, tenant, as_of=as_of, days=days)
    return replace(
        built,
        domain=taxonomy.worded(context, tenant, built.domain),
        graph=proposals.laid_over(context, tenant, domain, built.graph),
    )


def each(
    context: Context,
    tenant: str,
    work: Callable[[Scene], T],
    *,
    domain: str,
    as_of: datetime | None = None,
    days: int = DAYS,
    seen: datetime | None = None,
) -> list[T]:
    """What `work` makes of a domain, the newest first: of one look at it, or of several, each from where the one
    before began to judge, where one has no room for all that nobody saw since `seen`.

    Only one look is held at a time, so `work` keeps none.
    """
    found: list[T] = []
    back, until = None, as_of
    while True:
        try:
            scene = look(context, tenant, domain=domain, as_of=until, days=days)
        except NotEnoughDataError:
            if not found:
                raise
            return found  # whatever came before was not measured for long
        back = back if found else scene.back_to(seen)
        found.append(work(scene))
        until = scene.begin
        del scene
        if back is None or until <= back:
            return found


def newest(context: Context, tenant: str, *, domain: str) -> datetime | None:
    """How far the data of a domain is known; None where there is none."""
    found: datetime | None = _builder(domain).newest(context, tenant)
    return found


def kind_of(domain: str) -> str:
    """What kind of case the localizers of a domain are given."""
    return str(_builder(domain).SCENE.case_kind)


def _builder(domain: str) -> Any:
    if domain not in BUILDERS:
        raise UnknownNameError.of("scene", "the domain", f"one of {', '.join(BUILDERS)}", domain)
    return importlib.import_module(BUILDERS[domain])


def changes(settings: Panel, window: int) -> dict[str, dict[str, tuple[float, float]]]:
    """Settings before and at the end of the last `window` days, {entity: {setting: (before, after)}}.

    Entities whose settings nobody reported are absent: unknown is not unchanged.
    """
    before = _last_known(settings.values[:, : max(settings.values.shape[1] - window, 1)])
    after = _last_known(settings.values)
    known = np.isfinite(before) & np.isfinite(after)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for row, column in np.argwhere(known):
        pair = (float(before[row, column]), float(after[row, column]))
        found.setdefault(settings.entities[row], {})[settings.metrics[column]] = pair
    return found


def _last_known(values: Floats) -> Floats:
    """(n_entity, n_metric) newest finite value; NaN where there is none."""
    known = np.isfinite(values)
    newest = values.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    picked = np.take_along_axis(values, newest[:, None, :], axis=1)[:, 0]
    return np.where(known.any(axis=1), picked, np.nan)


@dataclass(frozen=True, eq=False)
class Judged:
    """What a model says of a scene: calibrated p-values (n_entity, n_time), and those of each part.

    alpha : the p-value up to which a day is anomalous, at most `ALPHA`; 0 = no day is
    lowest, days : the lowest p-value, and how many entity-days were judged
    unit         : what a period is called
    deaf         : which metrics had no say because the model never learned them, in words; "" where all had
    """

    p_values: Floats
    parts: Mapping[str, Floats]
    alpha: float
    lowest: float = 1.0
    days: int = 0
    unit: str = "day"
    deaf: str = ""

    @property
    def silence(self) -> str:
        """Why nothing was found, in words; "" where something was, or nothing looks odd."""
        if self.alpha > 0 or self.lowest > ALPHA:
            return ""
        return (
            f"The oddest of {self.days:,} entity-{self.unit}s has a p-value of {self.lowest:.2g}. Among so many that is "
            f"chance: one alone would have to reach {FALSE_RATE / self.days:.1g}. A detector whose scores are "
            "bounded seldom does; several voting together, as in the default, do."
        )


def judge(scene: Scene, ensemble: Any, *, rate: float = FALSE_RATE, last: int = 0) -> Judged:
    """Score every entity and period in a scene's reach with an ensemble, or of the `last` where those are more.

    A model of other metrics judges by those that it learned, and what it judges says so. Thousands of entity-days are judged at once, so the cut is set such that at most `rate` of those below
    it are expected to be normal: Benjamini and Hochberg (JRSS B 1995), theorem 1.
    """
    p_values, parts = ensemble.judge(heard(scene.residual, ensemble), last=max(scene.reach, last))
    seen = np.isfinite(scene.residual.values[:, -scene.reach :]).any(axis=2)
    judged = p_values[:, -scene.reach :][seen]
    lowest = float(judged.min(initial=1.0))
    alpha = min(_cut(judged, rate), ALPHA)
    unit = "day" if scene.unit == "D" else "period"
    return Judged(p_values, parts, alpha, lowest, len(judged), unit, deaf(scene.residual, ensemble))


def learned(model: Algorithm) -> tuple[str, ...]:
    """The metrics that a model learned, in its order."""
    return tuple(str(model.state["metrics"]).split("\n"))


def heard(panel: Panel, model: Algorithm) -> Panel:
    """A panel in the metrics that a model learned; one that is not measured any more is missing throughout.

    Raises InvalidInputError where the model learned none of the panel's metrics.
    """
    known = learned(model)
    if known == panel.metrics:
        return panel
    both = [name for name in known if name in panel.metrics]
    if not both:
        rule = f"at least one of those that the model learned, {_named(known)}"
        hint = "Train a version on what is measured now: headwater train."
        raise InvalidInputError.of("scoring", "the metrics", rule, _named(panel.metrics), hint)
    values = np.full((*panel.values.shape[:2], len(known)), np.nan)
    values[:, :, [known.index(name) for name in both]] = panel.select(metrics=both).values
    return panel.with_values(values, known)


def deaf(panel: Panel, model: Algorithm) -> str:
    """What a model cannot hear of a panel, and what it misses there, in words; "" where it learned just its metrics."""
    known = learned(model)
    new = [name for name in panel.metrics if name not in known]
    gone = [name for name in known if name not in panel.metrics]
    told = (
        new and f"Not judged, for the model never learned it: {_named(new)}.",
        gone and f"Not measured any more, so judged without: {_named(gone)}.",
    )
    return " ".join(filter(None, told))


def _named(metrics: Sequence[str]) -> str:
    more = len(metrics) - NAMED
    return ", ".join(metrics[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _cut(p_values: Floats, rate: float) -> float:
    """The largest p-value that passes the step-up test; 0 when none does."""
    ascending = np.sort(p_values)
    passing = ascending <= rate * np.arange(1, len(ascending) + 1) / max(len(ascending), 1)
    return float(ascending[passing].max(initial=0.0))
