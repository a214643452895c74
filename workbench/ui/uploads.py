"""Files from the browser: kept in a temporary folder while they are read, then told what came of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import streamlit as st

from core.contracts import OnStep
from workbench.services import ingest
from workbench.services.ingest import ImportReport
from workbench.ui import runs, state


def bring(files: Sequence[Any], as_of: datetime | None, dry_run: bool) -> None:
    """Check or import the uploaded files in the background."""
    context, tenant, actor = state.who()
    folder = Path(tempfile.mkdtemp(prefix="headwater-upload-"))
    paths = [folder / Path(file.name).name for file in files]
    for path, file in zip(paths, files, strict=True):
        path.write_bytes(file.getbuffer())

    def work(on_step: OnStep) -> ImportReport:
        try:
            return ingest.import_paths(
                context, tenant, paths, as_of=as_of, dry_run=dry_run, on_step=on_step
            )
        finally:
            shutil.rmtree(folder)

    runs.start(tenant, "Check" if dry_run else "Import", work)


def report() -> None:
    """What came of the last check or import: files, differences, and every refused cell."""
    run = runs.latest(state.who()[1])
    if run is None or not isinstance(run.result, ImportReport):
        return
    st.markdown(f"**{run.label}:** {run.result}")
