"""What metrics say of each suspect: who left normal, by more than what it depends on, and whose calls came late or not.

Three things tell a cause from what it moves. Its own symptom exceeds that of the nodes it depends on; time or failures
that it adds itself (volume × excess, minus that of what it calls) make up what the alarm's node suffers; and what is
seen between two nodes, a delay between sender and receiver or calls that stay away, is blamed on one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from weakref import WeakKeyDictionary

import numpy as np

from core.cases import Case, Edges, Numbers, Wiring
from core.contracts import Bools, Floats, Panel
from core.domains import conventions
from core.errors import InvalidInputError, NotEnoughDataError
from core.quantities import amount
from core.rootcause.evidence import calls, parts
from core.rootcause.evidence.departure import (
    BEST,
    Departure,
    Usual,
    departure,
    onsets,
    usual,
    window_of,
)
from core.rootcause.evidence.metric_kinds import RESOURCES, SYMPTOMS, TRAFFIC, Kind, families, kind
from core.rootcause.evidence.metric_signs import TOLD, changes, words
from core.rootcause.evidence.suspects import Suspects, Term, paths, soft

WHO = "headwater-cause"
SPAN = 5
"""Periods from the alarm on that are looked at; what comes later is cleaning up."""
FURTHEST = 12
"""Edges after which even an unbroken trail of departures is given up."""
TERMS = (
    Term("symptom", 1.0, "what users of the node notice, beyond normal"),
    Term("own", 1.0, "that symptom minus the worst of the nodes it depends on"),
    Term("other", 0.3, "a symptom of another kind than the alarm's"),
    Term("resource", 1.0, "CPU, memory or disk beyond normal"),
    Term("delay", 1.5, "calls reach it later than they were sent"),
    Term("starving", 1.0, "it is called as ever, yet calls what it depends on less"),
    Term("inherited", 1.0, "symptoms of what depends on it that nobody else explains"),
    Term("effect", 0.2, "the worst symptom of the nodes that depend on it"),
    Term("volume", 0.5, "excess × requests, next to the alarm's node", proof=False),
    Term("self", 1.0, "that volume minus the volumes of the nodes it depends on", proof=False),
    Term("lead", 0.1, "left normal before the alarm's node did", proof=False),
    Term("alarms", -1.0, "is the node that alarms", proof=False),
    Term("hops", -0.1, "edges to the alarm", proof=False),
    *parts.TERMS,
)
NAMES = tuple(term.name for term in TERMS)
MEANS = re.compile(r"average|avg|mean", re.IGNORECASE)
"""Latencies that times a count are time spent; a percentile is not."""


def suspects(case: Case, hops: int) -> Suspects:
    """Candidates upstream of the alarm, with their features; raises where there is nothing to compare with."""
    wiring = case.graph.wiring
    distance = wiring.hops(case.seeds, FURTHEST)
    sight = _Sight(case)
    near, around, late, departed, leading = _followed(case, sight, distance, hops)
    silent = around & (sight.row < 0) & ~late.heard
    suspected = near & ~silent
    if not suspected.any():
        rule = "observed, or upstream of it something that is"
        raise InvalidInputError.of(WHO, "the alarm's node", rule, case.alarm.node)
    found = np.flatnonzero(suspected)
    seeds = np.array([wiring.number[seed] for seed in case.seeds], dtype=np.intp)
    view = sight.view(late)
    starving, starved = calls.starving(case, suspected, SPAN)
    departed = np.where(suspected, np.maximum(departed, starving), departed)
    volume = _volumes(sight, seeds)
    onset = sight.onsets()
    began = min(onset[seeds[suspected[seeds]]], default=sight.window.start)
    symptom = soft(view.symptom)
    told = {
        "symptom": symptom,
        "own": symptom - wiring.calls.most(symptom),
        "other": soft(view.other),
        "resource": soft(view.resource),
        "delay": late.felt,
        "starving": soft(starving),
        "inherited": _inherited(sight, wiring, seeds, silent),
        "effect": wiring.edges.back.most(symptom),
        "volume": _grown(volume),
        "self": _grown(np.maximum(volume - wiring.calls.sums(volume), 0.0)),
        "lead": np.clip(began - onset, 0, 3) / 3.0,
        "alarms": (distance == 0).astype(np.float64),
        "hops": distance.astype(np.float64),
    }
    made_of = wiring.parts.among(suspected)
    apart = sight.apart(made_of.where(leading[made_of.end] > 1.0))
    whole_of, depth = parts.answering(made_of, told)
    used = np.stack([sight.largest((family,)) for family in RESOURCES], axis=1)
    told |= parts.told_apart(made_of, depth, apart, departed, used)
    return Suspects(
        tuple(wiring.nodes[number] for number in found.tolist()),
        np.stack([told[name][found] for name in NAMES], axis=1),
        (np.arange(len(found)),),
        departed[found],
        sight.labels[onset[found]],
        tuple(paths(wiring, distance, departed, found)),
        tuple(_told(case, sight, late, starved, found)),
        tuple(_words(sight, late, leading > 1.0, whole_of, found)),
    )


def _followed(
    case: Case, sight: _Sight, distance: Numbers, hops: int
) -> tuple[Bools, Bools, calls.Lateness, Floats, Floats]:
    """Nodes within `hops` of an alarm, and farther ones along a trail that left its normal.

    Returns of each node (n,) whether it is near, whether it is near or a cause of one that is, how late its calls are,
    how far it left normal, and how far it or what it is part of did.
    """
    edges = sight.wiring.edges
    near = (distance >= 0) & (distance <= hops)
    while True:
        # what lies farther is looked at only where a trail of departures leads there
        beside = near | edges.back.reached(near)
        around = beside & (distance >= 0)
        sight.look(around)
        late = calls.lateness(case, beside | edges.reached(near), SPAN)
        view = sight.view(late)
        departed = np.max([view.symptom, view.other, view.resource, late.worst], axis=0)
        departed = np.where(around, departed, 0.0)
        leading = sight.wiring.parts.among(around).back.carried(departed)
        further = (distance >= 0) & edges.back.reached(near & (leading > 1.0)) & ~near
        if not further.any():
            return near, around, late, departed, leading
        near |= further


@dataclass(frozen=True)
class _View:
    """The same departures (n,) as the alarm sees them: its kind of symptom, another, what is used up."""

    symptom: Floats
    other: Floats
    resource: Floats


class _Sight:
    """What the nodes show that anybody looked at, by their numbers; nothing of all others.

    row      : (n,) of each node in the panel, −1 where it was not measured
    normal   : normal periods, None where what was expected is known instead, period by period
    symptoms : families that count as the alarm's; exact : the column of its metric, where it named one
    """

    def __init__(self, case: Case) -> None:
        if case.panel is None:
            raise InvalidInputError.of(WHO, "the case", "given with a panel or events", "neither")
        self.panel, self.wiring = case.panel, case.graph.wiring
        self.labels, self.metrics = case.panel.periods.labels, case.panel.metrics
        self.window = window_of(case, self.labels, SPAN)
        self.kinds = tuple(map(kind, self.metrics))
        self.families = families(self.kinds)
        self.row = self.wiring.rows(case.panel.entities)
        if case.reference is None or case.spread is None:
            self.normal: Panel | None = _normal(case, case.panel, self.window)
            self.values = case.panel.values
        else:
            self.normal = None
            self.values = (case.panel.values - case.reference.values) / case.spread
        wanted = (kind(case.alarm.metric).family,) if case.alarm.metric else SYMPTOMS
        symptoms = tuple(family for family in wanted if family in self.families)
        self.symptoms = symptoms or tuple(one for one in self.families if one != TRAFFIC)
        named = case.alarm.metric in self.metrics
        self.exact = self.metrics.index(case.alarm.metric) if named else None
        self.looked = np.zeros(len(self.row), dtype=bool)
        self.usual = Usual.blank(len(self.row), self.kinds)
        self.departure = Departure.blank(len(self.row), self.kinds)

    def look(self, nodes: Bools) -> None:
        """Look at these nodes (n,), as far as nobody did."""
        new = np.flatnonzero(nodes & ~self.looked & (self.row >= 0))
        self.looked[new] = True
        width = self.window.stop - self.window.start
        if self.normal is None:
            known = _standard(len(new), self.kinds)
        else:
            rows = self.normal.rows(self.wiring.nodes[number] for number in new.tolist())
            known = usual(self.normal, rows, width, self.kinds)
        values = self.values[self.row[new]]
        local = self.normal is not None
        found = departure(values, known, self.window, self.kinds, local=local)
        for whole, part in ((self.usual, known), (self.departure, found)):
            for field in fields(part):
                getattr(whole, field.name)[new] = getattr(part, field.name)

    def view(self, late: calls.Lateness) -> _View:
        """What the alarm sees of it so far."""
        symptom = np.maximum(self.largest(self.symptoms), late.answer)
        if self.exact is not None:
            symptom = np.maximum(symptom, self.departure.strength[:, self.exact])
        other = tuple(family for family in SYMPTOMS if family not in self.symptoms)
        return _View(symptom, self.largest(other), self.largest(RESOURCES))

    def largest(self, names: Sequence[str]) -> Floats:
        """(n,) the largest departure of each node in some families."""
        places = [place for place, name in enumerate(self.families) if name in names]
        most: Floats = self.departure.family[:, places].max(axis=1, initial=0.0)
        return most

    def onsets(self) -> Numbers:
        """(n,) the period in which each departure began; the window's first where there is none."""
        begun = np.full(len(self.row), self.window.start)
        moved = np.flatnonzero((self.departure.strength > 1.0).any(axis=1))
        values, strength = self.values[self.row[moved]], self.departure.strength[moved]
        begun[moved] = onsets(values, self.usual.at(moved), strength, self.window, self.kinds)
        return begun

    def apart(self, made_of: Edges) -> Floats:
        """(n,) how far each start of these edges left the others behind that lead to the same end, NaN where unknown."""
        if self.normal is None:
            return np.full(len(self.row), np.nan)
        normal = self.normal, self.wiring.rows(self.normal.entities)
        return parts.apart(made_of, (self.panel, self.row), normal, self.kinds, self.window)

    def changes(self, nodes: Numbers) -> Floats:
        """(n, n_channel) relative changes of some nodes; none where what was expected is all that is known."""
        found = np.full((len(nodes), len(TOLD)), np.nan)
        known = (self.row[nodes] >= 0) & (self.normal is not None)
        some = nodes[known]
        values, base = self.values[self.row[some]], self.departure.base[some]
        median = self.usual.median[some]
        found[known] = changes(self.metrics, self.kinds, values, self.window, base, median)
        return found


def _standard(many: int, kinds: Sequence[Kind]) -> Usual:
    """What is normal for standardised residuals."""
    shape = (many, len(kinds))
    edge = np.full(shape, 3.0)
    return Usual(np.zeros(shape), np.ones(shape), edge, edge, np.ones((many, len(families(kinds)))))


_pasts: WeakKeyDictionary[Panel, dict[int, Panel]] = WeakKeyDictionary()


def _normal(case: Case, panel: Panel, window: slice) -> Panel:
    """The normal periods; those before the alarm where nothing else is known."""
    if isinstance(case.normal, Panel):
        if case.normal.metrics != panel.metrics:
            rule = f"of the panel's metrics, {', '.join(panel.metrics[:5])}…"
            raise InvalidInputError.of(WHO, "the normal periods", rule, case.normal.metrics[:5])
        return case.normal
    if window.start < 2 * BEST:
        rule = f"given, or at least {2 * BEST} periods before the alarm"
        raise NotEnoughDataError.of(WHO, "normal periods", rule, window.start)
    pasts = _pasts.setdefault(panel, {})
    return pasts.setdefault(window.start, panel.select(times=slice(0, window.start)))


# ── What is passed on ────────────────────────────────────────────────────────────────────────────


def _inherited(sight: _Sight, wiring: Wiring, seeds: Numbers, silent: Bools) -> Floats:
    """(n,) symptoms of alarming nodes that no measured cause explains, shared among the causes that were not measured."""
    found = np.zeros(len(silent))
    edges = wiring.edges.where(~silent[wiring.edges.start])
    for family in sight.symptoms:
        strength = soft(sight.largest((family,)))
        measured = sight.departure.known[:, sight.families.index(family)]
        blind = edges.where(~measured[edges.start])
        explained = edges.most(np.where(measured, strength, 0.0))
        sharing = np.maximum(blind.sums(np.ones(len(silent))), 1.0)
        passing = np.zeros(len(silent))
        passing[seeds] = strength[seeds]
        for _ in range(3):
            passed = blind.back.most(np.maximum(passing - explained, 0.0) / sharing)
            passing = np.where(passed > found, passed, 0.0)
            found = np.maximum(found, passed)
    return found


def _volumes(sight: _Sight, seeds: Numbers) -> Floats:
    """(n,) excess × traffic of each node, in multiples of that of the alarm's node (of the largest where it has none)."""
    found = np.zeros(len(sight.row))
    traffic = [column for column, one in enumerate(sight.kinds) if one.family == TRAFFIC]
    wanted = [column for column, one in enumerate(sight.kinds) if one.family in sight.symptoms]
    columns = [
        column
        for column in (wanted if sight.exact is None else [sight.exact])
        if sight.kinds[column].family != "latency" or MEANS.search(sight.metrics[column])
    ]
    if not traffic or not columns:
        return found
    looked = np.flatnonzero(sight.looked)
    window = sight.values[sight.row[looked], sight.window]
    calls_made = np.nan_to_num(window[:, :, traffic]).sum(axis=2)
    for column in columns:
        bad = sight.kinds[column].bad or 1
        over = bad * (window[:, :, column] - sight.departure.base[looked, None, column])
        volume = np.zeros(len(found))
        volume[looked] = (np.nan_to_num(np.maximum(over, 0.0)) * calls_made).sum(axis=1)
        whole = volume[seeds].max(initial=0.0) or volume.max(initial=0.0)
        if whole > 0.0:
            found = np.maximum(found, volume / whole)
    return found


def _grown(volume: Floats) -> Floats:
    return np.asarray(np.log1p(20.0 * np.minimum(volume, 2.0)))


# ── Words ────────────────────────────────────────────────────────────────────────────────────────


def _told(
    case: Case, sight: _Sight, late: calls.Lateness, starved: Numbers, found: Numbers
) -> Iterator[tuple[str, ...]]:
    """Of each of the found what it did, with numbers: first its two metrics that left normal farthest."""
    strength = sight.departure.strength[found]
    farthest = np.argsort(-strength, axis=1, kind="stable")[:, :2]
    moved = np.take_along_axis(strength, farthest, axis=1) > 1.0
    felt = case.graph.name(case.alarm.node)
    for place, number in enumerate(found.tolist()):
        said = [_moved(case, sight, number, int(c)) for c in farthest[place, moved[place]]]
        if late.worst[number] > 1.0:
            said.append(f"Calls reach it late: {_times(late.worst[number])}")
        if starved[number] >= 0:
            callee = case.graph.name(sight.wiring.nodes[starved[number]])
            said.append(f"Calls {callee} less than its own traffic asks for")
        yield tuple(filter(None, said)) or (f"Itself as usual, felt at {felt}",)


def _moved(case: Case, sight: _Sight, number: int, column: int) -> str:
    """How a metric of a node left normal, with its values; nothing of traffic, which is nobody's fault."""
    if sight.kinds[column].family == TRAFFIC:
        return ""
    values = sight.values[sight.row[number], sight.window, column]
    before, bad = sight.departure.base[number, column], sight.kinds[column].bad
    rises = bad > 0 or (bad == 0 and np.nanmean(values) >= before)
    worst = np.nanmax(values) if rises else np.nanmin(values)
    name = sight.metrics[column]
    if sight.normal is None:
        way = "above" if rises else "below"
        return f"{name} {abs(worst):.1f} standard deviations {way} what was expected"
    unit = case.units.get(name) or conventions.unit(name)
    change = f"{amount(before, unit)} → {amount(worst, unit)}"
    return f"{name} {change}, {_times(sight.departure.strength[number, column])}"


def _times(strength: float) -> str:
    return f"{strength:.{0 if strength >= 10 else 1}f} times the edge of normal"


def _words(
    sight: _Sight, late: calls.Lateness, departed: Bools, whole_of: Numbers, found: Numbers
) -> list[str]:
    """The kind of cause that each suspect's metrics tell, completed by those of what it answers for."""
    asked = np.flatnonzero(departed[found])
    # of each its whole, the whole of that, and so on; −1 where there is none any more
    line = [found[asked]]
    while (line[-1] >= 0).any():
        line.append(np.where(line[-1] >= 0, whole_of[line[-1]], -1))
    told = np.full((len(asked), len(TOLD)), np.nan)
    for nodes in line[:-1]:
        known = nodes >= 0
        mine = sight.changes(nodes[known])
        mine[:, TOLD.index("delay")] = np.where(
            late.heard[nodes[known]], np.maximum(late.delay[nodes[known]], 1.0) - 1.0, np.nan
        )
        told[known] = np.where(np.isfinite(told[known]), told[known], mine)
    kinds = ["unknown"] * len(found)
    for place, kind_of in zip(asked.tolist(), words(told), strict=True):
        kinds[place] = kind_of
    return kinds
