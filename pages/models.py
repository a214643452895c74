"""Models: is the challenger better, and what would it change?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from workbench.services import models
from workbench.ui import cache, frame, model_charts, models_view, runs, state
from workbench.ui.state import Key

context, tenant, actor = state.who()


def pair(versions: Sequence[Mapping[str, Any]], domain: str) -> tuple[str, str] | None:
    """The two versions that the link names, else champion and challenger; None where there are not two."""
    meant = {alias: row["id"] for row in versions for alias in row["aliases"]}
    chosen = {}
    for key in (Key.CHAMPION, Key.CHALLENGER):
        given = st.query_params.get(key, "")
        if given and given not in {row["id"] for row in versions}:
            st.error(f"Version {given[:40]} not found.", icon=":material/search_off:")
            st.page_link(
                state.MODELS, label="Champion and challenger", icon=":material/arrow_back:"
            )
            raise st.stop()
        chosen[key] = given or meant.get(key, "")
    champion, challenger = chosen.values()
    if not champion:
        frame.empty("No model yet. The first detection run fits one.")
        runs.detect_button(domain)
        return None
    if challenger in ("", champion):
        frame.empty(
            f"No challenger waits: {model_charts.version(champion)} scores alone. "
            "Train one, or choose a version below to compare with it.",
            state.TRAIN,
            "Train a challenger",
        )
        return None
    return champion, challenger


def page() -> None:
    """The comparison where there are two to compare, and the versions and moves beneath it."""
    domain = frame.domain_choice()
    versions = models.listing(context, tenant, domain=domain)
    if cache.freshness(domain).newest_day is None:
        frame.no_data()
        return
    chosen = pair(versions, domain)
    if chosen is not None:
        models_view.contest(domain, *chosen)
    if versions:
        left, right = st.columns(2, gap="medium")
        with left:
            models_view.version_table(versions)
        with right:
            models_view.history(domain)


page()
