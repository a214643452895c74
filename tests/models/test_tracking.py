"""A training as MLflow keeps it: parameters, metrics, the curve and the signed files; told twice, it is one run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import MissingExtraError, StoreError
from models import tracking
from models.registry import Registry
from models.tracking import Run

pytestmark = pytest.mark.filterwarnings(
    # what MLflow does with SQLAlchemy and pydantic is not ours to mend
    "ignore::DeprecationWarning:mlflow",
    "ignore:The ``noload`` loader strategy",
    "ignore::ResourceWarning",
)
AT = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)
CURVE = [
    {
        "stage": "lstm-autoencoder: train",
        "epoch": epoch,
        "train": 1 / epoch,
        "validation": 2 / epoch,
    }
    for epoch in range(1, 121)
]


@pytest.fixture
def run(registry: Registry, published: Callable[..., str]) -> Run:
    row = registry.store.get("acme", published())
    return Run(
        experiment="headwater/acme/ads",
        version=row.id,
        folder=registry.root / row.name / row.id,
        at=AT,
        params={**row.params, "settings": "x" * 10_000},
        metrics={"f1": 0.75, "auc_pr": float("nan"), "fit_seconds": 1.5},
        curve=CURVE,
        tags={"headwater.by": "ana"},
    )


def test_mlflow_keeps_what_was_trained_and_how_it_fared(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="needs the extra mlflow")
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    number = tracking.log(uri, run, tmp_path / "mlruns")
    client = MlflowClient(tracking_uri=uri)
    kept = client.get_run(number)
    assert kept.info.status == "FINISHED"
    assert kept.info.run_name == run.version
    assert kept.info.start_time == AT.timestamp() * 1000
    assert kept.data.params["largest"] == "1"
    assert len(kept.data.params["settings"]) == 6000
    assert (kept.data.metrics["f1"], kept.data.metrics["fit_seconds"]) == (0.75, 1.5)
    assert "auc_pr" not in kept.data.metrics
    assert kept.data.tags["headwater.by"] == "ana"
    losses = client.get_metric_history(number, "lstm-autoencoder/train/validation")
    assert [(loss.step, loss.value) for loss in losses] == [
        (row["epoch"], row["validation"]) for row in CURVE
    ]
    files = {Path(file.path).name for file in client.list_artifacts(number, "model")}
    assert files == {path.name for path in run.folder.iterdir()}
    signed = tmp_path / "mlruns" / number / "artifacts" / "model" / "manifest.sig"
    assert signed.read_bytes() == (run.folder / "manifest.sig").read_bytes()

    assert tracking.log(uri, run, tmp_path / "mlruns") == number
    other = tracking.log(uri, replace(run, version="another"), tmp_path / "mlruns")
    found = client.search_runs([kept.info.experiment_id])
    assert {told.info.run_id for told in found} == {number, other}


def test_a_run_that_broke_off_is_told_anew(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="needs the extra mlflow")
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"

    def broken(*_: object, **__: object) -> None:
        raise ConnectionResetError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "log_artifacts", broken)
        with pytest.raises(StoreError, match="ConnectionResetError: gone"):
            tracking.log(uri, run, tmp_path / "mlruns")
    number = tracking.log(uri, run, tmp_path / "mlruns")
    client = MlflowClient(tracking_uri=uri)
    found = client.search_runs([client.get_run(number).info.experiment_id])
    assert [told.info.run_id for told in found] == [number]


def test_a_server_that_is_not_there_is_a_store_error(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="needs the extra mlflow")
    with pytest.raises(StoreError, match="one that takes this training") as refused:
        tracking.log("http://127.0.0.1:9", run, tmp_path)
    assert "HEADWATER_MLFLOW_TRACKING_URI" in refused.value.hint


def test_without_the_library_its_extra_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtraError, match="mlflow-skinny") as refused:
        tracking.log("sqlite://", run, tmp_path)
    assert refused.value.hint == "pip install 'headwater[mlflow]'"
