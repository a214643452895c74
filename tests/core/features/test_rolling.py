"""Lags and rolling statistics agree with pandas and scipy, count only what is known, and never look ahead."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from core.features.rolling import filled, lagged, rolling, shape

NAN = np.nan


def gappy(n_entity: int = 3, n_time: int = 90, n_metric: int = 2):
    rng = np.random.default_rng(4)
    values = rng.gamma(2.0, size=(n_entity, n_time, n_metric))
    values[rng.random(values.shape) < 0.1] = NAN
    return values


def series(values):
    """Each metric of each entity as a pandas series, with its place."""
    for entity in range(values.shape[0]):
        for metric in range(values.shape[2]):
            yield (entity, slice(None), metric), pd.Series(values[entity, :, metric])


@pytest.mark.parametrize("lag", [1, 5, 60, 200])
def test_a_lag_is_the_value_of_so_many_periods_before(lag):
    values = gappy()
    for place, known in series(values):
        np.testing.assert_array_equal(lagged(values, lag)[place], known.shift(lag))


@pytest.mark.parametrize("span", [1, 5, 30])
def test_rolling_statistics_are_those_of_pandas(span):
    values = gappy()
    found = dict(rolling(values, span))
    assert list(found) == ["mean", "std", "min", "max"]
    for place, known in series(values):
        windows = known.rolling(span, min_periods=1)
        expected = {
            "mean": windows.mean(),
            "std": windows.std(ddof=0),
            "min": windows.min(),
            "max": windows.max(),
        }
        for what, column in expected.items():
            np.testing.assert_allclose(found[what][place], column, rtol=1e-9, atol=1e-7)


def test_skew_and_kurtosis_are_those_of_scipy():
    values = gappy()
    found = dict(shape(values, 60))
    for place, known in series(values):
        for what, expected in (("skew", stats.skew), ("kurtosis", stats.kurtosis)):
            windows = known.rolling(60, min_periods=1)
            column = windows.apply(lambda window, say=expected: say(window.dropna()))
            np.testing.assert_allclose(found[what][place][5:], column[5:], rtol=1e-8)


def test_values_that_do_not_differ_have_no_shape():
    flat = np.full((1, 70, 1), 0.1)
    assert all((values == 0.0).all() for _, values in shape(flat, 60))


def test_nothing_known_gives_nothing():
    nothing = np.full((1, 8, 1), NAN)
    assert all(np.isnan(values).all() for _, values in [*rolling(nothing, 5), *shape(nothing, 5)])


def test_cutting_the_future_or_the_far_past_changes_no_bit():
    values = gappy()
    for made in (rolling, shape):
        for (_, whole), (_, past), (_, late) in zip(
            made(values, 10), made(values[:, :50], 10), made(values[:, 40:], 10), strict=True
        ):
            np.testing.assert_array_equal(whole[:, :50], past)
            np.testing.assert_array_equal(whole[:, 50:], late[:, 10:])


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("forward", [NAN, 1.0, 1.0, 1.0, 4.0, 4.0]),
        ("interpolate", [NAN, 1.0, 2.0, 3.0, 4.0, 4.0]),
        ("drop", [NAN, 1.0, NAN, NAN, 4.0, NAN]),
    ],
)
def test_gaps_are_closed_as_told_and_stay_marked(method, expected):
    values = np.array([NAN, 1.0, NAN, NAN, 4.0, NAN])[None, :, None]
    closed, missing = filled(values, method)
    np.testing.assert_array_equal(closed[0, :, 0], expected)
    assert missing[0, :, 0].tolist() == [True, False, True, True, False, True]
