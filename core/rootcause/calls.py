"""What is seen between two nodes: calls that arrive late, answers that are slow, calls that stay away.

A network that delays shows at neither end, only in the difference between what the caller waits and what the callee
takes. Code that gives up early shows at neither end either: it is called as ever and no longer calls what it depends on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np

from core.cases import Case
from core.contracts import Floats, Panel
from core.rootcause.departure import BEST, departure, quantiles, usual, window_of
from core.rootcause.metric_kinds import TRAFFIC, Kind, kind

LATENCY = Kind("latency", 1)
DROP = Kind("drop", -1)
SIDES = re.compile(r"[:._ ]*(source|target)(_side)?\b", re.IGNORECASE)
"""How a latency of calls says at which end it was taken; without a word it is the callee's."""
BUSY = 0.3
"""Share of its usual traffic below which a caller is too idle to be asked whom it calls."""
FEWER = 0.75
"""Share of its usual traffic below which a callee is asked whether its callers stay away."""
SMALL = 0.1
"""Share of the usual traffic that is added to both sides of a ratio: one call more or less means nothing."""

_halves: WeakKeyDictionary[Panel, Panel] = WeakKeyDictionary()
_ratios: WeakKeyDictionary[Panel, dict[tuple[tuple[str, str], ...], Panel]] = WeakKeyDictionary()


def lateness(case: Case, span: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """By callee: how late its calls arrive, a number per caller, and how slow its answers are; 1 = the edge of normal.

    Empty where no calls were observed.
    """
    if case.edges is None or case.normal_edges is None:
        return {}, {}
    observed, normal = _halved(case.edges), _halves.get(case.normal_edges)
    if normal is None:
        normal = _halves[case.normal_edges] = _halved(case.normal_edges)
    kinds = (LATENCY,) * len(observed.metrics)
    window = window_of(case, observed.periods.labels, span)
    rows = normal.rows(observed.entities)
    families = (LATENCY.family,)
    ordinary = usual(normal, rows, window.stop - window.start, kinds, families)
    strength = departure(observed.values, ordinary, window, kinds, families).strength
    delays: dict[str, list[float]] = {}
    answers: dict[str, float] = {}
    late = [place for place, name in enumerate(observed.metrics) if name.startswith("delay")]
    slow = [place for place, name in enumerate(observed.metrics) if name.startswith("answer")]
    for row, arrow in enumerate(observed.entities):
        callee = arrow.partition("→")[2]
        delays.setdefault(callee, []).append(float(strength[row, late].max(initial=0.0)))
        slowest = float(strength[row, slow].max(initial=0.0))
        answers[callee] = max(answers.get(callee, 0.0), slowest)
    return delays, answers


def _halved(calls: Panel) -> Panel:
    """What the caller waits beyond the callee's own time (delay), and that time (answer), of each latency of calls."""
    sides: dict[str, dict[str, int]] = {}
    for column, metric in enumerate(calls.metrics):
        if kind(metric).family == LATENCY.family:
            side = SIDES.search(metric)
            end = "target" if side is None else side[1].lower()
            sides.setdefault(SIDES.sub("", metric), {})[end] = column
    made: dict[str, Floats] = {}
    for name, columns in sides.items():
        if "target" in columns:
            made[f"answer {name}"] = calls.values[:, :, columns["target"]]
            if "source" in columns:
                source = calls.values[:, :, columns["source"]]
                made[f"delay {name}"] = source - made[f"answer {name}"]
    values = np.stack(list(made.values()), axis=2) if made else calls.values[:, :, :0]
    return Panel(values, calls.entities, tuple(made), calls.periods)


def starving(
    case: Case, nodes: Sequence[str], span: int
) -> tuple[dict[str, float], dict[str, str]]:
    """By caller: how far the calls to a node it depends on fell below what its own traffic asks for, and that node.

    Compares nodes of the same level only: a service that calls a service, not a pod that runs on a node.
    """
    panel, normal = case.panel, case.normal
    if panel is None or not isinstance(normal, Panel):
        return {}, {}
    traffic = next(
        (c for c, name in enumerate(panel.metrics) if kind(name).family == TRAFFIC), None
    )
    if traffic is None:
        return {}, {}
    net, level = case.graph.net, case.graph.level
    known = [
        node for node in dict.fromkeys([*nodes, *_causes(case, nodes)]) if node in panel.row_of
    ]
    window = window_of(case, panel.periods.labels, span)
    usually = dict(zip(known, _usually(normal, known, traffic), strict=True))
    here = np.nan_to_num(panel.values[panel.rows(known)][:, window, traffic])
    lowest = np.sort(here, axis=1)[:, :BEST].mean(axis=1)
    fewer = {
        node
        for node, low in zip(known, lowest.tolist(), strict=True)
        if low < FEWER * usually[node]
    }
    pairs = tuple(
        (callee, caller)
        for caller in nodes
        if usually.get(caller, 0.0) > 0.0
        for callee in net.pred[caller]
        if callee in fewer and level(caller) == level(callee)
    )
    if not pairs:
        return {}, {}
    ratios = _ratios.setdefault(normal, {})
    if pairs not in ratios:
        ratios[pairs] = _ratio(normal, pairs, traffic, usually)
    observed = _ratio(panel, pairs, traffic, usually)
    rows, width = np.arange(len(pairs)), window.stop - window.start
    ordinary = usual(ratios[pairs], rows, width, (DROP,), (DROP.family,))
    moved = departure(observed.values, ordinary, window, (DROP,), (DROP.family,))
    worst: dict[str, float] = {}
    whom: dict[str, str] = {}
    for (callee, caller), strength in zip(pairs, moved.strength[:, 0].tolist(), strict=True):
        if strength > worst.get(caller, 0.0):
            worst[caller] = strength
            if strength > 1.0:
                whom[caller] = callee
    return worst, whom


def _causes(case: Case, nodes: Sequence[str]) -> list[str]:
    return [cause for node in nodes for cause in case.graph.net.pred[node]]


def _usually(normal: Panel, nodes: Sequence[str], column: int) -> list[float]:
    """Median traffic of each node, silence counted as none."""
    values = np.nan_to_num(normal.values[normal.rows(nodes)][:, :, column])
    medians: list[float] = quantiles(values[:, :, None], (0.5,))[0][:, 0].tolist()
    return medians


def _ratio(
    panel: Panel, pairs: Sequence[tuple[str, str]], column: int, usually: dict[str, float]
) -> Panel:
    """log(traffic of the callee / traffic of the caller) over time, NaN where the caller itself is all but idle."""
    sides, medians = [], []
    for side in (0, 1):
        names = [pair[side] for pair in pairs]
        sides.append(np.nan_to_num(panel.values[panel.rows(names)][:, :, column]))
        medians.append(np.array([usually[name] for name in names])[:, None])
    above, below = (side + SMALL * median for side, median in zip(sides, medians, strict=True))
    busy = sides[1] > BUSY * medians[1]
    ratio = np.log(above, where=busy, out=np.full(busy.shape, np.nan)) - np.log(
        below, where=busy, out=np.full(busy.shape, np.nan)
    )
    arrows = tuple(f"{callee}→{caller}" for callee, caller in pairs)
    return Panel(ratio[:, :, None], arrows, ("drop",), panel.periods)
