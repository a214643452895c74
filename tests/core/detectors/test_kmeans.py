from __future__ import annotations

import numpy as np
import pytest

from core.detectors.kmeans import KMeansWindows
from core.samples import sample


def test_the_score_is_the_distance_to_the_nearest_centre_of_the_library():
    from sklearn.cluster import KMeans

    panel, fresh = sample(), sample(seed=1)
    detector = KMeansWindows(KMeansWindows.Params(clusters=6)).fit(panel)
    centre, spread = detector.state["centre"], detector.state["spread"]
    rows, new = (
        2 * np.arcsinh((one.values - centre) / spread / 2).reshape(-1, 5) for one in (panel, fresh)
    )
    reference = KMeans(6, random_state=0).fit(rows)
    assert np.allclose(detector.state["centres"], reference.cluster_centers_)
    expected = reference.transform(new).min(axis=1)
    assert np.allclose(detector.score(fresh).ravel(), expected, rtol=1e-6)


def test_a_missing_beat_is_the_farthest_from_every_usual_shape():
    beat = np.exp(-(((np.arange(40) - 20) / 3) ** 2))
    values = np.tile(beat, 60) + np.random.default_rng(0).normal(0, 0.02, 2_400)
    values[1_600:1_640] -= beat
    panel = sample(n_entity=1, n_time=2_400).select(metrics=("ctr",))
    panel = panel.with_values(values[None, :, None])
    detector = KMeansWindows(KMeansWindows.Params(align="centre")).fit(panel)
    assert detector.state["window"] == 40
    assert 1_580 <= detector.score(panel)[0].argmax() < 1_660


def test_fewer_different_rows_than_clusters_are_enough():
    panel = sample()
    panel = panel.with_values(np.round(panel.values * 0.3))
    assert KMeansWindows().fit(panel).score(panel).min() == pytest.approx(0.0, abs=1e-9)
