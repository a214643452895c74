"""Validation: is the data good enough to learn from, and what to do where it is not?"""

from __future__ import annotations

import streamlit as st

from workbench.services import sources, validation
from workbench.ui import cache, data_view, frame, runs, state, theme, validation_view

context, tenant, _ = state.who()


def page() -> None:
    """The verdict with what is wrong and its cure, what is there when, all else that was asked, what is expected."""
    st.page_link(state.DATA, label="Data", icon=":material/arrow_back:")
    domain = data_view.domain()
    if not cache.arrivals(domain).reports:
        frame.no_data()
        return
    report = validation.latest(context, tenant, domain=domain)
    if report is None:
        frame.empty("Nobody looked at these data yet: are they good enough to learn from?")
        st.button(
            "Check now",
            icon=":material/fact_check:",
            shortcut="V",
            type=theme.main_button(),
            disabled=runs.busy(tenant),
            on_click=validation_view.look,
            args=(domain,),
        )
    else:
        validation_view.verdict(report)
        validation_view.picture(report)
        validation_view.checks(report, ("pass", "untested"))
    if domain in sources.domains():
        validation_view.expected(domain)


page()
