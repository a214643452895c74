"""The pictures and tables of the Drift page: the heatmap, two distributions, the days behind them. All pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from workbench.services.drift_report import CellReport, Part, ProposalView
from workbench.ui import theme, words
from workbench.ui.charts import figure
from workbench.ui.theme import Palette

FARTHEST = 2.0
"""Standard deviations at which the heatmap's colours end."""
REACH, BIN = 4.0, 0.25
SMALL = 4
"""Rows up to which a heatmap needs no scale of its own."""
MARKS = {"drift": "▲", "watch": "◆", "calm": "", "untested": "·"}
STATES = {"drift": "▲ Moved", "watch": "◆ Watch", "calm": "Calm", "untested": "Not tested"}
NAMES = {"score": "Anomaly score", "alert_rate": "Share of alerts"}


def name(metric: str) -> str:
    """A metric's word, also that of what the champion says."""
    return NAMES.get(metric) or words.metric(metric)


def cell(one: CellReport) -> str:
    """`Spend at campaign level`."""
    return f"{name(one.metric)} at {words.inline(words.level(one.level))} level"


def sd(value: float | None, signed: bool = True) -> str:
    """`+0.42 sd`."""
    if value is None:
        return words.MISSING
    return f"{value:{'+' if signed else ''}.2f} sd".replace("-", "−")


def span(first: date, last: date) -> str:
    """`26 Oct – 15 Nov 2026`."""
    return f"{words.day(first)} – {words.day(last, year=True)}"


# ── Heatmap ──────────────────────────────────────────────────────────────────────────────────────


def heat(part: Part, colours: Palette, chosen: str) -> go.Figure:
    """Metric × level: mean shift in standard deviations, blue lower and orange higher, a glyph where it counts."""
    metrics = list(dict.fromkeys(one.metric for one in part.cells))
    levels = list(dict.fromkeys(one.level for one in part.cells))
    place = {(one.metric, one.level): one for one in part.cells}
    rows = [[place.get((metric, level)) for level in levels] for metric in metrics]
    chart = figure(colours, 30 * len(metrics) + 64, clickmode="event+select", dragmode=False)
    across, down = [words.level(level) for level in levels], [name(metric) for metric in metrics]
    chart.add_heatmap(
        x=across,
        y=down,
        z=[
            [np.nan if one is None or one.lean is None else one.lean for one in row] for row in rows
        ],
        zmid=0,
        zmin=-FARTHEST,
        zmax=FARTHEST,
        colorscale=theme.diverging(colours),
        showscale=len(metrics) > SMALL,
        xgap=2,
        ygap=2,
        hoverinfo="skip",
        colorbar={
            "thickness": 8,
            "outlinewidth": 0,
            "tickvals": [-FARTHEST, 0, FARTHEST],
            "ticktext": ["−2 sd", "0", "+2 sd"],
            "tickfont": {"color": colours.muted, "size": 10},
        },
    )
    # a heatmap hears no click, so each cell carries a mark that does
    shown = [
        (label, words.level(one.level), one)
        for row, label in zip(rows, down, strict=True)
        for one in row
        if one is not None
    ]
    chart.add_scatter(
        x=[level for _, level, _ in shown],
        y=[metric for metric, _, _ in shown],
        mode="markers+text",
        marker={
            "symbol": "square-open",
            "size": 24,
            "color": [
                colours.primary if one.key == chosen else "rgba(0,0,0,0)" for _, _, one in shown
            ],
            "line": {"width": 2},
        },
        text=[MARKS[one.state] for _, _, one in shown],
        textfont={
            "color": [
                colours.background if abs(one.lean or 0.0) > FARTHEST / 2 else colours.ink
                for _, _, one in shown
            ],
            "size": 12,
        },
        customdata=[[one.key, told(one)] for _, _, one in shown],
        hovertemplate="%{y}, %{x}: %{customdata[1]}<extra></extra>",
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )
    chart.update_xaxes(side="top", tickfont={"color": colours.ink}, showgrid=False, type="category")
    chart.update_yaxes(
        autorange="reversed",
        tickfont={"color": colours.ink},
        showgrid=False,
        type="category",
        tickmode="array",
        tickvals=down,
    )
    return chart


def told(one: CellReport) -> str:
    """A cell in a few words."""
    if one.state == "untested":
        return "not tested, too few days are known"
    return f"{sd(one.lean)}, adjusted p {words.p_value(one.adjusted)}"


# ── One cell ─────────────────────────────────────────────────────────────────────────────────────


def distributions(one: CellReport, colours: Palette) -> go.Figure:
    """The values of the reference in grey, those of the windows in the accent, by quarters of a deviation."""
    places = -REACH + BIN * (np.arange(len(one.before)) + 0.5)
    chart = figure(colours, 180, showlegend=True, barmode="overlay", bargap=0.0)
    for shares, label, colour in (
        (one.before, "Reference", theme.tint(colours.muted, 0.45)),
        (one.after, "Windows", theme.tint(colours.primary, 0.55)),
    ):
        chart.add_bar(
            x=places,
            y=shares,
            width=BIN,
            name=label,
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate=f"{label}: %{{y:.1%}} about %{{x:+.2f}} sd<extra></extra>",
        )
    used = places[(np.asarray(one.before) > 0) | (np.asarray(one.after) > 0)]
    chart.update_xaxes(
        title="standard deviations from the same weekday of the reference; what lies beyond is at the ends",
        range=[used.min() - BIN, used.max() + BIN] if len(used) else None,
        zeroline=True,
    )
    chart.update_yaxes(tickformat=".0%", rangemode="tozero")
    return chart


def days(one: CellReport, part: Part, colours: Palette) -> go.Figure:
    """The mean of the cell's series by day; the windows tinted, with the mean of each."""
    chart = figure(colours, 200, hovermode="x unified")
    for (first, last), mean in zip(part.windows, one.by_window, strict=True):
        chart.add_vrect(
            x0=str(first),
            x1=str(last + timedelta(days=1)),
            fillcolor=theme.tint(colours.primary, 0.1),
            line={"width": 0.5, "color": colours.background},
            layer="below",
        )
        chart.add_scatter(
            x=[str(first), str(last + timedelta(days=1))],
            y=[mean, mean],
            mode="lines",
            line={"color": colours.primary, "width": 2.5},
            hoverinfo="skip",
        )
    chart.add_hline(y=0, line={"color": colours.muted, "width": 1, "dash": "dot"})
    chart.add_scatter(
        x=[str(day) for day in part.days],
        y=one.daily,
        mode="lines",
        line={"color": colours.ink, "width": 1.4},
        hovertemplate="%{y:+.2f} sd<extra></extra>",
    )
    chart.add_annotation(
        x=str(part.windows[0][0]),
        y=1,
        yref="paper",
        text=" windows",
        showarrow=False,
        xanchor="left",
        yanchor="top",
        font={"color": colours.primary, "size": 11},
    )
    chart.update_xaxes(type="date", tickformat="%-d %b")
    chart.update_yaxes(ticksuffix=" sd")
    return chart


# ── Tables ───────────────────────────────────────────────────────────────────────────────────────

NUMBER = st.column_config.NumberColumn
CELL_COLUMNS: dict[str, Any] = {
    "Shift": NUMBER("Shift (sd)", format="%+.2f", help="Mean shift in standard deviations"),
    "Wasserstein": NUMBER(format="%.2f", help="Standard deviations of the reference"),
    "KS": NUMBER(format="%.2f", help="Largest gap between the shares"),
    "PSI": NUMBER(format="%.2f", help="Population stability index, ten bins"),
}


def cells(rows: Sequence[CellReport]) -> pd.DataFrame:
    """Cells with their effects and p-values, in the order given."""

    def rounded(values: Sequence[float | None]) -> list[float | None]:
        return [None if value is None else round(value, 2) for value in values]

    return pd.DataFrame(
        {
            "What": [cell(one) for one in rows],
            "State": [STATES[one.state] for one in rows],
            "Shift": rounded([one.lean for one in rows]),
            "Wasserstein": rounded([one.wasserstein for one in rows]),
            "KS": rounded([one.ks for one in rows]),
            "PSI": rounded([one.psi for one in rows]),
            "Adjusted p": [words.p_value(one.adjusted) for one in rows],
            "Smallest found": [sd(one.smallest, signed=False) for one in rows],
        }
    )


def shares(one: CellReport) -> pd.DataFrame:
    """The two distributions."""
    places = -REACH + BIN * np.arange(len(one.before))
    return pd.DataFrame({"From (sd)": places, "Reference": one.before, "Windows": one.after})


def by_day(one: CellReport, part: Part) -> pd.DataFrame:
    """The series by day, newest first."""
    return pd.DataFrame({"Day": part.days, "Mean (sd)": one.daily}).iloc[::-1]


def decided(rows: Sequence[ProposalView]) -> pd.DataFrame:
    """Proposals that somebody decided."""
    return pd.DataFrame(
        {
            "Proposal": [row.id for row in rows],
            "Because of": [row.trigger.capitalize() for row in rows],
            "Learns from": [span(row.start, row.end) for row in rows],
            "Decided": [words.moment(row.decided_at) for row in rows],
            "By": [row.decided_by for row in rows],
            "Outcome": [row.outcome.capitalize() for row in rows],
        }
    )
