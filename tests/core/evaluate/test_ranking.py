"""The golden figures were computed once by the reference, TSB_AD 1.5 (`generate_curve`, opt, 250) and scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.evaluate.ranking import auc_pr, auc_roc, best_f1, segments, vus, vus_pr, vus_roc

Scores = Callable[[NDArray[np.float64]], NDArray[np.float64]]

PLAIN: Scores = np.positive
ROUNDED: Scores = partial(np.round, decimals=1)
COARSE: Scores = np.round
CONSTANT: Scores = np.zeros_like

CASES: dict[str, tuple[int, int, int, list[tuple[int, int]], Scores]] = {
    "one segment": (1, 400, 40, [(200, 220)], PLAIN),
    "several": (2, 900, 63, [(100, 130), (400, 401), (700, 760)], PLAIN),
    "at the start": (3, 300, 25, [(0, 12)], PLAIN),
    "at the end": (4, 300, 25, [(290, 300)], PLAIN),
    "at both ends": (5, 300, 24, [(0, 5), (150, 160), (299, 300)], PLAIN),
    "overlapping buffers": (6, 500, 80, [(200, 210), (215, 216), (230, 260), (300, 301)], PLAIN),
    "touching buffers": (7, 200, 20, [(50, 60), (79, 90), (110, 120)], PLAIN),
    "wider than the series": (8, 30, 60, [(10, 14)], PLAIN),
    "fewer points than thresholds": (9, 40, 6, [(3, 5), (20, 30)], PLAIN),
    "ties": (10, 600, 30, [(50, 90), (300, 310)], ROUNDED),
    "many ties": (11, 600, 30, [(50, 90), (300, 310)], COARSE),
    "constant scores": (12, 200, 16, [(80, 95)], CONSTANT),
    "no buffer": (13, 250, 0, [(20, 40), (100, 103)], PLAIN),
    "mostly labelled": (14, 120, 11, [(0, 50), (52, 119)], PLAIN),
    "three points": (15, 3, 2, [(1, 2)], PLAIN),
}
# name: VUS-ROC, VUS-PR, AUC-ROC, AUC-PR
GOLDEN: dict[str, tuple[float, float, float, float]] = {
    "one segment": (0.889612892251, 0.440280947625, 0.799210526316, 0.355162224117),
    "several": (0.903492236605, 0.468315245461, 0.843668074818, 0.38721813079),
    "at the start": (0.872779651231, 0.249263016466, 0.827546296296, 0.230789625847),
    "at the end": (0.973376611198, 0.714499849454, 0.959655172414, 0.567338472012),
    "at both ends": (0.917683262173, 0.454929894875, 0.916813380282, 0.492193186542),
    "overlapping buffers": (0.943225328418, 0.635181407829, 0.887762528592, 0.567324911068),
    "touching buffers": (0.939869448508, 0.761631789609, 0.898263027295, 0.675639686746),
    "wider than the series": (0.954759343598, 0.86747292173, 0.711538461538, 0.420238095238),
    "fewer points than thresholds": (0.83707606948, 0.681007985292, 0.815476190476, 0.62839114181),
    "ties": (0.919292955179, 0.552314686126, 0.871272727273, 0.492160281941),
    "many ties": (0.888562749546, 0.447230718264, 0.866636363636, 0.419483541455),
    "constant scores": (0.508730095386, 0.106504712361, 0.5, 0.075),
    "no buffer": (0.808848879525, 0.336580928288, 0.854242482283, 0.425514858338),
    "mostly labelled": (0.962969108287, 0.998869704013, 0.863247863248, 0.995610748082),
    "three points": (1.0, 1.0, 1.0, 1.0),
}


def series(name: str) -> tuple[NDArray[np.float64], NDArray[np.bool_], int]:
    seed, n, window, runs, shape = CASES[name]
    labels = np.zeros(n, dtype=bool)
    for first, stop in runs:
        labels[first:stop] = True
    # RandomState, for its stream is frozen across versions of numpy
    return shape(np.random.RandomState(seed).normal(size=n) + 1.5 * labels), labels, window


@pytest.mark.parametrize("name", GOLDEN)
def test_equals_the_reference(name: str) -> None:
    scores, labels, window = series(name)
    mine = (*vus(scores, labels, window), auc_roc(scores, labels), auc_pr(scores, labels))
    assert mine == pytest.approx(GOLDEN[name], abs=1e-9)


def test_every_case_has_its_golden_figure() -> None:
    assert CASES.keys() == GOLDEN.keys()


def test_the_single_figures_are_those_of_the_pair() -> None:
    scores, labels, window = series("several")
    pair = vus(scores, labels, window)
    assert (vus_roc(scores, labels, window), vus_pr(scores, labels, window)) == pair


def test_only_the_order_of_the_scores_counts() -> None:
    scores, labels, window = series("several")
    assert vus(np.exp(scores), labels, window) == vus(scores, labels, window)
    assert auc_pr(3 * scores - 7, labels) == auc_pr(scores, labels)


def test_a_perfect_score_reaches_one_and_a_reversed_one_nothing() -> None:
    labels = np.repeat([False, True, False], [10, 2, 8])
    assert vus(labels, labels, 0) == (1.0, 1.0)
    assert auc_pr(labels, labels) == auc_roc(labels, labels) == best_f1(labels, labels) == 1.0
    assert auc_roc(1 - labels, labels) == 0.0


def test_a_buffer_forgives_an_alarm_beside_the_anomaly() -> None:
    labels = np.zeros(60)
    labels[30:34] = 1
    near, far = np.zeros(60), np.zeros(60)
    near[28:34] = 1
    far[[10, 11, *range(30, 34)]] = 1
    assert auc_pr(near, labels) == auc_pr(far, labels)
    assert vus_pr(near, labels, 10) > vus_pr(far, labels, 10)


def test_best_f1_is_that_of_the_best_threshold() -> None:
    # above 0.5: 2 of 3 found, 1 false alarm: precision 2/3, recall 2/3
    scores, labels = [0.9, 0.8, 0.7, 0.3, 0.2, 0.1], [1, 0, 1, 0, 0, 1]
    assert best_f1(scores, labels) == pytest.approx(2 / 3)


@pytest.mark.parametrize("label", [0, 1])
def test_labels_of_one_kind_rank_nothing(label: int) -> None:
    scores, labels = np.arange(5.0), np.full(5, label)
    figures = (*vus(scores, labels, 3), auc_pr(scores, labels), auc_roc(scores, labels))
    assert all(math.isnan(figure) for figure in (*figures, best_f1(scores, labels)))


@pytest.mark.parametrize(
    ("scores", "labels", "rule"),
    [
        ([1.0, np.nan], [0, 1], "finite"),
        ([1.0, 2.0], [0, 2], "0 or 1"),
        ([1.0, 2.0], [0, 1, 1], "as long as the labels"),
        ([], [], "not empty"),
    ],
)
def test_what_cannot_be_ranked_is_refused(
    scores: list[float], labels: list[int], rule: str
) -> None:
    with pytest.raises(InvalidInputError, match=rule):
        auc_pr(scores, labels)


def test_a_negative_window_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="at least 0"):
        vus_pr([1.0, 2.0], [0, 1], -1)


def test_segments_are_first_and_last_rows() -> None:
    starts, ends = segments(np.array([1, 1, 0, 1, 0, 0, 1], dtype=bool))
    assert (starts.tolist(), ends.tolist()) == ([0, 3, 6], [1, 3, 6])
