"""How sure a share is that was counted: the exact interval of Clopper & Pearson, which is never of no width.

Source: Clopper & Pearson, The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial (1934).
A bootstrap of things that are all alike draws the same again and again, and calls three of three certain.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from core.errors import InvalidInputError

LEVEL = 0.95
FARTHEST = 10_000
"""Things beyond which nobody is told how many more it takes."""


def interval(yes: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """The shares that `yes` of `n` independent things do not speak against, within 0 … 1; (0, 1) of none."""
    if not 0 <= yes <= n:
        raise InvalidInputError.of("proportion", "what was counted", f"in [0, {n}]", yes)
    tail = (1.0 - level) / 2.0
    low = float(special.betaincinv(yes, n - yes + 1, tail)) if yes else 0.0
    high = float(special.betaincinv(yes + 1, n - yes, 1.0 - tail)) if yes < n else 1.0
    return low, high


def lacking(yes: int, n: int, share: float, level: float = LEVEL) -> int | None:
    """How many more things, all of them "yes", put the whole interval above `share`; None beyond `FARTHEST`."""
    more = np.arange(FARTHEST)
    missed = n - yes
    with np.errstate(invalid="ignore"):
        lows = special.betaincinv(yes + more, missed + 1, (1.0 - level) / 2.0)
    enough = np.flatnonzero(np.where(yes + more > 0, lows, -math.inf) > share)
    return int(enough[0]) if len(enough) else None
