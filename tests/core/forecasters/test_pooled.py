"""Windows, scaling, blocks and intervals around models whose answers are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import NotEnoughDataError
from core.forecasters.pooled import PooledForecaster, PooledParams, Series
from core.samples import sample


class LastValue(PooledForecaster):
    """The newest known value."""

    name = "last-value"
    Params = PooledParams

    def _learn(self, training, validation, on_step):
        return {}

    def _load(self, state):
        return None

    def _ahead(self, model, question):
        return np.zeros(question.asked.shape[:2])


class LastSeason(LastValue):
    """The newest value of the asked phase."""

    def _ahead(self, model, question):
        return question.seasons[..., 0]


def weekly(n_time=42):
    week = np.array([10.0, 12, 11, 13, 20, 30, 25])
    panel = sample(n_entity=3, n_time=n_time)
    values = (
        np.tile(week, n_time // 7 + 1)[None, :n_time, None] * np.array([1.0, 100, 7])[:, None, None]
    )
    return panel.with_values(values, ("clicks",))


def series_of(values, period=2, lags=4):
    panel = sample(n_entity=1, n_time=len(values))
    panel = panel.with_values(np.array(values, dtype=float)[None, :, None], ("clicks",))
    return Series.of(panel, np.ones(1), period, lags, 4, anchored=True)


def test_a_window_is_told_in_mean_changes_from_its_newest_value():
    question = series_of([9, 1, 3, 5, 11]).ask(np.array([0]), np.array([5]), np.array([1, 2, 3]))
    # the lags 11, 5, 3, 1 change by 6, 2, 2
    assert question.level[0] == 11
    assert question.spread[0] == pytest.approx(10 / 3)
    assert question.recent[0] * question.spread[0] + 11 == pytest.approx([11, 5, 3, 1])


def test_seasons_hold_the_asked_phase_and_nothing_later_than_the_origin():
    question = series_of([9, 1, 3, 5, 11]).ask(np.array([0]), np.array([4]), np.array([1, 2, 3]))
    values = question.seasons * question.spread[0] + question.level[0]
    # steps 1, 2, 3 fall on periods 4, 5, 6; the origin has seen periods 0 … 3
    assert values[0, :, :2] == pytest.approx(np.array([[3, 9], [5, 1], [3, 9]]))
    assert np.isnan(values[0, :, 2:]).all()


def test_a_gap_is_skipped_for_the_level_and_left_out_of_the_spread():
    question = series_of([2, 4, 4, np.nan]).ask(np.array([0]), np.array([4]), np.array([1]))
    assert (question.level[0], question.spread[0]) == (4, 1)
    assert np.isnan(question.recent[0, 0])


def test_a_series_without_any_value_is_not_forecast():
    question = series_of([np.nan] * 4).ask(np.array([0]), np.array([4]), np.array([1]))
    assert np.isnan(question.level[0])


def test_next_week_is_last_week_also_beyond_what_is_forecast_at_once():
    forecast = LastSeason(PooledParams(ahead=4)).fit(weekly()).forecast(weekly(), 16)
    assert forecast[0, :, 0, 1] == pytest.approx(np.tile(weekly().values[0, :7, 0], 3)[:16])
    assert forecast[1, 5, 0, 1] == pytest.approx(3_000)


def test_each_series_has_its_own_width():
    panel = sample(n_entity=40, n_time=60)
    values = panel.values.copy()
    values[0] *= 50.0
    panel = panel.with_values(values)
    forecast = LastValue().fit(panel).forecast(panel, 5)
    width = (forecast[..., 2] - forecast[..., 0]).mean(axis=(1, 2))
    assert 35 < width[0] / np.median(width[1:]) < 70


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_the_interval_holds_the_share_it_promises(coverage):
    params = PooledParams(coverage=coverage)
    fitted = LastValue(params).fit(sample(n_entity=200, n_time=70))
    panel = sample(n_entity=200, n_time=70, seed=1)
    low, _, high = np.moveaxis(fitted.predict(panel)[:, 30:], -1, 0)
    inside = np.mean((low <= panel.values[:, 30:]) & (panel.values[:, 30:] <= high))
    assert inside == pytest.approx(coverage, abs=0.03)


def test_too_few_values_to_learn_from_are_told():
    panel = sample(n_entity=1, n_time=20)
    values = np.full_like(panel.values, np.nan)
    values[0, -2:] = 1.0
    with pytest.raises(
        NotEnoughDataError, match="windows must be at least 1 with 3 values before it"
    ):
        LastValue().fit(panel.with_values(values))
