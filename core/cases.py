"""What root-cause analysis is asked and answers: `Graph` and `Case` go in, `Cause`s come out of a `Localizer`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import networkx as nx
import numpy as np

from core import lifecycle
from core.contracts import Algorithm, Floats, Panel, Tags
from core.errors import UnknownNameError


@dataclass(frozen=True, eq=False)
class Graph:
    """A hierarchy or dependency DAG; edges run from cause to effect (parent → child).

    Nodes carry `level` and `name`; edges may carry `valid_from` and `valid_to` (datetime64, half open).
    """

    net: nx.DiGraph[str]

    def level(self, node: str) -> str:
        """Level of a node, or "" where it has none."""
        return str(self.net.nodes[node].get("level", ""))

    def name(self, node: str) -> str:
        """Display name of a node; its id where it has none."""
        return str(self.net.nodes[node].get("name") or node)

    def parents(self, node: str) -> tuple[str, ...]:
        return tuple(self.net.predecessors(node))

    def children(self, node: str) -> tuple[str, ...]:
        return tuple(self.net.successors(node))

    def ancestors(self, node: str, hops: int) -> dict[str, int]:
        """Ancestors within `hops`, each with its distance ≥ 1."""
        return _reach(self.net.pred, node, hops)

    def descendants(self, node: str, hops: int) -> dict[str, int]:
        """Descendants within `hops`, each with its distance ≥ 1."""
        return _reach(self.net.succ, node, hops)

    def at(self, when: np.datetime64) -> Graph:
        """The graph of the edges valid at `when`."""

        def valid(source: str, target: str) -> bool:
            edge = self.net.edges[source, target]
            start, end = edge.get("valid_from"), edge.get("valid_to")
            return (start is None or start <= when) and (end is None or when < end)

        return Graph(nx.subgraph_view(self.net, filter_edge=valid))


def _reach(neighbours: Mapping[str, Iterable[str]], start: str, hops: int) -> dict[str, int]:
    found = {start: 0}
    frontier = [start]
    for distance in range(1, hops + 1):
        frontier = [
            node
            for source in frontier
            for node in neighbours[source]
            if found.setdefault(node, distance) == distance and node != start
        ]
        frontier = list(dict.fromkeys(frontier))
        if not frontier:
            break
    del found[start]
    return found


@dataclass(frozen=True)
class Alarm:
    """What was noticed: a node, when (a period label), and the metric where one stands out."""

    node: str
    at: np.datetime64
    metric: str = ""


@dataclass(frozen=True, eq=False)
class Case:
    """Everything a localizer may look at.

    panel     : observed metrics of every node, (n_node, n_time, n_metric)
    reference : expected metrics, same shape
    spread    : standard deviation of observed − expected, same shape
    p_values  : calibrated anomaly p-values, (n_node, n_time), of the nodes of `panel`
    alpha     : the p-value below which a node counts as anomalous
    settings  : what was set, by node: {node: {"budget": (before, after), …}}
    """

    graph: Graph
    alarm: Alarm
    panel: Panel | None = None
    reference: Panel | None = None
    spread: Floats | None = None
    p_values: Floats | None = None
    alpha: float = 0.01
    settings: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    events: Any = None
    cube: Any = None
    edge_series: Any = None


@dataclass(frozen=True)
class Cause:
    """One candidate source.

    path       : nodes from the cause to the alarm's node
    hops       : edges on that path
    terms      : the parts of `score`, by name, each as it entered the sum
    confidence : 0…1, the share of belief against the other candidates and "no cause"
    evidence   : sentences with numbers and units
    """

    node: str
    type: str
    onset: np.datetime64
    path: tuple[str, ...]
    hops: int
    terms: Mapping[str, float]
    score: float
    confidence: float
    evidence: tuple[str, ...] = ()


# ── The contract ──


class Localizer(Algorithm):
    """Finds where an alarm started."""

    kind = "localizer"
    tags = Tags(trained=False)

    @final
    def find(self, case: Case) -> list[Cause]:
        """Candidates, best first; an empty list says that no cause was found."""
        nodes = case.graph.net.number_of_nodes()
        times = 1 if case.panel is None else len(case.panel.periods)
        with lifecycle.operation(self.name, self.model_id, "find", nodes, times, self.tags.extra):
            if case.alarm.node not in case.graph.net:
                raise UnknownNameError.of(
                    self.name, "the alarm's node", "in the graph", case.alarm.node
                )
            causes = self._find(self.scorer, case)
        return sorted(causes, key=lambda cause: (-cause.score, cause.hops, cause.node))

    @abstractmethod
    def _find(self, scorer: Any, case: Case) -> list[Cause]: ...
