"""Time lines of incidents: a bar for each service hit, as long as it lasted; the curve of a metric around it."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.findings import NOW
from workbench.services.snapshots import Look, Snapshot
from workbench.ui import incident_charts, incident_view, incidents_view, theme, words
from workbench.ui.incident_charts import Act

HOUR = timedelta(hours=1)


def row(number: int = 1, hours_ago: float = 10, lasted: float | None = 1, **facts: Any) -> Any:
    onset = NOW - hours_ago * HOUR
    known = {
        "id": number,
        "title": f"Incident {number}",
        "severity": "high",
        "services": ["service:cart"],
        "root_name": "",
        "judged_as": "",
        "onset": onset,
        "ended_at": None if lasted is None else onset + lasted * HOUR,
        "resolved_at": None,
    }
    return SimpleNamespace(**known | facts)


def test_bars_stand_in_the_row_of_each_service_and_are_as_long_as_the_incident() -> None:
    rows = [
        row(1, services=["cart", "pay"]),
        row(2, 5, 2, severity="critical", services=["pay"]),
        row(3, 1, None, services=[], root_name="pod:cart-1"),
    ]
    chart = incident_charts.lanes(rows, [], NOW, theme.LIGHT)
    names = list(chart.layout.yaxis.ticktext)
    assert names == ["pay", "cart", "cart-1"]  # the most often hit first
    high, critical = chart.data
    assert [names[place] for place in high.y] == ["cart", "pay", "cart-1"]
    assert np.array(high.x) / 3.6e6 == pytest.approx([1, 1, 1])  # the last goes on until now
    assert list(critical.base) == ["2026-11-20 01:00:00"] and critical.x[0] == 2 * 3.6e6
    assert [data[1] for data in critical.customdata] == [2]
    assert set(high.text) == {"▲"} and set(critical.text) == {"▲▲"}


def test_many_services_share_a_last_row_and_short_incidents_keep_a_sliver() -> None:
    rows = [row(n, 10 + n, 0.0001, services=[f"s{n}"]) for n in range(12)] + [row(99, 500)]
    chart = incident_charts.lanes(rows, [], NOW, theme.LIGHT)
    assert len(chart.layout.yaxis.ticktext) == incident_charts.MOST_ROWS
    assert chart.layout.yaxis.ticktext[-1] == incident_charts.ELSEWHERE
    assert min(chart.data[0].x) == pytest.approx(490 * 1.05 * 3.6e6 / 160, rel=0.01)


def test_what_goes_on_is_drawn_up_to_now_unless_all_lies_far_back() -> None:
    assert incident_charts.horizon([row(1, 10), row(2, 2, None)], NOW) == NOW
    old = [row(1, 1010, 10), row(2, 1005, None)]
    assert incident_charts.horizon(old, NOW) == NOW - 999 * HOUR  # an hour after the last word


def test_one_incident_stands_above_its_alerts_and_what_people_did() -> None:
    alert = SimpleNamespace(
        entity="pod:a",
        entity_name="",
        severity="low",
        onset=NOW - 9 * HOUR,
        last_seen=NOW - 8 * HOUR,
        sentence="x",
    )
    chart = incident_charts.around(
        row(), [alert], [Act(NOW - 7 * HOUR, "Resolved by ana")], [], NOW, theme.LIGHT
    )
    assert list(chart.layout.yaxis.ticktext) == ["Incident", "pod:a", "People"]
    bars, people = chart.data
    assert np.array(bars.x) / 3.6e6 == pytest.approx([1, 1])
    assert list(people.y) == [2] and "Resolved by ana" in people.customdata[0]


def test_what_people_did_much_later_does_not_squeeze_the_time_line() -> None:
    acts = [Act(NOW + 200 * 24 * HOUR, "Labelled by ana")]
    chart = incident_charts.around(row(), [], acts, [], NOW + 200 * 24 * HOUR, theme.LIGHT)
    start, end = (np.datetime64(moment) for moment in chart.layout.xaxis.range)
    assert np.timedelta64(6, "h") < end - start < np.timedelta64(8, "h")


def test_what_still_goes_on_is_drawn_to_its_end() -> None:
    chart = incident_charts.around(row(1, 100, None), [], [], [], NOW, theme.LIGHT)
    end = np.datetime64(chart.layout.xaxis.range[1])
    assert end >= np.datetime64(NOW.replace(tzinfo=None))


def look() -> Look:
    times = (
        np.datetime64("2026-11-20T00:00:00") + np.arange(180) * np.timedelta64(60, "s")
    ).astype("datetime64[s]")
    start = NOW - 6 * HOUR
    windows = {
        name: (start + place * HOUR, start + (place + 1) * HOUR)
        for place, name in enumerate(("before", "during", "after"))
    }
    one = Snapshot("service:cart", "cart", "latency", "Latency", "s", 1, 0.1, 1.5, np.nan, 30.0)
    curve = np.r_[np.full(60, 0.1), np.full(60, 1.5), np.full(60, np.nan)]
    return Look(windows, (one,), times, curve[None], True)


def test_a_curve_shades_the_incident_and_rules_each_median_that_is_known() -> None:
    seen = look()
    chart = incident_charts.curve(
        seen.rows[0], seen.times, seen.curves[0], seen, [], "high", theme.LIGHT
    )
    shade, before, during = chart.layout.shapes  # nothing was measured afterwards
    assert (shade.type, shade.x0, shade.x1) == (
        "rect",
        "2026-11-20 01:00:00",
        "2026-11-20 02:00:00",
    )
    assert (before.y0, during.y0) == (0.1, 1.5)
    assert chart.data[0].customdata[0] == "100 ms"


def test_snapshots_are_told_in_their_units_with_a_small_curve() -> None:
    seen = look()
    told = incident_view.snapshots(seen, seen.rows).to_dict("records")[0]
    curve = told.pop("Curve")
    assert told == {
        "Where": "cart",
        "Metric": "Latency",
        "Before": "100 ms",
        "During": "1.50 s",
        "After": "–",
        "Change": "× 15",
        "Shift": 30.0,
    }
    assert len(curve) == 60 and [curve[0], curve[30], curve[-1]] == pytest.approx([0.1, 1.5, 1.5])
    assert incident_view.spark(np.full(5, np.nan)) == [0.0] * 5


def test_a_label_and_a_shift_in_words() -> None:
    kept = {"label": "Memory", "name": "cart-1", "unit": "bytes", "before": 4e8, "during": 8e8}
    assert incidents_view.shift_in_words(kept) == "Memory of cart-1: 400 MB → 800 MB (+100 %)"
    assert "–" in incidents_view.shift_in_words(kept | {"before": None})
    label = {"label_status": "validated", "component": "pod:cart-1", "labelled_by": "ana"}
    told = incidents_view.label_in_words(SimpleNamespace(**label), "CPU saturation")
    assert "✓✓" in told and "**CPU saturation** at **cart-1**" in told and "by ana" in told


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (0.0123, "s", "12.3 ms"),
        (1.25e9, "bytes", "1.25 GB"),
        (0.0, "bytes", "0 B"),
        (99.95, "percent", "99.95 %"),
        (0.5, "cores", "0.500 cores"),
        (3.0, "pods", "3 pods"),
        (1500.0, "ms", "1.50 s"),
        (-2e6, "bytes/s", "−2 MB/s"),
        (float("nan"), "s", "–"),
        (12345.6, "1/s", "12,346 1/s"),
    ],
)
def test_a_measurement_has_three_digits_in_the_unit_that_suits_it(
    value: float, unit: str, told: str
) -> None:
    assert words.measure(value, unit) == words.quantity(value, unit) == told
