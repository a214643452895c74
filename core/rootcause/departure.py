"""How far series leave what is normal for them, in multiples of what normal periods themselves reach.

A robust z-score, (x − median) / max(IQR / 1.349, 5 % of the median, 0.1 standard deviations), is taken against the
normal periods and against the periods just before the alarm; the smaller counts, so a level that moved long ago is no
news. The mean of the two highest within a window is divided by the 98th percentile that windows of the same length
reach when nothing is wrong: 1 is the edge of normal whatever the noise of a series. A node has many series, so the same
is done once more for the largest of a family of metrics.

Sources: Pham et al., BARO, FSE 2024 (median and IQR); the floors are ours, for series that hardly move. Unlike BARO,
rises and falls are kept apart and only the bad direction of a metric counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from core.cases import Case
from core.contracts import Bools, Floats, Panel, Times
from core.rootcause.metric_kinds import Kind

Rows = NDArray[np.intp]

USUAL = 0.98
"""Share of normal windows that counts as normal."""
LEAST = 3.0
"""A z-score below this is never news, however calm the series was."""
BEST = 2
"""Periods of a window whose mean counts: one may be a slip of the measurement."""
CELLS = 2_000_000
"""Cells of normal periods that are looked at; of more, every k-th period and window."""


@dataclass(frozen=True, eq=False)
class Usual:
    """What is normal, per row and metric of a panel, for windows of one length.

    median, scale : (n, m) of the values; scale is NaN where a series cannot tell anything
    rise, fall    : (n, m) edge of normal of a window's z-score, upwards and downwards
    crowd         : (n, n_family) edge of normal of the largest strength in a family, at least 1
    """

    median: Floats
    scale: Floats
    rise: Floats
    fall: Floats
    crowd: Floats


@dataclass(frozen=True, eq=False)
class Departure:
    """How far some rows left their normal in a window.

    strength : (n, m) in the bad direction of each metric, 1 = the edge of normal
    family   : (n, n_family) the largest of each family, 1 = the edge of normal
    base     : (n, m) level just before the window
    window   : (n, width, m) the values of the window
    z        : (n, n_time, m) signed z-scores of all periods, positive = bad
    known    : (n, n_family) whether any series of the family can tell something
    """

    strength: Floats
    family: Floats
    base: Floats
    window: Floats
    z: Floats
    known: Bools


class _Known:
    """What is normal for the rows of one panel and one length of window, as far as anybody asked."""

    def __init__(self, rows: int, metrics: int, families: int, largest: Floats) -> None:
        self.done = np.zeros(rows, dtype=bool)
        self.largest = largest
        self.tables = [np.full((rows, metrics), np.nan) for _ in range(4)]
        self.tables.append(np.full((rows, families), np.nan))


_remembered: WeakKeyDictionary[Panel, dict[int, _Known]] = WeakKeyDictionary()


def usual(
    normal: Panel, rows: Rows, width: int, kinds: Sequence[Kind], families: Sequence[str]
) -> Usual:
    """What is normal for some rows of a panel; worked out once per row as long as the panel lives."""
    width = min(width, len(normal.periods))
    widths = _remembered.setdefault(normal, {})
    if width not in widths:
        thin = _every(normal.values.size)
        some = normal.values[:, ::thin]
        with np.errstate(invalid="ignore"):
            high = np.fmax.reduce(some, axis=(0, 1), initial=0.0)
            low = np.fmin.reduce(some, axis=(0, 1), initial=0.0)
        widths[width] = _Known(
            len(normal.entities), len(kinds), len(families), np.maximum(high, -low)
        )
    known = widths[width]
    missing = np.unique(rows[~known.done[rows]])
    if len(missing):
        made = _usual(normal.values[missing], width, kinds, families, known.largest)
        fields = (made.median, made.scale, made.rise, made.fall, made.crowd)
        for table, field in zip(known.tables, fields, strict=True):
            table[missing] = field
        known.done[missing] = True
    return Usual(*(table[rows] for table in known.tables))


def _every(cells: int) -> int:
    return max(-(-cells // CELLS), 1)


def _usual(
    values: Floats, width: int, kinds: Sequence[Kind], families: Sequence[str], largest: Floats
) -> Usual:
    thin = _every(values.size)
    some = values[:, ::thin]
    low, median, high = quantiles(some, (0.25, 0.5, 0.75))
    with np.errstate(invalid="ignore"):
        deviation = np.sqrt(_mean((some - _mean(some)[:, None]) ** 2))
        floor = np.maximum(0.05 * np.abs(median), 0.1 * deviation)
        scale = np.maximum((high - low) / 1.349, floor)
        for column, kind in enumerate(kinds):
            if kind == Kind("success", -1):
                # a share near its ceiling: what matters is how much is missing, and 0.2 points are nothing
                full = 100.0 if largest[column] > 1.5 else 1.0
                missing = 0.05 * np.abs(full - median[:, column])
                floor = np.maximum(missing, 0.1 * deviation[:, column])
                spread = np.maximum((high - low)[:, column] / 1.349, 0.002 * full)
                scale[:, column] = np.maximum(spread, floor)
                scale[median[:, column] <= 0.0, column] = np.nan
        # a series that never moved: a hundredth of what any row shows
        scale = np.where(scale == 0.0, 0.01 * largest, scale)
        scale = np.where(np.isfinite(median) & (scale > 0.0), scale, np.nan)
        up, down = _windows(values, median, scale, width, thin)
        rise = np.fmax(quantiles(up, (USUAL,))[0], LEAST)
        fall = np.fmax(quantiles(down, (USUAL,))[0], LEAST)
        calm = _bad(up / rise[:, None], down / fall[:, None], kinds)
        crowd = quantiles(_largest(calm, kinds, families), (USUAL,))[0]
    return Usual(median, scale, rise, fall, np.fmax(crowd, 1.0))


def _windows(
    values: Floats, median: Floats, scale: Floats, width: int, stride: int
) -> tuple[Floats, Floats]:
    """(n, n_window, m) z-scores of every stride-th window, upwards and downwards."""
    count = values.shape[1] - width + 1
    places = np.arange(0, count, stride)[:, None] + np.arange(width)
    z = (values[:, places] - median[:, None, None]) / scale[:, None, None]
    return _best(z), _best(-z)


def departure(
    values: Floats,
    normal: Usual,
    window: slice,
    kinds: Sequence[Kind],
    families: Sequence[str],
    *,
    local: bool = True,
) -> Departure:
    """How far rows leave their normal in a window of periods.

    values : (n, n_time, m), of which those before the window are the local level where `local`
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        inside, before = values[:, window], values[:, : window.start]
        z = (values - normal.median[:, None]) / normal.scale[:, None]
        up, down = _best(z[:, None, window])[:, 0], _best(-z[:, None, window])[:, 0]
        base = normal.median
        if local and before.shape[1] >= BEST:
            level = quantiles(before, (0.5,))[0]
            base = np.where(np.isfinite(level), level, normal.median)
            moved = ((inside - base[:, None]) / normal.scale[:, None])[:, None]
            up = np.fmin(up, _best(moved)[:, 0])
            down = np.fmin(down, _best(-moved)[:, 0])
        strength = _bad(up / normal.rise, down / normal.fall, kinds)
        strength = np.where(np.isfinite(strength), np.maximum(strength, 0.0), 0.0)
        family = _largest(strength, kinds, families) / normal.crowd
    known = _largest(np.isfinite(normal.scale).astype(float), kinds, families) > 0.0
    return Departure(strength, family, base, inside, _bad(z, -z, kinds), known)


def window_of(case: Case, labels: Times, span: int) -> slice:
    """The `span` periods from the one on in which the alarm fell."""
    start = max(int(np.searchsorted(labels, case.alarm.at, side="right")) - 1, 0)
    return slice(start, min(start + span, len(labels)))


def quantiles(values: Floats, shares: Sequence[float]) -> list[Floats]:
    """Linear quantiles along axis 1 of the finite values, NaN where there are none."""
    ordered = np.sort(values, axis=1)
    count = np.isfinite(ordered).sum(axis=1, keepdims=True)
    found = []
    for share in shares:
        place = np.maximum(count - 1, 0) * share
        below = np.floor(place).astype(np.intp)
        above = np.minimum(below + 1, np.maximum(count - 1, 0))
        low = np.take_along_axis(ordered, below, axis=1)
        high = np.take_along_axis(ordered, above, axis=1)
        found.append((low + (place - below) * (high - low))[:, 0])
    return found


def _mean(values: Floats) -> Floats:
    """Mean along axis 1 of the finite values."""
    seen = np.isfinite(values)
    total: Floats = np.where(seen, values, 0.0).sum(axis=1)
    return total / np.where(seen.any(axis=1), seen.sum(axis=1), np.nan)


def _best(z: Floats) -> Floats:
    """(n, n_window, m) mean of the `BEST` highest of windows (n, n_window, width, m); of the one where there is one."""
    first = np.full((*z.shape[:2], z.shape[3]), -np.inf)
    second = first.copy()
    for offset in range(z.shape[2]):
        value = np.where(np.isnan(z[:, :, offset]), -np.inf, z[:, :, offset])
        second = np.maximum(second, np.minimum(first, value))
        first = np.maximum(first, value)
    mean = np.where(np.isinf(second), first, (first + second) / BEST)
    return np.where(np.isinf(first), np.nan, mean)


def _bad(up: Floats, down: Floats, kinds: Sequence[Kind]) -> Floats:
    """By metric what is bad: the rise, the fall, or either."""
    way = np.array([kind.bad for kind in kinds])
    chosen: Floats = np.where(way > 0, up, np.where(way < 0, down, np.fmax(up, down)))
    return chosen


def _largest(strength: Floats, kinds: Sequence[Kind], families: Sequence[str]) -> Floats:
    """(…, n_family) the largest over the metrics of each family, 0 where there are none."""
    largest = np.zeros((*strength.shape[:-1], len(families)))
    for column, kind in enumerate(kinds):
        place = families.index(kind.family)
        largest[..., place] = np.fmax(largest[..., place], strength[..., column])
    return largest
