from __future__ import annotations

import numpy as np
import pytest

from core.forecasters.theta import Theta, _predictions
from tests.core.forecasters.test_ets import panel, weeks


def by_the_book(values, horizon, alpha, theta):
    """Equations 18 to 23 of Fiorucci et al. (2016), in the order in which they stand there."""
    values = list(values)
    level, start, slope, mean = values[0] / theta, 0.0, 0.0, 0.0
    told = []
    for t in range(1, len(values) + horizon + 1):
        line = (1 - alpha) ** (t - 1) * start + (1 - (1 - alpha) ** t) / alpha * slope
        expected = level + (1 - 1 / theta) * line
        told.append(values[0] if t == 1 else expected)
        value = values[t - 1] if t <= len(values) else expected
        level = alpha * value + (1 - alpha) * level
        before, mean = mean, ((t - 1) * mean + value) / t
        slope = 0.0 if t == 1 else ((t - 2) * slope + 6 / t * (value - before)) / (t + 1)
        start = mean - (t + 1) / 2 * slope
    return told


def test_the_recursion_is_the_one_of_the_book():
    values = 50 + np.cumsum(np.random.default_rng(0).normal(size=60))
    given = np.append(values, [np.nan] * 12)[:, None]
    told = _predictions(np.array([[0.3, 2.5]]), given)[:, 0]
    assert told == pytest.approx(by_the_book(values, 12, 0.3, 2.5), rel=1e-9)


def test_the_season_comes_back_by_the_calendar():
    values = weeks(140)
    fitted = Theta().fit(panel(values))
    later = panel(values).select(times=slice(3, 130))
    ahead = fitted.forecast(later, 7)[0, :, 0, 1]
    assert np.argmax(ahead) == np.argmax(values[130:137])
    assert np.abs(ahead - values[130:137]).mean() < 1.0


def test_a_series_without_a_season_gets_none():
    values = 50 + np.random.default_rng(0).normal(size=200)
    assert Theta().fit(panel(values)).state["orders"][0, 0, 0] == 1


def test_half_of_a_steady_trend_is_carried_on_at_least():
    ahead = Theta().fit(panel(np.arange(100.0))).forecast(panel(np.arange(100.0)), 10)[0, :, 0, 1]
    assert 104 < ahead[-1] <= 109.5
