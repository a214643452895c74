from __future__ import annotations

import numpy as np
import pytest

from core.detectors.extended_isolation_forest import ExtendedIsolationForest, _grow
from core.samples import sample


def table(values):
    panel = sample(n_entity=len(values), n_time=1)
    return panel.select(metrics=panel.metrics[: values.shape[1]]).with_values(values[:, None])


def test_a_tree_sends_every_row_to_a_leaf_of_its_own_or_to_the_last_level():
    rows = np.random.default_rng(0).normal(size=(64, 3))
    tree = _grow(rows, 3, np.random.default_rng(1))
    reached = np.zeros(len(rows), dtype=int)
    for _ in range(6):
        inner = tree["left"][reached] > 0
        along = (rows * tree["direction"][reached]).sum(axis=1) > tree["offset"][reached]
        reached = np.where(inner, tree["left"][reached] + along, reached)
    assert (tree["left"][reached] == 0).all()
    # a row alone after d cuts has depth d; k rows at level 6 have 6 + c(k)
    counts = np.bincount(reached)[reached]
    depth = tree["depth"][reached]
    assert (depth[counts == 1] <= 6).all()
    assert (depth[counts > 1] > 6).all()
    assert depth[counts == 2] == pytest.approx(7.0)


def test_every_cut_leans_into_as_many_columns_as_asked():
    rows = np.random.default_rng(0).normal(size=(64, 6))
    for slant in (1, 3, 6):
        tree = _grow(rows, slant, np.random.default_rng(1))
        cuts = tree["direction"][tree["left"] > 0]
        assert ((cuts != 0).sum(axis=1) == slant).all()


def test_cuts_along_one_column_rank_as_the_isolation_forest_of_the_library():
    from scipy.stats import spearmanr
    from sklearn.ensemble import IsolationForest

    panel = sample()
    detector = ExtendedIsolationForest(ExtendedIsolationForest.Params(slant=1, trees=200)).fit(
        panel
    )
    scores = detector.score(panel).ravel()
    values = (panel.values - detector.state["centre"]) / detector.state["spread"]
    rows = 2 * np.arcsinh(values.reshape(-1, 5) / 2)
    reference = IsolationForest(n_estimators=200, max_samples=256, random_state=0).fit(rows)
    assert spearmanr(scores, -reference.score_samples(rows)).statistic > 0.97
    assert scores.mean() == pytest.approx(-reference.score_samples(rows).mean(), abs=0.01)


def test_slanted_cuts_leave_no_ghost_between_two_clusters():
    """Figure 3 of the paper: at the two empty corners the plain forest scores as beside a cluster."""
    rng = np.random.default_rng(0)
    clusters = np.concatenate(
        [rng.normal([0, 10], 1.0, (500, 2)), rng.normal([10, 0], 1.0, (500, 2))]
    )
    corners = np.array([[0.0, 0.0], [10.0, 10.0]])

    def ghosts(slant):
        params = ExtendedIsolationForest.Params(slant=slant, trees=100)
        fitted = ExtendedIsolationForest(params).fit(table(clusters))
        usual = np.quantile(fitted.score(table(clusters)), 0.99)
        return fitted.score(table(corners)).min() - usual

    assert ghosts(0) > ghosts(1) + 0.05
    assert ghosts(0) > 0


def test_equal_rows_are_as_usual_as_can_be():
    values = np.zeros((200, 5))
    values[7] = 3.0
    scores = ExtendedIsolationForest().fit(table(values)).score(table(values))[:, 0]
    assert scores.argmax() == 7
    assert len(np.unique(scores)) == 2
