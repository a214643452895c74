from __future__ import annotations

import numpy as np
import pytest

from core import catalog
from core.contracts import Tags
from core.ensembles.median import MedianEnsemble, MedianEnsembleParams, _median
from core.errors import InvalidInputError, NotEnoughDataError
from core.forecasters.theta import Theta
from core.samples import sample

PARTS = "ets, theta, seasonal-naive"


def ensemble(**params):
    return MedianEnsemble(MedianEnsembleParams(parts=PARTS, **params))


def test_it_says_the_median_of_what_its_parts_say():
    panel = sample(n_entity=3)
    parts = [catalog.make(name.strip()).fit(panel) for name in PARTS.split(",")]
    said = np.median([part.forecast(panel, 9) for part in parts], axis=0)
    assert ensemble().fit(panel).forecast(panel, 9) == pytest.approx(said)


def test_its_coverage_and_settings_reach_the_parts():
    panel = sample(n_entity=3)
    fitted = ensemble(coverage=0.6, settings="ets.period=1, theta.history=30").fit(panel)
    ets, theta, naive = fitted.scorer
    assert {part.params.coverage for part in (ets, theta, naive)} == {0.6}
    assert (ets.params.period, theta.params.period) == (1, 0)
    assert theta.params.history == 30


def test_a_part_that_cannot_learn_yet_is_left_out_with_its_reason():
    panel = sample(n_entity=2, n_time=16)
    fitted = ensemble(settings="seasonal-naive.season=12").fit(panel)
    assert list(fitted.left_out) == ["seasonal-naive"]
    assert "two seasons" in fitted.left_out["seasonal-naive"]
    assert np.isfinite(fitted.forecast(panel, 5)).all()


def test_none_able_to_learn_is_refused():
    alone = MedianEnsembleParams(parts="seasonal-naive", settings="seasonal-naive.season=12")
    with pytest.raises(NotEnoughDataError, match="two seasons"):
        MedianEnsemble(alone).fit(sample(n_time=16))


def test_a_part_that_is_no_forecaster_is_refused():
    with pytest.raises(InvalidInputError, match="a forecaster"):
        MedianEnsemble(MedianEnsembleParams(parts="robust-z")).fit(sample())


def test_a_part_that_is_not_installed_is_left_out_with_its_cure(monkeypatch):
    monkeypatch.setattr(Theta, "tags", Tags(extra="prophet", modules=("no_such_library",)))
    assert catalog.installed(MedianEnsemble)
    fitted = ensemble().fit(sample(n_entity=3))
    assert list(fitted.left_out) == ["theta"]
    assert 'pip install -e ".[prophet]"' in fitted.left_out["theta"]


def test_a_part_that_says_nothing_has_no_voice():
    said = np.random.default_rng(0).normal(size=(4, 50))
    said[np.random.default_rng(1).random(said.shape) < 0.5] = np.nan
    said[0] = 1.0
    np.testing.assert_array_equal(_median(list(said)), np.nanmedian(said, axis=0))
    assert np.isnan(_median([np.full(3, np.nan)] * 2)).all()
