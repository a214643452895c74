"""A training told to an MLflow tracking server too, where one is set; the registry stays what models are trusted by.

A run is looked up by the version that it tells of, so telling one twice leaves one run.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from core.errors import MissingExtraError, StoreError

VERSION = "headwater.version"
"""The tag by which a run names the version it tells of."""
AT_ONCE = 100  # values that MLflow takes in one request
LONGEST = 6000  # characters of a parameter that MLflow keeps
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing about anybody's trainings goes to strangers
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # by default it asks a dead server for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


@dataclass(frozen=True)
class Run:
    """What is told of one training.

    curve  : rows of numbers with the `stage` and `epoch` they belong to, e.g. the losses of each epoch
    folder : the version's own, logged as artifacts
    """

    experiment: str
    version: str
    folder: Path
    at: datetime
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    curve: Sequence[Mapping[str, Any]] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


def log(uri: str, run: Run, artifacts: Path) -> str:
    """Log parameters, metrics, the learning curve and the files of a version; the run's id.

    artifacts : where a tracking database without a server of its own keeps files

    Raises MissingExtraError without mlflow-skinny, StoreError when the tracking server does not take it.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(
            "tracking", "mlflow-skinny", "installed", error.name, "pip install 'headwater[mlflow]'"
        ) from error
    try:
        return _told(MlflowClient(tracking_uri=uri), uri, run, artifacts)
    except Exception as error:
        raise StoreError.of(
            "tracking",
            "the MLflow server",
            "one that takes this training",
            f"{type(error).__name__}: {error}",
            "See HEADWATER_MLFLOW_TRACKING_URI.",
        ) from error


def _told(client: Any, uri: str, run: Run, artifacts: Path) -> str:
    from mlflow.entities import Metric, Param

    known = client.get_experiment_by_name(run.experiment)
    if known is None:
        place = None if uri.startswith("http") else artifacts.resolve().as_uri()
        experiment = client.create_experiment(run.experiment, artifact_location=place)
    else:
        experiment = known.experiment_id
    # values are quoted into the search; ids are letters and digits only
    same = client.search_runs([experiment], f"tags.`{VERSION}` = '{run.version}'")
    for told in same:
        if told.info.status == "FINISHED":
            return str(told.info.run_id)
        client.delete_run(told.info.run_id)
    at = int(run.at.timestamp() * 1000)
    begun = client.create_run(
        experiment, start_time=at, tags={**run.tags, VERSION: run.version}, run_name=run.version
    )
    number = str(begun.info.run_id)
    params = [Param(name, str(value)[:LONGEST]) for name, value in run.params.items()]
    metrics = [
        Metric(name, float(value), at, 0)
        for name, value in run.metrics.items()
        if math.isfinite(value)
    ]
    for row in run.curve:
        metrics += [
            Metric(f"{row['stage']}/{name}".replace(": ", "/"), float(value), at, int(row["epoch"]))
            for name, value in row.items()
            if name in ("train", "validation") and math.isfinite(value)
        ]
    for first in range(0, len(params), AT_ONCE):
        client.log_batch(number, params=params[first : first + AT_ONCE])
    for first in range(0, len(metrics), AT_ONCE):
        client.log_batch(number, metrics=metrics[first : first + AT_ONCE])
    client.log_artifacts(number, str(run.folder), artifact_path="model")
    client.set_terminated(number)
    return number
