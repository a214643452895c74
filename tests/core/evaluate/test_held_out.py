"""Figures from stored predictions: equal to the reference library's, and the same when made again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as reference

from core.errors import InvalidInputError
from core.evaluate.held_out import Predictions, figures, unlike, with_truth


@pytest.fixture
def predictions() -> Predictions:
    """20 entities, 15 days: 18 labelled rows that score higher, uniform p-values elsewhere, some unseen."""
    draws = np.random.default_rng(4)
    label = np.zeros((20, 15), bool)
    label[3, 5:14] = label[9, 2:11] = True
    p_value = np.where(label, draws.random(label.shape) ** 6, draws.random(label.shape))
    seen = draws.random(label.shape) > 0.1
    days = np.datetime64("2026-02-01", "s") + np.arange(15) * np.timedelta64(86400, "s")
    names = tuple(f"campaign:{row}" for row in range(20))
    return Predictions(names, days, -np.log10(p_value), p_value, seen, label)


def test_figures_are_those_of_the_reference_library(predictions: Predictions) -> None:
    told = figures(predictions, alpha=0.05)
    seen = predictions.seen
    label, score = predictions.label[seen], predictions.score[seen]
    alarm = predictions.p_value[seen] <= 0.05
    assert told["rows"] == seen.sum()
    assert told["labelled"] == label.sum() == 17
    assert told["alarm_share"] == pytest.approx(alarm[~label].mean())
    assert told["auc_roc"] == pytest.approx(reference.roc_auc_score(label, score))
    assert told["auc_pr"] == pytest.approx(reference.average_precision_score(label, score))
    assert told["precision"] == pytest.approx(reference.precision_score(label, alarm))
    assert told["recall"] == pytest.approx(reference.recall_score(label, alarm))
    assert told["f1"] == pytest.approx(reference.f1_score(label, alarm))


def test_without_labels_only_what_needs_none_is_told(predictions: Predictions) -> None:
    told = figures(replace(predictions, label=None))
    assert set(told) == {"rows", "labelled", "alarm_share"}
    assert told["labelled"] == 0
    bare = figures(replace(predictions, label=None, p_value=None))
    assert set(bare) == {"rows", "labelled", "score_median", "score_99"}
    assert bare["score_median"] == pytest.approx(np.median(predictions.score[predictions.seen]))


def test_rows_that_nobody_saw_count_for_nothing(predictions: Predictions) -> None:
    loud = replace(predictions, p_value=np.where(predictions.seen, predictions.p_value, 0.0))
    assert figures(loud) == figures(predictions)
    none = replace(predictions, seen=np.zeros_like(predictions.seen))
    assert figures(none) == {"rows": 0.0, "labelled": 0.0}


def test_rows_in_doubt_count_for_nothing(predictions: Predictions) -> None:
    real, doubtful = predictions.label, np.zeros_like(predictions.seen)
    assert real is not None
    doubtful[0], doubtful[1, :4] = True, True
    judged = with_truth(replace(predictions, label=None), real, doubtful)
    told = figures(judged)
    assert told["rows"] == (predictions.seen & ~doubtful).sum() < predictions.seen.sum()
    assert told["labelled"] == 17
    assert with_truth(predictions, np.zeros_like(real), doubtful).label is None


def test_figures_that_were_published_otherwise_are_named(predictions: Predictions) -> None:
    published = {"fit_seconds": 3.0, **figures(predictions)}
    assert unlike(published, predictions) == {}
    better = {**published, "f1": 0.99}
    assert unlike(better, predictions) == {"f1": published["f1"]}
    del published["auc_pr"]
    assert set(unlike(published, predictions)) == {"auc_pr"}


def test_arrays_of_another_shape_are_refused(predictions: Predictions) -> None:
    with pytest.raises(InvalidInputError, match=r"label must be of shape \(20, 15\)"):
        replace(predictions, label=predictions.label[:, 1:])
