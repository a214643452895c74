"""Adjudicate: where two people differ, who is right?"""

from __future__ import annotations

import streamlit as st

from workbench.services import taxonomy
from workbench.ui import adjudication_view, agreement_view, label_view, state

context, tenant, actor = state.who()


def page() -> None:
    """What was seen on the left, what each made of it on the right, and one key that settles it."""
    domain = agreement_view.domain_choice("Who is right?")
    found = adjudication_view.waiting(domain)
    if not found:
        adjudication_view.nothing(domain)
        return
    known = taxonomy.of(context, tenant, domain)
    dispute = adjudication_view.chosen(found)
    item, seen = adjudication_view.looked_at(dispute)
    adjudication_view.heading(dispute, found)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        label_view.evidence(item, seen)
    with right:
        adjudication_view.sides(dispute, known)
        if dispute.own:
            st.caption(
                ":material/lock: You judged this one yourself: somebody else must settle it."
            )
        adjudication_view.another(dispute, seen, known)
        label_view.told(item, seen, known)


page()
