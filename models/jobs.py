"""A job's folder: what its worker is told, what it hands back, and where it can go on after an end.

task.json          what to do, under which fence
progress.jsonl     how far it came (`models.progress`)
log.txt            what it said
checkpoint/        learning as far as it came, written whole or not at all
out/<fence>/       the outcome of one attempt; it counts once `done.json`, written last, lies beside it

An attempt that was given up may still write: only into the `out/` of its own fence, which nobody reads.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.contracts import Bools, OnStep, Panel
from core.errors import (
    ChecksumMismatchError,
    HeadwaterError,
    PersistenceError,
    StoreError,
    UnknownNameError,
)

if TYPE_CHECKING:
    from core.evaluate.held_out import Predictions

TASK, CHECKPOINTS, DONE = "task.json", "checkpoint", "done.json"
FACTS, PREDICTIONS, STATE = "facts.json", "predictions.parquet", "state"
TRANSIENT: tuple[type[BaseException], ...] = (StoreError, ConnectionError, TimeoutError)
"""Faults that may have passed when the job is tried again."""
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,128}")


@dataclass(frozen=True)
class Task:
    """What one attempt at a job is told.

    snapshot, digest : the Parquet file to learn from and the SHA-256 of its bytes
    device           : "cpu" or "cuda:<n>"
    """

    tenant: str
    job: str
    fence: int
    kind: str
    domain: str
    payload: dict[str, Any]
    device: str
    snapshot: str
    digest: str

    def write(self, folder: Path) -> None:
        """Put the task where its worker looks."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(folder / TASK, json.dumps(dataclasses.asdict(self)).encode())

    @classmethod
    def read(cls, folder: Path) -> Task:
        """The task of a folder."""
        return cls(**json.loads((folder / TASK).read_text(encoding="utf-8")))


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a job made.

    files       : the fitted algorithm's state as `core.artifact` packs it
    facts       : plain JSON: algorithm, params, training, metrics, members, history, device, seconds, …
    predictions : what was said of the held-out rows, as `data.predictions` packs it; b"" where nothing was
    """

    files: Mapping[str, bytes]
    facts: Mapping[str, Any]
    predictions: bytes = b""


@dataclass(frozen=True)
class Failure:
    """Why a job made nothing; a transient fault is worth another attempt."""

    error_class: str
    text: str
    hint: str = ""
    transient: bool = False

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """An error in a record's words."""
        name, passing = type(error).__name__, isinstance(error, TRANSIENT)
        if isinstance(error, HeadwaterError):
            return cls(name, error.message, error.hint, passing)
        if isinstance(error, MemoryError):
            cure = "Take fewer entities or days, or smaller parameters."
            return cls(name, "The worker ran out of memory.", cure)
        return cls(name, f"{name}: {error}", "The job's log has the trace.", passing)


@dataclass(frozen=True)
class FolderCheckpoints:
    """Checkpoints as files, each whole: a kill leaves the one before."""

    folder: Path

    def load(self, key: str) -> bytes | None:
        """What was last saved under the key, or None."""
        try:
            return self._file(key).read_bytes()
        except FileNotFoundError:
            return None

    def save(self, key: str, data: bytes) -> None:
        """Keep the bytes in place of what was kept under the key."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(self._file(key), data)

    def _file(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise PersistenceError.of("jobs", "a checkpoint's key", f"like {_KEY.pattern}", key)
        return self.folder / f"{key}.safetensors"


Pack = Callable[["Predictions"], bytes]
Work = Callable[[Task, Path, Panel, "Bools | None", OnStep, FolderCheckpoints, Pack], Outcome]
WORK = {"train": "models.train:work"}
"""What a worker does for each kind of job, imported when it is asked for."""


def work(kind: str) -> Work:
    """The function behind a kind of job."""
    if kind not in WORK:
        raise UnknownNameError.of("jobs", "the kind", f"one of {', '.join(WORK)}", kind)
    module, _, name = WORK[kind].partition(":")
    found: Work = getattr(importlib.import_module(module), name)
    return found


# ── Handing over ─────────────────────────────────────────────────────────────────────────────────


def hand_over(folder: Path, fence: int, result: Outcome | Failure) -> None:
    """Write an attempt's result; it counts from the rename of its last file on."""
    place = folder / "out" / str(fence)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    written: dict[str, str] = {}
    if isinstance(result, Outcome):
        files = {f"{STATE}/{name}": data for name, data in result.files.items()}
        files[FACTS] = json.dumps(dict(result.facts), allow_nan=False).encode()
        if result.predictions:
            files[PREDICTIONS] = result.predictions
        (place / STATE).mkdir(exist_ok=True, mode=0o700)
        for name, data in files.items():
            write_whole(place / name, data)
            written[name] = hashlib.sha256(data).hexdigest()
    failure = dataclasses.asdict(result) if isinstance(result, Failure) else None
    write_whole(place / DONE, json.dumps({"files": written, "failure": failure}).encode())


def is_handed_over(folder: Path, fence: int) -> bool:
    """Whether an attempt's result lies ready."""
    return (folder / "out" / str(fence) / DONE).exists()


def handed_over(folder: Path, fence: int) -> Outcome | Failure | None:
    """An attempt's result, every byte of it verified; None as long as there is none."""
    place = folder / "out" / str(fence)
    try:
        done = json.loads((place / DONE).read_bytes())
    except FileNotFoundError:
        return None
    if done["failure"] is not None:
        return Failure(**done["failure"])
    files = {name: _verified(place / name, digest) for name, digest in done["files"].items()}
    prefix = f"{STATE}/"
    return Outcome(
        files={
            name.removeprefix(prefix): data
            for name, data in files.items()
            if name.startswith(prefix)
        },
        facts=json.loads(files[FACTS]),
        predictions=files.get(PREDICTIONS, b""),
    )


def write_whole(path: Path, data: bytes) -> None:
    """The whole file or none, in place of what was there."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    beside.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _verified(path: Path, digest: str) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise PersistenceError.of("jobs", path.name, "in the outcome", "no such file") from None
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise ChecksumMismatchError.of("jobs", f"{path.name}'s SHA-256", digest, found)
    return data
