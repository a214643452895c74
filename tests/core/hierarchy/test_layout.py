from __future__ import annotations

from core.hierarchy.layout import layered
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
    drawn = layered(GRAPH, "ad_group:G0", weight=weight, paths=[path], limit=30)
    names = {spot.node for spot in drawn.spots}
    assert len(drawn.spots) <= 30
    assert set(path) | {"campaign:C8", "keyword:K0.29"} <= names
    assert "keyword:K0.0" not in names
