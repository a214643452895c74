from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from core.contracts import Panel, Periods
from core.detectors.decomposition import SeasonalEsd, StlResidual, esd

pytest.importorskip("statsmodels", reason="needs the extra `forecasters`")

HOUR = np.timedelta64(1, "h")


def series(values, start=0):
    values = np.atleast_2d(np.asarray(values, dtype=float))
    labels = np.datetime64("2026-01-01", "s") + (start + np.arange(values.shape[1])) * HOUR
    names = tuple(f"shop:{number}" for number in range(len(values)))
    return Panel(values[:, :, None], names, ("orders",), Periods(labels, HOUR))


def days(n_time, seed=0, start=0):
    """A jagged day of 24 hours under noise."""
    shape = 5 * np.random.default_rng(9).normal(size=24)
    time = start + np.arange(n_time)
    return shape[time % 24] + np.random.default_rng(seed).normal(size=n_time)


@pytest.mark.parametrize(("outliers", "critical"), [(0, 3.159), (1, 3.151), (2, 3.144)])
def test_critical_values_are_those_of_the_handbook(outliers, critical):
    """NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.5.17.3: 54 values at 5 %."""
    values = np.linspace(-1, 1, 54)
    values[:outliers] = 50.0
    left, found = esd(values, 0.2, 0.05)
    assert len(left) == 54 - outliers
    assert found == pytest.approx(critical, abs=6e-4)


def test_the_test_does_not_stop_at_outliers_that_hide_each_other():
    values = np.concatenate([np.random.default_rng(0).normal(size=200), [8.0, 8.1, -9.0, 60.0]])
    assert esd(values, 0.1, 0.05)[0].max() < 4
    assert len(esd(values, 0.01, 0.05)[0]) == 202
    assert len(esd(np.zeros(50), 0.1, 0.05)[0]) == 50


@pytest.mark.parametrize("detector", [StlResidual, SeasonalEsd])
@pytest.mark.parametrize("align", ["trailing", "centre"])
def test_a_usual_value_at_the_wrong_hour_stands_out(detector, align):
    values = days(480, seed=1, start=480)
    # the hours of the day change places: every value is usual, twelve hours later
    low, high = np.argsort(days(24, start=480))[[0, -1]]
    values[240 + low] = values[240 + high]
    fitted = detector(detector.Params(align=align)).fit(series(days(480)))
    assert fitted.state["season.0"].shape == (1, 24)
    scores = fitted.score(series(values, start=480))[0]
    assert scores.argmax() == 240 + low


@pytest.mark.parametrize("detector", [StlResidual, SeasonalEsd])
def test_the_season_goes_by_the_clock_not_by_the_start_of_the_panel(detector):
    fitted = detector().fit(series(days(480)))
    whole = fitted.score(series(days(240, seed=1, start=480), start=480))[0]
    cut = fitted.score(series(days(240, seed=1, start=480)[31:], start=511))[0]
    assert np.allclose(whole[31 + 24 :], cut[24:])
    late = fitted.score(series(days(240, seed=1, start=480), start=487))[0]
    assert np.median(late[24:]) > 2 * np.median(whole[24:])


def test_the_score_above_one_is_the_call_of_the_test():
    values = days(480, seed=1)
    values[[100, 200]] += [9.0, -12.0]
    scores = (
        SeasonalEsd(SeasonalEsd.Params(align="centre"))
        .fit(series(days(480)))
        .score(series(values))[0]
    )
    assert np.flatnonzero(scores > 1).tolist() == [100, 200]


def test_residuals_are_those_of_statsmodels():
    from statsmodels.tsa.seasonal import STL

    values = days(480)
    fitted = StlResidual(StlResidual.Params(align="centre", period=24)).fit(series(values))
    scaled = (values - fitted.state["centre"][0]) / fitted.state["spread"][0]
    parts = STL(scaled, period=24, robust=True, trend_jump=3, low_pass_jump=3).fit(
        inner_iter=1, outer_iter=5
    )
    rest = parts.resid - np.median(parts.resid)
    expected = np.abs(rest) / (1.4826 * np.median(np.abs(rest)))
    assert fitted.score(series(values))[0] == pytest.approx(expected)


def test_a_step_shows_and_then_becomes_the_level():
    values = days(480, seed=1, start=480)
    values[240:] += 30.0
    scores = StlResidual().fit(series(days(480))).score(series(values, start=480))[0]
    assert scores[240] > 10
    assert np.median(scores[280:]) < 2


def test_an_entity_that_was_not_there_is_given_the_mean_season():
    both = series(np.stack([days(480), days(480, seed=1)]))
    fitted = StlResidual().fit(both)
    late = series(days(240, seed=2, start=480), start=480)
    stranger = dataclasses.replace(late, entities=("shop:new",))
    ratio = fitted.score(stranger)[0].mean() / fitted.score(late)[0].mean()
    assert ratio == pytest.approx(1.0, abs=0.15)
