"""How far a figure usually strays from its expectation, learned from the panel's own past."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from core.contracts import Floats

BINS = 12
LEAST = 60
"""Cells in a volume bin; fewer and its spread says little."""
SAMPLE = 20_000
MEDIAN_SQUARE = 0.455
"""Median of a squared standard normal."""
CAPPED_SQUARE = 0.985
"""Mean of a squared standard normal cut at 9."""


def learn_noise(
    volume: Floats,
    square: Floats,
    extra: Floats,
    usable: NDArray[np.bool_],
    level: NDArray[np.intp],
    least: float,
) -> Floats:
    """Coefficients (a, b) per level, (n_level, 2), of variance = a · volume + (b + a · extra) · volume².

    volume : (n_entity, n_time) what the spread grows with: the expected count, or the number of events
    square : squared deviation / volume; a volume of Poisson counts has a = 1, b is day-to-day unrest
    extra  : 1 / events behind the expectation, which is as uncertain as they are few
    level  : (n_entity,) index; levels with too few cells take the values of all levels together
    least  : what a can not be below: 1 for counts, which are never steadier than chance

    Cells are binned by volume; a bin's mean square is cut at 9 times its median-based start, so that the
    anomalies of the past do not pass for noise; a, b ≥ 0 follow by non-negative least squares on relative
    errors.
    """
    pooled = _fit(volume, square, extra, usable, least, np.array([1.0, 0.01]))
    return np.array(
        [
            _fit(volume[rows], square[rows], extra[rows], usable[rows], least, pooled)
            for rows in (level == index for index in range(int(level.max()) + 1))
        ]
    )


def _fit(
    volume: Floats,
    square: Floats,
    extra: Floats,
    usable: NDArray[np.bool_],
    least: float,
    fallback: Floats,
) -> Floats:
    cells = np.flatnonzero(usable)
    cells = cells[:: max(1, len(cells) // SAMPLE)]
    bins = min(BINS, len(cells) // LEAST)
    if bins < 1:
        return fallback
    v = volume.ravel()[cells]
    u = square.ravel()[cells]
    chance = 1.0 + extra.ravel()[cells] * v
    order = np.argsort(v, kind="stable")
    design, beyond = [], []
    for part in np.array_split(order, bins):
        start = max(float(np.median(u[part])) / MEDIAN_SQUARE, 1e-3 * float(u[part].mean()), 1e-9)
        size = np.minimum(u[part], 9.0 * start).mean() / CAPPED_SQUARE
        design.append((chance[part].mean() / size, v[part].mean() / size))
        beyond.append(max(1.0 - least * design[-1][0], 0.0))
    found, _ = nnls(np.array(design), np.array(beyond))
    return np.asarray(found + np.array([least, 0.0]))
