"""The part of a web of calls that matters to one alarm: cards in columns by hops, links only between the columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go

from workbench.services.views import Node
from workbench.ui import theme, words
from workbench.ui.charts import figure
from workbench.ui.graph_view import story
from workbench.ui.theme import Palette

ROW, EDGE = 46, 34
"""Pixels of a row, and of what stands above the first."""
ACROSS, WIDEST, LETTER, PAD = 680, 150, 5.8, 4
"""Pixels that the chart has at least, of the widest card, of a letter, and between a card's text and its border."""
FLAT = 0.42
"""Share of the way between two columns on which a link is straight: the card's half."""


def web(
    nodes: Sequence[Node],
    edges: Sequence[tuple[str, str]],
    path: Sequence[str],
    colours: Palette,
) -> go.Figure:
    """What is anomalous or on the path as a card, the rest as a dot with its story on hover; the path in primary.

    Whatever is not drawn at all stands in a line below, counted by level.
    """
    drawn = [node for node in nodes if not node.hidden]
    place = {node.id: node for node in drawn}
    members, on_path = set(path), set(pairwise(path))
    high, low = max(node.y for node in drawn), min(node.y for node in drawn)
    widest = max(node.x for node in drawn)
    chart = figure(colours, int(ROW * (high - low + 1) + 2 * EDGE), hovermode="closest")
    for chosen, ink, width in (
        (False, theme.tint(colours.muted, 0.35), 1.0),
        (True, colours.primary, 2.5),
    ):
        xs, ys = _links([edge for edge in edges if (edge in on_path) is chosen], place)
        line = {"color": ink, "width": width}
        chart.add_scatter(x=xs, y=ys, mode="lines", line=line, hoverinfo="skip")
    told = [node for node in drawn if node.severity or node.id in members]
    dots = [node for node in drawn if node not in told]
    chart.add_scatter(
        x=[node.x for node in dots],
        y=[-node.y for node in dots],
        mode="markers",
        marker={
            "size": 11,
            "color": colours.background,
            "line": {"color": theme.tint(colours.muted, 0.6), "width": 1.5},
        },
        ids=[node.id for node in dots],
        customdata=[[story(node)] for node in dots],
        hovertemplate="%{customdata[0]}<extra></extra>",
    )
    width = min(WIDEST, 2 * FLAT * ACROSS / (widest + 1) - 2 * PAD)
    for node in told:
        chart.add_annotation(
            x=node.x,
            y=-node.y,
            text=_card(node, colours, int(width / LETTER)),
            hovertext=story(node),
            showarrow=False,
            align="left",
            width=width,
            bgcolor=colours.background,
            bordercolor=colours.primary if node.id in members else colours.border,
            borderwidth=2 if node.id in members else 1,
            borderpad=PAD,
            font={"size": 11, "color": colours.ink},
        )
    rest = [
        words.count(node.hidden, words.inline(words.level(node.level)))
        for node in nodes
        if node.hidden
    ]
    if rest:
        chart.add_annotation(
            text=f"Not drawn: {words.listed(rest, len(rest))}",
            x=0,
            y=0,
            xref="paper",
            yref="paper",
            xanchor="left",
            yanchor="bottom",
            showarrow=False,
            font={"size": 11, "color": colours.muted},
        )
    columns = sorted({node.x for node in drawn})
    alarm = place[path[-1]].x if path[-1] in place else widest
    chart.update_xaxes(
        range=[-0.5, widest + 0.5],
        side="top",
        showgrid=False,
        showline=False,
        zeroline=False,
        fixedrange=True,
        ticks="",
        tickvals=columns,
        ticktext=[_heading(round(alarm - x)) for x in columns],
    )
    chart.update_yaxes(visible=False, fixedrange=True, range=[-high - 0.5 - EDGE / ROW, -low + 0.5])
    return chart


def _heading(hops: int) -> str:
    if hops == 0:
        return "felt here"
    return f"{words.count(hops, 'hop')} up" if hops > 0 else "beyond"


def _links(
    edges: Sequence[tuple[str, str]], place: dict[str, Node]
) -> tuple[list[float | None], list[float | None]]:
    """Flat beside both cards, and an S in the gap between them."""
    bend = np.linspace(0.0, 1.0, 17)
    along = np.concatenate([[0.0], FLAT + (1.0 - 2.0 * FLAT) * bend, [1.0]])
    up = np.concatenate([[0.0], bend**2 * (3.0 - 2.0 * bend), [1.0]])
    xs: list[float | None] = []
    ys: list[float | None] = []
    for source, target in edges:
        start, end = place[source], place[target]
        xs += [*(start.x + (end.x - start.x) * along).tolist(), None]
        ys += [*(-start.y - (end.y - start.y) * up).tolist(), None]
    return xs, ys


def _card(node: Node, colours: Palette, letters: int) -> str:
    mark = theme.mark(node.severity)
    glyph = f"<span style='color:{colours.severity(node.severity)}'>{mark.glyph}</span> "
    name = words.short(node.name, letters - len(mark.glyph) - 2)
    number = words.short(node.number or words.level(node.level), letters)
    below = f"<span style='color:{colours.muted}'>{number}</span>"
    return f"{glyph if node.severity else ''}<b>{name}</b><br>{below}"
