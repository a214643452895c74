"""How far people agree on what they judged: figures with intervals, who with whom, on what, and on known answers."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from core.contracts import Floats
from core.errors import UnknownNameError
from core.evaluate import agreement, proportion
from core.evaluate.agreement import Answer, Confusion, Pair, Ratings
from core.evaluate.bootstrap import Interval
from data import label_pool
from data.label_pool import Subject
from data.records import Label, LabelItem
from workbench.context import Context
from workbench.services import labelled, snapshots, subjects, taxonomy
from workbench.services.taxonomy import Taxonomy

GATE = 0.95
"""The agreement that the specification asks for, as a percentage of everything judged twice."""
BLIND, ALL = "blind", "all"


@dataclass(frozen=True)
class Week:
    """The things whose last judgement fell into the week that begins on this Monday, and how far people agreed."""

    monday: date
    items: int
    percent: float


@dataclass(frozen=True)
class Checked:
    """A person's answers to things whose answer is known."""

    by: str
    right: int
    asked: int


@dataclass(frozen=True)
class Agreement:
    """How far people agree in one aspect.

    which      : blind (two people, neither seeing the guess or each other) or all that several people judged
    figures    : percent, cohen, fleiss, alpha, each with its 95 % interval; empty where nothing was judged twice
    distance   : what alpha counts as how far apart
    chance     : the share of pairs that would agree at these base rates by chance
    lacking    : things judged alike that are wanting before more than `GATE` is shown; 0 where it is, None beyond reach
    statement  : the percentage beside its base rates, in words
    """

    domain: str
    aspect: str
    which: str
    items: int
    labels: int
    people: int
    figures: dict[str, Interval]
    distance: str
    chance: float
    lacking: int | None
    statement: str
    answers: list[Answer]
    pairs: list[Pair]
    confusions: list[Confusion]
    weeks: list[Week]
    gold: list[Checked]


@dataclass(frozen=True)
class ToDate:
    """Agreement so far in short: the share that agrees, alpha, and of how many things; NaN while there are none."""

    percent: float
    alpha: float
    items: int


# ── What of a label is compared; None where it does not speak of that ────────────────────────────


def _answer(label: Label, words: Taxonomy) -> Any:
    return _cause(label, words) or frozenset([subjects.normal(label.disposition)])


def _cause(label: Label, words: Taxonomy) -> Any:
    real = subjects.normal(label.disposition) in labelled.REAL
    return (_causes(label, words) or None) if real else None


def _causes(label: Label, words: Taxonomy) -> frozenset[str]:
    return frozenset(words.now(cause) for cause in subjects.causes(label))


ASPECTS: Mapping[str, Callable[[Label, Taxonomy], Any]] = {
    "answer": _answer,
    "disposition": lambda label, _: subjects.normal(label.disposition),
    "cause": _cause,
    "component": lambda label, _: label.component or None,
}


def of(
    ctx: Context, tenant: str, *, domain: str, aspect: str = "answer", which: str | None = None
) -> Agreement:
    """Agreement of everybody's own labels, adjudications left out.

    which : blind or all; where it is None, blind if anything was judged blind by two, else all
    """
    labels, items = _read(ctx, tenant, domain)
    words = taxonomy.of(ctx, tenant, domain)
    kind = _named("the aspect", ASPECTS, aspect)
    chosen = which or (BLIND if _ratings(labels, kind, words, BLIND).several().units else ALL)
    _named("which labels", (BLIND, ALL), chosen)
    ratings = _ratings(labels, kind, words, chosen)
    judged = ratings.several()
    told, figures, wanting = "", {}, None
    if judged.units:
        told, apart = _distance(ctx, tenant, aspect, words, judged)
        groups = _groups(judged, labels)
        figures = agreement.intervals(judged, distance=apart, groups=groups)
        wanting = _lacking(figures["percent"], int(groups.max()) + 1)
    return Agreement(
        domain=domain,
        aspect=aspect,
        which=chosen,
        items=len(judged.units),
        labels=int((judged.codes != agreement.MISSING).sum()),
        people=int((judged.codes != agreement.MISSING).any(axis=0).sum()),
        figures=figures,
        distance=told,
        chance=agreement.chance(ratings),
        lacking=wanting,
        statement=_statement(ratings, figures, wanting, words),
        answers=agreement.answers(ratings),
        pairs=agreement.pairs(ratings),
        confusions=agreement.confusions(ratings),
        weeks=_weeks(judged, labels),
        gold=_gold(labels, items, words),
    )


def spoken(answer: str, words: Taxonomy) -> str:
    """An answer in display words: causes joined by +, or a disposition."""
    names = {subjects.normal(one.name): one.label for one in words.dispositions}
    return " + ".join(names.get(part, words.label(part)) for part in answer.split(" + "))


def to_date(ctx: Context, tenant: str, *, domain: str) -> ToDate:
    """Agreement on what was judged twice so far."""
    labels, _ = _read(ctx, tenant, domain)
    words = taxonomy.of(ctx, tenant, domain)
    judged = _ratings(labels, ASPECTS["answer"], words, ALL).several()
    if not judged.units:
        return ToDate(math.nan, math.nan, 0)
    return ToDate(
        float(agreement.percent(judged)[0]),
        float(agreement.alpha(judged)[0]),
        len(judged.units),
    )


def export(ctx: Context, tenant: str, *, domain: str) -> str:
    """Every label that stands as CSV, one row each, for any other tool."""
    labels, items = _read(ctx, tenant, domain)
    slices = {item.id: item.slice for item in items}
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["label_id", "subject_kind", "subject_id", "slice", *EXPORTED])
    for (kind, number), said in sorted(labels.items()):
        for label in said:
            about = [label.id, kind, number, slices.get(label.item_id or 0, "")]
            out.writerow([*about, *(_harmless(read(label)) for read in EXPORTED.values())])
    return text.getvalue()


EXPORTED: Mapping[str, Callable[[Label], Any]] = {
    "labelled_by": lambda label: label.labelled_by,
    "labelled_at": lambda label: label.labelled_at.isoformat(),
    "disposition": lambda label: label.disposition,
    "causes": lambda label: ";".join(subjects.causes(label)),
    "component": lambda label: label.component,
    "confidence": lambda label: label.confidence,
    "blind": lambda label: int(label.blind),
    "adjudicates": lambda label: ";".join(map(str, label.settles)),
    "seconds": lambda label: label.seconds,
    "note": lambda label: label.note,
}
"""Columns of the export, and what of a label each holds."""


def _harmless(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t") else cell


# ── Figures ──────────────────────────────────────────────────────────────────────────────────────


def _read(
    ctx: Context, tenant: str, domain: str
) -> tuple[dict[Subject, list[Label]], list[LabelItem]]:
    subjects.checked(domain)
    about = {"tenant": tenant, "domain": domain}
    return ctx.records.read(
        tenant,
        lambda session: (
            label_pool.verdicts(session, **about),
            label_pool.items(session, **about),
        ),
    )


def _ratings(
    labels: Mapping[Subject, Sequence[Label]],
    value: Callable[[Label, Taxonomy], Any],
    words: Taxonomy,
    which: str,
) -> Ratings:
    told = []
    for key, said in labels.items():
        for label in subjects.own(said):
            said_so = value(label, words)
            if said_so is not None and (which == ALL or label.blind):
                told.append((key, label.labelled_by, _bare(said_so, words)))
    return Ratings.of(told)


def _distance(
    ctx: Context, tenant: str, aspect: str, words: Taxonomy, judged: Ratings
) -> tuple[str, Floats]:
    """How far two answers are apart, in words and as a matrix."""
    if aspect == "component":
        graph = snapshots.graph(ctx, tenant, words.domain)
        told = f"hops in the graph, {agreement.FAR} or more wholly apart"
        return told, agreement.hops(judged.values, graph)
    if words.several and aspect != "disposition":
        return "MASI: sets that share more are nearer", agreement.masi(judged.values)
    return "nominal: the same or not", agreement.nominal(judged.values)


def _bare(value: Any, words: Taxonomy) -> Any:
    """A set stays one where labels may name several causes; elsewhere it is its one member."""
    return agreement.spoken(value) if isinstance(value, frozenset) and not words.several else value


def _groups(judged: Ratings, labels: Mapping[Subject, Sequence[Label]]) -> Any:
    """Things of one entity belong together."""
    names = [labels[unit][0].entity or f"{unit[0]}/{unit[1]}" for unit in judged.units]  # type: ignore[index]
    return np.unique(names, return_inverse=True)[1]


def _lacking(percent: Interval, groups: int) -> int | None:
    """How many more things must be judged alike before the interval lies above the gate."""
    if percent.low > GATE:
        return 0
    return proportion.lacking(math.floor(percent.value * groups), groups, GATE)


def _statement(
    ratings: Ratings, figures: Mapping[str, Interval], lacking: int | None, words: Taxonomy
) -> str:
    """The percentage with what it hides: the most common answer, what chance alone would give, how sure it is."""
    if not figures:
        return ""
    percent, alpha = figures["percent"], figures["alpha"].value
    common = agreement.answers(ratings)[0]
    told = (
        f"{100 * percent.value:.1f} % agree{_between(percent)}. {100 * common.share:.0f} % of the answers are "
        f"“{spoken(common.value, words)}”, so chance alone would give {100 * agreement.chance(ratings):.0f} %"
    )
    if math.isnan(alpha):
        return f"{told}: with one answer only, agreement shows nothing."
    return f"{told}; beyond chance, alpha is {alpha:.2f}. {_gate(percent, lacking)}"


def _between(percent: Interval) -> str:
    if math.isnan(percent.low):
        return ", of too few to say how sure that is"
    return f" (95 % interval {100 * percent.low:.0f} to {100 * percent.high:.0f} %)"


def _gate(percent: Interval, lacking: int | None) -> str:
    """Whether that is what was asked for, as far as can be said of so many."""
    asked = f"the {100 * GATE:.0f} % asked for"
    if percent.value <= GATE:
        return f"That is not above {asked}."
    if not lacking:
        return f"That is above {asked}."
    return f"That is above {asked}, but may be luck: {lacking:,} more judged alike would show it."


def _weeks(judged: Ratings, labels: Mapping[Subject, Sequence[Label]]) -> list[Week]:
    mondays = []
    for unit in judged.units:
        last = max(label.labelled_at for label in labels[unit])  # type: ignore[index]
        mondays.append(last.date() - timedelta(days=last.weekday()))
    found = []
    for monday in sorted(set(mondays)):
        held = np.array([[float(other == monday) for other in mondays]])
        share = float(agreement.percent(judged, held)[0])
        found.append(Week(monday, int(held.sum()), share))
    return found


def _gold(
    labels: Mapping[Subject, Sequence[Label]], items: Sequence[LabelItem], words: Taxonomy
) -> list[Checked]:
    """Per person: answers to gold items that are the known ones, in disposition and causes."""
    known = {item.id: item for item in items if item.slice == "gold"}
    tally: dict[str, list[bool]] = {}
    for said in labels.values():
        for label in said:
            item = known.get(label.item_id or 0)
            if item is not None:
                causes = frozenset(words.now(cause) for cause in item.expected.get("causes", ()))
                same = subjects.normal(label.disposition) == subjects.normal(
                    item.expected["disposition"]
                ) and causes == _causes(label, words)
                tally.setdefault(label.labelled_by, []).append(same)
    return [Checked(by, sum(right), len(right)) for by, right in sorted(tally.items())]


def _named(thing: str, known: Any, name: str) -> Any:
    if name not in known:
        raise UnknownNameError.of("agreement", thing, f"one of {', '.join(known)}", name)
    return known[name] if isinstance(known, Mapping) else name
