"""The pieces of the Agreement page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from workbench.services import adjudication, queue
from workbench.services import agreement as service
from workbench.services.agreement import ALL, ASPECTS, BLIND, Agreement
from workbench.services.suspects import Suspects
from workbench.services.taxonomy import SHIPPED, Taxonomy
from workbench.ui import (
    agreement_charts,
    cache,
    frame,
    state,
    tables,
    taxonomy_editor,
    theme,
    words,
)
from workbench.ui.state import Key

WHICH = {BLIND: "Blind only", ALL: "All"}
ROWS = 6
LEARNED = 0.5
"""Share of things of which models must say the same as people before their doubts are worth much."""


def domain_choice(title: str) -> str:
    """The page's question and its domain, from the link and back into it."""
    domains = tuple(SHIPPED)
    state.adopt(Key.DOMAIN, domains, state.domain())
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"#### {title}", width="stretch")
        _control(Key.DOMAIN, domains, words.domain)
    return str(st.session_state[Key.DOMAIN])


def chosen() -> Agreement:
    """How far people agree, in what and on which labels the link names; the question and the choices above it."""
    domains = tuple(SHIPPED)
    state.adopt(Key.DOMAIN, domains, state.domain())
    state.adopt(Key.ASPECT, tuple(ASPECTS), "answer")
    state.adopt(Key.WHICH, tuple(WHICH), "")
    picked = (str(st.session_state[key]) for key in (Key.DOMAIN, Key.ASPECT, Key.WHICH))
    found = cache.agreement_of(*picked)
    st.session_state[Key.WHICH] = found.which
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("#### Do people judge alike?", width="stretch")
        _control(Key.ASPECT, tuple(ASPECTS), str.capitalize)
        _control(Key.WHICH, tuple(WHICH), WHICH.__getitem__)
        _control(Key.DOMAIN, domains, words.domain)
    return found


def _control(key: Key, options: tuple[str, ...], say: Callable[[str], str]) -> None:
    st.segmented_control(
        key.capitalize(),
        options,
        format_func=say,
        key=key,
        required=True,
        label_visibility="collapsed",
        on_change=state.publish_one,
        args=(key,),
    )


def figures(found: Agreement) -> None:
    """The percentage beside its base rates, and the coefficients with their intervals."""
    colours = theme.palette()
    st.markdown(found.statement)
    frame.draw(
        "Agreement with 95 % intervals",
        agreement_charts.intervals(found, colours),
        lambda: agreement_charts.figures(found),
        alt=f"{found.statement} Four figures as points on their intervals.",
        key=f"agreement:{found.domain}:{found.aspect}",
    )
    blind = "judged blind" if found.which == BLIND else "judged"
    st.caption(
        f"{words.count(found.items, 'thing')} {blind} by several of {words.count(found.people, 'person', 'people')}. "
        f"Alpha's distance is {found.distance}. Above {agreement_charts.RELIABLE:g} a conclusion holds, above "
        f"{agreement_charts.TENTATIVE:.2f} a tentative one (Krippendorff)."
    )


def people(found: Agreement) -> None:
    """Who agrees with whom, on known answers, and from week to week."""
    frame.draw(
        "Who agrees with whom",
        agreement_charts.matrix(found.pairs, theme.palette()),
        lambda: agreement_charts.pairs(found.pairs),
        alt=f"Cohen's kappa of {words.count(len(found.pairs), 'pair')} of people.",
        key=f"pairs:{found.domain}:{found.aspect}",
    )
    left, right = st.columns(2)
    with left:
        st.markdown("**By week**")
        _table(agreement_charts.weeks(found))
    with right:
        st.markdown("**On known answers**")
        if found.gold:
            _table(agreement_charts.gold(found))
        else:
            st.caption("None asked yet: 5 % of the queue, once some answers are settled.")


def answers(found: Agreement, known: Taxonomy) -> None:
    """Base rates, and what is taken for what."""
    say = partial(service.spoken, words=known)
    left, right = st.columns([3, 2], gap="small")
    with left:
        st.markdown("**How common, and how often given again**")
        rows = agreement_charts.answers(found, say)
        st.dataframe(
            rows,
            hide_index=True,
            column_config=agreement_charts.ANSWER_COLUMNS,
            height=tables.height(len(rows), ROWS),
        )
    with right:
        st.markdown("**Taken for each other**")
        if found.confusions:
            rows = agreement_charts.confusions(found, say)
            st.dataframe(
                rows,
                hide_index=True,
                column_config=agreement_charts.CONFUSION_COLUMNS,
                height=tables.height(len(rows), ROWS),
            )
        else:
            st.caption("No two answers were taken for each other.")


def suspects(found: Suspects, known: Taxonomy) -> None:
    """Labels that models which never saw them would have given otherwise; a row opens its subject."""
    st.markdown("**Labels in doubt**")
    if found.why:
        st.caption(found.why)
        return
    st.caption(
        f"Models that never saw the label say the same as people of {words.percent(found.same, 0)} of "
        f"{words.count(found.judged, 'thing')}; they are confident of another answer for "
        f"{words.count(found.flagged, 'label')}. "
        + (
            "Choose one to look at it again."
            if found.same >= LEARNED
            else "They learned too little yet: doubt them before the people."
        )
    )
    key = f"suspects:{found.judged}:{found.flagged}"
    picked = st.dataframe(
        agreement_charts.suspects(found.labels, partial(service.spoken, words=known)),
        hide_index=True,
        column_config=agreement_charts.SUSPECT_COLUMNS,
        height=tables.height(len(found.labels), ROWS),
        on_select=partial(state.keep_row, key),
        selection_mode=("single-row", "single-cell"),
        key=key,
    )
    rows = picked.selection.rows
    if rows and rows[0] < len(found.labels):
        one = found.labels[rows[0]]
        if st.button("Look at it again", icon=":material/replay:"):
            st.switch_page(
                state.LABEL,
                query_params={Key.DOMAIN: known.domain, one.subject_kind: str(one.subject_id)},
            )


def precision(domain: str) -> None:
    """What the random slice tells of everything that was raised."""
    context, tenant, _ = state.who()
    told = queue.precision(context, tenant, domain=domain)
    if told.statement:
        st.markdown(told.statement)


def export(domain: str) -> None:
    """The labels as a file, and the way to what waits for a decision."""
    context, tenant, _ = state.who()
    waiting = adjudication.waiting(context, tenant, domain=domain)
    with st.container(horizontal=True):
        if waiting and st.button(
            f"Settle {words.count(waiting, 'disagreement')}",
            icon=":material/balance:",
            shortcut="G",
        ):
            st.switch_page(state.ADJUDICATE, query_params={Key.DOMAIN: domain})
        st.download_button(
            "Export labels",
            lambda: service.export(context, tenant, domain=domain),
            file_name=f"labels-{domain}.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
        taxonomy_editor.button(domain)


def _table(rows: object) -> None:
    st.dataframe(rows, hide_index=True, height=tables.height(len(rows), ROWS))  # type: ignore[arg-type]
