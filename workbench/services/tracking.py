"""Trainings told to MLflow, where `HEADWATER_MLFLOW_TRACKING_URI` names a server; without it nothing happens."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import MissingExtraError, StoreError
from models import progress, tracking
from models.ports import VersionRow
from workbench.context import Context

log = logging.getLogger(__name__)


def tell(
    context: Context, version: VersionRow, curve: Sequence[Mapping[str, Any]], folder: Path
) -> threading.Thread | None:
    """Tell MLflow of a training that was published, beside the work that goes on; None where no server is set.

    curve, folder : of the training job; a server that does not take it is a warning on that job, never its failure
    """
    uri = context.settings.mlflow_tracking_uri
    if not uri:
        return None
    run = tracking.Run(
        experiment=f"headwater/{version.tenant}/{version.domain}",
        version=version.id,
        folder=context.registry.root / version.name / version.id,
        at=version.created_at,
        params=version.params,
        metrics=version.metrics,
        curve=curve,
        tags={
            "headwater.tenant": version.tenant,
            "headwater.domain": version.domain,
            "headwater.algorithm": version.name,
            "headwater.parent": version.parent or "",
            "headwater.digest": version.digest,
            "headwater.snapshot": version.snapshot_digest,
            "headwater.by": version.created_by,
        },
    )

    def send() -> None:
        try:
            tracking.log(uri, run, context.settings.home / "mlruns")
        except (MissingExtraError, StoreError) as error:
            log.warning("Version %s was not told to MLflow: %s", version.id, error)
            told = f"{error.message} {error.hint}".strip()
            progress.warn(folder, f"Not logged to MLflow. {told}")

    thread = threading.Thread(target=send, name=f"mlflow {version.id}")
    thread.start()
    return thread
