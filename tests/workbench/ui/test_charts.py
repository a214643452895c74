"""Figures say what the numbers say: bands, anomalies, days still arriving, order and path."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from data.records import Alert
from tests.findings import new_alert
from workbench.services.views import (
    Arrivals,
    Candidate,
    Contributions,
    Curve,
    Heat,
    Lane,
    Node,
    Strip,
)
from workbench.ui import charts, graph_view, tables, theme
from workbench.ui.theme import DARK, LIGHT

DAYS = np.datetime64("2026-02-01") + np.arange(40).astype("timedelta64[D]")


def curve(**changes: Any) -> Curve:
    flat = np.full(40, 100.0)
    given: dict[str, Any] = {
        "entity": "campaign:1",
        "name": "Brand",
        "metric": "sales",
        "label": "Sales",
        "unit": "money",
        "currency": "USD",
        "bad": -1,
        "days": DAYS,
        "observed": flat.copy(),
        "expected": flat.copy(),
        "spread": np.full(40, 10.0),
        "settled": np.ones(40),
    }
    return Curve(**given | changes)


def named(chart: go.Figure, name: str) -> list[Any]:
    return [trace for trace in chart.data if trace.name == name]


def test_the_band_holds_95_and_80_percent_and_never_goes_below_zero() -> None:
    chart = charts.series(curve(spread=np.full(40, 60.0)), LIGHT)
    wide, narrow = (trace for trace in chart.data if trace.fill == "toself")
    assert max(wide.y) == pytest.approx(100 + 1.96 * 60) and min(wide.y) == 0.0
    assert max(narrow.y) == pytest.approx(100 + 1.2816 * 60)


def test_days_still_arriving_are_drawn_lighter_and_told() -> None:
    settled = np.ones(40)
    settled[-4:] = (0.97, 0.9, 0.8, 0.6)
    chart = charts.series(curve(settled=settled), LIGHT)
    known, arriving = named(chart, "Observed")
    assert np.isfinite(known.y).sum() == 36
    # one settled day joins the two lines
    assert np.isfinite(arriving.y).sum() == 5
    assert "still arriving" in arriving.hovertemplate
    assert arriving.line.color != known.line.color
    assert [note.text for note in chart.layout.annotations] == ["still arriving"]


def test_an_episode_of_minutes_is_one_thick_line_with_a_glyph_where_it_begins() -> None:
    minutes = np.datetime64("2026-03-03T20:00") + np.arange(40).astype("timedelta64[m]")
    odd = minutes[[10, 11, 12, 20, 21]]
    chart = charts.series(curve(days=minutes), LIGHT, severity="critical", anomalous=odd)
    (thick,) = (trace for trace in chart.data if trace.line.width == 3.5)
    assert thick.line.color == LIGHT.critical
    assert list(minutes[np.isfinite(thick.y)]) == list(odd)
    (marks,) = (trace for trace in chart.data if trace.mode == "markers")
    assert list(marks.x) == [odd[0], odd[3]] and marks.marker.symbol == "triangle-up-dot"


def candidate(**terms: float) -> Candidate:
    at = datetime(2026, 3, 3, tzinfo=UTC)
    return Candidate(
        "service:pay", "pay", "service", "unknown", "Unknown", at, at, (), 0, terms,
        sum(terms.values()), 0.5, (),
    )  # fmt: skip


def test_terms_that_say_nothing_of_anybody_are_left_out_and_none_is_minus_nothing() -> None:
    rows = [candidate(symptom=2.0, starving=0.01, rivals=-2.04), candidate(symptom=-0.01)]
    table = tables.candidates(rows)
    assert list(table.columns) == [
        "Candidate", "Cause", "Confidence", "Total", "Symptom", "Rivals", "Level", "Hops", "Onset",
    ]  # fmt: skip
    assert list(table["Total"]) == [0.0, 0.0] and "-" not in str(table["Symptom"][1])
    help_of = tables.candidate_columns(rows)
    assert help_of["Rivals"]["help"] == "Taken off because others explain the alert too"
    assert set(help_of) == {"Candidate", "Cause", "Confidence", "Total", "Symptom", "Rivals"}


def test_a_settled_series_has_one_line() -> None:
    assert len(named(charts.series(curve(), LIGHT), "Observed")) == 1


def test_anomalies_carry_the_severity_as_a_shape_and_the_onset_its_day() -> None:
    observed = np.full(40, 100.0)
    observed[36:] = 20.0
    chart = charts.series(
        curve(observed=observed), DARK, severity="high", anomalous=DAYS[36:], onset=DAYS[36]
    )
    (marks,) = (trace for trace in chart.data if trace.mode == "markers")
    assert marks.marker.symbol == "triangle-up" and marks.marker.color == DARK.high
    assert list(marks.y) == [20.0] * 4
    assert [note.text for note in chart.layout.annotations] == ["onset 9 Mar"]
    assert len(set(charts.SYMBOLS.values())) == len(theme.SEVERITIES)


def test_hover_tells_value_unit_and_difference() -> None:
    observed = np.full(40, 100.0)
    observed[0] = 39.0
    (line,) = named(charts.series(curve(observed=observed), LIGHT), "Observed")
    assert line.customdata[0] == "$39.00 (−61 %)"


def test_counts_and_money_start_at_zero_ratios_need_not() -> None:
    assert charts.series(curve(), LIGHT).layout.yaxis.rangemode == "tozero"
    ratio = charts.series(curve(unit="share", currency=""), LIGHT)
    assert ratio.layout.yaxis.rangemode is None and ratio.layout.yaxis.tickformat == ".1%"


def test_missing_days_leave_a_gap_and_an_empty_series_draws() -> None:
    nothing = np.full(40, np.nan)
    chart = charts.series(curve(observed=nothing, expected=nothing, spread=nothing), LIGHT)
    (line,) = named(chart, "Observed")
    assert np.isnan(line.y).all() and line.customdata[0] == "– (–)"


def test_zoom_survives_reruns() -> None:
    assert charts.series(curve(), LIGHT).layout.uirevision == "kept"


def test_strips_mark_the_days_below_alpha() -> None:
    p = np.full(40, 0.5)
    p[-1] = 0.0005
    (heat,) = charts.strips([Strip("isolation-forest", DAYS, p)], 0.001, LIGHT).data
    assert list(heat.text[0]).count("◆") == 1 and heat.text[0][-1] == "◆"
    assert heat.z[0][-1] == pytest.approx(3.30103)


def test_the_heatmap_is_white_at_expected() -> None:
    view = Heat(DAYS, ("ctr",), ("CTR",), np.zeros((1, 40)))
    (heat,) = charts.heatmap(view, LIGHT).data
    assert heat.zmid == 0 and heat.zmin == -heat.zmax
    assert [tuple(stop) for stop in heat.colorscale] == [
        (0.0, LIGHT.low),
        (0.5, LIGHT.background),
        (1.0, LIGHT.high),
    ]


def test_the_same_weekday_of_four_weeks_stands_beside_the_day() -> None:
    observed = np.arange(40.0)
    bars, ticks = charts.weekdays(curve(observed=observed), DAYS[39], LIGHT, "high").data
    assert list(bars.y) == [11.0, 18.0, 25.0, 32.0, 39.0]
    assert bars.marker.color[-1] == LIGHT.high and bars.marker.color[0] != LIGHT.high
    assert list(ticks.y) == [100.0] * 5


def test_contributions_are_shares_of_the_whole_biggest_on_top() -> None:
    view = Contributions(
        ("CTR", "CPC"), np.array([1.0, 3.0]), {"forest": np.array([2.0, 2.0])}, gap=0.0
    )
    chart = charts.contributions(view, LIGHT)
    (total,) = named(chart, "Total")
    assert list(total.y) == ["CTR", "CPC"] and list(total.x) == [0.25, 0.75]
    (part,) = named(chart, "forest")
    assert list(part.x) == [0.5, 0.5]


def test_contributions_of_nothing_draw() -> None:
    view = Contributions(("CTR",), np.array([0.0]), {}, gap=0.0)
    assert list(named(charts.contributions(view, LIGHT), "Total")[0].x) == [0.0]


def test_siblings_show_this_entity_in_the_accent() -> None:
    chart = charts.siblings(
        [curve(), curve(entity="campaign:2", name="Other")], LIGHT, "campaign:1"
    )
    lines = [trace for trace in chart.data if trace.line.width == 1.5]
    assert [line.line.color for line in lines] == [LIGHT.primary, LIGHT.muted]


def test_the_timeline_stacks_severities_tells_levels_and_keeps_the_chosen_day_bright() -> None:
    days = [date(2026, 3, 1), date(2026, 3, 2)]
    counts = {
        "critical": ({"campaign": 1}, {"campaign": 2}),
        "low": ({}, {"asin": 1, "keyword": 2}),
    }
    chart = charts.timeline(days, counts, LIGHT, "2026-03-02")
    assert sum(sum(bar.y) for bar in chart.data) == 6
    assert named(chart, theme.severity_words("low"))[0].customdata[1] == "ASIN 1, Keyword 2"
    rows = tables.timeline(days, counts)
    assert rows.values.tolist() == [
        [days[1], "ASIN", 0, 1],
        [days[1], "Campaign", 2, 0],
        [days[1], "Keyword", 0, 2],
        [days[0], "Campaign", 1, 0],
    ]
    faint, bright = chart.data[-1].marker.color
    assert faint.endswith("0.3)") and bright.endswith("1)")


def test_an_alert_broke_on_its_local_day() -> None:
    midnights = (datetime(2026, 3, 11, 23, tzinfo=UTC), datetime(2026, 3, 12, 8, tzinfo=UTC))
    rows = [
        Alert(**new_alert("ad:1", onset=onset).model_dump(), status="open") for onset in midnights
    ]
    assert list(tables.alert_rows(rows, midnights[1], "ads")["Onset"]) == [date(2026, 3, 12)] * 2


def test_coverage_shows_what_is_missing_by_glyph_too() -> None:
    grid = Arrivals(
        ("spCampaigns",),
        tuple(date(2026, 3, 1) + timedelta(days=day) for day in range(3)),
        (("delivered", "partial", "missing"),),
    )
    (heat,) = charts.coverage(grid, LIGHT).data
    assert list(heat.text[0]) == ["", "◆", "▲"]


def hierarchy() -> go.Figure:
    nodes = (
        Node("a", "Account", "profile", 0, 0, "medium", "−20 %", DAYS[30], 2),
        Node("c", "Campaign", "campaign", 1, 0, "critical", "−61 %", DAYS[29], 1),
        Node("a/+3", "+3", "campaign", 1, 1, hidden=3),
    )
    return graph_view.hierarchy(nodes, (("a", "c"), ("a", "a/+3")), ("a", "c"), LIGHT)


def test_the_hierarchy_tells_severity_number_and_order_of_every_node() -> None:
    chart = hierarchy()
    labels = [note.text for note in chart.layout.annotations]
    assert labels == [
        "<b>Account</b><br>Profile −20 % · 2nd",
        "<b>Campaign</b><br>Campaign −61 % · 1st",
        "+3 more<br>Campaign",
    ]
    (dots,) = (trace for trace in chart.data if trace.mode == "markers+text")
    assert list(dots.text) == ["◆", "▲▲", "·"]
    assert "onset 2 Mar (1st)" in dots.customdata[1][0]


def test_the_hierarchy_says_each_severity_in_a_word_and_the_hops_of_the_path() -> None:
    chart = hierarchy()
    assert [trace.name for trace in chart.data if trace.showlegend] == ["▲▲ Critical", "◆ Medium"]
    assert dict(zip(chart.layout.xaxis.tickvals, chart.layout.xaxis.ticktext, strict=True)) == {
        0: "1 hop up",
        1: "alert",
    }


def test_the_path_is_drawn_in_the_accent_the_rest_in_grey() -> None:
    rest, path = (trace for trace in hierarchy().data if trace.mode == "lines")
    assert path.line.color == LIGHT.primary and path.x[0] == 0 and path.x[2] == 1
    assert rest.line.color != LIGHT.primary


def test_lanes_last_from_the_first_to_the_end_of_the_last_day() -> None:
    rows = [Lane("c", "Campaign", "campaign", "critical", DAYS[29], DAYS[31])]
    (bar,) = graph_view.lanes(rows, ("c",), LIGHT).data
    assert list(bar.base) == ["2026-03-02"] and list(bar.x) == [3 * 86_400_000.0]
    assert bar.marker.color == (LIGHT.primary,)


def test_an_axis_is_written_in_its_unit() -> None:
    assert charts.axis("s", np.array([0.2])) == {"tickformat": "~s", "ticksuffix": "s"}
    assert charts.axis("share", np.array([0.2])) == {"tickformat": ".1%"}
    assert charts.axis("money", np.array([0.5, np.nan]), "EUR") == {
        "tickformat": "~g",
        "tickprefix": "€",
    }
    assert charts.axis("count", np.array([12_000.0]))["tickformat"] == "~s"
    assert charts.axis("percent", np.array([np.nan])) == {"tickformat": "~g", "ticksuffix": " %"}
    assert charts.axis("cores", np.array([5.0, 15.0])) == {
        "tickformat": "~g",
        "ticksuffix": " cores",
    }
    for unit in ("", "count", "ratio"):
        assert charts.axis(unit, np.array([3.0])) == {"tickformat": "~g"}


def test_a_unit_with_a_prefix_is_drawn_without_it_and_told_as_before() -> None:
    chart = charts.series(curve(unit="ms", observed=np.full(40, 1500.0)), LIGHT)
    assert chart.layout.yaxis.ticksuffix == "s"  # 1.5s, never 1.5k ms
    (observed,) = named(chart, "Observed")
    assert observed.y[0] == pytest.approx(1.5) and "1.50 s" in observed.customdata[0]
    assert charts.drawn("MB") == (1e6, "bytes") and charts.drawn("cores") == (1.0, "cores")
