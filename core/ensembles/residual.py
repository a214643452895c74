"""Points of one series against what its neighbourhood and its season expect of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from core.contracts import Floats
from core.features.scaling import MAD_TO_SD

MEDIAN = 5
"""Periods either side over which the running median is taken."""
SEASONS = 4
"""Seasons either side that say what is usual at a phase."""
ROUNDS = 4
"""Reweighted least squares rounds: anomalies lose their pull on the fit."""


def residuals(values: Floats, season: int) -> dict[str, Floats]:
    """Absolute residual of every period of (n_time,), by what expected it.

    past     : regression on the 20 periods before
    around   : regression on the 5 periods before and the 5 after
    seasonal : regression on the 5 periods before and one and two seasons back
    smooth   : running median
    phase    : median of the same phase of the 4 seasons before and after
    """
    from scipy.ndimage import median_filter

    near = range(1, 6)
    return {
        "past": regression(values, range(1, 21)),
        "around": regression(values, [*near, *(-lag for lag in near)]),
        "seasonal": regression(values, [*near, season - 1, season, season + 1, 2 * season]),
        "smooth": np.abs(values - median_filter(values, 2 * MEDIAN + 1, mode="nearest")),
        "phase": np.abs(values - phase_median(values, season)),
    }


def regression(values: Floats, lags: Iterable[int]) -> Floats:
    """|value − its ridge regression on the values at these lags|, a negative one being ahead.

    Huber weights (Huber, Robust Statistics, 1981, section 7.8), four rounds.
    """
    shifts = list(lags)
    reach, n = max(map(abs, shifts)), len(values)
    padded = np.pad(values, reach, mode="edge")
    columns = np.stack([padded[reach - lag : reach - lag + n] for lag in shifts])
    ridge = 1e-3 * n * np.eye(len(shifts))
    weights = np.ones(n)
    rest = values
    for _ in range(ROUNDS):
        weighted = columns * weights
        rest = values - np.linalg.solve(weighted @ columns.T + ridge, weighted @ values) @ columns
        spread = MAD_TO_SD * np.median(np.abs(rest)) + 1e-9
        weights = 1.0 / np.maximum(1.0, np.abs(rest) / (2.0 * spread))
    return np.abs(rest)


def phase_median(values: Floats, season: int) -> Floats:
    """Median of the same phase in the seasons before and after; past the ends the series is wrapped."""
    n = len(values)
    seasons = np.arange(-SEASONS, SEASONS + 1) * season
    there = (np.arange(n) + seasons[seasons != 0, None]) % n
    return np.asarray(np.median(values[there], axis=0))
