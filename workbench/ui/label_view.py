"""The Label page's pieces: what is judged now, what one sees of it, the form, and what each key does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import streamlit as st
from plotly.graph_objects import Figure

from core.domains import DOMAINS
from core.errors import ConflictError, HeadwaterError
from workbench.services import adjudication, labelling, queue, taxonomy, verdicts
from workbench.services.evidence import Evidence
from workbench.services.labelling import REASONS, Item, Progress
from workbench.services.taxonomy import Taxonomy
from workbench.services.verdicts import Verdict
from workbench.ui import (
    cache,
    change_marks,
    charts,
    frame,
    missed_components,
    state,
    tables,
    taxonomy_editor,
    theme,
    words,
)
from workbench.ui.state import Key
from workbench.ui.theme import Palette

HERE = Path(__file__).parent
FORM = "verdict_form"
CHART, HEAT = 178, 30
LEAST = 0.01
"""Belief below which a suspect is left out."""
DONE = 2
DISPOSITION_KEYS = {
    "real": "y",
    "expected": "e",
    "data_error": "d",
    "duplicate": "x",
    "unsure": "h",
}
_form = st.components.v2.component(
    "headwater_verdict",
    html='<div class="form" tabindex="-1"></div>',
    css=(HERE / "verdict_form.css").read_text(),
    js=(HERE / "verdict_form.js").read_text(),
)


# ── what is judged now ───────────────────────────────────────────────────────────────────────────


def current(domain: str) -> Item | None:
    """The item on the screen: the one that a link names, the one at hand, else the next of the queue."""
    context, tenant, actor = state.who()
    linked = _linked()
    if linked is not None and st.session_state.get(Key.LABEL_LINK) != linked:
        st.session_state[Key.LABEL_LINK] = linked
        _show(labelling.item_on(context, tenant, *linked, actor=actor))
    item: Item | None = st.session_state.get(Key.LABEL_ITEM)
    if item is None or item.domain != domain:
        item = labelling.next_item(context, tenant, domain=domain, actor=actor)
        _show(item)
    return item


def ahead(item: Item) -> None:
    """Hold the item after this one and look at it, so that it is there when it is asked for."""
    context, tenant, actor = state.who()
    following = labelling.next_item(
        context, tenant, domain=item.domain, actor=actor, after=[item.id]
    )
    if following is not None:
        drawn(following, cache.evidence(following))


def _linked() -> tuple[str, int] | None:
    for kind in ("incident", "alert"):
        number = state.number(st.query_params.get(kind, ""))
        if number is not None:
            return kind, number
    return None


def _show(item: Item | None) -> None:
    """Put an item on the screen; the form starts anew."""
    st.session_state[Key.LABEL_ITEM] = item
    st.session_state[Key.LABEL_SHOWN] = st.session_state.get(Key.LABEL_SHOWN, 0) + 1


# ── what each key does ───────────────────────────────────────────────────────────────────────────


def take() -> None:
    """Do what the form said, for the item that it was said of; what is refused stays as it was written."""
    said: Mapping[str, Any] | None = st.session_state[FORM].get("said")
    item: Item | None = st.session_state.get(Key.LABEL_ITEM)
    st.session_state[Key.LABEL_TURN] = st.session_state.get(Key.LABEL_TURN, 0) + 1
    if said is None or item is None or said["shown"] != str(st.session_state[Key.LABEL_SHOWN]):
        return
    st.session_state[Key.LABEL_TOLD] = st.session_state[Key.LABEL_REFUSED] = ""
    try:
        following, told = VERBS[said["verb"]](item, said)
    except HeadwaterError as error:
        st.session_state[Key.LABEL_REFUSED] = f"{error.message}\n{error.hint}".strip()
        if isinstance(error, ConflictError):
            newest = error.context.get("seen", item.seen)
            st.session_state[Key.LABEL_ITEM] = replace(item, seen=newest)
        return
    st.session_state[Key.LABEL_TOLD] = told
    _show(following)


def _submit(item: Item, said: Mapping[str, Any]) -> tuple[Item | None, str]:
    context, tenant, actor = state.who()
    given = said["verdict"]
    verdict = Verdict(**{**given, "causes": tuple(given["causes"])})
    about: dict[str, Any] = {
        "actor": actor,
        "verdict": verdict,
        "seen": item.seen,
        "seconds": float(said["seconds"]),
        "graph": cache.graph(item.domain),
    }
    if item.id:
        done = labelling.submit(context, tenant, item.id, **about)
        label, following = done.label, done.next
    else:
        label = labelling.label_subject(
            context, tenant, item.subject_id, subject_kind=item.subject_kind, **about
        )
        following = labelling.next_item(context, tenant, domain=item.domain, actor=actor)
    said = verdicts.in_words(replace(verdicts.verdict_of(label), note=""), vocabulary(item.domain))
    what = f"{item.subject_kind} {item.subject_id}"
    return following, f"Kept on {what}: {said}. Undo (U) takes it back."


def _skip(item: Item, said: Mapping[str, Any]) -> tuple[Item | None, str]:
    context, tenant, actor = state.who()
    if not item.id:
        return _onward(item, said)
    reason = said["reason"]
    following = labelling.skip(context, tenant, item.id, actor=actor, reason=reason)
    return (
        following,
        f"Put aside for half an hour: {words.inline(reason)}. Undo (U) brings it back.",
    )


def _undo(item: Item, _: Mapping[str, Any]) -> tuple[Item | None, str]:
    context, tenant, actor = state.who()
    back = labelling.undo(context, tenant, actor=actor, domain=item.domain)
    return back, _taken_back(back)


def _taken_back(item: Item) -> str:
    return f"Taken back: {item.subject_kind} {item.subject_id} is yours to judge again."


def _previous(item: Item, _: Mapping[str, Any]) -> tuple[Item | None, str]:
    context, tenant, actor = state.who()
    earlier = labelling.previous(
        context, tenant, actor=actor, domain=item.domain, before=item.label
    )
    if earlier is None:
        return item, "There is nothing earlier of yours."
    return (
        earlier,
        f"What you said of {earlier.subject_kind} {earlier.subject_id}. Submit changes it.",
    )


def _onward(item: Item, _: Mapping[str, Any]) -> tuple[Item | None, str]:
    context, tenant, actor = state.who()
    return labelling.next_item(
        context, tenant, domain=item.domain, actor=actor, after=[item.id]
    ), ""


VERBS: dict[str, Callable[[Item, Mapping[str, Any]], tuple[Item | None, str]]] = {
    "submit": _submit,
    "skip": _skip,
    "undo": _undo,
    "previous": _previous,
    "onward": _onward,
}


# ── drawing ──────────────────────────────────────────────────────────────────────────────────────


def domain() -> str:
    """Whose queue: the link's domain, else the one in which most waits for this person, else the one with data."""
    context, tenant, actor = state.who()
    found = labelling.waiting(context, tenant, actor=actor)
    at_hand = state.domain()
    most = max(DOMAINS, key=lambda name: (found[name], name == at_hand))
    state.adopt(Key.DOMAIN, tuple(DOMAINS), most)
    return str(st.session_state[Key.DOMAIN])


def progress(domain: str, item: Item | None) -> None:
    """The domain, how far, how hard, how fast, how much in agreement, until when, and what is out of balance."""
    context, tenant, actor = state.who()
    told = labelling.progress(context, tenant, domain=domain, actor=actor)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.segmented_control(
            "Domain",
            list(DOMAINS),
            format_func=words.domain,
            key=Key.DOMAIN,
            on_change=state.publish_domain,
            label_visibility="collapsed",
            required=True,
            width="content",
        )
        st.caption("  ·  ".join(_standing(told, domain, item)), width="stretch")
        if told.uneven:
            st.caption(f"▲ **Out of balance:** {told.uneven}", width="content")


def _standing(told: Progress, domain: str, item: Item | None) -> list[str]:
    facts = [f"**{told.done} of {told.target}** today", f"{words.number(told.waiting)} waiting"]
    if told.hard_share is not None:
        facts.append(f"{words.percent(told.hard_share, 0)} hard")
    if told.pace is not None:
        facts.append(f"{words.number(told.pace)} an hour")
    agreed = cache.agreement_to_date(domain, told.done // 10)
    if agreed.items:
        facts.append(f"agreement {words.percent(agreed.percent, 0)} of {agreed.items}")
    if item is not None and item.until is not None:
        facts.append(f"yours until {item.until:%H:%M} UTC")
    return facts


def heading(item: Item, seen: Evidence) -> None:
    """What it is, why it is asked, and what detection said of it."""
    asked = f"{item.reason}{' Judged blind.' if item.blind else ''}"
    with st.container(gap="xxsmall"):
        st.markdown(
            f"{theme.severity_markdown(seen.severity)} **{seen.title}** &nbsp; :gray[{asked}]"
        )
        if seen.sentence:
            st.caption(seen.sentence)


def evidence(item: Item, seen: Evidence) -> None:
    """The curve that stands out, and everything else that moved."""
    for notice in seen.notices:
        st.caption(f":material/info: {notice}")
    curve, heat = drawn(item, seen)
    if curve is not None:
        shown = seen.curves[0]
        frame.draw(
            f"{shown.label} of {words.short(shown.name, 40)}",
            curve,
            lambda: tables.curve(shown),
            alt=f"{shown.label} of {shown.name} with its usual band; onset marked.",
            key="label curve",
        )
    if heat is not None and seen.heat is not None:
        table = tables.heat(seen.heat)
        frame.draw(
            "What else moved :gray[(blue below usual, orange above)]",
            heat,
            lambda: table,
            alt="Deviations in standard deviations by metric and time: blue below usual, orange above.",
            key="label heat",
        )


def drawn(item: Item, seen: Evidence) -> tuple[Figure | None, Figure | None]:
    """The two charts of an item, kept, so that those of the next one are ready before it is asked for."""
    colours = theme.palette()
    return cache.drawn(item, colours, lambda: _charts(seen, colours))


def _charts(seen: Evidence, colours: Palette) -> tuple[Figure | None, Figure | None]:
    curve = heat = None
    if seen.curves:
        curve = charts.series(
            seen.curves[0],
            colours,
            severity=seen.severity,
            anomalous=seen.anomalous,
            onset=seen.onset,
            height=CHART,
        )
        _settle(curve, seen, left=66, top=charts.ABOVE)
        change_marks.mark(curve, _while_shown(seen), colours, seen.zone)
    if seen.heat is not None:
        heat = charts.heatmap(seen.heat, colours, seen.onset)
        heat.update_traces(showscale=False)
        heat.update_yaxes(ticktext=[_tick(label) for label in seen.heat.labels])
        heat.update_yaxes(tickvals=list(seen.heat.labels))
        heat.update_layout(height=HEAT * len(seen.heat.labels) + 48)
        _settle(heat, seen, left=210 if max(map(len, seen.heat.labels)) > 20 else 124, top=8)
    return curve, heat


def _while_shown(seen: Evidence) -> list[Any]:
    """What was done to the system within the time that the curve shows."""
    first, last = (str(day) for day in seen.curves[0].days[[0, -1]].astype("datetime64[s]"))
    moments = ((change_marks.at(event.at, seen.zone), event) for event in seen.changes)
    return [event for at, event in moments if first <= at.replace(" ", "T") <= last]


def _tick(label: str) -> str:
    """`cart · Latency (p95)`, both ends cut so that they are told apart."""
    name, dot, metric = label.partition(" · ")
    return f"{words.short(name, 14)}{dot}{words.short(metric, 19)}"


def _settle(chart: Figure, seen: Evidence, *, left: int, top: int) -> None:
    """Fixed margins, since measuring them draws a chart twice; and a zoom that is this item's own."""
    chart.update_layout(uirevision=f"{seen.title} {seen.onset}")
    chart.update_xaxes(automargin=False)
    chart.update_yaxes(automargin=False)
    chart.update_layout(margin={"l": left, "r": 8, "t": top, "b": 34})


def told(item: Item, seen: Evidence, words_of: Taxonomy) -> None:
    """Who is suspected, what was said of the like, and what was done to the system around then."""
    suspected = [
        f"{words_of.said(one.cause)} at **{one.name}** ({words.confidence(one.confidence)})"
        for one in seen.suspects
        if one.confidence >= LEAST
    ]
    alike = [f"{words.short(one.title, 40)} ({one.said or 'not judged'})" for one in seen.past]
    done = [words.short(one.title, 40) for one in seen.changes[-DONE:]]
    lines = ["**Suspected** " + (", ".join(suspected) or "nothing stands out")]
    if item.blind:
        lines = ["**Suspected** is hidden: you judge without the model"]
    lines += [
        f"**{name}** {'; '.join(parts)}"
        for name, parts in (("Alike", alike), ("Done around then", done))
        if parts
    ]
    st.caption("  \n".join(lines))


def form(item: Item, seen: Evidence, words_of: Taxonomy) -> None:
    """The choices, all by keyboard; what is chosen comes back at once, by `take`."""
    refused = st.session_state.get(Key.LABEL_REFUSED, "")
    _form(
        key=FORM,
        data={
            "item": item.id,
            "shown": str(st.session_state[Key.LABEL_SHOWN]),
            "turn": st.session_state.get(Key.LABEL_TURN, 0),
            "dispositions": [
                {"name": one.name, "label": one.label, "key": DISPOSITION_KEYS.get(one.name, "")}
                for one in words_of.dispositions
            ],
            "causes": [
                {"name": word.name, "label": word.label, "key": word.key}
                for word in words_of.active
            ],
            "several": words_of.several,
            "components": [list(pair) for pair in seen.components],
            "reasons": list(REASONS),
            "mine": _mine(item),
            "onward": bool(item.label or not item.id or refused),
            "told": st.session_state.get(Key.LABEL_TOLD, ""),
            "refused": refused,
        },
        on_said_change=take,
    )


def _mine(item: Item) -> dict[str, Any] | None:
    """What the person said of it before; a component that the graph still lacks is one that is missing."""
    if item.mine is None:
        return None
    said = item.mine
    if said.component and said.component not in cache.graph(item.domain).net:
        said = replace(said, component="", missing=said.component)
    return asdict(said)


def nothing(domain: str) -> None:
    """Why nobody is asked anything now, and the one next step."""
    context, tenant, actor = state.who()
    if not queue.anything(context, tenant, domain=domain):
        why = "Nothing was found or told yet: alerts and incidents come first."
        frame.empty(why, state.TRIAGE, "Go to triage")
        elsewhere(domain)
        return
    left = adjudication.waiting(context, tenant, domain=domain, actor=actor)
    if told := st.session_state.get(Key.LABEL_TOLD):
        st.caption(told)
    away = labelling.aside(context, tenant, domain=domain, actor=actor)
    facts = ["The queue is done." if left or away.items else "Nothing waits to be labelled."]
    if away.until:
        facts.append(
            f"What you put aside ({away.items}) comes back from {away.until:%H:%M} UTC on."
        )
    if left:
        facts.append(f"{words.count(left, 'disagreement')} to settle.")
    frame.empty(" ".join(facts), state.ADJUDICATE if left else "", "Settle disagreements")
    with st.container(horizontal=True, horizontal_alignment="center"):
        if st.button(
            "Choose what to label", type=theme.main_button(), icon=":material/playlist_add:"
        ):
            filled = queue.fill(context, tenant, domain=domain, actor=actor)
            if not sum(filled.added.values()):
                state.notify("There is nothing to choose from: no alert or incident is unlabelled.")
            st.session_state.pop(Key.LABEL_ITEM, None)
            st.rerun()
        if st.button("Undo", icon=":material/undo:", shortcut="U", type="tertiary"):
            _back(domain)
        elsewhere(domain)


def _back(domain: str) -> None:
    context, tenant, actor = state.who()
    try:
        back = labelling.undo(context, tenant, actor=actor, domain=domain)
        _show(back)
        st.session_state[Key.LABEL_TOLD] = _taken_back(back)
    except HeadwaterError as error:
        state.notify(error.message, failed=True)
    st.rerun()


def elsewhere(domain: str) -> None:
    """Where labels are compared, settled, and their words changed."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.page_link(state.AGREEMENT, label="Agreement", icon=":material/handshake:")
        st.page_link(state.ADJUDICATE, label="Disagreements", icon=":material/balance:")
        taxonomy_editor.button(domain)
        missed_components.button(domain)


def vocabulary(domain: str) -> Taxonomy:
    """The words of a domain, in the version in force."""
    context, tenant, _ = state.who()
    return taxonomy.of(context, tenant, domain)
