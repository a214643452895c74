from __future__ import annotations

import numpy as np
import pytest

from core import catalog
from core.errors import PersistenceError
from core.forecasters.boosted import _moments, features
from core.forecasters.pooled import Series
from core.samples import sample

NAMES = ("lightgbm", "xgboost")
QUICK = {"rounds": 40, "leaves": 16, "windows": 2_000}


def waves(n_entity=12, n_time=120, seed=0):
    """A week of its own for every entity, with weak noise."""
    rng = np.random.default_rng(seed)
    week = rng.standard_normal((n_entity, 7, 1)) * 10.0
    values = np.tile(week, (1, n_time // 7 + 1, 1))[:, :n_time]
    noise = rng.standard_normal(values.shape)
    return sample(n_entity, n_time).with_values(100.0 + values + noise, ("clicks",))


def made(name, **params):
    return catalog.make(name, **QUICK, **params)


def test_moments_leave_gaps_out_and_say_nothing_of_nothing():
    mean, deviation = _moments(np.array([[1.0, 3.0, np.nan], [np.nan] * 3]))
    assert (mean[0], deviation[0]) == (2.0, 1.0)
    assert np.isnan([mean[1], deviation[1]]).all()


def test_a_row_holds_lags_rolling_seasons_and_what_is_asked():
    panel = sample(n_entity=1, n_time=40).select(metrics=["ctr"])
    series = Series.of(panel, np.ones(1), 7, 10, 14, anchored=True)
    question = series.ask(np.array([0]), np.array([40]), np.array([1, 14]))
    rows = features(question)
    # 10 lags, 2 moments over 3 and over 7 of them, 7 seasons with 2 moments, 5 numbers of what is asked
    assert rows.shape == (2, 10 + 4 + 9 + 5)
    assert rows[:, :10] == pytest.approx(np.tile(question.recent, (2, 1)), rel=1e-6)
    assert rows[0, 10] == pytest.approx(question.recent[0, :3].mean(), rel=1e-6)
    # period 41 and 54 of a panel that begins on Monday, 5 January: Saturday 14 and Friday 27 February
    assert rows[:, -5:].tolist() == [[1, 0, 0, 5, 13], [14, 0, 0, 4, 26]]


@pytest.mark.parametrize("name", NAMES)
def test_the_pattern_of_each_entity_is_forecast(name):
    panel = waves()
    past, later = panel.select(times=slice(0, 106)), panel.values[:, 106:]
    middle = made(name).fit(past).forecast(past, 14)[..., 1]
    last = np.repeat(past.values[:, -1:], 14, axis=1)
    assert np.abs(later - middle).mean() < 0.25 * np.abs(later - last).mean()


@pytest.mark.parametrize("name", NAMES)
def test_an_entity_of_another_scale_is_forecast_alike(name):
    panel = waves()
    fitted = made(name).fit(panel)
    thousandfold = panel.with_values(1_000.0 * panel.values)
    alike = fitted.forecast(thousandfold, 3)[..., 1] / 1_000.0
    assert alike == pytest.approx(fitted.forecast(panel, 3)[..., 1], rel=1e-3)


def test_lightgbm_answers_as_the_library_does():
    import lightgbm

    fitted = made("lightgbm").fit(waves())
    booster = lightgbm.Booster(model_str=str(fitted.state["trees"]))
    assert booster.num_trees() == QUICK["rounds"]
    panel = waves()
    series = Series.of(panel, np.asarray(fitted.state["usual"]), 7, 56, 1, anchored=True)
    rows = np.arange(12)
    question = series.ask(rows, np.full(12, 120), np.array([1]))
    told = question.level + question.spread * booster.predict(features(question))
    assert np.array_equal(fitted.forecast(panel, 1)[:, 0, 0, 1], told)


def test_trees_that_are_no_ubj_are_refused():
    fitted = made("xgboost").fit(waves())
    state = {**fitted.state, "trees": "no trees"}
    with pytest.raises(PersistenceError, match="the trees must be a Blob"):
        type(fitted)(fitted.params, state=state).forecast(waves(), 1)
