"""Shapes of one series: how far each window lies from the most similar other one, exactly and in three readings.

raw     : the windows as they are, so that level and amplitude count
centred : less their means, so that amplitude counts
shaped  : less their means and over their spreads, so that form alone counts
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.contracts import Floats
from core.kernel import kernel

READINGS = ("raw", "centred", "shaped")
FLOOR = 0.1
"""Spread, in those of the whole series, that is added to a window's own before the division: noise stays small."""
BLOCK = 256
"""Windows compared before the nearest so far is looked up; they stay in the first cache."""
SUMS = ("reassoc", "nsz", "contract", "nnan")
"""Reordered sums and minima, so that the compiler takes several windows at once."""


@dataclass(frozen=True, eq=False)
class Nearest:
    """The most similar other window of each window, per reading.

    distance : (3, n_window) root mean squared difference; ∞ where there is no other window
    index    : (3, n_window) where that window starts, −1 where there is none
    means, scales : (n_window,); centred = x − mean, shaped = (x − mean) · scale
    """

    length: int
    distance: Floats
    index: NDArray[np.int64]
    means: Floats
    scales: Floats


def nearest(values: Floats, length: int) -> Nearest:
    """Compare every window of (n_time,) with all that share no period with it.

    Exact all-pairs comparison: products of neighbouring starts differ by two terms, so a pair costs a few
    operations whatever the length (Zhu et al., Matrix Profile II, ICDM 2016, section 3; here for the three
    readings in one pass).
    """
    return Nearest(length, *kernel(_compare, (), SUMS)(values, length, FLOOR, BLOCK))


def plateau(profile: Floats, length: int) -> Floats:
    """(n_window,) → (n_window + length − 1,): the mean over all windows that hold a period."""
    running = np.concatenate(([0.0], np.cumsum(profile)))
    period = np.arange(len(profile) + length - 1)
    stop, start = np.minimum(period + 1, len(profile)), np.maximum(period - length + 1, 0)
    return np.asarray((running[stop] - running[start]) / (stop - start))


def discrepancy(values: Floats, found: Nearest) -> Floats:
    """(3, n_time): how far each period lies from where the neighbours of its windows have it.

    The root mean square over all windows that hold the period: a window is odd as a whole, this says where.
    """
    sums, count = kernel(_blame)(values, found.length, found.index, found.means, found.scales)
    return np.asarray(np.sqrt(sums / np.maximum(count, 1.0)))


def novelty(features: Floats, gap: int) -> Floats:
    """(n_time, n_feature) → (n_time,): distance to the nearest earlier row that is more than `gap` behind."""
    return np.asarray(kernel(_new, (), SUMS)(np.ascontiguousarray(features), gap))


# ── Compiled loops ───────────────────────────────────────────────────────────────────────────────


def _compare(
    values: Floats, length: int, floor: float, block: int
) -> tuple[Floats, NDArray[np.int64], Floats, Floats]:
    n_window = len(values) - length + 1
    sums, squares = np.zeros(len(values) + 1), np.zeros(len(values) + 1)
    for at in range(len(values)):
        sums[at + 1] = sums[at] + values[at]
        squares[at + 1] = squares[at] + values[at] * values[at]
    means, power, scales = np.empty(n_window), np.empty(n_window), np.empty(n_window)
    spread, unit = np.empty(n_window), np.empty(n_window)
    for at in range(n_window):
        means[at] = (sums[at + length] - sums[at]) / length
        power[at] = (squares[at + length] - squares[at]) / length
        spread[at] = max(power[at] - means[at] * means[at], 0.0)
        scales[at] = 1.0 / np.sqrt(spread[at] + floor * floor)
        unit[at] = spread[at] * scales[at] * scales[at]

    distance = np.full((3, n_window), np.inf)
    index = np.full((3, n_window), -1)
    product, following = np.empty(n_window), np.empty(n_window)
    for other in range(n_window):
        total = 0.0
        for lag in range(length):
            total += values[lag] * values[other + lag]
        product[other] = total / length
    least, place = np.empty(3), np.empty(3, np.int64)
    for row in range(n_window):
        if row > 0:
            gone, come = values[row - 1] / length, values[row + length - 1] / length
            for other in range(n_window - 1):
                following[other + 1] = (
                    product[other] - gone * values[other] + come * values[other + length]
                )
            total = 0.0
            for lag in range(length):
                total += values[row + lag] * values[lag]
            following[0] = total / length
            product, following = following, product
        least[:] = np.inf
        place[:] = -1
        mean, scale = means[row], scales[row]
        for begin in range(0, n_window, block):
            end = min(n_window, begin + block)
            for side in range(2):
                start = begin if side == 0 else max(begin, row + length)
                stop = min(end, row - length + 1) if side == 0 else end
                if stop <= start:
                    continue
                raw, centred, shaped = 1e300, 1e300, 1e300
                for other in range(start, stop):
                    joint = product[other] - mean * means[other]
                    raw = min(raw, power[other] - 2.0 * product[other])
                    centred = min(centred, spread[other] - 2.0 * joint)
                    shaped = min(shaped, unit[other] - 2.0 * joint * scale * scales[other])
                if raw < least[0]:
                    least[0], place[0] = raw, begin
                if centred < least[1]:
                    least[1], place[1] = centred, begin
                if shaped < least[2]:
                    least[2], place[2] = shaped, begin
        for reading in range(3):
            if place[reading] < 0:
                continue
            lowest = 1e300
            for other in range(place[reading], min(n_window, place[reading] + block)):
                if row - length < other < row + length:
                    continue
                joint = product[other] - mean * means[other]
                if reading == 0:
                    found = power[other] - 2.0 * product[other]
                elif reading == 1:
                    found = spread[other] - 2.0 * joint
                else:
                    found = unit[other] - 2.0 * joint * scale * scales[other]
                if found < lowest:
                    lowest = found
                    index[reading, row] = other
            own = power[row] if reading == 0 else (spread[row] if reading == 1 else unit[row])
            distance[reading, row] = np.sqrt(max(lowest + own, 0.0))
    return distance, index, means, scales


def _blame(
    values: Floats,
    length: int,
    index: NDArray[np.int64],
    means: Floats,
    scales: Floats,
) -> tuple[Floats, Floats]:
    sums, count = np.zeros((3, len(values))), np.zeros((3, len(values)))
    for reading in range(3):
        for row in range(index.shape[1]):
            other = index[reading, row]
            if other < 0:
                continue
            for lag in range(length):
                left, right = values[row + lag], values[other + lag]
                if reading > 0:
                    left -= means[row]
                    right -= means[other]
                if reading > 1:
                    left *= scales[row]
                    right *= scales[other]
                sums[reading, row + lag] += (left - right) ** 2
                count[reading, row + lag] += 1.0
    return sums, count


def _new(features: Floats, gap: int) -> Floats:
    n_time, n_feature = features.shape
    far = np.zeros(n_time)
    for row in range(gap + 1, n_time):
        lowest = 1e300
        for other in range(row - gap):
            total = 0.0
            for column in range(n_feature):
                total += (features[row, column] - features[other, column]) ** 2
            lowest = min(lowest, total)
        far[row] = np.sqrt(lowest)
    return far
