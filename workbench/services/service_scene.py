"""The scene of running systems: minutes, metrics that differ by node, and calls that carry trouble to others."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import networkx as nx
import numpy as np

from core.cases import Alarm, Case, Cause
from core.contracts import Floats, Panel
from core.domain import Metric
from core.domains.services import SERVICES
from core.errors import NotEnoughDataError
from core.features.course import course
from workbench.context import Context
from workbench.services import labelled
from workbench.services.scene import Episode, Judged, Outbreak, Question, Rows, Scene

STEPS = (60, 120, 300, 600, 900, 1800)
"""Seconds of a period, the finest first that fits."""
CELLS = 24_000_000
"""Numbers that are held at once; what is more is told apart less finely."""
HISTORY, LEAST = timedelta(days=14), timedelta(days=2)
"""The most that is looked back on, and what must be before the periods grow longer for it."""
WINDOW = np.timedelta64(12, "h")
DOUBTFUL = 8.0
"""Robust standard deviations from which a period teaches no model what is normal, whoever said nothing of it."""
BEFORE, AFTER = np.timedelta64(40, "m"), np.timedelta64(6, "m")
"""What a localizer sees before an alarm, and from it on."""
LATE = np.timedelta64(3, "m")
"""By how much what is at its worst is seen late: half of what a localizer looks at, and the median of periods."""
TOGETHER = np.timedelta64(10, "m")
"""What neighbours in trouble may be apart to be one outbreak."""
NORMAL, QUIET = 480, 0.02
"""Periods that it may compare with, and the share of entities that may be off in them."""
MARGIN, MOST_METRICS = 4, 12
"""Periods shown for one of a daily domain, and metrics of an entity."""
INFRASTRUCTURE = 0.25
"""What trouble of a pod or a node counts for beside that of a service, which people feel."""
GRAVE = 0.05
"""What twice the usual is worth, on the scale on which money's share of all turnover is judged."""


@dataclass(frozen=True)
class Spell:
    """The trouble of an entity that no model alerted by itself."""

    entity: str
    first: int
    last: int
    worst: int


@dataclass(frozen=True, eq=False)
class ServiceScene(Scene):
    """A scene without money: what is bad is what hurts those who call.

    measured : from when on something was measured
    """

    calls: Panel | None
    measured: datetime

    @cached_property
    def lessons(self) -> Panel:
        """The residual without what is far off: nobody has said yet that it was wrong."""
        far = self._farthest > DOUBTFUL
        return self.residual.with_values(np.where(far[:, :, None], np.nan, self.residual.values))

    @cached_property
    def _farthest(self) -> Floats:
        """(n_entity, n_time) deviation of the metric that is furthest off, 0 where nothing was measured."""
        return np.asarray(np.nan_to_num(np.abs(self.residual.values)).max(axis=2, initial=0.0))

    case_kind = "metrics"

    @property
    def reach(self) -> int:
        """All but the length of a window at the beginning, of which nobody knows yet what is usual."""
        return max(len(self.times) - self.domain.window, self.domain.window)

    def back_to(self, seen: datetime | None) -> datetime:
        """What nobody saw, as far as a run looks back, but for the beginning, of which nobody knows what is usual."""
        first = max(self.measured, self._end - HISTORY) + WINDOW.astype(timedelta)
        return first if seen is None else max(first, seen)

    @property
    def _end(self) -> datetime:
        last: datetime = (self.times[-1] + self.domain.step).astype("datetime64[us]").item()
        return last.replace(tzinfo=UTC)

    def unseen(self, seen: datetime | None) -> Sequence[str]:
        """What nobody ever judged and lies too far back by now."""
        since, back = seen or self.measured, self._end - HISTORY
        if since >= back:
            return ()
        return (
            f"{_told(since, back)} was not judged: a run looks back {HISTORY.days} days at most.",
        )

    def alarm(self, entity: str, first: np.datetime64, last: np.datetime64) -> Alarm:
        """The moment at which it began, and the metric that was furthest off until soon after."""
        at = first.astype("datetime64[s]")
        row = self.panel.row_of.get(entity)
        if row is None:
            return Alarm(entity, at)
        start, end = np.searchsorted(self.times, [first, last])
        soon = slice(start, min(end + 1, start + self._periods(AFTER)))
        return Alarm(entity, at, self._furthest(row, soon)[0])

    def _furthest(self, row: int, span: slice) -> tuple[str, ...]:
        """The metrics that an entity has, those furthest off first."""
        values = self.residual.values[row, span]
        far = np.nan_to_num(np.abs(values)).max(axis=0, initial=0.0)
        has = np.isfinite(self.panel.values[row]).any(axis=0)
        order = np.argsort(-far, kind="stable")
        return tuple(self.residual.metrics[column] for column in order if has[column])

    def outbreaks(self, found: Sequence[Episode]) -> list[Outbreak]:
        """Neighbours in trouble at the same time are one outbreak; several parts of one whole make that one theirs.

        It is asked about where it is felt last, when it began: at the services in trouble that lead to no other one,
        at the rest only where there is no service. Where nothing stands out yet, at the worst of them at its worst,
        beside what was before it all.
        """
        spells: list[Episode] = [*found, *self._wholes(found)]
        outbreaks = []
        for members in nx.connected_components(self._meeting(spells)):
            held = [spells[place] for place in sorted(members)]
            services = [spell for spell in held if self._level(spell.entity) == "service"] or held
            named = {spell.entity for spell in services}
            felt = [
                spell
                for spell in services
                if not named & set(self.graph.children(spell.entity)) - {spell.entity}
            ] or services
            felt.sort(key=lambda spell: (spell.first, spell.entity))
            first = tuple(self.alarm(spell.entity, *self._ends(spell)) for spell in felt)
            since = self.times[min(spell.first for spell in held)]
            worst = max(services, key=lambda spell: (self._far(spell), spell.entity))
            peak = self.times[max(worst.worst - self._periods(LATE), worst.first)]
            then = self.alarm(worst.entity, peak, self.times[worst.worst])
            outbreaks.append(
                Outbreak(
                    tuple(place for place in sorted(members) if place < len(found)),
                    (Question(first), Question((then,), since)),
                )
            )
        return outbreaks

    def _meeting(self, spells: Sequence[Episode]) -> nx.Graph[int]:
        """Places of spells, joined where they are of neighbours and meet."""
        at: dict[str, list[int]] = {}
        for place, spell in enumerate(spells):
            at.setdefault(spell.entity, []).append(place)
        meeting: nx.Graph[int] = nx.Graph()
        meeting.add_nodes_from(range(len(spells)))
        for cause, effect in self.graph.net.edges:
            meeting.add_edges_from(
                (one, other)
                for one in at.get(cause, ())
                for other in at.get(effect, ())
                if self._meet(spells[one], spells[other])
            )
        return meeting

    def _meet(self, one: Episode, other: Episode) -> bool:
        apart = self._periods(TOGETHER)
        return one.first <= other.last + apart and other.first <= one.last + apart

    def _wholes(self, found: Sequence[Episode]) -> Iterator[Spell]:
        """What is not in trouble itself while several of its parts are, for as long as those are."""
        parts: dict[str, list[Episode]] = {}
        own: dict[str, list[Episode]] = {}
        for episode in found:
            own.setdefault(episode.entity, []).append(episode)
            whole = self.whole(episode.entity)
            if whole in self.graph.children(episode.entity):
                parts.setdefault(whole, []).append(episode)
        for whole, episodes in parts.items():
            groups: list[list[Episode]] = []
            for episode in sorted(episodes, key=lambda one: one.first):
                if groups and self._meet(_over(whole, groups[-1]), episode):
                    groups[-1].append(episode)
                else:
                    groups.append([episode])
            for group in groups:
                spell = _over(whole, group)
                several = len({one.entity for one in group}) > 1
                if several and not any(self._meet(spell, one) for one in own.get(whole, ())):
                    yield spell

    def _far(self, spell: Episode) -> float:
        """How far off an entity was at the worst of a spell, 0 where nothing was measured of it."""
        row = self.panel.row_of.get(spell.entity)
        return 0.0 if row is None else float(self._farthest[row, spell.worst])

    def case(self, judged: Judged, question: Question) -> Case:
        """The minutes around the alarm beside quiet ones."""
        alarm, *others = question.alarms
        labels = self.panel.periods.labels
        at = int(np.searchsorted(labels, alarm.at))
        begun = at if question.since is None else int(np.searchsorted(self.times, question.since))
        window = np.r_[
            max(0, begun - self._periods(BEFORE)) : begun, at : at + self._periods(AFTER)
        ]
        window = window[window < len(labels)]
        return Case(
            graph=self.graph,
            alarm=alarm,
            panel=_picked(self.panel, window),
            normal=self._normal,
            edges=None if self.calls is None else _picked(self.calls, window),
            normal_edges=self._normal_calls,
            alarms=tuple(others),
            units={metric.name: metric.unit for metric in self.domain.metrics},
        )

    def _periods(self, length: np.timedelta64) -> int:
        return max(1, round(float(length / self.domain.step)))

    @cached_property
    def _quiet(self) -> Rows:
        """Columns in which next to nothing was off; all where there never was such a time."""
        calm = np.flatnonzero((self._farthest > DOUBTFUL).mean(axis=0) <= QUIET)
        calm = calm if len(calm) >= 2 else np.arange(len(self.times))
        picked = np.linspace(0, len(calm) - 1, min(NORMAL, len(calm))).astype(np.intp)
        return np.asarray(calm[picked])

    # localizers learn once from each of these, so they must stay the very same objects
    @cached_property
    def _normal(self) -> Panel:
        return _picked(self.panel, self._quiet)

    @cached_property
    def _normal_calls(self) -> Panel | None:
        return None if self.calls is None else _picked(self.calls, self._quiet)

    def spoken(self, cause: Cause) -> Cause:
        """With metrics by their labels."""
        labels = {metric.name: metric.label for metric in self.domain.metrics}
        names = re.compile("|".join(map(re.escape, sorted(labels, key=len, reverse=True))))
        told = tuple(names.sub(lambda name: labels[name[0]], line) for line in cause.evidence)
        return dataclasses.replace(cause, evidence=told)

    # ── What pages show ──

    def around(self, first: np.datetime64, last: np.datetime64, most: int) -> slice:
        """The episode, with twice as much before it as after it."""
        start, end = np.searchsorted(self.times, [first, last]).tolist()
        margin = max(MARGIN * most - (end - start), MARGIN * most // 4)
        return slice(max(0, start - 2 * margin // 3), end + 1 + margin // 3)

    def since(self, first: np.datetime64, last: np.datetime64) -> np.datetime64:
        """Shortly before the first alert of it."""
        return first - BEFORE

    def metrics_of(self, row: int, span: slice) -> tuple[str, ...]:
        """What was measured of it, those furthest off first."""
        return self._furthest(row, span)[:MOST_METRICS]

    def word(self, metric: str) -> str:
        """The metric's declared label, "" of one that was forgotten since."""
        return next((one.label for one in self.domain.metrics if one.name == metric), "")

    def telling(self, row: int, focus: str, span: slice) -> str:
        """What is furthest off, for two entities seldom have the same metrics."""
        return next(iter(self._furthest(row, span)), focus)

    def whole(self, entity: str) -> str:
        """What an entity is part of, "" for nothing, as it was told."""
        nodes = self.graph.net.nodes
        return str(nodes[entity].get("parent") or "") if entity in nodes else ""

    def siblings(self, entity: str) -> list[str]:
        """What is part of the same, at the same level."""
        parent, level = self.whole(entity), self._level(entity)
        return [
            other
            for other in self.graph.net
            if parent
            and other != entity
            and (self.whole(other), self._level(other)) == (parent, level)
        ]

    def _level(self, entity: str) -> str:
        return self.graph.level(entity) if entity in self.graph.net else ""

    # ── What is at stake ──

    def at_stake(self, rows: Rows, first: Rows, last: Rows) -> tuple[Floats, Floats]:
        """No money; in its place how far off the worst metric is, by how many of those whom people use depend on it."""
        exposed = [
            self._harm(row, start, end) * self._reach[self.panel.entities[row]]
            for row, start, end in zip(rows, first, last, strict=True)
        ]
        return np.zeros(len(exposed)), np.array(exposed, dtype=np.float64)

    def _harm(self, row: int, first: int, last: int) -> float:
        """How far the worst harmful metric is off, as a share of what is usual, at most all of it; `GRAVE` = all."""
        span = slice(first, last + 1)
        off = self.panel.values[row, span] / np.where(
            self.reference.values[row, span] > 0, self.reference.values[row, span], np.nan
        )
        far = np.abs(self.residual.values[row, span]) > DOUBTFUL / 2
        change = np.where(far, np.abs(off - 1.0), np.nan)
        return GRAVE * float(np.minimum(np.nan_to_num(change, nan=0.0), 1.0).max(initial=0.0))

    @cached_property
    def _reach(self) -> Mapping[str, float]:
        """Share of the services that nobody calls, i.e. people use, that trouble of each entity can reach."""
        net = self.graph.net
        services = [node for node in net if self.graph.level(node) == "service"]
        front = {
            node
            for node in services
            if not any(self.graph.level(child) == "service" for child in net.successors(node))
        }
        reach = {}
        for entity in self.panel.entities:
            reached = (nx.descendants(net, entity) | {entity}) & front if entity in net else set()
            weight = 1.0 if self.graph.level(entity) == "service" else INFRASTRUCTURE
            reach[entity] = weight * max(len(reached) / max(len(front), 1), 0.2)
        return reach

    def lost(self, row: int, first: int, last: int) -> float | None:
        """Nothing is known of revenue here."""
        return None

    def conditions(self, entity: str) -> Mapping[str, float]:
        """Nothing stands around a service but the services beside it, and those are in the graph."""
        return {}


SCENE = ServiceScene


def _picked(panel: Panel, columns: Rows) -> Panel:
    """Some periods of a panel."""
    periods = dataclasses.replace(panel.periods, labels=panel.periods.labels[columns])
    return dataclasses.replace(panel, values=panel.values[:, columns], periods=periods)


def _over(entity: str, episodes: Sequence[Episode]) -> Spell:
    """One spell from the first of the episodes to the last."""
    worst = max(episodes, key=lambda one: one.last - one.first).worst
    return Spell(
        entity, min(one.first for one in episodes), max(one.last for one in episodes), worst
    )


def build(context: Context, tenant: str, *, as_of: datetime | None, days: int) -> ServiceScene:
    """Read what was measured until `as_of`, and fit every series its course over day and week."""
    samples = context.metrics.samples
    span = samples.span(tenant, SERVICES)
    end = span and min(span[1] + timedelta(seconds=1), as_of or span[1] + timedelta(seconds=1))
    if span is None or end is None or end <= span[0]:
        raise NotEnoughDataError.of(
            "detection",
            "measurements",
            "imported first",
            0,
            "Run: headwater import PATH --domain services",
        )
    measured = samples.metrics(tenant, SERVICES)
    graph = samples.graph(tenant, SERVICES, at=as_of)
    width = max(1, len(measured) * graph.net.number_of_nodes())
    wanted = max(span[0], end - min(HISTORY, timedelta(days=days)))
    while True:
        step, first = _fitting(wanted, end, width)
        panel = samples.panel(tenant, SERVICES, start=first, end=end, step=step)
        if panel.entities:
            break
        if first <= wanted:
            rule = f"made between {_told(wanted, end)}"
            raise NotEnoughDataError.of("detection", "measurements", rule, 0)
        end = first  # the monitoring itself was out for that long
    domain = dataclasses.replace(
        SERVICES,
        metrics=tuple(Metric(info.name, info.label, info.unit, bad=info.bad) for info in measured),
        step=step,
        window=max(1, int(WINDOW / step)),
    )
    calls = samples.calls(tenant, SERVICES, start=first, end=end, step=step)
    excluded = labelled.known_odd(context, tenant, SERVICES.name, panel, until=as_of)
    found = course(panel, {metric.name: metric.bad for metric in domain.metrics}, excluded)
    return ServiceScene(
        domain=domain,
        panel=panel,
        graph=graph,
        settings=Panel(np.empty((0, len(panel.periods), 0)), (), (), panel.periods),
        residual=found.residual,
        reference=found.expected,
        spread=found.spread,
        calls=calls if len(calls.entities) else None,
        measured=span[0],
    )


def _told(first: datetime, last: datetime) -> str:
    """`1 Mar 2026, 06:00, to 3 Mar 2026, 12:00 (UTC)`."""
    return f"{first:%-d %b %Y, %H:%M}, to {last:%-d %b %Y, %H:%M} (UTC)"


def newest(context: Context, tenant: str) -> datetime | None:
    """The newest moment measured."""
    span = context.metrics.samples.span(tenant, SERVICES)
    return None if span is None else span[1]


def _fitting(first: datetime, end: datetime, width: int) -> tuple[np.timedelta64, datetime]:
    """The finest step at which the history fits, cut at its far end if need be, but never below `LEAST`."""
    most = CELLS // width
    needed = min(end - first, LEAST)
    fitting = (seconds for seconds in STEPS if timedelta(seconds=seconds * most) >= needed)
    seconds = next(fitting, STEPS[-1])
    return np.timedelta64(seconds, "s"), max(first, end - timedelta(seconds=seconds * most))
