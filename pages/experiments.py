"""Experiments: may another version take over, and how far has it come?"""

from __future__ import annotations

import streamlit as st

from workbench.services import experiments, models
from workbench.services.experiments import ExperimentView
from workbench.ui import cache, experiments_view, frame, runs, state

context, tenant, actor = state.who()


def chosen(views: list[ExperimentView]) -> ExperimentView | None:
    """The experiment that the link names, else the running one, else the newest; None where there is none."""
    given = st.query_params.get("id", "")
    numbers = {view.id for view in views}
    if given and state.number(given) not in numbers:
        st.error(f"Experiment {given[:40]} not found.", icon=":material/search_off:")
        st.page_link(state.EXPERIMENTS, label="All experiments", icon=":material/arrow_back:")
        raise st.stop()
    if not views:
        return None
    live = [view.id for view in views if view.state == "running"]
    number = state.number(given) or (live or [views[0].id])[0]
    return experiments.get(context, tenant, number)


def page() -> None:
    """One experiment on the left; all of them and the plan of the next on the right."""
    domain = frame.domain_choice()
    views = experiments.listing(context, tenant, domain=domain)
    view = chosen(views)
    if cache.freshness(domain).newest_day is None:
        frame.no_data()
        return
    versions = models.listing(context, tenant, domain=domain)
    if not any("champion" in row["aliases"] for row in versions):
        frame.empty("No model yet. The first detection run fits one.")
        runs.detect_button(domain)
        return
    left, right = st.columns([5, 3], gap="medium")
    with left:
        if view is None:
            frame.empty(
                "No experiment yet. A version is tried in shadow first: both judge every row, the champion "
                "alone alerts. Then it alerts for 1, 5, 25 and 50 % of the units, and is taken back by itself "
                "where it errs, lags, floods or leaves gaps."
            )
        else:
            experiments_view.show(view)
    with right:
        if view is not None:
            experiments_view.table(views, view.id)
        experiments_view.plan(
            domain, versions, main=view is None or view.state not in ("planning", "running")
        )


page()
