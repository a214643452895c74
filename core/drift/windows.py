"""Which days or hours are compared with which: a fixed schedule of windows that never overlap and hold whole seasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.contracts import DAY, Floats
from core.errors import NotEnoughDataError

Ints = NDArray[np.int64]
PERSISTENCE = 3
"""Windows in a row that must say the same before it is drift."""
MONDAY = np.datetime64("1970-01-05")


@dataclass(frozen=True)
class Rhythm:
    """In what a history is compared: values of `step`, of which `season` make a round of the calendar's phases.

    phase   : moments (n,) → which of the values of the calendar's round each is; a value is compared with its like
    lengths : values of a window → values of reference from which windows may be so long: the longest possible is taken
    unit, ends : what a value is called, and where windows end
    compared   : what the shortest history holds, in words
    """

    unit: str
    step: np.timedelta64
    season: int
    phase: Callable[[NDArray[np.datetime64]], Ints]
    lengths: Mapping[int, int]
    ends: str
    compared: str

    @property
    def least(self) -> int:
        """Values of the shortest reference."""
        return min(self.lengths.values())

    @property
    def needed(self) -> int:
        """The fewest days with which a check can be made."""
        return self.days(self.least + PERSISTENCE * min(self.lengths))

    def ready(self, first: np.datetime64) -> np.datetime64:
        """When the first check of a history that begins at `first` can be made: its newest window has closed."""
        length = min(self.lengths) * self.step
        return np.datetime64(MONDAY - (MONDAY - first - self.needed * DAY) // length * length)

    def days(self, values: int) -> int:
        """How many whole days so many values are."""
        return int(values * self.step // DAY)


def _weekday(times: NDArray[np.datetime64]) -> Ints:
    """0 = Monday."""
    return np.asarray((times.astype("datetime64[D]").astype(np.int64) + 3) % 7)


def _hour(times: NDArray[np.datetime64]) -> Ints:
    """The hour of a workday, 24 on of a Saturday or Sunday, in UTC."""
    hour = times.astype("datetime64[h]").astype(np.int64) % 24
    return np.asarray(hour + 24 * (_weekday(times) >= 5))


DAILY = Rhythm(
    unit="day",
    step=np.timedelta64(1, "D"),
    season=7,
    phase=_weekday,
    lengths={28: 300, 14: 180, 7: 42},
    ends="a Sunday",
    compared="six weeks to compare with and three weeks that are compared",
)
"""Whole weeks; the shortest reference knows each weekday from six days.

With a lag-one memory of 0.95 a shift of 0.5 sd of one metric of 100 entities, among 700 metrics, is found within
three windows of 28 days 97 times of 100, of 14 days 23 times (benchmarks/drift.py). Where less is known, sooner is
better than surer: a shift of a whole level is found in windows of any length.
"""
HOURLY = Rhythm(
    unit="hour",
    step=np.timedelta64(1, "h"),
    season=24,
    phase=_hour,
    lengths={24: 7 * 24},
    ends="a midnight (UTC)",
    compared="a week to compare with and three days that are compared",
)
"""Whole days, where what is measured by the minute is kept for two weeks; the shortest reference is a whole week."""


def rhythm(step: np.timedelta64) -> Rhythm:
    """What a history whose periods have this length is compared in."""
    return DAILY if step >= DAY else HOURLY


@dataclass(frozen=True)
class Schedule:
    """Positions in a row of days or hours: reference [start, stop), then `PERSISTENCE` windows up to `end`.

    length : values of one window, whole seasons
    first  : position of the oldest window; windows end where the calendar says, whenever one looks
    """

    start: int
    stop: int
    first: int
    length: int

    @property
    def end(self) -> int:
        """One past the newest window's last value."""
        return self.first + PERSISTENCE * self.length

    @property
    def reference(self) -> slice:
        """What is known."""
        return slice(self.start, self.stop)

    @property
    def span(self) -> slice:
        """What is compared: the windows one after the other."""
        return slice(self.first, self.end)


def schedule(
    times: NDArray[np.datetime64],
    rhythm: Rhythm = DAILY,
    *,
    known_until: np.datetime64 | None = None,
) -> Schedule:
    """The windows that have closed by the last of `times` (n,), consecutive and a step of the rhythm apart.

    Windows of days end on Sundays, those of two or four weeks on every second or fourth, counted from 1970, those
    of hours at midnight, so that looking again soon or late finds the same windows. The reference is what lies
    before the windows, and no day after `known_until` (the last that the model learned from; all days before the
    windows where it is None). Raises NotEnoughDataError with the days needed and those there are.
    """
    for length, least in rhythm.lengths.items():
        after_last = int((times[-1] - MONDAY) // rhythm.step) + 1 if len(times) else 0
        end = len(times) - after_last % length
        first = end - PERSISTENCE * length
        stop = first
        if known_until is not None:
            known = int(np.searchsorted(times, known_until + DAY))
            # a model that learned from the windows too knows the days before them all the same
            stop = min(stop, known) if known >= rhythm.least else stop
        start = stop - stop // rhythm.season * rhythm.season
        if stop - start >= least:
            return Schedule(start, stop, first, length)
    rule = f"at least {rhythm.needed} settled days up to {rhythm.ends}"
    raise NotEnoughDataError.of("drift", "the history", rule, rhythm.days(len(times)))


def standardised(values: Floats, reference: slice, phase: np.ndarray) -> Floats:
    """Values (…, n_time) as standard deviations of the reference from the reference's mean of the same phase.

    phase : (n_time,) position of each within the calendar's round. NaN stays NaN; a series that is constant or
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
