"""The pieces of the Drift page: the answer, the heatmap, one cell, performance, and retraining."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import streamlit as st

from core.drift.check import POWER, SHIFT
from workbench.services import drift, retraining
from workbench.services.drift_report import CellReport, DriftReport, Part, ProposalView
from workbench.ui import drift_charts, frame, runs, state, tables, theme, verbs, words
from workbench.ui.state import Key

ALIKE = {"day": "weekdays", "hour": "hours of workdays and weekends"}
"""What is compared with its like."""
LISTED = 8
"""Rows of the list of what moved that are seen without scrolling."""
ADVICE = {
    "unknown": ":gray[**◇ Not known yet**]",
    "fine": ":green[**✓ As right as before**]",
    "monitor": ":yellow[**◆ Monitor**]",
    "retrain": ":orange[**▲ Retrain**]",
    "fall back": ":red[**▲▲ Fall back**]",
}


def answer(report: DriftReport) -> None:
    """The page's question, answered in a sentence, and on what grounds."""
    part = report.metrics
    if report.moved:
        told = f":orange[**▲ Yes.**] {_upper(retraining.why(report))}."
    else:
        tested = sum(one.state != "untested" for one in part.cells)
        told = f":green[**✓ No.**] Nothing moved among {words.count(tested, 'metric by level', 'metrics by level')}."
    st.markdown(f"#### Has the data moved away from what the models know?\n{told}")
    st.caption(
        f"{drift_charts.span(part.windows[0][0], part.windows[-1][1])} in {len(part.windows)} windows of "
        f"{words.count((part.windows[0][1] - part.windows[0][0]).days + 1, 'day')}, against the same {ALIKE[part.unit]} of "
        f"{drift_charts.span(*part.reference)} · checked {words.moment(report.at)} by {report.actor}"
    )


def numbers(report: DriftReport) -> None:
    """What moved, what the scores do, how right the champion is, and how whole the data."""
    said, scores = report.performance, report.scores
    watched = sum(one.state == "watch" for one in report.metrics.cells)
    cards = (
        (
            "Metrics that moved",
            words.number(len(report.metrics.drifted)),
            f"{watched} more to watch: rare, but not yet in three windows",
        ),
        (
            "Scores and alerts that moved",
            words.number(len(scores.drifted)) if scores else words.MISSING,
            report.no_scores or "Of the champion's scores and share of alerts, by level",
        ),
        (
            "AUC on labels",
            words.number(said.after, 2) if said.after is not None else words.MISSING,
            f"{words.number(said.before, 2)} on the labels of the reference"
            if said.before is not None
            else f"{words.count(said.labels, 'more label')} needed",
        ),
        (
            "Data complete",
            words.percent(report.complete),
            f"Days with figures among all of the windows; newest day {words.day(report.newest, year=True)}",
        ),
    )
    for column, (label, value, meaning) in zip(st.columns(4), cards, strict=True):
        column.metric(label, value, border=True, help=meaning)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


# ── Heatmap and cell ─────────────────────────────────────────────────────────────────────────────


def heatmaps(report: DriftReport, chosen: CellReport) -> None:
    """Metric × level, then what the champion says; a click chooses a cell."""
    titles = {"metrics": "Metrics by level", "scores": "What the champion says"}
    for part in report.parts:
        key = f"{Key.CELL}:{part.name}"
        frame.draw(
            titles[part.name],
            drift_charts.heat(part, theme.palette(), chosen.key),
            lambda part=part: drift_charts.cells(part.cells),  # type: ignore[misc]
            alt=f"{titles[part.name]}: mean shift in standard deviations, blue lower and orange higher than the "
            f"reference; ▲ moved ({len(part.drifted)}), ◆ to watch. Choose a cell to see its days.",
            key=key,
            on_select=lambda key=key: take(key),  # type: ignore[misc]
        )
    st.caption("▲ moved · ◆ rare, to watch · no mark: calm, whatever its colour · (·) not tested")
    if report.no_scores:
        st.caption(f":material/info: Scores: {report.no_scores}")


def moved(report: DriftReport) -> None:
    """What moved or is to be watched, the farthest first; a row chooses the cell."""
    order = {"drift": 0, "watch": 1}
    rows = sorted(
        (one for part in report.parts for one in part.cells if one.state in order),
        key=lambda one: (order[one.state], -(one.wasserstein or 0.0)),
    )
    if not rows:
        return

    def choose() -> None:
        picked = state.keep_row(Key.MOVED)
        if picked:
            st.query_params[Key.CELL] = rows[picked[0]].key

    st.markdown("**Moved or to watch, farthest first**")
    st.dataframe(
        drift_charts.cells(rows),
        hide_index=True,
        column_config=drift_charts.CELL_COLUMNS,
        height=tables.height(min(len(rows), LISTED)),
        on_select=choose,
        selection_mode=("single-row", "single-cell"),
        key=Key.MOVED,
        alt="Cells that moved or are to be watched, with effect and p. Choose one to see its days.",
    )


def take(key: str) -> None:
    """The cell that was clicked goes into the link."""
    points = st.session_state[f"chart:{key}"]["selection"]["points"]
    picked = next((point["customdata"] for point in points if point.get("customdata")), None)
    if picked:
        st.query_params[Key.CELL] = picked[0]


def choice(report: DriftReport) -> tuple[Part, CellReport]:
    """The cell that the link names; else the farthest that moved, else the rarest."""
    cells = [(part, one) for part in report.parts for one in part.cells]
    given = st.query_params.get(Key.CELL, "")
    for part, one in cells:
        if one.key == given and one.state != "untested":
            return part, one
    order = {"drift": 0, "watch": 1, "calm": 2, "untested": 3}
    return min(
        cells,
        key=lambda pair: (order[pair[1].state], 1.0 if pair[1].p is None else pair[1].p),
    )


def one_cell(report: DriftReport, part: Part, one: CellReport) -> None:
    """A cell in words, its two distributions, and its days."""
    _pick(report, one)
    with st.container(border=True):
        st.markdown(
            f"**{drift_charts.cell(one)}** · {drift_charts.STATES[one.state]}  \n"
            f"Shift **{drift_charts.sd(one.lean)}** · Wasserstein {drift_charts.sd(one.wasserstein, signed=False)} · "
            f"KS {words.number(one.ks, 2)} · PSI {words.number(one.psi, 2)}  \n"
            f"p {words.p_value(one.p)}, among all cells {words.p_value(one.adjusted)} · "
            f"{words.count(one.series, 'series', 'series')}"
        )
        st.caption(reach(one, part))
    colours = theme.palette()
    frame.draw(
        "Before and now",
        drift_charts.distributions(one, colours),
        lambda: drift_charts.shares(one),
        alt=f"Shares of the reference and of the windows of {drift_charts.cell(one)}, "
        f"which lie {drift_charts.sd(one.lean)} apart.",
        key=f"shares:{one.key}",
    )
    frame.draw(
        "By day",
        drift_charts.days(one, part, colours),
        lambda: drift_charts.by_day(one, part),
        alt=f"{drift_charts.cell(one)} by day in standard deviations, with the three windows and their means.",
        key=f"days:{one.key}",
    )


def _pick(report: DriftReport, one: CellReport) -> None:
    known = {
        cell.key: drift_charts.cell(cell)
        for part in report.parts
        for cell in part.cells
        if cell.state != "untested"
    }
    st.session_state[Key.CELL] = one.key if one.key in known else None

    def publish() -> None:
        st.query_params[Key.CELL] = st.session_state[Key.CELL]

    st.selectbox(
        "Look at",
        list(known),
        format_func=lambda key: known[key],
        key=Key.CELL,
        on_change=publish,
        label_visibility="collapsed",
    )


def reach(one: CellReport, part: Part) -> str:
    """The smallest shift that would be found here, and with what power one of half a deviation."""
    return (
        f"Here a shift of {drift_charts.sd(one.smallest, signed=False)} is found with {words.percent(POWER, 0)} "
        f"probability, one of {SHIFT:g} sd with {words.percent(one.power, 0)}; "
        f"about {words.count(round(part.memory), part.unit)} say as much as one independent {part.unit}."
    )


def statement(report: DriftReport) -> None:
    """What this check could have seen at all, over all cells, and how often it errs."""
    cells = [one for one in report.metrics.cells if one.smallest is not None]
    sizes = np.array([one.smallest for one in cells])
    best = cells[int(sizes.argmin())]
    st.caption(
        f":material/visibility: **What it can see.** The middle metric must shift by "
        f"{drift_charts.sd(float(np.median(sizes)), signed=False)} to be found with {words.percent(POWER, 0)} "
        f"probability, {words.inline(drift_charts.cell(best))} by {drift_charts.sd(best.smallest, signed=False)}; "
        "smaller ones are seen where many cells move together. At most "
        f"{words.count(report.metrics.false_per_year, 'false drift')} a year is to be expected of calm data."
    )
    for note in report.notes:
        st.caption(f":material/info: {note}")


# ── Performance ──────────────────────────────────────────────────────────────────────────────────


def performance(report: DriftReport, domain: str) -> None:
    """How right the champion still is, what that asks for, and the emergency button."""
    said = report.performance
    context, tenant, _ = state.who()
    with st.container(border=True):
        st.markdown(f"**Performance on labels** · {ADVICE[said.advice]}")
        if said.before is None or said.after is None or said.drop is None:
            st.caption(
                f"{words.count(said.labels, 'more label')} needed: ten real and ten false alarms each, before and "
                f"within the windows. There are {said.real[0]} + {said.normal[0]} and {said.real[1]} + {said.normal[1]}."
            )
            return
        told = f"AUC {said.before:.2f} → {said.after:.2f}"
        if said.advice == "monitor":
            told += f"; the drop is not sure, {words.count(said.labels, 'more label')} would tell"
        st.caption(f"{told}, on {sum(said.real)} real and {sum(said.normal)} false alarms.")
        if said.advice == "fall back":
            good = retraining.last_good(context, tenant, domain=domain)
            st.button(
                f"Fall back to {good[-8:]}, the last good model"
                if good
                else "Fall back to the rule",
                icon=":material/undo:",
                on_click=verbs.attempt,
                args=("The fallback scores from now on.", retraining.fall_back),
                kwargs={"domain": domain, "reason": f"emergency: {told}"},
            )


# ── Retraining ───────────────────────────────────────────────────────────────────────────────────


def to_train(
    label: str, domain: str, window: tuple[date, date], proposal: int | None = None
) -> None:
    """Leads to the Train page with the window filled in."""
    main = proposal is not None or None
    if st.button(
        label,
        key=f"train:{proposal or 'window'}",
        icon=":material/model_training:",
        type=theme.main_button() if main else "secondary",
        shortcut="T",
    ):
        first, last = (day.isoformat() for day in window)
        asked = {Key.DOMAIN: domain, Key.FROM: first, Key.TO: last}
        if proposal is not None:
            asked[Key.PROPOSAL] = str(proposal)
        st.switch_page(state.TRAIN, query_params={str(key): value for key, value in asked.items()})


def proposals(report: DriftReport, domain: str) -> None:
    """The open proposal with what can be done about it, and those before it."""
    context, tenant, _ = state.who()
    rows = retraining.proposals(context, tenant, domain=domain)
    waiting = [row for row in rows if row.state == "open"]
    st.markdown("**Retraining**")
    for row in waiting:
        _open(row, retraining.not_yet(context, tenant, domain=domain))
    if not waiting:
        st.caption("Nothing is proposed." if not report.moved else "The proposal was decided.")
        to_train("Retrain with this window", domain, retraining.window_of(report))
    decided: Sequence[ProposalView] = [row for row in rows if row.state != "open"]
    if decided:
        st.dataframe(
            drift_charts.decided(decided),
            hide_index=True,
            alt="Proposals that were decided, newest first.",
        )


def _open(row: ProposalView, not_yet: str) -> None:
    with st.container(border=True):
        st.markdown(
            f"**Proposal {row.id}** · {_upper(row.reason)}.  \n"
            f"Learns from {drift_charts.span(row.start, row.end)}"
        )
        if not_yet:
            st.caption(f":material/schedule: {not_yet}")
        with st.container(horizontal=True):
            to_train("Retrain with this window", row.domain, (row.start, row.end), row.id)
            for label, icon, act, done in (
                ("Accept", ":material/check:", retraining.accept, "Started"),
                ("Dismiss", ":material/close:", retraining.dismiss, "Dismissed"),
            ):
                st.button(
                    label,
                    key=f"{label}:{row.id}",
                    icon=icon,
                    disabled=bool(not_yet) and label == "Accept",
                    help="Trains the champion's algorithm on these days; it is offered if it wins a backtest"
                    if label == "Accept"
                    else None,
                    on_click=verbs.attempt,
                    args=(f"{done} proposal {row.id}.", act, row.id),
                )


def rules() -> None:
    """When a retraining is asked for and how often it may begin; kept for the tenant."""
    context, tenant, _ = state.who()
    stands = retraining.policy(context, tenant)
    with st.expander("When to retrain"), st.form("retraining-rules", border=False):
        weekly = st.toggle("Propose one every week", stands.weekly)
        automatic = st.toggle(
            "Start proposals without asking",
            stands.automatic,
            help="The challenger is still only offered: nobody is promoted by itself",
        )
        with st.container(horizontal=True):
            cool_down = st.number_input(
                "Days between two", retraining.LEAST_COOL_DOWN, 365, stands.cool_down_days
            )
            budget = st.number_input("At most in 30 days", 1, 10, stands.budget)
        wanted = retraining.Policy(automatic, weekly, int(cool_down), int(budget), stands.version)
        if st.form_submit_button("Save", icon=":material/check:"):
            verbs.attempt("The rules of retraining were kept.", retraining.set_policy, wanted)
            st.rerun()


def check_button(domain: str, *, primary: bool = False) -> None:
    """Look now; the page is drawn again when it is done."""
    context, tenant, actor = state.who()
    st.button(
        "Check now",
        key="drift-check",
        type=theme.main_button() if primary else "secondary",
        icon=":material/refresh:",
        disabled=runs.busy(tenant),
        on_click=runs.start,
        args=(
            tenant,
            "Drift check",
            lambda on_step: drift.check(
                context, tenant, domain=domain, actor=actor, on_step=on_step
            ),
        ),
    )


def earlier(domain: str, shown: Any) -> None:
    """The checks before, each a link."""
    context, tenant, _ = state.who()
    rows = drift.history(context, tenant, domain=domain)
    if len(rows) < 2:
        return
    with st.expander(f"{words.count(len(rows), 'check')}"):
        for row in rows:
            told = (
                f"{drift_charts.span(row.window_start, row.window_end)} · {row.drifted} moved · "
                f"{words.moment(row.at)}"
            )
            if row.id == shown:
                st.caption(f"{told} · shown")
            else:
                st.page_link(state.DRIFT, label=told, query_params={Key.CHECK: str(row.id)})
