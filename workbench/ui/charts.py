"""Plotly figures from view models: observed as an ink line, expected as a tinted band, severity as glyphs.

Every function is pure: data and a palette in, a figure out. Same metric, same height on every page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.services.views import (
    Arrivals,
    Bools,
    Contributions,
    Curve,
    Days,
    Floats,
    Heat,
    Strip,
)
from workbench.ui import theme, words
from workbench.ui.theme import Palette

HEIGHT = 260
SPARK = 100
BAND_80, BAND_95 = 1.2816, 1.9600
SETTLED = 0.995
DEVIATIONS = 6.0
# units that a prefix stands before, and what is written after it
PREFIXED = {"s": "s", "bytes": "B", "bytes/s": "B/s"}
ROOTS = {
    "ms": (1e-3, "s"),
    "us": (1e-6, "s"),
    "µs": (1e-6, "s"),
    "ns": (1e-9, "s"),
    "kB": (1e3, "bytes"),
    "MB": (1e6, "bytes"),
    "GB": (1e9, "bytes"),
}
"""Units that have a prefix already, by the one without: no axis may read `1k ms`."""
TIME = {
    "type": "date",
    "tickformatstops": [
        {"dtickrange": [None, 86_399_999], "value": "%H:%M\n%-d %b"},
        {"dtickrange": [86_400_000, None], "value": "%-d %b"},
    ],
}
"""An axis of moments: the time of day, and the day beneath it where it begins."""
# the glyphs of a severity as one mark on a point: two triangles would run into the next day
SYMBOLS = {
    "critical": "triangle-up-dot",
    "high": "triangle-up",
    "medium": "diamond",
    "low": "circle",
}


def figure(colours: Palette, height: int = HEIGHT, **layout: Any) -> go.Figure:
    """An empty figure in the house template; zoom survives reruns."""
    return go.Figure(
        layout={
            "template": theme.template(colours),
            "height": height,
            "uirevision": "kept",
            "showlegend": False,
            **layout,
        }
    )


ABOVE = 20
"""Pixels above a plot for the word of its onset."""


def drawn(unit: str) -> tuple[float, str]:
    """What a value in this unit is multiplied by to be drawn, and the unit that its axis is then in."""
    return ROOTS.get(unit, (1.0, unit))


def axis(unit: str, values: Floats, currency: str = "") -> dict[str, str]:
    """How the ticks of an axis in this unit are written: 200ms, 1.2GB, 35.0 %, €1.5k, 15 cores."""
    if unit in PREFIXED:
        return {"tickformat": "~s", "ticksuffix": PREFIXED[unit]}
    known = np.abs(values[np.isfinite(values)])
    # a prefix below one would turn half a euro into 500 thousandths
    plain = {"tickformat": "~s" if known.max(initial=0.0) >= 1000 else "~g"}
    around = {
        "": plain,
        "count": plain,
        "ratio": plain,
        "share": {"tickformat": ".1%"},
        "percent": plain | {"ticksuffix": " %"},
        "1/s": plain | {"ticksuffix": "/s"},
        "money": plain | {"tickprefix": words.SYMBOLS.get(currency, "")},
    }
    return around.get(unit, plain | {"ticksuffix": f" {unit}"})


def series(
    curve: Curve,
    colours: Palette,
    *,
    severity: str = "",
    anomalous: Days | None = None,
    onset: np.datetime64 | None = None,
    height: int = HEIGHT,
    axes: bool = True,
) -> go.Figure:
    """Observed against the 80 and 95 % band of what was expected, with anomalies and the onset marked."""
    scale, unit = drawn(curve.unit)
    told = ("observed", "expected", "spread")
    curve = replace(curve, unit=unit, **{name: scale * getattr(curve, name) for name in told})
    chart = figure(colours, height, hovermode="x unified")
    for width, share in ((BAND_95, 0.06), (BAND_80, 0.12)):
        _band(chart, curve, colours, width, share)
    chart.add_scatter(
        x=curve.days,
        y=curve.expected,
        mode="lines",
        line={"color": theme.tint(colours.primary, 0.55), "width": 1},
        name="Expected",
        customdata=[words.quantity(value, curve.unit, curve.currency) for value in curve.expected],
        hovertemplate="Expected %{customdata}<extra></extra>",
    )
    _observed(chart, curve, colours, told=axes)
    if anomalous is not None and len(anomalous):
        marked = np.isin(curve.days, anomalous) & np.isfinite(curve.observed)
        if not _daily(curve.days):
            marked = _emphasised(chart, curve, marked, colours.severity(severity))
        chart.add_scatter(
            x=curve.days[marked],
            y=curve.observed[marked],
            mode="markers",
            marker={
                "symbol": SYMBOLS.get(severity, "circle"),
                "size": 12,
                "color": colours.severity(severity),
                "line": {"color": colours.background, "width": 1},
            },
            hoverinfo="skip",
        )
    if onset is not None:
        chart.add_vline(x=str(onset), line={"color": colours.severity(severity), "width": 1})
        # above the plot, where no curve crosses it, and within it at the far end
        late = len(curve.days) > 1 and onset > curve.days[3 * len(curve.days) // 4]
        chart.add_annotation(
            x=str(onset),
            y=1,
            yref="paper",
            text=f"onset {words.period(onset)}",
            showarrow=False,
            xanchor="right" if late else "left",
            yanchor="bottom",
            font={"color": colours.severity(severity), "size": 11},
        )
        chart.update_layout(margin_t=ABOVE)
    if curve.unit in ("count", "money"):
        chart.update_yaxes(rangemode="tozero")
    chart.update_yaxes(axis(curve.unit, curve.observed, curve.currency))
    chart.update_xaxes(type="date", tickformat=ticks(curve.days))
    if not axes:
        chart.update_yaxes(visible=False)
        chart.update_xaxes(nticks=3)
    return chart


def _emphasised(chart: go.Figure, curve: Curve, marked: Bools, colour: str) -> Bools:
    """Each run of anomalous periods as one thick line; where the runs begin, which is where the glyph goes."""
    chart.add_scatter(
        x=curve.days,
        y=np.where(marked, curve.observed, np.nan),
        mode="lines",
        line={"color": colour, "width": 3.5},
        connectgaps=False,
        hoverinfo="skip",
    )
    first = marked.copy()
    first[1:] &= ~marked[:-1]
    return first


def ticks(labels: Days) -> str:
    """How times are written along an axis: days, or the time of day where periods are shorter."""
    return "%-d %b" if _daily(labels) else "%H:%M\n%-d %b"


def _hover(labels: Days) -> str:
    return "%-d %b" if _daily(labels) else "%-d %b, %H:%M"


def _daily(labels: Days) -> bool:
    return bool(np.datetime_data(labels.dtype)[0] == "D")


def _band(chart: go.Figure, curve: Curve, colours: Palette, width: float, share: float) -> None:
    known = np.isfinite(curve.expected) & np.isfinite(curve.spread)
    high = curve.expected[known] + width * curve.spread[known]
    low = np.maximum(curve.expected[known] - width * curve.spread[known], 0.0)
    chart.add_scatter(
        x=np.concatenate([curve.days[known], curve.days[known][::-1]]),
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        fillcolor=theme.tint(colours.primary, share),
        line={"width": 0},
        hoverinfo="skip",
        mode="lines",
    )


def _observed(chart: go.Figure, curve: Curve, colours: Palette, *, told: bool) -> None:
    """Settled days as a solid line; days whose numbers still arrive lighter, joined to it."""
    arriving = curve.settled < SETTLED
    joined = arriving | np.append(arriving[1:], False)
    difference = [
        f"{words.quantity(seen, curve.unit, curve.currency)} ({words.change(seen, expected)})"
        for seen, expected in zip(curve.observed, curve.expected, strict=True)
    ]
    for shown, ink, note in (
        (~arriving, colours.ink, ""),
        (joined, theme.tint(colours.ink, 0.45), ", still arriving"),
    ):
        if not shown.any():
            continue
        chart.add_scatter(
            x=curve.days,
            y=np.where(shown, curve.observed, np.nan),
            mode="lines+markers" if shown.sum() <= 45 else "lines",
            line={"color": ink, "width": 1.8},
            marker={"size": 3.5, "color": ink},
            name="Observed",
            customdata=difference,
            hovertemplate=f"Observed %{{customdata}}{note}<extra></extra>",
        )
    if arriving.any():
        chart.add_vrect(
            x0=str(curve.days[int(np.argmax(arriving))]),
            x1=str(curve.days[-1]),
            fillcolor=theme.tint(colours.muted, 0.07),
            line_width=0,
            layer="below",
            annotation={
                "text": "still arriving" if told else "",
                "font": {"color": colours.muted, "size": 10},
                "yanchor": "bottom",
            },
            annotation_position="bottom right",
        )


def strips(rows: Sequence[Strip], alpha: float, colours: Palette) -> go.Figure:
    """Surprise (−log₁₀ p) by detector and day; a glyph where p is below `alpha`."""
    surprise = np.stack([-np.log10(np.clip(row.p_values, 1e-6, 1.0)) for row in rows])
    chart = figure(colours, 34 * len(rows) + 44)
    chart.add_heatmap(
        x=rows[0].days,
        y=[row.detector for row in rows],
        z=surprise,
        zmin=0,
        zmax=6,
        colorscale=[[0, theme.tint(colours.muted, 0.08)], [1, colours.primary]],
        showscale=False,
        xgap=1,
        ygap=3,
        customdata=np.stack([row.p_values for row in rows]),
        hovertemplate=f"%{{y}}, %{{x|{_hover(rows[0].days)}}}: p = %{{customdata:.2g}}<extra></extra>",
        text=np.where(surprise > -np.log10(alpha), "◆", ""),
        texttemplate="%{text}",
        textfont={"color": colours.background, "size": 10},
    )
    chart.update_xaxes(type="date", tickformat=ticks(rows[0].days))
    chart.update_yaxes(
        autorange="reversed", tickfont={"color": colours.ink}, showgrid=False, dtick=1
    )
    return chart


def heatmap(heat: Heat, colours: Palette, onset: np.datetime64 | None = None) -> go.Figure:
    """Period × channel, blue below expected and orange above, in standard deviations."""
    chart = figure(colours, 30 * len(heat.labels) + 54)
    daily = np.datetime_data(heat.days.dtype)[0] == "D"
    chart.add_heatmap(
        x=heat.days,
        y=list(heat.labels),
        z=heat.deviations,
        zmid=0,
        zmin=-DEVIATIONS,
        zmax=DEVIATIONS,
        colorscale=theme.diverging(colours),
        # a gap beside each of a hundred minutes would be most of the picture
        xgap=1 if daily else 0,
        ygap=2,
        hovertemplate=f"%{{y}}, %{{x|{_hover(heat.days)}}}: %{{z:+.1f}} sd<extra></extra>",
        colorbar={
            "thickness": 8,
            "outlinewidth": 0,
            "tickvals": [-DEVIATIONS, 0, DEVIATIONS],
            "ticktext": ["below", "expected", "above"],
            "tickfont": {"color": colours.muted, "size": 10},
        },
    )
    if onset is not None:
        chart.add_vline(
            x=str(onset - np.timedelta64(12, "h")) if daily else str(onset),
            line={"color": colours.muted, "width": 1, "dash": "dot"},
        )
    chart.update_xaxes(type="date", tickformat=ticks(heat.days))
    chart.update_yaxes(
        autorange="reversed", tickfont={"color": colours.ink}, showgrid=False, dtick=1
    )
    return chart


def weekdays(curve: Curve, at: np.datetime64, colours: Palette, severity: str) -> go.Figure:
    """The day in question beside the same weekday of the four weeks before, expected as a tick."""
    wanted = at - np.arange(28, -1, -7).astype("timedelta64[D]")
    rows = [int(place[0]) for day in wanted if len(place := np.flatnonzero(curve.days == day))]
    chart = figure(colours, 180)
    labels = [words.day(curve.days[row]) for row in rows]
    values = curve.observed[rows]
    chart.add_bar(
        x=labels,
        y=values,
        marker={
            "color": [
                colours.severity(severity)
                if curve.days[row] == at
                else theme.tint(colours.muted, 0.45)
                for row in rows
            ]
        },
        text=[words.quantity(value, curve.unit, curve.currency) for value in values],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{x}: %{text}<extra></extra>",
    )
    chart.add_scatter(
        x=labels,
        y=curve.expected[rows],
        mode="markers",
        marker={
            "symbol": "line-ew",
            "size": 26,
            "line": {"width": 2, "color": colours.primary},
            "color": colours.primary,
        },
        customdata=[
            words.quantity(curve.expected[row], curve.unit, curve.currency) for row in rows
        ],
        hovertemplate="expected %{customdata}<extra></extra>",
    )
    chart.update_yaxes(rangemode="tozero", showticklabels=False, showgrid=False)
    chart.update_xaxes(type="category")
    return chart


def contributions(view: Contributions, colours: Palette) -> go.Figure:
    """Share of the score by channel: the total in primary, each detector in greys beneath it."""
    order = np.argsort(np.abs(view.total))
    labels = [view.labels[row] for row in order]
    chart = figure(
        colours,
        26 * len(labels) * (1 + len(view.parts)) // 2 + 60,
        barmode="group",
        showlegend=True,
    )
    greys = np.linspace(0.3, 0.6, max(len(view.parts), 1))
    for share, (name, values) in zip(greys, reversed(list(view.parts.items())), strict=False):
        _shares(chart, name, labels, values[order], theme.tint(colours.muted, float(share)))
    _shares(chart, "Total", labels, view.total[order], colours.primary)
    chart.update_layout(
        legend={"traceorder": "reversed", "font": {"size": 11}}, bargap=0.3, bargroupgap=0.1
    )
    chart.update_xaxes(tickformat=".0%", showgrid=True, nticks=4)
    chart.update_yaxes(tickfont={"color": colours.ink})
    return chart


def _shares(chart: go.Figure, name: str, labels: list[str], values: Floats, colour: str) -> None:
    whole = float(np.abs(values).sum()) or 1.0
    chart.add_bar(
        y=labels,
        x=values / whole,
        orientation="h",
        name=name,
        marker={"color": colour},
        hovertemplate=f"{name}: %{{y}} %{{x:.0%}} of the score<extra></extra>",
    )


def siblings(curves: Sequence[Curve], colours: Palette, focus: str) -> go.Figure:
    """The same metric of the neighbours under one parent, each on its own scale from zero."""
    columns = min(2, len(curves))
    rows = -(-len(curves) // columns)
    grid = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=[words.short(curve.name, 26) for curve in curves],
        vertical_spacing=0.36 / rows,
        horizontal_spacing=0.04,
    )
    chart = figure(colours, 72 * rows + 8)
    chart = grid.update_layout(chart.layout)
    for place, curve in enumerate(curves):
        ink = colours.primary if curve.entity == focus else colours.muted
        cell = {"row": place // columns + 1, "col": place % columns + 1}
        chart.add_scatter(
            x=curve.days,
            y=curve.expected,
            mode="lines",
            line={"color": theme.tint(colours.muted, 0.4), "width": 1},
            hoverinfo="skip",
            **cell,
        )
        chart.add_scatter(
            x=curve.days,
            y=curve.observed,
            mode="lines",
            line={"color": ink, "width": 1.5},
            customdata=[
                words.quantity(value, curve.unit, curve.currency) for value in curve.observed
            ],
            hovertemplate=f"%{{x|{_hover(curve.days)}}}: %{{customdata}}<extra></extra>",
            **cell,
        )
    chart.update_xaxes(showticklabels=False)
    chart.update_yaxes(rangemode="tozero", showticklabels=False, showgrid=False)
    chart.update_annotations(font={"size": 11, "color": colours.muted})
    chart.update_layout(margin={"t": 22})
    return chart


def timeline(
    days: Sequence[Any],
    counts: Mapping[str, Sequence[Mapping[str, int]]],
    colours: Palette,
    chosen: str = "",
) -> go.Figure:
    """Alerts by day, stacked by severity, told by level; clicking a bar is up to the page. `chosen` is kept bright."""
    chart = figure(colours, 140, barmode="stack", clickmode="event+select", dragmode=False)
    labels = [str(day) for day in days]
    for severity in reversed(theme.SEVERITIES):
        by_level = counts.get(severity, [{}] * len(labels))
        chart.add_bar(
            x=labels,
            y=[sum(levels.values()) for levels in by_level],
            customdata=[
                ", ".join(f"{words.level(name)} {many}" for name, many in levels.items())
                for levels in by_level
            ],
            name=theme.severity_words(severity),
            marker={
                "color": [
                    theme.tint(colours.severity(severity), 1.0 if chosen in ("", day) else 0.3)
                    for day in labels
                ]
            },
            hovertemplate="%{x|%a %-d %b}: %{y} "
            + theme.mark(severity).word.lower()
            + "<br>%{customdata}<extra></extra>",
        )
    chart.update_layout(
        showlegend=True, legend={"traceorder": "reversed", "font": {"size": 11}}, bargap=0.15
    )
    highest = max((sum(day) for day in zip(*(bar.y for bar in chart.data), strict=True)), default=0)
    chart.update_yaxes(rangemode="tozero", tickformat="d", dtick=1 if highest < 5 else None)
    chart.update_xaxes(type="date", tickformat="%-d %b")
    return chart


MOST_TICKS = 12
FEW = 8
"""Rows up to which each has room to breathe."""


def coverage(grid: Arrivals, colours: Palette) -> go.Figure:
    """Report × day: delivered in quiet green, partial and missing in severity colours with their glyph."""
    looks = {
        "delivered": ("", theme.tint(colours.good, 0.35)),
        "partial": ("◆", colours.medium),
        "missing": ("▲", colours.critical),
    }
    order = list(looks)
    scale = [
        [(place + edge) / 3, ink]
        for place, (_, ink) in enumerate(looks.values())
        for edge in (0, 1)
    ]
    chart = figure(colours, (26 if len(grid.reports) <= FEW else 18) * len(grid.reports) + 50)
    chart.add_heatmap(
        x=[str(day) for day in grid.days],
        y=list(grid.reports),
        z=[[order.index(state) for state in row] for row in grid.states],
        zmin=-0.5,
        zmax=2.5,
        colorscale=scale,
        showscale=False,
        xgap=1,
        ygap=3,
        customdata=[list(row) for row in grid.states],
        text=[[looks[state][0] for state in row] for row in grid.states],
        texttemplate="%{text}",
        textfont={"color": colours.background, "size": 10},
        hovertemplate="%{y}, %{x|%-d %b}: %{customdata}<extra></extra>",
    )
    every = -(-len(grid.days) // MOST_TICKS)
    chart.update_xaxes(
        type="date", tickformat="%-d %b", tickvals=[str(day) for day in grid.days[::every]]
    )
    chart.update_yaxes(
        autorange="reversed", tickfont={"color": colours.ink}, showgrid=False, dtick=1
    )
    return chart
