from __future__ import annotations

import numpy as np
import pytest

from core.domains import DOMAINS
from core.rootcause.deviation import deviations
from core.rootcause.likelihood import World
from tests.core.planted_tree import DAYS, Change, account, case

ONSET = DAYS - 6
HALVED = np.array([-0.5, 0.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("node", ["campaign:C1", "keyword:K3.2", "asin:1/A3", "profile:1"])
def test_only_what_shares_traffic_is_estimated_again_and_all_comes_out_as_if_anew(
    node: str,
) -> None:
    graph = account()
    planted = case(graph, [Change(node, ONSET, {"impressions": 0.5})], node=node)
    assert planted.panel is not None and planted.reference is not None
    found = deviations(graph, planted.panel, planted.reference, DOMAINS["ads"])
    world = World.of(found, 14, 0.02)
    before, row = world.estimate(), found.nodes.index(node)
    rest, _ = world.without(row, HALVED, ONSET, 0.3)
    again, anew = rest.estimate_again(before, row), rest.estimate()
    assert not np.array_equal(anew.gain, before.gain)
    for name in ("change", "variance", "gain"):
        np.testing.assert_array_equal(getattr(again, name), getattr(anew, name))
