"""Root cause: where did it start?"""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from workbench.services import incidents
from workbench.services.views import Candidate, CauseView
from workbench.ui import (
    cache,
    change_marks,
    frame,
    graph_view,
    state,
    tables,
    theme,
    verbs,
    web_chart,
    words,
)
from workbench.ui.state import Key

context, tenant, actor = state.who()
DRAWING = {"expected": graph_view.hierarchy, "metrics": web_chart.web}


def choice(alert: Any, view: CauseView) -> Candidate:
    """The candidates, best first, with every term of their score; a row picks one."""
    st.markdown("**Candidates, best first**")
    key = f"{Key.CANDIDATE}:{alert.id}:{view.method}"
    picked = st.dataframe(
        tables.candidates(view.candidates),
        hide_index=True,
        column_config=tables.candidate_columns(view.candidates),
        on_select=partial(state.keep_row, key),
        selection_mode=("single-row-required", "single-cell"),
        selection_default={"selection": {"rows": [0]}},
        key=key,
        alt="Ranked candidates with the terms of their score; choose a row to highlight its path.",
    )
    rows = picked.selection.rows
    return view.candidates[rows[0] if rows and rows[0] < len(view.candidates) else 0]


def verdict(alert: Any, record: Any, view: CauseView, chosen: Candidate) -> None:
    """The chosen candidate in words, and what can be done about it."""
    with st.container(border=True):
        st.markdown(
            f"**{chosen.type_label}** at {words.inline(words.level(chosen.level))} **{chosen.name}**  \n"
            f"since {words.period(chosen.onset_day)} · confidence {words.confidence(chosen.confidence)} · "
            f"{words.count(chosen.hops, 'hop') + ' up' if chosen.hops else 'right here'}"
        )
        st.markdown("\n".join(f"- {sentence}" for sentence in chosen.evidence))
        if view.siblings:
            share = view.siblings_anomalous / view.siblings
            word = ", widespread" if share > 0.3 else ""
            st.caption(
                f"{view.siblings_anomalous} of {words.count(view.siblings, 'sibling')} of "
                f"{alert.entity_name or alert.entity} anomalous ({words.percent(share, 0)}{word})"
            )
        actions(alert, record)


def actions(alert: Any, record: Any) -> None:
    """What can be done about the incident, or about an alert that stands on its own."""
    kind = "alert" if record is alert else "incident"
    with st.container(horizontal=True):
        verbs.verbs(record)
        verbs.undo_button()
        if st.button("Label", icon=":material/sell:", shortcut="L"):
            asked = {"domain": record.domain, Key.ALERT: str(alert.id), kind: str(record.id)}
            st.switch_page(state.LABEL, query_params=asked)


def page() -> None:
    """Find the alert that the link names, and show where it started."""
    alert = frame.alert_in_url(Key.ALERT).alert
    incident = None
    if alert.incident_id is not None:
        incident = incidents.get(context, tenant, alert.incident_id).incident
    view = cache.cause_view(alert, st.session_state.get(f"{Key.METHOD}:{alert.id}"))
    colours = theme.palette()
    with st.container(horizontal=True, vertical_alignment="center"):
        title = incident.title if incident is not None else alert.entity_name or alert.entity
        st.subheader(
            f"{theme.severity_markdown((incident or alert).severity)} {title}",
            anchor=False,
            width="stretch",
        )
        if st.button("Alert", shortcut="B", icon=":material/arrow_back:", help="Back to the alert"):
            state.go_to(state.ALERT, alert=alert.id)
        if incident is not None and st.button(
            "Incident", shortcut="I", icon=":material/emergency:", help="Its time line and its like"
        ):
            state.go_to(state.INCIDENTS, incident=incident.id)
        st.segmented_control(
            "Method",
            view.methods,
            default=view.method,
            key=f"{Key.METHOD}:{alert.id}",
            required=True,
            label_visibility="collapsed",
        )
    names = {node.id: node.name for node in view.nodes}
    end = view.candidates[0].path[-1] if view.candidates else alert.entity
    felt = f" · one of an outbreak that is felt at {names.get(end, end)}"
    st.caption(
        f"Alert on {words.inline(words.level(alert.level))} {alert.entity_name or alert.entity}"
        f"{felt if end != alert.entity else ''} · {words.periods(view.unit, view.zone)}"
    )
    for notice in view.notices:
        st.caption(f":material/info: {notice}")
    left, right = st.columns([3, 2], gap="medium")
    with right:
        if view.candidates:
            chosen = choice(alert, view)
            verdict(alert, incident or alert, view, chosen)
        else:
            frame.empty(
                "No cause found: no node within reach explains this alert. The alert stands on its own."
            )
            actions(alert, incident or alert)
    path = chosen.path if view.candidates else (alert.entity,)
    with left:
        if view.nodes:
            frame.draw(
                "From cause to effect",
                DRAWING[view.kind](view.nodes, view.edges, path, colours),
                lambda: tables.nodes(view.nodes, path),
                alt=f"Hierarchy of {len(view.nodes)} nodes, causes left; "
                f"the path leads through {words.listed([names.get(node, node) for node in path], 6)}.",
                key=f"graph:{alert.id}:{view.method}:{path[0]}",
            )
        if view.lanes:
            changes = change_marks.before(
                alert.domain, [node.id for node in view.nodes], view.lanes, view.zone
            )
            order = graph_view.lanes(view.lanes, path, colours)
            frame.draw(
                "Order of onset",
                change_marks.mark(order, changes, colours, view.zone),
                lambda: tables.lanes(view.lanes),
                alt="When each node was anomalous, earliest first.",
                key=f"lanes:{alert.id}:{view.method}",
            )
            if changes:
                st.caption(change_marks.caption(changes))


page()
