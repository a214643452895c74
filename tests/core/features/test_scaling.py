from __future__ import annotations

import numpy as np

from core.features.scaling import MAD_TO_SD, Scale, robust_scale


def test_median_and_mad_worked_by_hand():
    values = np.array([2.1, 2.6, 2.4, 2.5, 2.3, 2.1, 2.3, 2.6, 8.2, 8.3])
    centre, spread = robust_scale(values, axis=0)
    # deviations from 2.45, sorted: .05 .05 .15 .15 .15 .15 .35 .35 5.75 5.85
    assert np.isclose(centre, 2.45)
    assert np.isclose(spread, 1.4826 * 0.15)


def test_the_spread_of_normal_values_is_their_standard_deviation():
    values = np.random.default_rng(0).normal(5.0, 3.0, 200_000)
    _, spread = robust_scale(values, axis=0)
    assert abs(spread / 3.0 - 1) < 0.01


def test_where_most_values_are_equal_the_standard_deviation_takes_over():
    values = np.array([0.0] * 8 + [10.0, -10.0])
    assert np.isclose(robust_scale(values, axis=0)[1], np.std(values))


def test_a_flat_or_absent_metric_has_spread_one():
    values = np.stack([np.full(5, 1e9 + 0.1), np.full(5, np.nan)], axis=1)
    centre, spread = robust_scale(values, axis=0)
    assert np.allclose(centre, [1e9 + 0.1, 0.0])
    assert spread.tolist() == [1.0, 1.0]


def test_missing_becomes_as_expected_and_far_is_clipped():
    scale = Scale(np.array([10.0]), np.array([2.0]))
    applied = scale.apply(np.array([[14.0], [np.nan], [1e9], [-np.inf]]), reach=5.0)
    assert applied.ravel().tolist() == [2.0, 0.0, 5.0, -5.0]


def test_the_factor_is_that_of_the_normal_distribution():
    from scipy.stats import norm

    assert np.isclose(MAD_TO_SD, 1 / norm.ppf(0.75), atol=1e-4)
