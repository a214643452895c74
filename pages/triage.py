"""Triage: what broke overnight, what first, and where did it start?"""

from __future__ import annotations

from datetime import date
from typing import Any

import streamlit as st

from workbench.services import alerts, brief, incidents
from workbench.services.views import Brief, Standing
from workbench.ui import cache, charts, frame, runs, state, tables, theme, verbs, words
from workbench.ui.state import Key

INCIDENTS = 4
context, tenant, actor = state.who()


def numbers(today: Brief) -> None:
    """Four numbers with their last two weeks."""
    visit = state.visit()
    since = f"since {words.moment(visit.since)}" if visit.since else "on your first visit"
    main, *others = sorted(today.at_risk.items(), key=lambda item: -item[1]) or [("", 0.0)]
    rest = " + ".join(words.money(amount, currency) for currency, amount in others)
    cards = (
        (
            "New alerts",
            words.number(visit.alerts),
            today.alerts_by_day,
            f"New {since}; bars: alerts by day",
        ),
        (
            "Open critical",
            words.number(today.critical),
            today.critical_by_day,
            "Bars: critical by day",
        ),
        ("Open incidents", words.number(today.incidents), today.incidents_by_day, "Bars: by onset"),
        (
            "Spend at risk",
            words.money(main[1], main[0]) + (f" + {rest}" if rest else ""),
            today.at_risk_by_day,
            "Of open alerts that no incident mutes",
        ),
    )
    for column, (label, value, daily, meaning) in zip(st.columns(4), cards, strict=True):
        column.metric(
            label,
            value,
            border=True,
            chart_data=list(daily),
            chart_type="bar",
            height=118,
            help=meaning,
        )


def incident_list() -> None:
    """Incidents, worst first; one line each with what it is, what it costs and what to do."""
    rows = incidents.page(context, tenant, limit=INCIDENTS).incidents
    st.markdown("**Where it started**")
    if not rows:
        st.caption("No open incident: no alerts share a cause.")
    for row in rows:
        with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
            with st.container(gap=None, width="stretch"):
                st.markdown(f"{theme.severity_markdown(row.severity)} **{row.title}**")
                st.caption(
                    f"{words.level(row.root_level)} {row.root_name} · {words.count(row.alerts, 'alert')} · "
                    f"{words.money(row.spend_at_risk, row.currency)} at risk · "
                    f"{words.age(row.onset, state.now())} · confidence {words.percent(row.confidence, 0)} · "
                    f"{row.status}"
                )
            if st.button("Open", key=f"open:incident {row.id}", icon=":material/account_tree:"):
                st.switch_page(state.CAUSE, query_params={"alert": str(row.alert_id)})
            verbs.verbs(row, keys=False)


def when_it_broke(chosen: dict[str, Any], last_day: date) -> None:
    """Alerts by day and severity; a click on a bar keeps that day."""
    days, counts = brief.when(context, tenant, chosen, last_day=last_day)
    kept = st.session_state.get(Key.DAY, "")
    frame.draw(
        "When it broke",
        charts.timeline(days, counts, theme.palette(), kept),
        lambda: tables.timeline(days, counts),
        alt="Alerts by day, stacked by severity. Choose a bar to keep that day.",
        key=Key.TIMELINE,
        on_select=state.take_day,
    )
    if kept:
        st.button(
            f"{words.day(date.fromisoformat(kept))} only — show all days",
            on_click=state.all_days,
            type="tertiary",
            icon=":material/close:",
        )


def filter_row() -> dict[str, Any]:
    """Filters, each bound to the URL; a change starts at the first page."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        severity = st.segmented_control(
            "Severity",
            theme.SEVERITIES,
            format_func=theme.severity_words,
            key=Key.SEVERITY,
            bind="query-params",
            on_change=state.first_page,
            label_visibility="collapsed",
        )
        status = st.selectbox(
            "Status",
            ("open", "acknowledged", "resolved"),
            index=None,
            format_func=str.capitalize,
            placeholder="Open or acknowledged",
            key=Key.STATUS,
            bind="query-params",
            on_change=state.first_page,
            label_visibility="collapsed",
        )
        level = st.selectbox(
            "Level",
            words.LEVELS,
            index=None,
            format_func=words.level,
            placeholder="Any level",
            key=Key.LEVEL,
            bind="query-params",
            on_change=state.first_page,
            label_visibility="collapsed",
        )
        text = st.text_input(
            "Name or id",
            key=Key.TEXT,
            placeholder="Name or id",
            max_chars=100,
            bind="query-params",
            on_change=state.first_page,
            label_visibility="collapsed",
        )
    chosen = {"severity": severity, "status": status, "level": level, "text": (text or "").strip()}
    return {name: value for name, value in chosen.items() if value}


def alert_table(chosen: dict[str, Any]) -> Any | None:
    """A keyset page of alerts, never all of them; returns the chosen one."""
    cursors = st.session_state.setdefault(Key.CURSORS, [None])
    found = alerts.page(context, tenant, filters=chosen, after=cursors[-1], limit=tables.PAGE)
    if not found.alerts:
        frame.empty("No alert matches these filters.")
        return None
    row = state.show([alert.id for alert in found.alerts])
    st.dataframe(
        tables.alert_rows(found.alerts, state.now()),
        hide_index=True,
        column_config=tables.ALERT_COLUMNS,
        height=tables.height(len(found.alerts)),
        on_select=state.take_row,
        selection_mode="single-row-required",
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


def preview(alert: Any) -> None:
    """The chosen alert in a nutshell, and what can be done about it."""
    with st.container(border=True):
        st.markdown(
            f"{theme.severity_markdown(alert.severity)} **{alert.entity_name or alert.entity}**  \n"
            f":gray[{words.level(alert.level)} · p {words.p_value(alert.p_value)} · {alert.status}]"
        )
        curve = cache.glance(alert)
        if curve is not None:
            st.plotly_chart(
                charts.series(
                    curve, theme.palette(), severity=alert.severity, height=charts.SPARK, axes=False
                ),
                theme=None,
                config=frame.CONFIG,
                key=f"glance:{alert.id}",
                alt=f"{curve.label} of the last two weeks with its expected band.",
            )
        st.markdown(alert.sentence)
        if alert.root_causes:
            cause = alert.root_causes[0]
            st.markdown(
                f"Likely started at {words.level(cause['level']).lower()} **{cause['name']}**: "
                f"{words.cause(cause['type']).lower()}"
                f" ({words.percent(cause['confidence'], 0)} confidence)."
            )
        with st.container(horizontal=True):
            if st.button(
                "Open", type=theme.main_button(), shortcut="O", icon=":material/open_in_full:"
            ):
                st.switch_page(state.ALERT, query_params={"id": str(alert.id)})
            verbs.verbs(alert)
            verbs.undo_button()
        with st.container(horizontal=True):
            st.button("Previous", shortcut="K", type="tertiary", on_click=state.step, args=(-1,))
            st.button("Next", shortcut="J", type="tertiary", on_click=state.step, args=(1,))


@st.fragment(run_every="20s")
def live() -> None:
    """Says when alerts came in since the page was opened; the list itself moves only when asked."""
    opened = st.session_state.setdefault(Key.OPENED, state.now())
    arrived = brief.arrived(context, tenant, opened)
    if arrived and st.button(
        f"{words.count(arrived, 'new alert')} since you opened this page — show",
        icon=":material/refresh:",
    ):
        st.session_state[Key.OPENED] = state.now()
        st.rerun()


def nothing(last_day: date | None, standing: Standing) -> bool:
    """Say why there is nothing to look at, and offer the one next step."""
    if last_day is None:
        frame.empty("No data yet. Import report files to begin.", state.DATA, "Go to data")
        return True
    if standing.last_run is None:
        frame.empty(
            f"Data up to {words.day(last_day, year=True)} is here, nothing was checked yet."
        )
        runs.detect_button()
        return True
    return False


def page() -> None:
    """The brief, what started where, and the alerts beneath it."""
    standing = brief.standing(context, tenant)
    last_day = cache.freshness().newest_day
    if nothing(last_day, standing) or last_day is None:
        return
    live()
    today = brief.of(context, tenant, last_day=last_day)
    numbers(today)
    if not today.open and not st.query_params:
        frame.empty(
            f"No open alerts. Last run {words.moment(standing.last_run)}, "
            f"{words.count(standing.entities_checked, 'entity', 'entities')} scored."
        )
    left, right = st.columns([5, 3], gap="medium")
    with left:
        incident_list()
        chosen = filter_row()
    with right:
        when_it_broke(chosen, last_day)
    with left:
        alert = alert_table({**chosen, **state.day_filter()})
    with right:
        if alert is not None:
            preview(alert)


page()
