from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from data.simulate import draws

ZERO = np.zeros(1, dtype=np.uint64)
UNIFORMS = draws.uniform(draws.derive(draws.root_key("test", 1), np.arange(200_000)))


def test_derive_gives_the_published_splitmix64_sequence_of_seed_zero() -> None:
    # Vigna's splitmix64.c, first three outputs for state 0
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert draws.derive(ZERO, np.arange(3)).tolist() == expected


def test_uniforms_are_uniform_and_never_touch_zero_or_one() -> None:
    assert UNIFORMS.min() > 0.0
    assert UNIFORMS.max() < 1.0
    assert stats.kstest(UNIFORMS, "uniform").pvalue > 0.01


def test_neighbouring_keys_are_uncorrelated_along_both_axes() -> None:
    keys = draws.derive(draws.derive(ZERO, np.arange(400))[:, None], np.arange(400)[None, :])
    u = draws.uniform(keys)
    for a, b in ((u[1:], u[:-1]), (u[:, 1:], u[:, :-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.01


@pytest.mark.parametrize("mean", [0.01, 0.7, 6.0, 30.0])
def test_poisson_is_the_exact_quantile(mean: float) -> None:
    u = UNIFORMS[:5000]
    drawn = draws.poisson(u, np.full(u.shape, mean))
    np.testing.assert_array_equal(drawn, stats.poisson.ppf(u, mean))


def test_binomial_is_the_exact_quantile_and_handles_empty_cells() -> None:
    u = UNIFORMS[:5000]
    trials = np.arange(5000) % 60
    drawn = draws.binomial(u, trials.astype(float), np.full(u.shape, 0.03))
    np.testing.assert_array_equal(drawn, np.maximum(0, stats.binom.ppf(u, trials, 0.03)))
    assert (drawn[trials == 0] == 0).all()


def test_negative_binomial_is_exact_below_ten_and_within_one_above() -> None:
    u = UNIFORMS[:5000]
    for mean, off_by in ((0.0, 0), (0.5, 0), (9.9, 0), (10.0, 1), (80.0, 1), (600.0, 1)):
        drawn = draws.negative_binomial(u, np.full(u.shape, mean), 30.0)
        exact = stats.nbinom.ppf(u, 30, 30 / (30 + mean))
        assert np.abs(drawn - exact).max() <= off_by
        assert abs(drawn.mean() - exact.mean()) <= 0.02


def test_autoregressive_paths_have_the_stated_spread_and_memory() -> None:
    keys = draws.derive(ZERO, np.arange(3000))
    paths = draws.autoregressive(keys, 40, 0.03, 0.6)
    assert paths.std(axis=0) == pytest.approx(np.full(40, 0.03), rel=0.06)
    lag_one = np.corrcoef(paths[:, 1:].ravel(), paths[:, :-1].ravel())[0, 1]
    assert lag_one == pytest.approx(0.6, abs=0.02)
