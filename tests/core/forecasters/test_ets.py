from __future__ import annotations

import numpy as np
import pytest

from core.contracts import Panel, Periods
from core.forecasters.ets import Ets, Form
from core.forecasters.series import SeriesParams


def panel(values, step="D", entity="a"):
    periods = Periods(
        np.datetime64("2026-01-05T00:00:00", "s")
        + np.arange(len(values)) * np.timedelta64(1, step),
        np.timedelta64(1, step),
    )
    return Panel(np.asarray(values, dtype=float)[None, :, None], (entity,), ("value",), periods)


def weeks(n=300, seed=0):
    rng = np.random.default_rng(seed)
    return np.tile([10.0, 12, 11, 13, 20, 30, 25], n)[:n] + 0.2 * np.cumsum(rng.normal(size=n))


def test_with_equal_weights_it_predicts_what_statsmodels_does():
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    values = weeks()
    alpha, beta, gamma, damping = 0.4, 0.1, 0.2, 0.9
    weights = np.array([[alpha, beta, gamma / (1 - alpha), 0.0, damping, 0.0]])
    told = Form(1, 7, 1, 0, 0).predict(weights, np.append(values, [np.nan] * 14)[:, None])[:, 0]
    peer = ExponentialSmoothing(
        values, trend="add", damped_trend=True, seasonal="add", seasonal_periods=7
    ).fit(
        smoothing_level=alpha,
        smoothing_trend=beta,
        smoothing_seasonal=gamma,
        damping_trend=damping,
        optimized=False,
    )
    assert told[200:300] == pytest.approx(peer.fittedvalues[200:], rel=1e-3)
    assert told[300:] == pytest.approx(peer.forecast(14), rel=1e-3)


def test_the_form_follows_the_series():
    rng = np.random.default_rng(0)
    forms = {
        "walk": np.cumsum(rng.normal(size=400)),
        "weeks": weeks(400),
        "growth": np.exp(0.02 * np.arange(400) + rng.normal(0, 0.02, 400)),
    }
    found = {
        name: Form(*Ets().fit(panel(values)).state["orders"][0, 0].tolist())
        for name, values in forms.items()
    }
    assert found["walk"].short == 1
    assert found["weeks"].short == 7
    assert found["growth"].trend > 0
    assert found["growth"].log == 1


def test_two_seasons_are_carried_on():
    hours = np.arange(24 * 7 * 5)
    weekend = (hours // 24 % 7 >= 5) * 30.0
    rng = np.random.default_rng(1)
    values = 100 + 20 * np.sin(2 * np.pi * hours / 24) - weekend + rng.normal(size=len(hours))
    past = panel(values[:-72], "h")
    fitted = Ets().fit(past)
    assert fitted.state["orders"][0, 0, 1:3].tolist() == [24, 168]
    assert np.abs(fitted.forecast(past, 72)[0, :, 0, 1] - values[-72:]).mean() < 2.0


def test_the_first_cycles_are_not_predicted():
    told = Ets(SeriesParams(period=7)).fit(panel(weeks())).predict(panel(weeks()))[0, :, 0, 1]
    assert np.isnan(told[:14]).all()
    assert np.isfinite(told[14:]).all()


def test_a_value_of_nothing_is_low_not_missing():
    rng = np.random.default_rng(0)
    growth = np.exp(0.02 * np.arange(200) + rng.normal(0, 0.02, 200))
    fitted = Ets(SeriesParams(period=1)).fit(panel(growth))
    growth[-1] = 0.0
    assert np.isfinite(fitted.forecast(panel(growth), 5)).all()
    assert fitted.forecast(panel(growth), 1)[0, 0, 0, 1] < growth[-2]
