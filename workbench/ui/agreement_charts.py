"""Agreement as pictures and rows: figures with their intervals, who agrees with whom, what is taken for what. All pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from workbench.services.agreement import Agreement, Pair
from workbench.services.suspects import Suspect
from workbench.ui import theme, words
from workbench.ui.charts import figure
from workbench.ui.theme import Palette

FIGURES = {
    "percent": "Agreement",
    "cohen": "Cohen's kappa",
    "fleiss": "Fleiss' kappa",
    "alpha": "Krippendorff's alpha",
}
MEANINGS = {
    "percent": "Mean share of pairs of people that agree. Says little where one answer is common.",
    "cohen": "Two people beyond chance; of more, the mean over pairs weighted by what they share.",
    "fleiss": "Any number of people beyond chance, over what as many judged as most things.",
    "alpha": "Beyond chance, with people missing and with how far apart two answers are.",
}
RELIABLE, TENTATIVE = 0.8, 0.667
"""Krippendorff's own lines: above the first a conclusion holds, above the second a tentative one."""


def number(name: str, value: float) -> str:
    """`96.1 %` of a share, `.74` of a coefficient."""
    if math.isnan(value):
        return words.MISSING
    return words.percent(value) if name == "percent" else words.number(value, 2)


def intervals(found: Agreement, colours: Palette) -> go.Figure:
    """Each figure as a point on its 95 % interval, beside what chance alone would give the percentage."""
    names = list(FIGURES)[::-1]
    held = [found.figures[name] for name in names]
    chart = figure(colours, 172, dragmode=False)
    for place, one in enumerate(held):
        if math.isfinite(one.low):
            chart.add_scatter(
                x=[one.low, one.high],
                y=[place, place],
                mode="lines",
                line={"color": theme.tint(colours.primary, 0.45), "width": 5},
                hoverinfo="skip",
            )
    chart.add_scatter(
        x=[one.value if math.isfinite(one.value) else None for one in held],
        y=list(range(len(held))),
        mode="markers",
        marker={"color": colours.ink, "size": 9},
        customdata=[_range(name, found) for name in names],
        hovertemplate="%{customdata}<extra></extra>",
    )
    if math.isfinite(found.chance):
        chart.add_scatter(
            x=[found.chance],
            y=[len(names) - 1],
            mode="markers+text",
            marker={"symbol": "line-ns-open", "size": 16, "color": colours.muted},
            text=["chance"],
            textposition="bottom center",
            textfont={"color": colours.muted, "size": 11},
            hovertemplate=f"Chance alone: {words.percent(found.chance)}<extra></extra>",
        )
    chart.add_vline(x=0, line={"color": colours.border, "width": 1})
    lowest = min([0.0, *(one.low for one in held if math.isfinite(one.low))])
    chart.update_xaxes(range=[lowest - 0.03, 1.03], tickformat=".1f")
    chart.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[
            f"{FIGURES[name]}  <b>{number(name, found.figures[name].value)}</b>" for name in names
        ],
        showgrid=False,
        zeroline=False,
        range=[-0.6, len(names) - 0.4],
    )
    return chart


def figures(found: Agreement) -> pd.DataFrame:
    """The same as rows."""
    return pd.DataFrame(
        {
            "Figure": list(FIGURES.values()),
            "Value": [number(name, found.figures[name].value) for name in FIGURES],
            "95 % interval": [_range(name, found) for name in FIGURES],
            "Meaning": list(MEANINGS.values()),
        }
    )


def _range(name: str, found: Agreement) -> str:
    one = found.figures[name]
    if not math.isfinite(one.value):
        return "undefined: one answer only"
    if not math.isfinite(one.low):
        return "too few things for an interval"
    return f"{number(name, one.low)} to {number(name, one.high)}"


def matrix(pairs: Sequence[Pair], colours: Palette) -> go.Figure:
    """Person × person: Cohen's kappa as colour and number, with how many things they share."""
    people = sorted({name for pair in pairs for name in (pair.first, pair.second)})
    held = {(pair.first, pair.second): pair for pair in pairs}
    held |= {(pair.second, pair.first): pair for pair in pairs}
    rows = [[held.get((one, other)) for other in people] for one in people]
    chart = figure(colours, max(34 * len(people) + 60, 150), dragmode=False)
    chart.add_heatmap(
        x=people,
        y=people,
        z=[[np.nan if cell is None else cell.kappa for cell in row] for row in rows],
        # half the colours' reach, so that the ink stays readable on them
        zmin=-2,
        zmax=2,
        zmid=0,
        # the colours of a deviation, turned: little agreement is what should catch the eye
        colorscale=theme.diverging(colours),
        reversescale=True,
        showscale=False,
        xgap=2,
        ygap=2,
        text=[[_cell(cell) for cell in row] for row in rows],
        texttemplate="%{text}",
        textfont={"size": 12, "color": colours.ink},
        customdata=[[_told(cell) for cell in row] for row in rows],
        hovertemplate="%{y} and %{x}: %{customdata}<extra></extra>",
    )
    chart.update_yaxes(autorange="reversed", showgrid=False, nticks=len(people))
    chart.update_xaxes(side="top", nticks=len(people))
    return chart


def _cell(pair: Pair | None) -> str:
    if pair is None:
        return ""
    return f"{words.number(pair.kappa, 2)}<br><sub>{pair.units}</sub>"


def _told(pair: Pair | None) -> str:
    if pair is None:
        return "nothing in common"
    agree = f"{words.percent(pair.percent, 0)} of {words.count(pair.units, 'thing')} the same"
    return f"kappa {words.number(pair.kappa, 2)}, {agree}"


def pairs(found: Sequence[Pair]) -> pd.DataFrame:
    """The matrix as rows."""
    return pd.DataFrame(
        {
            "Person": [pair.first for pair in found],
            "And": [pair.second for pair in found],
            "Things": [pair.units for pair in found],
            "Agree": [words.percent(pair.percent, 0) for pair in found],
            "Kappa": [words.number(pair.kappa, 2) for pair in found],
        }
    )


def answers(found: Agreement, say: Callable[[str], str]) -> pd.DataFrame:
    """Every answer with its base rate, and how often another person gave it too."""
    return pd.DataFrame(
        {
            "Answer": [say(answer.value) for answer in found.answers],
            "Base rate": [100 * answer.share for answer in found.answers],
            "Given again": [100 * answer.agreement for answer in found.answers],
        }
    )


ANSWER_COLUMNS = {
    "Answer": st.column_config.TextColumn(width=128),
    "Base rate": st.column_config.ProgressColumn(
        format="%.0f %%", min_value=0, max_value=100, width=100, help="Share of all answers"
    ),
    "Given again": st.column_config.ProgressColumn(
        format="%.0f %%",
        width=100,
        min_value=0,
        max_value=100,
        help="Where one person gave it, how often another did too",
    ),
}


def confusions(found: Agreement, say: Callable[[str], str]) -> pd.DataFrame:
    """Answers that were taken for each other, the most frequent first."""
    return pd.DataFrame(
        {
            "Times": [pair.times for pair in found.confusions],
            "One and the other": [
                f"{say(pair.first)} ↔ {say(pair.second)}" for pair in found.confusions
            ],
        }
    )


CONFUSION_COLUMNS = {"Times": st.column_config.NumberColumn(width=48)}


def gold(found: Agreement) -> pd.DataFrame:
    """Who answered known things how well."""
    return pd.DataFrame(
        {
            "Person": [one.by for one in found.gold],
            "Known answers given right": [f"{one.right} of {one.asked}" for one in found.gold],
        }
    )


def weeks(found: Agreement) -> pd.DataFrame:
    """Agreement by the week of the last judgement."""
    return pd.DataFrame(
        {
            "Week of": [words.day(week.monday, year=True) for week in found.weeks],
            "Things": [week.items for week in found.weeks],
            "Agree": [words.percent(week.percent) for week in found.weeks],
        }
    )


def suspects(found: Sequence[Suspect], say: Callable[[str], str]) -> pd.DataFrame:
    """The most doubtful labels, the worst first."""
    return pd.DataFrame(
        {
            "Quality": [one.quality for one in found],
            "What": [one.title for one in found],
            "By": [one.labelled_by for one in found],
            "Says": [say(one.said) for one in found],
            "Models say": [say(one.likely) for one in found],
        }
    )


SUSPECT_COLUMNS = {
    "Quality": st.column_config.NumberColumn(
        format="%.2f",
        width=56,
        help="0 … 1: by how much the answer leads the best other one, each class on its own footing",
    ),
    "What": st.column_config.TextColumn(width="medium"),
    "By": st.column_config.TextColumn(width=64),
}
