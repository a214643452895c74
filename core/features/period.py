"""The period of a series, read off its autocorrelation."""

from __future__ import annotations

import numpy as np

from core.contracts import Floats

LONGEST = 20_000
"""Values looked at: the first ones."""
LAGS = (3, 400)
"""Lags between which a peak of the autocorrelation is looked for."""
SPAN = (6, 303)
"""Peaks that count as a period."""
UNKNOWN = 125
"""What is answered where there is no such peak."""
SHARE = 4
"""A window that is chosen by the period takes at most one part in so many of what there is."""


def period(series: Floats) -> int:
    """Lag of the highest peak of the autocorrelation, (n_time,) → periods; 125 where there is none.

    The lag decides the windows of the TSB-AD detectors and of VUS, so its rules are kept to the letter
    (`find_length_rank(data, rank=1)` there): the first 20,000 values, peaks strictly inside lags 3–400,
    and a highest peak outside 6–303 counts as none. A missing value counts as the mean.

    Source: Liu & Paparrizos, The Elephant in the Room (TSB-AD, NeurIPS 2024), `utils/slidingWindows.py`;
    Paparrizos et al., Volume Under the Surface (PVLDB 2022), section 5.1.
    """
    values = np.asarray(series, dtype=np.float64)[:LONGEST]
    known = values[~np.isnan(values)]
    if not len(known) or known.min() == known.max():
        return UNKNOWN
    centred = np.nan_to_num(values - known.mean())
    # zeros behind the series, so that its end is not multiplied with its start
    spectrum = np.fft.rfft(centred, 1 << (2 * len(centred)).bit_length())
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: min(len(centred), LAGS[1] + 1)]
    inner = correlation[LAGS[0] :] / correlation[0]
    peaks = 1 + np.flatnonzero((inner[1:-1] > inner[:-2]) & (inner[1:-1] > inner[2:]))
    if not len(peaks):
        return UNKNOWN
    lag = int(LAGS[0] + peaks[inner[peaks].argmax()])
    return lag if SPAN[0] <= lag <= SPAN[1] else UNKNOWN


def usual_window(metric: Floats) -> int:
    """The period of a metric's mean over entities, (n_entity, n_time) → periods, at most a quarter of them."""
    known = ~np.isnan(metric)
    count = known.sum(axis=0)
    total = np.where(known, metric, 0.0).sum(axis=0)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return int(min(period(mean), max(1, metric.shape[1] // SHARE)))
