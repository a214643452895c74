from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest as Forest

from core.detectors.isolation_forest import (
    SPANS,
    IsolationForest,
    IsolationForestParams,
    Trees,
    day_features,
    drawn,
    flatten,
    mean_path,
)
from core.errors import InvalidInputError, NotEnoughDataError
from core.samples import sample, spiked


@pytest.mark.parametrize(("rows", "subsample"), [(2_000, 256), (300, 300), (50, 2)])
def test_flat_trees_score_as_scikit_learn_does(rows, subsample):
    data = np.random.default_rng(rows).standard_t(3, (rows, 6)).astype(np.float32)
    forest = Forest(n_estimators=30, max_samples=subsample, random_state=1).fit(data)
    flat = Trees.of(flatten(forest)).score(data)
    assert np.abs(flat + forest.score_samples(data)).max() < 1e-12


def testmean_path_is_that_of_the_paper():
    # c(2) = 1; c(256) = 2(ln 255 + 0.5772156649) − 2·255/256
    assert mean_path(np.array([1, 2, 256])) == pytest.approx([0.0, 1.0, 10.244770920116851])


def test_one_row_scores_as_it_does_among_many():
    panel = sample()
    fitted = IsolationForest(IsolationForestParams(trees=20)).fit(panel)
    alone = fitted.score(panel.select(entities=panel.entities[7:8]))
    assert np.array_equal(alone[0], fitted.score(panel)[7])


def test_features_are_means_over_one_three_and_seven_days():
    values = np.arange(10.0)[None, :, None]
    features = day_features(values)[0]
    assert SPANS == (1, 3, 7)
    assert features[9].tolist() == [9.0, 8.0, 6.0]
    assert features[1].tolist() == [1.0, 0.5, 0.5]


def test_a_weak_shift_of_a_week_stands_out_where_its_single_days_do_not():
    values = sample(n_entity=60).values.copy()
    fitted = IsolationForest().fit(sample(n_entity=60))
    values[5, 30:37] += 1.6
    scores = fitted.score(sample(n_entity=60).with_values(values))
    usual = np.delete(scores, 5, axis=0)
    assert scores[5, 36] > np.quantile(usual, 0.995)
    assert scores[5, 30] < np.quantile(usual, 0.995)


def test_ordinary_values_are_ordinary_where_most_entities_have_none():
    """Four of five metrics are missing for nine of ten entities; the full ones must not stand out."""
    values = sample(n_entity=200).values.copy()
    values[20:, :, 1:] = np.nan
    panel = sample(n_entity=200).with_values(values)
    scores = IsolationForest().fit(panel).score(panel)
    assert scores[:20].mean() < scores.mean() + 0.05
    spiked = values.copy()
    spiked[3, 30, 4] = 7.0
    scored = IsolationForest().fit(panel).score(panel.with_values(spiked))
    assert scored[3, 30] > np.quantile(scored, 0.999)


def test_gaps_are_drawn_from_the_values_of_their_metric():
    values = np.array([[[1.0, np.nan, 5.0], [np.nan, np.nan, 6.0], [2.0, np.nan, np.nan]]])
    filled = drawn(values, np.random.default_rng(0))
    assert filled[0, 1, 0] in (1.0, 2.0)
    assert filled[0, 2, 2] in (5.0, 6.0)
    assert np.isnan(filled[..., 1]).all()
    assert np.isnan(values[0, 1, 0])


def test_a_panel_without_any_value_is_refused():
    empty = sample().with_values(np.full_like(sample().values, np.nan))
    with pytest.raises(
        NotEnoughDataError, match=r"observed entity-days must be at least 2\. Got 0"
    ):
        IsolationForest().fit(empty)


def test_the_trees_draw_from_at_most_the_pool():
    panel = sample()
    few = IsolationForest(IsolationForestParams(trees=5, pool=64, sample=256)).fit(panel)
    # 64 rows in the pool: c(64) per tree
    assert few.state["unit"] == pytest.approx(5 * mean_path(np.array([64])))


def test_the_newest_days_are_judged_as_they_are_among_all():
    fitted = IsolationForest(IsolationForestParams(trees=20)).fit(sample())
    assert np.array_equal(fitted.score(spiked(), last=2), fitted.score(spiked())[:, -2:])
    with pytest.raises(InvalidInputError, match=r"last must be in \[1, "):
        fitted.score(spiked(), last=0)
