from __future__ import annotations

import numpy as np
import pytest

from core.detectors.neighbours import Dbscan, LocalOutlierFactor, NearestNeighbours, nearest
from core.errors import NotEnoughDataError
from core.samples import sample


def rows_of(detector, panel):
    """The rows as the detector sees them."""
    values = (panel.values - detector.state["centre"]) / detector.state["spread"]
    return 2 * np.arcsinh(values.reshape(-1, values.shape[-1]) / 2)


def test_a_learned_row_leaves_itself_out_once_and_no_other_row():
    known = np.array([[0.0], [1.0], [3.0], [3.0], [7.0]])
    found = nearest(known, np.array([[1.0], [3.0], [3.1]]), 2)
    assert np.allclose(found.distance, [[1.0, 2.0], [0.0, 2.0], [0.1, 0.1]])
    assert found.learned.tolist() == [True, True, False]
    assert found.place[0].tolist() == [0, 2]


def test_few_rows_are_each_others_neighbours():
    assert nearest(np.array([[0.0], [2.0]]), np.array([[0.0], [5.0]]), 5).distance.tolist() == [
        [2.0],
        [3.0],
    ]


@pytest.mark.parametrize("count", [1, 5, 40])
def test_neighbours_are_those_of_the_library(count):
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng(0)
    known, fresh = rng.normal(size=(300, 30)) + 1e3, rng.normal(size=(50, 30)) + 1e3
    search = NearestNeighbors(n_neighbors=count, algorithm="kd_tree").fit(known)
    assert np.allclose(nearest(known, fresh, count).distance, search.kneighbors(fresh)[0])
    assert np.allclose(nearest(known, known, count).distance, search.kneighbors()[0])


@pytest.mark.parametrize("method", ["largest", "mean", "median"])
def test_distances_are_those_of_pyod_on_learned_and_on_fresh_rows(method):
    knn = pytest.importorskip("pyod.models.knn")
    panel, fresh = sample(), sample(seed=1)
    detector = NearestNeighbours.Params(distance=method, neighbours=7)
    detector = NearestNeighbours(detector).fit(panel)
    reference = knn.KNN(n_neighbors=7, method=method).fit(rows_of(detector, panel))
    assert np.allclose(detector.score(panel).ravel(), reference.decision_scores_, rtol=1e-9)
    expected = reference.decision_function(rows_of(detector, fresh))
    assert np.allclose(detector.score(fresh).ravel(), expected, rtol=1e-9)


def test_local_densities_are_those_of_pyod_on_learned_and_on_fresh_rows():
    lof = pytest.importorskip("pyod.models.lof")
    panel, fresh = sample(), sample(seed=1)
    detector = LocalOutlierFactor().fit(panel)
    reference = lof.LOF(n_neighbors=20).fit(rows_of(detector, panel))
    assert np.allclose(detector.score(panel).ravel(), reference.decision_scores_, rtol=1e-9)
    expected = reference.decision_function(rows_of(detector, fresh))
    assert np.allclose(detector.score(fresh).ravel(), expected, rtol=1e-9)


def test_a_row_is_odd_for_where_it_is():
    """Next to a dense cloud, nearer to it than the rows of a thin cloud are to each other."""
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 0.05, (500, 2)), rng.normal(10, 1.0, (500, 2))])
    values[0] = 0.6
    panel = sample(n_entity=1000, n_time=1).select(metrics=("ctr", "cpc"))
    panel = panel.with_values(values[:, None])
    by_density = LocalOutlierFactor().fit(panel).score(panel)[:, 0]
    by_distance = NearestNeighbours().fit(panel).score(panel)[:, 0]
    assert by_density.argmax() == 0
    assert np.median(by_density) == pytest.approx(1.0, abs=0.1)
    assert (by_distance > by_distance[0]).sum() > 5


def test_core_rows_and_noise_are_those_of_the_library():
    from sklearn.cluster import DBSCAN

    panel = sample()
    detector = Dbscan(Dbscan.Params(share=0.8, neighbours=6)).fit(panel)
    eps = float(detector.state["eps"])
    rows = rows_of(detector, panel)
    reference = DBSCAN(eps=eps, min_samples=6).fit(rows)
    assert np.array_equal(detector.state["rows"], rows[reference.core_sample_indices_])
    scores = detector.score(panel).ravel()
    assert np.array_equal(scores > 1, reference.labels_ == -1)
    assert 20 < (scores > 1).sum() < 0.2 * len(rows)


def test_a_distance_within_which_nothing_lies_is_refused():
    with pytest.raises(NotEnoughDataError, match=r"dbscan: core rows must be at least 2.*Got 0"):
        Dbscan(Dbscan.Params(eps=1e-6)).fit(sample())


def test_mostly_equal_rows_leave_a_distance_to_judge_by():
    panel = sample()
    values = np.where(np.random.default_rng(0).random(panel.values.shape) < 0.001, 5.0, 0.0)
    panel = panel.with_values(values)
    for detector in (Dbscan(), NearestNeighbours(), LocalOutlierFactor()):
        scores = detector.fit(panel).score(panel)
        assert scores[values.any(axis=-1)].min() > scores[~values.any(axis=-1)].max()


def test_seeds_draw_the_pool_and_a_large_pool_is_everything():
    panel = sample()
    few = NearestNeighbours(NearestNeighbours.Params(pool=100)).fit(panel)
    assert len(few.state["rows"]) == 100
    assert len(NearestNeighbours().fit(panel).state["rows"]) == 24 * 42
