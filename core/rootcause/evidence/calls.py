"""What is seen between two nodes: calls that arrive late, answers that are slow, calls that stay away.

A network that delays shows at neither end, only in the difference between what the caller waits and what the callee
takes. Code that gives up early shows at neither end either: it is called as ever and no longer calls what it depends on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from core.cases import Case, Edges, Numbers
from core.contracts import Bools, Floats, Panel
from core.rootcause.evidence.departure import (
    BEST,
    departure,
    quantiles,
    remembered,
    usual,
    usual_of,
    window_of,
)
from core.rootcause.evidence.metric_kinds import TRAFFIC, Kind, kind
from core.rootcause.evidence.suspects import soft

ARROW = "→"
"""Between caller and callee in the name of a call."""
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
WHOLE = np.ones(1)
"""The size of a ratio's logarithm beside which one that never moved is judged."""

_halves: WeakKeyDictionary[Panel, Panel] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Lateness:
    """What callers see of each node of a graph; 1 = the edge of normal.

    heard  : (n,) whether calls to it were observed
    delay  : (n,) how late its calls arrive, the mean over its callers; `worst` the latest of them, `felt` the mean of
             their strengths as features
    answer : (n,) how slow its slowest answers are
    """

    heard: Bools
    delay: Floats
    worst: Floats
    felt: Floats
    answer: Floats


def lateness(case: Case, asked: Bools, span: int) -> Lateness:
    """How late the calls and answers of some nodes (n,) are; nothing is heard where no calls were observed."""
    number = case.graph.wiring.number
    if case.edges is None or case.normal_edges is None:
        silence = np.zeros(len(number))
        return Lateness(silence > 0.0, silence, silence, silence, silence)
    observed, normal = halved(case.edges), halved(case.normal_edges)
    kinds = (LATENCY,) * len(observed.metrics)
    window = window_of(case, observed.periods.labels, span)
    callees = np.array([number.get(arrow.partition(ARROW)[2], -1) for arrow in observed.entities])
    arrows = np.flatnonzero((callees >= 0) & np.append(asked, False)[callees])
    rows = normal.rows(observed.entities[arrow] for arrow in arrows.tolist())
    known = usual(normal, rows, window.stop - window.start, kinds)
    strength = departure(observed.values[arrows], known, window, kinds).strength
    late, slow = (
        strength[:, [name.startswith(what) for name in observed.metrics]].max(axis=1, initial=0.0)
        for what in ("delay", "answer")
    )
    calls = Edges(len(number), np.arange(len(arrows)), callees[arrows])
    many = calls.sums(np.ones(len(arrows)))
    mean = [calls.sums(values) / np.maximum(many, 1.0) for values in (late, soft(late))]
    return Lateness(many > 0.0, mean[0], calls.most(late), mean[1], calls.most(slow))


def halved(calls: Panel) -> Panel:
    """What the caller waits beyond the callee's own time (delay), and that time (answer), of each latency of calls."""
    if calls not in _halves:
        _halves[calls] = _halved(calls)
    return _halves[calls]


def _halved(calls: Panel) -> Panel:
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


# ── Calls that stay away ─────────────────────────────────────────────────────────────────────────


def starving(case: Case, asked: Bools, span: int) -> tuple[Floats, Numbers]:
    """How far the calls of each node to one that it depends on fell below what its own traffic asks for, and that node.

    asked : (n,) the callers. Compares nodes of the same level only: a service that calls a service, not a pod that
    runs on a node. Returns (n,) strengths, 1 = the edge of normal, and (n,) numbers, −1 where no calls stay away.
    """
    wiring, panel, normal = case.graph.wiring, case.panel, case.normal
    worst, whom = np.zeros(len(asked)), np.full(len(asked), -1)
    columns = [] if panel is None else [kind(name).family == TRAFFIC for name in panel.metrics]
    if panel is None or not isinstance(normal, Panel) or not any(columns):
        return worst, whom
    column, calls = columns.index(True), wiring.calls
    here, there = wiring.rows(panel.entities), wiring.rows(normal.entities)
    window = window_of(case, panel.periods.labels, span)
    measured = (here >= 0) & (there >= 0)
    kept = (asked & measured)[calls.end] & measured[calls.start]
    nodes = np.unique(np.concatenate([calls.start[kept], calls.end[kept]]))
    usually, fewer = np.zeros(len(asked)), np.zeros(len(asked), dtype=bool)
    usually[nodes] = _traffic(normal, there[nodes], column)
    now = np.nan_to_num(panel.values[:, window, column][here[nodes]])
    fewer[nodes] = np.sort(now, axis=1)[:, :BEST].mean(axis=1) < FEWER * usually[nodes]
    rows = np.flatnonzero(kept & fewer[calls.start] & (usually[calls.end] > 0.0))

    def ratio(traffic: Floats, row_of: Numbers, some: Numbers) -> Floats:
        ends = calls.start[some], calls.end[some]
        return _ratio(*((np.nan_to_num(traffic[row_of[end]]), usually[end]) for end in ends))

    width, many = window.stop - window.start, len(calls.start)
    known = usual_of(
        normal,
        ("calls", wiring, column),
        many,
        rows,
        width,
        (DROP,),
        WHOLE,
        lambda some: ratio(normal.values[:, :, column], there, some),
    )
    observed = ratio(panel.values[:, :, column], here, rows)
    moved = departure(observed, known, window, (DROP,)).strength[:, 0]
    calls = calls.where(rows)
    np.maximum.at(worst, calls.end, moved)
    first = np.flatnonzero((moved > 1.0) & (moved == worst[calls.end]))[::-1]
    whom[calls.end[first]] = calls.start[first]
    return worst, whom


def _traffic(normal: Panel, rows: Numbers, column: int) -> Floats:
    """(n,) median traffic of each row, silence counted as none."""

    def work(some: Numbers) -> list[Floats]:
        return [quantiles(np.nan_to_num(normal.values[:, :, column][some]), (0.5,))[0][:, None]]

    many = len(normal.entities)
    return remembered(normal, ("traffic", column), many, rows, (1,), work)[0][:, 0]


def _ratio(callee: tuple[Floats, Floats], caller: tuple[Floats, Floats]) -> Floats:
    """(n, n_time, 1) log(traffic of the callee / traffic of the caller), NaN where the caller itself is all but idle.

    Of each side its traffic (n, n_time) and the median of it (n,).
    """
    busy = caller[0] > BUSY * caller[1][:, None]
    with np.errstate(divide="ignore"):
        log_above, log_below = (
            np.log(side + SMALL * median[:, None], where=busy, out=np.full(busy.shape, np.nan))
            for side, median in (callee, caller)
        )
        return np.asarray((log_above - log_below)[:, :, None])
