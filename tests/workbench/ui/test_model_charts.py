"""The pictures of the Models page hold the figures they are made from."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest

from core.evaluate.bootstrap import Interval
from core.evaluate.compare import CostCurve, McNemar, Verdict
from workbench.services.comparison import (
    AlertChange,
    ComparisonView,
    Contender,
    Counted,
    Dot,
    Figure,
    Labels,
    Slice,
)
from workbench.services.promotion import Requirement
from workbench.ui import model_charts, theme

NAN = float("nan")


def interval(value: float, half: float = 0.1, p: float = 0.5) -> Interval:
    return Interval(value, value - half, value + half, p, half / 2, 20.0)


def figure(name: str, champion: float, challenger: float, p: float = 0.5) -> Figure:
    return Figure(
        name, interval(champion), interval(challenger), interval(challenger - champion, p=p)
    )


def view(**changes: Any) -> ComparisonView:
    cuts = np.array([1e-4, 1e-3, 1e-2])
    curve = CostCurve(
        cuts, np.array([1.0, 2.0, 5.0]), np.array([1.0, 0.5, 0.0]), np.array([0.0, 0.5, 4.0])
    )
    who = Contender(
        "01kk", "ensemble", "d" * 64, datetime(2026, 3, 1, tzinfo=UTC), "ana", date(2026, 2, 28)
    )
    facts: dict[str, Any] = {
        "domain": "ads",
        "champion": who,
        "challenger": who,
        "first": date(2026, 3, 1),
        "last": date(2026, 3, 14),
        "entities": 3,
        "entity_days": 42,
        "labels": Labels(4, 2, 3),
        "figures": (figure("tail", 2.0, 1.5), figure("f1", 0.7, 0.8), figure("pr_auc", NAN, NAN)),
        "agreement": interval(0.9),
        "kappa": interval(0.5),
        "mcnemar": McNemar(1, 3, 0.6, 0.25),
        "verdict": Verdict("inconclusive", "need more data", 10, 100, 3),
        "sentence": "Not yet.",
        "slices": (),
        "dots": (),
        "cuts": {"champion": 2.0, "challenger": 3.0},
        "costs": {"champion": curve, "challenger": curve},
        "running": {},
        "incidents": Counted(0, 0),
        "causes": Counted(0, 0),
        "errors": Counted(0, 1),
        "raised": {},
        "names": {},
        "notices": (),
    }
    return ComparisonView(**{**facts, **changes})


@pytest.mark.parametrize("colours", [theme.LIGHT, theme.DARK])
def test_the_scorecard_has_two_dots_with_whiskers_in_every_row(colours: theme.Palette) -> None:
    rows = [figure("f1", 0.7, 0.8, p=0.01), figure("alarms_a_day", 20.0, 12.0)]
    chart = model_charts.scorecard(rows, colours)
    dots = [trace for trace in chart.data if trace.mode == "markers"]
    assert [trace.x[0] for trace in dots] == [0.7, 0.8, 20.0, 12.0]
    assert [trace.marker.symbol for trace in dots] == ["circle", "diamond"] * 2
    np.testing.assert_allclose([trace.error_x.array[0] for trace in dots], 0.1)
    told = [note.text.strip() for note in chart.layout.annotations]
    assert told == ["+0.10 (0.00 to +0.20)", "−8.00 (−8.10 to −7.90)"]
    # only what is more than chance is written in ink
    assert [note.font.color for note in chart.layout.annotations] == [colours.ink, colours.muted]
    assert chart.layout.xaxis.range == (-0.03, 1.03) and chart.layout.xaxis2.range[0] < 0


def test_a_figure_without_an_interval_says_so() -> None:
    few = Interval(0.8, NAN, NAN, NAN, NAN, NAN)
    (row,) = [Figure("f1", few, few, Interval(0.0, NAN, NAN, NAN, NAN, NAN))]
    chart = model_charts.scorecard([row], theme.LIGHT)
    assert chart.layout.annotations[0].text.strip() == "0.00, too few labels"
    told = model_charts.scorecard_rows([row])
    assert told["Champion"][0] == "0.80 (too few labels for an interval)"
    assert told["p"][0] == "–"


def test_figures_are_read_in_order_and_unknown_ones_left_out() -> None:
    assert [row.name for row in model_charts.read_first(view())] == ["f1", "tail"]


def test_alerts_keep_their_severity_and_number_in_the_scatter() -> None:
    dots = (
        Dot("campaign:1", "One", "campaign", 4.0, 1.0, 12, "critical"),
        Dot("keyword:2", "Two", "keyword", 0.5, 0.6),
    )
    chart = model_charts.scatter(dots, {"champion": 2.0, "challenger": float("inf")}, theme.LIGHT)
    by_name = {trace.name: trace for trace in chart.data if trace.mode == "markers"}
    assert set(by_name) == {"No alert", "Critical"}
    assert by_name["Critical"].customdata[0][0] == 12
    assert by_name["Critical"].marker.color == theme.LIGHT.critical
    # a model that raises nothing has no line
    assert len(chart.layout.shapes) == 1
    assert list(model_charts.dots(dots)["Entity"]) == ["One", "Two"]


def test_the_cost_curve_marks_the_cheapest_cut_of_the_ratio() -> None:
    told = view()
    assert model_charts.has_costs(told)
    cheap = {
        ratio: [trace.x[0] for trace in model_charts.cost(told, ratio, theme.LIGHT).data][1]
        for ratio in (0.1, 100.0)
    }
    assert cheap == {0.1: 4.0, 100.0: 2.0}
    assert "Champion: cheapest at p ≤ 0.01, 4.0 a day; now 4.0." in model_charts.best_cut(
        told, 100.0
    )


def test_without_labels_the_curve_is_of_alarms() -> None:
    nothing = np.full(3, np.nan)
    bare = CostCurve(np.array([1e-4, 1e-3, 1e-2]), np.array([1.0, 2.0, 5.0]), nothing, nothing)
    told = view(costs={"champion": bare, "challenger": bare})
    chart = model_charts.cost(told, 10.0, theme.LIGHT)
    assert not model_charts.has_costs(told)
    assert chart.layout.yaxis.title.text == "Alarms a day"
    assert list(chart.data[0].y) == [1.0, 2.0, 5.0]


def test_tables_speak_as_an_analyst_does() -> None:
    change = AlertChange(
        "severity", 3, "campaign:1", "One", "campaign", "low", "critical", 1234.6, "USD", False
    )
    assert "At risk" not in model_charts.changed([change], "services")
    assert model_charts.changed([change], "ads").iloc[0].to_dict() == {
        "Change": "Other severity",
        "What": "One",
        "Level": "Campaign",
        "Now": "● Low",
        "Then": "▲▲ Critical",
        "At risk": "$1,235",
    }
    part = Slice("type", "budget_cut", 22, 22, 20, 20, 22, 22, 20)
    row = model_charts.slices([part], "type", "ads").iloc[0].to_dict()
    assert (row["Cause"], row["Real, found"]) == ("Budget cut", "22 → 20 of 22")


def test_the_checklist_in_a_line_names_what_is_missed() -> None:
    def row(name: str, measured: float | None, passed: bool | None, labels: int = 0) -> Requirement:
        return Requirement(name, name, 0.9, False, "share", measured, passed, labels, "how")

    rows = [row("A", 0.95, True), row("B", 0.5, False), row("C", None, None, 41)]
    said = model_charts.standing(rows)
    assert said == "✓ 1 of 3 minimums met · ▲ 1 missed: B · 1 not measured"
    told = model_charts.checklist(rows)
    assert list(told["Measured"]) == ["0.95", "0.50", "not measured, 41 labels needed"]
    assert list(told[""]) == ["✓", "▲", "–"]
