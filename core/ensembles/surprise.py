"""Surprise: how seldom a score is as high, in decades (−log10 p), so that unlike detectors can be added."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from core.contracts import Floats
from core.kernel import kernel
from core.threshold import pareto, survival

BULK = (0.5, 0.9)
"""Quantiles through which the tail of a finished record is laid: anomalies above them cannot bend it."""
TAIL, LEAST_TAIL = 0.02, 10
"""Share, and least number, of the past scores that a running tail is fitted to."""
WARM = 30
"""Past scores below which nothing surprises."""
MOST = 12.0
"""Decades beyond which one surprise is like another."""


def surprise(scores: Floats) -> Floats:
    """(n,) scores of one finished record → decades below its median's p-value, 0 and up.

    An exponential tail through the 50th and the 90th percentile. A tail fitted to the largest scores would be
    bent by the very anomalies that it is to judge.
    """
    finite = np.isfinite(scores)
    if not finite.any():
        return np.zeros(len(scores))
    middle, high = np.quantile(scores[finite], BULK)
    excess = np.maximum(np.where(finite, scores, middle) - middle, 0.0)
    unit = high - middle
    if unit <= 1e-9 * max(abs(middle), 1e-3):
        # nine in ten are equal: the others are measured by themselves
        unit = float(excess.mean()) or 1.0
    return np.asarray(np.log10((1.0 - BULK[0]) / (1.0 - BULK[1])) * excess / unit)


def together(parts: Mapping[str, Floats] | list[Floats]) -> Floats:
    """Root mean square of surprises: between their mean, which needs many voices, and the loudest alone."""
    voices = list(parts.values()) if isinstance(parts, Mapping) else parts
    return np.asarray(np.sqrt(np.mean(np.square(voices), axis=0)))


def running_surprise(scores: Floats, start: int) -> Floats:
    """(n,) scores → −log10 p of each among all those before it, from `start` on; 0 before and while warming up.

    Rank among the whole past, with a generalised Pareto tail over its top 2 %: a new record is surprising by
    how far it exceeds the tail, and among exchangeable scores records grow rare as 1/t.
    """
    return np.asarray(kernel(_run, (pareto, survival))(np.ascontiguousarray(scores), start))


def _run(scores: Floats, start: int) -> Floats:
    past = np.empty(len(scores))
    surprises = np.zeros(len(scores))
    for time in range(start, len(scores)):
        n, score = time - start, scores[time]
        below = np.searchsorted(past[:n], score)
        if n >= WARM:
            p = (n - below + 1.0) / (n + 1.0)
            n_tail = max(LEAST_TAIL, int(TAIL * n))
            begin = past[n - n_tail - 1]
            if score > begin:
                scale, shape = pareto(past[n - n_tail : n] - begin)
                if scale > 1e-12:
                    p = n_tail / (n + 1.0) * survival((score - begin) / scale, shape)
                elif score > past[n - 1] + 1e-9:
                    p = 0.0
            surprises[time] = min(-np.log10(max(p, 1e-300)), MOST)
        past[below + 1 : n + 1] = past[below:n].copy()
        past[below] = score
    return surprises
