"""False alarms at a promised rate, and metrics that an anomaly is put down to."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.errors import NotEnoughDataError
from core.evaluate.detection import Cause, false_alarms, figures, mean, root_hits, static_p


def test_false_alarms_are_counted_on_normal_rows_alone() -> None:
    p = np.array([0.04, 0.02, 0.005, 0.0005, 0.9, 1e-9, 1e-9])
    labels = np.array([0, 0, 0, 0, 0, 1, 1], dtype=bool)
    assert false_alarms(p, labels) == {"0.05": 0.8, "0.01": 0.4, "0.001": 0.2}


def test_without_normal_rows_there_is_no_rate() -> None:
    rates = false_alarms(np.ones(3), np.ones(3, dtype=bool))
    assert all(math.isnan(rate) for rate in rates.values())


def test_a_static_threshold_keeps_its_promise_on_scores_like_those_it_learned_from() -> None:
    scores = np.random.default_rng(0).normal(size=40_000)
    rates = false_alarms(static_p(scores, 20_000)[20_000:], np.zeros(20_000, dtype=bool))
    assert rates["0.05"] == pytest.approx(0.05, rel=0.1)
    assert rates["0.01"] == pytest.approx(0.01, rel=0.3)
    assert rates["0.001"] == pytest.approx(0.001, rel=0.5)


def test_a_static_threshold_needs_some_scores() -> None:
    with pytest.raises(NotEnoughDataError):
        static_p(np.arange(100.0), 9)


def test_a_table_has_no_buffer() -> None:
    found = figures(np.arange(4.0), np.array([0, 0, 1, 1], dtype=bool), None)
    assert math.isnan(found.pop("vus_pr"))
    assert set(found.values()) == {1.0}


def test_metrics_are_ranked_by_their_share_over_the_segment() -> None:
    shares = np.zeros((10, 8))
    shares[2:5, 3] = 1.0  # three rows: the most in all
    shares[3, 0] = 2.5  # one row: the highest at any time
    shares[7, 6] = 9.0  # outside of the segment
    segment = Cause(np.arange(2, 6), frozenset({0, 5}))
    (hits,) = root_hits(shares, [segment])
    assert [hits[f"hit@{k}"] for k in (1, 3, 5)] == [0.0, 1.0, 1.0]
    # two labelled metrics: one of the first two, one of the first three
    assert (hits["hit_rate@100"], hits["hit_rate@150"]) == (0.5, 0.5)


def test_chance_is_what_a_random_order_would_hit() -> None:
    segment = Cause(np.array([0]), frozenset({0, 5}))
    (hits,) = root_hits(np.zeros((1, 8)), [segment])
    assert hits["chance@1"] == pytest.approx(2 / 8)
    assert hits["chance@3"] == pytest.approx(1 - (6 * 5 * 4) / (8 * 7 * 6))
    (sure,) = root_hits(np.zeros((1, 2)), [Cause(np.array([0]), frozenset({1}))])
    assert sure["chance@5"] == sure["hit@5"] == 1.0


def test_the_mean_is_over_the_series_that_have_the_figure() -> None:
    found = mean([{"a": 1.0, "b": math.nan}, {"a": math.nan, "b": math.nan}, {"a": 2.0}])
    assert found["a"] == 1.5
    assert math.isnan(found["b"])
