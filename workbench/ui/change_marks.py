"""Change events on a time line: a faint rule from top to bottom, its glyph by kind, the story on hover."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import plotly.graph_objects as go

from core.contracts import Times
from workbench.services import changes
from workbench.services.views import Lane
from workbench.ui import state, theme, words
from workbench.ui.theme import Palette

SYMBOLS = {
    "deploy": "triangle-down",
    "config": "diamond",
    "rollback": "triangle-left",
    "scaling": "square",
    "flag": "pentagon",
    "maintenance": "cross",
    "other": "circle",
}
GLYPHS = {"deploy": "▼", "config": "◆", "rollback": "◀", "scaling": "■", "flag": "⬟"}
NOUNS = {"config": "configuration change", "flag": "flag change", "other": "other change"}
MOST_RULES = 40
"""Beyond so many rules a chart is a fence; the glyphs stay."""
AXIS = "y9"


def mark(chart: go.Figure, events: Sequence[Any], colours: Palette, zone: str = "UTC") -> go.Figure:
    """Draw the events onto a chart over time, whose axis is in the zone's wall clock; returns the chart."""
    if not events:
        return chart
    moments = [at(event.at, zone) for event in events]
    if len(events) <= MOST_RULES:
        for moment in moments:
            chart.add_shape(
                type="line",
                x0=moment,
                x1=moment,
                y0=0,
                y1=1,
                yref="paper",
                layer="below",
                line={"color": theme.tint(colours.primary, 0.45), "width": 1, "dash": "dot"},
            )
    chart.add_scatter(
        x=moments,
        y=[1.0] * len(events),
        yaxis=AXIS,
        mode="markers",
        marker={
            "symbol": [SYMBOLS[event.kind] for event in events],
            "size": 9,
            "color": colours.primary,
            "line": {"color": colours.background, "width": 1},
        },
        customdata=[story(event, zone) for event in events],
        hovertemplate="%{customdata}<extra></extra>",
        name="Change",
        cliponaxis=False,
        showlegend=False,
    )
    chart.update_layout(
        yaxis9={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
    )
    return chart


def near(domain: str, entities: Iterable[str], labels: Times, zone: str = "UTC") -> list[Any]:
    """What was done to these entities, or to none in particular, within the labels of a chart in the zone."""
    context, tenant, _ = state.who()
    width = labels[-1] - labels[-2] if len(labels) > 1 else np.timedelta64(1, "D")
    start, end = (
        label.astype("datetime64[s]").astype(datetime).replace(tzinfo=ZoneInfo(zone))
        for label in (labels[0], labels[-1] + width)
    )
    named = tuple(dict.fromkeys(entities))
    return changes.between(context, tenant, domain=domain, start=start, end=end, entities=named)


def before(domain: str, entities: Iterable[str], lanes: Sequence[Lane], zone: str) -> list[Any]:
    """What was done while the lanes of a chart broke, and for as long again before, at least three periods."""
    first, last = min(lane.start for lane in lanes), max(lane.end for lane in lanes)
    daily = all(lane.start == lane.start.astype("datetime64[D]") for lane in lanes)
    period = np.timedelta64(1, "D") if daily else np.timedelta64(1, "h")
    lead = max(last - first, 3 * period)
    return near(domain, entities, np.array([first - lead, last - period, last]), zone)


def at(moment: Any, zone: str) -> str:
    """A moment as a chart of the zone's wall clock takes it."""
    return moment.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")


def story(event: Any, zone: str = "UTC") -> str:
    """What was done to what and when, in one line."""
    where = f" · {event.entity.partition(':')[2] or event.entity}" if event.entity else ""
    title = words.short(event.title, 70)
    return f"{GLYPHS.get(event.kind, '●')} {event.kind}{where} · {title} · {words.moment(event.at, zone)}"


def caption(events: Sequence[Any]) -> str:
    """`▼ 2 deploys · ◆ 1 configuration change`, "" where nothing was done."""
    counts = Counter(event.kind for event in events)
    return " · ".join(
        f"{GLYPHS.get(kind, '●')} {words.count(many, NOUNS.get(kind, kind))}"
        for kind, many in counts.most_common()
    )
