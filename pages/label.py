"""Label: a hundred before lunch, one item a screen."""

from __future__ import annotations

import streamlit as st

from workbench.ui import cache, frame, label_view


@st.fragment
def screen() -> None:
    """The item at hand: evidence left, choices right; only this is drawn anew from item to item."""
    with frame.guard():
        domain = label_view.domain()
        item = label_view.current(domain)
        label_view.progress(domain, item)
        if item is None:
            label_view.nothing(domain)
            return
        seen, words_of = cache.evidence(item), label_view.vocabulary(domain)
        label_view.heading(item, seen)
        left, right = st.columns([13, 9], gap="medium")
        with left:
            label_view.evidence(item, seen)
        with right:
            label_view.form(item, seen, words_of)
            label_view.told(item, seen, words_of)
            label_view.elsewhere(domain)
        label_view.ahead(item)


screen()
