"""The pictures and tables of the Models page: scorecard, scatter, cost, changed alerts, checklist, versions.

Champion is a grey circle, challenger a diamond in the accent, everywhere. All pure: values in, a figure or rows out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from core.domains import DOMAINS
from workbench.services.comparison import AlertChange, ComparisonView, Dot, Figure, Slice
from workbench.services.promotion import Requirement
from workbench.ui import theme, words
from workbench.ui.charts import figure
from workbench.ui.theme import Palette

ROW = 44
MARKS = {"deploy": ":green[**✓ Deploy**]", "reject": ":red[**▲▲ Reject**]"}
UNDECIDED = ":gray[**◇ Inconclusive**]"
LOOKS = {"champion": ("circle", -0.28), "challenger": ("diamond", 0.28)}
NAMES = {
    "pr_auc": "PR-AUC",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "precision_at_k": "Precision of the top 20",
    "false_alarms_a_day": "False alarms a day",
    "alarms_a_day": "Alarms a day",
    "alarm_share": "Share of alarms",
    "tail": "Alarms at p ≤ 0.01, against promise",
}
"""Figures in the order in which they are read; the first four are shares in [0, 1]."""
SHARES = ("pr_auc", "precision", "recall", "f1", "precision_at_k")
MOST_FIGURES = 6
CHANGES = {"vanish": "Would vanish", "severity": "Other severity", "appear": "Would appear"}
UNITS = {"share": 1.0, "ms": 1.0, "bytes": 1e6}
"""What one step of a minimum is in the table: bytes are told in megabytes."""


def mark(word: str) -> str:
    """A verdict in its colour, with a glyph."""
    return MARKS.get(word, UNDECIDED)


def version(identity: str) -> str:
    """The end of a version's id, as the header tells it."""
    return identity[-8:]


# ── Scorecard ────────────────────────────────────────────────────────────────────────────────────


def read_first(view: ComparisonView) -> list[Figure]:
    """The figures worth a row, in the order in which they are read."""
    known = {one.name: one for one in view.figures if np.isfinite(one.champion.value)}
    return [known[name] for name in NAMES if name in known][:MOST_FIGURES]


def scorecard(rows: Sequence[Figure], colours: Palette) -> go.Figure:
    """A dot with its 95 % whisker for champion and challenger, a row per figure, the difference at its end."""
    grid = make_subplots(rows=len(rows), cols=1, vertical_spacing=0.0)
    chart = grid.update_layout(figure(colours, ROW * len(rows) + 12).layout)
    for place, row in enumerate(rows, start=1):
        for who, (symbol, height) in LOOKS.items():
            held = getattr(row, who)
            colour = colours.primary if who == "challenger" else colours.muted
            known = np.isfinite(held.low) and np.isfinite(held.high)
            chart.add_scatter(
                x=[held.value],
                y=[-height],
                mode="markers",
                marker={"symbol": symbol, "size": 10, "color": colour},
                error_x={
                    "type": "data",
                    "array": [held.high - held.value if known else 0],
                    "arrayminus": [held.value - held.low if known else 0],
                    "color": colour,
                    "thickness": 1.5,
                    "width": 4,
                },
                hovertemplate=f"{who.capitalize()}: {interval(row.name, held)}<extra></extra>",
                row=place,
                col=1,
            )
        low, high = _range(row)
        chart.update_xaxes(range=[low, high], visible=False, row=place, col=1)
        chart.update_yaxes(
            range=[-0.9, 0.9],
            tickvals=[0],
            ticktext=[NAMES[row.name]],
            tickfont={"color": colours.ink, "size": 12},
            showgrid=False,
            zeroline=False,
            row=place,
            col=1,
        )
        chart.add_annotation(
            text=_told(row),
            x=1.0,
            xref="paper",
            y=0,
            yref=f"y{'' if place == 1 else place}",
            yanchor="middle",
            xanchor="left",
            showarrow=False,
            align="left",
            font={"size": 11, "color": colours.ink if row.difference.p <= 0.05 else colours.muted},
        )
        chart.add_hline(
            y=-0.9, line={"color": theme.tint(colours.muted, 0.16), "width": 1}, row=place, col=1
        )
    chart.update_layout(margin={"r": 176, "t": 4, "b": 4})
    return chart


def _range(row: Figure) -> tuple[float, float]:
    """Shares from 0 to 1 where they fill it, everything else from 0 with a little air."""
    ends = [row.champion.high, row.challenger.high, row.champion.value, row.challenger.value]
    top = max(value for value in ends if np.isfinite(value))
    if row.name in SHARES:
        return -0.03, 1.03
    return -0.03 * (top or 1.0), 1.08 * (top or 1.0)


def _told(row: Figure) -> str:
    """The difference in a line: what it is, and where chance may have it."""
    held = row.difference
    if not np.isfinite(held.low):
        return f"  {shown(row.name, held.value, signed=True)}, too few labels"
    low, high = (shown(row.name, value, signed=True) for value in (held.low, held.high))
    return f"  {shown(row.name, held.value, signed=True)} ({low} to {high})"


def shown(name: str, value: float, *, signed: bool = False) -> str:
    """A figure in its unit."""
    if not np.isfinite(value):
        return words.MISSING
    # what rounds to nothing has no sign
    if name == "alarm_share":
        return words.percent(round(value, 3) + 0.0, 1, signed=signed)
    digits = 2 if abs(value) < 10 else 0
    value = round(value, digits) + 0.0
    sign = "+" if signed and value > 0 else ""
    return sign + words.number(value, digits)


def interval(name: str, held: Any) -> str:
    """`0.81 (0.70 to 0.88)`."""
    if not np.isfinite(held.low):
        return f"{shown(name, held.value)} (too few labels for an interval)"
    return f"{shown(name, held.value)} ({shown(name, held.low)} to {shown(name, held.high)})"


def scorecard_rows(rows: Sequence[Figure]) -> pd.DataFrame:
    """The same in numbers."""
    return pd.DataFrame(
        {
            "Figure": [NAMES[row.name] for row in rows],
            "Champion": [interval(row.name, row.champion) for row in rows],
            "Challenger": [interval(row.name, row.challenger) for row in rows],
            "Difference": [interval(row.name, row.difference) for row in rows],
            "p": [words.p_value(row.difference.p) for row in rows],
        }
    )


# ── Scatter ──────────────────────────────────────────────────────────────────────────────────────


def scatter(dots: Sequence[Dot], cuts: Mapping[str, float], colours: Palette) -> go.Figure:
    """Each entity's oddest day as the champion (x) and the challenger (y) see it; alerts in their severity."""
    chart = figure(colours, 360, clickmode="event+select", dragmode=False, hovermode="closest")
    highest = max((max(dot.champion, dot.challenger) for dot in dots), default=1.0)
    end = 1.05 * max(highest, *(cut for cut in cuts.values() if np.isfinite(cut)), 1.0)
    chart.add_scatter(
        x=[0, end],
        y=[0, end],
        mode="lines",
        line={"color": theme.tint(colours.muted, 0.4), "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )
    groups = {"": [dot for dot in dots if dot.alert is None]}
    groups |= {
        severity: [dot for dot in dots if dot.alert is not None and dot.severity == severity]
        for severity in reversed(theme.SEVERITIES)
    }
    symbols = {"critical": "triangle-up-dot", "high": "triangle-up", "medium": "diamond"}
    for severity, some in groups.items():
        if not some:
            continue
        chart.add_scattergl(
            x=[dot.champion for dot in some],
            y=[dot.challenger for dot in some],
            mode="markers",
            name=theme.mark(severity).word if severity else "No alert",
            marker={
                "symbol": symbols.get(severity, "circle"),
                "size": 8 if severity else 5,
                "color": colours.severity(severity)
                if severity
                else theme.tint(colours.muted, 0.45),
            },
            customdata=[[dot.alert or 0, dot.name, words.level(dot.level)] for dot in some],
            hovertemplate="%{customdata[2]} %{customdata[1]}<br>champion %{x:.1f}, challenger %{y:.1f}"
            + ("<br>open the alert: click" if severity else "")
            + "<extra></extra>",
        )
    rule = {"color": colours.primary, "width": 1, "dash": "dot"}
    if np.isfinite(cuts["champion"]):
        chart.add_vline(x=cuts["champion"], line={**rule, "color": colours.muted})
    if np.isfinite(cuts["challenger"]):
        chart.add_hline(y=cuts["challenger"], line=rule)
    chart.update_xaxes(title="Surprise to the champion, −log₁₀ p", range=[0, end], showgrid=True)
    chart.update_yaxes(title="Surprise to the challenger", range=[0, end])
    chart.update_layout(showlegend=True, legend={"font": {"size": 11}})
    return chart


def dots(some: Sequence[Dot]) -> pd.DataFrame:
    """The same as rows, the largest disagreement first."""
    ordered = sorted(some, key=lambda dot: -abs(dot.champion - dot.challenger))
    return pd.DataFrame(
        {
            "Entity": [dot.name for dot in ordered],
            "Level": [words.level(dot.level) for dot in ordered],
            "Champion": [round(dot.champion, 2) for dot in ordered],
            "Challenger": [round(dot.challenger, 2) for dot in ordered],
            "Alert": [
                theme.severity_words(dot.severity) if dot.alert else words.MISSING
                for dot in ordered
            ],
        }
    )


# ── Cost ─────────────────────────────────────────────────────────────────────────────────────────


def cost(view: ComparisonView, ratio: float, colours: Palette) -> go.Figure:
    """Expected cost a day at every cut; alarms a day where no label says what they are worth."""
    chart = figure(colours, 260, hovermode="x unified")
    priced = has_costs(view)
    for who, curve in view.costs.items():
        values = curve.cost(ratio) if priced else curve.alarms
        surprise = -np.log10(curve.cuts)
        colour = colours.primary if who == "challenger" else colours.muted
        chart.add_scatter(
            x=surprise,
            y=values,
            mode="lines",
            line={"color": colour, "width": 1.8},
            name=who.capitalize(),
            hovertemplate=f"{who.capitalize()} %{{y:,.1f}}<extra></extra>",
        )
        if np.isfinite(view.cuts[who]):
            chart.add_vline(x=view.cuts[who], line={"color": colour, "width": 1, "dash": "dot"})
        if priced:
            best = curve.best(ratio)
            chart.add_scatter(
                x=[surprise[best]],
                y=[values[best]],
                mode="markers",
                marker={"symbol": LOOKS[who][0], "size": 11, "color": colour},
                hovertemplate=f"cheapest for the {who}<extra></extra>",
            )
        chart.add_annotation(
            x=surprise[0],
            y=values[0],
            text=who,
            showarrow=False,
            xanchor="right",
            yshift=9 if who == "champion" else -9,
            font={"color": colour, "size": 11},
        )
    chart.update_xaxes(title="Alarm from this surprise on, −log₁₀ p", range=[0.6, 8.2])
    unit = "Cost a day, in false alarms" if priced else "Alarms a day"
    chart.update_yaxes(title=unit, rangemode="tozero")
    return chart


def has_costs(view: ComparisonView) -> bool:
    """Whether labels say what an alarm is worth."""
    return bool(np.isfinite(view.costs["champion"].misses).any())


def best_cut(view: ComparisonView, ratio: float) -> str:
    """What the cheapest cut of each model would save, in a sentence each."""
    told = []
    for who, curve in view.costs.items():
        values = curve.cost(ratio)
        best = curve.best(ratio)
        here = float(np.interp(-view.cuts[who], np.log10(curve.cuts), values))
        told.append(
            f"{who.capitalize()}: cheapest at p ≤ {words.p_value(float(curve.cuts[best]))}, "
            f"{words.number(float(values[best]), 1)} a day; now {words.number(here, 1)}."
        )
    return " ".join(told)


def costs(view: ComparisonView, ratio: float) -> pd.DataFrame:
    """The same by cut."""
    champion, challenger = view.costs["champion"], view.costs["challenger"]
    columns: dict[str, Any] = {
        "p ≤": [words.p_value(float(cut)) for cut in champion.cuts],
        "Champion, alarms a day": np.round(champion.alarms, 2),
        "Challenger, alarms a day": np.round(challenger.alarms, 2),
    }
    if has_costs(view):
        columns["Champion, cost a day"] = np.round(champion.cost(ratio), 2)
        columns["Challenger, cost a day"] = np.round(challenger.cost(ratio), 2)
    return pd.DataFrame(columns)


# ── Tables ───────────────────────────────────────────────────────────────────────────────────────


def changed(rows: Sequence[AlertChange], domain: str) -> pd.DataFrame:
    """Open alerts that a promotion would change; with money where something is spent."""
    told = pd.DataFrame(
        {
            "Change": [CHANGES[row.kind] for row in rows],
            "What": [row.name for row in rows],
            "Level": [words.level(row.level) for row in rows],
            "Now": [theme.severity_words(row.before) if row.before else "–" for row in rows],
            "Then": [theme.severity_words(row.after) if row.after else "–" for row in rows],
            "At risk": [words.money(row.spend_at_risk, row.currency) for row in rows],
        }
    )
    return told if words.has_money(domain) else told.drop(columns="At risk")


CHANGED_COLUMNS = {
    "Change": st.column_config.TextColumn(width=92),
    "What": st.column_config.TextColumn(width=112),
    "Level": st.column_config.TextColumn(width=72),
    "Now": st.column_config.TextColumn(width=74),
    "Then": st.column_config.TextColumn(width=74),
    "At risk": st.column_config.TextColumn(width=60, alignment="right"),
}


def slices(rows: Sequence[Slice], kind: str, domain: str, unit: str = "day") -> pd.DataFrame:
    """Where the models differ: alarms of each by level, or episodes found by type of cause."""
    some = [row for row in rows if row.kind == kind]
    name = words.level if kind == "level" else DOMAINS[domain].word
    columns: dict[str, Any] = {
        "Level" if kind == "level" else "Cause": [name(row.name) for row in some],
        f"Entity-{unit}s" if kind == "level" else "Alerts": [
            words.number(row.rows) for row in some
        ],
        "Champion": [words.number(row.champion) for row in some],
        "Challenger": [words.number(row.challenger) for row in some],
        "Both": [words.number(row.both) for row in some],
    }
    if any(row.real for row in some):
        columns["Real, found"] = [
            f"{row.champion_real} → {row.challenger_real} of {row.real}" if row.real else "–"
            for row in some
        ]
    return pd.DataFrame(columns)


SLICE_COLUMNS = {
    name: st.column_config.TextColumn(alignment="right")
    for name in (
        "Entity-days",
        "Entity-periods",
        "Alerts",
        "Champion",
        "Challenger",
        "Both",
        "Real, found",
    )
}


def checklist(rows: Sequence[Requirement]) -> pd.DataFrame:
    """Minimums beside what was measured; only the bound can be edited."""
    return pd.DataFrame(
        {
            "": [{True: "✓", False: "▲", None: "–"}[row.passed] for row in rows],
            "Minimum": [_label(row) for row in rows],
            "Bound": [row.minimum / UNITS[row.unit] for row in rows],
            "Measured": [_measured(row) for row in rows],
            "How": [row.how for row in rows],
        }
    )


CHECKLIST_COLUMNS = {
    "": st.column_config.TextColumn(width=26, disabled=True),
    "Minimum": st.column_config.TextColumn(width=150, disabled=True),
    "Bound": st.column_config.NumberColumn(
        width=66, min_value=0.0, format="%.4g", help="Yours to change: double-click"
    ),
    "Measured": st.column_config.TextColumn(width=190, disabled=True),
    "How": st.column_config.TextColumn(width="large", disabled=True),
}


def _label(row: Requirement) -> str:
    unit = {"share": "", "ms": ", ms", "bytes": ", MB"}[row.unit]
    return f"{row.label} {'≤' if row.most else '≥'}{unit}"


def _measured(row: Requirement) -> str:
    if row.measured is None:
        if not row.labels:
            return "not measured here"
        return f"not measured, {words.count(row.labels, 'label')} needed"
    if row.unit == "share":
        return words.percent(row.measured) if row.most else words.number(row.measured, 2)
    return words.number(row.measured / UNITS[row.unit], 1)


def standing(rows: Sequence[Requirement]) -> str:
    """The checklist in a line."""
    counts = [
        sum(row.passed is True for row in rows),
        sum(row.passed is False for row in rows),
        sum(row.passed is None for row in rows),
    ]
    failed = ", ".join(row.label for row in rows if row.passed is False)
    parts = [f"✓ {counts[0]} of {len(rows)} minimums met"]
    if counts[1]:
        parts.append(f"▲ {counts[1]} missed: {failed}")
    if counts[2]:
        parts.append(f"{counts[2]} not measured")
    return " · ".join(parts)


def algorithm(row: Mapping[str, Any]) -> str:
    """What a version is made of: its parts with their weights, one alone by its name."""
    parts = str(row["params"].get("parts") or row["name"])
    return parts if "," in parts else parts.partition("=")[0]


def versions(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Versions, newest first."""
    return pd.DataFrame(
        {
            "Version": [version(row["id"]) for row in rows],
            "In use as": [
                row["aliases"][0].capitalize() if row["aliases"] else words.MISSING for row in rows
            ],
            "Algorithm": [algorithm(row) for row in rows],
            "Published": [words.moment(row["created_at"]) for row in rows],
            "By": [row["created_by"] for row in rows],
            "From": [version(row["parent"]) if row["parent"] else words.MISSING for row in rows],
        }
    )


VERSION_COLUMNS = {
    "Version": st.column_config.TextColumn(width=84),
    "In use as": st.column_config.TextColumn(width=88),
    "Algorithm": st.column_config.TextColumn(width="medium"),
    "Published": st.column_config.TextColumn(width=150),
    "By": st.column_config.TextColumn(width=70),
    "From": st.column_config.TextColumn(width=84, help="The champion when it was trained"),
}


def moves(rows: Sequence[Any]) -> pd.DataFrame:
    """Who moved the champion, newest first."""
    verbs = {"promote": "Promoted", "rollback": "Rolled back to"}
    return pd.DataFrame(
        {
            "When": [words.moment(row.at) for row in rows],
            "Who": [row.by for row in rows],
            "Move": [
                f"{verbs.get(row.verb, row.verb.capitalize())} {version(row.champion)}"
                for row in rows
            ],
            "Before": [version(row.previous) if row.previous else words.MISSING for row in rows],
            "Stands": ["yes" if row.stands else "taken back" for row in rows],
            "Why": [row.reason for row in rows],
        }
    )


MOVE_COLUMNS = {
    "When": st.column_config.TextColumn(width=146),
    "Who": st.column_config.TextColumn(width=56),
    "Move": st.column_config.TextColumn(width=142),
    "Before": st.column_config.TextColumn(width=74),
    "Stands": st.column_config.TextColumn(width=72),
    "Why": st.column_config.TextColumn(width="large"),
}
