from __future__ import annotations

import networkx as nx
import numpy as np

from core.cases import Graph
from core.features.calendar import announced_days
from tests.core.ads_world import account
from tests.core.features.test_windows import panel_of

FIRST, LAST = np.datetime64("2026-01-05"), np.datetime64("2026-01-07")


def test_an_event_reaches_what_lies_below_its_scope_on_its_days_only():
    panel, graph = account(days=20, shape=(2, 2, 3, 1, 2))
    marked = announced_days(panel, graph, [("portfolio:0.1", FIRST, LAST)])
    assert np.flatnonzero(marked.any(axis=0)).tolist() == [4, 5, 6]
    reached = {panel.entities[row] for row in np.flatnonzero(marked.any(axis=1))}
    assert {"portfolio:0.1", "campaign:0.1.2", "keyword:0.1.0.0.1"} <= reached
    assert not {entity for entity in reached if entity.split(":")[1].startswith("1")}
    assert "campaign:0.0.0" not in reached


def test_an_event_reaches_what_is_summed_from_its_scope():
    net: nx.DiGraph = nx.DiGraph()
    names = ("keyword:0", "keyword:1", "keyword:2", "keyword:3", "keyword:4")
    # 0: portfolio of the ads 2 and 3; 1: ASIN with ads 2 (in scope) and 4; volumes below
    net.add_edges_from(
        [(names[0], names[2]), (names[0], names[3]), (names[1], names[2]), (names[1], names[4])]
    )
    for name in names:
        net.nodes[name]["level"] = "ad" if name in names[2:] else "top"
    for volume, reached in ((50.0, True), (2.0, False)):
        per_day = np.array([volume + 10, volume + 100, volume, 10.0, 100.0])
        panel = panel_of(np.tile(per_day[:, None, None], (1, 8, 1)))
        marked = announced_days(panel, Graph(net), [(names[0], FIRST, LAST)], metric="m0")
        assert marked[[0, 2, 3], 5].all()
        assert marked[1, 5] == reached
        assert not marked[4].any()


def test_an_event_without_scope_reaches_everything():
    panel, graph = account(days=10, shape=(1, 1, 1, 1, 2))
    assert announced_days(panel, graph, [("", FIRST, LAST)])[:, 4:7].all()


def test_an_event_of_an_entity_that_is_gone_reaches_nothing():
    panel, graph = account(days=10, shape=(1, 1, 1, 1, 2))
    assert not announced_days(panel, graph, [("campaign:gone", FIRST, LAST)]).any()
