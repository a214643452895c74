"""Drift: has the data moved away from what the models know?"""

from __future__ import annotations

import streamlit as st

from workbench.services import drift
from workbench.services.drift_report import DriftReport
from workbench.ui import cache, drift_view, frame, state, words
from workbench.ui.state import Key

context, tenant, actor = state.who()
domain = state.domain()


def report_in_url() -> DriftReport | None:
    """The check that the link names, else the newest; for anything else says so and ends the page."""
    given = st.query_params.get(Key.CHECK)
    if given is None:
        return drift.latest(context, tenant, domain=domain)
    number = state.number(given)
    known = {row.id for row in drift.history(context, tenant, domain=domain)}
    if number not in known:
        st.error(
            f"Check {given[:40] or 'without a number'} not found.", icon=":material/search_off:"
        )
        st.page_link(state.DRIFT, label="The newest check", icon=":material/arrow_back:")
        raise st.stop()
    return drift.get(context, tenant, number)


def nothing() -> None:
    """Say why there is nothing to look at, and offer the one next step."""
    waits = drift.wait(context, tenant, domain=domain)
    if cache.freshness(domain).as_of is None:
        frame.no_data()
    elif waits is not None:
        frame.empty(
            f"A check needs {waits.needed} whole days of history, {waits.compared}; "
            f"there {'is' if waits.days == 1 else 'are'} {waits.days}. It is made by itself "
            f"from {words.day(waits.ready, year=True)} on, or once more history is here.",
            state.DATA,
            "Import more history",
        )
    else:
        frame.empty("Enough history is here, nothing was compared yet. It is done daily, or now.")
        drift_view.check_button(domain, primary=True)


def page() -> None:
    """The answer on top; the heatmap on the left, what it means on the right."""
    frame.domain_choice()
    report = report_in_url()
    if report is None:
        nothing()
        return
    left, right = st.columns([5, 1], vertical_alignment="center")
    with left:
        drift_view.answer(report)
    with right, st.container(horizontal_alignment="right"):
        drift_view.check_button(domain)
    drift_view.numbers(report)
    part, cell = drift_view.choice(report)
    left, right = st.columns([1, 1], gap="medium")
    with left:
        drift_view.heatmaps(report, cell)
        drift_view.moved(report)
        drift_view.statement(report)
    with right:
        if report.moved:
            drift_view.proposals(report, domain)
        drift_view.one_cell(report, part, cell)
        drift_view.performance(report, domain)
        if not report.moved:
            drift_view.proposals(report, domain)
        drift_view.rules()
        drift_view.earlier(domain, report.id)


page()
