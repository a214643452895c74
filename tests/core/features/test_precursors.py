"""Signs of what is coming: causal, blind to which metric is which, and of earlier days at the right time."""

from __future__ import annotations

import numpy as np

from core.contracts import Panel, Periods
from core.features.precursors import precursors

DAY, HORIZON = 100, 10


def panel(values: np.ndarray) -> Panel:
    minute = np.timedelta64(60, "s")
    periods = Periods(np.datetime64(0, "s") + np.arange(values.shape[1]) * minute, minute)
    entities = tuple(f"e{row}" for row in range(values.shape[0]))
    return Panel(
        values, entities, tuple(f"m{column}" for column in range(values.shape[2])), periods
    )


def noise(n_time: int = 420) -> np.ndarray:
    return np.random.default_rng(7).normal(0, 1, (2, n_time, 5))


def signs(values: np.ndarray, marks: np.ndarray | None = None) -> Panel:
    began = np.zeros(values.shape[:2], dtype=bool) if marks is None else marks
    return precursors(panel(values), began, day=DAY, horizon=HORIZON)


def test_the_future_changes_nothing() -> None:
    values = noise()
    marks = np.zeros(values.shape[:2], dtype=bool)
    marks[0, [50, 250, 300]] = True
    whole = signs(values, marks).values[:, :260]
    part = signs(values[:, :260], marks[:, :260]).values
    np.testing.assert_allclose(whole, part, rtol=1e-12, atol=1e-12)


def test_metrics_are_not_told_apart() -> None:
    values = noise()
    shuffled = signs(values[:, :, [3, 1, 4, 0, 2]])
    np.testing.assert_allclose(shuffled.values, signs(values).values, rtol=1e-9, atol=1e-12)
    assert signs(values[:, :, :2]).metrics == shuffled.metrics


def test_an_event_is_remembered_one_day_later_while_it_is_ahead() -> None:
    marks = np.zeros((2, 420), dtype=bool)
    marks[0, 150] = True
    found = signs(noise(), marks)
    told = found.metric("event 1 days ago")[0]
    assert np.flatnonzero(told).tolist() == list(range(240, 250))
    assert np.flatnonzero(found.metric("event 2 days ago")[0]).tolist() == list(range(340, 350))
    assert not found.metric("event 1 days ago")[1].any()


def test_missing_values_are_as_expected_and_huge_ones_are_bounded() -> None:
    values = np.zeros((1, 50, 3))
    values[0, :, 1] = np.nan
    values[0, 30, 2] = 1e9
    found = signs(values)
    assert np.isfinite(found.values).all()
    assert found.metric("worst")[0, 29:32].tolist() == [0.0, 10.0, 0.0]
    assert found.metric("worst, most of 5")[0, 29:36].tolist() == [0, 10, 10, 10, 10, 10, 0]
