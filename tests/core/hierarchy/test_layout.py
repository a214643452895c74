from __future__ import annotations

import networkx as nx

from core.cases import Graph
from core.hierarchy.layout import layered, woven
from tests.core.planted_tree import account

GRAPH = account(campaigns=10, ad_groups=3, keywords=30)


def test_draws_ancestors_and_anomalous_neighbours_and_counts_the_rest() -> None:
    drawn = layered(GRAPH, "ad_group:G0", weight={"keyword:K0.3": 5.0, "keyword:K0.4": 2.0})
    spots = {spot.node: spot for spot in drawn.spots}
    assert {"ad_group:G0", "campaign:C0", "portfolio:P0", "profile:1", "keyword:K0.3"} <= set(spots)
    assert "keyword:K0.5" not in spots
    rest = spots["ad_group:G0/+30"]
    assert (rest.collapsed, rest.name) == (30, "+30")  # 28 keywords and 2 ads
    assert ("ad_group:G0", "ad_group:G0/+30") in drawn.edges


def test_every_edge_runs_right_and_no_two_spots_coincide() -> None:
    drawn = layered(GRAPH, "ad:D4.5", weight=dict.fromkeys(GRAPH.net, 1.0), depth=5)
    place = {spot.node: (spot.x, spot.y) for spot in drawn.spots}
    assert all(place[parent][0] < place[child][0] for parent, child in drawn.edges)
    assert len(set(place.values())) == len(place)
    assert place["asin:1/A5"][0] < place["ad:D4.5"][0]


def test_stays_within_the_limit_and_keeps_the_heaviest_and_the_path() -> None:
    weight = {f"keyword:K0.{k}": float(k) for k in range(30)}
    weight |= {f"campaign:C{c}": 100.0 for c in range(10)}
    path = ("profile:1", "portfolio:P1", "campaign:C1")
    drawn = layered(GRAPH, "ad_group:G0", weight=weight, keep=path, limit=30)
    names = {spot.node for spot in drawn.spots}
    assert len(drawn.spots) <= 30
    assert set(path) | {"campaign:C8", "keyword:K0.29"} <= names
    assert "keyword:K0.0" not in names


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
    drawn = woven(graph, "service:s9", weight=weight, keep=path)
    names = {spot.node for spot in drawn.spots}
    assert len(drawn.spots) <= 60 and set(path) <= names
    assert {"service:s399", "service:s398"} <= names
    counted = sum(spot.collapsed or 1 for spot in drawn.spots)
    assert counted == len(graph.net)


def test_calm_neighbours_fill_up_and_pods_stay_together_unless_the_path_leads_through_one() -> None:
    graph = web(8)
    drawn = woven(graph, "service:s3", weight={"pod:s3-0": 9.0, "service:s2": 4.0}, keep=())
    names = {spot.node for spot in drawn.spots}
    assert {"service:s1", "service:s2", "service:s3", "service:s4"} <= names
    assert "pod:s3-0" not in names and "pod/+24" in names and "node/+3" in names
    assert ("pod/+24", "service:s3") in drawn.edges or any(
        edge[0] == "pod/+24" for edge in drawn.edges
    )


def test_a_cycle_of_calls_is_drawn_all_the_same() -> None:
    graph = web(3)
    drawn = woven(graph, "service:s0", weight={})
    place = {spot.node: (spot.x, spot.y) for spot in drawn.spots}
    assert len(set(place.values())) == len(place)
    calls = [edge for edge in drawn.edges if edge[0].startswith("service")]
    assert sorted(place[child][0] > place[parent][0] for parent, child in calls) == [
        False,
        True,
        True,
    ]
