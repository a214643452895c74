"""MLflow is told of a training where a server is set; what goes wrong with it is a warning and no more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.contracts import Panel, Periods
from core.errors import StoreError
from models import progress
from models import tracking as mlflow
from models.ports import VersionRow
from models.train import publish, train
from tests.workbench import jobs_world
from tests.workbench.conftest import Clock
from workbench import runner
from workbench.context import Context, open_context
from workbench.services import job_kinds, jobs, tracking, training_jobs
from workbench.services.job_kinds import Kind
from workbench.settings import Settings

CURVE = [{"stage": "train", "epoch": 1, "train": 0.5, "validation": 0.6}]


@pytest.fixture
def tracked(settings: Settings, clock: Clock) -> Iterator[Context]:
    with open_context(
        settings.model_copy(update={"mlflow_tracking_uri": "http://mlflow"}), clock=clock
    ) as context:
        yield context


def version(context: Context) -> VersionRow:
    days = np.datetime64("2026-01-01", "s") + np.arange(60) * np.timedelta64(86400, "s")
    values = np.random.default_rng(3).standard_normal((6, 60, 2))
    panel = Panel(values, tuple("abcdef"), ("x", "y"), Periods(days, np.timedelta64(1, "D")))
    trained = train(panel, name="robust-z")
    return publish(context.registry, "acme", "ads", trained, panel, parent="before", actor="ana")


def test_a_training_is_told_with_its_lineage(
    tracked: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(mlflow, "log", lambda *asked: told.append(asked))
    row = version(tracked)
    thread = tracking.tell(tracked, row, CURVE, tmp_path)
    assert thread is not None
    thread.join()
    ((uri, run, artifacts),) = told
    assert (uri, artifacts) == ("http://mlflow", tracked.settings.home / "mlruns")
    assert (run.experiment, run.version, run.curve) == ("headwater/acme/ads", row.id, CURVE)
    assert run.params == row.params
    assert run.metrics == row.metrics
    assert (run.folder / "manifest.sig").exists()
    assert run.tags["headwater.parent"] == "before"
    assert run.tags["headwater.snapshot"] == row.snapshot_digest
    assert progress.notice(tmp_path) == ""


def test_what_mlflow_refuses_is_a_warning_on_the_job(
    tracked: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise StoreError.of("tracking", "the MLflow server", "there", "refused", "Start it.")

    monkeypatch.setattr(mlflow, "log", refuse)
    thread = tracking.tell(tracked, version(tracked), CURVE, tmp_path)
    assert thread is not None
    thread.join()
    assert progress.notice(tmp_path).startswith("Not logged to MLflow. tracking: the MLflow server")
    assert progress.curve(tmp_path) == []


def test_without_a_server_nothing_happens(
    ctx: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(mlflow, "log")
    assert tracking.tell(ctx, version(ctx), CURVE, tmp_path) is None


def test_a_trained_job_is_told_and_succeeds_though_nobody_listens(
    tracked: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []

    def refuse(uri: str, run: Any, _: Path) -> None:
        told.append(run)
        raise StoreError.of("tracking", "the MLflow server", "there", "refused", "Start it.")

    monkeypatch.setattr(mlflow, "log", refuse)
    small = Kind(jobs_world.prepare, training_jobs.publish)
    monkeypatch.setitem(job_kinds.KINDS, "train", small)
    job = jobs_world.submit(tracked)
    done = runner.run_until_done(tracked, jobs_world.TENANT, job.id)
    assert (done.state, done.error_text) == ("succeeded", "")
    for thread in threading.enumerate():
        if thread.name.startswith("mlflow"):
            thread.join()
    (run,) = told
    assert run.version == done.result_ref
    after = jobs.get(tracked, jobs_world.TENANT, job.id)
    assert after.notice.startswith("Not logged to MLflow.")
    assert tracked.registry.load(jobs_world.TENANT, run.version).fitted
