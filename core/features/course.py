"""The usual course of measurements over the day and the week, and how far each period is off it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d

from core.contracts import DAY, Bools, Floats, Panel, Times
from core.features.scaling import MAD_TO_SD

HARMONICS, WEEKLY = 3, 3
"""Waves within the day, from three quarters of a day of history on; within the week, from 13 days on."""
POINTS = 720
"""Periods, evenly picked, that a course is fitted to."""
ROUNDS, REACH = 6, 4.685
"""Reweightings of the fit, and robust standard deviations beyond which a period has no say (Tukey's biweight)."""
FLOOR = 0.03
"""Least standard deviation, as a share of the level: a series that never moves is not judged by its rounding."""
OFFSET = 0.1
"""Share of a series' median that is added before logarithms are taken, so that zeros have one."""
SLACK = 5
"""Periods by which what happens every day may come earlier or later."""
EARLIER = 3
"""Days before that may say that something happens every day."""
NOTED = 4.0
"""Robust standard deviations from which a deviation of an earlier day is remembered."""
KINDLY = 0.25
"""What a deviation counts for in the direction that hurts nobody."""


@dataclass(frozen=True, eq=False)
class Course:
    """Expected values and their spread in the metrics' units, and the deviations in robust standard deviations.

    expected : panel; spread : (n_entity, n_time, n_metric) standard deviation of observed − expected
    residual : median of each period and the two before it, so that a single odd period does not count
    """

    expected: Panel
    spread: Floats
    residual: Panel


def course(panel: Panel, bad: Mapping[str, int], excluded: Bools | None = None) -> Course:
    """Fit every series of a panel its own course over day and week, and measure what is off it.

    bad      : metric → direction that hurts (−1 drop, +1 rise, 0 either); a deviation the other way counts a quarter
    excluded : (n_entity, n_time) cells known to be odd: they teach nothing

    Series that are never negative are judged by ratios, others by differences. What came at the same time on
    earlier days too (the nearest three, as far as there are) is expected, never more of it than is there.
    Harmonic regression by iteratively reweighted least squares (Beaton & Tukey, Technometrics 1974).
    """
    n_entity, n_time, n_metric = panel.values.shape
    values = panel.values.transpose(0, 2, 1).reshape(-1, n_time)
    there = np.isfinite(values).any(axis=1)
    values = values[there]
    learned = values
    if excluded is not None:
        learned = np.where(np.repeat(excluded, n_metric, axis=0)[there], np.nan, values)
    scale = _Scale.of(values)
    logs = scale.apply(values)
    lessons = scale.apply(learned)
    fitted = _fitted(lessons, waves(panel.periods.labels))
    sd = np.maximum(_spread(lessons - fitted), FLOOR)
    steady = _steady(logs - fitted)
    unit = np.maximum(_spread(_steady(lessons - fitted)), FLOOR)
    low, high = _everyday(_steady(lessons - fitted), NOTED * unit, panel.periods.step)
    usual = np.nan_to_num(np.clip(steady, low, high))
    fitted = fitted + usual
    direction = np.tile([bad.get(metric, 0) for metric in panel.metrics], n_entity)[there, None]
    score = (steady - usual) / unit
    score = np.where(score * direction < 0, KINDLY * score, score)

    def whole(rows: Floats) -> Floats:
        full = np.full((n_entity * n_metric, n_time), np.nan)
        full[there] = rows
        return np.ascontiguousarray(full.reshape(n_entity, n_metric, n_time).transpose(0, 2, 1))

    expected = scale.undo(fitted)
    return Course(
        panel.with_values(whole(expected)),
        whole(scale.slope(expected) * sd),
        panel.with_values(whole(score)),
    )


def waves(labels: Times) -> Floats:
    """(n_time, n_wave) columns of a regression: a constant, waves within the day, and within the week."""
    days = labels.astype("datetime64[s]").astype(np.float64) / 86_400.0
    history = float(days[-1] - days[0]) if len(days) else 0.0
    turns = [number * days for number in range(1, HARMONICS + 1) if history >= 0.75]
    turns += [number * days / 7.0 for number in range(1, WEEKLY + 1) if history >= 13.0]
    columns = [np.ones(len(days))]
    for turn in turns:
        columns += [np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)]
    return np.stack(columns, axis=1)


@dataclass(frozen=True, eq=False)
class _Scale:
    """How each series is judged: as log(value + offset), or linearly where it falls below zero; all (n, 1)."""

    offset: Floats
    unit: Floats

    @classmethod
    def of(cls, values: Floats) -> _Scale:
        some = values[:, :: max(1, values.shape[1] // POINTS)]
        known = np.where(np.isfinite(some).any(axis=1, keepdims=True), some, 1.0)
        level = np.nanmedian(np.abs(known), axis=1, keepdims=True)
        largest = np.nanmax(np.abs(known), axis=1, keepdims=True)
        level = np.where(level > 0, level, np.where(largest > 0, largest, 1.0))
        below = np.nanmin(np.where(np.isfinite(values), values, np.inf), axis=1, keepdims=True) < 0
        return cls(np.where(below, np.nan, OFFSET * level), level)

    @property
    def linear(self) -> Bools:
        return np.asarray(np.isnan(self.offset))

    def apply(self, values: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.linear, values / self.unit, np.log(values + self.offset))

    def undo(self, rows: Floats) -> Floats:
        with np.errstate(over="ignore"):
            ratio = np.maximum(np.exp(rows) - self.offset, 0.0)
        return np.where(self.linear, rows * self.unit, ratio)

    def slope(self, values: Floats) -> Floats:
        """What one unit of deviation is worth at a value."""
        return np.where(self.linear, self.unit, values + self.offset)


def _fitted(rows: Floats, columns: Floats) -> Floats:
    """(n, n_time) of a robust regression of every row on the same columns; its median where there is too little."""
    step = max(1, len(columns) // POINTS)
    some, design = rows[:, ::step], columns[::step]
    known = np.isfinite(some)
    centre = np.nanmedian(np.where(known.any(axis=1, keepdims=True), some, 0.0), axis=1)[:, None]
    target = np.where(known, some - centre, 0.0)
    width = design.shape[1]
    squares = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    # as many periods again without any wave keep a short history from being bent
    ridge = np.diag([1e-9] + [0.01 * len(design)] * (width - 1))
    weight: Floats = known.astype(np.float64)
    found = np.zeros((len(some), width))
    for _ in range(ROUNDS):
        normal = (weight @ squares).reshape(-1, width, width) + ridge
        normal[:, 0, 0] += 1e-9
        solved = np.linalg.solve(normal, ((weight * target) @ design)[..., None])
        found = np.asarray(solved[..., 0], dtype=np.float64)
        off = target - found @ design.T
        reach = REACH * np.maximum(_spread(np.where(known, off, np.nan)), 1e-6)
        nearness = np.maximum(1.0 - np.square(off / reach), 0.0)
        weight = np.asarray(known * np.square(nearness), dtype=np.float64)
    return np.asarray(centre + found @ columns.T)


def _spread(rows: Floats) -> Floats:
    """(n, 1) robust standard deviation around zero of evenly picked periods; 0 where nothing is known."""
    some = np.abs(rows[:, :: max(1, rows.shape[1] // POINTS)])
    some = np.where(np.isfinite(some).any(axis=1, keepdims=True), some, 0.0)
    return np.asarray(MAD_TO_SD * np.nanmedian(some, axis=1, keepdims=True))


def _everyday(steady: Floats, noted: Floats, step: np.timedelta64) -> tuple[Floats, Floats]:
    """The lowest (≤ 0) and highest (≥ 0) deviation beyond `noted` of earlier days at this time: their median."""
    day = round(float(DAY / step))
    n_time = steady.shape[1]
    back = range(1, min(EARLIER, (n_time - 1) // max(day, 1)) + 1)
    bounds = []
    for sign in (-1.0, 1.0):
        known = np.nan_to_num(np.where(sign * steady > noted, sign * steady, 0.0))
        known = maximum_filter1d(known, 2 * SLACK + 1, axis=1, mode="nearest")
        shifted = np.full((len(back), *steady.shape), np.nan)
        for place, number in enumerate(back):
            shifted[place, :, number * day :] = known[:, : n_time - number * day]
        found = np.zeros_like(steady)
        if len(back):
            found[:, day:] = np.nanmedian(shifted[:, :, day:], axis=0)
        bounds.append(sign * found)
    return bounds[0], bounds[1]


def _steady(rows: Floats) -> Floats:
    """The median of each period and the two before it; NaN stays where nothing was measured."""
    before = np.concatenate([rows[:, :1], rows[:, :-1]], axis=1)
    earlier = np.concatenate([rows[:, :1], before[:, :-1]], axis=1)
    low, high = np.fmin(rows, before), np.fmax(rows, before)
    middle = np.fmax(low, np.fmin(high, earlier))
    return np.where(np.isfinite(rows), middle, np.nan)
