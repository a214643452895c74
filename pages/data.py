"""Data: what has arrived, what is missing, and what was refused?"""

from __future__ import annotations

from functools import partial

import streamlit as st

from workbench.services import ingest, sources
from workbench.ui import (
    cache,
    charts,
    data_view,
    frame,
    runs,
    state,
    tables,
    theme,
    uploads,
    validation_view,
    verbs,
)
from workbench.ui.state import Key

context, tenant, actor = state.who()
FETCHED = sources.domains()


HELP = {
    "ads": "Amazon Ads v3 reports, profiles.json, console exports, or any table with a mapping",
    "services": "Measurements long (time, node, metric, value) or wide, nodes.csv, edges.csv, metrics.csv,"
    " events.csv, incidents.csv; Prometheus' or OpenMetrics text (.prom, .om, .txt)",
}
TYPES = {
    "ads": ["json", "gz", "csv", "xlsx", "parquet"],
    "services": ["csv", "xlsx", "parquet", "prom", "om", "openmetrics", "txt"],
}
EMPTY = {
    "ads": "No data yet. Upload report files on the right, or run the demo from the command line.",
    "services": "No measurements yet. Upload files or add a Prometheus on the right; `headwater simulate services`"
    " makes some to try.",
}
UNITS = {"ads": "Report", "services": "Metric"}
NEWEST = 200  # imports shown; a source brings a few hundred a day


def arrivals(domain: str) -> None:
    """Report or metric × day: delivered, partial, missing."""
    grid = cache.arrivals(domain)
    if not grid.reports:
        frame.empty(EMPTY[domain])
        return
    frame.draw(
        "What has arrived",
        charts.coverage(grid, theme.palette()),
        lambda: tables.coverage(grid),
        alt=f"{UNITS[domain]} by day: delivered, partial (◆) or missing (▲).",
        key="coverage",
    )


def batches(domain: str) -> None:
    """Imports, newest first; the chosen one shows what it refused and can be taken back."""
    rows = [row for row in ingest.batches(context, tenant) if row.domain == domain]
    st.markdown("**Imports**")
    if not rows:
        st.caption("Nothing imported yet.")
        return
    if len(rows) > NEWEST:
        st.caption(f"The newest {NEWEST} of {len(rows):,}.")
        rows = rows[:NEWEST]
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


def bring(domain: str) -> None:
    """Upload: look first, then load."""
    st.markdown("**Bring files in**")
    files = st.file_uploader(
        "Files",
        type=TYPES[domain],
        accept_multiple_files=True,
        key=Key.UPLOAD,
        help=HELP[domain],
    )
    with st.expander("Where the files do not say it"):
        known = st.date_input("Downloaded on", value=None, format="YYYY-MM-DD")
        profile = st.text_input("Profile id", max_chars=64) if domain == "ads" else ""
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
                kwargs={"domain": domain, "dry_run": dry_run},
            )
    uploads.report()


def page() -> None:
    """What has arrived on the left, bringing in and detecting on the right."""
    domain = data_view.domain()
    left, right = st.columns([5, 3], gap="medium")
    with left:
        arrivals(domain)
        validation_view.link(domain)
        if domain in FETCHED:
            data_view.measured(domain)
        batches(domain)
    with right:
        bring(domain)
        if domain in FETCHED:
            st.divider()
            data_view.fetched(domain)
        st.divider()
        runs.detect_button(domain, primary=False)


page()
