"""Training as it happens: the chosen job with its curve and log, the list of jobs, and the pill in the header."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.errors import NotFoundError
from workbench.services import jobs, models
from workbench.services.jobs import JobView
from workbench.ui import cache, charts, frame, pill, state, tables, theme, verbs, words
from workbench.ui.pill import LOOK, MARKS, name, reached, short
from workbench.ui.state import Key
from workbench.ui.theme import Palette

log = logging.getLogger(__name__)

Row = Mapping[str, Any]
LATEST = 20
HEIGHT = 230
LOG_LINES, LOG_SHORT, LOG_HEIGHT = 60, 5, 148

# ── What a job says of itself ────────────────────────────────────────────────────────────────────


def mark(job: JobView) -> str:
    """Its state with glyph, word and colour, for markdown."""
    glyph, word, hue = MARKS[job.state]
    return f":{hue}[**{glyph} {word}**]"


def about(job: JobView) -> str:
    """Which data it learns from, where, since when and for whom."""
    first, last = (state.parse_day(job.payload.get(end) or "") for end in (Key.FROM, Key.TO))
    days = f"{words.day(first)} – {words.day(last, year=True)}" if first or last else "all days"
    return " · ".join(
        (
            f"job {short(job)}",
            words.domain(job.domain),
            days,
            f"on {job.device}",
            f"by {job.created_by}",
            words.moment(job.created_at),
        )
    )


def device(name: str) -> str:
    """`Auto`, `CPU, 2 cores`, or the name of the GPU with its memory."""
    for known in cache.devices():
        if known.id == name:
            return f"{known.name} · {words.size(known.memory_bytes)}"
    return name.capitalize()


# ── The chosen job ───────────────────────────────────────────────────────────────────────────────


def watch() -> None:
    """The chosen training and the list of all; drawn anew every half second while something is live."""
    live = [job.id for job in pill.live()]
    st.fragment(_watch, run_every=LOOK if live else None)(live)


def _watch(before: Sequence[str]) -> None:
    context, tenant, _ = state.who()
    if [job.id for job in pill.live()] != before:
        st.rerun()
    rows = jobs.listing(context, tenant)[:LATEST]
    chosen = state.job() or next((job.id for job in (*_running(rows), *rows)), "")
    try:
        if chosen:
            show(jobs.get(context, tenant, chosen))
    except NotFoundError:
        log.info("A link named job %r, which tenant %s has not", chosen, tenant)
        st.error(f"Job {chosen} not found.", icon=":material/search_off:")
    if rows:
        listing(rows, chosen)


def _running(rows: Sequence[JobView]) -> list[JobView]:
    return [job for job in rows if job.live and job.position is None]


def show(job: JobView) -> None:
    """How far it is, its curve, and the end of its log."""
    context, tenant, _ = state.who()
    with st.container(gap="xxsmall"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(f"{mark(job)} {name(job)}", anchor=False, width="stretch")
            actions(job)
        st.caption(about(job))
    if job.live:
        st.progress(min(max(job.progress, 0.0), 1.0), text=_stage(job))
    told(job)
    rows = learned(jobs.curve(context, tenant, job.id), job.id)
    if rows:
        numbers(job, rows)
        frame.draw(
            "Loss by epoch",
            losses(rows, theme.palette(), planned=_planned(rows) if job.live else 0),
            lambda: epochs(rows),
            alt=_spoken(rows),
            key=f"loss:{job.id}",
        )
    elif job.state == "succeeded":
        st.caption("Learned in one pass: there is no loss by epoch to draw.")
    said = jobs.log_tail(context, tenant, job.id, lines=LOG_LINES)
    if said:
        st.markdown("**Log**")
        long = said.count("\n") > LOG_SHORT
        with st.container(height=LOG_HEIGHT if long else "content", autoscroll=long, border=False):
            st.code(said, language=None, wrap_lines=True)


def _stage(job: JobView) -> str:
    if job.position is not None:
        return f"{words.ordinal(job.position)} in the queue: it starts when a slot is free"
    if job.state == "cancelling":
        return "Cancelling: the last checkpoint is kept"
    left = "" if job.eta_seconds is None else f" · about {words.span(job.eta_seconds)} left"
    return f"{job.progress_text or 'Starting'} · {words.percent(job.progress, 0)}{left}"


def actions(job: JobView) -> None:
    """Cancel, resume, clone: what can be done about it now, each with its key."""
    if job.live and job.state != "cancelling":
        st.button(
            "Cancel",
            key="job:cancel",
            icon=":material/stop:",
            shortcut="X",
            on_click=verbs.attempt,
            args=(f"Cancelling job {short(job)}.", jobs.cancel, job.id),
        )
    if job.resumable:
        st.button(
            "Resume",
            key="job:resume",
            icon=":material/play_arrow:",
            shortcut="M",
            help="Goes on from its last checkpoint",
            on_click=verbs.attempt,
            args=(f"Job {short(job)} goes on from its last checkpoint.", jobs.resume, job.id),
        )
    st.button(
        "Clone",
        key="job:clone",
        icon=":material/content_copy:",
        shortcut="L",
        type="tertiary",
        help="Fills the form with what this job was started with",
        on_click=state.clone,
        args=(job.id,),
    )


def told(job: JobView) -> None:
    """What came of it: where it was published, or what went wrong and what to do."""
    if job.notice:
        st.warning(f"{job.notice[:1].upper()}{job.notice[1:]}.", icon=":material/memory:")
    if job.state == "succeeded" and job.result_ref:
        published(job)
    elif job.state == "failed":
        title, icon = FAILURES.get(job.error_class, FAILED)
        text = f"**{title}.** {job.error_text}"
        st.error(f"{text}\n\n{job.error_hint}" if job.error_hint else text, icon=icon)
    elif job.state == "lost":
        st.warning(
            "Its process ended without a word, as when the machine restarts."
            + (" Resume goes on from its last checkpoint." if job.resumable else ""),
            icon=":material/link_off:",
        )
    elif job.state == "cancelled":
        kept = " Resume goes on from its last checkpoint." if job.resumable else ""
        st.caption(f":material/stop_circle: Cancelled; nothing was published.{kept}")


FAILED = ("The training failed", ":material/error:")
FAILURES = {
    "DivergedError": ("The loss is no longer a number", ":material/timeline:"),
    "DeviceError": ("No such device", ":material/developer_board_off:"),
    "MemoryLimitError": ("Out of memory", ":material/memory:"),
    "MemoryError": ("Out of memory", ":material/memory:"),
    "OutOfMemoryError": ("Out of memory", ":material/memory:"),
    "DeadlineError": ("Out of time", ":material/timer_off:"),
    "NotEnoughDataError": ("Too little data", ":material/database:"),
    "MissingExtraError": ("A library is missing", ":material/extension_off:"),
    "InvalidInputError": ("It could not start", ":material/block:"),
    "WorkerDied": ("Its process died", ":material/link_off:"),
    "LeaseExpired": ("It gave no sign of life", ":material/link_off:"),
}
"""What went wrong in a few words, by the class of the error."""


def version_words(job: JobView) -> str:
    """The end of the number of the version that came of it, as the header tells a champion's; "" before."""
    return f"version {job.result_ref[-8:]}" if job.result_ref else ""


def published(job: JobView) -> None:
    """The version that came of it, with what it measured on days that it did not learn from."""
    context, tenant, _ = state.who()
    rows = models.listing(context, tenant, domain=job.domain)
    version = next((row for row in rows if row["id"] == job.result_ref), None)
    if version is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        aliases = " and ".join(version["aliases"])
        st.markdown(
            f":material/check_circle: Published as **{version_words(job)}**"
            + (f", the {aliases} of {words.domain(job.domain)}" if aliases else ""),
            width="stretch",
        )
        st.page_link(
            state.MODELS,
            label="Compare with the champion",
            icon=":material/arrow_forward:",
            query_params={Key.DOMAIN: job.domain, Key.CHALLENGER: job.result_ref},
        )
    told = [
        f"{label} {words.percent(version['metrics'][figure])}"
        for figure, label in FIGURES.items()
        if figure in version["metrics"]
    ]
    if told:
        st.caption(f"On days that it did not learn from: {' · '.join(told)}")
    found = version["metrics"].get("planted_last", 1.0)
    if found < BLIND:
        st.warning(
            f"It misses {words.percent(1 - found, 0)} of the clear deviations of one metric that were planted into its "
            "newest days and lasted: let it vote beside other parts instead of deciding alone.",
            icon=":material/visibility_off:",
        )


BLIND = 0.5
"""Share of lasting deviations below which a model should not decide alone."""
FIGURES = {
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "auc_pr": "PR AUC",
    "alarm_share": "alarms on unlabelled days",
    "planted_first": "of planted deviations found on their first day",
    "planted_last": "on their fourth",
}


# ── The loss, epoch by epoch ─────────────────────────────────────────────────────────────────────


def learned(rows: Sequence[Row], job: str) -> list[Row]:
    """The epochs of one part where several learned: the newest unless another is chosen."""
    by_part = curves(rows)
    parts = list(by_part)
    if len(parts) < 2:
        return by_part[parts[0]] if parts else []
    chosen = st.segmented_control(
        "Part",
        parts,
        default=parts[-1],
        required=True,
        key=f"{Key.PART}:{job}:{len(parts)}",
        label_visibility="collapsed",
    )
    return by_part[chosen or parts[-1]]


def curves(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows that have a loss, by part; an attempt begins where its first epoch follows another's last."""
    found: dict[str, list[Row]] = {}
    resumed = False
    for row in rows:
        resumed |= bool(row["resumed"])
        if row["validation"] is not None:
            mine = found.setdefault(row["part"], [])
            mine.append({**row, "resumed": resumed and bool(mine)})
            resumed = False
    return found


def numbers(job: JobView, rows: Sequence[Row]) -> None:
    """Where it is, how quick, and on what."""
    last = rows[-1]
    memory = last["device_memory"] or 0
    facts = (
        ("Epoch", f"{last['epoch']:.0f} of {_planned(rows):.0f}", None),
        ("Validation loss", f"{last['validation']:.4g}", "On days that it does not learn from"),
        ("Rows per second", words.number(last["rows_per_second"]), None),
        ("Device memory", words.size(memory) if memory else words.MISSING, "Of the GPU; – on CPU"),
        ("Learning for" if job.live else "Learned for", words.span(last["seconds"]), None),
    )
    for place, (label, value, meaning) in zip(st.columns(len(facts)), facts, strict=True):
        place.metric(label, value, help=meaning)


def losses(rows: Sequence[Row], colours: Palette, *, planned: float = 0) -> go.Figure:
    """Training and validation loss by epoch, told at their ends; a dashed rule where it was resumed.

    planned : the last epoch there may be, so that a running curve shows how far it is; 0 = only what is there
    """
    epoch = np.array([row["epoch"] for row in rows], dtype=float)
    chart = charts.figure(colours, HEIGHT, hovermode="x unified")
    ends = {}
    for series, ink, width in (("train", colours.muted, 1.5), ("validation", colours.primary, 2.2)):
        values = np.array([row[series] for row in rows], dtype=float)
        ends[series] = (values[-1], ink)
        chart.add_scatter(
            x=epoch,
            y=values,
            mode="lines+markers" if len(rows) < 40 else "lines",
            line={"color": ink, "width": width},
            marker={"size": 4, "color": ink},
            name=series.capitalize(),
            hovertemplate=f"{series.capitalize()} %{{y:.4g}}<extra></extra>",
        )
    low, high = sorted((ends["train"][0], ends["validation"][0]))
    for series, (value, ink) in ends.items():
        chart.add_annotation(
            x=epoch[-1],
            y=value,
            text=f"{series} {value:.4g}",
            showarrow=False,
            xanchor="left",
            yanchor="bottom" if value == high and high != low else "top",
            xshift=6,
            font={"color": ink, "size": 11},
        )
    best = rows[int(np.argmin([row["validation"] for row in rows]))]
    chart.add_scatter(
        x=[best["epoch"]],
        y=[best["validation"]],
        mode="markers",
        marker={
            "symbol": "circle-open",
            "size": 11,
            "color": colours.primary,
            "line": {"width": 1.5},
        },
        hovertemplate="Best so far: its weights are kept<extra></extra>",
    )
    for row in rows:
        if row["resumed"]:
            chart.add_vline(
                x=row["epoch"] - 0.5,
                line={"color": colours.muted, "width": 1, "dash": "dash"},
                annotation={
                    "text": "resumed",
                    "font": {"color": colours.muted, "size": 10},
                    "yanchor": "bottom",
                },
                annotation_position="top right",
            )
    last = max(planned, epoch[-1])
    chart.update_xaxes(
        range=[epoch[0] - 0.5, last + 0.5],
        dtick=1 if last < 12 else None,
        tickformat="d",
        title="epoch",
    )
    chart.update_layout(margin={"r": 112, "t": 18})
    return chart


def epochs(rows: Sequence[Row]) -> pd.DataFrame:
    """The numbers behind the curve, the latest epoch first."""
    return pd.DataFrame(
        {
            "Epoch": [int(row["epoch"]) for row in rows],
            "Training loss": [row["train"] for row in rows],
            "Validation loss": [row["validation"] for row in rows],
            "Rows per second": [words.number(row["rows_per_second"]) for row in rows],
            "Seconds": [row["seconds"] for row in rows],
        }
    ).iloc[::-1]


def _planned(rows: Sequence[Row]) -> float:
    return float(rows[-1]["epochs"])


def _spoken(rows: Sequence[Row]) -> str:
    last = rows[-1]
    return (
        f"Loss by epoch: training {last['train']:.4g} and validation {last['validation']:.4g} "
        f"at epoch {last['epoch']:.0f} of {_planned(rows):.0f}."
    )


# ── The list ─────────────────────────────────────────────────────────────────────────────────────


def listing(rows: Sequence[JobView], chosen: str) -> None:
    """Jobs, newest first; a row chooses what is watched."""
    st.markdown("**Trainings**")
    place = [job.id for job in rows].index(chosen) if chosen in {job.id for job in rows} else None
    st.session_state[Key.JOB_IDS] = [job.id for job in rows]
    st.session_state[Key.JOBS] = {
        "selection": {"rows": [] if place is None else [place], "columns": [], "cells": []}
    }
    st.dataframe(
        table(rows),
        hide_index=True,
        column_config=COLUMNS,
        height=tables.height(len(rows), 6),
        on_select=state.take_job,
        selection_mode=("single-row", "single-cell"),
        key=Key.JOBS,
        alt="Trainings, newest first. Choose a row to watch it.",
    )


def table(rows: Sequence[JobView]) -> pd.DataFrame:
    """One row a job."""
    now = state.now()
    return pd.DataFrame(
        {
            "State": [" ".join(MARKS[job.state][:2]) for job in rows],
            "Model": [name(job) for job in rows],
            "What came of it": [outcome(job) for job in rows],
            "Device": [job.device for job in rows],
            "Started": [words.age(job.created_at, now) for job in rows],
            "Took": [_took(job) for job in rows],
            "By": [job.created_by for job in rows],
            "Job": [short(job) for job in rows],
        }
    )


def outcome(job: JobView) -> str:
    """How far it is, the version that came of it, or why there is none."""
    if job.state == "failed":
        return FAILURES.get(job.error_class, FAILED)[0]
    return version_words(job) or (reached(job) if job.live else words.MISSING)


COLUMNS = {
    "State": st.column_config.TextColumn(width=96),
    "Model": st.column_config.TextColumn(width="medium"),
    "What came of it": st.column_config.TextColumn(width="medium"),
    "Started": st.column_config.TextColumn(width=64, alignment="right", help="How long ago"),
    "Took": st.column_config.TextColumn(width=64, alignment="right"),
}


def _took(job: JobView) -> str:
    if job.claimed_at is None:
        return words.MISSING
    end = job.finished_at or state.now()
    return words.span(max(end - job.claimed_at, timedelta()).total_seconds())
