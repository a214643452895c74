"""The pieces of the Adjudicate page: one disagreement with its sides, and the decision by one key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.errors import HeadwaterError
from workbench.services import adjudication, agreement, labelling
from workbench.services.adjudication import Dispute, Side
from workbench.services.evidence import Evidence
from workbench.services.labelling import Item
from workbench.services.taxonomy import REAL, Taxonomy
from workbench.services.verdicts import CONFIDENCE, Verdict
from workbench.ui import cache, frame, state, theme, verbs, words
from workbench.ui.state import Key

DIFFERENT = "≠"
FIELDS = {"disposition": "What it is", "causes": "Cause", "component": "Started at"}


def waiting(domain: str) -> list[Dispute]:
    """What people see differently, what this person may settle first."""
    context, tenant, actor = state.who()
    return adjudication.disputes(context, tenant, domain=domain, actor=actor)


def name(dispute: Dispute) -> str:
    """How a link names it: `incident-12`."""
    return f"{dispute.subject_kind}-{dispute.subject_id}"


def chosen(found: Sequence[Dispute]) -> Dispute:
    """The one that the link names, else the first; a settled one is past."""
    given = st.query_params.get(Key.DISPUTE, "")
    return next((dispute for dispute in found if name(dispute) == given), found[0])


def heading(dispute: Dispute, found: Sequence[Dispute]) -> None:
    """What it is about, how many wait, and the way on."""
    mine = sum(not one.own for one in found)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"{theme.severity_markdown(dispute.severity)} **{dispute.title}**", width="stretch"
        )
        own = f", {len(found) - mine} that you judged yourself" if mine < len(found) else ""
        st.caption(f"{words.count(mine, 'disagreement')} for you to settle{own}")
        for label, key, by in (("Previous", "K", -1), ("Next", "J", 1)):
            place = (found.index(dispute) + by) % len(found)
            st.button(
                label,
                shortcut=key,
                type="tertiary",
                disabled=len(found) < 2,
                on_click=_look_at,
                args=(name(found[place]),),
            )


def looked_at(dispute: Dispute) -> tuple[Item, Evidence]:
    """What the people saw who judged it."""
    context, tenant, actor = state.who()
    item = labelling.item_on(context, tenant, dispute.subject_kind, dispute.subject_id, actor=actor)
    return item, cache.evidence(item)


def sides(dispute: Dispute, known: Taxonomy) -> None:
    """Everybody's verdict in a column of its own; what differs stands out, what is the same stays grey."""
    for place, (column, side) in enumerate(
        zip(st.columns(len(dispute.sides), gap="small"), dispute.sides, strict=True), start=1
    ):
        with column, st.container(border=True, gap="xxsmall"):
            st.markdown(f"**{side.by}**")
            st.caption(f"{words.moment(side.at)}{' · blind' if side.blind else ''}")
            for field, label in FIELDS.items():
                st.markdown(
                    _line(label, _said(side.verdict, field, known), field in dispute.differs)
                )
            st.caption(
                f"confidence {side.verdict.confidence}"
                + (f" · “{side.verdict.note}”" if side.verdict.note else "")
            )
            st.button(
                f"{side.by} is right",
                key=f"side:{side.label_id}",
                shortcut=str(place),
                help=f"Key {place}",
                disabled=dispute.own,
                width="stretch",
                on_click=settle,
                args=(dispute,),
                kwargs={"side": side},
            )


def _line(label: str, said: str, differs: bool) -> str:
    if differs:
        return f"{label}: :primary[{DIFFERENT} **{said}**]"
    return f":gray[{label}: {said}]"


def _said(verdict: Verdict, field: str, known: Taxonomy) -> str:
    if field == "disposition":
        names = {one.name: one.label for one in known.dispositions}
        return names.get(verdict.disposition, verdict.disposition)
    if field == "causes":
        return " + ".join(map(known.label, verdict.causes)) or words.MISSING
    return _place(verdict.component, known.domain) if verdict.component else words.MISSING


def _place(node: str, domain: str) -> str:
    """`recommendation (service)`; the id of what the graph does not hold."""
    graph = cache.graph(domain)
    if node not in graph.net:
        return node
    return f"{graph.name(node)} ({words.inline(words.level(graph.level(node)))})"


def another(dispute: Dispute, seen: Evidence, known: Taxonomy) -> None:
    """The third way: a verdict of its own, in the words of the taxonomy."""
    key = len(dispute.sides) + 1
    open_now = st.session_state.get(Key.DECIDING) == name(dispute)
    with st.container(horizontal=True):
        st.button(
            "Neither: say what it is" if key == 3 else "None of them: say what it is",
            shortcut=str(key),
            help=f"Key {key}",
            disabled=dispute.own,
            icon=":material/edit:",
            on_click=_decide,
            args=("" if open_now else name(dispute),),
        )
        verbs.undo_button()
    if open_now and not dispute.own:
        _form(dispute, seen, known)


def _form(dispute: Dispute, seen: Evidence, known: Taxonomy) -> None:
    with st.form(f"verdict:{name(dispute)}"):
        dispositions = {one.name: one.label for one in known.dispositions}
        disposition = st.pills(
            "What it is", list(dispositions), format_func=dispositions.__getitem__, default=REAL
        )
        causes = st.pills(
            "Cause",
            [word.name for word in known.active],
            format_func=known.label,
            selection_mode="multi" if known.several else "single",
        )
        said = [side.verdict.component for side in dispute.sides if side.verdict.component]
        places = {place: _place(place, known.domain) for place in said} | dict(seen.components)
        left, right = st.columns(2)
        started = left.selectbox(
            "Started at",
            list(places),
            format_func=lambda place: places.get(place, place),
            index=None,
            placeholder="Choose, or name what the graph lacks",
            accept_new_options=True,
        )
        confidence = right.pills("Confidence", list(CONFIDENCE), default="high")
        note = st.text_input("Why", max_chars=4000, placeholder="Kept with the verdict")
        if st.form_submit_button("Settle it so", type=theme.main_button()):
            told = [causes] if isinstance(causes, str) else list(causes or ())
            in_graph = started in cache.graph(known.domain).net if started else False
            verdict = Verdict(
                disposition or REAL,
                tuple(told),
                component=started or "" if in_graph else "",
                confidence=confidence or "high",
                note=note,
                missing="" if in_graph else started or "",
            )
            settle(dispute, verdict=verdict)
            st.rerun()


def settle(dispute: Dispute, *, side: Side | None = None, verdict: Verdict | None = None) -> None:
    """Keep the decision, and go on with the next disagreement; what is refused is told and nothing is lost."""
    context, tenant, actor = state.who()
    about: dict[str, Any] = {
        "subject_kind": dispute.subject_kind,
        "subject_id": dispute.subject_id,
        "actor": actor,
        "seen": [one.label_id for one in dispute.sides],
    }
    try:
        adjudication.settle(
            context, tenant, **about, label_id=side.label_id if side else None, verdict=verdict
        )
    except HeadwaterError as error:
        state.notify(str(error), failed=True)
        return
    won = f"{side.by} is right" if side else "by a verdict of your own"
    state.notify(
        f"Settled {dispute.subject_kind} {dispute.subject_id}: {won}. Undo (U) takes it back."
    )
    _decide("")
    _look_at("")


def _decide(which: str) -> None:
    st.session_state[Key.DECIDING] = which


def _look_at(which: str) -> None:
    if which:
        st.query_params[Key.DISPUTE] = which
    else:
        st.query_params.pop(Key.DISPUTE, None)


def nothing(domain: str) -> None:
    """Nobody differs, or nobody could: say so, and lead on."""
    context, tenant, _ = state.who()
    judged = agreement.to_date(context, tenant, domain=domain).items
    if judged:
        why = f"Nothing to settle: of {words.count(judged, 'thing')} that two people judged, none is open."
        frame.empty(why, state.AGREEMENT, "How far people agree")
    else:
        why = "Nothing to settle: nothing was judged by two people yet. A fifth of the queue goes to two."
        frame.empty(why, state.LABEL, "Go on labelling")
    verbs.undo_button()
