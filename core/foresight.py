"""Failures before they happen: what is coming at each period, learned from events that came, and when to say so.

Arrays are (n_entity, n_time); an event is known by its onset. What is learned and judged are the quiet periods alone:
an event under way, and the time right after it, are nothing to foretell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import catalog
from core.classifiers.calibrated import PLAIN
from core.contracts import Bools, Classifier, Floats, Panel, Periods
from core.errors import NotEnoughDataError

GAP = 30
"""Periods after an event in which nothing is learned or judged; what begins within them is the same event."""
BUDGET = 1.0
"""False alarms per 1,000 quiet periods of an entity."""
LEAF = 50
"""Periods that a leaf of trees must hold, for neighbouring periods are nearly the same."""
LEAST = 5
"""Events that must have come for others to be foretold."""
CUTS = 400
"""Cuts that are tried, at evenly spaced ranks of the logarithm."""
COMING, QUIET, LEFT_OUT = 1, 0, -1
Codes = NDArray[np.int8]
Rows = NDArray[np.intp]


# ── What is to be foretold ───────────────────────────────────────────────────────────────────────


def onsets(failing: Bools, gap: int = GAP) -> Bools:
    """Where an event begins: the first failing period after more than `gap` quiet ones."""
    begins = np.zeros_like(failing)
    for row, periods in enumerate(map(np.flatnonzero, failing)):
        begins[row, periods[np.diff(periods, prepend=-gap - 2) > gap + 1]] = True
    return begins


def coming(failing: Bools, horizon: int, gap: int = GAP) -> Codes:
    """1 where an event begins within the next `horizon` periods, 0 where none does, −1 during one and `gap` after it."""
    codes: Codes = ahead(onsets(failing, gap), horizon).astype(np.int8)
    codes[behind(failing, gap + 1)] = LEFT_OUT
    return codes


def ahead(marks: Bools, length: int) -> Bools:
    """Whether a mark lies within the `length` periods after each."""
    return _within(marks, 1, length)


def behind(marks: Bools, length: int) -> Bools:
    """Whether a mark lies within the latest `length` periods, each itself among them."""
    return _within(marks, 1 - length, 0)


def _within(marks: Bools, first: int, last: int) -> Bools:
    n_time = marks.shape[1]
    total = np.cumsum(np.pad(marks.astype(np.int64), ((0, 0), (1, 0))), axis=1)
    times = np.arange(n_time)
    start, end = np.clip(times + first, 0, n_time), np.clip(times + last + 1, 0, n_time)
    return np.asarray(total[:, end] > total[:, start])


# ── Learning ─────────────────────────────────────────────────────────────────────────────────────


def learned(name: str, rows: Floats, answers: Codes, **params: Any) -> Classifier:
    """A classifier of the catalogue on features (n_row, n_feature) of quiet periods, and what came of each (0 or 1).

    NotEnoughDataError where all periods are of one kind.
    """
    fields = catalog.get(name).Params.__dataclass_fields__
    own = {"leaf": LEAF} if "leaf" in fields else {"scaling": "robust"}
    given = {**PLAIN, **own, **params}
    made: Classifier = catalog.make(name, **{key: given[key] for key in given if key in fields})
    taught: Classifier = made.fit(_panel(rows), answers[:, None].astype(bool))
    return taught


def chances(model: Classifier, rows: Floats) -> Floats:
    """(n_row,) the probability that an event is coming; with classes weighed alike it is a rank, not a share."""
    answer = model.predict_proba(_panel(rows))[:, 0]
    return np.asarray(answer[:, model.classes.index("anomaly")])


def _panel(rows: Floats) -> Panel:
    """Rows as entities of one period."""
    names = tuple(f"feature {number}" for number in range(rows.shape[1]))
    day = np.timedelta64(1, "D")
    once = Periods(np.array(["1970-01-01"], dtype="datetime64[s]"), day)
    return Panel(rows[:, None], tuple(map(str, range(len(rows)))), names, once)


# ── When to say so ───────────────────────────────────────────────────────────────────────────────


def alarms(scores: Floats, cut: float, horizon: int) -> Rows:
    """(n_alarm,) periods of one entity (n_time,) at which an alarm is raised; none while the last may still come true."""
    raised: list[int] = []
    above = np.flatnonzero(scores >= cut)
    at = 0
    while at < len(above):
        raised.append(int(above[at]))
        at = int(np.searchsorted(above, above[at] + horizon, side="right"))
    return np.array(raised, dtype=np.intp)


def false_alarms(scores: Sequence[Floats], codes: Sequence[Codes], cut: float, horizon: int) -> int:
    """How many alarms of all entities were followed by no event."""
    return sum(
        int((known[alarms(told, cut, horizon)] == QUIET).sum())
        for told, known in zip(scores, codes, strict=True)
    )


def threshold(
    scores: Sequence[Floats], codes: Sequence[Codes], horizon: int, budget: float = BUDGET
) -> float:
    """The lowest cut from which up there are at most `budget` false alarms per 1,000 quiet periods; ∞ where none is.

    scores, codes : of each entity (n_time,), from a time that nothing was learned from
    """
    held = np.concatenate(
        [told[known != LEFT_OUT] for told, known in zip(scores, codes, strict=True)]
    )
    quiet = sum(int((known == QUIET).sum()) for known in codes)
    if not quiet:
        rule = "at least 1 without an event ahead"
        raise NotEnoughDataError.of("foresight", "periods to set the threshold by", rule, 0)
    falling = -np.sort(-held)
    ranks = np.unique(np.geomspace(1, len(falling), CUTS).astype(np.intp)) - 1
    lowest = float("inf")
    for cut in dict.fromkeys(falling[ranks].tolist()):
        if false_alarms(scores, codes, cut, horizon) > budget * quiet / 1000.0:
            break
        lowest = cut
    return lowest
