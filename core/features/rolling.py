"""What a value was before, and how the values up to it ran: lags and rolling statistics over whole panels.

Everything takes and gives (n_entity, n_time, …), looks only back, and counts only what is known: NaN is
missing, and before the first period nothing is known. Sums run over the span itself, never over differences
of running sums, so that cutting the past or the future leaves every number bit for bit as it was.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from core.contracts import Bools, Floats

FLAT = 1e-12
"""Standard deviation over mean size below which values are equal but for rounding: they have no shape."""


def lagged(values: Floats, lag: int) -> Floats:
    """The values of `lag` periods before; NaN where there were none."""
    moved = np.full_like(values, np.nan)
    moved[:, lag:] = values[:, : max(values.shape[1] - lag, 0)]
    return moved


def rolling(values: Floats, span: int) -> Iterator[tuple[str, Floats]]:
    """Mean, std, min and max over the latest `span` periods, by name; NaN where nothing is known."""
    mean, count = _mean(values, span)
    (second,) = _central(values, span, mean, count, 2)
    least, most = values.copy(), values.copy()
    for lag in range(1, min(span, values.shape[1])):
        np.fmin(least[:, lag:], values[:, :-lag], out=least[:, lag:])
        np.fmax(most[:, lag:], values[:, :-lag], out=most[:, lag:])
    yield "mean", mean
    yield "std", np.sqrt(second)
    yield "min", least
    yield "max", most


def shape(values: Floats, span: int) -> Iterator[tuple[str, Floats]]:
    """Skew and excess kurtosis over the latest `span` periods, by name; 0 where the values do not differ.

    The population's moments, as `scipy.stats.skew` and `kurtosis` give by default.
    """
    mean, count = _mean(values, span)
    second, third, fourth = _central(values, span, mean, count, 4)
    flat = np.sqrt(second) <= FLAT * np.abs(mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        skew, kurtosis = third / (second * np.sqrt(second)), fourth / (second * second) - 3.0
    yield "skew", np.where(flat, 0.0, skew)
    yield "kurtosis", np.where(flat, 0.0, kurtosis)


def filled(values: Floats, method: str) -> tuple[Floats, Bools]:
    """Values without the gaps that the method can close, and a mask of what was missing.

    forward     : the last known value; nothing before the first known one
    interpolate : on the line from the last known value to the next one, forward after the last: it looks
                  ahead within a gap, so it is for learning from what is past, not for scoring as it comes
    drop        : nothing is filled
    """
    missing = np.isnan(values)
    if method == "drop" or not missing.any():
        return values, missing
    end = values.shape[1]
    times = np.arange(end).reshape(1, -1, *(1 for _ in values.shape[2:]))
    # before the first known value stands the first, which is missing too
    before = np.maximum.accumulate(np.where(missing, 0, times), axis=1)
    last = np.take_along_axis(values, before, axis=1)
    if method == "forward":
        return last, missing
    after = np.minimum.accumulate(np.where(missing, end, times)[:, ::-1], axis=1)[:, ::-1]
    following = np.take_along_axis(values, np.minimum(after, end - 1), axis=1)
    share = (times - before) / np.maximum(after - before, 1)
    line = last + share * (following - last)
    return np.where(missing & (after < end), line, last), missing


def _mean(values: Floats, span: int) -> tuple[Floats, Floats]:
    """The mean over the span and how many values are known in it; NaN for both where none is."""
    known = ~np.isnan(values)
    there = np.where(known, values, 0.0)
    total, count = there.copy(), known.astype(np.float64)
    for lag in range(1, min(span, values.shape[1])):
        total[:, lag:] += there[:, :-lag]
        count[:, lag:] += known[:, :-lag]
    count[count == 0] = np.nan
    return total / count, count


def _central(values: Floats, span: int, mean: Floats, count: Floats, highest: int) -> list[Floats]:
    """The means of (value − mean)², …, (value − mean)^highest over the span."""
    totals = [np.zeros_like(values) for _ in range(2, highest + 1)]
    for lag in range(min(span, values.shape[1])):
        apart = values[:, : values.shape[1] - lag] - mean[:, lag:]
        apart[np.isnan(apart)] = 0.0
        power = apart
        for total in totals:
            power = power * apart
            total[:, lag:] += power
    return [total / count for total in totals]
