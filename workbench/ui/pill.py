"""What trains now, in a few words: the pill in the header of every page."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from workbench.services import jobs
from workbench.services.jobs import JobView
from workbench.ui import state, words

LOOK = "500ms"
MARKS = {
    "queued": ("○", "Queued", "gray"),
    "running": ("▶", "Running", "primary"),
    "cancelling": ("◼", "Cancelling", "orange"),
    "succeeded": ("✓", "Done", "green"),
    "failed": ("✕", "Failed", "red"),
    "cancelled": ("◼", "Cancelled", "gray"),
    "lost": ("?", "Lost", "orange"),
}
"""Glyph, word and hue of every state; the glyph tells them apart without colour."""


def pill() -> None:
    """What runs and how far it is, on every page; nothing, and no polling, while nothing does."""
    ids = [job.id for job in live()]
    if ids:
        st.fragment(_pill, run_every=LOOK)(ids)


def _pill(before: Sequence[str]) -> None:
    now = live()
    if [job.id for job in now] != before:
        st.rerun()
    job = next((job for job in now if job.position is None), now[-1])
    more = f" · {len(now) - 1} more" if len(now) > 1 else ""
    st.page_link(
        state.TRAIN,
        label=f"{name(job)} {reached(job)}{more}",
        icon=":material/model_training:",
        query_params={"job": job.id},
    )


def live() -> list[JobView]:
    """Queued and running jobs, the newest first."""
    context, tenant, _ = state.who()
    return jobs.listing(context, tenant, active=True)


def name(job: JobView) -> str:
    """What is trained."""
    return str(job.payload.get("algorithm", job.kind))


def reached(job: JobView) -> str:
    """`43 %`, `2nd in the queue`, `cancelling`."""
    if job.position is not None:
        return f"{words.ordinal(job.position)} in the queue"
    if job.state != "running":
        return MARKS[job.state][1].lower()
    return words.percent(job.progress, 0)


def short(job: JobView) -> str:
    """As much of its number as tells jobs apart."""
    return job.id[:8]
