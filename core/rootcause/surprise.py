"""How far every node is from what it normally does, and since when: what the plain localizers rank by.

Metrics: the robust z of an observed value is (x − median) / max(IQR / 1.349, 5 % of the median, the standard deviation),
all three of the normal periods; a plain IQR explodes on series that hardly move. Of a node its metric with the largest
median z over the judged periods counts: from the period that holds the alarm to the end of what was seen.
Events: −log10 of how often a normal run holds the state that a node went into, of numbers how far out in the tail of
the normal ones it lies.

Source: BARO's robust scorer (Pham et al., FSE 2024, section 3.3), with a floor and both directions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from core.cases import Case, Cause
from core.contracts import Floats, Panel, Times
from core.domains import DOMAINS, conventions
from core.errors import InvalidInputError
from core.events import EventTable

NORMAL_IQR = 1.349
FLOOR = 0.05
CLEAR, RARE = 3.0, 1.0
"""What is odd: robust deviations, and −log10 of a share of normal runs."""
WINDOWS = 200
"""Normal windows that tell how large the largest deviation is when nothing is wrong."""
ALPHA = 0.05
"""Share of quiet windows in which a cause may be named."""
NUMBERS = 5
"""Values of a node's events that are numbers, and more of them than this, are judged by how far out they lie."""


@dataclass(frozen=True, eq=False)
class Surprise:
    """One row per observed node.

    strength : ≥ 0; robust deviations, or −log10 of a share of normal runs
    change   : the deviation with its sign, NaN where it has none (events)
    metric   : where it was largest, "" where nothing was seen
    onset    : start of the trouble that reaches into the judged periods; the alarm's time where there is none
    clear    : strength from which a node is odd
    p        : how often something as strong is seen when nothing is wrong
    """

    nodes: tuple[str, ...]
    strength: Floats
    change: Floats
    metric: tuple[str, ...]
    onset: Times
    clear: float
    p: float

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Node → row."""
        return {node: row for row, node in enumerate(self.nodes)}

    @property
    def belief(self) -> float:
        """That there is a cause at all: one half where something as strong is seen in 5 % of quiet windows."""
        return ALPHA / (ALPHA + self.p)


def surprise(case: Case, directions: Mapping[str, int] | None = None) -> Surprise:
    """The surprise of every observed node.

    directions : metric → +1 or −1 where only a rise or only a drop is bad, 0 for both ways; those that are not named
                 go the way that a domain declares, else the way that their name tells
    """
    return _of_events(case) if case.kind == "events" else _of_metrics(case, directions or {})


def direction(metric: str) -> int:
    """Which way a metric is bad: as a domain declares it, else as the words of its name tell, 0 for both ways."""
    declared = (m.bad for domain in DOMAINS.values() for m in domain.metrics if m.name == metric)
    return next(declared, conventions.bad(metric))


def causes(
    case: Case,
    found: Surprise,
    terms: Mapping[str, Mapping[str, float]],
    evidence: Mapping[str, Sequence[str]] | None = None,
) -> list[Cause]:
    """Causes whose scores are the sums of their terms; they share the belief in a cause as the squares of their scores."""
    scores = {node: math.fsum(parts.values()) for node, parts in terms.items()}
    weights = {node: max(score, 0.0) ** 2 for node, score in scores.items()}
    whole = math.fsum(weights.values()) or 1.0
    row_of, paths = found.row_of, case.paths()
    listed = []
    for node, parts in terms.items():
        row = row_of[node]
        path = paths.get(node, (node,))
        said = (*_said(found, row), *(evidence or {}).get(node, ()))
        share = found.belief * weights[node] / whole
        onset = found.onset[row]
        listed.append(
            Cause(
                node, "unknown", onset, path, len(path) - 1, parts, scores[node], share, tuple(said)
            )
        )
    return listed


def _said(found: Surprise, row: int) -> list[str]:
    if not found.metric[row]:
        return []
    change, metric = float(found.change[row]), found.metric[row]
    if math.isnan(change):
        share = 10.0 ** -float(found.strength[row])
        return [f"Went to {metric}, as at most {share:.1%} of normal runs do"]
    side = "above" if change > 0 else "below"
    return [f"{metric} is {abs(change):.1f} robust deviations {side} normal"]


# ── Metrics ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Usual:
    """Centre and spread (n_node, n_metric) of normal periods."""

    centre: Floats
    spread: Floats

    @classmethod
    def of(cls, normal: Panel) -> Usual:
        known = np.asarray(np.isfinite(normal.values).any(axis=1))
        # what was never seen would warn, and stays missing
        values = np.where(known[:, None], normal.values, 0.0)
        low, centre, high = np.nanpercentile(values, (25, 50, 75), axis=1)
        deviation = np.nanstd(values, axis=1)
        spread = np.maximum((high - low) / NORMAL_IQR, FLOOR * np.abs(centre))
        spread = np.maximum(spread, deviation)
        # a series that never moved and is 0: any move is one deviation per unit
        spread = np.where(spread > 0, spread, 1.0)
        return cls(np.where(known, centre, np.nan), spread)

    def deviations(self, values: Floats) -> Floats:
        """Signed robust z of (n_node, n_time, n_metric); NaN where missing."""
        return np.asarray((values - self.centre[:, None]) / self.spread[:, None])


_USUAL: WeakKeyDictionary[Panel, Usual] = WeakKeyDictionary()
_TOPS: WeakKeyDictionary[Panel, dict[object, Floats]] = WeakKeyDictionary()


def usual(normal: Panel) -> Usual:
    """Learned once per panel, for cases share theirs."""
    if normal not in _USUAL:
        _USUAL[normal] = Usual.of(normal)
    return _USUAL[normal]


def judged(case: Case) -> slice:
    """Periods of the panel from the one that holds the alarm on; the last where none does."""
    if case.panel is None:
        raise InvalidInputError.of("surprise", "the case", "one with a panel", case.kind)
    periods = case.panel.periods
    first = int(np.searchsorted(periods.labels + periods.step, case.alarm.at, side="right"))
    return slice(min(first, len(periods) - 1), None)


def _of_metrics(case: Case, directions: Mapping[str, int]) -> Surprise:
    panel, normal = case.panel, case.normal
    if panel is None or not isinstance(normal, Panel):
        raise InvalidInputError.of("surprise", "the case", "one of metrics", case.kind)
    asked = [
        metric for metric in panel.metrics if case.alarm.metric in (metric, "")
    ] or panel.metrics
    panel = panel.select(metrics=asked)
    known = usual(normal)
    columns = [normal.metrics.index(metric) for metric in asked]
    own = Usual(known.centre[:, columns], known.spread[:, columns])
    bad = np.array([directions.get(m, direction(m)) for m in asked])
    z = own.deviations(panel.values)
    window = judged(case)
    change = median(z[:, window])
    sized = _sized(change, bad)
    best = sized.argmax(axis=1)
    rows = np.arange(len(best))
    strength = sized[rows, best]
    tops = _tops(normal, own, columns, bad, z[:, window].shape[1])
    most = float(strength.max(initial=0.0))
    return Surprise(
        panel.entities,
        strength,
        np.nan_to_num(change[rows, best]),
        tuple(
            asked[column] if strong > 0 else ""
            for column, strong in zip(best.tolist(), strength.tolist(), strict=True)
        ),
        _onsets(z[rows, :, best], change[rows, best], case, window),
        CLEAR,
        float((1 + np.sum(tops >= most)) / (1 + len(tops))),
    )


def median(z: Floats) -> Floats:
    """Median over time (n_node, n_metric) without the missing; NaN where all are."""
    known = np.asarray(np.isfinite(z).any(axis=1))
    return np.where(known, np.nanmedian(np.where(known[:, None], z, 0.0), axis=1), np.nan)


def _sized(change: Floats, bad: NDArray[np.int_]) -> Floats:
    """How bad a deviation is: its size, 0 where it goes the good way or nothing was seen."""
    sized = np.where(bad == 0, np.abs(change), np.maximum(change * bad, 0.0))
    return np.nan_to_num(sized)


def _tops(
    normal: Panel, own: Usual, columns: list[int], bad: NDArray[np.int_], width: int
) -> Floats:
    """The largest size in windows of the normal periods as long as the judged ones."""
    kept = _TOPS.setdefault(normal, {})
    key = (tuple(columns), tuple(bad.tolist()), width)
    if key not in kept:
        many = min(len(normal.periods) // width, WINDOWS)
        starts = np.linspace(0, len(normal.periods) - width, many).astype(int)
        kept[key] = np.array(
            [
                _sized(
                    median(own.deviations(normal.values[:, start : start + width][..., columns])),
                    bad,
                ).max(initial=0.0)
                for start in starts
            ]
        )
    return kept[key]


def _onsets(z: Floats, change: Floats, case: Case, window: slice) -> Times:
    """Start of the run of clear deviations, on the same side, that reaches into the judged periods."""
    labels = case.panel.periods.labels  # type: ignore[union-attr]
    side = np.where(change < 0, -1.0, 1.0)[:, None]
    clear = np.nan_to_num(z * side) >= CLEAR
    clear[:, window.start] |= clear[:, window.start :].any(axis=1)
    quiet = np.where(clear, -1, np.arange(len(labels)))[:, : window.start + 1]
    last_quiet = quiet.max(axis=1)
    first = np.minimum(last_quiet + 1, window.start)
    # a trouble that begins within the judged periods
    later = window.start + clear[:, window.start :].argmax(axis=1)
    onsets: Times = labels[np.where(first == window.start, later, first)]
    return onsets.astype("datetime64[us]")


# ── Events ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Habits:
    """What normal runs hold.

    runs   : how many there are
    states : (node, state) → runs in which the node was in it
    tails  : node → its numbers, ascending, where it has many
    """

    runs: int
    states: Mapping[tuple[str, str], int]
    tails: Mapping[str, Floats]

    @classmethod
    def of(cls, normal: EventTable) -> Habits:
        run, node, value = (normal.text(name) for name in ("run", "node", "value"))
        words, names = (*value.vocabulary, ""), node.vocabulary
        # one number per node, state and run, for one sort is quicker than three
        state = node.codes.astype(np.int64) * len(words) + value.codes % len(words)
        seen = np.unique(state * len(run.vocabulary) + run.codes) // len(run.vocabulary)
        held, runs = np.unique(seen, return_counts=True)
        states = {
            (names[key // len(words)], words[key % len(words)]): many
            for key, many in zip(held.tolist(), runs.tolist(), strict=True)
        }
        numbers = normal.number("value")
        tails = {}
        order = np.argsort(node.codes, kind="stable")
        bounds = np.searchsorted(node.codes[order], np.arange(len(names) + 1))
        for place, name in enumerate(names):
            found = np.sort(numbers[order[bounds[place] : bounds[place + 1]]])
            if len(found) and np.isfinite(found).all() and len(np.unique(found)) > NUMBERS:
                tails[name] = found
        return cls(len(np.unique(run.codes)), states, tails)

    def strength(self, node: str, state: str, number: float) -> float:
        """−log10 of the share of normal runs, or of normal numbers on both sides, that are as far out."""
        tail = self.tails.get(node)
        if tail is not None and math.isfinite(number):
            below = int(np.searchsorted(tail, number, side="right"))
            above = len(tail) - int(np.searchsorted(tail, number, side="left"))
            # many numbers of one run are no more proof than one
            share = (min(below, above) * self.runs / len(tail) + 1) / (self.runs + 1)
            return -math.log10(min(2.0 * share, 1.0))
        return -math.log10((self.states.get((node, state), 0) + 1) / (self.runs + 1))


_HABITS: WeakKeyDictionary[EventTable, Habits] = WeakKeyDictionary()


def habits(normal: EventTable) -> Habits:
    """Learned once per table, for cases share theirs."""
    if normal not in _HABITS:
        _HABITS[normal] = Habits.of(normal)
    return _HABITS[normal]


def _of_events(case: Case) -> Surprise:
    """The strongest state of each node up to the alarm, the latest of equals."""
    events, normal = case.events, case.normal
    if events is None or not isinstance(normal, EventTable):
        raise InvalidInputError.of("surprise", "the case", "one of events", case.kind)
    known, at = habits(normal), case.alarm.at.astype("datetime64[us]")
    states, numbers = events.text("value").values(), events.number("value")
    strength, onset = np.zeros(len(events.keys)), np.full(len(events.keys), at)
    metric = [""] * len(events.keys)
    for place, node in enumerate(events.keys):
        rows = range(int(events.offsets[place]), int(events.offsets[place + 1]))
        for row in rows:
            if events.time[row] > at:
                break
            strong = known.strength(node, states[row], float(numbers[row]))
            if strong > 0 and strong >= strength[place]:
                strength[place], onset[place], metric[place] = strong, events.time[row], states[row]
    near = case.hops(len(case.graph.net))
    judged_rows = [row for row, node in enumerate(events.keys) if node in near]
    most = float(strength[judged_rows].max(initial=0.0))
    # the best of several chances
    p = min(10.0**-most * len(judged_rows), 1.0) if judged_rows else 1.0
    blank = np.full(len(events.keys), np.nan)
    return Surprise(events.keys, strength, blank, tuple(metric), onset, RARE, p)
