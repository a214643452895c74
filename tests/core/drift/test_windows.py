"""Which days are compared: whole weeks, fixed by the calendar, never overlapping."""

from __future__ import annotations

import numpy as np
import pytest

from core.drift import windows
from core.errors import NotEnoughDataError


def days(last: str, many: int) -> np.ndarray:
    return np.datetime64(last, "D") - np.arange(many - 1, -1, -1)


def test_windows_end_on_sundays_and_hold_whole_weeks() -> None:
    row = days("2026-03-17", 90)  # a Tuesday
    found = windows.schedule(row)
    assert str(row[found.end - 1]) == "2026-03-15"  # the Sunday before
    assert (found.end - found.first) == 3 * found.length == 21
    assert (found.stop - found.start) % 7 == 0 and found.stop == found.first


def test_looking_on_another_day_of_the_week_finds_the_same_windows() -> None:
    ends = {
        str(row[windows.schedule(row).end - 1])
        for row in (days(f"2026-03-{day}", 90) for day in range(15, 22))
    }
    assert ends == {"2026-03-15"}


def test_the_more_is_known_the_longer_the_windows() -> None:
    lengths = {many: windows.schedule(days("2026-03-15", many)).length for many in (90, 240, 400)}
    assert lengths == {90: 7, 240: 14, 400: 28}


def test_the_reference_ends_where_the_model_stopped_learning() -> None:
    row = days("2026-03-15", 120)
    found = windows.schedule(row, known_until=np.datetime64("2026-02-01"))
    assert row[found.stop - 1] == np.datetime64("2026-02-01")
    # one that learned from the compared days too is compared with what lies before them
    again = windows.schedule(row, known_until=np.datetime64("2026-03-14"))
    assert again.stop == again.first


def test_too_short_a_history_is_refused_with_both_numbers() -> None:
    with pytest.raises(NotEnoughDataError, match=r"at least 63 settled days.*Got 40"):
        windows.schedule(days("2026-03-15", 40))


def hours(last: str, many: int) -> np.ndarray:
    return np.datetime64(last, "h") - np.arange(many - 1, -1, -1)


def test_windows_of_hours_are_whole_days_after_a_whole_week() -> None:
    row = hours("2026-03-17T09", 24 * 11)
    found = windows.schedule(row, windows.HOURLY)
    assert str(row[found.end - 1]) == "2026-03-16T23"
    assert (found.length, found.end - found.first) == (24, 72)
    assert found.stop == found.first and (found.stop - found.start) % 24 == 0
    with pytest.raises(NotEnoughDataError, match=r"at least 10 settled days.*Got 9"):
        windows.schedule(row[-238:], windows.HOURLY)


def test_the_first_check_is_possible_once_its_newest_window_has_closed() -> None:
    first = np.datetime64("2026-03-04T15")
    when = windows.HOURLY.ready(first)
    assert str(when.astype("datetime64[h]")) == "2026-03-15T00"
    row = np.arange(first, when)
    assert windows.schedule(row, windows.HOURLY).end == len(row)
    with pytest.raises(NotEnoughDataError):
        windows.schedule(row[:-1], windows.HOURLY)
    by_day = windows.DAILY.ready(np.datetime64("2026-01-07"))
    assert windows.schedule(np.arange(np.datetime64("2026-01-07"), by_day)).end > 0
    with pytest.raises(NotEnoughDataError):
        windows.schedule(np.arange(np.datetime64("2026-01-07"), by_day - 1))


def test_an_hour_of_a_weekend_is_no_hour_of_a_workday() -> None:
    week = hours("2026-03-15T23", 7 * 24)  # Monday to Sunday
    phase = windows.HOURLY.phase(week)
    assert phase[:24].tolist() == list(range(24)) == phase[96:120].tolist()
    assert phase[120:144].tolist() == list(range(24, 48)) == phase[144:].tolist()


def test_a_weekday_is_compared_with_itself() -> None:
    week = np.array([0, 0, 0, 0, 0, 50.0, 80.0])
    values = np.tile(week, 10)[None] + np.random.default_rng(0).normal(size=(1, 70))
    phase = np.arange(70) % 7
    scaled = windows.standardised(values, slice(0, 49), phase)
    assert scaled[:, :49].std() == pytest.approx(1.0)
    for day in range(7):
        assert scaled[0, :49][phase[:49] == day].mean() == pytest.approx(0.0, abs=1e-12)
    assert np.abs(scaled[:, 49:]).max() < 5.0


def test_a_constant_series_has_no_scale() -> None:
    values = np.stack([np.ones(70), np.arange(70.0) % 5])
    scaled = windows.standardised(values, slice(0, 49), np.arange(70) % 7)
    assert np.isnan(scaled[0]).all() and np.isfinite(scaled[1]).all()
