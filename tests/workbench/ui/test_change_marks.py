"""Changes on a time line: a rule and a glyph where they were, in the zone's wall clock; a fence is left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import plotly.graph_objects as go

from data.records import ChangeEvent
from workbench.ui import change_marks, charts, theme

AT = datetime(2026, 3, 10, 23, 30, tzinfo=UTC)


def event(kind: str = "deploy", hours: float = 0, **facts: Any) -> ChangeEvent:
    known = {"entity": "service:cart", "title": "cart 1.2", "domain": "services", "tenant": "t"}
    at = AT + timedelta(hours=hours)
    return ChangeEvent(kind=kind, at=at, source="hand", external_key="1", **known | facts)


def drawn(events: list[ChangeEvent], zone: str = "UTC") -> go.Figure:
    chart = charts.figure(theme.LIGHT)
    chart.add_scatter(x=["2026-03-10", "2026-03-12"], y=[1, 2])
    return change_marks.mark(chart, events, theme.LIGHT, zone)


def test_each_change_has_a_rule_and_a_glyph_of_its_kind() -> None:
    chart = drawn([event(), event("config", 1)])
    trace = chart.data[1]
    assert list(trace.x) == ["2026-03-10 23:30:00", "2026-03-11 00:30:00"]
    assert list(trace.marker.symbol) == ["triangle-down", "diamond"]
    assert [shape.x0 for shape in chart.layout.shapes] == list(trace.x)
    assert trace.yaxis == "y9" and chart.layout.yaxis9.overlaying == "y"
    assert trace.customdata[0] == "▼ deploy · cart · cart 1.2 · 10 Mar 2026, 23:30 UTC"


def test_a_chart_in_a_zone_has_them_at_its_wall_clock() -> None:
    (moment,) = drawn([event()], "Asia/Tokyo").data[1].x
    assert moment == "2026-03-11 08:30:00"


def test_many_changes_are_glyphs_without_a_fence_and_none_leave_the_chart_alone() -> None:
    assert len(drawn([]).data) == 1 and not drawn([]).layout.shapes
    chart = drawn([event(hours=hour) for hour in range(change_marks.MOST_RULES + 1)])
    assert not chart.layout.shapes and len(chart.data[1].x) == change_marks.MOST_RULES + 1


def test_the_caption_counts_by_kind() -> None:
    told = change_marks.caption([event("config"), event(), event(), event("maintenance")])
    assert told == "▼ 2 deploys · ◆ 1 configuration change · ● 1 maintenance"
    assert change_marks.caption([]) == ""


def test_every_kind_of_change_has_a_mark() -> None:
    from core.domain import CHANGE_KINDS

    assert set(change_marks.SYMBOLS) == set(CHANGE_KINDS)
    assert len(set(change_marks.SYMBOLS.values())) == len(CHANGE_KINDS)


def test_the_lead_before_lanes_is_at_least_as_long_as_they_last(monkeypatch: Any) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        change_marks, "near", lambda domain, entities, labels, zone: asked.append(labels) or []
    )

    class Lane:
        def __init__(self, start: str, end: str) -> None:
            self.start, self.end = np.datetime64(start), np.datetime64(end)

    change_marks.before("ads", (), [Lane("2026-03-10", "2026-03-15")], "UTC")  # type: ignore[list-item]
    change_marks.before(
        "services",
        (),
        [Lane("2026-03-10T10:10", "2026-03-10T10:20")],  # type: ignore[list-item]
        "UTC",
    )
    days, minutes = ([str(label) for label in labels] for labels in asked)
    assert days[0].startswith("2026-03-05") and days[-1].startswith("2026-03-15")
    assert minutes[0].startswith("2026-03-10T07:10")
