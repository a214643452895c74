"""The pieces of Triage: four numbers, an incident in a line, an alert in a nutshell, the live notice."""

from __future__ import annotations

from typing import Any

import streamlit as st

from workbench.services import brief
from workbench.services.views import Brief
from workbench.ui import cache, charts, frame, incidents_view, state, theme, verbs, words
from workbench.ui.state import Key


def numbers(today: Brief, domain: str) -> None:
    """What is new, critical, an incident, at risk where there is money; each with its last two weeks by onset."""
    visit = state.visit()
    since = f"since {words.moment(visit.since)}" if visit.since else "on your first visit"
    main, *others = sorted(today.at_risk.items(), key=lambda item: -item[1]) or [("", 0.0)]
    rest = " + ".join(words.money(amount, currency) for currency, amount in others)
    cards = [
        ("New alerts", words.number(visit.alerts), today.alerts_by_day, f"New {since}"),
        ("Open critical", words.number(today.critical), today.critical_by_day, "Not muted"),
        ("Open incidents", words.number(today.incidents), today.incidents_by_day, "One cause each"),
    ]
    if words.has_money(domain):
        at_risk = words.money(main[1], main[0]) + (f" + {rest}" if rest else "")
        meaning = "Of open alerts that no incident mutes"
        cards.append(("Spend at risk", at_risk, today.at_risk_by_day, meaning))
    columns = st.columns(len(cards))
    for column, (label, value, daily, meaning) in zip(columns, cards, strict=True):
        column.metric(
            label,
            value,
            border=True,
            chart_data=list(daily),
            chart_type="bar",
            height=118,
            help=f"{meaning}. Bars: by day of onset, the last {len(daily)} days.",
        )


def incident(row: Any) -> None:
    """What it is, what it costs, and what to do, in one line."""
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
        with st.container(gap=None, width="stretch"):
            st.markdown(f"{theme.severity_markdown(row.severity)} **{row.title}**")
            found = row.alerts > 0
            money = found and words.has_money(row.domain)
            told = (
                f"started at {row.root_name}" if incidents_view.found_too(row) else "",
                words.count(row.alerts, "alert") if found else "",
                f"{words.money(row.spend_at_risk, row.currency)} at risk" if money else "",
                words.age(row.onset, cache.known_at(row.domain)),
                f"confidence {words.confidence(row.confidence)}" if found else "",
                row.status,
            )
            st.caption(" · ".join(filter(None, told)))
        if st.button("Open", key=f"open:incident {row.id}", icon=":material/account_tree:"):
            if row.alert_id is None:
                state.go_to(state.INCIDENTS, incident=row.id)
            state.go_to(state.CAUSE, alert=row.alert_id)
        verbs.verbs(row, only=("acknowledge",))


def preview(alert: Any) -> None:
    """The chosen alert: its metric around it, a sentence, the likeliest cause, and the verbs."""
    with st.container(border=True):
        st.markdown(
            f"{theme.severity_markdown(alert.severity)} **{alert.entity_name or alert.entity}**  \n"
            f":gray[{words.level(alert.level)} · p {words.p_value(alert.p_value)} · {alert.status}]"
        )
        if alert.predicted_for:
            said = f"Foretold: {words.foretold(alert)}"
            st.badge(said, icon=":material/schedule:", color="blue")
        curve = cache.glance(alert)
        if curve is not None:
            colours = theme.palette()
            st.plotly_chart(
                charts.series(
                    curve, colours, severity=alert.severity, height=charts.SPARK, axes=False
                ),
                theme=None,
                config=frame.CONFIG,
                key=f"glance:{alert.id}",
                alt=f"{curve.label} around the alert with its expected band.",
            )
        with st.container(horizontal=True):
            if st.button(
                "Open", type=theme.main_button(), shortcut="O", icon=":material/open_in_full:"
            ):
                state.go_to(state.ALERT, alert=alert.id)
            verbs.verbs(alert)
            verbs.undo_button()
        st.markdown(alert.sentence)
        if alert.root_causes:
            cause = alert.root_causes[0]
            st.markdown(
                f"Likely started at {words.inline(words.level(cause['level']))} **{cause['name']}**: "
                f"{words.literal(words.inline(cause['type_label']))} "
                f"({words.confidence(cause['confidence'])} confidence)."
            )
        with st.container(horizontal=True):
            st.button("Previous", shortcut="K", type="tertiary", on_click=state.step, args=(-1,))
            st.button("Next", shortcut="J", type="tertiary", on_click=state.step, args=(1,))


@st.fragment(run_every="20s")
def live() -> None:
    """Says when alerts came in since the page was opened; the list itself moves only when asked."""
    context, tenant, _ = state.who()
    opened = st.session_state.setdefault(Key.OPENED, state.now())
    arrived = brief.arrived(context, tenant, opened)
    if arrived and st.button(
        f"{words.count(arrived, 'new alert')} since you opened this page: show",
        icon=":material/refresh:",
    ):
        st.session_state[Key.OPENED] = state.now()
        st.rerun()
