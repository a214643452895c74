"""What metrics say of each suspect: who left normal, by more than what it depends on, and whose calls came late or not.

Three things tell a cause from what it moves. Its own symptom exceeds that of the nodes it depends on; time or failures
that it adds itself (volume × excess, minus that of what it calls) make up what the alarm's node suffers; and what is
seen between two nodes, a delay between sender and receiver or calls that stay away, is blamed on one of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from core.cases import Case
from core.contracts import Bools, Floats, Panel, Times
from core.domains import conventions
from core.errors import InvalidInputError, NotEnoughDataError
from core.quantities import amount
from core.rootcause import calls, parts
from core.rootcause.departure import BEST, Departure, Usual, departure, usual, window_of
from core.rootcause.metric_kinds import RESOURCES, SYMPTOMS, TRAFFIC, Kind, kind
from core.rootcause.metric_signs import changes, word
from core.rootcause.suspects import FURTHEST, Suspects, Term, near, path, soft

WHO = "headwater-cause"
SPAN = 5
"""Periods from the alarm on that are looked at; what comes later is cleaning up."""
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


@dataclass(frozen=True, eq=False)
class _Seen:
    """Departures of the rows of a panel that suspects and their neighbours have, and what they are made of."""

    rows: Mapping[str, int]
    kinds: tuple[Kind, ...]
    families: tuple[str, ...]
    metrics: tuple[str, ...]
    departure: Departure
    labels: Times
    start: int
    expected: bool
    normal: Panel | None
    values: Floats
    median: Floats

    @property
    def window(self) -> slice:
        """The periods looked at."""
        return slice(self.start, self.start + self.departure.window.shape[1])

    def family(self, node: str, names: Sequence[str]) -> float:
        """The largest departure of a node in some families, 0 where it has none."""
        row = self.rows.get(node)
        places = [place for place, name in enumerate(self.families) if name in names]
        return 0.0 if row is None or not places else float(self.departure.family[row, places].max())

    def changes(self, node: str) -> dict[str, float]:
        """Relative changes by channel; none where it was not measured, or what was expected is all that is known."""
        row = self.rows.get(node)
        if row is None or self.expected:
            return {}
        base, median = self.departure.base[row], self.median[row]
        return changes(self.metrics, self.kinds, self.values[row], self.window, base, median)

    def largest(self, names: Sequence[str]) -> dict[str, float]:
        """`family` of every observed node."""
        places = [place for place, name in enumerate(self.families) if name in names]
        most = self.departure.family[:, places].max(axis=1, initial=0.0).tolist()
        return dict(zip(self.rows, most, strict=True))


def suspects(case: Case, hops: int) -> Suspects:
    """Candidates upstream of the alarm, with their features; raises where there is nothing to compare with."""
    net, distance = case.graph.net, case.hops(FURTHEST)
    delays, answers = calls.lateness(case, SPAN)
    held = [node for node, step in distance.items() if step <= hops]
    while True:
        # what lies farther is looked at only where a trail of departures leads there
        around = dict.fromkeys([*held, *(cause for node in held for cause in net.pred[node])])
        seen = _seen(case, [node for node in around if node in distance])
        view = _View.of(case, seen, answers)
        departed = {
            node: max(view.symptom.get(node, 0.0), view.rest.get(node, 0.0), *delays.get(node, ()))
            for node in around
        }
        leading = dict(departed)
        for node in around:
            for part in parts.parts(case.graph, node):
                leading[part] = max(leading.get(part, 0.0), leading[node])
        reached = near(net, distance, hops, leading)
        if len(reached) == len(held):
            break
        held = reached
    silent = {node for node in around if node not in seen.rows and node not in delays}
    found = [node for node in held if node not in silent]
    if not found:
        rule = "observed, or upstream of it something that is"
        raise InvalidInputError.of(WHO, "the alarm's node", rule, case.alarm.node)
    starving, starved = calls.starving(case, found, SPAN)
    inherited = _inherited(case, seen, view.symptoms, silent)
    volume = _volumes(case, seen, view.symptoms, view.exact)
    onset = {node: _onset(seen, node) for node in found}
    began = min((onset[seed] for seed in case.seeds if seed in onset), default=seen.start)
    used = {node: {family: seen.family(node, (family,)) for family in RESOURCES} for node in found}
    made = parts.Parts.of(
        case, seen.normal, found, seen.kinds, seen.window, departed, leading, used
    )
    rows: dict[str, dict[str, float]] = {}
    for node in sorted(found, key=distance.__getitem__):
        causes = parts.callees(case.graph, node)
        mine = view.symptom.get(node, 0.0)
        worst = max((view.symptom.get(cause, 0.0) for cause in causes), default=0.0)
        passed = max((view.symptom.get(effect, 0.0) for effect in net.succ[node]), default=0.0)
        own = max(volume.get(node, 0.0) - sum(volume.get(cause, 0.0) for cause in causes), 0.0)
        late = delays.get(node, ())
        rows[node] = {
            "symptom": _soft(mine),
            "own": _soft(mine) - _soft(worst),
            "other": _soft(view.other.get(node, 0.0)),
            "resource": _soft(view.resource.get(node, 0.0)),
            "delay": sum(map(_soft, late)) / max(len(late), 1),
            "starving": _soft(starving.get(node, 0.0)),
            "inherited": inherited.get(node, 0.0),
            "effect": _soft(passed),
            "volume": _grown(volume.get(node, 0.0)),
            "self": _grown(own),
            "lead": min(max(began - onset[node], 0), 3) / 3.0,
            "alarms": float(distance[node] == 0),
            "hops": float(distance[node]),
        }
        departed[node] = max(departed[node], starving.get(node, 0.0))
    whole_of = made.answering(rows)
    return Suspects(
        tuple(found),
        np.array([[rows[node][name] for name in NAMES] for node in found]),
        (np.arange(len(found)),),
        np.array([departed[node] for node in found]),
        seen.labels[[onset[node] for node in found]],
        tuple(path(net, distance, departed, node) for node in found),
        tuple(
            _told(case, seen, node, delays.get(node, ()), starved.get(node, "")) for node in found
        ),
        _words(seen, found, whole_of, delays, leading),
    )


def _soft(strength: float) -> float:
    return float(soft(strength))


@dataclass(frozen=True)
class _View:
    """The same departures as the alarm sees them, by node: its kind of symptom, another, what is used up.

    symptoms : families that count as the alarm's; exact : column of its metric, where it named one
    """

    symptoms: tuple[str, ...]
    exact: int | None
    symptom: Mapping[str, float]
    other: Mapping[str, float]
    resource: Mapping[str, float]
    rest: Mapping[str, float]

    @classmethod
    def of(cls, case: Case, seen: _Seen, answers: Mapping[str, float]) -> _View:
        metric = case.alarm.metric
        wanted = (kind(metric).family,) if metric else SYMPTOMS
        symptoms = tuple(family for family in wanted if family in seen.families)
        symptoms = symptoms or tuple(family for family in seen.families if family != TRAFFIC)
        exact = seen.metrics.index(metric) if metric in seen.metrics else None
        symptom = seen.largest(symptoms)
        for node, row in seen.rows.items():
            if exact is not None:
                symptom[node] = max(symptom[node], float(seen.departure.strength[row, exact]))
        for node, slow in answers.items():
            symptom[node] = max(symptom.get(node, 0.0), slow)
        other = seen.largest(tuple(family for family in SYMPTOMS if family not in symptoms))
        resource = seen.largest(RESOURCES)
        rest = {node: max(other[node], resource[node]) for node in seen.rows}
        return cls(symptoms, exact, symptom, other, resource, rest)


# ── Departures ───────────────────────────────────────────────────────────────────────────────────


def _seen(case: Case, nodes: Sequence[str]) -> _Seen:
    panel = case.panel
    if panel is None:
        raise InvalidInputError.of(WHO, "the case", "given with a panel or events", "neither")
    names = [node for node in nodes if node in panel.row_of]
    rows = panel.rows(names)
    window = window_of(case, panel.periods.labels, SPAN)
    kinds = tuple(kind(metric) for metric in panel.metrics)
    families = tuple(dict.fromkeys(one.family for one in kinds))
    if case.reference is not None and case.spread is not None:
        # what was expected is known, period by period: nothing else has to say what is normal
        values = (panel.values - case.reference.values)[rows] / case.spread[rows]
        ordinary = _standard(values, families)
        moved, normal = departure(values, ordinary, window, kinds, families, local=False), None
    else:
        values = panel.values[rows]
        normal, places = _normal(case, panel, names, window)
        width = window.stop - window.start
        ordinary = usual(normal, places, width, kinds, families)
        moved = departure(values, ordinary, window, kinds, families)
    return _Seen(
        {name: row for row, name in enumerate(names)},
        kinds,
        families,
        panel.metrics,
        moved,
        panel.periods.labels,
        window.start,
        case.reference is not None,
        normal,
        values,
        ordinary.median,
    )


def _standard(values: Floats, families: Sequence[str]) -> Usual:
    """What is normal for standardised residuals."""
    shape = (values.shape[0], values.shape[2])
    edge = np.full(shape, 3.0)
    return Usual(np.zeros(shape), np.ones(shape), edge, edge, np.ones((shape[0], len(families))))


_pasts: WeakKeyDictionary[Panel, dict[int, Panel]] = WeakKeyDictionary()


def _normal(
    case: Case, panel: Panel, names: Sequence[str], window: slice
) -> tuple[Panel, np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """The normal panel and the rows of these nodes in it; the periods before the alarm where nothing else is known."""
    normal = case.normal
    if isinstance(normal, Panel):
        if normal.metrics != panel.metrics:
            rule = f"of the panel's metrics, {', '.join(panel.metrics[:5])}…"
            raise InvalidInputError.of(WHO, "the normal periods", rule, normal.metrics[:5])
        return normal, normal.rows(names)
    if window.start < 2 * BEST:
        rule = f"given, or at least {2 * BEST} periods before the alarm"
        raise NotEnoughDataError.of(WHO, "normal periods", rule, window.start)
    pasts = _pasts.setdefault(panel, {})
    past = pasts.setdefault(window.start, panel.select(times=slice(0, window.start)))
    return past, panel.rows(names)


def _onset(seen: _Seen, node: str) -> int:
    """The first period of the run of bad periods that the window holds or follows; the window's first without one."""
    row = seen.rows.get(node)
    if row is None:
        return seen.start
    stop = seen.start + seen.departure.window.shape[1]
    moved = seen.departure.strength[row] > 1.0
    z = np.nan_to_num(seen.departure.z[row, :stop])
    odd: Bools = np.asarray(np.max(z, axis=1, initial=0.0, where=moved) > 3.0)
    inside = np.flatnonzero(odd[seen.start :])
    if not len(inside):
        return seen.start
    first = seen.start + int(inside[0])
    while first > 0 and odd[first - 1]:
        first -= 1
    return first


# ── What is passed on ────────────────────────────────────────────────────────────────────────────


def _inherited(
    case: Case, seen: _Seen, symptoms: Sequence[str], silent: set[str]
) -> dict[str, float]:
    """Symptoms of alarming nodes that no measured cause explains, shared among the causes that were not measured."""
    net = case.graph.net
    found: dict[str, float] = {}
    for family in symptoms:
        place = seen.families.index(family) if family in seen.families else None
        if place is None:
            continue

        def measured(node: str, place: int = place) -> bool:
            row = seen.rows.get(node)
            return row is not None and bool(seen.departure.known[row, place])

        passing = {seed: float(soft(seen.family(seed, (family,)))) for seed in case.seeds}
        for _ in range(3):
            following: dict[str, float] = {}
            for node, left in passing.items():
                causes = [cause for cause in net.pred[node] if cause not in silent]
                explained = [seen.family(cause, (family,)) for cause in causes if measured(cause)]
                left = max(left - float(soft(max(explained, default=0.0))), 0.0)
                blind = [cause for cause in causes if not measured(cause)]
                for cause in blind:
                    share = left / len(blind)
                    if share > found.get(cause, 0.0):
                        found[cause] = following[cause] = share
            passing = following
    return found


def _volumes(
    case: Case, seen: _Seen, symptoms: Sequence[str], exact: int | None
) -> dict[str, float]:
    """Excess × traffic of each node, in multiples of that of the alarm's node (of the largest where it has none)."""
    traffic = [column for column, one in enumerate(seen.kinds) if one.family == TRAFFIC]
    columns = [column for column, one in enumerate(seen.kinds) if one.family in symptoms]
    columns = [
        column
        for column in (columns if exact is None else [exact])
        if seen.kinds[column].family != "latency" or MEANS.search(seen.metrics[column])
    ]
    if not traffic or not columns:
        return {}
    window, base = seen.departure.window, seen.departure.base
    calls = np.nan_to_num(window[:, :, traffic]).sum(axis=2)
    found: dict[str, float] = {}
    for column in columns:
        bad = seen.kinds[column].bad or 1
        excess = np.maximum(bad * (window[:, :, column] - base[:, None, column]), 0.0)
        volume = (np.nan_to_num(excess) * calls).sum(axis=1)
        of_alarm = max(
            (volume[seen.rows[seed]] for seed in case.seeds if seed in seen.rows), default=0.0
        )
        whole = float(of_alarm or volume.max(initial=0.0))
        if whole > 0.0:
            for node, row in seen.rows.items():
                found[node] = max(found.get(node, 0.0), float(volume[row]) / whole)
    return found


def _grown(volume: float) -> float:
    return float(np.log1p(20.0 * min(volume, 2.0)))


# ── Words ────────────────────────────────────────────────────────────────────────────────────────


def _told(
    case: Case, seen: _Seen, node: str, delays: Sequence[float], starved: str
) -> tuple[str, ...]:
    said = [] if node not in seen.rows else _moved(case, seen, seen.rows[node])
    if max(delays, default=0.0) > 1.0:
        said.append(f"Calls reach it late: {_times(max(delays))}")
    if starved:
        said.append(f"Calls {case.graph.name(starved)} less than its own traffic asks for")
    return tuple(said) or ("Itself within its normal range",)


def _moved(case: Case, seen: _Seen, row: int) -> list[str]:
    """The two metrics of a node that left normal farthest, with their values."""
    said = []
    strength = seen.departure.strength[row]
    for column in np.argsort(-strength, kind="stable")[:2].tolist():
        if strength[column] <= 1.0 or seen.kinds[column].family == TRAFFIC:
            continue
        values = seen.departure.window[row, :, column]
        before, bad = seen.departure.base[row, column], seen.kinds[column].bad
        rises = bad > 0 or (bad == 0 and np.nanmean(values) >= before)
        worst = np.nanmax(values) if rises else np.nanmin(values)
        name = seen.metrics[column]
        if seen.expected:
            way = "above" if rises else "below"
            said.append(f"{name} {abs(worst):.1f} standard deviations {way} what was expected")
        else:
            unit = case.units.get(name) or conventions.unit(name)
            change = f"{amount(before, unit)} → {amount(worst, unit)}"
            said.append(f"{name} {change}, {_times(strength[column])}")
    return said


def _times(strength: float) -> str:
    return f"{strength:.{0 if strength >= 10 else 1}f} times the edge of normal"


def _words(
    seen: _Seen,
    found: Sequence[str],
    whole_of: Mapping[str, str],
    delays: Mapping[str, Sequence[float]],
    departed: Mapping[str, float],
) -> tuple[str, ...]:
    """The kind of cause that each suspect's metrics tell, completed by those of what it answers for."""
    told: dict[str, Mapping[str, float]] = {}

    def told_by(node: str) -> Mapping[str, float]:
        if node not in told:
            above = told_by(whole_of[node]) if node in whole_of else {}
            late = {"delay": max(float(np.mean(delays[node])), 1.0) - 1.0} if node in delays else {}
            told[node] = {**above, **seen.changes(node), **late}
        return told[node]

    words = {node: word(told_by(node)) for node in found if departed[node] > 1.0}
    return tuple(words.get(node, "unknown") for node in found)
