from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from core.adaptive import BUFFER, PATIENCE, adapt, adaptive_p, begin
from core.threshold import Threshold

RATES = (0.05, 0.01, 0.001)
LENGTH = 20_000


def drifting(rng):
    """Heavy-tailed scores whose scale grows fourfold, all the time."""
    return np.abs(rng.standard_t(4, LENGTH)) * np.linspace(1, 4, LENGTH)


def stepping(rng):
    """Heavy-tailed scores with another scale every 2,000 periods."""
    return np.abs(rng.standard_t(4, LENGTH)) * np.repeat(np.exp(rng.normal(0, 0.5, 10)), 2_000)


def daily(rng):
    """The scale follows the hour of the day."""
    return np.abs(rng.standard_t(4, LENGTH)) * (1.2 + np.sin(np.arange(LENGTH) * 2 * np.pi / 1_440))


def heteroscedastic(rng):
    """A scale that wanders slowly, under heavy tails."""
    wander = lfilter([1], [1, -0.995], rng.standard_normal(LENGTH)) * np.sqrt(1 - 0.995**2)
    return np.abs(rng.standard_t(5, LENGTH)) * np.exp(0.6 * wander)


def autoregressive(rng):
    """High scores come in runs."""
    return np.abs(lfilter([1], [1, -0.9], rng.standard_normal(LENGTH)))


STREAMS = (drifting, stepping, daily, heteroscedastic, autoregressive)


def scores_of(stream, n_entity=12):
    return np.stack([stream(np.random.default_rng(seed)) for seed in range(n_entity)])


def test_alarms_come_as_often_as_promised_however_the_scores_drift():
    realised = np.array(
        [
            [(p <= rate).mean() / rate for rate in RATES]
            for p in (adaptive_p(scores_of(stream))[:, BUFFER:] for stream in STREAMS)
        ]
    )
    assert realised == pytest.approx(np.ones_like(realised), abs=0.2)


@pytest.mark.parametrize("stream", [drifting, stepping])
def test_a_threshold_learned_once_breaks_its_promise_there(stream):
    scores = scores_of(stream)
    p = np.stack([Threshold.fit(row[:BUFFER]).p_values(row[BUFFER:]) for row in scores])
    over = [(p <= rate).mean() / rate for rate in RATES]
    assert max(over) > 3
    assert over[2] > 1.5


def test_p_values_are_uniform_and_never_zero():
    p = adaptive_p(scores_of(heteroscedastic))[:, BUFFER:]
    assert stats.kstest(p.ravel(), "uniform").statistic < 0.02
    assert p.min() > 0
    assert p.max() <= 1


def test_p_goes_below_one_in_the_buffer_and_falls_as_the_score_rises():
    running, _ = adapt(begin(1), np.random.default_rng(1).normal(size=(1, 5_000)))
    p = [adapt(running, np.array([[score]]))[1][0, 0] for score in np.linspace(-3, 12, 200)]
    assert (np.diff(p) <= 0).all()
    assert p[0] > 0.9
    assert p[-1] < 1e-4


def test_scores_in_parts_give_what_they_give_at_once():
    scores = scores_of(stepping, 3)[:, :4_000]
    scores[1, 100:140] = np.nan
    whole = adaptive_p(scores)
    running, parts = begin(3), []
    for cut in np.split(scores, [1, 700, 2_500], axis=1):
        before = {role: value.copy() for role, value in running.items()}
        later, p = adapt(running, cut)
        assert all(np.array_equal(before[role], running[role], equal_nan=True) for role in before)
        running, parts = later, [*parts, p]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    np.testing.assert_array_equal(adaptive_p(scores[1:2]), whole[1:2])


def test_a_missing_score_is_no_alarm_and_changes_nothing():
    running, _ = adapt(begin(1), np.random.default_rng(2).normal(size=(1, 2_000)))
    later, p = adapt(running, np.full((1, 50), np.nan))
    assert (p == 1).all()
    assert all(np.array_equal(later[role], running[role]) for role in running)


def test_the_first_scores_alarm_nobody():
    p = adaptive_p(np.random.default_rng(3).normal(size=(50, 60)))
    assert p.min() >= 0.01


def test_an_anomaly_does_not_hide_the_next_one():
    scores = np.random.default_rng(4).normal(size=(1, 4_000))
    scores[0, 2_000:2_015] = 40.0
    scores[0, 2_100:2_115] = 40.0
    p = adaptive_p(scores)[0]
    assert p[2_000:2_015].max() < 1e-4
    assert p[2_100:2_115].max() < 1e-4
    assert (p[2_200:] <= 0.05).mean() == pytest.approx(0.05, rel=0.3)


def test_a_new_normal_is_accepted():
    scores = np.random.default_rng(5).normal(size=(1, 6_000))
    scores[0, 2_000:] += 30.0
    p = adaptive_p(scores)[0]
    assert p[2_000 : 2_000 + PATIENCE].max() < 1e-4
    assert (p[2_200:3_000] <= 0.01).mean() < 0.05
    assert (p[3_000:] <= 0.05).mean() == pytest.approx(0.05, rel=0.2)


def test_equal_scores_are_no_anomaly():
    assert adaptive_p(np.zeros((1, 3_000))).min() == 1.0
