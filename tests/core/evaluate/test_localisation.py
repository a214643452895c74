"""Figures of localizers on hand-made answers, what is held out, and fault-free windows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from core.cases import Cause, Truth, none_found
from core.contracts import Panel
from core.errors import NotEnoughDataError
from core.evaluate import localisation
from core.evaluate.localisation import Answer, figures, leave_one_out, quiet, silence
from core.events import EventTable
from data.cause_suites import suites
from tests import labelled_causes as written

NOW = np.datetime64("2026-03-02T12:00", "us")


def cause(node: str, score: float, hops: int = 1, confidence: float = 0.2) -> Cause:
    path = (node, *("x" for _ in range(hops)))
    return Cause(node, "unknown", NOW, path, hops, {}, score, confidence)


def figured(roots: tuple[str, ...], *causes: Cause, candidates: int = 10) -> dict[str, float]:
    return figures({"one": Answer(causes, candidates)}, {"one": Truth(roots, group="g")})


def test_a_single_cause_counts_by_its_rank() -> None:
    found = figured(("c",), *(cause(node, 9.0 - at) for at, node in enumerate("abcde")))
    assert (found["ac@1"], found["ac@3"], found["ac@5"]) == (0.0, 1.0, 1.0)
    assert found["avg@5"] == pytest.approx(3 / 5) and found["map@3"] == pytest.approx(1 / 3)
    assert found["chance_ac@1"] == pytest.approx(1 / 10)


def test_several_causes_must_all_be_among_the_first_n_plus_k_minus_1() -> None:
    ranked = [cause(node, 9.0 - at) for at, node in enumerate("axbcy")]
    # all three are among the first four: P@2 and on, as causRCA counts
    found = figured(("a", "b", "c"), *ranked)
    assert (found["ac@1"], found["ac@3"]) == (0.0, 1.0)
    assert found["map@3"] == pytest.approx(2 / 3)
    assert found["chance_ac@1"] == pytest.approx(1 / math.comb(10, 3))
    assert figured(("a", "gone"), *ranked)["ac@5"] == 0.0


def test_ties_count_with_the_probability_of_a_random_order() -> None:
    tied = [cause(node, 1.0) for node in "abcd"]
    for root in "abcd":
        found = figured((root,), *tied)
        assert found["ac@1"] == pytest.approx(1 / 4) and found["ac@3"] == pytest.approx(3 / 4)
        assert found["avg@5"] == pytest.approx((1 + 2 + 3 + 4 + 4) / 4 / 5)
    # two of four within the first two: one of six pairs
    assert figured(("a", "d"), *tied)["ac@1"] == pytest.approx(1 / 6)
    # fewer hops go first, and what differs by rounding alone is tied
    near = [cause("a", 1.0, hops=2), cause("b", 1.0 + 1e-13, hops=1)]
    assert figured(("b",), *sorted(near, key=lambda c: (-c.score, c.hops)))["ac@1"] == 1.0
    assert figured(("b",), cause("a", 1.0), cause("b", 1.0 - 1e-13))["ac@1"] == 0.5


def test_figures_by_group_and_their_intervals() -> None:
    truths = {f"{n}": Truth(("a",), group="good" if n < 6 else "bad") for n in range(10)}
    right, wrong = Answer([cause("a", 1.0)], 4, 0.5), Answer([cause("b", 1.0)], 4, 0.1)
    found = figures({f"{n}": right if n < 6 else wrong for n in range(10)}, truths)
    assert found["cases"] == 10 and found["ac@1"] == pytest.approx(0.6)
    assert found["seconds_per_case"] == pytest.approx(0.34)
    assert found["per_group"]["good"]["ac@1"] == 1.0 and found["per_group"]["bad"]["cases"] == 4
    low, high = found["ci"]["ac@1"]
    # a binomial share of 10 with p = .6 lies in [.3, .9] nineteen times in twenty
    assert low == pytest.approx(0.3, abs=0.05) and high == pytest.approx(0.9, abs=0.05)


def test_a_case_that_failed_is_a_miss_and_told() -> None:
    found = figures({"one": Answer(error="broke")}, {"one": Truth(("a",))})
    assert found["ac@5"] == 0.0 and found["per_case"][0]["error"] == "broke"
    assert silence([Answer(error="broke")]) == 0.0
    with pytest.raises(NotEnoughDataError, match="at least 1"):
        figures({}, {})


def test_half_of_the_belief_makes_a_cause() -> None:
    assert none_found([]) and none_found([cause("a", 1.0, confidence=0.3)])
    assert not none_found([cause("a", 1.0, confidence=0.3), cause("b", 1.0, confidence=0.3)])
    assert silence([Answer(), Answer([cause("a", 1.0, confidence=0.9)])]) == 0.5
    assert silence([]) is None


def test_the_difference_is_paired() -> None:
    ours, theirs = [1.0, 1.0, 1.0, 0.0] * 6, [0.0, 1.0, 1.0, 0.0] * 6
    mean, low, high = localisation.difference(ours, theirs)
    assert mean == pytest.approx(0.25) and 0.0 < low < 0.25 < high < 0.5


def test_nobody_learns_from_the_group_he_is_asked_about(tmp_path: Path) -> None:
    (suite,) = suites(written.write_metrics(tmp_path / "shop"))
    cases = {name: suite.case(name) for name in suite.cases}
    truths = {name: suite.truth(name) for name in suite.cases}
    asked = []
    for held, seen in leave_one_out(cases, truths, lambda t: t.group, lambda _, known: known):
        assert len(held) + len(seen) == len(cases)
        assert {truths[name].group for name in held}.isdisjoint(truth.group for truth in seen)
        asked += held
    assert sorted(asked) == sorted(cases)
    with pytest.raises(NotEnoughDataError, match="at least 2"):
        list(leave_one_out(cases, truths, lambda _: "all", lambda _, known: known))


def test_quiet_windows_are_as_long_as_their_case_and_not_among_what_judges_them(
    tmp_path: Path,
) -> None:
    (suite,) = suites(written.write_metrics(tmp_path / "shop"))
    cases = {name: suite.case(name) for name in suite.cases}
    normal = cases["case 0"].normal
    assert isinstance(normal, Panel)
    middle = normal.periods.labels[len(normal.periods) // 2]
    for late in (True, False):
        windows = quiet(cases, 30, late=late)
        # a block of 30 minutes holds windows of 16
        assert len(windows) == 30
        for name, case in windows:
            assert case.panel is not None and isinstance(case.normal, Panel)
            labels = case.panel.periods.labels
            assert case.panel.values.shape == cases[name].panel.values.shape  # type: ignore[union-attr]
            assert (np.diff(labels) == case.panel.periods.step).all()
            assert not np.isin(labels, case.normal.periods.labels).any()
            assert ((labels >= middle) if late else (labels < middle)).all()
            assert case.alarm.at in labels and case.alarm.node == "web"


def test_a_quiet_run_is_asked_about_by_the_others(tmp_path: Path) -> None:
    (suite,) = suites(written.write_events(tmp_path / "machine"))
    cases = {name: suite.case(name) for name in suite.cases}
    windows = quiet(cases, 20)
    assert len(windows) == 20
    for name, case in windows:
        assert case.events is not None and isinstance(case.normal, EventTable)
        assert len(case.normal.text("run").used) == 36
        assert set(case.events.texts) == {"value", "type"} and len(case.events) == 23
        assert case.alarm.at <= cases[name].alarm.at
    (suite,) = suites(written.write_dimensions(tmp_path / "cube"))
    assert quiet({name: suite.case(name) for name in suite.cases}) == []
