"""A version is published whole or not at all, whoever dies meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.contracts import Panel
from core.errors import (
    ChecksumMismatchError,
    ConflictError,
    MissingArtifactError,
)
from data import version_store
from data.audit_store import history
from data.record_store import Records
from models.registry import Registry, version_id
from models.train import train
from tests.models.conftest import NOW, Clock, Publish, folder_of


def stage(
    registry: Registry,
    panel: Panel,
    version: str,
    *,
    predictions: bytes | None = None,
    **params: object,
) -> Any:
    trained = train(panel, name="robust-z", params=params, held_out=0.0)
    return registry.staged(
        "acme",
        domain="ads",
        algorithm=trained.algorithm,
        probes=panel,
        training=trained.training,
        metrics=trained.metrics,
        predictions=predictions,
        version=version,
    )


def commit(records: Records, row: dict[str, Any]) -> None:
    records.write(
        "acme",
        lambda session: version_store.add(session, tenant="acme", fields=row, actor="a", at=NOW),
    )


def test_the_same_work_published_twice_is_one_version(
    registry: Registry, records: Records, panel: Panel, clock: Clock
) -> None:
    version = version_id(NOW, "job-7/2")
    assert version == version_id(NOW, "job-7/2") != version_id(NOW, "job-7/3")
    for _ in range(2):
        clock.advance(hours=1)
        with stage(registry, panel, version) as row:
            commit(records, row)
    assert [kept.id for kept in registry.store.versions("acme")] == [version]
    assert len(records.read("acme", lambda session: history(session, tenant="acme"))) == 1
    assert registry.load("acme", version).model_id == version


def test_files_without_a_row_are_replaced_by_the_next_try(
    registry: Registry, records: Records, panel: Panel
) -> None:
    version = version_id(NOW, "job-7/2")
    with stage(registry, panel, version, largest=2):
        pass  # the process dies before the row
    with stage(registry, panel, version, largest=3) as row:
        commit(records, row)
    assert registry.load("acme", version).params.largest == 3
    assert [path.name for path in registry.root.iterdir()] == ["robust-z"]


def test_a_commit_that_fails_takes_the_files_away(
    registry: Registry, records: Records, panel: Panel
) -> None:
    with (
        pytest.raises(ConflictError, match="the fence"),
        stage(registry, panel, version_id(NOW, "job-7/1")),
    ):
        raise ConflictError.of("jobs", "the fence", "1", 2)
    assert list((registry.root / "robust-z").iterdir()) == []
    version = version_id(NOW, "job-7/2")
    with pytest.raises(ZeroDivisionError), stage(registry, panel, version) as row:
        commit(records, row)
        raise ZeroDivisionError
    registry.load("acme", version)


def test_the_sweep_spares_what_is_being_published(
    registry: Registry, records: Records, panel: Panel, clock: Clock
) -> None:
    clock.now = datetime.now(UTC)
    version = version_id(NOW, "job-7/2")
    with stage(registry, panel, version) as row:
        clock.advance(hours=2)
        assert registry.sweep() == []
        assert registry.verify("acme") == []
        commit(records, row)
    registry.load("acme", version)
    with stage(registry, panel, lost := version_id(NOW, "job-8/1")):
        pass
    assert registry.sweep() == [f"robust-z/{lost}"]


def test_predictions_are_signed_with_their_version_and_never_read_when_serving(
    registry: Registry, records: Records, panel: Panel
) -> None:
    version = version_id(NOW, "job-9/1")
    with stage(registry, panel, version, predictions=b"PAR1 rows PAR1") as row:
        commit(records, row)
    assert registry.predictions("acme", version) == b"PAR1 rows PAR1"
    registry.load("acme", version)
    path = folder_of(registry, version) / "predictions.parquet"
    path.write_bytes(b"PAR1 rowS PAR1")
    registry.load("acme", version)
    with pytest.raises(ChecksumMismatchError, match=r"predictions\.parquet"):
        registry.predictions("acme", version)
    assert registry.verify("acme")[0].error == "ChecksumMismatchError"
    path.unlink()
    with pytest.raises(MissingArtifactError):
        registry.load("acme", version)


def test_a_version_without_predictions_has_none(registry: Registry, published: Publish) -> None:
    assert registry.predictions("acme", published()) is None


# ── crashes ──────────────────────────────────────────────────────────────────────────────────────


def test_a_failed_write_leaves_nothing(
    registry: Registry, published: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("models.folders.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        published()
    assert list(registry.root.iterdir()) == []
    assert registry.store.versions("acme") == []


def test_the_sweep_takes_what_a_crash_left_and_nothing_else(
    registry: Registry, published: Publish, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, unreadable = published(), published(largest=2)
    (folder_of(registry, unreadable) / "manifest.json").write_bytes(b"{}")

    def killed(*_: object, **__: object) -> None:
        raise SystemExit

    monkeypatch.setattr(registry.store, "add", killed)
    with pytest.raises(SystemExit):
        published(largest=3)
    (registry.root / ".tmp-0123").mkdir()
    clock.now = datetime.now(UTC)
    assert registry.sweep() == []
    clock.advance(hours=2)  # the folders' own times are real ones
    versions = registry.root / "robust-z"
    (orphan,) = {path.name for path in versions.iterdir()} - {kept, unreadable}
    assert registry.sweep() == [".tmp-0123", f"robust-z/{orphan}"]
    assert {path.name for path in versions.iterdir()} == {kept, unreadable}
    assert len(list((registry.root / ".orphans").iterdir())) == 1
    registry.load("acme", kept)


def test_killed_at_any_disk_step_the_next_start_heals(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.models.kill_publication", str(tmp_path)],
        check=True,
        timeout=120,
        capture_output=True,
        text=True,
    )
    found = json.loads(ran.stdout)
    # 5 files, 3 folders and one rename; only the publication that nobody killed is there at the end
    assert found == {"steps": 10, "swept": 9, "consistent": True, "rows": 1}
