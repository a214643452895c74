"""What is coming, when to say so, and that nothing looks ahead."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import NotEnoughDataError
from core.foresight import alarms, chances, coming, false_alarms, learned, onsets, threshold


def failing(n_time: int, *spans: tuple[int, int]) -> np.ndarray:
    marked = np.zeros((1, n_time), dtype=bool)
    for first, last in spans:
        marked[0, first : last + 1] = True
    return marked


def test_only_the_quiet_periods_before_an_event_count() -> None:
    codes = coming(failing(40, (20, 22)), horizon=5, gap=3)[0]
    assert np.flatnonzero(codes == 1).tolist() == [15, 16, 17, 18, 19]
    assert np.flatnonzero(codes == -1).tolist() == [20, 21, 22, 23, 24, 25]
    assert (codes[[0, 14, 26, 39]] == 0).all()


def test_what_begins_within_the_gap_is_the_same_event() -> None:
    marked = failing(60, (0, 1), (20, 22), (25, 30), (40, 41))
    assert np.flatnonzero(onsets(marked, gap=3)[0]).tolist() == [0, 20, 40]
    assert np.flatnonzero(onsets(marked, gap=1)[0]).tolist() == [0, 20, 25, 40]


def test_an_alarm_stands_until_its_time_is_over() -> None:
    scores = np.array([0, 9, 9, 0, 9, 0, 9, 9.0])
    assert alarms(scores, 5.0, horizon=3).tolist() == [1, 6]
    assert alarms(scores, 5.0, horizon=2).tolist() == [1, 4, 7]
    assert len(alarms(scores, 10.0, horizon=3)) == 0


def test_the_threshold_keeps_the_budget_and_is_the_lowest_that_does() -> None:
    rng = np.random.default_rng(3)
    scores = [rng.random(4000) for _ in range(3)]
    codes = [np.zeros(4000, dtype=np.int8) for _ in range(3)]
    cut = threshold(scores, codes, horizon=10, budget=2.0)
    raised = false_alarms(scores, codes, cut, 10)
    assert 0.7 * 24 <= raised <= 24
    assert threshold(scores, codes, horizon=10, budget=0.01) == float("inf")


def test_without_a_quiet_period_there_is_no_threshold() -> None:
    with pytest.raises(NotEnoughDataError, match="without an event ahead"):
        threshold([np.ones(5)], [np.ones(5, dtype=np.int8)], horizon=2)


@pytest.mark.parametrize("name", ["extra-trees", "logistic"])
def test_a_sign_that_comes_before_events_is_learned(name: str) -> None:
    rng = np.random.default_rng(0)
    answers = (rng.random(3000) < 0.1).astype(np.int8)
    rows = np.column_stack([rng.normal(0, 1, 3000) + 4 * answers, rng.normal(0, 1, 3000)])
    found = chances(learned(name, rows, answers), np.array([[4.0, 0.0], [0.0, 0.0]]))
    assert found[0] > 0.3
    assert found[0] > 5 * found[1]
