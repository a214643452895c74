"""A planted shift is found with its size and its group; a true delay of calls and a ragged series are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.contracts import Panel, Periods
from core.evaluate import clocks
from core.evaluate.clocks import Clocks, Skew
from core.evaluate.data_quality import Check, Series
from tests.core.evaluate.test_data_quality import series, tell

NAMES = ("node:a", "pod:a1", "pod:a2", "service:x", "service:y", "pod:b1", "node:b")
PARTS = [
    ("node:a", "pod:a1"),
    ("node:a", "pod:a2"),
    ("node:b", "pod:b1"),
    ("pod:a1", "service:x"),
    ("pod:a2", "service:x"),
    ("pod:b1", "service:x"),
]
CALLS = [("service:y", "service:x")]


def panel(shifts: dict[str, int], length: int = 600) -> Panel:
    """Everything follows one load, each with noise of its own; shifted ones tell it later by so many minutes."""
    random = np.random.default_rng(4)
    load = np.cumsum(random.standard_normal(length + 40))
    values = np.empty((len(NAMES), length, 1))
    for row, name in enumerate(NAMES):
        start = 20 - shifts.get(name, 0)
        values[row, :, 0] = load[start : start + length] + 0.4 * random.standard_normal(length)
    labels = np.datetime64("2026-03-02T00:00", "s") + np.arange(length) * np.timedelta64(60, "s")
    return Panel(values, NAMES, ("cpu",), Periods(labels, np.timedelta64(60, "s")))


def every(**told: float) -> list[dict[str, object]]:
    return [{"entity": name, **told} for name in NAMES]


def checked(about: Panel | None, parts: Any, calls: Any, rows: Series, now: float = 1e6) -> Check:
    return clocks.skew(clocks.compare(about, parts, calls, rows), rows, now, tell)


def skews(shifts: dict[str, int]) -> list[tuple[tuple[str, ...], int]]:
    return clocks.skews(clocks.lags(panel(shifts), PARTS))


def test_nobody_is_off_where_all_share_a_clock() -> None:
    assert skews({}) == []
    assert len(clocks.lags(panel({}), PARTS)) == len(PARTS)


@pytest.mark.parametrize("minutes", [-7, 1, 12])
def test_one_that_is_off_is_found_with_its_size(minutes: int) -> None:
    assert skews({"node:a": minutes}) == [(("node:a",), minutes)]


def test_a_machine_and_its_pods_that_are_off_together_are_one_group() -> None:
    assert skews({"node:b": 5, "pod:b1": 5}) == [(("node:b", "pod:b1"), 5)]


def test_renaming_changes_nothing_but_the_names() -> None:
    shifted = panel({"node:a": 5})
    new = {name: f"x{9 - place}" for place, name in enumerate(NAMES)}
    renamed = Panel(
        shifted.values, tuple(new[name] for name in NAMES), shifted.metrics, shifted.periods
    )
    found = clocks.skews(clocks.lags(renamed, [(new[a], new[b]) for a, b in PARTS]))
    assert found == [((new["node:a"],), 5)]


def test_noise_and_short_stretches_tell_nothing() -> None:
    random = np.random.default_rng(0)
    noise = panel({}).with_values(random.standard_normal((len(NAMES), 600, 1)))
    assert clocks.lags(noise, PARTS) == []
    assert clocks.lags(panel({}, 40), PARTS) == []


def test_a_call_that_is_answered_late_is_no_clock_but_one_far_off_is() -> None:
    calm = series(*every())
    near = checked(panel({"service:y": -2}), PARTS, CALLS, calm)
    far = checked(panel({"service:y": -9}), PARTS, CALLS, calm)
    assert (near.state, far.state, far.figure) == ("pass", "fail", 540.0)
    assert [found.where for found in far.findings] == ["service:y"]
    assert far.findings[0].message == "540 s behind" and "NTP" in far.cure


def test_stamps_between_everybodys_are_told_in_seconds() -> None:
    rows = [{"entity": f"pod:{place}", "metric": m} for place in range(20) for m in ("cpu", "ram")]
    late = [{"entity": "pod:late", "metric": m, "first": 25.0} for m in ("cpu", "ram")]
    check = checked(None, [], [], series(*rows, *late))
    assert check.state == "fail"
    assert [(found.where, found.message) for found in check.findings] == [
        ("pod:late", "25 s ahead")
    ]
    ragged = [row | {"uneven": 900} for row in late]
    assert checked(None, [], [], series(*rows, *ragged)).state == "pass"


def test_stamps_all_over_a_step_have_no_everybody() -> None:
    rows = [{"entity": f"pod:{place}", "first": 3.0 * place} for place in range(20)]
    assert clocks.phases(series(*rows)) == {}


def test_what_is_measured_after_now_is_ahead() -> None:
    rows = series({"entity": "pod:a"}, {"entity": "pod:b", "last": 173_000.0})
    check = checked(None, [], [], rows, 172_800.0)
    assert (check.state, check.figure) == ("fail", 200.0)
    assert [found.where for found in check.findings] == ["pod:b"]


def test_the_shared_stretch_is_what_right_and_wrong_clocks_both_tell_of() -> None:
    rows = series(
        {"entity": "pod:a", "first": 0.0, "last": 86_400.0},
        {"entity": "pod:ahead", "first": 300.0, "last": 86_700.0},
        {"entity": "pod:behind", "first": -60.0, "last": 86_340.0},
        {"entity": "pod:future", "first": 0.0, "last": 172_800.0},
    )
    told = Clocks((Skew(("pod:ahead",), 300.0), Skew(("pod:behind",), -60.0)), 3)
    assert told.shared(rows, now=90_000.0) == (300.0, 86_340.0)
    assert Clocks((), 0).shared(rows, now=90_000.0) == (-60.0, 86_700.0)
    assert told.shared(rows, now=-1e6) is None
