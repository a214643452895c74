"""What root-cause analysis is asked and answers: `Graph` and `Case` go in, `Cause`s come out of a `Localizer`."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Self, final

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from core import lifecycle
from core.contracts import Algorithm, Bools, Floats, Panel, Tags, Times
from core.errors import InvalidInputError, UnknownNameError
from core.events import EventTable

Numbers = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Edges:
    """Some edges of a graph of `nodes` nodes, by the numbers of their ends."""

    nodes: int
    start: Numbers
    end: Numbers

    @property
    def back(self) -> Edges:
        """The same edges the other way round."""
        return Edges(self.nodes, self.end, self.start)

    def where(self, kept: Bools | Numbers) -> Edges:
        """Those for which `kept` (n_edge,) holds, or those of these places."""
        return Edges(self.nodes, self.start[kept], self.end[kept])

    def among(self, kept: Bools) -> Edges:
        """Those between nodes for which `kept` (n,) holds."""
        return self.where(kept[self.start] & kept[self.end])

    def most(self, values: Floats) -> Floats:
        """(n,) the largest of the values (n,) from which an edge leads to each node, 0 where none is larger."""
        found = np.zeros(self.nodes)
        np.maximum.at(found, self.end, values[self.start])
        return found

    def sums(self, values: Floats) -> Floats:
        """(n,) the sum of the values (n,) from which edges lead to each node."""
        sums = np.bincount(self.end, values[self.start], minlength=self.nodes)
        return sums.astype(np.float64)

    def carried(self, values: Floats) -> Floats:
        """(n,) the largest value of a node and all those from which edges lead to it, however many."""
        while True:
            further = np.maximum(values, self.most(values))
            if np.array_equal(further, values):
                return values
            values = further

    def reached(self, nodes: Bools) -> Bools:
        """(n,) whether an edge leads to a node from one of these (n,)."""
        found = np.zeros(self.nodes, dtype=bool)
        found[self.end[nodes[self.start]]] = True
        return found


@dataclass(frozen=True, eq=False)
class Wiring:
    """A graph by number, for what is asked of all its nodes at once.

    number       : node → its place in `nodes`
    calls, parts : the edges within a level and those between two; all of them where nodes have no level are calls
    """

    nodes: tuple[str, ...]
    number: Mapping[str, int]
    edges: Edges
    calls: Edges
    parts: Edges

    @classmethod
    def of(cls, net: nx.DiGraph[str]) -> Wiring:
        number = {node: place for place, node in enumerate(net)}
        ends = [(number[source], number[target]) for source, target in net.edges]
        start, end = np.array(ends, dtype=np.intp).reshape(-1, 2).T
        codes: dict[str, int] = {}
        levels = (str(level) for _, level in net.nodes(data="level", default=""))
        level = np.array([codes.setdefault(one, len(codes)) for one in levels], dtype=np.intp)
        edges, within = Edges(len(number), start, end), level[start] == level[end]
        return cls(tuple(number), number, edges, edges.where(within), edges.where(~within))

    def rows(self, entities: tuple[str, ...]) -> Numbers:
        """(n,) the place of each node among entities, −1 where it is none of them."""
        return _rows(self, entities)

    def hops(self, starts: Iterable[str], most: int) -> Numbers:
        """(n,) edges from each node down to the nearest of `starts`, −1 where that is more than `most`."""
        found = np.full(len(self.nodes), -1)
        found[[self.number[start] for start in starts]] = 0
        for step in range(1, most + 1):
            before = self.edges.back.reached(found == step - 1) & (found < 0)
            if not before.any():
                break
            found[before] = step
        return found


@lru_cache(maxsize=8)
def _rows(wiring: Wiring, entities: tuple[str, ...]) -> Numbers:
    row_of = {entity: row for row, entity in enumerate(entities)}
    return np.array([row_of.get(node, -1) for node in wiring.nodes], dtype=np.intp)


@dataclass(frozen=True, eq=False)
class Graph:
    """A hierarchy or a dependency graph; edges run from cause to effect (parent → child, callee → caller).

    A graph of calls may hold cycles. Nodes carry `level` and `name`; edges may carry `valid_from` and `valid_to` (datetime64, half open).
    """

    net: nx.DiGraph[str]

    @cached_property
    def wiring(self) -> Wiring:
        """The graph by number, as it is when this is first asked for."""
        return Wiring.of(self.net)

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
    found = _spread(neighbours, (start,), hops)
    del found[start]
    return found


def _spread(
    neighbours: Mapping[str, Iterable[str]], starts: Iterable[str], hops: int
) -> dict[str, int]:
    found = dict.fromkeys(starts, 0)
    frontier = list(found)
    for distance in range(1, hops + 1):
        reached = (node for source in frontier for node in neighbours[source])
        frontier = [node for node in dict.fromkeys(reached) if node not in found]
        if not frontier:
            break
        found.update(dict.fromkeys(frontier, distance))
    return found


@dataclass(frozen=True)
class Alarm:
    """What was noticed: a node, when (a period label), and the metric where one stands out."""

    node: str
    at: np.datetime64
    metric: str = ""


@dataclass(frozen=True, eq=False)
class Cube:
    """The leaves of a table of attributes, each with a value and a count over time.

    leaves       : (n_leaf, n_attribute) int, codes into the vocabulary of each attribute; −1 = missing
    vocabularies : the values of each attribute, as text
    value        : (n_leaf, n_time) what went wrong, e.g. failed requests; NaN where a leaf was not seen
    count        : (n_leaf, n_time) out of how many
    times        : (n_time,) period labels, ascending
    """

    attributes: tuple[str, ...]
    vocabularies: tuple[tuple[str, ...], ...]
    leaves: NDArray[np.intp]
    value: Floats
    count: Floats
    times: Times

    def __post_init__(self) -> None:
        shape = (len(self.leaves), len(self.times))
        if self.leaves.shape[1:] != (len(self.attributes),):
            rule = f"of shape ({shape[0]}, {len(self.attributes)})"
            raise InvalidInputError.of("Cube", "leaves", rule, self.leaves.shape)
        if not self.value.shape == self.count.shape == shape:
            got = (self.value.shape, self.count.shape)
            raise InvalidInputError.of("Cube", "value and count", f"of shape {shape}", got)


WHOLE = "{}"
"""The node of a cube's case that stands for all leaves: the combination of no attribute."""


def combination(values: Mapping[str, object]) -> str:
    """The node that an attribute combination is: canonical JSON, attributes sorted, values as text."""
    texts = {attribute: str(value) for attribute, value in values.items()}
    return json.dumps(texts, sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True, eq=False)
class Case:
    """Everything a localizer may look at: one of `panel`, `events` and `cube`, and what is known beside it.

    alarms       : where several nodes alarm at once, all of them, in no meaningful order; `alarm` is one of them
    panel        : observed metrics of every node, (n_node, n_time, n_metric); NaN where a node has no such metric
    reference    : expected metrics, same shape
    spread       : standard deviation of observed − expected, same shape
    p_values     : calibrated anomaly p-values, (n_node, n_time), of the nodes of `panel`
    alpha        : the p-value below which a node counts as anomalous
    settings     : what was set, by node: {node: {"budget": (before, after), …}}
    normal       : the same nodes and metrics in other periods, when nothing was wrong; for events a table of
                   runs, keyed "run/node" with the texts "run" and "node" beside those of `events`
    events       : state changes, keyed by node; text `value` and `type`, number `value` (NaN where it is no number)
    edges        : series of the calls, entities "caller→callee"; `normal_edges` in other periods
    units        : the unit of metrics, for what is said of them; where absent their names tell
    cube         : attribute leaves; the graph then holds `WHOLE` alone, and causes are combinations of attributes

    Times are UTC; events of runs without a clock count from 1970-01-01. Nodes of `panel` need not be in the graph.
    """

    graph: Graph
    alarm: Alarm
    panel: Panel | None = None
    reference: Panel | None = None
    spread: Floats | None = None
    p_values: Floats | None = None
    alpha: float = 0.01
    settings: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    alarms: tuple[Alarm, ...] = ()
    normal: Panel | EventTable | None = None
    events: EventTable | None = None
    edges: Panel | None = None
    normal_edges: Panel | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    cube: Cube | None = None

    @property
    def kind(self) -> str:
        """What it is made of: "dimensions", "events", "metrics" beside normal periods, or "expected" values."""
        if self.cube is not None:
            return "dimensions"
        if self.events is not None:
            return "events"
        return "expected" if self.normal is None else "metrics"

    @property
    def seeds(self) -> tuple[str, ...]:
        """The nodes that alarm."""
        return tuple(dict.fromkeys(alarm.node for alarm in (self.alarm, *self.alarms)))

    def hops(self, most: int) -> dict[str, int]:
        """Every node within `most` edges upstream of an alarm, with its distance; 0 for those that alarm."""
        return _spread(self.graph.net.pred, self.seeds, most)

    def paths(self) -> dict[str, tuple[str, ...]]:
        """Every node upstream of an alarm with a shortest way down to the nearest one, ends included."""
        found: dict[str, tuple[str, ...]] = {node: (node,) for node in self.seeds}
        rising = deque(self.seeds)
        while rising:
            node = rising.popleft()
            for parent in self.graph.net.pred[node]:
                if parent not in found:
                    found[parent] = (parent, *found[node])
                    rising.append(parent)
        return found


@dataclass(frozen=True)
class Truth:
    """What was really wrong in a case: for learning from other cases and for scoring, never part of a `Case`.

    roots     : the nodes (or attribute combinations) where it started
    classes   : kinds of the cause, none where nobody said
    onset     : when it started, where known
    group     : cases of one group share their cause, so they are learned from together or not at all
    subsystem : the part of the world that the case is from
    """

    roots: tuple[str, ...]
    classes: tuple[str, ...] = ()
    onset: np.datetime64 | None = None
    group: str = ""
    subsystem: str = ""


@dataclass(frozen=True)
class Cause:
    """One candidate source.

    path       : nodes from the cause to the alarm's node; the cause alone where nothing leads from it to an alarm
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


def none_found(causes: Sequence[Cause]) -> bool:
    """Whether "no cause stands out" is the likelier answer: less than half of the belief is in causes."""
    return sum(cause.confidence for cause in causes) < 0.5


# ── The contract ──


class Localizer(Algorithm):
    """Finds where an alarm started.

    `works_on` are the kinds of cases that it can look at, see `Case.kind`.
    """

    kind = "localizer"
    tags = Tags(trained=False)
    works_on: ClassVar[tuple[str, ...]] = ("expected",)

    @property
    def learns(self) -> bool:
        """Whether cases with a known cause make it better; without them it uses what ships with it."""
        return False

    def learned(self, cases: Sequence[Case], truths: Sequence[Truth]) -> Self:
        """The same localizer with what these cases alone teach; nothing that it learned before remains."""
        raise InvalidInputError.of(
            self.name, "a localizer that is taught", "one that learns", self.name
        )

    @final
    def find(self, case: Case) -> list[Cause]:
        """Candidates, best first; an empty list says that no cause was found."""
        nodes = case.graph.net.number_of_nodes()
        times = 1 if case.panel is None else len(case.panel.periods)
        with lifecycle.operation(self.name, self.model_id, "find", nodes, times, self.tags.extra):
            for node in case.seeds:
                if node not in case.graph.net:
                    raise UnknownNameError.of(self.name, "the alarm's node", "in the graph", node)
            if case.kind not in self.works_on:
                rule = f"of {' or '.join(self.works_on)}"
                raise InvalidInputError.of(self.name, "the case", rule, case.kind)
            causes = self._find(self.scorer, case)
        return sorted(causes, key=lambda cause: (-cause.score, cause.hops, cause.node))

    @abstractmethod
    def _find(self, scorer: Any, case: Case) -> list[Cause]: ...
