"""Agreement: do people judge alike, and which labels are doubtful?"""

from __future__ import annotations

import streamlit as st

from workbench.services import taxonomy
from workbench.ui import agreement_view, cache, frame, state

context, tenant, actor = state.who()


def page() -> None:
    """The answer in a sentence and four figures, who differs on the left, on what on the right."""
    found = agreement_view.chosen()
    known = taxonomy.of(context, tenant, found.domain)
    left, right = st.columns([1, 1], gap="medium")
    with left:
        if found.items:
            agreement_view.figures(found)
            agreement_view.people(found)
        else:
            frame.empty(
                "Nothing was judged by two people yet. A fifth of the queue goes to two, and neither sees what the "
                "model guesses or the other says.",
                state.LABEL,
                "Go on labelling",
            )
    with right:
        if found.items:
            agreement_view.answers(found, known)
        agreement_view.suspects(cache.suspects(found.domain), known)
        agreement_view.precision(found.domain)
        agreement_view.export(found.domain)


page()
