"""Words and dates as numbers that mean the same for ever: stable codes, and cycles without an edge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.contracts import DAY, Bools, Floats, Periods
from core.features.cycle import weekday

UNKNOWN = "unknown"
"""The bucket of every word that was not there in training, and of a blank one: code 0."""


@dataclass(frozen=True)
class Categories:
    """The words of one column, sorted; the code of a word is its place from 1 on, 0 is `UNKNOWN`."""

    words: tuple[str, ...]

    @classmethod
    def learn(cls, column: NDArray[np.str_], rows: Bools) -> Categories:
        """From the cells marked in `rows`; blanks are no words."""
        return cls(tuple(sorted(set(column[rows].tolist()) - {""})))

    def codes(self, column: NDArray[np.str_]) -> Floats:
        """The code of every cell."""
        words = np.array(("", *self.words))
        place = np.searchsorted(words, column).clip(max=len(words) - 1)
        return np.where(words[place] == column, place, 0).astype(np.float64)

    def features(
        self, name: str, column: NDArray[np.str_], kind: str
    ) -> Iterator[tuple[str, Floats]]:
        """One column of codes, or with kind "one-hot" one of 0 and 1 per word and one for the unknown."""
        codes = self.codes(column)
        if kind == "code":
            yield name, codes
            return
        yield f"{name} {UNKNOWN}", (codes == 0).astype(np.float64)
        for code, word in enumerate(self.words, start=1):
            yield f"{name} = {word}", (codes == code).astype(np.float64)


def calendar(periods: Periods) -> Iterator[tuple[str, Floats]]:
    """(n_time,) each, from the local start of the periods, which is known before they are over.

    Hour, weekday and month as sine and cosine, so that Sunday lies beside Monday; the hour only where a
    period is shorter than a day. Then whether it is a weekend, and the place within the month from 0 to 1.
    """
    days = periods.labels.astype("datetime64[D]")
    months = periods.labels.astype("datetime64[M]")
    first, following = months.astype("datetime64[D]"), (months + 1).astype("datetime64[D]")
    day = weekday(days)
    cycles = {
        "hour": (periods.labels - days) / DAY,
        "weekday": day / 7,
        "month": (months.astype(np.int64) % 12) / 12,
    }
    if periods.step >= DAY:
        del cycles["hour"]
    for name, turn in cycles.items():
        yield f"{name} sin", np.sin(2 * np.pi * turn)
        yield f"{name} cos", np.cos(2 * np.pi * turn)
    yield "weekend", (day >= 5).astype(np.float64)
    yield "part of month", (days - first) / (following - first)
