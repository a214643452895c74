"""Which days are compared with which: a fixed schedule of windows that never overlap and hold whole weeks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.contracts import Floats
from core.errors import NotEnoughDataError

SEASON = 7
"""Periods after which the same phase comes round: days of a week."""
PERSISTENCE = 3
"""Windows in a row that must say the same before it is drift."""
LEAST_SEASONS = 6
"""Whole seasons that a reference needs: each phase of the week is then known from six days."""
MONDAY = np.datetime64("1970-01-05")
LENGTHS = {28: 300, 14: 180, 7: LEAST_SEASONS * SEASON}
"""Days of a window, and the days of reference from which windows may be so long: the longest possible is taken.

With a lag-one memory of 0.95 a shift of 0.5 sd of one metric of 100 entities, among 700 metrics, is found within
three windows of 28 days 97 times of 100, of 14 days 23 times (benchmarks/drift.py). Where less is known, sooner is
better than surer: a shift of a whole level is found in windows of any length.
"""
SHORT = min(LENGTHS)


@dataclass(frozen=True)
class Schedule:
    """Positions in a row of days: reference [start, stop), then `PERSISTENCE` windows up to `end`.

    length : days of one window, a multiple of `SEASON`
    first  : position of the oldest window; windows end where the calendar says, whenever one looks
    """

    start: int
    stop: int
    first: int
    length: int

    @property
    def end(self) -> int:
        """One past the newest window's last day."""
        return self.first + PERSISTENCE * self.length

    @property
    def reference(self) -> slice:
        """The days that are known."""
        return slice(self.start, self.stop)

    @property
    def span(self) -> slice:
        """The days that are compared: the windows one after the other."""
        return slice(self.first, self.end)


def needed(length: int = SHORT) -> int:
    """The fewest days with which a check can be made."""
    return LEAST_SEASONS * SEASON + PERSISTENCE * length


def schedule(days: np.ndarray, *, known_until: np.datetime64 | None = None) -> Schedule:
    """The windows that have closed by the last of `days` (n_day,) datetime64[D], consecutive.

    Windows end on Sundays; those of two or four weeks on every second or fourth, counted from 1970, so that looking daily or
    monthly finds the same windows. The reference is what lies before the windows, and no day after
    `known_until` (the last that the model learned from; all days before the windows where it is None).
    Raises NotEnoughDataError with the days needed and those there are.
    """
    days = days.astype("datetime64[D]")
    for length, least in LENGTHS.items():
        after_last = int((days[-1] - MONDAY).astype(int)) + 1 if len(days) else 0
        end = len(days) - after_last % length
        first = end - PERSISTENCE * length
        stop = first
        if known_until is not None:
            known = int(np.searchsorted(days, known_until, side="right"))
            # a model that learned from the windows too knows the days before them all the same
            stop = min(stop, known) if known >= LEAST_SEASONS * SEASON else stop
        start = stop - stop // SEASON * SEASON
        if stop - start >= least:
            return Schedule(start, stop, first, length)
    rule = f"at least {needed()} settled days up to a Sunday"
    raise NotEnoughDataError.of("drift", "the history", rule, len(days))


def standardised(values: Floats, reference: slice, phase: np.ndarray) -> Floats:
    """Values (…, n_day) as standard deviations of the reference from the reference's mean of the same phase.

    phase : (n_day,) position of each day within the season. NaN stays NaN; a series that is constant or
    unknown in the reference is NaN throughout.
    """
    own = phase[reference]
    result = np.empty_like(values)
    for position in np.unique(phase):
        known = values[..., reference][..., own == position]
        result[..., phase == position] = values[..., phase == position] - _mean(known)[..., None]
    spread = np.sqrt(_mean(result[..., reference] ** 2))[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(spread > 1e-12, result / spread, np.nan))


def _mean(values: Floats) -> Floats:
    known = np.isfinite(values)
    if known.all():
        return np.asarray(values.mean(axis=-1))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0.0).sum(axis=-1) / known.sum(axis=-1))
