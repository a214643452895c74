from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from core.errors import InvalidInputError, NotEnoughDataError
from core.evaluate.splits import Split, time_split


def test_parts_follow_each_other_with_a_gap() -> None:
    split = time_split(100, validation=0.2, test=0.1, purge=7)
    assert split == Split(slice(0, 56), slice(63, 83), slice(90, 100), 7)


@pytest.mark.parametrize("n_time", [12, 37, 365])
@pytest.mark.parametrize("purge", [0, 1, 3])
def test_no_period_is_in_two_parts_and_none_of_a_gap_in_any(n_time: int, purge: int) -> None:
    split = time_split(n_time, validation=0.2, test=0.15, purge=purge)
    days = np.arange(n_time)
    parts = [days[part] for part in (split.train, split.validation, split.test)]
    for before, after in pairwise(parts):
        assert after[0] - before[-1] == purge + 1
    assert parts[2][-1] == n_time - 1
    assert len(parts[1]) == max(1, round(0.2 * n_time))


def test_a_share_of_0_takes_nothing() -> None:
    assert time_split(50, validation=0.2, test=0.0, purge=5) == Split(
        slice(0, 35), slice(40, 50), slice(50, 50), 5
    )
    assert time_split(50, validation=0.0, purge=5).train == slice(0, 50)


def test_too_little_to_train_on_says_how_much_is_needed() -> None:
    with pytest.raises(NotEnoughDataError, match="at least 28, of which 14"):
        time_split(20, validation=0.2, purge=14, least=10)
    assert time_split(28, validation=0.15, purge=14, least=10).train == slice(0, 10)
    for shares in ({"validation": 1.0}, {"validation": 0.6, "test": 0.5}, {"test": -0.1}):
        with pytest.raises(InvalidInputError, match="shares"):
            time_split(50, **shares)
    with pytest.raises(InvalidInputError, match="at least 0 periods"):
        time_split(50, purge=-1)
