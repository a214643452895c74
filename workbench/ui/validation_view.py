"""The pieces of the Validation page: what is there when, the checks, and what is expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.domains import DOMAINS
from core.errors import HeadwaterError
from core.evaluate.data_quality import Check, Finding, State
from workbench.services import measures, validation, validation_page
from workbench.services.validation import Picture, Report
from workbench.ui import charts, frame, runs, state, theme, words
from workbench.ui.state import Key
from workbench.ui.theme import Palette

HUES = {"pass": "green", "warn": "yellow", "fail": "red", "untested": "gray"}
KINDS = ("none", "part", "whole")
IN_SIGHT, FOUND = 6, 150
"""Findings of a check that stand at once, and the height in pixels in which more of them scroll."""
SHORT = {
    "completeness": "completeness",
    "intervals": "steps",
    "gaps": "holes",
    "outliers": "values",
    "duplicates": "repeats",
    "clock": "clocks",
    "labels": "labels",
}
"""A check in one word."""
MOST_GLYPHS = 60
"""Columns up to which a cell has room for its glyph."""


def told(name: str) -> str:
    """A state as glyph and word in its colour, for markdown."""
    glyph, word, _ = validation_page.MARKS[name]
    return f":{HUES[name]}[**{glyph} {word}**]"


def look(domain: str) -> None:
    """Look now, in a thread of the server."""
    context, tenant, actor = state.who()
    runs.start(
        tenant,
        "Validation",
        lambda on_step: validation.validate(
            context, tenant, domain=domain, actor=actor, on_step=on_step
        ),
    )


def verdict(report: Report) -> None:
    """The whole in a sentence, when it was looked, the page to take away, and what is wrong with its cure."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"{told(report.state)} {validation_page.VERDICTS[report.state]}", width="stretch"
        )
        st.download_button(
            "Download as HTML",
            partial(validation_page.page, report),
            file_name=f"data-{report.domain}-{report.at:%Y-%m-%d}.html",
            mime="text/html",
            icon=":material/download:",
            on_click="ignore",
        )
        st.button(
            "Check now",
            icon=":material/fact_check:",
            shortcut="V",
            type=theme.main_button(),
            disabled=runs.busy(state.who()[1]),
            on_click=look,
            args=(report.domain,),
        )
    every = f", one series in {report.every} sample by sample"
    st.caption(
        f"{words.moment(report.start)} to {words.moment(report.end)} · "
        f"{words.count(report.samples, 'sample')}{every if report.every > 1 else ''} · "
        f"looked at {words.moment(report.at)} by {report.actor}"
    )
    st.markdown("\u2003".join(_short(check) for check in validation_page.ordered(report)))
    checks(report, ("fail", "warn"))


def _short(check: Check) -> str:
    """A check's state and what it is about, in a word."""
    glyph = validation_page.MARKS[check.state][0]
    return f":{HUES[check.state]}[{glyph} {SHORT.get(check.name, check.name)}]"


def picture(report: Report) -> None:
    """What is there when: a row per expected metric."""
    frame.draw(
        "What is there when",
        chart(report.picture, theme.palette()),
        lambda: table(report.picture),
        alt="Expected metric by time: there, partly there (◆) or missing (▲).",
        key="validation",
    )
    st.caption("■ there · ◆ partly there · ▲ missing")


def chart(there: Picture, colours: Palette) -> go.Figure:
    """Expected metric × time: there in quiet green, partly and missing in colours with their glyph."""
    inks = (colours.critical, colours.medium, theme.tint(colours.good, 0.35))
    scale = [[(place + edge) / 3, ink] for place, ink in enumerate(inks) for edge in (0.0, 1.0)]
    kinds = [[validation_page.presence(share) for share in row] for row in there.shares]
    glyphs = {kind: glyph for kind, (glyph, _) in validation_page.THERE.items()} | {"": ""}
    drawn = charts.figure(colours, 18 * len(there.labels) + 46)
    drawn.add_heatmap(
        x=list(there.starts),
        y=list(there.labels),
        z=[[KINDS.index(kind) if kind else None for kind in row] for row in kinds],
        zmin=-0.5,
        zmax=2.5,
        colorscale=scale,
        showscale=False,
        xgap=1,
        ygap=3,
        customdata=[list(row) for row in there.shares],
        text=[[glyphs[kind] for kind in row] for row in kinds],
        texttemplate="%{text}" if len(there.starts) <= MOST_GLYPHS else None,
        textfont={"color": colours.background, "size": 10},
        hovertemplate="%{y}, %{x|%-d %b %H:%M}: %{customdata:.0%}<extra></extra>",
    )
    drawn.update_xaxes(charts.TIME)
    drawn.update_yaxes(
        autorange="reversed", tickfont={"color": colours.ink}, showgrid=False, dtick=1
    )
    return drawn


def table(there: Picture) -> pd.DataFrame:
    """The same as shares in words, newest first."""
    columns = {
        label: [words.percent(share, 0) for share in row]
        for label, row in zip(there.labels, there.shares, strict=True)
    }
    rows = {"From": [words.moment(start) for start in there.starts], **columns}
    return pd.DataFrame(rows).iloc[::-1]


def checks(report: Report, states: Sequence[State]) -> None:
    """The checks of these states in two columns, the worst first: figure, rule, findings and cure."""
    labels = dict(zip(report.picture.names, report.picture.labels, strict=True))
    told = [check for check in validation_page.ordered(report) if check.state in states]
    sides = st.columns(2, gap="medium") if len(told) > 1 else [st.container()]
    for place, check in enumerate(told):
        with sides[place % 2], st.container(border=True):
            _check(check, labels)


def _check(check: Check, labels: Mapping[str, str]) -> None:
    """One check; `labels` of metrics by name."""
    with st.container(horizontal=True):
        st.markdown(f"**{check.title}**", width="stretch")
        st.markdown(told(check.state), width="content")
    st.markdown(check.message)
    if check.findings:
        with st.container(
            height=FOUND if len(check.findings) > IN_SIGHT else "content", border=False
        ):
            st.markdown("  \n".join(_found(found, labels) for found in check.findings))
    if check.cure:
        st.markdown(f":material/healing: {check.cure}")
    st.caption(f"Rule: {check.rule}")


def _found(found: Finding, labels: Mapping[str, str]) -> str:
    """Where, a metric as people call it and as it is named, and what."""
    label = labels.get(found.where)
    where = f"{label}, {found.where}" if label else found.where
    return f"**{words.literal(where)}** · {words.literal(found.message)}"


def expected(domain: str) -> None:
    """The list of what is expected, to be edited."""
    context, tenant, _ = state.who()
    chosen = validation.expected(context, tenant, domain=domain)
    measured = [info.name for info in measures.listing(context, tenant, domain=domain)]
    theirs = "as the domain says" if not chosen.version else f"your version {chosen.version}"
    with st.expander(f"What is expected: {words.count(len(chosen.metrics), 'metric')}, {theirs}"):
        own = [metric.name for metric in DOMAINS[domain].metrics]
        wanted = st.multiselect(
            "Expected metrics",
            list(dict.fromkeys([*chosen.metrics, *own, *measured])),
            default=list(chosen.metrics),
            accept_new_options=True,
            key=f"{Key.EXPECTED}:{chosen.version}",
            help="Choose among what is measured, or write the name of what should be",
        )
        with st.container(horizontal=True):
            st.button(
                "Save",
                disabled=not wanted or tuple(wanted) == chosen.metrics,
                on_click=_expect,
                args=(domain, wanted, chosen.version),
            )
            st.button(
                "Back to the domain's list",
                disabled=tuple(own) == chosen.metrics,
                on_click=_expect,
                args=(domain, own, chosen.version),
            )


def _expect(domain: str, wanted: list[str], seen: int) -> None:
    context, tenant, actor = state.who()
    try:
        validation.expect(context, tenant, wanted, domain=domain, seen=seen, actor=actor)
    except HeadwaterError as error:
        state.notify(str(error), failed=True)
        return
    state.notify("Kept. The next check asks for these.")


def link(domain: str) -> None:
    """The way from the Data page, with what was found last."""
    context, tenant, _ = state.who()
    last = validation.latest(context, tenant, domain=domain)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(
            state.VALIDATION,
            label="Is the data good enough to learn from?",
            icon=":material/fact_check:",
            query_params={Key.DOMAIN: domain},
        )
        if last is None:
            st.caption("Nobody looked yet.")
        else:
            st.markdown(f"{told(last.state)} :gray[{words.moment(last.at)}]")
