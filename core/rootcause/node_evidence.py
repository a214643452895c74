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
from core.errors import InvalidInputError, NotEnoughDataError
from core.rootcause.departure import BEST, Departure, Usual, departure, usual
from core.rootcause.metric_kinds import RESOURCES, SYMPTOMS, TRAFFIC, Kind, kind
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
)
NAMES = tuple(term.name for term in TERMS)
LATENCY = (Kind("latency", 1),)
DROP = (Kind("drop", -1),)
SIDES = re.compile(r"[:._ ]*(source|target)(_side)?\b", re.IGNORECASE)
MEANS = re.compile(r"average|avg|mean", re.IGNORECASE)
"""Latencies that times a count are time spent; a percentile is not."""
CAUSES: Mapping[str, str] = {
    "cpu": "cpu_saturation",
    "memory": "memory_leak",
    "disk": "disk_full",
    "delay": "network_latency",
}
"""What a leading departure suggests; a symptom alone suggests nothing."""


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

    def family(self, node: str, names: Sequence[str]) -> float:
        """The largest departure of a node in some families, 0 where it has none."""
        row = self.rows.get(node)
        places = [place for place, name in enumerate(self.families) if name in names]
        return 0.0 if row is None or not places else float(self.departure.family[row, places].max())


def suspects(case: Case, hops: int) -> Suspects:
    """Candidates upstream of the alarm, with their features; raises where there is nothing to compare with."""
    distance = case.hops(FURTHEST)
    seen = _seen(case, distance)
    alarming = kind(case.alarm.metric).family if case.alarm.metric else ""
    symptoms = (alarming,) if alarming else tuple(f for f in SYMPTOMS if f in seen.families)
    symptoms = symptoms or tuple(family for family in seen.families if family != TRAFFIC)
    others = tuple(family for family in SYMPTOMS if family not in symptoms)
    delays, answers = _calls(case)
    net = case.graph.net
    exact = seen.metrics.index(case.alarm.metric) if case.alarm.metric in seen.metrics else None
    symptom, departed = {}, {}
    for node in distance:
        row = seen.rows.get(node)
        named = 0.0 if row is None or exact is None else seen.departure.strength[row, exact]
        symptom[node] = max(seen.family(node, symptoms), answers.get(node, 0.0), float(named))
        rest = seen.family(node, (*others, *RESOURCES))
        departed[node] = max(symptom[node], rest, *delays.get(node, ()))
    silent = {node for node in distance if node not in seen.rows and node not in delays}
    found = [node for node in near(net, distance, hops, departed) if node not in silent]
    if not found:
        rule = "observed, or upstream of it something that is"
        raise InvalidInputError.of(WHO, "the alarm's node", rule, case.alarm.node)
    starving, starved = _starving(case, seen, found)
    inherited = _inherited(case, seen, symptoms, silent)
    volume = _volumes(case, seen, symptoms, exact)
    onset = {node: _onset(seen, node) for node in found}
    began = min(onset.get(seed, seen.start) for seed in case.seeds)
    rows, told, kinds = [], [], []
    for node in found:
        causes, effects = list(net.pred[node]), list(net.succ[node])
        worst = float(soft(max((symptom.get(other, 0.0) for other in causes), default=0.0)))
        mine = float(soft(symptom[node]))
        late = [float(soft(one)) for one in delays.get(node, ())]
        own = max(volume.get(node, 0.0) - sum(volume.get(other, 0.0) for other in causes), 0.0)
        values = {
            "symptom": mine,
            "own": mine - worst,
            "other": float(soft(seen.family(node, others))),
            "resource": float(soft(seen.family(node, RESOURCES))),
            "delay": float(np.mean(late)) if late else 0.0,
            "starving": float(soft(starving.get(node, 0.0))),
            "inherited": inherited.get(node, 0.0),
            "effect": float(soft(max((symptom.get(e, 0.0) for e in effects), default=0.0))),
            "volume": _grown(volume.get(node, 0.0)),
            "self": _grown(own),
            "lead": min(max(began - onset[node], 0), 3) / 3.0,
            "alarms": float(distance[node] == 0),
            "hops": float(distance[node]),
        }
        rows.append([values[name] for name in NAMES])
        departed[node] = max(departed[node], starving.get(node, 0.0))
        told.append(_told(case, seen, node, delays.get(node, ()), starved.get(node, "")))
        kinds.append(_kind(seen, node, max(delays.get(node, (0.0,)))))
    return Suspects(
        tuple(found),
        np.array(rows),
        (np.arange(len(found)),),
        np.array([departed[node] for node in found]),
        seen.labels[[onset[node] for node in found]],
        tuple(path(net, distance, departed, node) for node in found),
        tuple(told),
        tuple(kinds),
    )


# ── Departures ───────────────────────────────────────────────────────────────────────────────────


def _seen(case: Case, distance: Mapping[str, int]) -> _Seen:
    panel = case.panel
    if panel is None:
        raise InvalidInputError.of(WHO, "the case", "given with a panel or events", "neither")
    names = [node for node in panel.entities if node in distance]
    rows = panel.rows(names)
    window = _window(case, panel.periods.labels)
    kinds = tuple(kind(metric) for metric in panel.metrics)
    families = tuple(dict.fromkeys(one.family for one in kinds))
    if case.reference is not None and case.spread is not None:
        # what was expected is known, period by period: nothing else has to say what is normal
        values = (panel.values - case.reference.values)[rows] / case.spread[rows]
        ordinary = _standard(values, families)
        moved = departure(values, ordinary, window, kinds, families, local=False)
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
    )


def _window(case: Case, labels: Times) -> slice:
    """The periods from the alarm on; the one in which it fell where none begins after it."""
    start = int(np.searchsorted(labels, case.alarm.at))
    start = min(start, len(labels) - 1)
    return slice(start, min(start + SPAN, len(labels)))


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


# ── Calls ────────────────────────────────────────────────────────────────────────────────────────


_halves: WeakKeyDictionary[Panel, Panel] = WeakKeyDictionary()


def _calls(case: Case) -> tuple[dict[str, list[float]], dict[str, float]]:
    """By callee: how late its calls arrive, by caller, and how slow its answers are; both 1 = the edge of normal."""
    if case.edges is None or case.normal_edges is None:
        return {}, {}
    observed = _halved(case.edges)
    normal = _halves.get(case.normal_edges)
    if normal is None:
        normal = _halves.setdefault(case.normal_edges, _halved(case.normal_edges))
    kinds = LATENCY * len(observed.metrics)
    window = _window(case, observed.periods.labels)
    places = normal.rows(observed.entities)
    families = ("latency",)
    ordinary = usual(normal, places, window.stop - window.start, kinds, families)
    moved = departure(observed.values, ordinary, window, kinds, families)
    delays: dict[str, list[float]] = {}
    answers: dict[str, float] = {}
    late = [place for place, name in enumerate(observed.metrics) if name.startswith("delay")]
    slow = [place for place, name in enumerate(observed.metrics) if name.startswith("answer")]
    for row, arrow in enumerate(observed.entities):
        callee = arrow.partition("→")[2]
        delays.setdefault(callee, []).append(float(moved.strength[row, late].max(initial=0.0)))
        slowest = float(moved.strength[row, slow].max(initial=0.0))
        answers[callee] = max(answers.get(callee, 0.0), slowest)
    return delays, answers


def _halved(calls: Panel) -> Panel:
    """What the caller waits beyond the callee's own time (delay), and that time (answer), of each latency of calls."""
    sides: dict[str, dict[str, int]] = {}
    for column, metric in enumerate(calls.metrics):
        side = SIDES.search(metric)
        if kind(metric).family == "latency":
            name = metric if side is None else SIDES.sub("", metric)
            sides.setdefault(name, {})["target" if side is None else side[1].lower()] = column
    made: dict[str, Floats] = {}
    for name, columns in sides.items():
        if "target" in columns:
            made[f"answer {name}"] = calls.values[:, :, columns["target"]]
            if "source" in columns:
                source = calls.values[:, :, columns["source"]]
                made[f"delay {name}"] = source - made[f"answer {name}"]
    values = np.stack(list(made.values()), axis=2) if made else calls.values[:, :, :0]
    return Panel(values, calls.entities, tuple(made), calls.periods)


_ratios: WeakKeyDictionary[Panel, dict[tuple[tuple[str, str], ...], Panel]] = WeakKeyDictionary()


def _starving(
    case: Case, seen: _Seen, found: Sequence[str]
) -> tuple[dict[str, float], dict[str, str]]:
    """By caller: how far the calls to a node it depends on fell below what its own traffic asks for, and that node."""
    panel, normal = case.panel, case.normal
    traffic = [column for column, one in enumerate(seen.kinds) if one.family == TRAFFIC]
    if panel is None or not isinstance(normal, Panel) or not traffic:
        return {}, {}
    net, level = case.graph.net, case.graph.level
    pairs = tuple(
        (callee, caller)
        for caller in found
        for callee in net.pred[caller]
        if caller in seen.rows and callee in seen.rows and level(caller) == level(callee)
    )
    if not pairs:
        return {}, {}
    column = traffic[0]
    usually = np.nanmedian(
        np.where(np.isfinite(normal.values[:, :, column]), normal.values[:, :, column], 0.0), axis=1
    )
    level_of = dict(zip(normal.entities, usually.tolist(), strict=True))
    known = _ratios.setdefault(normal, {})
    if pairs not in known:
        known[pairs] = _ratio(normal, pairs, column, level_of)
    observed = _ratio(panel, pairs, column, level_of)
    window = _window(case, panel.periods.labels)
    width = window.stop - window.start
    ordinary = usual(known[pairs], np.arange(len(pairs)), width, DROP, ("drop",))
    moved = departure(observed.values, ordinary, window, DROP, ("drop",))
    worst: dict[str, float] = {}
    whom: dict[str, str] = {}
    for row, (callee, caller) in enumerate(pairs):
        strength = float(moved.strength[row, 0])
        if strength > worst.get(caller, 0.0):
            worst[caller] = strength
            if strength > 1.0:
                whom[caller] = callee
    return worst, whom


def _ratio(
    panel: Panel, pairs: Sequence[tuple[str, str]], column: int, usually: Mapping[str, float]
) -> Panel:
    """log(traffic of the callee / traffic of the caller) over time, NaN where the caller itself is all but idle."""
    values = np.nan_to_num(panel.values[:, :, column])
    callees, callers = (panel.rows([pair[side] for pair in pairs]) for side in (0, 1))
    usual_callee, usual_caller = (
        np.array([usually[pair[side]] for pair in pairs])[:, None] for side in (0, 1)
    )
    below, above = values[callees] + 0.1 * usual_callee, values[callers] + 0.1 * usual_caller
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(below / above)
    busy = (values[callers] > 0.3 * usual_caller) & (usual_callee > 0.0)
    names = tuple(f"{callee}→{caller}" for callee, caller in pairs)
    return Panel(np.where(busy, ratio, np.nan)[:, :, None], names, ("drop",), panel.periods)


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
    said = [] if node not in seen.rows else _moved(seen, seen.rows[node])
    if max(delays, default=0.0) > 1.0:
        said.append(f"Calls reach it late: {max(delays):.1f} times the edge of normal")
    if starved:
        said.append(f"Calls {case.graph.name(starved)} less than its own traffic asks for")
    return tuple(said) or ("Itself within its normal range",)


def _moved(seen: _Seen, row: int) -> list[str]:
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
        name, edges = seen.metrics[column], f"{strength[column]:.1f} times the edge of normal"
        if seen.expected:
            way = "above" if rises else "below"
            said.append(f"{name} {abs(worst):.1f} standard deviations {way} what was expected")
        else:
            said.append(f"{name} {before:.4g} → {worst:.4g}, {edges}")
    return said


def _kind(seen: _Seen, node: str, delay: float) -> str:
    strengths = {family: seen.family(node, (family,)) for family in RESOURCES} | {"delay": delay}
    leading = max(strengths, key=lambda family: strengths[family])
    return CAUSES[leading] if strengths[leading] > 1.0 else "unknown"
