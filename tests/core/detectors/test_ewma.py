from __future__ import annotations

import numpy as np
import pytest

from core.detectors.ewma import Ewma, EwmaParams
from core.errors import InvalidInputError
from core.samples import sample


def series(values):
    values = np.asarray(values, dtype=float)
    panel = sample(n_entity=1, n_time=len(values))
    return panel.with_values(values[None, :, None], ("clicks",))


def test_the_chart_worked_by_hand():
    """Two values one and two robust standard deviations out, weight 0.5."""
    usual = series([-1.0, 0.0, 1.0, -1.0, 0.0, 1.0])
    fitted = Ewma(EwmaParams(weight=0.5)).fit(usual)
    unit = 1.4826  # the median absolute deviation is 1
    scores = fitted.score(series([unit, 2 * unit, np.nan]))[0]
    first = 0.5 / np.sqrt(0.5 / 1.5 * (1 - 0.5**2))
    second = (0.5 * 2 + 0.5 * 0.5) / np.sqrt(0.5 / 1.5 * (1 - 0.5**4))
    assert scores == pytest.approx([first, second, 0.0])


def test_with_weight_one_it_is_the_robust_z_score():
    panel = sample()
    fitted = Ewma(EwmaParams(weight=1.0)).fit(panel)
    z = np.abs(panel.values - fitted.state["centre"]) / fitted.state["spread"]
    assert fitted.score(panel) == pytest.approx(z.max(axis=2))


def test_a_small_lasting_shift_shows_where_no_single_day_does():
    rng = np.random.default_rng(0)
    usual, shifted = rng.normal(size=(2, 400))
    shifted[200:] += 1.0
    fitted = Ewma(EwmaParams(weight=0.1)).fit(series(usual))
    scores = fitted.score(series(shifted))[0]
    assert np.median(scores[220:]) > 3
    assert np.mean(scores[:200] > 3) < 0.02
    assert np.mean(np.abs(shifted[220:]) > 3) < 0.05


def test_one_wild_day_does_not_last():
    fitted = Ewma().fit(series(np.random.default_rng(1).normal(size=200)))
    scores = fitted.score(series([0.0] * 20 + [1e6] + [0.0] * 20))[0]
    assert scores[20] > 1e5
    assert scores[30:].max() < 0.3


def test_points_of_other_entities_than_begun_are_refused():
    fitted = Ewma().fit(sample(n_entity=3))
    with pytest.raises(InvalidInputError, match=r"of shape \(2, 5\)"):
        fitted.update(fitted.begin(("a", "b")), np.zeros((1, 5)))
