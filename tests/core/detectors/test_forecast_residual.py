from __future__ import annotations

import numpy as np
import pytest

from core.detectors.forecast_residual import SeasonalNaiveResidual, residual_detector
from core.forecasters.seasonal_naive import SeasonalNaive
from core.samples import SPIKE, sample, spiked


def test_one_is_the_edge_of_the_interval():
    panel = sample()
    detector = SeasonalNaiveResidual().fit(panel)
    interval = SeasonalNaive().fit(panel).predict(panel)
    values = panel.values.copy()
    values[:, 30] = interval[:, 30, :, 2]
    values[:, 31] = interval[:, 31, :, 0]
    values[:, 32] = interval[:, 32, :, 1]
    # one day at a time: a changed day is also the past of the next one
    for day, score in ((30, 1.0), (31, 1.0), (32, 0.0)):
        changed = panel.values.copy()
        changed[:, day] = values[:, day]
        assert detector.score(panel.with_values(changed))[:, day] == pytest.approx(score)


def test_the_first_season_has_no_forecast_and_scores_nothing():
    scores = SeasonalNaiveResidual().fit(sample()).score(sample())
    assert (scores[:, :7] == 0).all()
    assert (scores[:, 7:] > 0).all()


def test_a_spike_echoes_one_season_later():
    """The known weakness of expecting last week again."""
    panel = spiked()
    early = panel.values.copy()
    early[SPIKE[0], 30] += 12.0
    scores = SeasonalNaiveResidual().fit(sample()).score(panel.with_values(early))[SPIKE[0]]
    assert scores[37] > np.quantile(scores, 0.9)


def test_the_adapter_takes_name_parameters_and_source_from_its_forecaster():
    made = residual_detector(SeasonalNaive)
    assert made.name == "seasonal-naive-residual"
    assert made.Params is SeasonalNaive.Params
    assert SeasonalNaive.source in made.__doc__
