from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from core.detectors.adaptive_conformal import AdaptiveConformal, AdaptiveConformalParams
from core.errors import InvalidInputError, UnknownNameError
from core.samples import sample


def wandering(n_entity, n_time, seed=0):
    """A wave under heavy-tailed noise that grows threefold."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_t(4, (n_entity, n_time)) * np.linspace(1, 3, n_time)
    wave = 10 * np.sin(2 * np.pi * np.arange(n_time) / 7)
    panel = sample(n_entity=n_entity, n_time=n_time)
    return panel.with_values((wave + noise)[:, :, None], ("clicks",))


def test_alarms_come_as_often_as_promised_where_the_noise_grows():
    panel = wandering(8, 6_000)
    early, late = panel.select(times=slice(0, 1_500)), panel.select(times=slice(1_500, None))
    scores = AdaptiveConformal().fit(early).score(late)[:, 7:]
    for rate in (0.05, 0.01):
        assert (scores >= -np.log10(rate)).mean() == pytest.approx(rate, rel=0.2)


def test_nothing_is_said_where_nothing_was_forecast_or_observed():
    panel = wandering(3, 200)
    values = panel.values.copy()
    values[1, 100:110] = np.nan
    scores = AdaptiveConformal().fit(panel).score(panel.with_values(values))
    assert (scores[:, :7] == 0).all()
    assert (scores[1, 100:110] == 0).all()
    assert (scores >= 0).all()


def test_a_short_history_borrows_from_all_entities():
    """Forty days of one entity cannot tell one in a thousand; those of sixty entities can."""
    panel = wandering(60, 40)
    fitted = AdaptiveConformal().fit(panel)
    values = panel.values.copy()
    values[3, 35] += 200.0
    scores = fitted.score(panel.with_values(values))
    assert scores[3, 35] > 3.5
    stranger = dataclasses.replace(panel.with_values(values), entities=tuple(map(str, range(60))))
    assert fitted.score(stranger)[3, 35] > 3.5


def test_each_entity_goes_on_from_its_own_past():
    """What is wild for one is usual for another."""
    panel = wandering(2, 3_000)
    values = panel.values.copy()
    values[1] *= np.where(np.random.default_rng(1).random((3_000, 1)) < 0.1, 20.0, 1.0)
    panel = panel.with_values(values)
    fitted = AdaptiveConformal().fit(panel.select(times=slice(0, 2_500)))
    late = panel.select(times=slice(2_500, None)).values.copy()
    late[:, 20] += 100.0
    calm, wild = fitted.score(panel.select(times=slice(2_500, None)).with_values(late))[:, 20]
    assert calm > wild + 1


def test_any_forecaster_of_the_catalogue_serves():
    params = AdaptiveConformalParams(settings="season=14, memory=60")
    panel = wandering(2, 100)
    scores = AdaptiveConformal(params).fit(panel).score(panel)
    assert (scores[:, :14] == 0).all()
    assert (scores[:, 14:] > 0).any()
    with pytest.raises(InvalidInputError, match="a part must be a forecaster"):
        AdaptiveConformal(AdaptiveConformalParams(forecaster="robust-z")).fit(panel)
    with pytest.raises(UnknownNameError, match="the algorithm must be one of"):
        AdaptiveConformal(AdaptiveConformalParams(forecaster="nobody")).fit(panel)
    with pytest.raises(InvalidInputError, match="settings must be name=value"):
        AdaptiveConformal(AdaptiveConformalParams(settings="season")).fit(panel)
