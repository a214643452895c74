from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from workbench.services.views import Node
from workbench.ui.theme import LIGHT
from workbench.ui.web_chart import FLAT, web

NODES = (
    Node("service:pay", "pay", "service", 0.0, -0.5, "critical", "Errors × 12"),
    Node("service:quiet", "quiet", "service", 0.0, 0.5),
    Node("service:a-shop-with-a-very-long-name", "a-shop-with-a-very-long-name", "service", 1.0, 0),
    Node("pod/+1200", "+1200", "pod", 0.0, 1.5, hidden=1200),
    Node("region/+1", "+1", "region", 1.0, 1.5, hidden=1),
)
LONG = "service:a-shop-with-a-very-long-name"
EDGES = (("service:pay", LONG), ("service:quiet", LONG))


def drawn() -> go.Figure:
    return web(NODES, EDGES, ("service:pay", LONG), LIGHT)


def texts(chart: go.Figure) -> list[str]:
    return [str(note.text) for note in chart.layout.annotations]


def test_what_is_odd_or_on_the_path_is_a_card_and_the_rest_is_told_on_hover() -> None:
    chart = drawn()
    pay, shop, rest = texts(chart)
    assert pay.startswith(f"<span style='color:{LIGHT.critical}'>▲▲</span> <b>pay</b><br>")
    assert "Errors × 12" in pay and "…" in shop
    assert chart.layout.annotations[1].hovertext.startswith("<b>a-shop-with-a-very-long-name</b>")
    assert rest == "Not drawn: 1,200 pods, 1 region"
    (dots,) = (trace for trace in chart.data if trace.mode == "markers")
    assert dots.ids == ("service:quiet",) and "<b>quiet</b>" in dots.customdata[0][0]


def test_links_bend_only_between_the_cards_and_the_path_is_in_the_accent() -> None:
    grey, accent = (trace for trace in drawn().data if trace.mode == "lines")
    assert accent.line.color == LIGHT.primary and len(grey.x) == len(accent.x)

    def bent(trace: Any) -> list[float]:
        ends = (trace.y[0], trace.y[-2])
        return [x for x, y in zip(trace.x, trace.y, strict=True) if y not in (None, *ends)]

    assert all(FLAT < x < 1 - FLAT for x in bent(accent)) and bent(accent)


def test_columns_are_headed_by_hops() -> None:
    axis = drawn().layout.xaxis
    assert tuple(axis.ticktext) == ("1 hop up", "felt here") and tuple(axis.tickvals) == (0.0, 1.0)


def test_one_node_alone_is_drawn() -> None:
    chart = web(NODES[:1], (), ("service:pay",), LIGHT)
    assert len(texts(chart)) == 1
