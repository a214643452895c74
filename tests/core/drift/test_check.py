"""Calm data is called calm, moved data moved, and each gate does its part."""

from __future__ import annotations

import numpy as np
import pytest

from core.contracts import Floats
from core.drift.check import Cell, Findings, Reference, Watched, joined
from core.drift.windows import HOURLY, MONDAY, Schedule
from core.errors import InvalidInputError, NotEnoughDataError
from tests.core.drift.test_calibration import remembering

HISTORY, LENGTH = 182, 7
SCHEDULE = Schedule(0, HISTORY, HISTORY, LENGTH)
DAYS = MONDAY + np.arange(HISTORY + 3 * LENGTH)


def watched(values: Floats, series_per_cell: int = 1) -> Watched:
    cells = len(values) // series_per_cell
    named = tuple(Cell(f"level {cell % 4}", f"metric {cell // 4}") for cell in range(cells))
    return Watched(values, np.repeat(np.arange(cells), series_per_cell), named, DAYS)


def calm(n_series: int = 40, phi: float = 0.6, seed: int = 0) -> Floats:
    week = 0.7 * np.sin(2 * np.pi * np.arange(len(DAYS)) / 7)
    return remembering(phi, n_series, len(DAYS), seed) + week


def found(values: Floats, series_per_cell: int = 1) -> Findings:
    seen = watched(values, series_per_cell)
    return Reference.learn(seen, SCHEDULE, draws=400).check(seen, SCHEDULE)


def test_calm_data_is_calm() -> None:
    for seed in range(4):
        findings = found(calm(seed=seed))
        assert not findings.drifts.any()
        assert not any(whole.drifts for whole in findings.whole)


def test_p_values_of_calm_cells_are_spread_evenly() -> None:
    p = np.concatenate([found(calm(120, 0.9, seed)).p for seed in range(4)])
    assert np.mean(p < 0.5) == pytest.approx(0.5, abs=0.12)
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.04)


def test_a_moved_metric_is_found_alone_with_its_sign_and_size() -> None:
    values = calm()
    values[7, HISTORY:] -= 3.0
    findings = found(values)
    assert np.flatnonzero(findings.drifts).tolist() == [7]
    assert findings.lean[7] == pytest.approx(-3.0 / values[7, :HISTORY].std(), rel=0.4)
    assert (findings.by_window[7] < -1.0).all()
    assert findings.p_value[:, 7].max() < 0.01 and findings.adjusted[7] < findings.rate


def test_a_change_of_spread_alone_is_found() -> None:
    values = remembering(0.2, 40 * 20, len(DAYS))
    rows = slice(3 * 20, 4 * 20)
    values[rows, HISTORY:] *= 1.8
    findings = found(values, series_per_cell=20)
    assert np.flatnonzero(findings.drifts).tolist() == [3]
    assert abs(findings.lean[3]) < 0.15 < findings.distance[1, 3]


def test_a_week_that_passes_is_no_drift() -> None:
    values = calm()
    values[7, HISTORY : HISTORY + LENGTH] += 8.0
    findings = found(values)
    assert not findings.drifts[7] and not findings.lasting[7]


def test_what_is_significant_but_tiny_is_no_drift() -> None:
    values = remembering(0.0, 400, len(DAYS))
    values[:200, HISTORY:] += 0.05
    findings = found(values, series_per_cell=200)
    assert not findings.large.any() and not findings.drifts.any()


def test_small_shifts_of_a_whole_level_are_found_together() -> None:
    values = calm(80, 0.9)
    of_level = np.arange(80) % 4 == 2
    values[of_level, HISTORY:] += 1.2
    findings = found(values)
    drifting = {whole.level for whole in findings.whole if whole.drifts}
    assert "level 2" in drifting and not drifting & {"level 0", "level 1", "level 3"}


def test_the_smallest_shift_said_is_one_that_is_found() -> None:
    base = calm(60, 0.5, seed=3)
    seen = watched(base)
    reference = Reference.learn(seen, SCHEDULE, draws=400)
    said = reference.check(seen, SCHEDULE).smallest
    phase = np.arange(HISTORY) % 7
    hit, small = 0, 0
    for cell in range(60):
        weekdays = [base[cell, :HISTORY][phase == day] for day in range(7)]
        spread = np.sqrt(np.mean(np.concatenate([day - day.mean() for day in weekdays]) ** 2))
        for times in (1.0, 0.4):
            values = base.copy()
            values[cell, HISTORY:] += times * said[cell] * spread
            found_it = reference.check(watched(values), SCHEDULE).p[cell] < 1e-4
            hit, small = hit + (found_it and times == 1), small + (found_it and times < 1)
    assert hit >= 42 and small <= 15  # of 60: said to be found 8 times of 10


def test_more_series_in_a_cell_see_smaller_shifts() -> None:
    one = found(calm(40, 0.5))
    many = found(calm(800, 0.5), series_per_cell=20)
    assert np.nanmedian(many.smallest) < 0.5 * np.nanmedian(one.smallest)
    assert np.nanmedian(many.power) > 0.6 > 0.2 > np.nanmedian(one.power)


def test_cells_without_enough_days_are_left_out_and_say_so() -> None:
    values = calm()
    values[2, HISTORY + 3 :] = np.nan
    values[5] = 1.0
    findings = found(values)
    assert not findings.tested[2] and not findings.tested[5] and findings.tested.sum() == 38
    assert np.isnan(findings.p[2]) and not findings.drifts[2]


def test_the_same_seed_gives_the_same_findings() -> None:
    values = calm()
    assert found(values).p.tolist() == found(values).p.tolist()


def test_other_cells_or_windows_than_learned_are_refused() -> None:
    seen = watched(calm())
    reference = Reference.learn(seen, SCHEDULE, draws=20)
    with pytest.raises(InvalidInputError, match="the 40 cells learned from"):
        reference.check(watched(calm(8)), SCHEDULE)
    with pytest.raises(InvalidInputError, match="windows of 7 days"):
        reference.check(seen, Schedule(0, 161, 161, 14))


def test_data_of_which_nothing_is_known_is_refused() -> None:
    with pytest.raises(NotEnoughDataError, match="not constant"):
        found(np.ones((4, len(DAYS))))


def test_parts_of_a_history_are_joined_by_name_and_cell() -> None:
    hours = np.arange("2026-03-01T00", "2026-03-01T06", dtype="datetime64[h]")
    cpu, disk = Cell("pod", "cpu"), Cell("pod", "disk")
    late = Watched(
        np.array([[2.0, 3.0, 4.0], [5.0, 6.0, 7.0]]),
        np.array([0, 0]),
        (cpu,),
        hours[3:],
        HOURLY,
        ("a", "b"),
    )
    early = Watched(
        np.array([[8.0, np.nan, 9.0, np.nan], [1.0, 1.0, 1.0, 1.0]]),
        np.array([0, 1]),
        (cpu, disk),
        hours[:4],
        HOURLY,
        ("b", "a"),
    )
    whole = joined([late, early])
    rows = {
        (name, whole.cells[at].metric): row
        for name, at, row in zip(whole.names, whole.member, whole.values, strict=True)
    }
    nan = np.nan
    np.testing.assert_array_equal(rows["a", "cpu"], [nan, nan, nan, 2, 3, 4])
    np.testing.assert_array_equal(rows["b", "cpu"], [8, nan, 9, 5, 6, 7])
    np.testing.assert_array_equal(rows["a", "disk"], [1, 1, 1, 1, nan, nan])
    assert whole.times.tolist() == hours.tolist() and joined([late]) is late
