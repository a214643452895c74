"""Build a hierarchy from its tables, and turn it into the matrix that rolls leaves up."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np
from scipy import sparse

from core.cases import Graph
from core.errors import InvalidInputError, UnknownNameError


def hierarchy(
    nodes: Iterable[Mapping[str, Any]],
    edges: Iterable[tuple[str, str] | tuple[str, str, Mapping[str, Any]]],
) -> Graph:
    """A graph from rows.

    nodes : mappings with `id`, `level`, `name` and whatever else a node should carry
    edges : (parent, child) or (parent, child, attributes such as `valid_from`, `valid_to`)

    An edge to a node that is no row, and a cycle, are refused by name.
    """
    net: nx.DiGraph[str] = nx.DiGraph()
    for node in nodes:
        net.add_node(str(node["id"]), **{key: value for key, value in node.items() if key != "id"})
    for parent, child, *attributes in edges:
        for end in (parent, child):
            if end not in net:
                raise UnknownNameError.of(
                    "hierarchy", "edge end", f"one of the {len(net)} nodes", end
                )
        net.add_edge(parent, child, **(attributes[0] if attributes else {}))
    if not nx.is_directed_acyclic_graph(net):
        cycle = " → ".join(source for source, _ in nx.find_cycle(net))
        raise InvalidInputError.of("hierarchy", "edges", "without a cycle", cycle)
    return Graph(net)


def membership(graph: Graph, entities: Sequence[str]) -> sparse.csr_array:
    """(n_entity, n_entity) of 0 and 1: entry (a, d) is 1 where d is a or lies below it.

    Entities that the graph does not hold are alone; nodes outside `entities` still connect.
    """
    row_of = {name: row for row, name in enumerate(dict.fromkeys([*entities, *graph.net]))}
    parents, children = [], []
    for parent, child in graph.net.edges:
        parents.append(row_of[parent])
        children.append(row_of[child])
    size = len(row_of)
    step = sparse.csr_array((np.ones(len(parents)), (parents, children)), shape=(size, size))
    below = sparse.csr_array(sparse.eye_array(size))
    while True:
        wider = sparse.csr_array(sparse.eye_array(size) + step @ below)
        wider.data[:] = 1.0
        if wider.nnz == below.nnz:
            return sparse.csr_array(below[: len(entities), : len(entities)])
        below = wider


def way(graph: Graph, start: str, end: str) -> tuple[str, ...]:
    """Nodes from `start` to `end`: straight down where `start` lies above, else by the nearest common relative.

    Just the two ends where nothing connects them.
    """
    down: dict[str, tuple[str, ...]] = {end: (end,)}
    rising = deque([end])
    while rising:
        node = rising.popleft()
        for parent in graph.net.pred[node]:
            if parent not in down:
                down[parent] = (parent, *down[node])
                rising.append(parent)
    best: tuple[str, ...] = ()
    seen = {start}
    spreading: deque[tuple[str, ...]] = deque([(start,)])
    while spreading:
        path = spreading.popleft()
        if best and len(path) >= len(best):
            break
        if path[-1] in down:
            # nothing shorter leads on from here
            joined = (*path[:-1], *down[path[-1]])
            best = joined if not best or len(joined) < len(best) else best
            continue
        for near in (*graph.net.pred[path[-1]], *graph.net.succ[path[-1]]):
            if near not in seen:
                seen.add(near)
                spreading.append((*path, near))
    return best or (start, end)
