"""The words of a label, changed by people: one change makes the next version, and no label loses its meaning."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.errors import HeadwaterError
from workbench.services import taxonomy
from workbench.services.taxonomy import Change, Taxonomy
from workbench.ui import state, words

VERBS = {
    "add": "Add a cause",
    "rename": "Show it by another word",
    "merge": "Merge it into another",
    "retire": "Retire it",
    "restore": "Take it back into use",
}


def button(domain: str) -> None:
    """Open the words of a domain."""
    if st.button("Words", icon=":material/sell:", type="tertiary"):
        _editor(domain)


@st.dialog("Words of a label", width="large")
def _editor(domain: str) -> None:
    context, tenant, actor = state.who()
    present, *before = taxonomy.history(context, tenant, domain)
    made = f"made by {present.by} on {words.moment(present.at)}" if present.at else "as it ships"
    several = "several causes at a time" if present.several else "one cause at a time"
    st.caption(f"Version {present.number} of {domain}, {made}; {several}. {len(before)} before it.")
    st.dataframe(_rows(present), hide_index=True, height="content")
    verb = st.selectbox("Change", list(VERBS), format_func=VERBS.__getitem__)
    change = _asked(verb, present)
    if st.button(f"Make version {present.number + 1}", type="secondary", disabled=change is None):
        try:
            taxonomy.edit(
                context, tenant, domain, changes=[change], actor=actor, seen=present.number
            )
        except HeadwaterError as error:
            st.error(f"{error.message}\n\n{error.hint}", icon=":material/error:")
        else:
            st.rerun()


def _rows(present: Taxonomy) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Key": [word.key for word in present.causes],
            "Word": [word.label for word in present.causes],
            "Name": [word.name for word in present.causes],
            "Counts as": [present.label(present.now(word.name)) for word in present.causes],
            "In use": ["no" if word.retired else "yes" for word in present.causes],
        }
    )


def _asked(verb: str, present: Taxonomy) -> Change | None:
    """The change as the fields say it; None while something is missing."""
    if verb == "add":
        name = st.text_input("Name", placeholder="dns_failure", max_chars=64)
        label = st.text_input("Word", placeholder="DNS failure", max_chars=64)
        return Change(verb="add", name=name.strip(), label=label) if name.strip() else None
    retired = verb == "restore"
    names = [word.name for word in present.causes if word.retired == retired]
    name = st.selectbox("Cause", names, format_func=present.label, index=0 if names else None)
    if name is None:
        return None
    if verb == "rename":
        label = st.text_input("Word", present.label(name), max_chars=64)
        return Change(verb="rename", name=name, label=label)
    if verb == "merge":
        others = [word.name for word in present.active if word.name != name]
        into = st.selectbox("Into", others, format_func=present.label)
        return Change(verb="merge", name=name, into=into) if into else None
    return Change.model_validate({"verb": verb, "name": name})
