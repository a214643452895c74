"""Components that somebody missed in the graph while labelling: taken in as nodes, or not."""

from __future__ import annotations

import streamlit as st

from core.errors import HeadwaterError
from data.records import NodeProposal
from workbench.services import proposals
from workbench.ui import cache, state, words

TAKEN_IN = "Take it away again"


def button(domain: str) -> None:
    """Open what people missed, where anybody did; with how many wait for a decision."""
    context, tenant, _ = state.who()
    found = proposals.listing(context, tenant, domain=domain)
    if not found.waiting and not found.accepted:
        return
    label = f"Missed components ({len(found.waiting)})" if found.waiting else "Missed components"
    if st.button(label, icon=":material/add_circle:", type="tertiary"):
        _listing(domain)


@st.dialog("Components that people missed", width="large")
def _listing(domain: str) -> None:
    context, tenant, _ = state.who()
    found = proposals.listing(context, tenant, domain=domain)
    st.caption(
        "An accepted one is a node of the graph at once: it can be picked, drawn and found as a cause. "
        "An import that names it takes its place."
    )
    for row in found.waiting:
        _line(row, {"Accept": "accepted", "Dismiss": "dismissed"})
    for row in found.accepted:
        _line(row, {TAKEN_IN: "dismissed"})


def _line(row: NodeProposal, decisions: dict[str, str]) -> None:
    graph = cache.graph(row.domain)
    at = f" at {graph.name(row.parent)}" if row.parent in graph.net else ""
    by = f"taken in by {row.decided_by}" if row.decided_by else f"missed{at} by {row.proposed_by}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**{row.name}** :gray[{by} on {words.moment(row.decided_at or row.at)}]",
            width="stretch",
        )
        for label, decision in decisions.items():
            if st.button(label, key=f"missed:{row.id}:{decision}"):
                _decide(row, decision)


def _decide(row: NodeProposal, decision: str) -> None:
    context, tenant, actor = state.who()
    try:
        proposals.decide(context, tenant, row.id, state=decision, actor=actor)
    except HeadwaterError as error:
        st.error(f"{error.message}\n\n{error.hint}", icon=":material/error:")
    else:
        st.rerun()
