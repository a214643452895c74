"""A version loads exactly as it was published, or is refused by name; nothing in between."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core import catalog
from core.contracts import Classifier, Detector, Panel
from core.detectors.robust_z import RobustZ
from core.errors import (
    ChecksumMismatchError,
    IncompatibleVersionError,
    MissingArtifactError,
    NotFoundError,
    PersistenceError,
    SelfTestError,
    SignatureError,
)
from core.samples import spoken_classes, worded
from models.manifest import Manifest, Training
from models.registry import PROBES, Registry, version_id
from models.train import train
from tests.models.conftest import NOW, Clock, Publish, folder_of


def test_a_published_version_scores_the_same_when_loaded(
    registry: Registry, published: Publish, panel: Panel
) -> None:
    version = published(scope="entity")
    loaded = registry.load("acme", version)
    fitted = train(panel, name="robust-z", params={"scope": "entity"}, held_out=0.0).algorithm
    assert isinstance(loaded, Detector)
    assert isinstance(fitted, Detector)
    np.testing.assert_array_equal(loaded.score(panel), fitted.score(panel))
    assert loaded.model_id == version
    assert loaded.params.scope == "entity"


def test_the_manifest_tells_what_was_trained_on_what(
    registry: Registry, published: Publish, panel: Panel
) -> None:
    manifest = registry.manifest("acme", published(largest=2))
    assert (manifest.tenant, manifest.domain, manifest.algorithm) == ("acme", "ads", "robust-z")
    assert manifest.params == {"seed": 0, "scope": "pooled", "largest": 2}
    assert manifest.features == panel.metrics
    assert manifest.training.start == "2026-01-01T00:00:00"
    assert manifest.training.end == "2026-03-01T00:00:00"
    assert (manifest.training.entities, manifest.training.periods) == (40, 60)
    assert manifest.training.step_seconds == 86400
    assert len(manifest.training.snapshot_digest) == 64
    assert len(manifest.probes) == 16
    assert {"numpy", "python", "torch"} <= set(manifest.libraries)
    assert Manifest.decode(manifest.encode()) == manifest


def test_the_row_is_the_commit_point(registry: Registry, published: Publish, clock: Clock) -> None:
    version = published()
    row = registry.store.get("acme", version)
    assert (row.name, row.kind, row.state, row.created_by) == (
        "robust-z",
        "detector",
        "ready",
        "ana",
    )
    assert row.created_at == clock.now
    with pytest.raises(NotFoundError):
        registry.load("other", version)
    with pytest.raises(NotFoundError):
        registry.load("acme", version_id(NOW))


def test_ids_sort_by_time_and_never_repeat(clock: Clock) -> None:
    ids = []
    for _ in range(50):
        ids.append(version_id(clock.now))
        clock.advance(seconds=1)
    assert ids == sorted(ids)
    assert len({version_id(NOW) for _ in range(1000)}) == 1000
    assert all(len(number) == 26 for number in ids)


@pytest.mark.parametrize("file", ["arrays.safetensors", "text.json", PROBES])
def test_a_changed_byte_is_refused(registry: Registry, published: Publish, file: str) -> None:
    version = published()
    path = folder_of(registry, version) / file
    data = bytearray(path.read_bytes())
    for position in (0, len(data) // 2, len(data) - 1):
        changed = bytearray(data)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ChecksumMismatchError, match="SHA-256"):
            registry.load("acme", version)
    path.write_bytes(data[:-1])
    with pytest.raises(ChecksumMismatchError, match="bytes long"):
        registry.load("acme", version)
    path.write_bytes(data)
    registry.load("acme", version)


def test_a_changed_manifest_or_signature_is_refused(registry: Registry, published: Publish) -> None:
    version = published()
    folder = folder_of(registry, version)
    text, signature = (
        (folder / "manifest.json").read_bytes(),
        (folder / "manifest.sig").read_bytes(),
    )
    (folder / "manifest.json").write_bytes(text.replace(b'"acme"', b'"acmf"'))
    with pytest.raises(SignatureError):
        registry.load("acme", version)
    (folder / "manifest.json").write_bytes(text)
    for broken in (signature[:-2], signature.swapcase(), b"", b"../../key x\n"):
        (folder / "manifest.sig").write_bytes(broken)
        with pytest.raises(SignatureError):
            registry.load("acme", version)


def test_a_missing_or_extra_file_is_refused(registry: Registry, published: Publish) -> None:
    version = published()
    folder = folder_of(registry, version)
    (folder / "extra.bin").write_bytes(b"")
    with pytest.raises(MissingArtifactError, match="exactly"):
        registry.load("acme", version)
    (folder / "extra.bin").unlink()
    for file in ("manifest.sig", "manifest.json", "arrays.safetensors"):
        data = (folder / file).read_bytes()
        (folder / file).unlink()
        with pytest.raises(MissingArtifactError):
            registry.load("acme", version)
        (folder / file).write_bytes(data)
    shutil.rmtree(folder)
    with pytest.raises(MissingArtifactError):
        registry.load("acme", version)


def test_a_signed_version_cannot_be_copied_over_another(
    registry: Registry, published: Publish
) -> None:
    older, newer = published(), published(largest=3)
    shutil.rmtree(folder_of(registry, newer))
    shutil.copytree(folder_of(registry, older), folder_of(registry, newer))
    with pytest.raises(SignatureError):
        registry.load("acme", newer)


def test_a_signed_version_is_bound_to_its_tenant(registry: Registry, published: Publish) -> None:
    ours, theirs = published(), published("rival")
    shutil.rmtree(folder_of(registry, ours))
    shutil.copytree(folder_of(registry, theirs), folder_of(registry, ours))
    with pytest.raises(SignatureError):
        registry.load("acme", ours)


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "fifo", "folder"])
def test_only_plain_files_are_read(
    registry: Registry, published: Publish, tmp_path: Path, kind: str
) -> None:
    version = published()
    path = folder_of(registry, version) / "text.json"
    path.rename(tmp_path / "aside")
    {
        "symlink": lambda: path.symlink_to(tmp_path / "aside"),
        "hardlink": lambda: path.hardlink_to(tmp_path / "aside"),
        "fifo": lambda: os.mkfifo(path),
        "folder": lambda: path.mkdir(),
    }[kind]()
    with pytest.raises(PersistenceError):
        registry.load("acme", version)


def test_a_version_folder_that_is_a_link_is_refused(
    registry: Registry, published: Publish, tmp_path: Path
) -> None:
    version = published()
    folder_of(registry, version).rename(tmp_path / "aside")
    folder_of(registry, version).symlink_to(tmp_path / "aside")
    with pytest.raises(PersistenceError, match="no link"):
        registry.load("acme", version)


@pytest.mark.parametrize("name", ["../up", "a/b", "", "UPPER", ".hidden", "x" * 65])
def test_names_never_become_paths(registry: Registry, name: str) -> None:
    with pytest.raises(PersistenceError, match="must be like"):
        registry.load("acme", name)


def resigned(registry: Registry, version: str, change: Callable[[dict[str, object]], None]) -> None:
    """Rewrite a version's manifest with our own key: only what comes after the signature can refuse it."""
    import base64
    import hashlib

    from models.registry import _signed

    folder = folder_of(registry, version)
    raw = json.loads((folder / "manifest.json").read_bytes())
    change(raw)
    text = json.dumps(raw).encode()
    signer = registry.keys.signer()
    signature = base64.b64encode(signer.sign(_signed("acme", "robust-z", version, text))).decode()
    (folder / "manifest.json").write_bytes(text)
    (folder / "manifest.sig").write_text(f"{signer.key_id} {signature}\n")
    registry.store.get("acme", version)
    digest = hashlib.sha256(text).hexdigest()
    registry.store.records.write(  # type: ignore[attr-defined]
        "acme", lambda session: setattr(_row(session, version), "digest", digest)
    )


def _row(session, version: str):  # type: ignore[no-untyped-def]
    from data.model_records import ModelVersion

    return session.get(ModelVersion, ("acme", version))


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda raw: raw.update(schema=2), IncompatibleVersionError, "schema"),
        (lambda raw: raw.update(surprise=1), PersistenceError, "surprise"),
        (lambda raw: raw.pop("kind"), PersistenceError, "kind"),
        (lambda raw: raw.update(params=[]), PersistenceError, "params"),
        (lambda raw: raw.update(algorithm="no-such"), PersistenceError, "no-such"),
        (lambda raw: raw["params"].update(largest=0), PersistenceError, "largest"),
        (lambda raw: raw["params"].update(depth=3), PersistenceError, "depth"),
        (lambda raw: raw.update(name="other"), PersistenceError, "the manifest"),
        (lambda raw: raw["artifacts"][0].update(file="../x"), PersistenceError, "plain file"),
        (lambda raw: raw.update(features=["a"] * 5), PersistenceError, "metrics"),
        (lambda raw: raw["artifacts"].pop(), MissingArtifactError, "exactly"),
    ],
)
def test_a_manifest_that_is_signed_but_wrong_is_refused(
    registry: Registry,
    published: Publish,
    change: Callable[[dict[str, object]], None],
    error: type[Exception],
    said: str,
) -> None:
    version = published()
    resigned(registry, version, change)
    with pytest.raises(error, match=said):
        registry.load("acme", version)


def test_a_manifest_of_an_older_row_is_refused(registry: Registry, published: Publish) -> None:
    version = published()
    folder = folder_of(registry, version)
    first = {file.name: file.read_bytes() for file in folder.iterdir()}
    resigned(registry, version, lambda raw: raw.update(parent="x"))
    for name, data in first.items():
        (folder / name).write_bytes(data)
    with pytest.raises(ChecksumMismatchError, match=r"manifest\.json"):
        registry.load("acme", version)


def test_a_model_that_no_longer_scores_its_probe_rows_is_refused(
    registry: Registry, published: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = published()
    real = RobustZ._score
    monkeypatch.setattr(
        RobustZ, "_score", lambda self, scorer, panel: real(self, scorer, panel) + 1e-6
    )
    with pytest.raises(SelfTestError, match="probe rows"):
        registry.load("acme", version)


def test_an_over_long_file_is_not_read(
    registry: Registry, published: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = published()
    monkeypatch.setattr("models.folders.MAX_ARTIFACT", 10)
    with pytest.raises(PersistenceError, match="at most 10 bytes"):
        registry.load("acme", version)


def test_scores_are_equal_in_a_fresh_process(
    registry: Registry, published: Publish, panel: Panel, tmp_path: Path
) -> None:
    version = published(scope="entity")
    np.save(tmp_path / "values.npy", panel.values)
    script = textwrap.dedent(
        f"""
        import sys, numpy as np
        from pathlib import Path
        from core.contracts import Panel, Periods
        from data.record_store import Records
        from data.version_store import Versions
        from models.registry import Registry
        from models.signing import Keys
        home = Path(sys.argv[1])
        with Records(f"sqlite:///{{home}}/records.db") as records:
            registry = Registry(home / "registry", Versions(records), Keys(home / "keys"))
            model = registry.load("acme", "{version}")
        values = np.load(home / "values.npy")
        days = np.datetime64("2026-01-01", "s") + np.arange(60) * np.timedelta64(86400, "s")
        panel = Panel(values, tuple(f"campaign:{{row}}" for row in range(40)),
            ("impressions", "ctr", "cpc", "cvr", "aov"), Periods(days, np.timedelta64(1, "D")))
        np.save(home / "scores.npy", model.score(panel))
        """
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=60)
    here = registry.load("acme", version)
    assert isinstance(here, Detector)
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), here.score(panel))


def test_a_classifier_that_reads_words_keeps_them_among_its_probe_rows(registry: Registry) -> None:
    panel = worded()
    forest = catalog.make("random-forest", trees=5, lags="", spans="", shapes="")
    version = registry.publish(
        "acme",
        domain="ads",
        algorithm=forest.fit(panel, spoken_classes(panel)),
        probes=panel,
        training=Training(),
        metrics={},
        actor="ana",
    )
    loaded = registry.load("acme", version.id)
    assert isinstance(loaded, Classifier)
    np.testing.assert_array_equal(loaded.predict_proba(panel), forest.predict_proba(panel))
    kept = registry.probes("acme", version.id)
    chosen = panel.rows(kept.entities)
    for name, words in panel.words.items():
        np.testing.assert_array_equal(
            kept.words[name], words[chosen, -30:] if words.ndim == 2 else words[chosen]
        )


def test_a_model_whose_bytes_do_not_score_alike_is_never_published(
    registry: Registry, panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core import artifact

    trained = train(panel, name="robust-z")
    real = artifact.unpack

    def shifted(files):  # type: ignore[no-untyped-def]
        state = real(files)
        return {**state, "centre": state["centre"] + 1e-3}

    monkeypatch.setattr(artifact, "unpack", shifted)
    with pytest.raises(SelfTestError):
        registry.publish(
            "acme",
            domain="ads",
            algorithm=trained.algorithm,
            probes=panel,
            training=replace(trained.training, seed=1),
            metrics={},
            actor="ana",
        )
    assert list(registry.root.iterdir()) == []


def test_a_version_whose_library_is_gone_says_what_to_install(
    registry: Registry, published: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'lightgbm'", name="lightgbm")

    version = published()
    monkeypatch.setattr(RobustZ, "_open", gone)
    with pytest.raises(IncompatibleVersionError, match="lightgbm must be installed") as refused:
        registry.load("acme", version)
    assert refused.value.context["dependency"] == "lightgbm"
    assert refused.value.hint.startswith("pip install")


def test_verify_says_of_each_version_whether_it_is_sound(
    registry: Registry, published: Publish
) -> None:
    sound, changed, lost, forgotten = (published() for _ in range(4))
    arrays = folder_of(registry, changed) / "arrays.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-1])
    shutil.rmtree(folder_of(registry, lost))
    shutil.copytree(folder_of(registry, forgotten), folder_of(registry, version_id(NOW)))
    told: list[str] = []
    verdicts = registry.verify("acme", lambda stage, *_: told.append(stage))
    by_version = {verdict.version: verdict for verdict in verdicts}
    assert by_version[sound].ok
    assert by_version[sound].bytes > 0
    assert by_version[changed].error == "ChecksumMismatchError"
    assert "bytes long" in by_version[changed].message
    assert by_version[lost].error == "MissingArtifactError"
    assert [verdict.error for verdict in verdicts[4:]] == ["MissingArtifactError"]
    assert "its row" in verdicts[4].message
    assert len(told) == 4
    assert registry.verify("zoe")[0].message == verdicts[4].message
