"""Data: what has arrived, what is missing, and what was refused?"""

from __future__ import annotations

from functools import partial

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
    """Imports, newest first; the chosen one shows what it refused and can be taken back."""
    rows = ingest.batches(context, tenant)
    st.markdown("**Imports**")
    if not rows:
        st.caption("Nothing imported yet.")
        return
    picked = st.dataframe(
        tables.batches(rows),
        hide_index=True,
        column_config=tables.BATCH_COLUMNS,
        on_select=partial(state.keep_row, Key.BATCHES),
        selection_mode=("single-row", "single-cell"),
        key=Key.BATCHES,
        height=tables.height(len(rows)),
        alt="Imported batches, newest first. Choose one to see what it refused or to take it back.",
    )
    chosen = [rows[row] for row in picked.selection.rows if row < len(rows)]
    if not chosen:
        st.caption("Choose an import to see what it refused, or to take it back.")
        return
    batch = chosen[0]
    st.button(
        f"Take back import {batch.id}",
        icon=":material/undo:",
        disabled=batch.state == "undone",
        on_click=verbs.attempt,
        args=(f"Import {batch.id} was taken back.", ingest.undo_batch, batch.id),
    )
    refused = ingest.quarantine(context, tenant, batch.id)
    if refused:
        st.dataframe(tables.refusals(refused), hide_index=True, alt="Refused cells of this import.")
    else:
        st.caption("Nothing was refused.")


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
    with st.expander("Where the files do not say it"):
        known = st.date_input("Downloaded on", value=None, format="YYYY-MM-DD")
        profile = st.text_input("Profile id", max_chars=64)
        mapping = st.file_uploader(
            "Mapping", type="json", help="Which column is what, for tables in no known format"
        )
    with st.container(horizontal=True):
        for label, dry_run in (("Check", True), ("Import", False)):
            st.button(
                label,
                type="secondary" if dry_run else theme.main_button(),
                disabled=not files or runs.busy(tenant),
                help="Reads everything, stores nothing" if dry_run else None,
                on_click=uploads.bring,
                args=(files, known, profile, mapping),
                kwargs={"dry_run": dry_run},
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
