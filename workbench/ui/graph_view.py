"""The hierarchy from cause (left) to effect (right), and the order in which its nodes broke."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go

from workbench.services.views import Lane, Node
from workbench.ui import theme, words
from workbench.ui.charts import figure, ticks
from workbench.ui.theme import Palette

MOST_NODES = 60
NAME_LENGTH = 24


def hierarchy(
    nodes: Sequence[Node],
    edges: Sequence[tuple[str, str]],
    path: Sequence[str],
    colours: Palette,
) -> go.Figure:
    """Nodes as severity glyph, name, number and onset order; the path in primary, the rest in grey.

    Above the path stand its hops from the alert; the legend says each glyph in a word.
    """
    place = {node.id: node for node in nodes}
    rows = max((_crowd(nodes)), default=1)
    chart = figure(colours, max(280, 34 * rows + 40), hovermode="closest", dragmode="pan")
    on_path = set(pairwise(path))
    for chosen, ink, width in (
        (False, theme.tint(colours.muted, 0.35), 1.0),
        (True, colours.primary, 2.5),
    ):
        xs, ys = _links([edge for edge in edges if (edge in on_path) is chosen], place)
        chart.add_scatter(
            x=xs,
            y=ys,
            mode="lines",
            line={"color": ink, "width": width, "shape": "spline", "smoothing": 0.6},
            hoverinfo="skip",
            showlegend=False,
        )
    members = set(path)
    chart.add_scatter(
        x=[node.x for node in nodes],
        y=[-node.y for node in nodes],
        mode="markers+text",
        marker={
            "symbol": "circle",
            "size": [20 if node.severity else 12 for node in nodes],
            "color": colours.background,
            "line": {
                "color": [
                    colours.primary if node.id in members else theme.tint(colours.muted, 0.6)
                    for node in nodes
                ],
                "width": [3 if node.id in members else 1 for node in nodes],
            },
        },
        text=[theme.mark(node.severity).glyph for node in nodes],
        textfont={"color": [colours.severity(node.severity) for node in nodes], "size": 10},
        textposition="middle center",
        customdata=[[story(node)] for node in nodes],
        ids=[node.id for node in nodes],
        hovertemplate="%{customdata[0]}<extra></extra>",
        showlegend=False,
    )
    for node in nodes:
        chart.add_annotation(
            x=node.x,
            y=-node.y,
            text=_label(node, node.id in members),
            showarrow=False,
            xanchor="left",
            align="left",
            xshift=14,
            bgcolor=theme.tint(colours.background, 0.75),
            borderpad=0,
            font={"size": 11, "color": colours.ink if node.severity else colours.muted},
        )
    for severity in theme.SEVERITIES:
        if any(node.severity == severity for node in nodes):
            chart.add_scatter(
                x=[None],
                y=[None],
                mode="markers",
                marker={"color": colours.severity(severity), "size": 8},
                name=theme.severity_words(severity),
                showlegend=True,
            )
    chart.update_layout(
        showlegend=True, legend={"font": {"size": 11}, "y": -0.02, "yanchor": "top"}
    )
    widest = max((node.x for node in nodes), default=1.0)
    hops = {place[node].x: len(path) - 1 - step for step, node in enumerate(path) if node in place}
    chart.update_xaxes(
        range=[-0.25, widest + 0.85],
        side="top",
        showgrid=False,
        showline=False,
        zeroline=False,
        ticks="",
        tickvals=list(hops),
        ticktext=[f"{words.count(many, 'hop')} up" if many else "alert" for many in hops.values()],
    )
    chart.update_yaxes(visible=False)
    return chart


def _crowd(nodes: Sequence[Node]) -> list[int]:
    _, counts = np.unique([round(node.x, 3) for node in nodes], return_counts=True)
    return [int(count) for count in counts]


def _links(
    edges: Sequence[tuple[str, str]], place: dict[str, Node]
) -> tuple[list[float | None], list[float | None]]:
    xs: list[float | None] = []
    ys: list[float | None] = []
    for source, target in edges:
        start, end = place[source], place[target]
        middle = (start.x + end.x) / 2
        xs += [start.x, middle, end.x, None]
        ys += [-start.y, -(start.y + end.y) / 2, -end.y, None]
    return xs, ys


def _label(node: Node, chosen: bool) -> str:
    if node.hidden:
        return f"+{words.number(node.hidden)} more<br>{words.level(node.level)}"
    name = words.short(node.name, NAME_LENGTH)
    order = f" · {words.ordinal(node.order)}" if node.order else ""
    shown = f"<b>{name}</b>" if chosen else name
    return f"{shown}<br>{words.level(node.level)} {node.number}{order}"


def story(node: Node) -> str:
    """What hovering over a node tells."""
    lines = [
        f"<b>{node.name}</b>",
        f"{words.level(node.level)} · {theme.mark(node.severity).word}",
    ]
    if node.number:
        lines.append(node.number)
    if node.onset is not None:
        lines.append(f"onset {words.period(node.onset)} ({words.ordinal(node.order)})")
    return "<br>".join(lines)


def lanes(rows: Sequence[Lane], path: Sequence[str], colours: Palette) -> go.Figure:
    """When each node was anomalous, earliest on top: the order in which it spread."""
    chart = figure(colours, 26 * len(rows) + 48)
    starts = np.array([row.start for row in rows])
    # a node anomalous in one period alone was so from its beginning to its end
    period = np.timedelta64(1, np.datetime_data(starts.dtype)[0])
    names = [
        f"{theme.mark(row.severity).glyph} {words.short(row.name)} · {words.level(row.level)}"
        for row in rows
    ]
    chart.add_bar(
        y=list(range(len(rows))),
        base=[str(row.start) for row in rows],
        x=[float((row.end - row.start + period) / np.timedelta64(1, "ms")) for row in rows],
        orientation="h",
        marker={
            "color": [
                colours.primary if row.id in path else theme.tint(colours.muted, 0.45)
                for row in rows
            ]
        },
        customdata=[
            [name, words.period(row.start), words.period(row.end)]
            for name, row in zip(names, rows, strict=True)
        ],
        hovertemplate="%{customdata[0]}: %{customdata[1]} – %{customdata[2]}<extra></extra>",
        width=0.55,
    )
    chart.update_xaxes(type="date", tickformat=ticks(starts), showgrid=True)
    chart.update_yaxes(
        autorange="reversed",
        tickvals=list(range(len(rows))),
        ticktext=names,
        tickfont={"color": colours.ink},
        showgrid=False,
    )
    return chart
