"""The natural cycle of regular periods: what a season is where nobody said, and where in the week a time lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.contracts import DAY, Times

WEEK = 7 * DAY
YEAR = np.timedelta64(365, "D") + np.timedelta64(6, "h")


def cycle(step: np.timedelta64) -> int:
    """Periods after which a pattern is expected to repeat: a day of hours, a week of days, a year of weeks.

    24 for hours, 288 for five minutes, 7 for days, 52 for weeks, 12 for months, 4 for quarters; 1 where a
    period is as long as its cycle.
    """
    whole = DAY if step < DAY else WEEK if step < WEEK else YEAR
    return max(1, round(float(whole / step)))


def weekday(times: Times) -> NDArray[np.int64]:
    """Day of the week of each time, 0 for Monday."""
    # 1970-01-01 was a Thursday
    return (times.astype("datetime64[D]").astype(np.int64) + 3) % 7
