"""How well a detector of rows finds the cases of an event log that went wrong, and what is wrong in them.

The log's own early part teaches, by the start of its cases and without labels; a part after it says which scores are
ordinary and sets the cuts by an alarm budget; what comes later counts. Nothing is chosen with the labels in hand.

A detector looks seven times: at each attribute of the events (its features only), at whole events, and at whole
cases. What it scores becomes −log p against the part in the middle. A cell's score is that of its event's attribute; a
trace's is the sum over its worst cell, its worst event, and itself (Fisher's combination of the three).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import catalog
from core.contracts import Bools, Floats, Panel
from core.errors import InvalidInputError, NotEnoughDataError
from core.evaluate.ranking import auc_pr
from core.events import EventTable
from core.features.event_log import GROUPS, EventFeatures, in_nats

ATTRIBUTES = tuple(GROUPS)
LEARN, TUNE = 0.5, 0.2
"""Shares of the cases, by start, that are learned from, and that say what is ordinary."""
BUDGET = 0.1
"""Share of the traces that somebody has the time to look at."""
BODY = (0.9, 0.99)
"""Quantiles of ordinary scores whose distance tells how fast they thin out; beyond them lie the anomalies too."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known to be wrong with a log.

    kinds : (n_case,) kind of anomaly of each case, "" = none
    wrong : (n_event, n_attribute) bool, in the order of ATTRIBUTES; None where nobody said
    """

    kinds: NDArray[np.str_]
    wrong: Bools | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """Some cases of a log, their truth and their features."""

    table: EventTable
    kinds: NDArray[np.str_]
    wrong: Bools | None
    events: Panel
    cases: Panel


@dataclass(frozen=True, eq=False)
class Trial:
    """A log cut into what is learned from, what sets the cuts, and what counts."""

    train: Part
    tune: Part
    test: Part
    seconds: float

    @cached_property
    def later(self) -> tuple[Part, Part]:
        return self.tune, self.test


@dataclass(frozen=True, eq=False)
class Scores:
    """Of one part: (n_case,) by trace and (n_event, n_attribute) by cell, higher = worse."""

    traces: Floats
    cells: Floats


def prepare(table: EventTable, truth: Truth) -> Trial:
    """Cut a log by the start of its cases and learn its features from the first part."""
    began = time.perf_counter()
    if len(truth.kinds) != len(table.keys) or (
        truth.wrong is not None and truth.wrong.shape != (len(table), len(ATTRIBUTES))
    ):
        raise InvalidInputError.of(
            "evaluate eventlog", "the truth", f"of {len(table.keys)} cases", len(truth.kinds)
        )
    if len(table.keys) < 100:
        raise NotEnoughDataError.of("evaluate eventlog", "cases", "at least 100", len(table.keys))
    order = np.argsort(table.time[table.offsets[:-1]], kind="stable")
    ends = (np.array([LEARN, LEARN + TUNE]) * len(order)).astype(int)
    early, middle, late = np.split(order, ends)
    features = EventFeatures.learn(table.select(early))

    def part(cases: NDArray[np.intp]) -> Part:
        cut = table.select(cases)
        events = features.events(cut)
        wrong = None if truth.wrong is None else truth.wrong[table.rows_of(cases)]
        farthest = features.cases(cut, events)
        return Part(cut, truth.kinds[cases], wrong, in_nats(events), in_nats(farthest))

    train, tune, test = part(early), part(middle), part(late)
    return Trial(train, tune, test, time.perf_counter() - began)


def judge(
    trial: Trial, algorithm: str, params: Mapping[str, Any] | None = None, budget: float = BUDGET
) -> dict[str, Any]:
    """Fit a catalogue detector on the early part and report on the late one."""
    began = time.perf_counter()
    tune, test = _detected(trial, lambda: catalog.make(algorithm, **(params or {})))
    seconds = time.perf_counter() - began
    return {"algorithm": algorithm, **_report(trial, tune, test, budget), "seconds": seconds}


def peers(trial: Trial, budget: float = BUDGET, seed: int = 0) -> list[dict[str, Any]]:
    """What chance gives, and what the rarity of a trace's sequence of activities alone gives."""
    rng = np.random.default_rng(seed)
    chance = [
        Scores(rng.random(len(part.kinds)), rng.random((len(part.table), len(ATTRIBUTES))))
        for part in trial.later
    ]
    rare = []
    for part in trial.later:
        traces = part.cases.metric("variant")[:, 0]
        cells = np.zeros((len(part.table), len(ATTRIBUTES)))
        cells[:, ATTRIBUTES.index("activity")] = traces[part.table.key_index]
        rare.append(Scores(traces, cells))
    return [
        {"algorithm": name, **_report(trial, tune, test, budget)}
        for name, (tune, test) in (("random", chance), ("rare-variant", rare))
    ]


# ── Scores ───────────────────────────────────────────────────────────────────────────────────────


def _detected(trial: Trial, make: Callable[[], Any]) -> list[Scores]:
    """Scores of the middle and the late part."""

    def look(panels: Sequence[Panel]) -> list[Floats]:
        detector = make().fit(panels[0])
        return [detector.score(panel)[:, 0] for panel in panels[1:]]

    def look_at(names: Sequence[str]) -> list[Floats]:
        panels = [part.events.select(metrics=names) for part in parts]
        if np.isnan(panels[0].values).all():  # an attribute that this log does not have
            return [np.zeros(len(panel.entities)) for panel in panels[1:]]
        return look(panels)

    def worst(of_events: Sequence[Floats]) -> list[Floats]:
        return [
            part.table.per_key(np.maximum, scores, -np.inf)
            for part, scores in zip(trial.later, of_events, strict=True)
        ]

    parts = (trial.train, *trial.later)
    attributes = [look_at(names) for names in GROUPS.values()]
    cells = [
        np.stack([_thinned(seen[0], seen[at]) for seen in attributes], axis=-1) for at in (0, 1)
    ]
    views = (
        worst([cell.max(axis=-1) for cell in cells]),
        worst(look([part.events for part in parts])),
        look([part.cases for part in parts]),
    )
    return [
        Scores(np.sum([_ranked(seen[0], seen[at]) for seen in views], axis=0), cells[at])
        for at in (0, 1)
    ]


def _ranked(ordinary: Floats, scores: Floats) -> Floats:
    """−log p by rank among ordinary scores."""
    ranked = np.sort(ordinary)
    above = len(ranked) - np.searchsorted(ranked, scores, side="left")
    return np.asarray(-np.log((above + 1.0) / (len(ranked) + 1.0)))


def _thinned(ordinary: Floats, scores: Floats) -> Floats:
    """−log p by rank in the body, and beyond it as fast as the body thins out.

    By rank alone all attributes would have equally many odd cells; and a tail fitted to the highest scores would be
    fitted to the anomalies that are among them.
    """
    low, high = (float(at) for at in np.quantile(ordinary, BODY))
    reached = -np.log(1.0 - BODY[1])
    pace = (
        (high - low) / np.log((1.0 - BODY[0]) / (1.0 - BODY[1])) or float(np.std(ordinary)) or 1.0
    )
    within = np.minimum(_ranked(ordinary, scores), reached)
    beyond = reached + (scores - high) / pace
    return np.asarray(np.where(scores > high, beyond, within))


# ── Figures ──────────────────────────────────────────────────────────────────────────────────────


def _report(trial: Trial, tune: Scores, test: Scores, budget: float) -> dict[str, Any]:
    """Traces and cells of the late part; the cuts are set on the middle one, a cell for every trace of the budget."""
    part = trial.test
    wrong = part.kinds != ""
    cut = _cut(tune.traces, budget)
    report: dict[str, Any] = {
        "traces": len(wrong),
        "anomalous": int(wrong.sum()),
        "trace": _figures(test.traces, wrong, cut),
        "attribute": None,
        "by_kind": {
            kind: {
                "traces": int((part.kinds == kind).sum()),
                "recall": float((test.traces[part.kinds == kind] >= cut).mean()),
            }
            for kind in sorted(set(part.kinds[wrong].tolist()))
        },
    }
    if part.wrong is not None:
        per_cell = budget * len(tune.traces) / tune.cells.size
        report["attribute"] = {
            **_figures(test.cells.ravel(), part.wrong.ravel(), _cut(tune.cells.ravel(), per_cell)),
            "ap_of": {
                name: auc_pr(test.cells[:, at], part.wrong[:, at])
                for at, name in enumerate(ATTRIBUTES)
            },
        }
    return report


def _cut(scores: Floats, budget: float) -> float:
    """The lowest score that no more than the budget reaches; the highest where too many share it."""
    values, counts = np.unique(-scores, return_counts=True)
    within = np.cumsum(counts) <= budget * len(scores)
    return float(-values[within][-1] if within.any() else -values[0])


def _figures(scores: Floats, wrong: Bools, cut: float) -> dict[str, float]:
    alarms = scores >= cut
    hits = int((alarms & wrong).sum())
    precision = hits / alarms.sum() if alarms.any() else 0.0
    recall = hits / wrong.sum() if wrong.any() else 0.0
    total = precision + recall
    return {
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(2.0 * precision * recall / total) if total else 0.0,
        "ap": auc_pr(scores, wrong),
        "alarms": float(alarms.mean()),
    }
