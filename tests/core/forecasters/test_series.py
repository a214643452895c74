"""What the statistical forecasters share, shown on the quickest of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from core.contracts import Panel, Periods
from core.forecasters.series import Cycles, SeriesParams, trailing
from core.forecasters.theta import Theta
from core.samples import sample


def walks(n_entity=60, n_time=200, seed=0, scale=None):
    rng = np.random.default_rng(seed)
    size = np.ones(n_entity) if scale is None else scale
    values = 100 + np.cumsum(rng.normal(size=(n_entity, n_time)), axis=1)
    labels = np.datetime64("2026-01-05T00:00:00", "s") + np.arange(n_time) * np.timedelta64(1, "D")
    entities = tuple(f"e{number}" for number in range(n_entity))
    periods = Periods(labels, np.timedelta64(1, "D"))
    return Panel((size[:, None] * values)[:, :, None], entities, ("value",), periods)


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_the_interval_holds_the_share_it_promises_however_far_ahead(coverage):
    panel = walks(n_time=214)
    past = panel.select(times=slice(0, 200))
    fitted = Theta(SeriesParams(coverage=coverage)).fit(past)
    low, _, high = np.moveaxis(fitted.forecast(past, 14), -1, 0)
    actual = panel.values[:, 200:]
    inside = np.mean((low <= actual) & (actual <= high))
    assert inside == pytest.approx(coverage, abs=0.06)


def test_series_of_unlike_size_have_intervals_of_their_own_size():
    scale = np.where(np.arange(60) < 30, 1.0, 1e4)
    fitted = Theta().fit(walks(scale=scale))
    forecast = fitted.forecast(walks(scale=scale), 5)
    width = (forecast[..., 2] - forecast[..., 0]).mean(axis=(1, 2))
    assert np.median(width[30:]) / np.median(width[:30]) == pytest.approx(1e4, rel=0.3)


def test_an_interval_widens_with_the_steps_ahead():
    forecast = Theta().fit(walks()).forecast(walks(), 14)[:, :, 0]
    width = (forecast[..., 2] - forecast[..., 0]).mean(axis=0)
    assert width[13] / width[0] == pytest.approx(np.sqrt(14), rel=0.4)


def test_few_models_serve_all_entities():
    fitted = Theta(SeriesParams(models=7)).fit(sample())
    assert len(fitted.state["weights"]) == 6
    assert np.isfinite(fitted.forecast(sample(), 3)).all()


def test_an_entity_never_seen_borrows_the_typical_model():
    fitted = Theta().fit(sample())
    row = int(fitted.state["typical"][0])
    seen = sample().select(entities=(f"keyword:{row}",))
    new = dataclasses.replace(seen, entities=("keyword:new",))
    expected, borrowed = (fitted.predict(panel)[:, 14:, 0, 1] for panel in (seen, new))
    assert borrowed == pytest.approx(expected)
    assert np.isnan(fitted.predict(new)[:, :14]).all()


def test_a_history_without_values_is_not_forecast():
    values = sample().values.copy()
    values[3] = np.nan
    panel = sample().with_values(values)
    forecast = Theta().fit(panel).forecast(panel, 2)
    assert np.isnan(forecast[3]).all()
    assert np.isfinite(np.delete(forecast, 3, axis=0)).all()


def test_cycles_count_where_the_history_holds_three():
    assert Cycles(24, 168).seen(504) == (24, 168)
    assert Cycles(24, 168).seen(503) == (24, 1)
    assert Cycles(24, 168).seen(71) == (1, 1)


def test_trailing_sums_look_back_only():
    values = np.array([1.0, np.nan, 3.0, 4.0])[None, :, None]
    total, count = trailing(values, 2)
    assert total[0, :, 0].tolist() == [0, 1, 1, 3, 7]
    assert count[0, :, 0].tolist() == [0, 1, 1, 1, 2]
