"""The natural cycle of regular periods: what a season is where nobody said."""

from __future__ import annotations

import numpy as np

from core.contracts import DAY

WEEK = 7 * DAY
YEAR = np.timedelta64(365, "D") + np.timedelta64(6, "h")


def cycle(step: np.timedelta64) -> int:
    """Periods after which a pattern is expected to repeat: a day of hours, a week of days, a year of weeks.

    24 for hours, 288 for five minutes, 7 for days, 52 for weeks, 12 for months, 4 for quarters; 1 where a
    period is as long as its cycle.
    """
    whole = DAY if step < DAY else WEEK if step < WEEK else YEAR
    return max(1, round(float(whole / step)))
