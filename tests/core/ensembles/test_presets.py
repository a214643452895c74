"""The presets are the specification's: their parts, their weights, and how they vote."""

from __future__ import annotations

import numpy as np
import pytest

from core import catalog
from core.ensembles.calibrated import COMBINATIONS
from core.ensembles.presets import Failure404020, Majority2Of3, Vote503020
from tests.core.ensembles.test_calibrated import QUICK, noise

PARTS = {
    "vote-50-30-20": "lstm-autoencoder=0.5, half-space-trees=0.3, isolation-forest=0.2",
    "majority-2-of-3": "isolation-forest=1, elliptic-envelope=1, lstm-autoencoder=1",
    "failure-40-40-20": "lstm=0.4, isolation-forest=0.4, prophet=0.2",
}


def rises_with(evidence, scores) -> bool:
    """Whether the scores never fall where the evidence rises."""
    order = np.argsort(evidence.ravel())
    rises = np.diff(evidence.ravel()[order]) > 1e-12
    return bool((np.diff(scores.ravel()[order])[rises] >= 0).all())


@pytest.mark.parametrize("name", PARTS)
def test_the_parts_are_those_of_the_specification(name):
    assert catalog.make(name).params.parts == PARTS[name]


def test_a_vote_is_the_weighted_mean_of_the_calibrated_scores():
    ensemble = catalog.make("vote-50-30-20", parts=QUICK).fit(noise())
    panel = noise(seed=14)
    parts = ensemble.part_p_values(panel)
    vote = 0.6 * (1 - parts["robust-z"]) + 0.4 * (1 - parts["half-space-trees"])
    assert ensemble.params.combination == Vote503020.Params().combination == "vote"
    assert rises_with(vote, ensemble.score(panel))


# ── Two of three ─────────────────────────────────────────────────────────────────────────────────

THREE = "robust-z=1, isolation-forest=1, ewma=1"


@pytest.fixture(scope="module")
def majority() -> Majority2Of3:
    return catalog.make("majority-2-of-3", parts=THREE).fit(noise())


def test_an_alarm_is_a_level_below_which_two_of_three_lie(majority):
    panel = noise(seed=3)
    second = np.sort(list(majority.part_p_values(panel).values()), axis=0)[1]
    p = majority.p_values(panel)
    assert rises_with(-second, majority.score(panel))
    level = second[p < 0.01].max()
    below = sum(part <= level for part in majority.part_p_values(panel).values())
    np.testing.assert_array_equal(below >= 2, p <= p[second == level].max())


def test_the_alarm_rate_is_alpha_although_two_must_agree(majority):
    panel = noise(entities=300, seed=4)
    assert np.mean(majority.p_values(panel) < 0.05) == pytest.approx(0.05, rel=0.2)
    both = sum(part < 0.05 for part in majority.part_p_values(panel).values()) >= 2
    assert np.mean(both) < 0.047


def test_one_part_alone_is_outvoted():
    p = np.array([[1e-9, 1e-9], [0.5, 1e-3], [0.4, 0.9]])
    equal = np.full(3, 1 / 3)
    np.testing.assert_allclose(COMBINATIONS["majority"](p, equal), -np.log10([0.4, 1e-3]))
    np.testing.assert_allclose(
        COMBINATIONS["majority"](p[:2], equal[:2] * 1.5), -np.log10([0.5, 1e-3])
    )
    heavy = np.array([0.6, 0.2, 0.2])
    np.testing.assert_allclose(COMBINATIONS["majority"](p, heavy), [9.0, 9.0])


# ── Failure predictor ────────────────────────────────────────────────────────────────────────────

SMALL = (
    "lstm.hidden=8, lstm.windows=200, lstm.epochs=2, lstm.lags=14, isolation-forest.trees=20,"
    " isolation-forest.sample=256"
)


def test_forecasters_vote_by_their_residual_and_a_failure_shows():
    parts = "seasonal-naive=0.4, isolation-forest=0.4"
    ensemble = catalog.make("failure-40-40-20", parts=parts, settings=SMALL[64:]).fit(noise())
    panel = noise(seed=5)
    panel.values[7, -1] += 9.0
    assert list(ensemble.weights.values()) == [0.5, 0.5]
    scores = ensemble.score(panel)
    assert np.unravel_index(scores.argmax(), scores.shape) == (7, 59)
    residual = ensemble.scorer.members["seasonal-naive"]
    assert residual.name == "seasonal-naive-residual"


def test_with_prophet_all_three_vote():
    panel = noise(entities=20)
    ensemble = catalog.make("failure-40-40-20", settings=f"{SMALL}, prophet.models=1")
    if not catalog.installed(catalog.get("prophet")):
        pytest.skip("needs prophet")
    ensemble.fit(panel)
    assert ensemble.left_out == {}
    assert ensemble.weights == {"lstm": 0.4, "isolation-forest": 0.4, "prophet": 0.2}
    late = noise(entities=20, seed=6)
    late.values[3, -1] += 9.0
    assert ensemble.score(late)[:, -1].argmax() == 3


def test_without_prophet_the_others_vote_and_it_is_said(monkeypatch):
    there = catalog.installed
    monkeypatch.setattr(
        catalog, "installed", lambda algorithm: algorithm.name != "prophet" and there(algorithm)
    )
    panel = noise(entities=20)
    ensemble = catalog.make("failure-40-40-20", settings=SMALL).fit(panel)
    assert ensemble.weights == {"lstm": 0.5, "isolation-forest": 0.5}
    assert 'pip install -e ".[prophet]"' in ensemble.left_out["prophet"]
    again = Failure404020(ensemble.params, state=ensemble.state)
    np.testing.assert_array_equal(again.score(panel), ensemble.score(panel))
