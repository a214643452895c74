"""How well localizers find the causes of past incidents, with nothing learned from the causes they are asked for.

P@k counts a case when all its n causes are among the first n + k − 1 answers (causRCA); with one cause that is AC@k of
the other benchmarks, so both are told as `ac@k`. `avg@5` and `map@3` are the means of the first five and three. Where
answers tie in score and hops, a case counts with the probability that a random order of them gives: whoever names a
node decides nothing. `chance_ac@1` is what a random order of all candidates would reach.

Sources: Ikram et al., RCD, NeurIPS 2022 (Avg@5); causRCA, CIRPe 2025 (P@k of several causes, MAP@3).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby
from typing import Any, TypeVar

import numpy as np

from core.cases import Alarm, Case, Cause, Truth, none_found
from core.contracts import Bools, Panel, Periods, Times
from core.errors import InvalidInputError, NotEnoughDataError
from core.events import EventTable

DEPTH = 5
DIGITS = 9
"""Digits of a score that count: adding up in another order changes those behind."""
REPLICATES, LEVEL = 2_000, 0.95
BLOCKS = 5
"""Blocks of half the normal periods that fault-free windows are cut from."""
MEANS: Mapping[str, tuple[int, ...]] = {
    "ac@1": (1,),
    "ac@3": (3,),
    "ac@5": (5,),
    "avg@5": (1, 2, 3, 4, 5),
    "map@3": (1, 2, 3),
}
"""Each figure as the mean of P@k over these k."""
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What a localizer said of a case.

    candidates : nodes that it could have named
    seconds    : how long it took
    error      : why there is no answer; such a case counts as missed
    """

    causes: Sequence[Cause] = ()
    candidates: int = 0
    seconds: float = 0.0
    error: str = ""


# ── Figures ──────────────────────────────────────────────────────────────────────────────────────


def figures(
    cases: Mapping[str, Answer], truths: Mapping[str, Truth], seed: int = 0
) -> dict[str, Any]:
    """All figures of one localizer on a suite: means, intervals (bootstrap over cases), by group and by case."""
    if not cases:
        raise NotEnoughDataError.of("localisation", "cases", "at least 1", 0)
    rows = [_row(name, answer, truths[name]) for name, answer in cases.items()]
    drawn = np.random.default_rng(seed).integers(len(rows), size=(REPLICATES, len(rows)))
    # sorted, so that the order of the cases decides nothing
    told = {name: np.sort([row[name] for row in rows]) for name in MEANS}
    tail = (1.0 - LEVEL) / 2.0
    return {
        "cases": len(rows),
        **{name: float(values.mean()) for name, values in told.items()},
        "chance_ac@1": float(np.mean([row.pop("chance_ac@1") for row in rows])),
        "seconds_per_case": float(np.mean([row["seconds"] for row in rows])),
        "ci": {
            name: np.quantile(values[drawn].mean(axis=1), [tail, 1.0 - tail]).tolist()
            for name, values in told.items()
        },
        "per_group": {
            group: {"cases": len(held)}
            | {name: float(np.mean([row[name] for row in held])) for name in MEANS}
            for group in dict.fromkeys(row["group"] for row in rows)
            if (held := [row for row in rows if row["group"] == group])
        },
        "per_case": rows,
    }


def _row(name: str, answer: Answer, truth: Truth) -> dict[str, Any]:
    found = _found(answer.causes, truth.roots)
    size, few = len(truth.roots), min(len(truth.roots), answer.candidates)
    row = {
        "case": name,
        "group": truth.group,
        "subsystem": truth.subsystem,
        "root_causes": list(truth.roots),
        "found": [cause.node for cause in answer.causes[: size + DEPTH - 1]],
        "confidence": answer.causes[0].confidence if answer.causes else None,
        **{figure: math.fsum(found[k - 1] for k in ks) / len(ks) for figure, ks in MEANS.items()},
        "chance_ac@1": 1.0 / math.comb(answer.candidates, few) if answer.candidates else 0.0,
        "seconds": answer.seconds,
    }
    return {**row, "error": answer.error} if answer.error else row


def _found(causes: Sequence[Cause], roots: Sequence[str]) -> list[float]:
    """Probability of P@1 … P@5: that all roots are among the first n + k − 1, tied answers in a random order."""
    tied = [list(held) for _, held in groupby(causes, key=_rank)]
    missing, places = set(roots), [0.0] * DEPTH
    before = 0
    for held in tied:
        here = missing & {cause.node for cause in held}
        missing -= here
        if not missing and here:
            for k in range(1, DEPTH + 1):
                room = min(len(roots) + k - 1 - before, len(held))
                places[k - 1] = _drawn(len(held), len(here), room)
            break
        before += len(held)
    return places


def _rank(cause: Cause) -> tuple[float, int]:
    return float(f"{cause.score:.{DIGITS}g}"), cause.hops


def _drawn(held: int, wanted: int, room: int) -> float:
    """Probability that `wanted` of `held` are all among the first `room` of a random order."""
    return (
        math.comb(held - wanted, room - wanted) / math.comb(held, room) if room >= wanted else 0.0
    )


def candidates(case: Case) -> int:
    """How many nodes, or combinations of attributes, a localizer could name: what was observed of them."""
    if case.cube is not None:
        leaves = case.cube.leaves
        several = (
            leaves[:, list(columns)]
            for size in range(1, leaves.shape[1] + 1)
            for columns in combinations(range(leaves.shape[1]), size)
        )
        return sum(len(np.unique(part[(part >= 0).all(axis=1)], axis=0)) for part in several)
    if case.panel is not None:
        return int(np.isfinite(case.panel.values).any(axis=(1, 2)).sum())
    return case.graph.net.number_of_nodes()


def silence(answers: Sequence[Answer]) -> float | None:
    """Share of the answers that find no cause: the specificity of fault-free windows; None without answers."""
    if not answers:
        return None
    return float(np.mean([none_found(answer.causes) and not answer.error for answer in answers]))


def difference(
    ours: Sequence[float], theirs: Sequence[float], seed: int = 0
) -> tuple[float, float, float]:
    """(mean, low, high) of the paired difference of a figure over the same cases, by bootstrap."""
    apart = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(len(apart), size=(REPLICATES, len(apart)))
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(apart[drawn].mean(axis=1), [tail, 1.0 - tail])
    return float(apart.mean()), float(low), float(high)


# ── What is held out ─────────────────────────────────────────────────────────────────────────────


def leave_one_out(
    cases: Mapping[str, Case],
    truths: Mapping[str, Truth],
    key: Callable[[Truth], str],
    learn: Callable[[list[Case], list[Truth]], T],
) -> Iterator[tuple[list[str], T]]:
    """Names of the cases that share a key, and what the others taught; every case comes once.

    Raises NotEnoughDataError where all cases share one key, for then nothing is left to learn from.
    """
    keys = {name: key(truths[name]) for name in cases}
    several = list(dict.fromkeys(keys.values()))
    if len(several) < 2:
        rule = "at least 2, to learn from the others"
        raise NotEnoughDataError.of("localisation", "groups", rule, len(several))
    for held in several:
        others = [name for name in cases if keys[name] != held]
        yield (
            [name for name in cases if keys[name] == held],
            learn([cases[name] for name in others], [truths[name] for name in others]),
        )


# ── Fault-free windows ───────────────────────────────────────────────────────────────────────────


def quiet(
    cases: Mapping[str, Case], windows: int = 50, *, late: bool = True
) -> list[tuple[str, Case]]:
    """Cases in which nothing was wrong, each with the name of the case that it is made of.

    A window of the normal periods as long as that case, without a gap; of events a whole normal run. The normal periods
    (those of the first case, which all share) are cut into up to ten blocks; a window is judged by all but its own.
    `late` windows are of the second half of the normal periods or runs, for judging; whoever learns takes the first
    half. Empty for cases without normal behaviour.
    """
    names = sorted(cases, key=lambda name: (cases[name].alarm.at, name))
    made: list[tuple[str, Case]] = []
    blocks = _blocks(cases[names[0]])
    for block in range(blocks):
        numbers = range(-(-block * windows // blocks), -(-(block + 1) * windows // blocks))
        cut = _cut(cases[names[0]], block + blocks * late, 2 * blocks)
        for place, number in enumerate(numbers):
            name = names[number % len(names)]
            window = _window(cases[name], cut, place / len(numbers))
            if window is not None:
                made.append((name, window))
    return made


def _blocks(case: Case) -> int:
    """Blocks of half the normal behaviour: five, or as many as are as long as the case; 0 where there is none."""
    if isinstance(case.normal, EventTable):
        return min(BLOCKS, len(np.unique(case.normal.text("run").codes)) // 2)
    if case.normal is None or case.panel is None:
        return 0
    return min(BLOCKS, len(case.normal.periods) // (2 * len(case.panel.periods)))


@dataclass(frozen=True, eq=False)
class _Block:
    """Normal behaviour in two parts: one to be asked about, the rest to judge it by."""

    inside: Panel | EventTable
    outside: Panel | EventTable
    calls_inside: Panel | None = None
    calls_outside: Panel | None = None


def _cut(case: Case, k: int, n: int) -> _Block:
    """Part k of n of the normal periods, or runs, of a case."""
    normal = case.normal
    if isinstance(normal, EventTable):
        runs = np.unique(normal.text("run").codes)
        asked = runs[k * len(runs) // n : (k + 1) * len(runs) // n]
        rows = np.isin(normal.text("run").codes, asked)
        return _Block(normal.where(rows), normal.where(~rows))
    if normal is None:
        raise InvalidInputError.of("localisation", "the case", "one with normal periods", case.kind)
    labels = normal.periods.labels
    held = labels[k * len(labels) // n : (k + 1) * len(labels) // n]
    calls = (None, None) if case.normal_edges is None else _parted(case.normal_edges, held)
    return _Block(*_parted(normal, held), *calls)


def _parted(panel: Panel, labels: Times) -> tuple[Panel, Panel]:
    inside = np.isin(panel.periods.labels, labels)
    return _at(panel, inside), _at(panel, ~inside)


def _at(panel: Panel, times: Bools) -> Panel:
    periods = Periods(panel.periods.labels[times], panel.periods.step)
    return Panel(panel.values[:, times], panel.entities, panel.metrics, periods)


def _window(case: Case, block: _Block, place: float) -> Case | None:
    if isinstance(block.inside, EventTable):
        return _quiet_run(case, block, block.inside, place)
    return _quiet_window(case, block, block.inside, place)


def _quiet_window(case: Case, block: _Block, inside: Panel, place: float) -> Case | None:
    """The window that starts at this share of the block; None where every one of its length has a gap."""
    panel, times = case.panel, inside.periods.labels
    if panel is None or len(times) < (width := len(panel.periods)):
        return None
    spans = times[width - 1 :] - times[: len(times) - width + 1]
    starts = np.flatnonzero(spans == (width - 1) * inside.periods.step)
    if not len(starts):
        return None
    start = int(starts[int(place * len(starts))])
    seen = times[start : start + width]
    lead = int(np.searchsorted(panel.periods.labels, case.alarm.at, side="right")) - 1
    calls = block.calls_inside
    return dataclasses.replace(
        _moved(case, seen[min(max(lead, 0), width - 1)]),
        panel=_at(inside, np.isin(times, seen)),
        normal=block.outside,
        edges=None if calls is None else _at(calls, np.isin(calls.periods.labels, seen)),
        normal_edges=block.calls_outside,
    )


def _quiet_run(case: Case, block: _Block, inside: EventTable, place: float) -> Case | None:
    runs = np.unique(inside.text("run").codes)
    if not len(runs):
        return None
    rows = np.flatnonzero(inside.text("run").codes == runs[int(place * len(runs))])
    own = [name for name in inside.texts if name not in ("run", "node")]
    times = inside.time[rows]
    # an alarm after the run's end would see nothing fresh, one at its start nothing at all
    at = min(case.alarm.at, times.min() + (times.max() - times.min()) * 3 // 4)
    events = EventTable.of(
        inside.text("node")[rows],
        times,
        {name: inside.text(name)[rows] for name in own},
        {name: inside.number(name)[rows] for name in inside.numbers},
    )
    return dataclasses.replace(_moved(case, at), events=events, normal=block.outside)


def _moved(case: Case, at: np.datetime64) -> Case:
    """The same alarms at another time."""
    alarm, *alarms = (Alarm(old.node, at, old.metric) for old in (case.alarm, *case.alarms))
    return dataclasses.replace(case, alarm=alarm, alarms=tuple(alarms))
