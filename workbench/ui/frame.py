"""What surrounds every page: header, sections, empty states, and failures told with a cure and an id."""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.domains import DOMAINS
from core.errors import HeadwaterError, NotFoundError
from workbench.services import alerts, brief, incidents, models
from workbench.services.alerts import AlertDetail
from workbench.services.incidents import IncidentDetail
from workbench.ui import cache, pill, runs, state, words
from workbench.ui.state import Key

log = logging.getLogger(__name__)

LIST = (
    ("J", "next one"),
    ("K", "previous one"),
    ("O", "open it"),
    ("A", "acknowledge"),
    ("E", "resolve, or reopen"),
)
UNDO = (("U", "undo your last action"),)
DETECT = (("D", "run detection"),)
KEYS = {
    "Headwater": (),
    "Triage": (*LIST, *UNDO, *DETECT),
    "Incidents": (
        *LIST,
        *UNDO,
        ("G", "an incident's root cause"),
        ("L", "label an incident"),
        ("B", "back to the list"),
    ),
    "Label": (
        ("1–9 0", "its cause; while you skip, why"),
        ("Y E D X H", "real, expected, a data error, a duplicate, unsure"),
        ("G", "the component"),
        ("Q W T", "sure, fairly sure, not sure"),
        ("N", "a note; Esc leaves it"),
        ("Ctrl Enter", "submit"),
        ("S", "skip"),
        ("P", "the one before"),
        ("B", "back to the queue"),
        *UNDO,
    ),
    "Data": DETECT,
    "Train": (
        ("S", "start the training"),
        ("X", "cancel the job"),
        ("M", "resume it"),
        ("L", "clone it"),
    ),
    "Models": (("P", "promote the challenger"), *DETECT),
    "Drift": (("T", "retrain with the window of the drift check"),),
    "Experiments": (("N", "take it to its next rung"), *DETECT),
    "Alert": (
        ("G", "its root cause"),
        ("I", "its incident, or raise one"),
        ("L", "label it"),
        *LIST[3:],
        *UNDO,
    ),
    "Root cause": (
        ("B", "back to the alert"),
        ("I", "its incident"),
        ("L", "label it"),
        *LIST[3:],
        *UNDO,
    ),
    "Adjudicate": (
        ("1 2", "whose label is right; 3 for neither"),
        *LIST[:2],
        *UNDO,
    ),
    "Agreement": (("G", "go to the disagreements"),),
    "Validation": (("V", "check now"),),
}
"""The keys of each page, by its title."""
CONFIG = {"displayModeBar": False, "scrollZoom": False, "doubleClick": "reset"}


@contextlib.contextmanager
def guard() -> Iterator[None]:
    """Turn a failure of the page into words, a cure and an id; the log keeps the trace."""
    try:
        yield
    except HeadwaterError as error:
        identity = failure(error.message, error.hint)
        log.exception("Page failed (%s)", identity)
    except Exception:
        identity = failure(
            "This page could not be drawn.", "Reload it; if it stays, report this id."
        )
        log.exception("Page failed (%s)", identity)


def failure(what: str, cure: str) -> str:
    """An error box: what failed, what to do, an id to copy. Returns the id."""
    identity = secrets.token_hex(4)
    with st.container(border=True):
        st.error(f"{what}\n\n{cure}" if cure else what, icon=":material/error:")
        st.code(identity, language=None, width="content")
    return identity


def alert_in_url(parameter: str) -> AlertDetail:
    """The alert that the link names; for anything else says so, leads back and ends the page."""
    context, tenant, _ = state.who()
    given = st.query_params.get(parameter, "")
    number = state.number(given)
    try:
        if number is not None:
            return alerts.get(context, tenant, number)
    except NotFoundError:
        log.info("A link named alert %d, which tenant %s has not", number, tenant)
    st.error(f"Alert {given[:40] or 'without a number'} not found.", icon=":material/search_off:")
    st.page_link(state.TRIAGE, label="Back to triage", icon=":material/arrow_back:")
    raise st.stop()


def incident_in_url(given: str) -> IncidentDetail:
    """The incident of this number; for anything else says so, leads back and ends the page."""
    context, tenant, _ = state.who()
    number = state.number(given)
    try:
        if number is not None:
            return incidents.get(context, tenant, number)
    except NotFoundError:
        log.info("A link named incident %d, which tenant %s has not", number, tenant)
    st.error(f"Incident {given[:40]} not found.", icon=":material/search_off:")
    st.page_link(state.INCIDENTS, label="All incidents", icon=":material/arrow_back:")
    raise st.stop()


def empty(why: str, page: str = "", label: str = "") -> None:
    """Nothing to show: why, and one next step."""
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f":gray[{why}]", text_alignment="center")
        if page:
            st.page_link(page, label=label, icon=":material/arrow_forward:")


BEGIN = {
    "": "No data yet. Import report files to begin. For running systems add a Prometheus or import measurements; "
    "`headwater simulate services` makes some to try.",
    "ads": "No data yet. Import report files to begin.",
    "services": "No measurements yet. Add a Prometheus or import files to begin; `headwater simulate services` makes "
    "some to try.",
}
"""What to bring, by the domain that the link names, "" where it names none."""


def domain_choice() -> str:
    """The domain that the page is about; above the page the choice, where there is one."""
    context, tenant, _ = state.who()
    held, shown = brief.domains(context, tenant), state.domain()
    if len(held) > 1:
        st.session_state[Key.DOMAIN] = shown
        st.segmented_control(
            "Domain",
            held,
            format_func=words.domain,
            key=Key.DOMAIN,
            on_change=state.take_domain,
            label_visibility="collapsed",
            required=True,
        )
    return shown


def no_data() -> None:
    """Nothing came in at all: say so in the words of who looks, with the next step."""
    told = str(st.query_params.get(Key.DOMAIN, ""))
    empty(BEGIN.get(told, BEGIN[""]), state.DATA, "Go to data")


def draw(
    title: str,
    chart: go.Figure,
    table: Callable[[], pd.DataFrame],
    *,
    alt: str,
    key: str,
    on_select: Any = "ignore",
) -> Any:
    """A titled chart with alt text, and the same numbers as a table at a switch."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{title}**", width="stretch")
        # no switch: while one has the focus, Streamlit hears no shortcut
        as_table = st.segmented_control(
            "Shown as", ["Table"], key=f"table:{key}", label_visibility="collapsed"
        )
    if as_table:
        return st.dataframe(
            table(),
            hide_index=True,
            column_config={"Day": st.column_config.DateColumn(format="D MMM YYYY")},
            height=min(420, chart.layout.height or 300),
        )
    return st.plotly_chart(
        chart,
        theme=None,
        key=f"chart:{key}",
        alt=alt,
        config=CONFIG,
        on_select=on_select,
        selection_mode="points",
    )


def toast() -> None:
    """What the last action did."""
    notice = state.take_notice()
    if notice:
        st.toast(
            notice.text,
            icon=":material/error:" if notice.failed else ":material/check:",
            duration="long",
        )


def header(page: str) -> None:
    """How fresh the data is, what scores it, what is running, who is looking, and the page's keys."""
    context, tenant, actor = state.who()
    shown = state.domain()
    standing = brief.standing(context, tenant, domain=shown)
    fresh = cache.freshness(shown)
    facts = [
        f":material/calendar_today: data to {words.day(fresh.newest_day, year=True)}",
        f":material/search: last run {words.moment(standing.last_run)}"
        if standing.last_run
        else ":material/search: never run",
        f":material/deployed_code: {standing.champion[-8:] or 'no model yet'}",
    ]
    facts.append(f":material/person: {actor}")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("  ·  ".join(facts), width="stretch")
        with st.container(width="content"):
            pill.pill()
        with st.popover("Keys", type="tertiary", icon=":material/keyboard:"):
            st.markdown("\n".join(f"- `{key}` {does}" for key, does in KEYS[page]))
    for domain in DOMAINS:
        if told := models.notice(context, tenant, domain):
            st.warning(told, icon=":material/gpp_maybe:")
    runs.progress()
