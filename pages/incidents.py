"""Incidents: what happened, when, and what was it?"""

from __future__ import annotations

import streamlit as st

from workbench.services import alerts, incidents
from workbench.services.incidents import IncidentDetail
from workbench.ui import cache, frame, incident_view, incidents_view, state

context, tenant, actor = state.who()


def listing() -> None:
    """Time line and list on the left, the chosen one and the ways in on the right."""
    chosen = incidents_view.filters()
    left, right = st.columns([5, 3], gap="medium")
    with left:
        if not incidents.page(context, tenant, status="any", limit=1).incidents:
            frame.empty(
                "No incident yet. They come from PagerDuty, from a file, by hand, or from Headwater's own alerts."
            )
            row = None
        else:
            incidents_view.time_line(chosen)
            row = incidents_view.pages(chosen)
    with right:
        if row is not None:
            incidents_view.preview(row)
        incidents_view.bring()


def one(detail: IncidentDetail) -> None:
    """One incident: what happened on the left, what it means on the right."""
    leading = alerts.page(
        context, tenant, filters={"incident": detail.incident.id, "status": "any"}, limit=1
    ).alerts
    incident_view.heading(detail, leading[0].id if leading else None)
    seen = cache.surroundings(detail)
    left, right = st.columns([5, 3], gap="medium")
    with left:
        incident_view.evidence(detail, seen)
    with right:
        incident_view.meaning(detail, seen)


def page() -> None:
    """The incident that the link names, else all of them."""
    given = st.query_params.get(state.Key.INCIDENT, "")
    if not given:
        listing()
        return
    one(frame.incident_in_url(given))


page()
