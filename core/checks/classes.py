"""What classifiers keep: probabilities of sorted classes, learned from labelled cells and nothing else."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from core.checks.saving import require_kept
from core.checks.subject import Check, Subject, answer, fitted, learn, make, refusal, require, same
from core.errors import InvalidInputError, NotEnoughDataError
from core.samples import planted_classes, sample, spiked, spoken_classes, worded


def check_probabilities_shaped(subject: Subject) -> None:
    """Probabilities are float64 of shape (n_entity, n_time, n_class), from 0 to 1, each cell summing to 1."""
    shares = fitted(subject).predict_proba(spiked())
    require(shares.shape == (24, 42, 3), subject, "one probability per entity, time and class")
    require(shares.dtype == np.float64, subject, "probabilities must be float64")
    require(((shares >= 0) & (shares <= 1)).all(), subject, "probabilities must be from 0 to 1")
    require(np.allclose(shares.sum(axis=2), 1.0), subject, "each cell must sum to 1")


def check_classes_sorted(subject: Subject) -> None:
    """The classes are those of the labelled cells, in the order of their names; bool labels have names too."""
    require(fitted(subject).classes == ("down", "up", "usual"), subject, "classes must be sorted")
    panel = sample()
    two = learn(make(subject), panel, planted_classes(panel) == "up")
    require(two.classes == ("anomaly", "normal"), subject, "True must be an anomaly, False normal")


def check_rule_learned(subject: Subject) -> None:
    """A planted rule is found again in fresh data, far above the share of the commonest class."""
    panel = sample(seed=2)
    labels = planted_classes(panel)
    chosen = np.array(fitted(subject).classes)[fitted(subject).predict_proba(panel).argmax(axis=2)]
    found = np.mean((chosen == labels)[labels != ""])
    require(
        found > 0.8, subject, f"a plain rule must be learned, {found:.0%} of the cells are right"
    )


def check_labels_needed(subject: Subject) -> None:
    """Learning without labels, with labels of another shape, or with numbers for classes is refused."""
    panel = sample()
    for labels in (None, np.zeros((24, 42)), np.full((24, 42), None)):
        teach = functools.partial(make(subject).fit, panel, labels)
        refusal(subject, InvalidInputError, teach)
    short = planted_classes(panel)[:, :-1]
    text = refusal(subject, InvalidInputError, lambda: make(subject).fit(panel, short))
    require("(24, 42)" in text and "(24, 41)" in text, subject, "both shapes must be told")


def check_one_class_refused(subject: Subject) -> None:
    """Labels of a single class teach nothing and are refused, as are blank ones."""
    panel = sample()
    for labels in (np.full((24, 42), "up"), np.full((24, 42), "")):
        teach = functools.partial(make(subject).fit, panel, labels)
        refusal(subject, NotEnoughDataError, teach)


def check_unlabelled_ignored(subject: Subject) -> None:
    """Entities without a single label change nothing of what is learned."""
    panel = sample()
    labels = planted_classes(panel)
    labels[12:] = ""
    some = panel.select(entities=panel.entities[:12])
    alone = answer(learn(make(subject), some, labels[:12]), spiked())
    values = panel.values.copy()
    values[12:] = 100.0 - 7.0 * values[12:]
    beside = answer(learn(make(subject), panel.with_values(values), labels), spiked())
    require(same(subject, alone, beside), subject, "unlabelled cells must not be learned from")


def check_words_coded(subject: Subject) -> None:
    """Words mean what they meant in training, saved too; a new one is unknown, another column is named."""
    panel, fresh = worded(), worded(seed=2)
    algorithm = learn(make(subject), panel, spoken_classes(panel))
    truth, match = spoken_classes(fresh), fresh.words["match"]
    chosen = np.array(algorithm.classes)[answer(algorithm, fresh).argmax(axis=2)]
    right = np.mean((chosen == truth)[truth != ""])
    require(right > 0.8, subject, f"a word must be learned, {right:.0%} of the cells are right")
    require_kept(algorithm, fresh)
    country = {"country": fresh.words["country"]}
    asked = functools.partial(dataclasses.replace, fresh)
    new, blank = (np.full(match.shape, word) for word in ("never seen", ""))
    new, blank = (answer(algorithm, asked(words={"match": m, **country})) for m in (new, blank))
    require(np.array_equal(new, blank), subject, "a new word must be an unknown one")
    others = {"missing": {}, "renamed": {"type": match}, "extra": {"match": match, "size": match}}
    for word, columns in others.items():
        teach = functools.partial(answer, algorithm, asked(words={**columns, **country}))
        require(word in refusal(subject, InvalidInputError, teach), subject, f"say what is {word}")


CLASSES: tuple[Check, ...] = (
    check_probabilities_shaped,
    check_classes_sorted,
    check_rule_learned,
    check_labels_needed,
    check_one_class_refused,
    check_unlabelled_ignored,
    check_words_coded,
)
