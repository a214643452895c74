"""An experiment as pictures, words and rows; nothing here knows Streamlit's widgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.services.experiments import ExperimentView
from workbench.ui import charts, theme, words
from workbench.ui.theme import Palette

HEIGHT = 230
STATES = {
    "planning": ":gray[**○ Planned**]",
    "running": ":primary[**● Running**]",
    "completed": ":green[**✓ Completed**]",
    "failed": ":red[**▲ Ended early**]",
}
VERDICTS = {
    "deploy": ":green[**✓ Deploy**]",
    "reject": ":red[**▲ Reject**]",
    "inconclusive: small effect": ":gray[**◆ Inconclusive: small effect**]",
    "inconclusive: need more data": ":gray[**◆ Inconclusive: need more data**]",
}
GUARDRAILS = {
    "errors": "Errors",
    "latency": "Latency",
    "alert volume": "Alert volume",
    "missing scores": "Missing scores",
    "split": "Split of the units",
}
COLUMNS = {"Experiment": {"width": 150}, "State": {"width": 96}, "Rung": {"width": 84}}
Look = Mapping[str, Any]


def mark(view: ExperimentView) -> str:
    """Its state, and its verdict where there is one, in colour with a glyph."""
    parts = [STATES[view.state], VERDICTS.get(view.verdict, "")]
    return "  ·  ".join(part for part in parts if part)


def version(identity: str) -> str:
    """The end of a version's id, as the header tells it."""
    return identity[-8:]


def ladder(view: ExperimentView) -> str:
    """The rungs from left to right: those behind it, the one it stands on, those to come."""
    told = []
    ended = view.state in ("completed", "failed")
    for place, rung in enumerate(view.ladder):
        name = f"{rung}, decides" if rung == view.decided_on else rung
        if place < view.rung or (place == view.rung and view.state == "completed"):
            told.append(f":gray[✓ {name}]")
        elif place == view.rung:
            told.append(f":red[**▲ {name}**]" if ended else f":primary[**● {name}**]")
        else:
            told.append(f":gray[○ {name}]")
    return " → ".join(told)


def planned(view: ExperimentView) -> str:
    """What was planned, in two sentences."""
    return (
        f"To show {words.number(view.mde, digits(view.mde))} {view.unit_label} in {words.count(view.days, 'day')} with a "
        f"chance of {words.percent(view.power, 0)} takes {words.count(view.units, 'unit')} by "
        f"{words.inline(words.level(view.unit))}; there are {words.number(view.plan['available'])}. An effect that is "
        f"not there is found in {words.percent(view.alpha, 0)} of experiments at most, however often one looks."
    )


def digits(value: float) -> int:
    """Decimals that tell a small effect from none."""
    return 0 if abs(value) >= 100 else 1 if abs(value) >= 1 else 2


def measured(view: ExperimentView) -> list[Look]:
    """The looks that the picture shows, oldest first: those of the rung that decided, else of the one it stands on."""
    known = [look for look in view.looks if look.get("low") is not None]
    decided = [look for look in known if look["word"]] if view.verdict else []
    return decided or [
        look for look in known if (look["stage"], look["share"]) == (view.stage, view.share)
    ]


def confidence(view: ExperimentView, colours: Palette) -> go.Figure:
    """The difference over the looks of a rung with its confidence sequence, beside no effect and the planned one."""
    looks = measured(view)
    at = [datetime.fromisoformat(look["at"]) for look in looks]
    value, low, high = (
        np.array([look[name] for look in looks]) * view.scale for name in ("value", "low", "high")
    )
    chart = charts.figure(colours, HEIGHT, hovermode="x unified", margin={"r": 96, "t": 12})
    chart.add_scatter(
        x=[*at, *at[::-1]],
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        fillcolor=theme.tint(colours.primary, 0.14),
        line={"width": 0},
        hoverinfo="skip",
        mode="lines",
    )
    chart.add_scatter(
        x=at,
        y=value,
        mode="lines+markers" if len(at) <= 45 else "lines",
        line={"color": colours.ink, "width": 1.8},
        marker={"size": 4, "color": colours.ink},
        customdata=np.stack([low, high], axis=1),
        hovertemplate="%{y:+.2f} (%{customdata[0]:+.2f} to %{customdata[1]:+.2f})<extra></extra>",
    )
    effect = view.better * view.mde
    for level, ink, dash, text in sorted(
        [(0.0, colours.muted, "solid", "no effect"), (effect, colours.primary, "dash", "planned")],
        reverse=True,
    ):
        chart.add_hline(y=level, line={"color": ink, "width": 1, "dash": dash})
        chart.add_annotation(
            x=1,
            xref="paper",
            xanchor="left",
            y=level,
            # apart also where the two lines all but meet
            yanchor="bottom" if level == max(effect, 0.0) else "top",
            text=f" {text}",
            showarrow=False,
            font={"color": ink, "size": 11},
        )
    if len(looks):
        # the first looks know next to nothing; their height would hide what the later ones say
        reach = max(2.5 * abs(effect), 1.3 * float(np.abs([low[-1], high[-1]]).max()))
        chart.update_yaxes(range=[-reach, reach])
    if len(at) == 1:
        chart.update_xaxes(tickvals=at)
    long = bool(at) and at[-1] - at[0] >= timedelta(days=3)
    chart.update_xaxes(type="date", tickformat="%-d %b" if long else "%-d %b, %H:%M", nticks=7)
    chart.update_yaxes(zeroline=False)
    return chart


def look_rows(view: ExperimentView) -> pd.DataFrame:
    """The numbers behind the picture, newest first."""
    looks = measured(view)[::-1]
    scaled = {
        label: [look[name] * view.scale for look in looks]
        for name, label in (
            ("control", "Control"),
            ("treatment", "Treatment"),
            ("value", "Difference"),
            ("low", "From"),
            ("high", "To"),
        )
    }
    return pd.DataFrame(
        {
            "Look": [words.moment(datetime.fromisoformat(look["at"])) for look in looks],
            **scaled,
            "Of the plan": [words.percent(look["fraction"], 0) for look in looks],
            "Rows": [words.number(look["rows"]) for look in looks],
            "Run": [look["run"] for look in looks],
        }
    )


def guardrail_lines(view: ExperimentView) -> str:
    """Each guardrail with what it measured, the broken ones first."""
    checks = sorted(view.guardrails.items(), key=lambda item: item[1]["ok"])
    return "  \n".join(
        f"{':green[✓]' if check['ok'] else ':red[**▲**]'} {GUARDRAILS[name]}: {check['said']}"
        for name, check in checks
    )


def experiment_rows(views: Sequence[ExperimentView]) -> pd.DataFrame:
    """Experiments, newest first."""
    glyphs = {"planning": "○ Planned", "running": "● Running", "completed": "✓ Completed"}
    return pd.DataFrame(
        {
            "Experiment": [view.name for view in views],
            "State": [glyphs.get(view.state, "▲ Ended early") for view in views],
            "Rung": [view.ladder[view.rung] if view.rung >= 0 else words.MISSING for view in views],
            "Verdict": [view.verdict.capitalize() or words.MISSING for view in views],
        }
    )


def disagreement_rows(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> pd.DataFrame:
    """Where one model raises an alarm and the other does not."""
    return pd.DataFrame(
        {
            "What": [names.get(row["entity"], row["entity"]) for row in rows],
            "Level": [words.level(row["entity"].partition(":")[0]) for row in rows],
            "Day": [words.day(row["day"]) for row in rows],
            "Champion": [_said(row, "control") for row in rows],
            "Treatment": [_said(row, "treatment") for row in rows],
        }
    )


def _said(row: Mapping[str, Any], side: str) -> str:
    alarm = "▲ alarm" if row[f"{side}_alarm"] else "· silent"
    return f"{alarm}, p {words.p_value(row[f'{side}_p'])}"
