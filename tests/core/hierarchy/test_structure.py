from __future__ import annotations

import numpy as np
import pytest

from core.errors import InvalidInputError, UnknownNameError
from core.hierarchy.structure import hierarchy, membership, way
from tests.core.planted_tree import account

NODES = [{"id": name, "level": name[0], "name": name.upper()} for name in ("a", "b", "c", "d")]


def test_carries_what_the_tables_say() -> None:
    start = np.datetime64("2026-02-01")
    graph = hierarchy(NODES, [("a", "b"), ("b", "c", {"valid_from": start})])
    assert (graph.level("b"), graph.name("b")) == ("b", "B")
    assert graph.children("a") == ("b",)
    assert graph.at(np.datetime64("2026-01-01")).children("b") == ()
    assert graph.at(np.datetime64("2026-03-01")).children("b") == ("c",)


def test_refuses_cycles_and_unknown_ends_by_name() -> None:
    with pytest.raises(InvalidInputError, match="without a cycle"):
        hierarchy(NODES, [("a", "b"), ("b", "c"), ("c", "a")])
    with pytest.raises(UnknownNameError, match="Got 'e'"):
        hierarchy(NODES, [("a", "e")])


def test_membership_rolls_a_dag_up_once_per_leaf() -> None:
    graph = hierarchy(NODES, [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])
    below = membership(graph, ("d", "a", "b"))
    assert below.toarray().tolist() == [[1, 0, 0], [1, 1, 1], [1, 0, 1]]
    assert (below @ np.array([5.0, 0.0, 0.0])).tolist() == [5.0, 5.0, 5.0]


def test_membership_knows_entities_outside_the_graph_as_alone() -> None:
    graph = hierarchy(NODES, [("a", "b")])
    assert membership(graph, ("x", "a")).toarray().tolist() == [[1, 0], [0, 1]]


def test_way_goes_straight_down_or_up_or_over_a_common_relative() -> None:
    graph = account()
    straight = ("profile:1", "portfolio:P0", "campaign:C0", "ad_group:G0", "keyword:K0.1")
    assert way(graph, straight[0], straight[-1]) == straight
    assert way(graph, straight[-1], straight[1]) == straight[:0:-1]
    assert way(graph, "asin:1/A1", "keyword:K0.1") == (
        "asin:1/A1",
        "ad:D0.1",
        "ad_group:G0",
        "keyword:K0.1",
    )
    assert way(graph, "ad_group:G0", "ad_group:G1") == ("ad_group:G0", "campaign:C0", "ad_group:G1")
    assert way(graph, "ad_group:G0", "ad_group:G0") == ("ad_group:G0",)
    apart = hierarchy(NODES, [("a", "b")])
    assert way(apart, "a", "d") == ("a", "d")
