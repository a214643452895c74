"""The pieces of the Data page that differ by domain: what is measured, and where it is fetched from."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from core.contracts import OnStep
from core.domains import DOMAINS
from core.errors import HeadwaterError
from workbench.services import measures, retention, sources
from workbench.services.sources import FetchReport
from workbench.ui import runs, state, tables, words
from workbench.ui.state import Key

HURTS = {1: "▲ a rise", -1: "▼ a fall", 0: "either"}
SAID_BY = {"hand": "a person", "domain": "the domain", "source": "its source", "name": "its name"}
ROWS_IN_SIGHT = 8


def domain() -> str:
    """Whose data: the link's domain, else the one looked at, with data or without; the choice above the page."""
    told = tuple(DOMAINS)
    state.adopt(Key.DOMAIN, told, state.domain())
    st.segmented_control(
        "Domain",
        told,
        format_func=words.domain,
        key=Key.DOMAIN,
        required=True,
        label_visibility="collapsed",
        on_change=state.publish_one,
        args=(Key.DOMAIN,),
    )
    return str(st.session_state[Key.DOMAIN])


def measured(domain: str) -> None:
    """Every metric with unit and the direction that hurts, to be corrected where a name told it wrong."""
    context, tenant, _ = state.who()
    found = measures.listing(context, tenant, domain=domain)
    if not found:
        return
    st.markdown("**What is measured**")
    kept(domain)
    untold = sum(info.said_by == "name" and not info.bad for info in found)
    nobody = f"; of {words.number(untold)} nobody told which direction hurts" if untold else ""
    st.caption(
        f"{words.count(len(found), 'metric')}{nobody}. Change a unit or a direction where you know better."
    )
    st.data_editor(
        pd.DataFrame(
            {
                "Metric": [info.label for info in found],
                "Name": [info.name for info in found],
                "Unit": [info.unit for info in found],
                "Hurts": [HURTS[info.bad] for info in found],
                "Told by": [SAID_BY[info.said_by] for info in found],
                "Entities": [info.entities for info in found],
                "Every": [words.span(info.interval_seconds) for info in found],
            }
        ),
        hide_index=True,
        disabled=["Name", "Told by", "Entities", "Every"],
        column_config={
            "Metric": st.column_config.TextColumn(width=200, required=True),
            "Name": st.column_config.TextColumn(width=200),
            "Unit": st.column_config.TextColumn(width=70),
            "Hurts": st.column_config.SelectboxColumn(
                width=80, options=list(HURTS.values()), required=True
            ),
            "Told by": st.column_config.TextColumn(width=86),
            "Entities": st.column_config.NumberColumn(width=66),
            "Every": st.column_config.TextColumn(width=60),
        },
        height=tables.height(len(found), ROWS_IN_SIGHT),
        key=Key.MEASURES,
        on_change=_correct,
        args=(domain, [info.name for info in found]),
    )


def kept(domain: str) -> None:
    """How long measurements are kept, and what went last."""
    context, tenant, _ = state.who()
    days = context.settings.sample_days
    gone = retention.latest(context, tenant, domain=domain)
    told = f"Kept {words.count(days, 'day')} back from the newest" if days else "Kept for ever"
    if gone:
        told += (
            f"; {words.count(gone.samples, 'sample')} from before {gone.before:%-d %b %Y} went on"
            f" {gone.dropped_at:%-d %b %Y}"
        )
    st.caption(f"{told}.")


def _correct(domain: str, names: list[str]) -> None:
    """What was edited becomes what a person said."""
    context, tenant, actor = state.who()
    bad = {word: direction for direction, word in HURTS.items()}
    try:
        for row, cells in st.session_state[Key.MEASURES]["edited_rows"].items():
            told: dict[str, Any] = {
                "label": cells.get("Metric"),
                "unit": cells.get("Unit"),
                "bad": bad[cells["Hurts"]] if "Hurts" in cells else None,
            }
            measures.declare(context, tenant, names[row], domain=domain, actor=actor, **told)
    except HeadwaterError as error:
        state.notify(str(error), failed=True)
        return
    state.notify("Noted. Your word stands above file, source and name.")


def fetched(domain: str) -> None:
    """The domain's sources, how far each has come, a fetch now, and one more."""
    context, tenant, _ = state.who()
    known = sources.listing(context, tenant, domain=domain)
    st.markdown("**Fetched from**")
    for source in known:
        until = f"to {words.moment(source.until)}" if source.until else "not yet"
        st.markdown(f"{source.name}  \n:gray[{source.url} · {until}]")
        if source.error:
            st.markdown(f":red[▲ {source.error}]")
    if not known:
        st.caption("No source yet. A Prometheus is asked every five minutes while the server runs.")
    with st.container(horizontal=True):
        st.button(
            "Fetch now",
            icon=":material/sync:",
            disabled=not known or runs.busy(tenant),
            on_click=_fetch,
            args=(domain,),
        )
        with st.popover("Add a source", icon=":material/add:"):
            name = st.text_input("Name", max_chars=64, placeholder="production")
            url = st.text_input("Address", max_chars=300, placeholder="http://prometheus:9090")
            st.caption("Labels, queries of your own and tokens: `headwater sources add --help`")
            st.button(
                "Add",
                disabled=not (name and url and context.settings.on_loopback),
                help=None
                if context.settings.on_loopback
                else "Only on the server's own machine: headwater sources add",
                on_click=_add,
                args=(domain, name.strip(), url),
            )


def _fetch(domain: str) -> None:
    context, tenant, actor = state.who()

    def work(on_step: OnStep) -> list[FetchReport]:
        return sources.fetch(context, tenant, domain=domain, actor=actor, on_step=on_step)

    runs.start(tenant, "Fetch", work, kept="what was fetched before stays")


def _add(domain: str, name: str, url: str) -> None:
    context, tenant, actor = state.who()
    try:
        sources.add(context, tenant, name=name, url=url, domain=domain, actor=actor)
    except HeadwaterError as error:
        state.notify(str(error), failed=True)
        return
    _fetch(domain)
