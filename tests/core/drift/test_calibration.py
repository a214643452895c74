"""Memory is found, histories resampled keep it, and p-values mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from core.contracts import Floats
from core.drift import calibration
from core.drift.calibration import Null


def remembering(phi: float, n_series: int, n_day: int, seed: int = 0) -> Floats:
    """Stationary first-order autoregressions of variance 1."""
    noise = np.random.default_rng(seed).normal(size=(n_series, n_day + 400))
    return lfilter([np.sqrt(1 - phi**2)], [1, -phi], noise, axis=1)[:, 400:]


def scaled(series: Floats) -> Floats:
    return (series - series.mean(axis=1, keepdims=True)) / series.std(axis=1, keepdims=True)


@pytest.mark.parametrize(("phi", "days"), [(0.0, 1.0), (0.5, 3.0), (0.8, 9.0), (0.95, 39.0)])
def test_memory_is_found_without_the_bias_of_a_short_history(phi: float, days: float) -> None:
    found = calibration.memory(scaled(remembering(phi, 400, 182)))
    # (1 + φ) / (1 − φ) days say as much as one independent day
    assert found.correlation_time.mean() == pytest.approx(days, rel=0.1)
    if phi:
        assert found.slow.mean() == pytest.approx(phi, abs=0.01)
        assert found.share.mean() > 0.97


def test_slow_wandering_under_daily_noise_is_told_apart_from_it() -> None:
    noise = np.random.default_rng(9).normal(size=(400, 364))
    found = calibration.memory(scaled(remembering(0.95, 400, 364) + noise))
    assert found.share.mean() == pytest.approx(0.5, abs=0.03)
    assert found.slow.mean() == pytest.approx(0.95, abs=0.01)


def test_unlike_memories_stay_unlike() -> None:
    phis = np.repeat([0.1, 0.9], 50)
    series = np.concatenate([remembering(phi, 1, 400, seed) for seed, phi in enumerate(phis)])
    found = calibration.memory(scaled(series)).correlation_time
    assert np.median(found[:50]) < 2.5 and np.median(found[50:]) > 12.0


def test_missing_days_leave_the_memory_as_it_is() -> None:
    series = scaled(remembering(0.9, 200, 300))
    holes = np.where(np.random.default_rng(1).random(series.shape) < 0.1, np.nan, series)
    whole, part = calibration.memory(series), calibration.memory(holes)
    assert part.correlation_time.mean() == pytest.approx(whole.correlation_time.mean(), rel=0.05)


def test_one_shared_history_leaves_more_doubt_than_many_of_their_own() -> None:
    shared = np.repeat(remembering(0.9, 1, 200), 50, axis=0)
    own = remembering(0.9, 50, 200)
    doubts = [calibration.memory(scaled(series)).error.mean() for series in (shared, own)]
    assert doubts[0] > 1.5 * doubts[1]


def test_resampled_histories_have_the_memory_and_the_spread_of_the_reference() -> None:
    series = scaled(remembering(0.8, 30, 364))
    drawn: list[Floats] = []
    calibration.paths(series, 42, 60, 0, drawn.append)
    histories = np.concatenate(drawn)
    assert histories.shape == (60, 30, 406)
    assert histories.std() == pytest.approx(1.0, abs=0.05)
    own = np.mean(histories[..., 1:364] * histories[..., :363])
    assert own == pytest.approx(0.8, abs=0.05)
    means = histories[..., 364:].mean(axis=-1)
    # the mean of 42 days of such a series: Σ φ^|i−j| / 42²
    lags = 0.8 ** np.abs(np.subtract.outer(np.arange(42), np.arange(42)))
    assert means.std() == pytest.approx(np.sqrt(lags.mean()), rel=0.12)


def test_what_series_share_they_share_in_the_resamples() -> None:
    common = remembering(0.7, 1, 364)
    series = 0.8 * common + 0.6 * remembering(0.7, 12, 364, seed=5)
    drawn: list[Floats] = []
    calibration.paths(series, 28, 80, 0, drawn.append)
    means = np.concatenate(drawn)[..., 364:].mean(axis=-1)
    together = np.corrcoef(means.T)[np.triu_indices(12, 1)].mean()
    assert 0.5 < together < 0.75  # planted 0.64


def test_p_values_of_calm_draws_are_uniform_far_into_the_tail() -> None:
    rng = np.random.default_rng(0)
    null = Null.of(np.abs(rng.normal(size=(400, 300))))
    p = null.p(np.abs(rng.normal(size=(1000, 300))))
    for level in (0.5, 0.1, 0.01, 0.001):
        assert 0.5 * level < np.mean(p <= level) < 1.4 * level, level
    assert np.mean(p <= 1e-4) < 1.4e-4


def test_the_critical_value_is_where_p_is_reached() -> None:
    null = Null.of(np.abs(np.random.default_rng(0).normal(size=(400, 50))))
    for level in (0.05, 1e-3, 1e-6):
        assert null.p(null.critical(level)) == pytest.approx(np.full(50, level), rel=0.05)


def test_the_smallest_of_three_p_values_is_a_p_value_again() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(500, 40))
    draws = np.stack([shared + 0.5 * rng.normal(size=shared.shape) for _ in range(3)])
    nulls = [Null.of(test) for test in draws]
    p = []
    for _ in range(60):
        one = rng.normal(size=40)
        seen = np.stack([one + 0.5 * rng.normal(size=40) for _ in range(3)])
        each = np.stack([null.p(s) for null, s in zip(nulls, seen, strict=True)])
        p.append(calibration.smallest(each, nulls))
    for level in (0.2, 0.05, 0.01):
        assert np.mean(np.array(p) <= level) == pytest.approx(level, rel=0.35), level


def test_adjusted_p_values_are_those_of_scipy() -> None:
    p = np.random.default_rng(0).random(200) ** 3
    assert calibration.step_up(p) == pytest.approx(stats.false_discovery_control(p))
