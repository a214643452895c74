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

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields
from weakref import WeakKeyDictionary

import numpy as np

from core.cases import Case, Numbers
from core.contracts import Bools, Floats, Panel, Times
from core.rootcause.evidence.metric_kinds import Kind, families

USUAL = 0.98
"""Share of normal windows that counts as normal."""
LEAST = 3.0
"""A z-score below this is never news, however calm the series was."""
BEST = 2
"""Periods of a window whose mean counts: one may be a slip of the measurement."""
PERIODS = 2_000
"""Normal periods that are looked at; of more, every k-th period and window."""
CELLS = 2_000_000
"""Cells of a panel that tell how large its metrics become; of more, every k-th period."""
TOGETHER = 262_144
"""Cells of normal periods that are worked on at a time, few enough for the processor's cache."""


@dataclass(frozen=True, eq=False)
class Usual:
    """What is normal, per row and metric of a panel, for windows of one length.

    median, scale : (n, m) of the values; scale is NaN where a series cannot tell anything
    edge          : (n, m) edge of normal of a window's z-score in the bad direction, upwards where either may be bad
    fall          : (n, m) the same downwards where either may be bad, else NaN
    crowd         : (n, n_family) edge of normal of the largest strength in a family, at least 1
    """

    median: Floats
    scale: Floats
    edge: Floats
    fall: Floats
    crowd: Floats

    @classmethod
    def blank(cls, rows: int, kinds: Sequence[Kind]) -> Usual:
        """Nothing is known of any row."""
        median, scale, edge, fall = np.full((4, rows, len(kinds)), np.nan)
        return cls(median, scale, edge, fall, np.ones((rows, len(families(kinds)))))

    def at(self, rows: Numbers) -> Usual:
        """The same of some rows."""
        return Usual(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Departure:
    """How far some rows left their normal in a window.

    strength : (n, m) in the bad direction of each metric, 1 = the edge of normal
    family   : (n, n_family) the largest of each family, 1 = the edge of normal
    known    : (n, n_family) whether any series of the family can tell something
    base     : (n, m) level just before the window
    """

    strength: Floats
    family: Floats
    known: Bools
    base: Floats

    @classmethod
    def blank(cls, rows: int, kinds: Sequence[Kind]) -> Departure:
        """No row left anything."""
        of_metrics, of_families = (rows, len(kinds)), (rows, len(families(kinds)))
        known = np.zeros(of_families, dtype=np.bool_)
        return cls(np.zeros(of_metrics), np.zeros(of_families), known, np.full(of_metrics, np.nan))


# ── Normal periods ───────────────────────────────────────────────────────────────────────────────


class _Table:
    """Figures of many rows, as far as anybody asked for them."""

    def __init__(self, many: int, sizes: Sequence[int]) -> None:
        self.done = np.zeros(many, dtype=bool)
        self.columns = tuple(np.full((many, size), np.nan) for size in sizes)


_tables: WeakKeyDictionary[Panel, dict[Hashable, _Table]] = WeakKeyDictionary()
_largest: WeakKeyDictionary[Panel, Floats] = WeakKeyDictionary()


def remembered(
    normal: Panel,
    key: Hashable,
    many: int,
    rows: Numbers,
    sizes: Sequence[int],
    work: Callable[[Numbers], Sequence[Floats]],
) -> list[Floats]:
    """Figures that normal periods tell of some of `many` rows, worked out once for each as long as the panel lives.

    key   : what is asked, with everything that the answer depends on beside the panel
    sizes : numbers per row of each figure
    work  : some rows → each figure of theirs, (n, size)
    """
    tables = _tables.setdefault(normal, {})
    if key not in tables:
        tables[key] = _Table(many, sizes)
    table = tables[key]
    missing = np.unique(rows[~table.done[rows]])
    step = max(TOGETHER // (sizes[0] * len(normal.periods)), 1)
    for start in range(0, len(missing), step):
        some = missing[start : start + step]
        for column, found in zip(table.columns, work(some), strict=True):
            column[some] = found
        table.done[some] = True
    return [column[rows] for column in table.columns]


def usual(normal: Panel, rows: Numbers, width: int, kinds: Sequence[Kind]) -> Usual:
    """What is normal for some rows of a panel, of windows of `width` periods."""
    if normal not in _largest:
        _largest[normal] = _most(normal.values)
    return usual_of(
        normal,
        "rows",
        len(normal.entities),
        rows,
        width,
        kinds,
        _largest[normal],
        lambda some: normal.values[some],
    )


def usual_of(
    normal: Panel,
    key: Hashable,
    many: int,
    rows: Numbers,
    width: int,
    kinds: Sequence[Kind],
    largest: Floats,
    values: Callable[[Numbers], Floats],
) -> Usual:
    """What is normal for some of `many` series that are made of a panel, see `remembered`.

    largest : (m,) size beside which a series that never moved is judged
    values  : rows → (n, n_time, m)
    """
    width = min(width, len(normal.periods))
    sizes = (*(len(kinds),) * 4, len(families(kinds)))
    known = remembered(
        normal,
        (key, width),
        many,
        rows,
        sizes,
        lambda some: _usual(values(some), width, kinds, largest),
    )
    return Usual(*known)


def _most(values: Floats) -> Floats:
    """(m,) the largest of each metric, its sign aside."""
    some = np.abs(values[:, :: max(-(-values.size // CELLS), 1)])
    by_time = np.fmax.reduce(some.reshape(len(some), -1), axis=0, initial=0.0)
    most: Floats = np.fmax.reduce(by_time.reshape(some.shape[1:]), axis=0, initial=0.0)
    return most


def _usual(
    values: Floats, width: int, kinds: Sequence[Kind], largest: Floats
) -> tuple[Floats, ...]:
    """The fields of `Usual`, worked out for what was measured at all."""
    names = families(kinds)
    family_of = np.array([names.index(kind.family) for kind in kinds], dtype=np.intp)
    # metrics of a family side by side, so that its series are neighbours
    order = np.argsort(family_of, kind="stable")
    series = np.ascontiguousarray(values[:, :, order].transpose(0, 2, 1))
    measured = np.isfinite(series).any(axis=2)
    row, column = np.nonzero(measured)
    series, column = series[measured], order[column]
    thin = -(-values.shape[1] // PERIODS)
    with np.errstate(invalid="ignore", divide="ignore"):
        # a share near its ceiling: what matters is how much is missing, and 0.2 points are nothing
        share = np.array([kind == Kind("success", -1) for kind in kinds])[column]
        full = np.where(share, np.where(largest[column] > 1.5, 100.0, 1.0), 0.0)
        median, scale = centre_and_scale(series[:, ::thin], full)
        scale = np.maximum(scale, 0.002 * full)
        scale[share & (median <= 0.0)] = np.nan
        # a series that never moved: a hundredth of what any row shows
        scale = np.where(scale == 0.0, 0.01 * largest[column], scale)
        scale = np.where(np.isfinite(median) & (scale > 0.0), scale, np.nan)
        way, either = _ways(kinds, column)
        z = _z(series, median, scale, way)
        calm, falls = _best(z, width, thin), _best(-z[either], width, thin)
        edge = np.fmax(quantiles(calm, (USUAL,))[0], LEAST)
        fall = np.fmax(quantiles(falls, (USUAL,))[0], LEAST)
        calm /= edge[:, None]
        calm[either] = np.fmax(calm[either], falls / fall[:, None])
    tables = np.full((4, len(values), len(kinds)), np.nan)
    tables[:3, row, column] = median, scale, edge
    tables[3, row[either], column[either]] = fall
    crowd = np.ones((len(values), len(names)))
    begins = np.flatnonzero(np.diff(row * len(names) + family_of[column], prepend=-1))
    size = np.diff(begins, append=len(row))
    crowds = np.fmax(calm[begins], 0.0)
    for further in range(1, size.max(initial=1)):
        more = size > further
        crowds[more] = np.fmax(crowds[more], calm[begins[more] + further])
    edges = np.fmax(quantiles(crowds, (USUAL,))[0], 1.0)
    crowd[row[begins], family_of[column[begins]]] = edges
    return (*tables, crowd)


# ── Departures ───────────────────────────────────────────────────────────────────────────────────


def departure(
    values: Floats,
    normal: Usual,
    window: slice,
    kinds: Sequence[Kind],
    *,
    local: bool = True,
) -> Departure:
    """How far rows leave their normal in a window of periods.

    values : (n, n_time, m), of which those before the window are the local level where `local`
    """
    series = np.ascontiguousarray(values.transpose(0, 2, 1))
    measured = np.asarray(np.isfinite(series).any(axis=2))
    series = series[measured]
    median, scale, edge, fall = (
        table[measured] for table in (normal.median, normal.scale, normal.edge, normal.fall)
    )
    inside, before = series[:, window], series[:, : window.start]
    level = median
    if local and before.shape[1] >= BEST:
        level = quantiles(before, (0.5,))[0]
        level = np.where(np.isfinite(level), level, median)
    with np.errstate(invalid="ignore", divide="ignore"):
        way, either = _ways(kinds, np.nonzero(measured)[1])
        news = [_z(inside, usually, scale, way) for usually in (median, level)]
        width = inside.shape[1]
        rise, drop = (
            np.fmin(*(_best(side * z, width)[:, 0] for z in news)) for side in (1.0, -1.0)
        )
        moved = np.where(either, np.fmax(rise / edge, drop / fall), rise / edge)
        strength, base = np.zeros(measured.shape), normal.median.copy()
        strength[measured] = np.where(np.isfinite(moved), np.maximum(moved, 0.0), 0.0)
        base[measured] = level
    known = _by_family(np.isfinite(normal.scale).astype(np.float64), kinds) > 0.0
    return Departure(strength, _by_family(strength, kinds) / normal.crowd, known, base)


def onsets(
    values: Floats, normal: Usual, strength: Floats, window: slice, kinds: Sequence[Kind]
) -> Numbers:
    """(n,) the first period of the run of bad periods that the window holds or follows; the window's first without one.

    values : (n, n_time, m), of which metrics with a `strength` (n, m) above 1 count
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (values[:, : window.stop] - normal.median[:, None]) / normal.scale[:, None]
    way = np.array([kind.bad for kind in kinds])
    bad = np.where(way == 0, np.abs(z), way * z)
    odd: Bools = np.any((bad > LEAST) & (strength > 1.0)[:, None], axis=2)
    first = window.start + odd[:, window].argmax(axis=1)
    calm = np.maximum.accumulate(np.where(odd, -1, np.arange(odd.shape[1])), axis=1)
    begun = np.take_along_axis(calm, first[:, None], axis=1)[:, 0] + 1
    return np.where(odd[:, window].any(axis=1), begun, window.start)


def window_of(case: Case, labels: Times, span: int) -> slice:
    """The `span` periods from the one on in which the alarm fell."""
    start = max(int(np.searchsorted(labels, case.alarm.at, side="right")) - 1, 0)
    return slice(start, min(start + span, len(labels)))


def quantiles(values: Floats, shares: Sequence[float]) -> list[Floats]:
    """Linear quantiles along axis 1 of the finite values, NaN where there are none."""
    ordered = np.sort(values, axis=1)
    most = ordered.shape[1] - 1
    if most >= 0 and np.isfinite(ordered[:, most]).all():
        places = [(share * most, int(share * most)) for share in shares]
        return [
            _between(ordered[:, below], ordered[:, min(below + 1, most)], place - below)
            for place, below in places
        ]
    last = np.maximum(np.isfinite(ordered).sum(axis=1, keepdims=True) - 1, 0)
    found = []
    for share in shares:
        place = last * share
        below = np.floor(place).astype(np.intp)
        low = np.take_along_axis(ordered, below, axis=1)
        high = np.take_along_axis(ordered, np.minimum(below + 1, last), axis=1)
        found.append(_between(low, high, place - below)[:, 0])
    return found


def _between(low: Floats, high: Floats, part: Floats | float) -> Floats:
    return low + part * (high - low)


def centre_and_scale(series: Floats, full: Floats | float = 0.0) -> tuple[Floats, Floats]:
    """(n,) median, and max(IQR / 1.349, 5 % of how far that is from `full`, 0.1 standard deviations), of (n, n_time)."""
    low, median, high = quantiles(series, (0.25, 0.5, 0.75))
    seen = np.isfinite(series)
    many = np.maximum(seen.sum(axis=1), 1)
    mean = np.where(seen, series, 0.0).sum(axis=1) / many
    off = np.where(seen, series - mean[:, None], 0.0)
    deviation = np.sqrt(np.einsum("nt,nt->n", off, off) / many)
    scale = np.maximum((high - low) / 1.349, 0.05 * np.abs(full - median))
    return median, np.maximum(scale, 0.1 * deviation)


def _z(series: Floats, centre: Floats, scale: Floats, way: Floats) -> Floats:
    """(n, n_time) z-scores, positive = bad; the same to the last digit in normal periods and after."""
    return way * (series - centre[:, None]) / scale[:, None]


def _best(z: Floats, width: int, stride: int = 1) -> Floats:
    """(n, n_window) mean of the `BEST` highest of every stride-th window of z (n, n_time), NaN where there are none.

    Of a window with one value that one.
    """
    held = np.where(np.isnan(z), -np.inf, z)
    count = z.shape[1] - width + 1
    first = held[:, :count:stride]
    second = np.full(first.shape, -np.inf)
    for offset in range(1, width):
        value = held[:, offset : offset + count : stride]
        second = np.maximum(second, np.minimum(first, value))
        first = np.maximum(first, value)
    mean = np.where(np.isinf(second), first, (first + second) / BEST)
    return np.where(np.isinf(first), np.nan, mean)


def _ways(kinds: Sequence[Kind], column: Numbers) -> tuple[Floats, Bools]:
    """Of series: −1 (n, 1) where less is worse, else 1, and whether (n,) either may be bad."""
    bad = np.array([kind.bad for kind in kinds])[column]
    return np.where(bad < 0, -1.0, 1.0)[:, None], bad == 0


def _by_family(strength: Floats, kinds: Sequence[Kind]) -> Floats:
    """(n, n_family) the largest over the metrics of each family, 0 where there are none."""
    names = families(kinds)
    largest = np.zeros((len(strength), len(names)))
    for column, kind in enumerate(kinds):
        place = names.index(kind.family)
        largest[:, place] = np.fmax(largest[:, place], strength[:, column])
    return largest
