"""Figures of series in, a verdict with its cure out: each rule at its limit, and what is told of where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.evaluate import data_quality
from core.evaluate.data_quality import Finding, Hole, Series


def series(*rows: dict[str, Any]) -> Series:
    """Two days of minutes by default; what is told of a row stands for it."""
    usual = {
        "entity": "service:cart",
        "metric": "cpu",
        "samples": 2880,
        "first": 0.0,
        "usual": 60.0,
    }
    calm = dict.fromkeys(("uneven", "missing", "beyond", "lone", "absurd"), 0)
    spike = {"worst": np.nan, "worst_at": np.nan}
    filled = [usual | calm | spike | {"last": 172740.0} | row for row in rows]
    whole = ("samples", *calm)
    return Series(
        **{
            name: np.array(
                [row[name] for row in filled],
                dtype=object if name in ("entity", "metric") else int if name in whole else float,
            )
            for name in filled[0]
        }
    )


def tell(moment: float) -> str:
    return f"{moment:g}"


def test_one_of_twenty_missing_passes_at_95_percent_and_is_still_named() -> None:
    shares = np.ones((20, 4))
    shares[3] = 0.0
    names = [f"m{number}" for number in range(20)]
    check = data_quality.completeness(names, shares)
    assert (check.figure, check.state) == (pytest.approx(0.95), "warn")
    assert check.findings == (Finding("m3", "was never measured"),)
    shares[4, :1] = 0.9
    check = data_quality.completeness(names, shares)
    assert check.state == "fail" and check.cure
    assert data_quality.completeness(names, np.ones((20, 4))).state == "pass"


def test_periods_weigh_by_what_is_due_and_only_where_anything_is() -> None:
    shares = np.array([[1.0, 0.0], [1.0, np.nan]])
    check = data_quality.completeness(["a", "b"], shares, np.array([60.0, 5.0]))
    assert check.figure == pytest.approx((60 / 65 + 1) / 2)
    assert data_quality.completeness([], np.ones((0, 2))).state == "untested"


@pytest.mark.parametrize(("uneven", "state"), [(0, "pass"), (57, "pass"), (58, "fail")])
def test_more_than_98_percent_of_steps_must_be_even(uneven: int, state: str) -> None:
    assert data_quality.intervals(series({"uneven": uneven})).state == state


def test_a_ragged_metric_among_many_is_named_and_explains_its_entity() -> None:
    rows = [{"metric": f"m{number}"} for number in range(99)]
    check = data_quality.intervals(series(*rows, {"metric": "late", "uneven": 1000}))
    assert check.state == "warn"
    assert [found.where for found in check.findings] == ["late"]
    rows = [{"entity": f"pod:{number}"} for number in range(99)]
    check = data_quality.intervals(series(*rows, {"entity": "pod:late", "uneven": 1000}))
    assert [found.where for found in check.findings] == ["pod:late"]


def test_a_hole_of_many_series_is_one_finding_and_short_ones_are_none() -> None:
    holes = [Hole(600.0, 7200.0, 2, 218, "cpu of service:cart"), Hole(0.0, 180.0, 1, 2, "x")]
    both = series({"missing": 109}, {"metric": "ram", "missing": 111})
    check = data_quality.gaps(both, holes, tell)
    assert (check.state, check.figure) == ("warn", pytest.approx(220 / (220 + 2 * 2880)))
    (found,) = check.findings
    assert found.where == "2 series, as cpu of service:cart"
    assert "from 600 to 7200" in found.message
    assert data_quality.gaps(series({"missing": 2}), holes[1:], tell).state == "pass"


def test_what_stops_or_begins_beside_its_entity_is_missing_from_then_on() -> None:
    check = data_quality.gaps(
        series({}, {"metric": "ram", "samples": 1440, "last": 86340.0}), [], tell
    )
    assert check.figure == pytest.approx(1440 / (1440 + 2880 + 1440))
    assert check.state == "fail"
    assert check.findings[0].message == "ends at 86340, other metrics of it do not"
    whole = series({"entity": "pod:a"}, {"entity": "pod:b", "samples": 1440, "last": 86340.0})
    assert data_quality.gaps(whole, [], tell).state == "pass"


def test_lone_and_absurd_samples_are_told_with_the_worst() -> None:
    lone = {"lone": 20, "beyond": 20, "worst": 9.5, "worst_at": 300.0}
    check = data_quality.outliers(series(lone), tell)
    assert check.state == "warn" and "9.5 of service:cart at 300" in check.findings[0].message
    assert data_quality.outliers(series(lone | {"lone": 10}), tell).state == "pass"
    assert data_quality.outliers(series(lone | {"lone": 1, "absurd": 1}), tell).state == "warn"
    assert data_quality.outliers(series(lone | {"lone": 5, "absurd": 5}), tell).state == "fail"
    assert data_quality.outliers(series(lone | {"lone": 60}), tell).state == "fail"


def test_many_beyond_the_fences_warn_with_the_metric() -> None:
    check = data_quality.outliers(series({"beyond": 400}, {"metric": "ram"}), tell)
    assert (check.state, check.findings[0].where) == ("warn", "cpu")
    assert check.figure == pytest.approx(400 / 5760)


@pytest.mark.parametrize(
    ("counts", "state", "figure"),
    [
        ({"a": 29, "b": 10}, "pass", 2.9),
        ({"a": 30, "b": 10, "c": 12}, "warn", 3.0),
        ({"a": 4}, "warn", None),
        ({}, "untested", None),
    ],
)
def test_labels_are_out_of_balance_from_three_to_one(
    counts: dict[str, int], state: str, figure: float | None
) -> None:
    check = data_quality.balance(counts)
    assert (check.state, check.figure) == (state, figure)
    assert bool(check.cure) == (state != "pass")


def test_repeats_warn_and_more_than_a_percent_of_an_import_fails() -> None:
    assert data_quality.duplicates([("a.csv", 1000, 0)]).state == "pass"
    check = data_quality.duplicates([("a.csv", 1000, 10), ("b.csv", 9000, 0)])
    assert (check.state, check.figure) == ("warn", pytest.approx(0.001))
    check = data_quality.duplicates([("a.csv", 1000, 11), ("b.csv", 9000, 0)], 90, 900)
    assert check.state == "fail"
    assert [found.where for found in check.findings] == ["a.csv", "later imports"]
    assert "90 samples (10.0%)" in check.findings[1].message


def test_the_worst_state_stands_for_all_and_what_was_not_asked_for_none() -> None:
    asked = [data_quality.balance(counts) for counts in ({}, {"a": 1, "b": 1})]
    assert data_quality.worst(asked) == "pass"
    assert data_quality.worst(asked[:1]) == "untested"
    assert data_quality.worst([*asked, data_quality.duplicates([("a", 10, 9)])]) == "fail"


def test_many_findings_are_cut_and_counted() -> None:
    check = data_quality.completeness([f"m{n}" for n in range(40)], np.zeros((40, 2)))
    assert len(check.findings) == data_quality.NAMED
    assert check.findings[-1] == Finding("and more", "29 of the same kind")
