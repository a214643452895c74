from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from core.errors import InvalidInputError, NotEnoughDataError
from core.threshold import Threshold


def test_p_values_are_uniform_on_exchangeable_scores():
    rng = np.random.default_rng(1)
    threshold = Threshold.fit(rng.gamma(2.0, size=8_000))
    p = threshold.p_values(rng.gamma(2.0, size=8_000))
    assert stats.kstest(p, "uniform").pvalue > 0.01
    for alpha in (0.05, 0.01, 0.001):
        assert (p <= alpha).mean() == pytest.approx(alpha, rel=0.5)


def test_the_smallest_calibration_set_still_keeps_its_promise():
    rng = np.random.default_rng(2)
    hits = [
        Threshold.fit(rng.normal(size=19)).p_values(rng.normal(size=1))[0] <= 0.05
        for _ in range(2_000)
    ]
    assert np.mean(hits) == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize(
    ("draw", "tail", "tolerance"),
    [
        ("exponential", lambda x: np.exp(-x), 0.35),
        ("normal", stats.norm.sf, 0.6),
        ("pareto", lambda x: (1 + x) ** -3.0, 0.5),
    ],
)
def test_the_tail_reaches_beyond_what_was_seen(draw, tail, tolerance):
    rng = np.random.default_rng(3)
    scores = {
        "exponential": lambda: rng.exponential(size=20_000),
        "normal": lambda: rng.normal(size=20_000),
        "pareto": lambda: rng.pareto(3.0, size=20_000),
    }[draw]()
    threshold = Threshold.fit(scores)
    far = np.quantile(scores, 0.9999)
    assert np.log10(threshold.p_values(far)) == pytest.approx(np.log10(tail(far)), abs=tolerance)


def test_p_falls_as_the_score_rises_and_never_reaches_zero():
    threshold = Threshold.fit(np.random.default_rng(4).normal(size=3_000))
    p = threshold.p_values(np.linspace(-5, 50, 5_000))
    assert (np.diff(p) <= 1e-15).all()
    assert p[0] <= 1.0
    assert p[-1] > 0


def test_equal_scores_share_the_larger_p():
    threshold = Threshold.fit(np.repeat([0.0, 1.0], 10))
    assert threshold.p_values(np.array([0.0, 1.0, 2.0])).tolist() == [1.0, 11 / 21, 1 / 21]


def test_known_numbers_without_a_tail():
    threshold = Threshold.fit(np.arange(1.0, 20.0), alpha=0.1)
    assert threshold.p_values(np.array([19.0, 10.0, 0.5])).tolist() == [0.1, 0.55, 1.0]
    assert threshold.cut == 19.0


def test_the_cut_is_where_p_reaches_alpha():
    scores = np.random.default_rng(5).normal(size=5_000)
    for alpha in (0.2, 0.01, 1e-5):
        threshold = Threshold.fit(scores, alpha=alpha)
        assert threshold.p_values(threshold.cut) == pytest.approx(alpha, rel=2e-3)


def test_an_alarm_budget_sets_alpha():
    assert Threshold.fit(np.arange(1000.0), budget=2, per=1000).alpha == 0.002


def test_labelled_anomalies_do_not_calibrate():
    rng = np.random.default_rng(6)
    scores = np.concatenate([rng.normal(size=1_000), np.full(100, 30.0)])
    labels = np.arange(1_100) >= 1_000
    assert Threshold.fit(scores, labels=labels).p_values(np.array(30.0)) < 1e-4
    assert Threshold.fit(scores).p_values(np.array(30.0)) > 1e-2


def test_the_state_gives_the_same_p_values_back():
    threshold = Threshold.fit(np.random.default_rng(7).normal(size=60_000), alpha=0.003)
    again = Threshold.from_state(threshold.to_state())
    points = np.linspace(-4, 8, 500)
    np.testing.assert_array_equal(again.p_values(points), threshold.p_values(points))
    assert again.cut == threshold.cut
    assert len(threshold.scores) < 25_000


def test_too_few_scores_and_an_impossible_alpha_are_refused():
    with pytest.raises(NotEnoughDataError, match=r"calibration scores must be at least 10\. Got 3"):
        Threshold.fit(np.ones(3))
    with pytest.raises(InvalidInputError, match=r"alpha must be in \(0, 1\)\. Got 1.5"):
        Threshold.fit(np.arange(20.0), alpha=1.5)
