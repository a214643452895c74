from __future__ import annotations

import numpy as np

from core.features.consistency import inconsistent_days
from tests.core.ads_world import account


def test_a_whole_delivery_is_consistent():
    panel, graph = account(days=10, shape=(1, 1, 3, 2, 4))
    assert not inconsistent_days(panel, graph).any()


def test_a_keyword_file_cut_short_marks_what_came_from_it():
    panel, graph = account(days=10, shape=(1, 1, 3, 2, 4))
    groups = [e for e in panel.entities if e.startswith("ad_group:0.0.1.")]
    keywords = [k for group in groups for k in graph.children(group)]
    lost = keywords[:5]
    rows = panel.rows(lost)
    for group in groups:
        gone = panel.values[panel.rows([k for k in graph.children(group) if k in lost]), 8].sum(
            axis=0
        )
        panel.values[panel.row_of[group], 8] -= gone
    panel.values[rows, 8] = 0.0
    marked = inconsistent_days(panel, graph)
    assert marked[panel.rows([*groups, *keywords]), 8].all()
    assert marked.sum() == len(groups) + len(keywords)
    assert not marked[panel.row_of["campaign:0.0.1"]].any()


def test_a_campaign_file_cut_short_marks_the_campaign_and_what_is_summed_from_it():
    panel, graph = account(days=10, shape=(1, 1, 3, 2, 4))
    gone = panel.values[panel.row_of["campaign:0.0.2"], 4].copy()
    for node in ("campaign:0.0.2", "portfolio:0.0", "profile:0"):
        panel.values[panel.row_of[node], 4] -= gone
    marked = inconsistent_days(panel, graph)
    expected = {"campaign:0.0.2", "portfolio:0.0", "profile:0"}
    assert {panel.entities[row] for row in np.flatnonzero(marked[:, 4])} == expected
    assert marked.sum() == 3


def test_few_impressions_say_nothing():
    panel, graph = account(days=10, shape=(1, 1, 1, 1, 2))
    panel.values[:] = 0.0
    panel.values[panel.row_of["campaign:0.0.0"], :, 0] = 40.0
    assert not inconsistent_days(panel, graph).any()


def test_a_missing_day_is_not_a_short_one():
    panel, graph = account(days=10, shape=(1, 1, 3, 2, 4))
    panel.values[panel.row_of["portfolio:0.0"], 3] = np.nan
    panel.values[panel.row_of["keyword:0.0.0.0.1"], 5] = np.nan
    assert not inconsistent_days(panel, graph).any()
