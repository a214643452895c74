"""The benchmark of experiments in small: naive rules are fooled as the reference says, ours is not."""

from __future__ import annotations

import pytest

from benchmarks import experiments

RUNS = 500


@pytest.mark.parametrize(("looks", "percent"), [(0, 22), (1, 37), (2, 48), (3, 55)])
def test_a_t_test_at_every_look_is_fooled_as_often_as_was_measured(
    looks: int, percent: float
) -> None:
    row = experiments.peeking(1000)[looks]
    assert row["false_percent"] == pytest.approx(percent, abs=4)


def test_rows_taken_for_units_and_student_for_welch_are_fooled() -> None:
    assert [row["false_percent"] for row in experiments.clusters(RUNS)] == pytest.approx(
        [18, 42, 58], abs=5
    )
    student, welch = experiments.canary(4000)
    assert student["false_percent"] == pytest.approx(29, abs=2)
    assert welch["false_percent"] == pytest.approx(5.3, abs=1)


def test_hourly_looks_at_clustered_units_fool_every_rule_but_the_sequential_ones() -> None:
    what = "two arms of 100 units"
    rows = experiments.hourly(what, experiments.DESIGNS[what], RUNS, lambda share: None)
    by_rule = {row["rule"].split(",")[0]: row for row in rows}
    assert by_rule["t-test of rows at every look"]["false_percent"] > 80
    assert by_rule["Welch of units at every look"]["false_percent"] > 12
    assert by_rule["mSPRT"]["false_percent"] <= 5
    ours = by_rule["headwater"]
    assert ours["false_percent"] <= 5
    power = "power_percent_at_the_planned_effect"
    assert ours[power] >= 76
    assert ours[power] > by_rule["mSPRT"][power] + 10


def test_a_lossy_arm_is_told_and_a_sound_one_is_not() -> None:
    rows = {row["data"]: row["told_percent"] for row in experiments.splits(2000)}
    assert rows["5,000 units, 50% treated, 0% of these lost"] <= 0.3
    assert rows["5,000 units, 1% treated, 0% of these lost"] <= 0.3
    assert rows["5,000 units, 50% treated, 20% of these lost"] >= 99
