"""The NAB score: one threshold for all series, early hits rewarded, every needless alarm paid for.

Each labelled window counts once, by its earliest detection: full at its left edge, fading to nothing at its right one.
A detection outside of windows costs less just behind one than far away. The first 15 % of a series (at most 750
rows) are never scored. The sum, at the best threshold common to all series, is put on a scale where 0 is a detector
that never speaks and 100 one that hits every window at its first row with no false alarm.

Source: Lavin & Ahmad, Evaluating Real-time Anomaly Detection Algorithms — the Numenta Anomaly Benchmark (ICMLA 2015),
section III; `sweeper.py` of the benchmark for the rules at the edges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.contracts import Floats
from core.errors import InvalidInputError

PROBATION, LONGEST = 0.15, 5_000
"""Share of a series, of this many rows at most, that a detector may learn from unscored."""


@dataclass(frozen=True)
class Profile:
    """What a hit is worth, and what a false alarm and a missed window cost."""

    hit: float
    false: float
    missed: float


PROFILES: Mapping[str, Profile] = {
    "standard": Profile(1.0, 0.11, 1.0),
    "low_fp": Profile(1.0, 0.22, 1.0),
    "low_fn": Profile(1.0, 0.11, 2.0),
}

Windows = Sequence[tuple[int, int]]
"""First and last row of every labelled window, in order."""


def probation(n: int) -> int:
    """Rows at the start of a series of `n` that are not scored."""
    return int(PROBATION * min(n, LONGEST))


def nab_scores(series: Sequence[tuple[Floats, Windows]]) -> dict[str, float]:
    """NAB score per profile of (scores, windows) of every series, each from its first row on; NaN without windows."""
    return {name: nab_score(series, profile) for name, profile in PROFILES.items()}


def nab_score(series: Sequence[tuple[Floats, Windows]], profile: Profile) -> float:
    """0 = says nothing, 100 = perfect, below 0 = worse than saying nothing; the best threshold is an oracle's."""
    gains = [_gains(scores, windows, profile) for scores, windows in series]
    windows = sum(number for *_, number in gains)
    if not windows:
        return float("nan")
    scores, gain = (np.concatenate(parts) for parts in list(zip(*gains, strict=True))[:2])
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    # at a threshold above all scores nothing is gained
    best = max(0.0, float(np.cumsum(gain[order])[last].max()))
    return 100.0 * best / (windows * (profile.hit + profile.missed))


def _gains(scores: Floats, windows: Windows, profile: Profile) -> tuple[Floats, Floats, int]:
    """Scores of the rows that count, what the sum gains as the threshold falls to each, and how many windows count."""
    n = len(scores)
    if scores.ndim != 1 or not np.isfinite(scores).all():
        raise InvalidInputError.of("NAB", "scores", "finite and of one dimension", scores.shape)
    rows = np.arange(n)
    gain = np.full(n, -profile.false)
    for first, last in windows:
        if not 0 <= first <= last < n:
            rule = f"rows within 0 … {n - 1}"
            raise InvalidInputError.of("NAB", "a window", rule, (first, last))
        behind = (rows[last + 1 :] - last) / max(last - first, 1)
        gain[last + 1 :] = profile.false * _sigmoid(behind)
    start, counted = probation(n), 0
    for first, last in windows:
        begin = max(first, start)
        if begin > last:
            continue
        counted += 1
        width = last - first + 1
        worth = _sigmoid((rows[begin : last + 1] - last - 1) / width) / _sigmoid(np.array(-1.0))
        # a window is worth its earliest detection: a lower threshold adds only what it brings forward
        order = np.argsort(-scores[begin : last + 1], kind="stable")
        so_far = np.maximum.accumulate(profile.hit * worth[order])
        gain[begin + order] = np.diff(so_far, prepend=-profile.missed)
    return scores[start:], gain[start:], counted


def _sigmoid(position: Floats) -> Floats:
    """1 far ahead of a window's right edge (0), −1 far behind it; widths of the window are the unit."""
    return np.where(
        position > 3.0, -1.0, 2.0 / (1.0 + np.exp(5.0 * np.minimum(position, 3.0))) - 1.0
    )
