"""Files from the browser: kept in a temporary folder while they are read, then told what came of them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import streamlit as st

from core.contracts import OnStep
from workbench.services import ingest
from workbench.services.ingest import ImportReport
from workbench.ui import runs, state, tables


def bring(
    files: Sequence[Any],
    known: date | None,
    profile: str,
    mapping: Any,
    *,
    domain: str,
    dry_run: bool,
) -> None:
    """Check or import the uploaded files in the background."""
    context, tenant, actor = state.who()
    told = _mapping(mapping)
    if mapping is not None and told is None:
        state.notify("The mapping must be one JSON object.", failed=True)
        return
    folder = Path(tempfile.mkdtemp(prefix="headwater-upload-"))
    paths: list[Path] = []
    for file in files:
        name = Path(file.name).name
        again = sum(path.name == name for path in paths)  # two days' reports may share a name
        paths.append(folder / str(again) / name)
        paths[-1].parent.mkdir(exist_ok=True)
        paths[-1].write_bytes(file.getbuffer())

    def work(on_step: OnStep) -> ImportReport:
        try:
            return ingest.import_paths(
                context,
                tenant,
                paths,
                domain=domain,
                as_of=datetime.combine(known, time.max, UTC) if known else None,
                profile=profile.strip() or None,
                mapping=told,
                dry_run=dry_run,
                actor=actor,
                on_step=on_step,
            )
        finally:
            shutil.rmtree(folder)

    if dry_run:
        runs.start(tenant, "Check", work)
    else:
        runs.start(
            tenant, "Import", work, kept="the files loaded before stay and can be taken back"
        )


def _mapping(file: Any) -> dict[str, Any] | None:
    if file is None:
        return None
    try:
        told = json.loads(file.getvalue())
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def report() -> None:
    """What came of the last check or import: each file, each refused cell, each ratio that differs."""
    run = runs.latest(state.who()[1])
    if run is None or not isinstance(run.result, ImportReport):
        return
    found = run.result
    st.markdown(f"**{run.label}:** {found}")
    for note in found.notes:
        st.caption(f":material/info: {note}")
    for title, rows, alt in (
        ("Files", tables.files(found.files), "What came of each file."),
        ("Quarantine", tables.refusals(found.quarantine), "Each refused cell with its rule."),
        (
            "Differences",
            tables.differences(found.differences),
            "Ratios that differ from the file's.",
        ),
    ):
        if len(rows):
            st.caption(f"{title} ({len(rows):,})")
            st.dataframe(rows, hide_index=True, height=tables.height(len(rows), 6), alt=alt)
