"""A job's folder: what is handed over counts whole or not at all, and a checkpoint survives what tears it."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import (
    ChecksumMismatchError,
    NotEnoughDataError,
    PersistenceError,
    StoreError,
    UnknownNameError,
)
from models import jobs
from models.jobs import Failure, FolderCheckpoints, Outcome, Task

OUTCOME = Outcome(
    {"arrays.safetensors": b"\x00\x01", "text.json": b"{}"}, {"seconds": 1.5}, b"rows"
)


def test_a_task_is_read_as_it_was_written(tmp_path: Path) -> None:
    task = Task("acme", "j1", 3, "train", "ads", {"part": "", "n": [1]}, "cpu", "/x.parquet", "ab")
    task.write(tmp_path / "job")
    assert Task.read(tmp_path / "job") == task


def test_an_outcome_counts_once_its_last_file_lies_there(tmp_path: Path) -> None:
    assert jobs.handed_over(tmp_path, 1) is None
    jobs.hand_over(tmp_path, 1, OUTCOME)
    assert jobs.is_handed_over(tmp_path, 1)
    read = jobs.handed_over(tmp_path, 1)
    assert isinstance(read, Outcome)
    assert (dict(read.files), dict(read.facts), read.predictions) == (
        dict(OUTCOME.files),
        {"seconds": 1.5},
        b"rows",
    )
    assert jobs.handed_over(tmp_path, 2) is None, "another attempt's is not this one's"
    (tmp_path / "out" / "1" / jobs.DONE).unlink()
    assert jobs.handed_over(tmp_path, 1) is None


@pytest.mark.parametrize("file", ["state/arrays.safetensors", "facts.json", "predictions.parquet"])
def test_an_outcome_that_was_changed_or_lost_is_refused(tmp_path: Path, file: str) -> None:
    jobs.hand_over(tmp_path, 1, OUTCOME)
    path = tmp_path / "out" / "1" / file
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ChecksumMismatchError, match=path.name):
        jobs.handed_over(tmp_path, 1)
    path.unlink()
    with pytest.raises(PersistenceError, match=path.name):
        jobs.handed_over(tmp_path, 1)


def test_a_failure_says_what_a_person_needs_and_whether_to_try_again(tmp_path: Path) -> None:
    short = Failure.of(NotEnoughDataError.of("fit", "days", "at least 9", 3, "Import more."))
    assert short == Failure(
        "NotEnoughDataError", "fit: days must be at least 9. Got 3.", "Import more."
    )
    assert Failure.of(StoreError("locked")).transient
    assert Failure.of(ConnectionResetError("gone")).transient
    assert not Failure.of(ValueError("odd")).transient
    assert "Take fewer entities" in Failure.of(MemoryError()).hint
    jobs.hand_over(tmp_path, 4, short)
    assert jobs.handed_over(tmp_path, 4) == short


def test_a_checkpoint_is_kept_under_its_key_and_nowhere_else(tmp_path: Path) -> None:
    kept = FolderCheckpoints(tmp_path / "checkpoint")
    assert kept.load("000-ab") is None
    kept.save("000-ab", b"one")
    kept.save("000-ab", b"two")
    kept.save("001-ab", b"three")
    assert (kept.load("000-ab"), kept.load("001-ab")) == (b"two", b"three")
    for key in ("../task", "", "a/b"):
        with pytest.raises(PersistenceError, match="checkpoint's key"):
            kept.save(key, b"")


def test_a_kind_that_nobody_works_on_is_refused() -> None:
    assert jobs.work("train").__name__ == "work"
    with pytest.raises(UnknownNameError, match="one of train"):
        jobs.work("dig")
