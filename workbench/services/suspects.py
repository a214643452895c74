"""Labels that are probably wrong: what models that never saw them would have said of the same subjects."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from core.contracts import Floats
from core.evaluate import suspects
from core.evaluate.suspects import Codes
from workbench.context import Context
from workbench.services import subjects
from workbench.services.subjects import Subject

TAUGHT = 20
"""Judged subjects, of two answers at least, from which on anything is learned."""
RARE = 3
"""Subjects of one answer below which nothing can be said of it."""
UNSURE = "unsure"


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Judged subjects with the probability of every answer, by models that never saw them.

    rows    : places of the subjects      classes : the answers      codes : (n,) the answer that counts of each
    chances : (n, n_class)
    """

    rows: Codes
    classes: tuple[str, ...]
    codes: Codes
    chances: Floats


@dataclass(frozen=True)
class Suspect:
    """One label that is doubted: who said what, what models say instead, and its quality, 0 … 1.

    flagged : models are confident of another answer (off the diagonal of the confident joint)
    """

    label_id: int
    subject_kind: str
    subject_id: int
    title: str
    labelled_by: str
    labelled_at: datetime
    said: str
    likely: str
    quality: float
    flagged: bool


@dataclass(frozen=True)
class Suspects:
    """The labels by quality, the worst first.

    judged : things that people could tell     same : share of them of which models that never saw them say the same
    why    : why nothing can be said, "" where it can
    """

    labels: list[Suspect]
    judged: int
    flagged: int = 0
    same: float = math.nan
    why: str = ""


def listing(ctx: Context, tenant: str, *, domain: str, limit: int = 50) -> Suspects:
    """The most doubtful labels of a domain; each is scored by models that learned from other entities alone."""
    found = subjects.subjects(ctx, tenant, domain)
    held = held_out(found)
    judged = sum(bool(subject.labels) for subject in found)
    if held is None:
        why = f"It takes {TAUGHT} judged things with two different answers; there are {judged}."
        return Suspects([], judged, why=why)
    number = {name: place for place, name in enumerate(held.classes)}
    common = Counter(held.classes[code] for code in held.codes)
    told = [
        (place, label, number[found[row].says(label)])
        for place, row in enumerate(held.rows)
        for label in subjects.own(found[row].labels)
        if common[found[row].says(label)] >= RARE
    ]
    if not told:
        return Suspects([], judged, why=f"No answer was given {RARE} times yet.")
    places = np.array([place for place, _, _ in told])
    codes = np.array([code for _, _, code in told])
    chances = held.chances[places]
    quality, doubted = suspects.quality(codes, chances), suspects.suspect(codes, chances)
    listed = []
    for entry in np.argsort(quality, kind="stable"):
        place, label, _ = told[entry]
        subject = found[held.rows[place]]
        listed.append(
            Suspect(
                label.id,
                subject.kind,
                subject.id,
                subject.title,
                label.labelled_by,
                label.labelled_at,
                held.classes[codes[entry]],
                held.classes[int(chances[entry].argmax())],
                float(quality[entry]),
                bool(doubted[entry]),
            )
        )
    same = float((held.chances.argmax(axis=1) == held.codes).mean())
    return Suspects(listed[:limit], len(held.rows), int(doubted.sum()), same)


def held_out(found: Sequence[Subject], seed: int = 0) -> HeldOut | None:
    """What models say of judged subjects of entities that they never saw; None where too little was judged."""
    features, _ = subjects.table(found)
    said = [
        subject.says(subjects.verdict(subject.labels)) if subject.labels else UNSURE
        for subject in found
    ]
    rows = np.array([row for row, word in enumerate(said) if word != UNSURE], dtype=np.intp)
    spoken = {found[row].says(label) for row in rows for label in subjects.own(found[row].labels)}
    classes = tuple(sorted(spoken | {said[row] for row in rows}))
    groups = np.unique([found[row].group for row in rows], return_inverse=True)[1]
    answers = {said[row] for row in rows}
    if len(rows) < TAUGHT or len(answers) < 2 or groups.max() == 0 or not features.shape[1]:
        return None
    codes = np.array([classes.index(said[row]) for row in rows], dtype=np.intp)
    chances = suspects.held_out(features[rows], codes, groups, len(classes), seed)
    return HeldOut(rows, classes, codes, chances)
