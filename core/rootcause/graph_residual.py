"""`graph-residual`: what is odd about a node beyond what its own causes explain.

A node whose callee is as odd as itself only passes trouble on. A root is odd while what it depends on is not, and the
oddness runs from it to the alarm without a break.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from core.cases import Case, Cause, Localizer
from core.contracts import Panel, Params, Tags, param
from core.rootcause.evidence.calls import ARROW
from core.rootcause.surprise import Usual, causes, median, surprise

SEEN_BY_CALLER, SEEN_BY_CALLEE = ":source_side", ":target_side"
_CALLS: WeakKeyDictionary[Panel, Usual | None] = WeakKeyDictionary()
"""What is usual of the ways between, by the panel of normal calls, which cases share."""


@dataclass(frozen=True)
class GraphResidualParams(Params):
    odd: float = param(
        5.0,
        help="Deviation from which a node counts as odd",
        low=0.5,
        high=50.0,
        unit="robust sd",
    )
    chain: float = param(
        1.0, help="Weight of a chain of odd nodes that leads to the alarm", low=0.0, high=10.0
    )


class GraphResidual(Localizer):
    """Ranks nodes by their own deviation less the largest of what they depend on.

    Needs a graph whose edges carry the trouble, and normal periods. Good for: calls that wait for one another, where
    the slow one at the far end is the root. Bad for: faults that do not show in what a node shares with its callers; a
    missing edge. Score: difference of log deviations, plus the chain's. Cost: one search of the graph per case.
    """

    name = "graph-residual"
    source = "Hardt et al., PetShop, CLeaR 2024, anomaly traversal; Budhathoki et al., ICML 2022, outliers and their noise"
    tags = Tags(trained=False)
    works_on = ("metrics", "events")
    Params = GraphResidualParams

    def _find(self, scorer: Any, case: Case) -> list[Cause]:
        p: GraphResidualParams = self.params
        found = surprise(case)
        unit = p.odd if case.kind == "metrics" else found.clear
        size = {
            node: math.log1p(strength / unit)
            for node, strength in zip(found.nodes, found.strength.tolist(), strict=True)
        }
        for node, strength in _late_calls(case).items():
            size[node] = max(size.get(node, 0.0), math.log1p(strength / unit))
        odd = {node for node, value in size.items() if value >= math.log(2.0)}
        chains = _chains(case, size, odd)
        terms = {}
        for node in found.nodes:
            below = max((size.get(parent, 0.0) for parent in case.graph.parents(node)), default=0.0)
            own = {"own": size[node], "explained": -below}
            root = not odd.intersection(case.graph.parents(node))
            if node in chains and root:
                own["chain"] = p.chain * chains[node]
            if size[node] > 0:
                terms[node] = own
        return causes(case, found, terms)


def _chains(case: Case, size: Mapping[str, float], odd: set[str]) -> dict[str, float]:
    """Odd nodes from which odd nodes alone lead to an alarm, with the sum along the way (the shortest such way)."""
    reached = {}
    rising = [(0, number, seed, size.get(seed, 0.0)) for number, seed in enumerate(case.seeds)]
    order = count(len(rising))
    while rising:
        hops, _, node, total = heapq.heappop(rising)
        if node in reached:
            continue
        reached[node] = total
        for parent in case.graph.parents(node):
            if parent in odd and parent not in reached:
                heapq.heappush(rising, (hops + 1, next(order), parent, total + size[parent]))
    return {node: total for node, total in reached.items() if node in odd}


def _late_calls(case: Case) -> dict[str, float]:
    """By callee, how far the time that its callers wait exceeds the time that it takes: what the way between costs."""
    if case.edges is None or case.normal_edges is None or not len(case.edges.periods):
        return {}
    now = _between(case.edges)
    if now is None:
        return {}
    if case.normal_edges not in _CALLS:
        normal = _between(case.normal_edges)
        _CALLS[case.normal_edges] = None if normal is None else Usual.of(normal)
    own = _CALLS[case.normal_edges]
    if own is None:
        return {}
    ends = now.periods.labels + now.periods.step
    first = min(int(np.searchsorted(ends, case.alarm.at, side="right")), len(ends) - 1)
    late = median(own.deviations(now.values[:, first:])).max(axis=1)
    found: dict[str, float] = {}
    for arrow, value in zip(now.entities, late.tolist(), strict=True):
        callee = arrow.rpartition(ARROW)[2]
        if value > found.get(callee, 0.0):
            found[callee] = value
    return found


def _between(panel: Panel) -> Panel | None:
    """What callers see less what callees see, of every metric told from both sides."""
    seen = [m.removesuffix(SEEN_BY_CALLER) for m in panel.metrics if m.endswith(SEEN_BY_CALLER)]
    pairs = [
        (m + SEEN_BY_CALLER, m + SEEN_BY_CALLEE)
        for m in seen
        if m + SEEN_BY_CALLEE in panel.metrics
    ]
    if not pairs:
        return None
    apart = [panel.metric(caller) - panel.metric(callee) for caller, callee in pairs]
    return panel.with_values(np.stack(apart, axis=2), [caller for caller, _ in pairs])
