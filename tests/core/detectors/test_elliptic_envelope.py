from __future__ import annotations

import numpy as np
import pytest

from core.detectors.elliptic_envelope import EllipticEnvelope
from core.samples import sample


def test_scores_are_those_of_the_library():
    from sklearn.covariance import EllipticEnvelope as Reference

    panel, fresh = sample(), sample(seed=1)
    detector = EllipticEnvelope().fit(panel)
    centre, spread = detector.state["centre"], detector.state["spread"]
    rows, new = (((one.values - centre) / spread).reshape(-1, 5) for one in (panel, fresh))
    reference = Reference(random_state=0).fit(rows)
    assert np.allclose(detector.score(panel).ravel(), -reference.score_samples(rows), rtol=1e-6)
    assert np.allclose(detector.score(fresh).ravel(), -reference.score_samples(new), rtol=1e-6)


def test_a_third_of_wild_rows_does_not_move_the_ellipse():
    values = sample().values.copy()
    values[:8] += 30.0
    panel = sample().with_values(values)
    scores = EllipticEnvelope().fit(panel).score(panel)
    assert scores[:8].min() > 10 * scores[8:].max()


def test_a_broken_relation_between_ordinary_values_stands_out():
    values = sample().values.copy()
    values[..., 1] = values[..., 0] + 0.1 * values[..., 1]
    values[4, 20, :2] = [1.0, -1.0]
    panel = sample().with_values(values)
    scores = EllipticEnvelope().fit(panel).score(panel)
    assert np.unravel_index(scores.argmax(), scores.shape) == (4, 20)


def test_long_rows_keep_what_their_principal_directions_leave_over():
    """A wave has two directions; a spike lies in none of them."""
    values = np.sin(2 * np.pi * np.arange(1_500) / 50)
    values += np.random.default_rng(0).normal(0, 0.05, len(values))
    values[900] += 1.5
    panel = sample(n_entity=1, n_time=1_500).select(metrics=("ctr",))
    panel = panel.with_values(values[None, :, None])
    detector = EllipticEnvelope(EllipticEnvelope.Params(directions=4)).fit(panel)
    assert detector.state["axes"].shape == (4, 50)
    assert 900 <= detector.score(panel)[0].argmax() < 950


def test_mostly_equal_rows_are_measured_by_all_rows():
    values = np.zeros((24, 42, 5))
    values[3, 7] = 2.0
    values[5, 9, 0] = 1.0
    panel = sample().with_values(values)
    scores = EllipticEnvelope().fit(panel).score(panel)
    assert np.unravel_index(scores.argmax(), scores.shape) in ((3, 7), (5, 9))
    assert scores[0, 0] == pytest.approx(0.0, abs=0.1)
