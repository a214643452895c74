from __future__ import annotations

import numpy as np
import pytest

from core.features.season import delayed, season, trailing

DAYS = 120
WEEKDAY = (np.arange(DAYS) + 3) % 7


def seasons(counts: np.ndarray, gap: int = 15) -> tuple[np.ndarray, np.ndarray]:
    group = np.zeros(len(counts), dtype=np.intp)
    return season(counts, np.ones(counts.shape, dtype=bool), group, WEEKDAY, memory=28.0, gap=gap)


def test_planted_weekday_factors_are_found():
    planted = np.array([1.0, 1.02, 0.98, 1.0, 1.1, 0.7, 0.8])
    counts = np.random.default_rng(1).poisson(2000 * planted[WEEKDAY], (20, DAYS)).astype(float)
    factor, _ = seasons(counts)
    found = factor[0, -7:]
    expected = planted[WEEKDAY[-7:]]
    np.testing.assert_allclose(found / found.mean(), expected / expected.mean(), atol=0.03)


def test_planted_growth_is_found_and_flat_accounts_stay_flat():
    rng = np.random.default_rng(2)
    for rate in (0.003, 0.0):
        counts = rng.poisson(2000 * np.exp(rate * np.arange(DAYS)), (20, DAYS)).astype(float)
        assert seasons(counts)[1][0, -1] == pytest.approx(rate, abs=0.0007)


def test_accounts_keep_their_own_week():
    counts = np.full((2, DAYS), 1000.0)
    counts[0, WEEKDAY == 6] *= 0.5
    group = np.array([0, 1])
    factor, _ = season(counts, np.ones_like(counts, dtype=bool), group, WEEKDAY, 28.0, 15)
    assert factor[0, np.flatnonzero(WEEKDAY == 6)[-1]] < 0.6
    np.testing.assert_allclose(factor[1, -7:], 1.0)


def test_nothing_is_known_before_the_first_week_has_passed():
    factor, growth = seasons(np.full((3, DAYS), 50.0))
    assert (factor[:, :15] == 1.0).all()
    assert (growth[:, :15] == 0.0).all()


def test_trailing_sums_fade_and_keep_their_distance():
    sums = trailing(np.array([1.0, 0.0, 0.0, 0.0]), memory=2.0, gap=1)
    np.testing.assert_allclose(sums, [0, 1, np.exp(-0.5), np.exp(-1.0)])
    assert delayed(np.arange(3.0), 5).tolist() == [0, 0, 0]
