from __future__ import annotations

from collections import Counter
from itertools import pairwise

import networkx as nx
import pytest

from core.cases import Graph
from core.hierarchy.web import MOST_ROWS, woven
from data.simulate.draws import root_key
from data.simulate.services.topology import SIZES, Size, build_topology


def web(services: int) -> Graph:
    """A chain of services, each with three pods, on ten nodes; the last calls the first, which closes a cycle."""
    net: nx.DiGraph[str] = nx.DiGraph()
    for number in range(services):
        net.add_node(f"service:s{number}", level="service", name=f"s{number}")
        for pod in range(3):
            net.add_node(f"pod:s{number}-{pod}", level="pod", name=f"s{number}-{pod}")
            net.add_edge(f"pod:s{number}-{pod}", f"service:s{number}")
            net.add_node(f"node:n{pod}", level="node", name=f"n{pod}")
            net.add_edge(f"node:n{pod}", f"pod:s{number}-{pod}")
    for number in range(services):
        net.add_edge(f"service:s{number}", f"service:s{(number + 1) % services}")
    return Graph(net)


def test_a_web_of_calls_is_drawn_with_its_path_and_the_rest_is_counted_by_level() -> None:
    graph = web(400)
    path = ("node:n1", "pod:s7-1", "service:s7", "service:s8", "service:s9")
    weight = {f"service:s{number}": float(number) for number in range(400)}
    drawn = woven(graph, "service:s9", weight=weight, paths=[path])
    names = {spot.node for spot in drawn.spots}
    assert len(drawn.spots) <= 60 and set(path) <= names
    assert {"service:s5", "service:s6", "service:s10"} <= names  # near the alarm
    assert "service:s399" not in names  # heavier, but ten hops away
    assert sum(spot.collapsed or 1 for spot in drawn.spots) == len(graph.net)


def test_columns_are_hops_to_the_alarm_and_the_counts_have_a_row_of_their_own() -> None:
    graph = web(8)
    drawn = woven(graph, "service:s3", weight={"pod:s3-0": 9.0, "service:s2": 4.0})
    place = {spot.name: spot.x for spot in drawn.spots if not spot.collapsed}
    assert place == {"s2": 0.0, "s3": 1.0, "s4": 2.0}  # calm neighbours too
    rest = {spot.node: spot.collapsed for spot in drawn.spots if spot.collapsed}
    assert rest == {"node/+3": 3, "pod/+24": 24, "service/+5": 5}
    lowest = max(spot.y for spot in drawn.spots if not spot.collapsed)
    assert all(spot.y > lowest for spot in drawn.spots if spot.collapsed)
    assert drawn.edges == (("service:s2", "service:s3"), ("service:s3", "service:s4"))


def test_of_other_levels_what_the_suspect_is_made_of_is_drawn_where_it_is_anomalous() -> None:
    graph = web(8)
    weight = {"pod:s2-0": 9.0, "pod:s3-0": 9.0, "service:s2": 4.0}
    path = ("service:s2", "service:s3")
    names = {spot.node for spot in woven(graph, "service:s3", weight=weight, paths=[path]).spots}
    assert "pod:s2-0" in names and not {"pod:s2-1", "pod:s3-0"} & names


def test_a_cycle_of_calls_is_drawn_without_the_edge_that_leads_away_from_the_alarm() -> None:
    drawn = woven(web(3), "service:s0", weight={})
    place = {spot.node: (spot.x, spot.y) for spot in drawn.spots}
    assert len(set(place.values())) == len(place)
    assert drawn.edges == (("service:s1", "service:s2"), ("service:s2", "service:s0"))


def test_an_entity_without_neighbours_is_drawn_alone() -> None:
    graph = web(2)
    graph.net.add_node("service:alone", level="service", name="alone")
    drawn = woven(graph, "service:alone", weight={"service:s0": 3.0})
    assert [spot.name for spot in drawn.spots if not spot.collapsed] == ["alone"]


@pytest.mark.parametrize("size", [Size(3, (1, 2), 2, 1, 1, 1), SIZES["S"], SIZES["M"], SIZES["XL"]])
def test_whatever_the_world_each_node_can_be_read_and_links_only_cross_gaps(size: Size) -> None:
    topology = build_topology(size, root_key("services", 31))
    net: nx.DiGraph[str] = nx.DiGraph(topology.edges())
    nx.set_node_attributes(net, {node: node.partition(":")[0] for node in net}, "level")
    graph = Graph(net)
    alarm = f"service:{topology.services[topology.entries[0]]}"
    upstream = [node for node in graph.ancestors(alarm, 9) if graph.level(node) == "service"]
    far = nx.single_target_shortest_path(net, alarm)
    paths = [far[node] for node in upstream[-5:]]
    weight = {node: float(len(far[node])) for node in upstream}
    drawn = woven(graph, alarm, weight=weight, paths=paths)
    nodes = [spot for spot in drawn.spots if not spot.collapsed]
    spots = {spot.node: (spot.x, spot.y) for spot in drawn.spots}
    assert len(set(spots.values())) == len(spots) <= 60
    assert sum(spot.collapsed or 1 for spot in drawn.spots) == len(net)
    assert max(Counter(spot.x for spot in nodes).values()) <= MOST_ROWS
    assert all(spots[child][0] - spots[node][0] == 1.0 for node, child in drawn.edges)
    along = {edge for path in paths for edge in pairwise(path)}
    assert along <= set(drawn.edges)
    # as close to each other as rows are, but never closer
    for x in {spot.x for spot in nodes}:
        rows = sorted(spot.y for spot in nodes if spot.x == x)
        assert all(lower - upper == pytest.approx(1.0) for upper, lower in pairwise(rows))


def test_links_cross_less_than_in_the_order_of_arrival() -> None:
    net: nx.DiGraph[str] = nx.DiGraph()
    for place in range(6):  # three columns, each the other way round than the one before
        net.add_edge(f"a{place}", f"b{5 - place}")
        net.add_edge(f"b{5 - place}", "alarm")
    nx.set_node_attributes(net, "service", "level")
    drawn = woven(Graph(net), "alarm", weight=dict.fromkeys(net, 1.0))
    spots = {spot.node: spot.y for spot in drawn.spots}
    assert all(spots[f"a{place}"] == spots[f"b{5 - place}"] for place in range(6))
