from __future__ import annotations

import numpy as np
import pytest

from core.contracts import Panel, Periods
from core.forecasters.arima import N_COEFFICIENT, Arima, ArimaParams, Form


def panel(values, step="h"):
    periods = Periods(
        np.datetime64("2026-01-05T00:00:00", "s")
        + np.arange(len(values)) * np.timedelta64(1, step),
        np.timedelta64(1, step),
    )
    return Panel(np.asarray(values, dtype=float)[None, :, None], ("a",), ("value",), periods)


def autoregression(n=600, seed=0):
    rng = np.random.default_rng(seed)
    values = np.zeros(n)
    for time in range(2, n):
        values[time] = 0.6 * values[time - 1] + 0.3 * values[time - 2] + rng.normal()
    return values


def coefficients(**blocks):
    places = {"ar": 0, "ma": 4, "short_ar": 7, "short_ma": 9, "constant": 13}
    found = np.zeros(N_COEFFICIENT)
    for name, block in blocks.items():
        found[places[name] : places[name] + len(block)] = block
    return found


def test_with_equal_coefficients_it_predicts_what_statsmodels_does():
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    values = np.cumsum(autoregression(300))
    form = Form(1, 1, 2, 1, 1, 1, 0, 0, 0, 7, 1, 0)
    told = form.predict(
        coefficients(ar=[0.5, 0.2], ma=[0.3], short_ar=[0.2], short_ma=[-0.4])[None],
        np.append(values, [np.nan] * 10)[:, None],
    )[:, 0]
    peer = SARIMAX(values, order=(2, 1, 1), seasonal_order=(1, 1, 1, 7)).smooth(
        [0.5, 0.2, 0.3, 0.2, -0.4, 1.0]
    )
    assert told[150:300] == pytest.approx(peer.fittedvalues[150:], rel=1e-4, abs=1e-3)
    assert told[300:] == pytest.approx(peer.forecast(10), rel=1e-4, abs=1e-3)


def test_known_coefficients_are_found():
    fitted = Arima(ArimaParams(period=1)).fit(panel(autoregression(3_000), "D"))
    form = Form(*fitted.state["orders"][0, 0].tolist())
    ar = fitted.state["weights"][0, 0, : form.ar]
    assert (form.d, form.ar) == (0, 2)
    assert ar == pytest.approx([0.6, 0.3], abs=0.06)


def test_a_day_and_a_week_are_both_learned():
    hours = np.arange(24 * 7 * 5)
    rng = np.random.default_rng(1)
    weekend = (hours // 24 % 7 >= 5) * 30.0
    values = 100 + 20 * np.sin(2 * np.pi * hours / 24) - weekend + rng.normal(0, 1, len(hours))
    fitted = Arima(ArimaParams(trials=1)).fit(panel(values[:-72]))
    ahead = fitted.forecast(panel(values[:-72]), 72)[0, :, 0, 1]
    assert np.abs(ahead - values[-72:]).mean() < 2.5


def test_growth_by_a_share_is_taken_in_logarithms():
    rng = np.random.default_rng(2)
    values = np.exp(0.05 * np.arange(150) + rng.normal(0, 0.05, 150))
    fitted = Arima(ArimaParams(period=1, trials=10)).fit(panel(values, "D"))
    assert fitted.state["orders"][0, 0, -1] == 1
    ahead = fitted.forecast(panel(values, "D"), 10)[0, :, 0, 1]
    assert ahead[-1] / values[-1] == pytest.approx(np.exp(0.5), rel=0.15)


def test_another_history_is_followed_with_the_learned_model():
    values = autoregression()
    fitted = Arima(ArimaParams(period=1)).fit(panel(values, "D"))
    later = autoregression(seed=5)
    told = fitted.predict(panel(later, "D"))[0, 20:, 0, 1]
    error = later[20:] - told
    assert error.std() == pytest.approx(1.0, abs=0.1)


def test_an_entity_never_seen_is_followed_from_its_own_level():
    values = 1_000 + autoregression()
    fitted = Arima(ArimaParams(period=1)).fit(panel(values, "D"))
    other = panel(values + 5_000, "D")
    other = Panel(other.values, ("new",), other.metrics, other.periods)
    told = fitted.predict(other)[0, :, 0, 1]
    assert np.isnan(told[:14]).all()
    assert np.abs(other.values[0, 100:, 0] - told[100:]).mean() < 2.0
