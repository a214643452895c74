"""The pieces of the Experiments page: one experiment, all of them, and the plan of the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import streamlit as st

from core.errors import InvalidInputError
from workbench.services import experiments
from workbench.services.experiments import METRICS, ExperimentView, Outlook
from workbench.ui import (
    cache,
    experiment_charts,
    frame,
    model_charts,
    state,
    tables,
    theme,
    verbs,
    words,
)
from workbench.ui.state import Key

DAYS = 14
LEAST = {"precision": 10.0, "agreement": 10.0}
"""The effect that a plan starts with, in the metric's shown unit; half of what it is now for any other."""
LABELLED_FIRST = 10


def show(view: ExperimentView) -> None:
    """One experiment: what it says, where it stands, how it got there, and what can be done."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(view.name, anchor=False, width="stretch")
        st.markdown(experiment_charts.mark(view))
    st.caption(
        f"{experiment_charts.version(view.treatment)} against champion "
        f"{experiment_charts.version(view.control)} by {words.inline(view.metric_label)} · planned by "
        f"{view.created_by}, {words.moment(view.created_at)}"
    )
    st.markdown(experiment_charts.ladder(view))
    if view.said:
        st.markdown(f"**{view.said}**")
    if view.reason:
        st.markdown(f"{view.reason[:1].upper()}{view.reason[1:]}")
    actions(view)
    if experiment_charts.measured(view):
        latest = experiment_charts.measured(view)[-1]
        frame.draw(
            f"Treatment − champion, {view.unit_label}",
            experiment_charts.confidence(view, theme.palette()),
            lambda: experiment_charts.look_rows(view),
            alt="The difference between the models at every look with its confidence sequence, which holds "
            "however often one looks; no effect and the planned effect as lines.",
            key=f"looks:{view.id}:{view.rung}",
        )
        st.caption(
            f"{words.count(len(experiment_charts.measured(view)), 'look')} {on(latest)} · "
            f"{words.count(int(latest['rows']), 'row')} of {words.count(latest['units'], 'unit')} · "
            f"{words.percent(latest['fraction'], 0)} of the planned information"
        )
    elif view.state == "running":
        frame.empty(waiting(view))
    if view.guardrails:
        st.markdown("**Guardrails**")
        st.markdown(experiment_charts.guardrail_lines(view))
    st.caption(experiment_charts.planned(view))
    apart(view)


def on(look: Mapping[str, Any]) -> str:
    """Which rung a look was taken on, in words."""
    return (
        "in shadow"
        if look["stage"] == "shadow"
        else f"on the canary of {words.percent(look['share'], 0)}"
    )


def waiting(view: ExperimentView) -> str:
    """Why there is no picture yet."""
    if not any((look["stage"], look["share"]) == (view.stage, view.share) for look in view.looks):
        return "The next detection run takes the first look at this rung."
    if view.design == "arms" and view.stage == "shadow":
        return (
            f"{view.metric_label} is measured on the canary: in shadow only the guardrails count."
        )
    if view.metric == "alert-rate":
        return "No alert has started on this rung yet; those that were open before it do not count."
    return "No alert of this rung is labelled yet."


def actions(view: ExperimentView) -> None:
    """Start it or throw it away, take it up a rung, or end it."""
    if view.state not in ("planning", "running"):
        if view.verdict == "deploy":
            asked = {Key.DOMAIN: view.domain, Key.CHALLENGER: view.treatment}
            st.page_link(
                state.MODELS, label="Promote it", icon=":material/verified:", query_params=asked
            )
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if view.state == "planning":
            st.button(
                "Start in shadow",
                type=theme.main_button(),
                icon=":material/play_arrow:",
                disabled=view.plan["hopeless"],
                on_click=act,
                args=(view, "runs in shadow", experiments.start),
            )
            st.button(
                "Discard the plan",
                icon=":material/delete:",
                on_click=discard,
                args=(view,),
            )
        else:
            label = "Finish" if view.following == "finish" else f"Climb to {view.following.lower()}"
            st.button(
                label if view.following else "Climb",
                type=theme.main_button(),
                icon=":material/stairs:",
                shortcut="N",
                disabled=not view.following,
                help=view.waits_for or None,
                on_click=act,
                args=(view, "went on", experiments.advance),
            )
            with st.popover("Stop", icon=":material/stop:"):
                st.text_input("Why stop it", key=Key.STOPPING, max_chars=500)
                st.button(
                    "Stop the experiment",
                    on_click=take_stop,
                    args=(view,),
                    help="From the next run on the champion decides for everybody",
                )
    if view.state == "planning" and view.plan["hopeless"]:
        st.warning(f"It cannot succeed. {experiments.cure(view)}", icon=":material/block:")
    if view.state == "running" and view.waits_for:
        st.caption(f":material/hourglass_empty: {view.waits_for}")


def take_stop(view: ExperimentView) -> None:
    """Stop with the reason that was typed; without one, ask for it."""
    reason = st.session_state.get(Key.STOPPING, "").strip()
    if not reason:
        state.notify("Say why: a reason is kept with every stop.", failed=True)
        return
    act(view, "was stopped", experiments.stop, reason=reason)


def discard(view: ExperimentView) -> None:
    """Throw the plan away and look at what is left."""
    done = f"Plan {view.id} is gone."
    if verbs.attempt(done, experiments.discard, view.id, seen=view.version):
        st.query_params.pop("id", None)


def act(view: ExperimentView, done: str, verb: Callable[..., Any], **details: Any) -> None:
    """Do it to the experiment as it was seen, and keep looking at it."""
    verbs.attempt(f"Experiment {view.id} {done}.", verb, view.id, seen=view.version, **details)
    st.query_params["id"] = str(view.id)


def apart(view: ExperimentView) -> None:
    """The rows to label first: those on which the models disagree."""
    if view.state == "planning":
        return
    context, tenant, _ = state.who()
    rows = experiments.disagreements(context, tenant, view.id, limit=LABELLED_FIRST)
    if not rows:
        return
    st.markdown("**Where they disagree, the clearest first**")
    st.caption("Label these first: where both say the same, no label can tell them apart.")
    st.dataframe(
        experiment_charts.disagreement_rows(rows, cache.names(view.domain)),
        hide_index=True,
        height=tables.height(len(rows), 5),
        alt="Entity-days on which one model raises an alarm and the other does not.",
    )


# ── All of them ──────────────────────────────────────────────────────────────────────────────────


def table(views: Sequence[ExperimentView], chosen: int) -> None:
    """Every experiment, newest first; a row opens it."""
    st.markdown("**Experiments**")
    st.dataframe(
        experiment_charts.experiment_rows(views),
        hide_index=True,
        column_config=experiment_charts.COLUMNS,
        height=tables.height(len(views), 5),
        on_select=partial(take, [view.id for view in views]),
        selection_mode=("single-row-required", "single-cell"),
        selection_default={
            "selection": {"rows": [row for row, view in enumerate(views) if view.id == chosen]}
        },
        key=f"{Key.EXPERIMENTS}:{chosen}:{len(views)}",
        alt="Experiments, newest first. Choose one to see it.",
    )


def take(numbers: Sequence[int]) -> None:
    """The experiment that was clicked becomes the link's."""
    key = next(name for name in st.session_state if str(name).startswith(f"{Key.EXPERIMENTS}:"))
    rows = state.keep_row(str(key))
    if rows:
        st.query_params["id"] = str(numbers[rows[0]])


# ── The next one ─────────────────────────────────────────────────────────────────────────────────


def plan(domain: str, versions: Sequence[Mapping[str, Any]], *, main: bool) -> None:
    """Choose what to try and what to look for; say what it takes before it starts."""
    offered = {row["id"]: row for row in versions if "champion" not in row["aliases"]}
    with st.container(border=True):
        st.markdown("**Try a version**")
        if not offered:
            st.caption("There is no version beside the champion.")
            st.page_link(state.TRAIN, label="Train one", icon=":material/arrow_forward:")
            return
        if st.session_state.get(Key.TREATMENT) not in offered:
            named = st.query_params.get(Key.TREATMENT, "") or challenger(versions)
            st.session_state[Key.TREATMENT] = named if named in offered else next(iter(offered))
        treatment = st.selectbox(
            "Version",
            list(offered),
            format_func=lambda name: (
                f"{experiment_charts.version(name)} · {model_charts.algorithm(offered[name])}"
            ),
            key=Key.TREATMENT,
        )
        metric = st.selectbox(
            "Target metric",
            list(METRICS),
            format_func=lambda name: METRICS[name].label,
            key=Key.TARGET,
        )
        chosen = METRICS[metric]
        st.caption(f"{chosen.help}.")
        unit = st.selectbox(
            "Unit",
            [*words.levels(domain), "entity"],
            index=words.levels(domain).index(words.unit(domain)),
            format_func=words.level,
            key=Key.UNIT,
            help="What arms are drawn by: all below a unit goes the same way",
        )
        left, right = st.columns(2)
        days = right.number_input(
            "Days",
            min_value=1,
            max_value=90,
            value=DAYS,
            key=Key.RUN_DAYS,
            help="It runs so long, unless the answer is clear before",
        )
        effect_key = f"{Key.EFFECT}:{metric}:{unit}"
        try:
            seen = cache.baseline(domain, treatment, metric, unit)
            usual = float(seen.control.sum() / max(seen.rows.sum(), 1.0)) * chosen.scale
            st.session_state.setdefault(effect_key, LEAST.get(metric, round(usual / 2, 2)))
            mde = left.number_input(
                "Smallest effect worth finding",
                min_value=0.01,
                key=effect_key,
                help=f"{chosen.unit}, {'more' if chosen.better > 0 else 'fewer'}",
            )
            found = experiments.outlook(
                seen,
                metric,
                effect=chosen.better * mde / chosen.scale,
                days=int(days),
                alpha=0.05,
                power=0.8,
            )
        except InvalidInputError as error:
            st.warning(f"{error.message} {error.hint}".strip(), icon=":material/warning:")
            return
        told(found, effect_key)
        st.button(
            "Try it in shadow",
            type=theme.main_button() if main else "secondary",
            icon=":material/play_arrow:",
            disabled=found.hopeless,
            on_click=take_plan,
            kwargs={
                "domain": domain,
                "treatment": treatment,
                "metric": metric,
                "mde": float(mde),
                "days": int(days),
                "unit": unit,
            },
        )


def challenger(versions: Sequence[Mapping[str, Any]]) -> str:
    """The version that waits as challenger, "" where none does."""
    return next((row["id"] for row in versions if "challenger" in row["aliases"]), "")


def told(found: Outlook, effect_key: str) -> None:
    """What the plan needs, what there is, and what would do where that is too little."""
    chosen = METRICS[found.metric]
    usual = found.usual * chosen.scale
    st.markdown(
        f"Needs **{words.count(found.units, 'unit')}**, there are **{words.number(found.available)}**. "
        f"Now {words.number(usual, experiment_charts.digits(usual))} {chosen.unit}; rows of a unit are "
        f"{words.percent(found.icc, 0)} alike (ICC)."
    )
    if not found.hopeless:
        least = abs(found.detectable) * chosen.scale
        st.caption(
            f"All {words.number(found.available)} together show {words.number(least, experiment_charts.digits(least))} "
            f"or more in {words.count(found.days, 'day')} with a chance of 80 %."
        )
        return
    st.warning(
        f"It cannot succeed. {experiments.remedy(asdict(found), chosen)}", icon=":material/block:"
    )
    least = abs(found.detectable) * chosen.scale
    if least == least and least > abs(found.effect) * chosen.scale:
        st.button(
            f"Look for {words.number(least, 2)} or more",
            type="tertiary",
            on_click=st.session_state.update,
            args=({effect_key: round(least + 0.005, 2)},),
        )


def take_plan(**asked: Any) -> None:
    """Start it and show it; what can not be started leaves no plan."""
    begun = verbs.attempt(
        "It runs in shadow: both judge, the champion alone alerts.",
        experiments.plan,
        **asked,
        begin=True,
    )
    if begun is not None:
        st.query_params["id"] = str(begun.id)
