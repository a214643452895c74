"""What detectors, ensembles, forecasters and classifiers keep: panels as they come in life."""

from __future__ import annotations

import dataclasses
import tracemalloc

import numpy as np

from core.checks.subject import Check, Subject, answer, fitted, learn, make, require, same
from core.errors import UnknownNameError
from core.samples import SPIKE, planted_classes, sample, spiked

MEMORY = 256 * 2**20
"""Bytes that scoring 10,000 entity-days may take."""


def check_no_peek(subject: Subject) -> None:
    """Cutting off the future changes nothing before the cut, however wild that future was."""
    panel = spiked()
    values = panel.values.copy()
    values[:, 30:] *= 5.0
    whole = answer(fitted(subject), panel.with_values(values))[:, :30]
    cut = answer(fitted(subject), panel.select(times=slice(0, 30)))
    require(same(subject, whole, cut), subject, "the future must not be looked at")


def check_entities_apart(subject: Subject) -> None:
    """Some entities alone get the answers that they get among all."""
    panel = spiked()
    some = answer(fitted(subject), panel.select(entities=panel.entities[3:9]))
    among = answer(fitted(subject), panel)[3:9]
    require(same(subject, some, among), subject, "entities must not look at each other")


def check_entity_order(subject: Subject) -> None:
    """The order of the entities does not matter."""
    panel = spiked()
    turned = answer(fitted(subject), panel.select(entities=panel.entities[::-1]))[::-1]
    require(same(subject, turned, answer(fitted(subject), panel)), subject, "order must not matter")


def check_unseen_entity(subject: Subject) -> None:
    """An entity that was not there in training is answered by the pooled state or refused by name."""
    panel = dataclasses.replace(sample(n_entity=1), entities=("keyword:new",))
    try:
        unseen = answer(fitted(subject), panel)
    except UnknownNameError as error:
        require("keyword:new" in str(error), subject, "the refusal must name the entity")
    else:
        known = answer(fitted(subject), sample(n_entity=1))
        require(subject.tags.pooled, subject, "one model per entity must refuse an unseen one")
        require(
            np.isfinite(unseen[:, -1]).all() and unseen.shape == known.shape, subject, "no answer"
        )


def check_constant(subject: Subject) -> None:
    """Metrics that never move get finite answers, in training and in scoring."""
    flat = sample().with_values(np.full_like(sample().values, 3.0))
    for algorithm in (fitted(subject), learn(make(subject), flat, planted_classes(sample()))):
        require(np.isfinite(answer(algorithm, flat)[:, -1]).all(), subject, "flat must be finite")


def check_gaps(subject: Subject) -> None:
    """Missing cells, days, metrics and whole entities are lived with; the spike stays visible."""
    values = spiked().values.copy()
    values[np.random.default_rng(3).random(values.shape) < 0.1] = np.nan
    values[2], values[4, :20], values[6, :, 1] = np.nan, np.nan, np.nan
    values[SPIKE] = spiked().values[SPIKE]
    panel = sample().with_values(values)
    for algorithm in (fitted(subject), learn(make(subject), panel)):
        got = answer(algorithm, panel)
        require(got.shape[:2] == values.shape[:2], subject, "gaps must not change the shape")
        if subject.kind in ("detector", "ensemble"):
            require(got[:, SPIKE[1]].argmax() == SPIKE[0], subject, "gaps must not hide the spike")


def check_one_series(subject: Subject) -> None:
    """A panel of one entity is enough to learn from and to answer."""
    panel = sample(n_entity=1, n_time=84)
    got = answer(learn(make(subject), panel), panel)
    require(got.shape[:2] == (1, len(panel.periods)), subject, "one series must be answered")


def check_ten_thousand_rows(subject: Subject) -> None:
    """10,000 entity-days are one call within the memory budget."""
    panel, algorithm = sample(n_entity=250, n_time=40), fitted(subject)
    answer(algorithm, panel)
    tracemalloc.start()
    try:
        answer(algorithm, panel)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    require(peak < MEMORY, subject, f"10,000 rows must take less than {MEMORY} bytes, took {peak}")


PANELS: tuple[Check, ...] = (
    check_entities_apart,
    check_entity_order,
    check_unseen_entity,
    check_constant,
    check_gaps,
    check_one_series,
    check_ten_thousand_rows,
)
