"""Time lines of incidents: which service when and how long, and what happened around one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.contracts import Floats, Times
from workbench.services.snapshots import Look, Snapshot
from workbench.ui import change_marks, theme, words
from workbench.ui.charts import HEIGHT, TIME, axis, drawn, figure
from workbench.ui.theme import Palette

MOST_ROWS = 8
ELSEWHERE = "other"
NOWHERE = "no service told"
SLIVER = 1 / 160
"""The least width of a bar, as a share of the time line: a short incident is still there."""
AROUND = timedelta(hours=6)
"""How long before and after the trouble its time line goes on, at least."""


def lanes(
    rows: Sequence[Any], changes: Sequence[Any], now: datetime, colours: Palette
) -> go.Figure:
    """Incidents as bars by service and time, with what was done to the system; a click is up to the page."""
    often = Counter(name for row in rows for name in told_services(row))
    names = [name for name, _ in often.most_common(MOST_ROWS)]
    if len(often) > len(names):
        names = [*names[: MOST_ROWS - 1], ELSEWHERE]
    chart = figure(colours, 22 * len(names) + 62, barmode="overlay", clickmode="event+select")
    now = horizon(rows, now)
    first, last = window(rows, now)
    least = (last - first) * SLIVER
    for severity in reversed(theme.SEVERITIES):
        bars = [
            (names.index(name if name in names else ELSEWHERE), row)
            for row in rows
            if row.severity == severity
            for name in dict.fromkeys(told_services(row))
        ]
        if not bars:
            continue
        chart.add_bar(
            y=[place for place, _ in bars],
            base=[change_marks.at(row.onset, "UTC") for _, row in bars],
            x=[_milliseconds(max(over(row, now) - row.onset, least)) for _, row in bars],
            orientation="h",
            width=0.62,
            marker={"color": theme.tint(colours.severity(severity), 0.8)},
            text=[theme.mark(severity).glyph] * len(bars),
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            constraintext="none",
            textfont={"color": colours.background, "size": 9},
            customdata=[[_story(row, now), row.id] for _, row in bars],
            hovertemplate="%{customdata[0]}<extra></extra>",
            name=theme.severity_words(severity),
        )
    chart.update_xaxes(TIME, range=[_text(first), _text(last + 4 * least)])
    chart.update_yaxes(
        autorange="reversed",
        tickvals=list(range(len(names))),
        ticktext=[words.short(name, 22) for name in names],
        tickfont={"color": colours.ink},
        showgrid=False,
        fixedrange=True,
    )
    return change_marks.mark(chart, changes, colours)


@dataclass(frozen=True)
class Act:
    """Something that a person or a pager did to the incident."""

    at: datetime
    what: str


def around(
    incident: Any,
    alerts: Sequence[Any],
    acts: Sequence[Act],
    changes: Sequence[Any],
    now: datetime,
    colours: Palette,
) -> go.Figure:
    """One incident's time line: itself, its alerts, what people did, and what was done to the system.

    It is shown from six hours before the trouble to six after, or as long as that lasted: all of two days would make
    it a sliver. What lies beyond is a drag away.
    """
    bars = [("Incident", incident.severity, incident.onset, over(incident, now), incident.title)]
    bars += [
        (
            alert.entity_name or alert.entity,
            alert.severity,
            alert.onset,
            alert.last_seen,
            alert.sentence,
        )
        for alert in alerts[:MOST_ROWS]
    ]
    names = [bar[0] for bar in bars] + (["People"] if acts else [])
    chart = figure(colours, 24 * len(names) + 62, dragmode="pan")
    moments = [moment for bar in bars for moment in bar[2:4]] + [act.at for act in acts]
    moments += [event.at for event in changes]
    begun = min([incident.onset, *(alert.onset for alert in alerts)])
    goes_on = incident.onset if incident.resolved_at else max(now, incident.onset)
    settled = max([incident.ended_at or goes_on, *(alert.last_seen for alert in alerts)])
    margin = max(AROUND, settled - begun)
    first, last = max(min(moments), begun - margin), min(max(moments), settled + margin)
    least = (last - first) * SLIVER
    chart.add_bar(
        y=list(range(len(bars))),
        base=[_text(start) for _, _, start, _, _ in bars],
        x=[_milliseconds(max(end - start, least)) for _, _, start, end, _ in bars],
        orientation="h",
        width=[0.62] + [0.4] * (len(bars) - 1),
        marker={
            "color": [
                theme.tint(colours.severity(severity), 0.85 if place == 0 else 0.5)
                for place, (_, severity, *_) in enumerate(bars)
            ]
        },
        customdata=[
            f"<b>{words.short(name, 60)}</b><br>{theme.severity_words(severity)} · "
            f"{words.moment(start)} – {words.moment(end)}<br>{words.short(text, 90)}"
            for name, severity, start, end, text in bars
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
    if acts:
        chart.add_scatter(
            x=[_text(act.at) for act in acts],
            y=[len(bars)] * len(acts),
            mode="markers",
            marker={"symbol": "circle-open", "size": 9, "color": colours.ink},
            customdata=[f"{act.what} · {words.moment(act.at)}" for act in acts],
            hovertemplate="%{customdata}<extra></extra>",
        )
    chart.update_xaxes(TIME, range=[_text(first - 4 * least), _text(last + 4 * least)])
    chart.update_yaxes(
        autorange="reversed",
        tickvals=list(range(len(names))),
        ticktext=[words.short(name, 22) for name in names],
        tickfont={"color": colours.ink},
        showgrid=False,
        fixedrange=True,
    )
    return change_marks.mark(chart, changes, colours)


def curve(
    row: Snapshot,
    times: Times,
    values: Floats,
    look: Look,
    changes: Sequence[Any],
    severity: str,
    colours: Palette,
) -> go.Figure:
    """One metric before, during and after: an ink line, its medians as rules, the incident shaded."""
    chart = figure(colours, HEIGHT - 50, hovermode="x unified")
    scale, unit = drawn(row.unit)
    values = scale * values
    start, end = look.windows["during"]
    chart.add_vrect(
        x0=_text(start),
        x1=_text(end),
        fillcolor=theme.tint(colours.severity(severity), 0.10),
        line_width=0,
        layer="below",
    )
    chart.add_scatter(
        x=times,
        y=values,
        mode="lines",
        line={"color": colours.ink, "width": 1.6},
        customdata=[words.quantity(float(value), unit) for value in values],
        hovertemplate="%{customdata}<extra></extra>",
        name=row.label,
    )
    for name, (first, last) in look.windows.items():
        level = scale * getattr(row, name)
        if np.isfinite(level):
            chart.add_shape(
                type="line",
                x0=_text(first),
                x1=_text(last),
                y0=level,
                y1=level,
                line={"color": colours.primary, "width": 1.5, "dash": "dash"},
            )
    if unit not in ("share", "percent"):
        chart.update_yaxes(rangemode="tozero")
    chart.update_xaxes(
        TIME, range=[_text(look.windows["before"][0]), _text(look.windows["after"][1])]
    )
    chart.update_yaxes(axis(unit, values))
    inside = [
        event
        for event in changes
        if look.windows["before"][0] <= event.at < look.windows["after"][1]
    ]
    return change_marks.mark(chart, inside, colours)


def told_services(row: Any) -> list[str]:
    """The services that an incident hit, as words; its root where none was told."""
    names = [name.rpartition(":")[2] for name in row.services]
    return names or [row.root_name.rpartition(":")[2] or NOWHERE]


def window(rows: Sequence[Any], now: datetime) -> tuple[datetime, datetime]:
    """What the time line covers: all of the incidents, and what may have led to the first of them."""
    first, last = min(row.onset for row in rows), max(over(row, now) for row in rows)
    return first - max((last - first) / 20, timedelta(hours=1)), last


def horizon(rows: Sequence[Any], now: datetime) -> datetime:
    """Up to when incidents that go on are drawn: now, unless all that is known of them lies far back."""
    first = min(row.onset for row in rows)
    last = max(row.ended_at or row.resolved_at or row.onset for row in rows)
    return (
        now if now - last <= last - first else last + max((last - first) / 20, timedelta(hours=1))
    )


def over(row: Any, now: datetime) -> datetime:
    """When an incident ended, now while it goes on."""
    found: datetime = row.ended_at or row.resolved_at or max(now, row.onset)
    return found


def _story(row: Any, now: datetime) -> str:
    span = over(row, now) - row.onset
    lasted = words.span(span.total_seconds())
    goes_on = "" if row.ended_at or row.resolved_at else " so far"
    cause = f"<br>{row.judged_as}" if row.judged_as else ""
    return (
        f"<b>{words.short(row.title, 60)}</b><br>{theme.severity_words(row.severity)} · "
        f"{words.moment(row.onset)} · {lasted}{goes_on}{cause}"
    )


def _milliseconds(span: timedelta) -> float:
    return span.total_seconds() * 1000


def _text(moment: datetime) -> str:
    return change_marks.at(moment.astimezone(UTC), "UTC")
