"""Tables as an analyst reads them: numerals right, money with currency, missing as "–"."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from data.ingest.batch import Difference, Refusal
from workbench.services import alerts
from workbench.services.ingest import FileReport
from workbench.services.views import (
    Arrivals,
    Candidate,
    Contributions,
    Curve,
    Heat,
    Lane,
    Node,
    Strip,
)
from workbench.ui import theme, words

PAGE = 50
SOURCE = 30
"""Letters of a file's name; what tells it apart often stands at its end."""


def height(rows: int, most: int = 10) -> int:
    """Pixels of a table with this many rows, at most `most` of them in sight."""
    return 31 * (min(rows, most) + 1) + 3


def alert_rows(rows: Sequence[Any], now: datetime, domain: str) -> pd.DataFrame:
    """One page of alerts of a domain; money only where there is any."""
    shown = pd.DataFrame(
        {
            "Severity": [theme.severity_words(row.severity) for row in rows],
            "What": [_what(row) for row in rows],
            "Level": [words.level(row.level) for row in rows],
            "At risk": [words.money(row.spend_at_risk, row.currency) for row in rows],
            "p": [words.p_value(row.p_value) for row in rows],
            "Onset": [alerts.local_day(row.onset, domain) for row in rows],
            "Age": [words.age(row.onset, now) for row in rows],
            "Status": [row.status.capitalize() for row in rows],
        }
    )
    if words.has_money(domain):
        return shown
    times = [f"{words.day(row.onset)}, {row.onset:%H:%M}" for row in rows]
    return shown.drop(columns="At risk").assign(Onset=times)


def _what(row: Any) -> str:
    """What an alert is about; when it is expected, where it has not happened yet."""
    name = str(row.entity_name or row.entity)
    if not row.predicted_for:
        return name
    return f"{name}, due {row.predicted_for:%H:%M}, {row.lead_minutes:.0f} min ahead"


ALERT_COLUMNS = {
    "Severity": st.column_config.TextColumn(width=88),
    "What": st.column_config.TextColumn(width="medium"),
    "Level": st.column_config.TextColumn(width=82),
    "At risk": st.column_config.TextColumn(width=72, alignment="right", help="Spend at risk"),
    "p": st.column_config.TextColumn(width=82, alignment="right", help="Calibrated p-value"),
    "Onset": st.column_config.DateColumn(width=78, format="D MMM", help="First anomalous day"),
    "Age": st.column_config.TextColumn(width=50, alignment="right"),
    "Status": st.column_config.TextColumn(width=94),
}


def alert_columns(domain: str) -> dict[str, Any]:
    """How those columns are written."""
    if words.has_money(domain):
        return ALERT_COLUMNS
    when = st.column_config.TextColumn(width=96, help="First anomalous minute, UTC")
    return {**ALERT_COLUMNS, "Onset": when}


def candidates(rows: Sequence[Candidate]) -> pd.DataFrame:
    """Candidates with every term of their score that tells any of them apart as its own column."""
    terms = _terms(rows)
    return pd.DataFrame(
        {
            "Candidate": [row.name for row in rows],
            "Cause": [row.type_label for row in rows],
            # never a certainty, as `words.confidence` has it
            "Confidence": [min(100 * row.confidence, 99.0) for row in rows],
            "Total": [_told(row.score) for row in rows],
            **{
                words.term(name)[0]: [_told(row.terms.get(name, np.nan)) for row in rows]
                for name in terms
            },
            "Level": [words.level(row.level) for row in rows],
            "Hops": [row.hops for row in rows],
            "Onset": [words.period(row.onset_day) for row in rows],
        }
    )


def candidate_columns(rows: Sequence[Candidate]) -> dict[str, Any]:
    """How those columns are written; every term with one decimal, as they add up to the total."""
    number = st.column_config.NumberColumn
    return {
        "Candidate": st.column_config.TextColumn(width=112),
        "Cause": st.column_config.TextColumn(width=130),
        "Confidence": st.column_config.ProgressColumn(
            format="%.0f %%", min_value=0, max_value=100, width=88
        ),
        "Total": number(format="%.1f", width=60, help="Sum of the terms to the right"),
        **{
            heading: number(format="%.1f", help=told)
            for heading, told in map(words.term, _terms(rows))
        },
    }


def _terms(rows: Sequence[Candidate]) -> list[str]:
    """The terms that are told: those that say something of anybody."""
    names = dict.fromkeys(name for row in rows for name in row.terms)
    return [name for name in names if any(_told(row.terms.get(name, 0.0)) for row in rows)]


def _told(value: float) -> float:
    """The same, but nothing where no more than "−0.0" could be written of it."""
    return value if round(value, 1) else 0.0


def curve(view: Curve) -> pd.DataFrame:
    """The numbers behind a series."""
    return pd.DataFrame(
        {
            "Day": view.days,
            "Observed": view.observed,
            "Expected": view.expected,
            "Spread (sd)": view.spread,
            "Arrived": view.settled,
        }
    ).iloc[::-1]


def curves(views: Sequence[Curve]) -> pd.DataFrame:
    """Several entities' observed numbers, a column each."""
    return pd.DataFrame(
        {"Day": views[0].days, **{view.name: view.observed for view in views}}
    ).iloc[::-1]


def strips(rows: Sequence[Strip]) -> pd.DataFrame:
    """p-values by day and detector."""
    told = {row.detector: [words.p_value(value) for value in row.p_values] for row in rows}
    return pd.DataFrame({"Day": rows[0].days, **told}).iloc[::-1]


def heat(view: Heat) -> pd.DataFrame:
    """Deviations in sd by day and channel."""
    columns = dict(zip(view.labels, view.deviations, strict=True))
    return pd.DataFrame({"Day": view.days, **columns}).iloc[::-1]


def contributions(view: Contributions) -> pd.DataFrame:
    """Shares of the score by channel."""
    return pd.DataFrame({"Channel": view.labels, "Total": view.total, **view.parts})


def timeline(
    days: Sequence[Any], counts: Mapping[str, Sequence[Mapping[str, int]]]
) -> pd.DataFrame:
    """Alerts by day, level and severity, the latest day first."""
    return pd.DataFrame(
        [
            {"Day": day, "Level": words.level(level)}
            | {
                theme.mark(name).word: by_day[index].get(level, 0)
                for name, by_day in counts.items()
            }
            for index, day in reversed([*enumerate(days)])
            for level in sorted({level for by_day in counts.values() for level in by_day[index]})
        ],
        columns=["Day", "Level", *(theme.mark(name).word for name in counts)],
    )


def nodes(rows: Sequence[Node], path: Sequence[str]) -> pd.DataFrame:
    """The drawn hierarchy, row by row: the keyboard's way to read the graph."""
    return pd.DataFrame(
        {
            "Severity": [theme.severity_words(row.severity) for row in rows],
            "Node": [row.name for row in rows],
            "Level": [words.level(row.level) for row in rows],
            "Change": [row.number or words.MISSING for row in rows],
            "Onset": [words.period(row.onset) for row in rows],
            "Order": [words.ordinal(row.order) if row.order else words.MISSING for row in rows],
            "On path": ["yes" if row.id in path else "" for row in rows],
        }
    )


def lanes(rows: Sequence[Lane]) -> pd.DataFrame:
    """First and last anomalous day of each node."""
    return pd.DataFrame(
        {
            "Node": [row.name for row in rows],
            "Level": [words.level(row.level) for row in rows],
            "From": [words.period(row.start) for row in rows],
            "To": [words.period(row.end) for row in rows],
        }
    )


def coverage(grid: Arrivals) -> pd.DataFrame:
    """Delivery state by day and report."""
    columns = dict(zip(grid.reports, grid.states, strict=True))
    return pd.DataFrame({"Day": list(grid.days), **columns}).iloc[::-1]


def batches(rows: Sequence[Any]) -> pd.DataFrame:
    """Imports, newest first."""
    return pd.DataFrame(
        {
            "Import": [row.id for row in rows],
            "Source": [words.short(row.source, SOURCE) for row in rows],
            "Report": [row.report or row.format for row in rows],
            "As of (UTC)": [words.period(row.as_of.astimezone(UTC), year=True) for row in rows],
            "Rows": [words.number(row.rows) for row in rows],
            "New": [words.number(row.new) for row in rows],
            "Refused": [words.number(row.refused) for row in rows],
            "State": [row.state.capitalize() for row in rows],
            "Differences": [len(row.differences) for row in rows],
        }
    )


BATCH_COLUMNS = {
    "Import": st.column_config.NumberColumn(width=50),
    "Source": st.column_config.TextColumn(width=188),
    "Report": st.column_config.TextColumn(width=140),
    "As of (UTC)": st.column_config.TextColumn(width=122),
    "Rows": st.column_config.TextColumn(width=56, alignment="right"),
    "New": st.column_config.TextColumn(width=56, alignment="right"),
    "Refused": st.column_config.TextColumn(width=60, alignment="right"),
    "State": st.column_config.TextColumn(width=66),
}


def files(rows: Sequence[FileReport]) -> pd.DataFrame:
    """What came of each file."""
    return pd.DataFrame(
        {
            "File": [row.file for row in rows],
            "Format": [row.format for row in rows],
            "What happened": [row.message for row in rows],
        }
    )


def refusals(rows: Sequence[Refusal]) -> pd.DataFrame:
    """Each refused cell, and the rule that it broke."""
    return pd.DataFrame(
        {
            "File": [row.file for row in rows],
            "Line": [row.line for row in rows],
            "Column": [row.column for row in rows],
            "Value": [row.value for row in rows],
            "Rule": [row.rule for row in rows],
        }
    )


def differences(rows: Sequence[tuple[str, Difference]]) -> pd.DataFrame:
    """Ratio columns of a file that differ from the ratio of its own sums."""
    return pd.DataFrame(
        [
            {"File": file, **dataclasses.asdict(found), "examples": str(found.examples)}
            for file, found in rows
        ]
    )
