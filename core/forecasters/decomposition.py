"""Whether a series has a season, and its indices by classical decomposition."""

from __future__ import annotations

import numpy as np

from core.contracts import Floats

CONFIDENCE = 1.645
"""Standard deviations of a 90 % test, as in the M4 competition."""
CYCLES = 3
"""Cycles that a series must hold to be tested at all."""


def is_seasonal(series: Floats, period: int) -> bool:
    """Whether the autocorrelation at `period` stands out from what the shorter ones leave to chance.

    Source: Makridakis, Spiliotis & Assimakopoulos, The M4 Competition (International Journal of Forecasting
    2020), section 3.1, as in the competition's code; the limit is Bartlett's.
    """
    n_time = len(series)
    if period <= 1 or n_time < CYCLES * period:
        return False
    centred = series - series.mean()
    power = centred @ centred
    if not power:
        return False
    lags = range(1, period + 1)
    r = np.array([centred[lag:] @ centred[:-lag] for lag in lags]) / power
    limit = CONFIDENCE * np.sqrt((1.0 + 2.0 * (r[:-1] ** 2).sum()) / n_time)
    return bool(abs(r[-1]) > limit)


def seasonal_indices(series: Floats, period: int, divides: bool) -> Floats:
    """(period,) usual ratio to the centred moving average, or distance from it, by place in the cycle.

    Ratios average 1, distances 0. The series holds no gaps and two cycles or more.
    Source: Makridakis, Wheelwright & Hyndman, Forecasting: Methods and Applications (1998), section 3/4.
    """
    weights = np.full(period + 1 - period % 2, 1.0 / period)
    if period % 2 == 0:
        weights[[0, -1]] /= 2.0
    half = len(weights) // 2
    trend = np.convolve(series, weights, mode="valid")
    inner = series[half : half + len(trend)]
    detrended = np.full(-(-len(series) // period) * period, np.nan)
    detrended[half : half + len(trend)] = inner / trend if divides else inner - trend
    indices = np.nanmean(detrended.reshape(-1, period), axis=0)
    return np.asarray(indices / indices.mean() if divides else indices - indices.mean())
