from __future__ import annotations

import numpy as np
import pytest

from core.detectors.tails import Copod, Ecod, Histograms
from core.samples import sample


def skewed(seed):
    """Columns skewed to the right, to the left, with ties among the learned ones, not at all, and one that never moves."""
    values = sample(seed=seed).values.copy()
    values[..., 0], values[..., 1] = np.exp(values[..., 0]), -np.exp(values[..., 1])
    values[..., 2], values[..., 4] = values[..., 2].round(1) + seed / 100, 7.0
    return sample().with_values(values)


def rows_of(detector, panel):
    """The rows as the detector sees them."""
    values = (panel.values - detector.state["centre"]) / detector.state["spread"]
    return values.reshape(-1, values.shape[-1])


@pytest.mark.parametrize(("detector", "model"), [(Ecod, "ECOD"), (Copod, "COPOD")])
def test_learned_rows_score_as_in_pyod_and_a_fresh_one_as_when_asked_alone(detector, model):
    module = pytest.importorskip(f"pyod.models.{model.lower()}")
    panel, fresh = skewed(0), skewed(1)
    detector = detector().fit(panel)
    reference = getattr(module, model)().fit(rows_of(detector, panel))
    assert np.allclose(detector.score(panel).ravel(), reference.decision_scores_, rtol=1e-9)
    rows = rows_of(detector, fresh)[:40]
    alone = [reference.decision_function(row[None])[0] for row in rows]
    assert np.allclose(detector.score(fresh).ravel()[:40], alone, rtol=1e-9)


def test_histograms_score_as_in_pyod(monkeypatch):
    hbos = pytest.importorskip("pyod.models.hbos")
    # as plain Python: compiling it takes longer than all the tests here
    plain = hbos._calculate_outlier_scores.py_func
    monkeypatch.setattr(hbos, "_calculate_outlier_scores", plain)
    panel, fresh = skewed(0), skewed(1)
    values = fresh.values.copy()
    values[3, 4], values[5, 6] = 1e4, -1e4
    fresh = fresh.with_values(values)
    detector = Histograms().fit(panel)
    reference = hbos.HBOS().fit(rows_of(detector, panel))
    assert np.allclose(detector.score(panel).ravel(), reference.decision_scores_, rtol=1e-9)
    expected = reference.decision_function(rows_of(detector, fresh))
    assert np.allclose(detector.score(fresh).ravel(), expected, rtol=1e-9)


def test_the_long_side_of_a_column_decides():
    """9 of 10 values at 0…8, one at 100: skewed to the right, so only the right tail counts fully."""
    panel = sample(n_entity=10, n_time=1).select(metrics=("ctr",))
    panel = panel.with_values(np.array([*range(9), 100.0])[:, None, None])
    left, right = -np.log(np.arange(1, 11) / 10), -np.log(np.arange(10, 0, -1) / 10)
    copod = Copod().fit(panel).score(panel)[:, 0]
    assert copod == pytest.approx(np.maximum(right, (left + right) / 2))
    ecod = Ecod().fit(panel).score(panel)[:, 0]
    assert ecod == pytest.approx(np.maximum(left, right))


def test_a_value_between_two_peaks_is_seen_by_histograms_only():
    values = np.random.default_rng(0).normal(0, 0.3, (1000, 1, 5))
    values[::2, :, 0] += 8.0
    values[6, 0] = [4.0, 0, 0, 0, 0]
    panel = sample(n_entity=1000, n_time=1)
    panel = panel.with_values(values)
    assert (
        Histograms().fit(panel).score(panel)[:, 0].argmax()
        != Ecod().fit(panel).score(panel)[:, 0].argmax()
    )
    first = panel.select(metrics=panel.metrics[:1])
    assert Histograms().fit(first).score(first)[:, 0].argmax() == 6
    assert Ecod().fit(first).score(first)[6, 0] < 1.0
