"""Suspect labels: cleanlab's own scores, from probabilities that never saw the label."""

from __future__ import annotations

import numpy as np
import pytest
from cleanlab import count, multiannotator, rank

from core.contracts import Floats
from core.errors import InvalidInputError, NotEnoughDataError
from core.evaluate import suspects

N, K = 240, 4


@pytest.fixture(scope="module")
def judged() -> tuple[Floats, suspects.Codes]:
    """Probabilities of four unequal classes, and labels of which a few contradict them."""
    rng = np.random.default_rng(4)
    codes = rng.choice(K, N, p=[0.6, 0.25, 0.1, 0.05])
    chances = rng.dirichlet(np.ones(K), N) + 2.0 * np.eye(K)[codes]
    chances /= chances.sum(axis=1, keepdims=True)
    wrong = rng.choice(N, 20, replace=False)
    codes[wrong] = (codes[wrong] + 1) % K
    return chances, codes


@pytest.mark.parametrize(
    ("method", "adjusted"),
    [
        *((method, False) for method in suspects.QUALITIES),
        # cleanlab adjusts these two alone
        ("self_confidence", True),
        ("normalized_margin", True),
    ],
)
def test_the_scores_are_those_of_cleanlab(
    judged: tuple[Floats, suspects.Codes], method: str, adjusted: bool
) -> None:
    chances, codes = judged
    ours = (
        suspects.quality(codes, chances, method)
        if adjusted
        else suspects.QUALITIES[method](codes, chances)
    )
    theirs = rank.get_label_quality_scores(
        codes, chances, method=method, adjust_pred_probs=adjusted
    )
    assert np.abs(ours - theirs).max() < 1e-9


def test_the_suspects_are_off_the_diagonal_of_cleanlabs_confident_joint(
    judged: tuple[Floats, suspects.Codes],
) -> None:
    chances, codes = judged
    _, theirs = count.compute_confident_joint(
        codes, chances, calibrate=False, return_indices_of_off_diagonals=True
    )
    assert set(np.flatnonzero(suspects.suspect(codes, chances))) == set(theirs)
    usual = count.get_confident_thresholds(codes, chances)
    assert np.abs(suspects.thresholds(codes, chances) - usual).max() < 1e-9


def test_a_second_opinion_is_worth_as_much_as_in_activelab(
    judged: tuple[Floats, suspects.Codes],
) -> None:
    chances, codes = judged
    theirs, _ = multiannotator.get_active_learning_scores(codes[:, None].astype(float), chances)
    ours = suspects.worth_asking(
        suspects.self_confidence(codes, chances), np.ones(N, dtype=np.intp), K
    )
    assert np.abs(ours - theirs).max() < 1e-9


def test_planted_errors_come_first() -> None:
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1, 2], 60)
    features = rng.normal(size=(180, 3)) + 4.0 * np.eye(3)[codes]
    planted = rng.choice(180, 12, replace=False)
    given = codes.copy()
    given[planted] = (given[planted] + 1) % 3
    chances = suspects.held_out(features, given, np.arange(180), 3)
    assert chances.sum(axis=1) == pytest.approx(1.0)
    worst = np.argsort(suspects.quality(given, chances))[:12]
    assert len(set(worst) & set(planted)) >= 10


def test_no_group_is_on_both_sides() -> None:
    """Every group has a label of its own making, which only a leak could foretell."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    given = rng.integers(2, size=40)[groups]
    features = np.repeat(rng.normal(size=(40, 2)), 5, axis=0)
    chances = suspects.held_out(features, given, groups, 2)
    assert (chances.argmax(axis=1) == given).mean() < 0.7


def test_a_class_without_labels_is_out_of_reach_and_one_group_is_not_enough() -> None:
    chances = np.full((4, 3), 1 / 3)
    codes = np.array([0, 0, 1, 1])
    assert suspects.thresholds(codes, chances)[2] == suspects.BEYOND
    assert np.isfinite(suspects.quality(codes, chances)).all()
    with pytest.raises(NotEnoughDataError, match="at least 2"):
        suspects.held_out(chances, codes, np.zeros(4, dtype=np.intp), 3)
    with pytest.raises(InvalidInputError, match="normalized_margin"):
        suspects.quality(codes, chances, "best")
