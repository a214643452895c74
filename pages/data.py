"""Data: what has arrived, what is missing, and what was refused?"""

from __future__ import annotations

from datetime import UTC, datetime, time

import streamlit as st

from workbench.services import brief, ingest
from workbench.ui import charts, frame, runs, state, tables, theme, uploads, verbs
from workbench.ui.state import Key

context, tenant, actor = state.who()


def arrivals() -> None:
    """Report × day: delivered, partial, missing."""
    grid = brief.arrivals(context, tenant)
    if not grid.reports:
        frame.empty(
            "No data yet. Upload report files on the right, or run the demo from the command line."
        )
        return
    frame.draw(
        "What has arrived",
        charts.coverage(grid, theme.palette()),
        lambda: tables.coverage(grid),
        alt="Report by day: delivered, partial (◆) or missing (▲).",
        key="coverage",
    )


def batches() -> None:
    """Imports, newest first; the chosen one can be taken back."""
    rows = ingest.batches(context, tenant)
    st.markdown("**Imports**")
    if not rows:
        st.caption("Nothing imported yet.")
        return
    picked = st.dataframe(
        tables.batches(rows),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="batches",
        height=320,
        alt="Imported batches, newest first. Choose one to take it back.",
    )
    chosen = picked.selection.rows
    if chosen:
        batch = rows[chosen[0]]
        st.button(
            f"Take back batch {batch.id}",
            icon=":material/undo:",
            disabled=batch.state == "undone",
            on_click=verbs.attempt,
            args=(f"Batch {batch.id} was taken back.", ingest.undo_batch, batch.id),
        )


def bring() -> None:
    """Upload: look first, then load."""
    st.markdown("**Bring files in**")
    files = st.file_uploader(
        "Report files",
        type=["json", "gz", "csv", "xlsx", "parquet"],
        accept_multiple_files=True,
        key=Key.UPLOAD,
        help="Amazon Ads v3 reports, profiles.json, console exports, or any table with a mapping",
    )
    known = st.date_input(
        "Downloaded on", value=None, help="Only where the files do not say it", format="YYYY-MM-DD"
    )
    as_of = datetime.combine(known, time.max, UTC) if known else None
    with st.container(horizontal=True):
        for label, dry_run in (("Check", True), ("Import", False)):
            st.button(
                label,
                type="secondary" if dry_run else theme.main_button(),
                disabled=not files or runs.busy(tenant),
                on_click=uploads.bring,
                args=(files, as_of, dry_run),
            )
    uploads.report()


def page() -> None:
    """What has arrived on the left, bringing in and detecting on the right."""
    left, right = st.columns([5, 3], gap="medium")
    with left:
        arrivals()
        batches()
    with right:
        bring()
        st.divider()
        runs.detect_button(primary=False)


page()
