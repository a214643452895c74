"""Alert: is it real?"""

from __future__ import annotations

from typing import Any

import streamlit as st

from workbench.services import alerts, incidents
from workbench.services.alerts import AlertDetail
from workbench.services.views import AlertView
from workbench.ui import cache, change_marks, charts, frame, state, tables, theme, verbs, words
from workbench.ui.state import Key


def evidence(alert: Any, view: AlertView) -> None:
    """Left: the metric against what was expected, then who noticed, where, and beside whom."""
    colours = theme.palette()
    metric = (
        st.segmented_control(
            "Metric",
            [curve.metric for curve in view.curves],
            default=view.focus,
            format_func=words.metric,
            key=f"{Key.FOCUS}:{alert.id}",
            label_visibility="collapsed",
            required=True,
        )
        or view.focus
    )
    curve = view.curve(metric)
    reaching = (alert.entity, *(place.entity for place in view.above))
    causes = (cause["node"] for cause in alert.root_causes)
    changes = change_marks.near(alert.domain, (*reaching, *causes), curve.days, view.zone)
    chart = charts.series(
        curve, colours, severity=alert.severity, anomalous=view.anomalous, onset=view.onset
    )
    frame.draw(
        f"{curve.label} against expected :gray[· shaded: 80 and 95 % of what is normal]",
        change_marks.mark(chart, changes, colours, view.zone),
        lambda: tables.curve(curve),
        alt=f"{curve.label} of {curve.name} by day with its expected 80 and 95 % band; "
        f"anomalous since {words.period(view.onset)}.",
        key=f"series:{alert.id}:{metric}",
    )
    if changes:
        st.caption(change_marks.caption(changes))
    if view.strips:
        frame.draw(
            "Who noticed, when :gray[· the stronger the colour the more surprising, ◆ beyond the cut]",
            charts.strips(view.strips, view.alpha, colours),
            lambda: tables.strips(view.strips),
            alt="Calibrated p-value of each detector by day; the stronger the colour the more surprising.",
            key=f"strips:{alert.id}",
        )
    if view.heat is not None:
        heat = view.heat
        frame.draw(
            f"Deviation by {'day' if view.unit == 'D' else 'minute'} and channel",
            charts.heatmap(heat, colours, view.onset),
            lambda: tables.heat(heat),
            alt="Heatmap of deviations in standard deviations: blue below expected, orange above.",
            key=f"heat:{alert.id}",
        )
    left, right = st.columns(2) if view.unit == "D" else (None, st.container())
    if left is not None:
        with left:
            frame.draw(
                "Same weekday, four weeks before",
                charts.weekdays(curve, view.last_day, colours, alert.severity),
                lambda: tables.curve(curve.last(29)),
                alt=f"{curve.label} on {words.day(view.last_day)} beside the same weekday of four weeks.",
                key=f"weekdays:{alert.id}:{metric}",
            )
    with right:
        if view.siblings:
            frame.draw(
                "Siblings under the same parent",
                charts.siblings(view.siblings, colours, alert.entity),
                lambda: tables.curves(view.siblings),
                alt="The same metric of the neighbours; this entity in the accent colour.",
                key=f"siblings:{alert.id}",
            )


def meaning(detail: AlertDetail, view: AlertView) -> None:
    """Right: what it says in words, which channel and detector say so, the setting, and what was done."""
    alert, colours = detail.alert, theme.palette()
    with st.container(border=True):
        st.markdown(alert.sentence or "No explanation was asked for in this run.")
        with st.container(horizontal=True):
            verbs.verbs(alert)
            verbs.undo_button()
            if st.button("Label", icon=":material/sell:", shortcut="L"):
                st.switch_page(
                    state.LABEL, query_params={"domain": alert.domain, "alert": str(alert.id)}
                )
        if st.button(
            "Go to root cause",
            type=theme.main_button(),
            icon=":material/account_tree:",
            shortcut="G",
            width="stretch",
        ):
            state.go_to(state.CAUSE, alert=alert.id)
        incident(alert)
    if view.contributions is not None:
        shares = view.contributions
        frame.draw(
            "What the score rests on",
            charts.contributions(shares, colours),
            lambda: tables.contributions(shares),
            alt="Share of the score by channel, in total and per detector.",
            key=f"shares:{alert.id}",
        )
    facts(
        "Detectors",
        tuple(
            (part.detector, f"left out, {part.left_out}")
            if part.left_out
            else (part.detector, f"p {words.p_value(part.p_value)}")
            for part in view.parts
        ),
    )
    facts("Settings at detection", view.settings)
    facts(
        "Account at detection",
        tuple(words.condition(name, value, alert.currency) for name, value in view.market),
    )
    st.markdown("**History**")
    if not detail.history:
        st.caption("Nobody has touched it yet.")
    for event in detail.history:
        done = verbs.deed(event.verb)
        st.caption(f"{words.moment(event.at, view.zone)} · {event.actor} · {done}")
    for comment in detail.comments:
        st.caption(f"{words.moment(comment.at, view.zone)} · {comment.author}")
        st.text(comment.body)
    with st.form("comment", clear_on_submit=True, border=False):
        text = st.text_input(
            "Comment", key=Key.COMMENT, placeholder="Leave a comment", max_chars=4000
        )
        if st.form_submit_button("Comment") and text.strip():
            verbs.attempt("Comment kept.", alerts.comment, alert.id, text=text.strip())
            st.rerun()


def incident(alert: Any) -> None:
    """The incident that speaks for the alert, or a way to make one of it."""
    number = alert.incident_id
    label = "Raise an incident" if number is None else f"Incident {number}"
    if not st.button(label, icon=":material/emergency:", shortcut="I", width="stretch"):
        return
    if number is None:
        done = "Incident raised. Undo (U) takes it back."
        raised = verbs.attempt(done, incidents.raise_from, alert.id)
        if raised is None:
            st.rerun()
        number = raised.id
    state.go_to(state.INCIDENTS, incident=number)


def facts(title: str, rows: tuple[tuple[str, ...], ...]) -> None:
    """A short list of names and values."""
    if rows:
        st.markdown(f"**{title}**")
        st.markdown("\n".join(f"- {name}: {' → '.join(values)}" for name, *values in rows))


def page() -> None:
    """Find the alert that the link names, and show it."""
    detail = frame.alert_in_url(Key.ALERT)
    alert = detail.alert
    view = cache.alert_view(alert)
    with st.container(gap="xxsmall"):
        st.caption(" › ".join(f"{words.level(place.level)} {place.name}" for place in view.above))
        st.subheader(
            f"{theme.severity_markdown(alert.severity)} {alert.entity_name or alert.entity}",
            anchor=False,
        )
        money = words.money(alert.spend_at_risk, alert.currency)
        at_risk = f"{money} at risk · " if words.has_money(alert.domain) else ""
        st.caption(
            f"{words.level(alert.level)} · {at_risk}p {words.p_value(alert.p_value)} · onset {words.period(view.onset, year=True)} · "
            f"{alert.status} · {words.periods(view.unit, view.zone)}"
        )
        if alert.predicted_for:
            said = words.foretold(alert, view.zone)
            st.badge(f"Foretold: {said}", icon=":material/schedule:", color="blue")
    for notice in view.notices:
        st.caption(f":material/info: {notice}")
    left, right = st.columns([2, 1], gap="medium")
    with left:
        if view.curves:
            evidence(alert, view)
        else:
            frame.empty("No data of this entity in the period shown.", state.DATA, "Go to data")
    with right:
        meaning(detail, view)


page()
