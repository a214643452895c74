"""The least of a rough function in a small box, many points at once and the same for ever."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from core.contracts import Floats

WIDE = 48
"""Points of the first look at the whole box."""
NARROW = 12
"""Points of each later look, around the best so far."""
LOOKS = 10
REACH = 0.25
"""Share of the box that the first of the later looks spans to each side; halved after one in vain."""
PRIMES = (2, 3, 5, 7, 11, 13)


def least(loss: Callable[[Floats], Floats], low: Floats, high: Floats) -> tuple[Floats, float]:
    """Point (n_free,) and value of about the least of `loss`, (n, n_free) → (n,); not finite = bad.

    Halton points (Halton, Numerische Mathematik 1960) over the box, then around the best in ever smaller
    boxes. Where `low` equals `high` that coordinate stands still.
    """
    spread = _halton(WIDE, len(low))
    best, found = low, np.inf
    reach, points = REACH, low + (high - low) * spread
    for look in range(1 + LOOKS):
        values = np.nan_to_num(loss(points), nan=np.inf)
        chosen = int(values.argmin())
        if values[chosen] < found:
            best, found = points[chosen], float(values[chosen])
        elif look:
            reach /= 2.0
        nearby = 2.0 * np.roll(spread, -look * NARROW, axis=0)[:NARROW] - 1.0
        points = np.clip(best + reach * (high - low) * nearby, low, high)
    return best, found


def _halton(n: int, dimensions: int) -> Floats:
    """(n, dimensions) points spread evenly over the unit box."""
    points = np.zeros((n, dimensions))
    for column, base in zip(points.T, PRIMES, strict=False):
        for at in range(n):
            share, rest = 1.0, at + 1
            while rest:
                share /= base
                rest, digit = divmod(rest, base)
                column[at] += digit * share
    return points
