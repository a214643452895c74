"""A graph by number says what the graph itself says."""

from __future__ import annotations

import networkx as nx
import numpy as np

from core.cases import Alarm, Case, Edges, Graph

EDGES = Edges(4, np.array([0, 1, 0]), np.array([1, 2, 2]))
VALUES = np.array([5.0, 1.0, 0.5, 9.0])


def web(seed: int = 0) -> Graph:
    """Sixty nodes on two levels, rings among them."""
    rng = np.random.default_rng(seed)
    net: nx.DiGraph[str] = nx.DiGraph()
    for number in range(60):
        net.add_node(f"n{number}", level="pod" if number % 3 else "service")
    net.add_edges_from(
        (f"n{start}", f"n{end}") for start, end in rng.integers(60, size=(110, 2)) if start != end
    )
    return Graph(net)


def test_hops_are_those_of_a_walk_through_the_graph() -> None:
    graph = web()
    alarms = tuple(Alarm(node, np.datetime64("2026-03-02")) for node in ("n3", "n9"))
    expected = Case(graph, alarms[0], alarms=alarms).hops(4)
    found = graph.wiring.hops(("n3", "n9"), 4)
    assert {
        graph.wiring.nodes[place]: int(found[place]) for place in np.flatnonzero(found >= 0)
    } == (expected)


def test_an_edge_is_a_call_within_a_level_and_a_part_between_two() -> None:
    graph = web()
    wiring = graph.wiring
    for edges, same in ((wiring.calls, True), (wiring.parts, False)):
        ends = zip(edges.start.tolist(), edges.end.tolist(), strict=True)
        named = [(wiring.nodes[start], wiring.nodes[end]) for start, end in ends]
        assert set(named) == {
            edge
            for edge in graph.net.edges
            if (graph.level(edge[0]) == graph.level(edge[1])) is same
        }


def test_values_are_gathered_along_edges() -> None:
    assert EDGES.most(VALUES).tolist() == [0.0, 5.0, 5.0, 0.0]
    assert EDGES.sums(VALUES).tolist() == [0.0, 5.0, 6.0, 0.0]
    assert EDGES.back.most(VALUES).tolist() == [1.0, 0.5, 0.0, 0.0]
    assert EDGES.carried(VALUES).tolist() == [5.0, 5.0, 5.0, 9.0]
    assert EDGES.reached(VALUES > 4.0).tolist() == [False, True, True, False]
    assert EDGES.among(VALUES < 5.0).start.tolist() == [1]
