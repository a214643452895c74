from __future__ import annotations

import numpy as np
import pytest

from core.errors import NotEnoughDataError
from core.forecasters.seasonal_naive import SeasonalNaive, SeasonalNaiveParams
from core.samples import sample


def weekly(n_time=42):
    week = np.array([10.0, 12, 11, 13, 20, 30, 25])
    panel = sample(n_entity=2, n_time=n_time)
    values = np.tile(week, n_time // 7 + 1)[None, :n_time, None] * np.array([[[1.0]], [[100.0]]])
    return panel.with_values(values, ("clicks",))


def test_next_week_is_last_week():
    forecast = SeasonalNaive().fit(weekly()).forecast(weekly(), 9)
    assert forecast[0, :, 0, 1].tolist() == [10, 12, 11, 13, 20, 30, 25, 10, 12]
    assert forecast[1, 4, 0, 1] == 2_000


def test_a_gap_is_filled_by_the_same_weekday_before():
    values = weekly().values.copy()
    values[0, 36] = np.nan
    panel = weekly().with_values(values)
    assert SeasonalNaive().fit(panel).forecast(panel, 7)[0, 1, 0, 1] == 12.0


def test_the_first_season_is_not_predicted():
    predicted = SeasonalNaive().fit(weekly()).predict(weekly())
    assert np.isnan(predicted[:, :7]).all()
    assert np.isfinite(predicted[:, 7:]).all()


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_the_interval_holds_the_share_it_promises(coverage):
    fitted = SeasonalNaive(SeasonalNaiveParams(coverage=coverage)).fit(
        sample(n_entity=200, n_time=70)
    )
    panel = sample(n_entity=200, n_time=70, seed=1)
    low, _, high = np.moveaxis(fitted.predict(panel)[:, 21:], -1, 0)
    inside = np.mean((low <= panel.values[:, 21:]) & (panel.values[:, 21:] <= high))
    assert inside == pytest.approx(coverage, abs=0.02)


def test_each_entity_has_its_own_width():
    values = sample().values.copy()
    values[0] *= 50.0
    panel = sample().with_values(values)
    forecast = SeasonalNaive().fit(panel).forecast(panel, 1)
    width = (forecast[..., 2] - forecast[..., 0]).mean(axis=(1, 2))
    assert 30 < width[0] / np.median(width[1:]) < 80


def test_the_interval_widens_with_the_root_of_the_seasons_ahead():
    forecast = SeasonalNaive().fit(sample()).forecast(sample(), 28)
    width = forecast[..., 2] - forecast[..., 0]
    assert np.allclose(width[:, 21:] / width[:, :7], 2.0)


def test_a_panel_shorter_than_two_of_its_seasons_is_refused():
    with pytest.raises(NotEnoughDataError, match=r"at least 41, two seasons and one. Got 30"):
        SeasonalNaive(SeasonalNaiveParams(season=20)).fit(sample(n_time=30))
