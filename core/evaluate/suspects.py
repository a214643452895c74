"""Which labels are probably wrong, from what a model that never saw them would have said.

The scores are those of cleanlab, computed from held-out class probabilities: Northcutt, Jiang & Chuang, Confident
Learning: Estimating Uncertainty in Dataset Labels (JAIR 2021), sections 3.1–3.2; Kuan & Mueller, Model-agnostic label
quality scoring to detect real-world label errors (ICML DataPerf 2022); Goh & Mueller, ActiveLab (2023), section 3.
Lower quality = more suspect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import special

from core.contracts import Bools, Floats
from core.errors import InvalidInputError, NotEnoughDataError

Codes = NDArray[np.intp]
FOLDS, TREES = 5, 100
TINY = 1e-6
BEYOND = 2.0
"""A threshold that no probability reaches."""


def held_out(features: Floats, codes: Codes, groups: Codes, n_class: int, seed: int = 0) -> Floats:
    """(n, n_class) probabilities of every row by a forest that learned from other groups alone.

    features : (n, n_feature), NaN = missing      codes : (n,) classes, every one below `n_class`
    groups   : (n,) rows that belong together, such as those of one entity; they are never on both sides

    Raises NotEnoughDataError for fewer than two groups.
    """
    from sklearn.ensemble import RandomForestClassifier

    many = len(np.unique(groups))
    if many < 2:
        raise NotEnoughDataError.of("suspects", "groups of labelled things", "at least 2", many)
    fold = _folds(codes, groups, min(FOLDS, many), seed)
    chances = np.zeros((len(codes), n_class))
    for part in range(fold.max() + 1):
        out = fold == part
        forest = RandomForestClassifier(n_estimators=TREES, min_samples_leaf=2, random_state=seed)
        forest.fit(features[~out], codes[~out])
        chances[np.ix_(out, forest.classes_.astype(np.intp))] = forest.predict_proba(features[out])
    return chances


def _folds(codes: Codes, groups: Codes, folds: int, seed: int) -> Codes:
    """(n,) the fold of each row: whole groups, every class spread as evenly as they allow."""
    rng = np.random.default_rng(seed)
    numbers, place = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(numbers), codes.max() + 1))
    np.add.at(counts, (place, codes), 1.0)
    order = rng.permutation(len(numbers))
    # the rarest class first, so that the common ones level out what it leaves
    order = order[np.argsort((counts / counts.sum(axis=0)).max(axis=1)[order], kind="stable")[::-1]]
    held = np.zeros((folds, counts.shape[1]))
    chosen = np.zeros(len(numbers), dtype=np.intp)
    for group in order:
        load = (held * counts[group]).sum(axis=1) / counts[group].sum()
        chosen[group] = np.lexsort((held.sum(axis=1), load))[0]
        held[chosen[group]] += counts[group]
    return chosen[place]


# ── Quality of each label ────────────────────────────────────────────────────────────────────────


def self_confidence(codes: Codes, chances: Floats) -> Floats:
    """(n,) the probability of the label that was given."""
    return chances[np.arange(len(codes)), codes]


def normalized_margin(codes: Codes, chances: Floats) -> Floats:
    """(n,) by how much the given label leads the best other one, as (lead + 1) / 2."""
    own = self_confidence(codes, chances)
    others = chances.copy()
    others[np.arange(len(codes)), codes] = -np.inf
    return np.asarray((own - others.max(axis=1) + 1.0) / 2.0)


def weighted_entropy(codes: Codes, chances: Floats) -> Floats:
    """(n,) entropy over the probability of the given label, as log(x + 1) / x."""
    entropy = special.entr(chances).sum(axis=1) / np.log(chances.shape[1])
    weighted = entropy / np.maximum(self_confidence(codes, chances), TINY)
    return np.asarray(np.log(weighted + 1.0) / np.maximum(weighted, TINY))


QUALITIES: Mapping[str, Callable[[Codes, Floats], Floats]] = {
    "self_confidence": self_confidence,
    "normalized_margin": normalized_margin,
    "confidence_weighted_entropy": weighted_entropy,
}


def quality(codes: Codes, chances: Floats, method: str = "normalized_margin") -> Floats:
    """(n,) quality of each label, 0 … 1, after each class was put on the footing of its own usual confidence.

    Without that, every label of a rare class would look wrong (cleanlab's `adjust_pred_probs`).
    """
    if method not in QUALITIES:
        raise InvalidInputError.of(
            "suspects", "the score", f"one of {', '.join(QUALITIES)}", method
        )
    usual = thresholds(codes, chances)
    level = chances - usual + usual.max()
    return QUALITIES[method](codes, level / level.sum(axis=1, keepdims=True))


def thresholds(codes: Codes, chances: Floats) -> Floats:
    """(n_class,) mean confidence in a class over what was given that class; out of reach for a class without labels."""
    many = np.bincount(codes, minlength=chances.shape[1])
    sums = np.bincount(codes, self_confidence(codes, chances), minlength=chances.shape[1])
    return np.where(many > 0, np.maximum(sums / np.maximum(many, 1), TINY), BEYOND)


def suspect(codes: Codes, chances: Floats) -> Bools:
    """(n,) whether another class is confidently above its threshold: off the diagonal of the confident joint."""
    usual = thresholds(codes, chances)
    confident = chances >= usual - TINY
    several = confident.sum(axis=1) > 1
    best = np.where(several, chances.argmax(axis=1), confident.argmax(axis=1))
    return np.asarray(confident.any(axis=1) & (best != codes))


def worth_asking(quality: Floats, people: NDArray[np.intp], n_class: int) -> Floats:
    """(n,) how settled each judged thing is, the lowest worth a second opinion most; NaN where `quality` is.

    The consensus' quality, drawn towards a guess by one more opinion of unit weight: ActiveLab with equal weights.
    """
    settled = ((people + 1.0) * quality + 1.0 / n_class) / (people + 2.0)
    return np.asarray(settled)
