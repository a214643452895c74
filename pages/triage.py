"""Triage: what broke overnight, what first, and where did it start?"""

from __future__ import annotations

from datetime import date
from typing import Any

import streamlit as st

from workbench.services import alerts, brief, incidents
from workbench.services.views import Standing
from workbench.ui import cache, cards, charts, frame, runs, state, tables, theme, words
from workbench.ui.state import Key

INCIDENTS = 4
context, tenant, actor = state.who()
domain = state.domain()


def incident_list() -> None:
    """Incidents, worst first."""
    found = incidents.page(context, tenant, domain=domain, limit=INCIDENTS)
    st.markdown("**Where it started**")
    if not found.incidents:
        st.caption("No open incident: no alerts share a cause.")
    for row in found.incidents:
        cards.incident(row)
    if found.next:
        st.caption(f"The {INCIDENTS} worst. Resolve or acknowledge them to see the next.")


def when_it_broke(chosen: dict[str, Any], last_day: date) -> None:
    """Alerts by day, severity and level; a click on a bar keeps that day."""
    days, counts = brief.when(context, tenant, chosen, last_day=last_day)
    kept = state.kept_day()
    frame.draw(
        "When it broke",
        charts.timeline(days, counts, theme.palette(), str(kept or "")),
        lambda: tables.timeline(days, counts),
        alt="Alerts by day of onset, stacked by severity, told by level. Choose a bar to keep that day.",
        key=Key.TIMELINE,
        on_select=state.take_day,
    )
    if kept:
        st.button(
            f"Only {words.day(kept)}: show all days",
            on_click=state.all_days,
            type="tertiary",
            icon=":material/close:",
        )


def filter_row() -> dict[str, Any]:
    """Filters, each kept in the URL; a change starts at the first page."""
    statuses = ("open", "acknowledged", "resolved")
    state.adopt(Key.SEVERITY, theme.SEVERITIES)
    state.adopt(Key.STATUS, statuses)
    levels = words.levels(domain)
    state.adopt(Key.LEVEL, levels)
    state.adopt_text(Key.TEXT, 100)
    shared: dict[str, Any] = {"on_change": state.publish, "label_visibility": "collapsed"}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        severity = st.segmented_control(
            "Severity",
            theme.SEVERITIES,
            format_func=theme.severity_words,
            key=Key.SEVERITY,
            **shared,
        )
        status = st.selectbox(
            "Status",
            statuses,
            index=None,
            format_func=str.capitalize,
            placeholder="Active",
            key=Key.STATUS,
            **shared,
        )
        level = st.selectbox(
            "Level",
            levels,
            index=None,
            format_func=words.level,
            placeholder="Any level",
            key=Key.LEVEL,
            **shared,
        )
        text = st.text_input(
            "Name or id", key=Key.TEXT, placeholder="Name or id", max_chars=100, **shared
        )
    chosen = {"severity": severity, "status": status, "level": level, "text": text.strip()}
    return {"domain": domain} | {name: value for name, value in chosen.items() if value}


def alert_table(chosen: dict[str, Any]) -> Any | None:
    """A keyset page of alerts, never all of them; returns the chosen one."""
    cursors = st.session_state.setdefault(Key.CURSORS, [None])
    found = alerts.page(context, tenant, filters=chosen, after=cursors[-1], limit=tables.PAGE)
    if not found.alerts:
        frame.empty("No alert matches these filters.")
        return None
    row = state.show([alert.id for alert in found.alerts])
    st.dataframe(
        tables.alert_rows(found.alerts, cache.known_at(domain), domain),
        hide_index=True,
        column_config=tables.alert_columns(domain),
        height=tables.height(len(found.alerts)),
        on_select=state.take_row,
        selection_mode=("single-row-required", "single-cell"),
        key=Key.ROWS,
        alt="Alerts, worst and latest first. Choose a row to preview it.",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        first = tables.PAGE * (len(cursors) - 1) + 1
        st.caption(
            f"{words.number(first)}–{words.number(first + len(found.alerts) - 1)}", width="stretch"
        )
        back = st.button(
            "Previous page", disabled=len(cursors) == 1, icon=":material/chevron_left:"
        )
        on = st.button("Next page", disabled=found.next is None, icon=":material/chevron_right:")
    if back or on:
        st.session_state[Key.CURSORS] = cursors[:-1] if back else [*cursors, found.next]
        st.rerun()
    return found.alerts[row]


def nothing(last_day: date | None, standing: Standing) -> bool:
    """Say why there is nothing to look at, and offer the one next step."""
    if last_day is None:
        frame.no_data()
        return True
    if standing.last_error:
        st.warning(
            f"The last detection run failed: {standing.last_error}", icon=":material/warning:"
        )
    if standing.last_run is None:
        frame.empty(
            f"Data up to {words.day(last_day, year=True)} is here, nothing was checked yet."
        )
        runs.detect_button(domain)
        return True
    return False


def page() -> None:
    """The brief, what started where, and the alerts beneath it."""
    frame.domain_choice()
    standing = brief.standing(context, tenant, domain=domain)
    last_day = cache.freshness(domain).newest_day
    if nothing(last_day, standing) or last_day is None:
        return
    cards.live()
    today = brief.of(context, tenant, last_day=last_day, domain=domain)
    cards.numbers(today, domain)
    if not (today.open or today.incidents or set(st.query_params) - {Key.DOMAIN}):
        frame.empty(
            f"No open alerts. Last run {words.moment(standing.last_run)}, "
            f"{words.count(standing.entities_checked, 'entity', 'entities')} scored.",
            state.INCIDENTS,
            "What happened before",
        )
        filter_row()
        return
    left, right = st.columns([5, 3], gap="medium")
    with left:
        incident_list()
        chosen = filter_row()
    with right:
        when_it_broke(chosen, last_day)
    with left:
        alert = alert_table({**chosen, "broke": state.kept_day()})
    with right:
        if alert is not None:
            cards.preview(alert)


page()
