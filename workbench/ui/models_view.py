"""The sections of the Models page: the answer, what would change, promotion, and what all of it rests on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st

from core.errors import PersistenceError
from workbench.services import compare, models, promotion
from workbench.services.comparison import ComparisonView
from workbench.ui import cache, frame, model_charts, state, tables, theme, verbs, words
from workbench.ui.state import Key

log = logging.getLogger(__name__)

RATIOS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def contest(domain: str, champion: str, challenger: str) -> None:
    """The whole comparison: the answer above, what it rests on below.

    A version that cannot be trusted can't be compared, yet its successor must be able to take over.
    """
    context, tenant, _ = state.who()
    try:
        view = cache.comparison(domain, champion, challenger)
    except PersistenceError as error:
        log.warning("Versions %s and %s were not compared: %s", champion, challenger, error)
        frame.failure(error.message, error.hint)
        promote(challenger, "Not compared: a version is refused.", missed=False)
        return
    checks = promotion.checklist(context, tenant, compare.report(view))
    left, right = st.columns([5, 4], gap="medium")
    with left:
        verdict(view)
        scorecard(view)
        agreement(view)
    with right:
        changes(view)
        missed = any(row.passed is False for row in checks)
        promote(view.challenger.id, model_charts.standing(checks), missed=missed)
        cost(view)
    checklist(view.domain, checks)
    parts(view)


# ── Is it better ─────────────────────────────────────────────────────────────────────────────────


def verdict(view: ComparisonView) -> None:
    """The answer in a word and a sentence, and what it rests on."""
    st.markdown(f"### {model_charts.mark(view.verdict.word)}", width="stretch")
    st.markdown(view.sentence)
    judged = view.labels.real + view.labels.normal
    st.caption(
        f"● champion {model_charts.version(view.champion.id)} against ◆ challenger "
        f"{model_charts.version(view.challenger.id)} · {words.day(view.first)} to {words.day(view.last)}, "
        f"that neither learned from · {words.count(view.entity_days, f'entity-{view.unit}')}, "
        f"{words.number(judged)} judged · same alarm or none on {words.percent(view.agreement.value)}"
    )
    for notice in view.notices:
        st.caption(f":material/info: {notice}")


def scorecard(view: ComparisonView) -> None:
    """Every figure of both with its interval."""
    rows = model_charts.read_first(view)
    frame.draw(
        "Scorecard, with 95 % intervals",
        model_charts.scorecard(rows, theme.palette()),
        lambda: model_charts.scorecard_rows(rows),
        alt="Champion and challenger by figure, a dot with its 95 % interval each, and the difference.",
        key="scorecard",
    )
    paired = view.mcnemar
    if paired is not None and paired.champion_right + paired.challenger_right:
        st.caption(
            f"Of the judged {view.unit}s on which they differ the challenger is right on {paired.challenger_right}, "
            f"the champion on {paired.champion_right} (McNemar p {words.p_value(paired.p)}, "
            f"effect g {words.number(paired.effect, 2)})."
        )


# ── What would it change ─────────────────────────────────────────────────────────────────────────


def changes(view: ComparisonView) -> None:
    """The open alerts that a promotion would change; a row opens its alert."""
    shown = [row for row in view.changed if not row.muted]
    st.markdown(f"### Would change {words.count(len(view.changed), 'open alert')}")
    kinds = {kind: sum(row.kind == kind for row in view.changed) for kind in model_charts.CHANGES}
    parts = [f"{many} {model_charts.CHANGES[kind].lower()}" for kind, many in kinds.items() if many]
    muted = len(view.changed) - len(shown)
    if muted:
        parts.append(f"{muted} of them muted under an incident")
    of = f"{words.number(view.open_alerts)} are open now"
    st.caption(" · ".join([of, *parts]) if parts else f"{of}; all would stay as they are.")
    rows = shown or list(view.changed)
    if not rows:
        return
    picked = st.dataframe(
        model_charts.changed(rows, view.domain),
        hide_index=True,
        column_config=model_charts.CHANGED_COLUMNS,
        height=tables.height(len(rows), 7),
        on_select="rerun",
        selection_mode=("single-row", "single-cell"),
        key=f"{Key.CHANGED}:{view.challenger.id}",
        alt="Alerts that a promotion would change, costliest first. Choose a row to open its alert.",
    )
    chosen = [row for row, _ in picked.selection.cells] or picked.selection.rows
    if chosen and rows[chosen[0]].alert is not None:
        state.go_to(state.ALERT, alert=rows[chosen[0]].alert)


def promote(version: str, standing: str, *, missed: bool) -> None:
    """Say why, and let the challenger score from now on; `standing` is the checklist in a line."""
    with st.form("promotion", border=True, enter_to_submit=False):
        st.markdown(standing)
        st.text_input(
            "Why promote it",
            key=Key.REASON,
            max_chars=500,
            placeholder="Why promote it; kept in the history",
            label_visibility="collapsed",
        )
        if missed:
            st.checkbox("Promote it although a minimum is missed", key=Key.OVERRIDE)
        st.form_submit_button(
            f"Promote {model_charts.version(version)}",
            type=theme.main_button(),
            icon=":material/verified:",
            shortcut="P",
            on_click=take_promotion,
            args=(version,),
        )


def take_promotion(version: str) -> None:
    """Promote with the reason that was typed; without one, ask for it."""
    reason = st.session_state.get(Key.REASON, "").strip()
    if not reason:
        state.notify("Say why: a reason is kept with every promotion.", failed=True)
        return
    verbs.attempt(
        f"{model_charts.version(version)} scores from now on; the next detection run changes the alerts.",
        models.promote,
        version,
        reason=reason,
        override=bool(st.session_state.get(Key.OVERRIDE)),
    )
    state.forget_pair()


# ── Where, at what cost, on what conditions ──────────────────────────────────────────────────────


def agreement(view: ComparisonView) -> None:
    """Entity by entity, how odd each finds it; a click on an alert opens it."""
    event = frame.draw(
        f"Where they differ: every entity's oddest {view.unit}",
        model_charts.scatter(view.dots, view.cuts, theme.palette()),
        lambda: model_charts.dots(view.dots),
        alt="Surprise of the champion against that of the challenger, an entity a dot; a click opens its alert.",
        key=f"{Key.SCATTER}:{view.challenger.id}",
        on_select="rerun",
    )
    points = getattr(getattr(event, "selection", None), "points", [])
    data = points[0].get("customdata") if points else None
    if data and data[0]:
        state.go_to(state.ALERT, alert=data[0])


def cost(view: ComparisonView) -> None:
    """What each cut would cost, where a missed anomaly costs so many false alarms."""
    context, tenant, _ = state.who()
    kept = promotion.cost_ratio(context, tenant, view.domain)
    above = st.container()
    ratio = st.select_slider(
        "A missed anomaly costs as much as so many false alarms",
        sorted({*RATIOS, int(kept)}),
        value=int(kept),
        key=Key.RATIO,
        on_change=take_ratio,
        args=(view.domain,),
    )
    with above:
        frame.draw(
            "Cost by threshold" if model_charts.has_costs(view) else "Alarms by threshold",
            model_charts.cost(view, ratio, theme.palette()),
            lambda: model_charts.costs(view, ratio),
            alt="What an alarm from each surprise on would cost a day, for both models; dotted: the cut of today.",
            key="cost",
        )
    if model_charts.has_costs(view):
        st.caption(model_charts.best_cut(view, ratio))
    else:
        st.caption("No label says yet what an alarm is worth, so this shows alarms and not costs.")


def take_ratio(domain: str) -> None:
    """Keep the cost ratio for everybody."""
    verbs.attempt(
        "Kept the cost of a missed anomaly.",
        promotion.choose,
        domain,
        cost_ratio=float(st.session_state[Key.RATIO]),
    )


def parts(view: ComparisonView) -> None:
    """The same by level and by type of cause."""
    left, right = st.columns(2, gap="medium")
    for column, kind, title in ((left, "level", "By level"), (right, "type", "By type of cause")):
        with column:
            st.markdown(f"**{title}**")
            rows = model_charts.slices(view.slices, kind, view.domain, view.unit)
            if rows.empty:
                st.caption("No alert of these days has a cause.")
                continue
            st.dataframe(
                rows,
                hide_index=True,
                column_config=model_charts.SLICE_COLUMNS,
                height=tables.height(len(rows)),
                alt=f"Alarms of both models {title.lower()}.",
            )


def checklist(domain: str, checks: Sequence[promotion.Requirement]) -> None:
    """Every minimum, how it was measured, and its bound to edit."""
    st.markdown("**What a promotion must reach**")
    st.data_editor(
        model_charts.checklist(checks),
        hide_index=True,
        column_config=model_charts.CHECKLIST_COLUMNS,
        disabled=["", "Minimum", "Measured", "How"],
        height=tables.height(len(checks)),
        key=Key.CHECKLIST,
        on_change=partial(take_minimums, domain, tuple(checks)),
        alt="Minimums of a promotion with what was measured and how; the bound can be edited.",
    )


def take_minimums(domain: str, checks: tuple[promotion.Requirement, ...]) -> None:
    """Keep the bounds that were edited."""
    edited = st.session_state[Key.CHECKLIST]["edited_rows"]
    bounds = {
        checks[row].name: float(cells["Bound"]) * model_charts.UNITS[checks[row].unit]
        for row, cells in edited.items()
        if cells.get("Bound") is not None
    }
    if bounds:
        verbs.attempt("Kept the minimum.", promotion.choose, domain, minimums=bounds)


# ── Which there are, and who moved what ──────────────────────────────────────────────────────────


def version_table(versions: Sequence[Mapping[str, Any]]) -> None:
    """Every version; a row is compared with the champion."""
    st.markdown("**Versions**")
    st.dataframe(
        model_charts.versions(versions),
        hide_index=True,
        column_config=model_charts.VERSION_COLUMNS,
        height=tables.height(len(versions), 6),
        on_select=partial(take_version, tuple(row["id"] for row in versions)),
        selection_mode=("single-row", "single-cell"),
        key=Key.VERSIONS,
        alt="Model versions, newest first. Choose a row to compare it with the champion.",
    )
    st.caption("Choose a row to compare it with the champion.")


def take_version(numbers: tuple[str, ...]) -> None:
    """The row that was clicked becomes the challenger of the link."""
    rows = state.keep_row(Key.VERSIONS)
    if rows:
        st.query_params[Key.CHALLENGER] = numbers[rows[0]]


def history(domain: str) -> None:
    """Who moved the champion and why, and the one click that takes the last promotion back."""
    context, tenant, _ = state.who()
    moves = models.history(context, tenant, domain)
    last = next((move for move in moves if move.verb == "promote" and move.stands), None)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Who scored when**", width="stretch")
        if last is not None and last.previous:
            st.button(
                f"Roll back to {model_charts.version(last.previous)}",
                icon=":material/undo:",
                help="Takes the last promotion back at once; it is kept in the history.",
                on_click=roll_back,
                args=(domain, last.champion),
            )
    if not moves:
        st.caption("No version was promoted yet.")
        return
    st.dataframe(
        model_charts.moves(moves),
        hide_index=True,
        column_config=model_charts.MOVE_COLUMNS,
        height=tables.height(len(moves), 6),
        alt="Moves of the champion, newest first: when, who, what and why.",
    )


def roll_back(domain: str, version: str) -> None:
    """Take the last promotion back."""
    verbs.attempt(
        f"Rolled back: {model_charts.version(version)} scores no longer.",
        models.rollback,
        domain=domain,
        reason="Rolled back on the Models page",
    )
    state.forget_pair()
