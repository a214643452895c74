"""Exact intervals of a share: those of scipy, never of no width, and how many more it takes."""

from __future__ import annotations

import pytest
from scipy import stats

from core.errors import InvalidInputError
from core.evaluate import proportion


@pytest.mark.parametrize(("yes", "n"), [(0, 5), (3, 3), (7, 8), (40, 100), (99, 100)])
def test_it_is_scipys_exact_interval(yes: int, n: int) -> None:
    expected = stats.binomtest(yes, n).proportion_ci(0.95, method="exact")
    assert proportion.interval(yes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_nothing_counted_says_nothing() -> None:
    assert proportion.interval(0, 0) == (0.0, 1.0)


def test_more_than_all_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"in \[0, 3\]"):
        proportion.interval(4, 3)


@pytest.mark.parametrize(("yes", "n"), [(9, 9), (0, 0), (19, 20)])
def test_so_many_more_put_it_above_and_one_fewer_does_not(yes: int, n: int) -> None:
    more = proportion.lacking(yes, n, 0.95)
    assert more is not None
    assert proportion.interval(yes + more, n + more)[0] > 0.95
    assert proportion.interval(yes + more - 1, n + more - 1)[0] <= 0.95


def test_what_takes_too_many_is_not_told() -> None:
    assert proportion.lacking(0, 9_000, 0.95) is None
