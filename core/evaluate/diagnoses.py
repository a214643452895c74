"""How well the kind of a cause is told: where it recurs, from few labels, and where its source was never seen.

Runs of one scenario lie on both sides of a recurring split, so those figures say how well a repetition is recognised;
only the unseen columns say how well a kind is told from another source. They are never added up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.cases import Case, Truth
from core.classifiers.calibrated import CalibratedTreesParams
from core.contracts import Floats
from core.errors import NotEnoughDataError
from core.rootcause.case_features import Row, columns, described, table
from core.rootcause.diagnosis import learn

Names = NDArray[np.str_]
Rows = NDArray[np.intp]

TOGETHER = " + "
"""Joins the classes of a case that has several: together they are a class of their own."""
FOLDS, SEEDS = 5, 2
FEW, DRAWS = 3, 10
"""Labels of a class that are few, and how often they are drawn."""
BINS = 10


def figures(
    cases: Mapping[str, Case],
    truths: Mapping[str, Truth],
    key: Callable[[Truth], str],
    suspects: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Figures of the classes of a suite, {} where no two classes are told.

    suspects : the node where each case started, as somebody says who knows nothing of its group; those that teach are
               looked at around their root, which is known of them

    class_accuracy, macro_f1 : recurring, stratified folds
    class_recurring          : the same with the calibration error of the probabilities
    class_few                : taught by three cases of a class, all others asked
    class_unseen             : each group by `key` told from the others; `known` is the share of cases whose class
                               the others have at all, `known_accuracy` the accuracy of those
    """
    rows, asked, classes, groups = _told_of(cases, truths, key, suspects or {})
    if len(np.unique(classes)) < 2:
        return {}
    again = recurring(rows, classes, asked)
    return {
        "class_accuracy": again["accuracy"],
        "macro_f1": again["macro_f1"],
        "class_recurring": again,
        "class_few": few(rows, classes, asked),
        "class_unseen": unseen(rows, classes, groups, asked),
    }


def apart(
    cases: Mapping[str, Case],
    truths: Mapping[str, Truth],
    key: Callable[[Truth], str],
    suspects: Mapping[str, str] | None = None,
) -> dict[str, Any] | None:
    """`class_unseen` by another key, e.g. each subsystem from the others; None where no two classes are told."""
    rows, asked, classes, groups = _told_of(cases, truths, key, suspects or {})
    return unseen(rows, classes, groups, asked) if len(np.unique(classes)) > 1 else None


def _told_of(
    cases: Mapping[str, Case],
    truths: Mapping[str, Truth],
    key: Callable[[Truth], str],
    suspects: Mapping[str, str],
) -> tuple[list[Row], list[Row], Names, Names]:
    """Row as it teaches, row as it is asked, class and group of every case whose class is told."""
    told = [name for name in cases if truths[name].classes]
    classes = np.array([TOGETHER.join(sorted(truths[name].classes)) for name in told])
    groups = np.array([key(truths[name]) for name in told])
    asked: list[Row] = [described(cases[name], suspect=suspects.get(name, "")) for name in told]
    if not suspects:
        return asked, asked, classes, groups
    rows: list[Row] = [described(cases[name], suspect=truths[name].roots[0]) for name in told]
    return rows, asked, classes, groups


def recurring(rows: Sequence[Row], classes: Names, questions: Sequence[Row] = ()) -> dict[str, Any]:
    """Means over repeated stratified folds; a class of one case is always asked without having been taught.

    questions : the rows as they are asked, where they are others than those that teach
    """
    scores, error = [], 0.0
    for seed in range(SEEDS):
        calibrated = seed == 0
        fold = _folds(classes, seed)
        chosen, sure = np.empty_like(classes), np.empty(len(classes))
        for part in range(FOLDS):
            asked = np.flatnonzero(fold == part)
            if len(asked):
                taught = np.flatnonzero(fold != part)
                chosen[asked], sure[asked] = _told(
                    rows, questions or rows, classes, taught, asked, seed, calibrated
                )
        scores.append(_scores(classes, chosen))
        if calibrated:
            error = _calibration_error(sure, chosen == classes)
    return {
        "classes": len(np.unique(classes)),
        "cases": len(classes),
        **_means(scores),
        "calibration_error": error,
    }


def few(
    rows: Sequence[Row], classes: Names, questions: Sequence[Row] = ()
) -> dict[str, Any] | None:
    """Means over draws of three cases of a class; None where nothing would be left to ask."""
    scores = []
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        drawn = [
            rng.permutation(np.flatnonzero(classes == one))[:FEW] for one in np.unique(classes)
        ]
        taught = np.sort(np.concatenate(drawn))
        asked = np.setdiff1d(np.arange(len(classes)), taught)
        if not len(asked):
            return None
        chosen, _ = _told(rows, questions or rows, classes, taught, asked, seed)
        scores.append(_scores(classes[asked], chosen))
    return {"labels_per_class": FEW, "draws": DRAWS, **_means(scores)}


def unseen(
    rows: Sequence[Row], classes: Names, groups: Names, questions: Sequence[Row] = ()
) -> dict[str, Any] | None:
    """Each group told from the others; None where there are no others."""
    if len(np.unique(groups)) < 2:
        return None
    chosen = np.full(len(classes), "", dtype=object)
    known = np.zeros(len(classes), dtype=bool)
    for group in np.unique(groups):
        asked, taught = np.flatnonzero(groups == group), np.flatnonzero(groups != group)
        known[asked] = np.isin(classes[asked], classes[taught])
        chosen[asked], _ = _told(rows, questions or rows, classes, taught, asked, 0)
    right = chosen == classes
    return {
        "groups": len(np.unique(groups)),
        "accuracy": float(right.mean()),
        "macro_f1": _macro_f1(classes, chosen),
        "known": float(known.mean()),
        "known_accuracy": float(right[known].mean()) if known.any() else None,
    }


def _told(
    rows: Sequence[Row],
    questions: Sequence[Row],
    classes: Names,
    taught: Rows,
    asked: Rows,
    seed: int,
    calibrated: bool = False,
) -> tuple[Names, Floats]:
    """The class of each asked row and its probability, learned from the taught rows alone.

    Columns are chosen over all rows, as no class is needed for it. The probability is worth something only where it
    is calibrated, which changes no answer and takes its time.
    """
    if len(np.unique(classes[taught])) < 2:
        # one class is all there is to say
        return np.repeat(classes[taught][:1], len(asked)), np.ones(len(asked))
    names = columns(rows)
    try:
        trees = learn(
            [rows[at] for at in taught],
            classes[taught].tolist(),
            CalibratedTreesParams(seed=seed, folds=3 if calibrated else 1),
            names=names,
        )
    except NotEnoughDataError:
        values, counts = np.unique(classes[taught], return_counts=True)
        most = values[counts.argmax()]
        return np.repeat(most, len(asked)), np.full(len(asked), counts.max() / counts.sum())
    shares = trees.predict_proba(table([questions[at] for at in asked], names))[:, 0]
    return np.array(trees.classes)[shares.argmax(axis=1)], shares.max(axis=1)


def _folds(classes: Names, seed: int) -> Rows:
    """A fold for every case, every class spread over the folds as evenly as it goes."""
    rng = np.random.default_rng(seed)
    fold = np.empty(len(classes), dtype=np.intp)
    start = 0
    for one in np.unique(classes, return_index=True)[1].tolist():
        held = rng.permutation(np.flatnonzero(classes == classes[one]))
        fold[held] = (start + np.arange(len(held))) % FOLDS
        start += len(held)
    return fold


def _scores(classes: Names, chosen: Names) -> dict[str, float]:
    return {"accuracy": float((classes == chosen).mean()), "macro_f1": _macro_f1(classes, chosen)}


def _macro_f1(classes: Names, chosen: NDArray[Any]) -> float:
    """Mean F1 of the classes that the cases have."""
    scores = []
    for one in np.unique(classes):
        hit = float(((classes == one) & (chosen == one)).sum())
        scores.append(2.0 * hit / float((classes == one).sum() + (chosen == one).sum()))
    return float(np.mean(scores))


def _calibration_error(sure: Floats, right: NDArray[np.bool_]) -> float:
    """Expected calibration error: |how sure − how often right| of ten bins, by their share of the cases."""
    place = np.minimum((sure * BINS).astype(np.intp), BINS - 1)
    gaps = [
        abs(float(sure[place == one].mean() - right[place == one].mean()))
        * float((place == one).mean())
        for one in np.unique(place)
    ]
    return float(np.sum(gaps))


def _means(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([score[name] for score in scores])) for name in scores[0]}
