from __future__ import annotations

import numpy as np
import pytest

from core.forecasters.arima import Arima
from core.forecasters.arima_lstm import ArimaLstm, ArimaLstmParams, _borne_out
from core.samples import sample

QUICK = ArimaLstmParams(hidden=16, windows=1_000, epochs=20, lags=7, rate=0.02, batch=64, trials=1)


def tents(n_entity=20, n_time=120):
    """x ← 1 − 1.9 |x|: nothing linear is in it, and everything of it follows from the value before."""
    values = np.empty((n_entity, n_time, 1))
    values[:, 0, 0] = np.random.default_rng(0).uniform(-0.9, 0.9, n_entity)
    for time in range(1, n_time):
        values[:, time] = 1.0 - 1.9 * np.abs(values[:, time - 1])
    return sample(n_entity, n_time).with_values(values, ("clicks",))


@pytest.fixture(scope="module")
def fitted():
    return ArimaLstm(QUICK).fit(tents())


def test_what_no_linear_model_can_tell_is_told_by_the_net(fitted):
    panel = tents()
    linear = Arima(QUICK).fit(panel)
    missed, left = (
        np.abs(panel.values - model.predict(panel)[..., 1])[:, 40:].mean()
        for model in (linear, fitted)
    )
    assert left < 0.6 * missed


def test_a_net_that_found_nothing_changes_nothing(fitted):
    state = {**fitted.state, "share": np.zeros(1)}
    linear = Arima(QUICK).fit(tents())
    silent = ArimaLstm(QUICK, state=state)
    assert np.array_equal(silent.forecast(tents(), 5), linear.forecast(tents(), 5))
    assert np.array_equal(silent.predict(tents()), linear.predict(tents()), equal_nan=True)


def test_the_share_is_the_slope_of_errors_on_their_forecasts_within_bounds():
    forecasts = np.array([[[2.0, 1.0, 1.0]], [[-2.0, -1.0, -1.0]], [[np.nan, 0.0, 0.0]]])
    errors = forecasts * np.array([0.5, -1.0, 3.0])
    predicted = np.stack([forecasts * 0.0, forecasts, forecasts * 0.0 + 1.0], axis=-1)
    assert _borne_out(errors, forecasts, predicted).tolist() == [0.5, 0.0, 1.0]
