"""The usual course over day and week: it follows the hours, forgives the nightly, and is not bent by what is odd."""

from __future__ import annotations

import numpy as np
import pytest

from core.contracts import Panel, Periods
from core.features.course import course, waves

STEP = np.timedelta64(300, "s")
DAY = 288
SD = 0.05


def panel(days: int = 3, metrics: int = 1, seed: int = 1) -> Panel:
    """Two entities with a daily wave and noise of `SD` on the logarithm."""
    random = np.random.default_rng(seed)
    n_time = days * DAY
    wave = 100.0 * (1.0 + 0.4 * np.sin(2 * np.pi * np.arange(n_time) / DAY))
    noise = np.exp(SD * random.standard_normal((2, n_time, metrics)))
    labels = np.datetime64("2026-03-02T00:00:00") + STEP * np.arange(n_time)
    names = tuple(f"m{number}" for number in range(metrics))
    return Panel(wave[None, :, None] * noise, ("a", "b"), names, Periods(labels, STEP))


def odd(found: Panel, row: int, span: slice, factor: float) -> Panel:
    values = found.values.copy()
    values[row, span] *= factor
    return found.with_values(values)


def test_the_expected_follows_the_day_and_the_spread_is_the_noise() -> None:
    found = course(panel(), {"m0": 0})
    wave = 100.0 * (1.0 + 0.4 * np.sin(2 * np.pi * np.arange(3 * DAY) / DAY))
    assert np.abs(found.expected.values[:, :, 0] / wave - 1.0).max() < 0.05
    share = found.spread[:, :, 0] / found.expected.values[:, :, 0]
    assert np.median(share) == pytest.approx(SD, rel=0.25)
    assert np.median(np.abs(found.residual.values)) == pytest.approx(0.67, abs=0.15)


def test_a_fault_stands_out_and_bends_nothing() -> None:
    calm = panel()
    span = slice(2 * DAY + 100, 2 * DAY + 120)
    struck = course(odd(calm, 0, span, 2.0), {"m0": 1})
    assert struck.residual.values[0, span, 0][2:].min() > 10
    assert np.abs(struck.residual.values[1]).max() < 7
    before = course(calm, {"m0": 1}).expected.values[0, :, 0]
    assert np.abs(struck.expected.values[0, :, 0] / before - 1.0).max() < 0.02


def test_one_odd_period_alone_does_not_count() -> None:
    found = course(odd(panel(), 0, slice(700, 701), 5.0), {"m0": 1})
    assert found.residual.values[0, 698:704, 0].max() < 5


def test_the_direction_that_hurts_nobody_counts_a_quarter() -> None:
    span = slice(700, 720)
    fallen = odd(panel(), 0, span, 0.5)
    hurts, either, kind = (
        np.abs(course(fallen, {"m0": bad}).residual.values[0, 705:720, 0]).mean()
        for bad in (-1, 0, 1)
    )
    assert hurts == either > 10
    assert kind == pytest.approx(hurts / 4)


def test_what_came_at_the_same_time_on_earlier_days_is_expected_and_no_more_of_it() -> None:
    found = panel()
    for day in range(3):
        found = odd(found, 0, slice(day * DAY + 30, day * DAY + 36), 2.0)
    again = slice(2 * DAY + 32, 2 * DAY + 36)
    assert np.abs(course(found, {"m0": 1}).residual.values[0, again, 0]).max() < 5
    worse = odd(found, 0, slice(2 * DAY + 30, 2 * DAY + 36), 2.0)
    assert course(worse, {"m0": 1}).residual.values[0, again, 0].min() > 8
    # the first night nobody could know
    assert course(found, {"m0": 1}).residual.values[0, 32:36, 0].min() > 8


def test_what_was_said_to_be_odd_excuses_nothing_the_day_after() -> None:
    found = panel()
    for day in (1, 2):
        found = odd(found, 0, slice(day * DAY + 30, day * DAY + 40), 2.0)
    said = np.zeros((2, 3 * DAY), dtype=bool)
    said[0, DAY + 25 : DAY + 45] = True
    again = slice(2 * DAY + 32, 2 * DAY + 40)
    told = course(found, {"m0": 1}, said).residual.values[0, again, 0]
    silent = course(found, {"m0": 1}).residual.values[0, again, 0]
    assert told.min() > 10 and told.mean() > silent.mean()


def test_missing_stays_missing_and_a_series_that_nobody_has_is_none() -> None:
    found = panel(metrics=2)
    values = found.values.copy()
    values[0, :, 1] = np.nan
    values[1, 50:60, 0] = np.nan
    told = course(found.with_values(values), {})
    assert np.isnan(told.residual.values[0, :, 1]).all()
    assert np.isnan(told.expected.values[0, :, 1]).all()
    assert np.isnan(told.residual.values[1, 50:60, 0]).all()
    assert np.isfinite(told.expected.values[1, :, 0]).all()


def test_a_series_that_never_moves_is_not_judged_by_its_rounding() -> None:
    found = panel()
    flat = found.with_values(np.full_like(found.values, 7.0))
    assert np.abs(course(flat, {}).residual.values).max() < 1e-6
    barely = odd(flat, 0, slice(700, 720), 1.01)
    assert np.abs(course(barely, {}).residual.values).max() < 1


def test_a_series_below_zero_is_judged_by_differences() -> None:
    found = panel()
    random = np.random.default_rng(2)
    values = found.values.copy()
    values[0, :, 0] = random.standard_normal(3 * DAY)
    values[0, 700:720, 0] += 12.0
    told = course(found.with_values(values), {})
    assert told.residual.values[0, 703:720, 0].min() > 5
    assert np.median(told.spread[0, :, 0]) == pytest.approx(1.0, rel=0.3)


def test_a_short_history_has_a_level_and_a_long_one_a_week() -> None:
    hours = np.datetime64("2026-03-02T00:00:00") + np.timedelta64(1, "h") * np.arange(24 * 20)
    assert [waves(hours[:many]).shape[1] for many in (12, 24 * 2, 24 * 20)] == [1, 7, 13]
