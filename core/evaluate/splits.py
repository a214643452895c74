"""Splits in time: what is learned comes first, what it is judged by comes later, and nothing lies in both."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import InvalidInputError, NotEnoughDataError


@dataclass(frozen=True)
class Split:
    """Slices of the periods, in order of time: each begins `purge` periods after the one before it ends."""

    train: slice
    validation: slice
    test: slice
    purge: int


def time_split(
    n_time: int,
    *,
    validation: float = 0.2,
    test: float = 0.0,
    purge: int = 0,
    least: int = 1,
) -> Split:
    """Cut periods into train, validation and test; a share of 0 leaves that part empty.

    validation, test : shares of all periods, at least one period each where above 0
    purge            : periods left out at each cut, at least as many as a feature or a window looks back on,
                       so that no row on one side is made of rows of the other
    least            : periods that must be left to train on

    Raises InvalidInputError for shares that are none, NotEnoughDataError when too little is left to train on.

    Source: López de Prado, Advances in Financial Machine Learning (2018), section 7.4.1, for the purge.
    """
    if not (0 <= validation < 1 and 0 <= test < 1 and validation + test < 1):
        rule = "shares that leave something to train on"
        raise InvalidInputError.of("time_split", "validation and test", rule, (validation, test))
    if purge < 0:
        raise InvalidInputError.of("time_split", "purge", "at least 0 periods", purge)
    end = n_time
    parts = []
    for share in (test, validation):
        length = max(1, round(share * n_time)) if share else 0
        parts.append(slice(max(end - length, 0), max(end, 0)))
        end -= length + (purge if length else 0)
    if end < max(least, 1):
        needed = n_time - end + max(least, 1)
        raise NotEnoughDataError.of(
            "time_split",
            "periods",
            f"at least {needed}, of which {purge} are left out at each cut",
            n_time,
            "Take a longer window of data.",
        )
    return Split(slice(0, end), parts[1], parts[0], purge)
