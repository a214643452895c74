"""One learning curve from all attempts: no epoch twice, no pause counted, torn lines passed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models import progress
from models.progress import Progress


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


def learn(
    told: Progress, clock: Clock, epochs: range, *, seconds: float = 1.0, again: int = 0
) -> None:
    """Epochs of a second each; those up to `again` are replayed from a checkpoint."""
    for epoch in epochs:
        clock.now += 0.0 if epoch <= again else seconds
        numbers: dict[str, float] = {
            "train": 1 / epoch,
            "validation": 2 / epoch,
            "epoch": epoch,
            "resumed": float(epoch <= again),
        }
        told.on_step("lstm: train", epoch / 10, numbers)


def rows(folder: Path, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in progress.curve(folder)]


def test_an_attempt_that_goes_on_adds_to_the_curve_where_it_stopped(
    tmp_path: Path, clock: Clock
) -> None:
    learn(Progress(tmp_path, 1), clock, range(1, 4))
    clock.now += 500.0
    learn(Progress(tmp_path, 2), clock, range(1, 6), again=3)
    assert rows(tmp_path, "part", "stage", "epoch", "seconds", "resumed") == [
        ("lstm", "train", 1, 1.0, 0),
        ("lstm", "train", 2, 2.0, 0),
        ("lstm", "train", 3, 3.0, 0),
        ("lstm", "train", 4, 4.0, 1),
        ("lstm", "train", 5, 5.0, 0),
    ]


def test_epochs_beyond_the_last_checkpoint_are_told_once_as_they_were_learned_again(
    tmp_path: Path, clock: Clock
) -> None:
    learn(Progress(tmp_path, 1), clock, range(1, 5))
    learn(Progress(tmp_path, 2), clock, range(1, 7), again=2)
    assert rows(tmp_path, "epoch", "resumed") == [(1, 0), (2, 0), (3, 1), (4, 0), (5, 0), (6, 0)]


def test_an_attempt_that_starts_again_takes_the_place_of_what_it_repeats(
    tmp_path: Path, clock: Clock
) -> None:
    learn(Progress(tmp_path, 1), clock, range(1, 4))
    learn(Progress(tmp_path, 2), clock, range(1, 3), seconds=9.0)
    assert rows(tmp_path, "epoch", "seconds") == [(1, 12.0), (2, 21.0)]


def test_what_knows_no_epochs_tells_its_steps_once_a_second(tmp_path: Path, clock: Clock) -> None:
    told = Progress(tmp_path, 1)
    for step in range(100):
        clock.now += 0.1
        told.on_step("trees", step / 100, {})
    found = progress.curve(tmp_path)
    assert 9 <= len(found) <= 11
    assert {(row["epoch"], row["train"]) for row in found} == {(None, None)}
    assert (told.text, told.share) == ("trees", 0.99)


def test_a_step_asks_to_stop_once_somebody_asked(tmp_path: Path) -> None:
    told = Progress(tmp_path, 1)
    assert told.on_step("trees", 0.1, {}) is True
    told.asked_to_stop.set()
    assert told.on_step("trees", 0.2, {}) is False


def test_a_line_that_a_kill_tore_costs_no_other_line(tmp_path: Path, clock: Clock) -> None:
    learn(Progress(tmp_path, 1), clock, range(1, 3))
    path = tmp_path / progress.PROGRESS
    path.write_bytes(path.read_bytes()[:-20])
    learn(Progress(tmp_path, 2), clock, range(1, 4), again=1)
    assert rows(tmp_path, "epoch") == [(1,), (2,), (3,)]


def test_a_loss_that_is_no_number_is_told_as_missing(tmp_path: Path) -> None:
    told = Progress(tmp_path, 1)
    told.on_step("train", 0.5, {"train": float("nan"), "validation": float("inf"), "epoch": 1})
    (row,) = progress.curve(tmp_path)
    assert (row["train"], row["validation"]) == (None, None)
    for line in (tmp_path / progress.PROGRESS).read_text().splitlines():
        json.loads(line, parse_constant=lambda word: pytest.fail(word))


def test_the_pace_is_that_of_the_latest_attempts_own_work(tmp_path: Path, clock: Clock) -> None:
    assert progress.pace(tmp_path) is None
    learn(Progress(tmp_path, 1), clock, range(1, 4))
    assert progress.pace(tmp_path) == pytest.approx(0.1)
    told = Progress(tmp_path, 2)
    assert progress.pace(tmp_path) is None
    learn(told, clock, range(1, 6), seconds=2.0, again=3)
    assert progress.pace(tmp_path) == pytest.approx(0.05), "a tenth in two seconds"


def test_a_move_to_another_device_is_noticed(tmp_path: Path) -> None:
    told = Progress(tmp_path, 1)
    assert progress.notice(tmp_path) == ""
    told.on_step("lstm: out of memory on cuda:0, goes on on cpu", 0.0, {})
    assert "goes on on cpu" in progress.notice(tmp_path)


def test_a_log_keeps_its_newest_half_when_it_grows_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOG_BYTES", 1_000)
    path = tmp_path / "log.txt"
    assert progress.log_tail(path, 5) == ""
    with path.open("ab") as writer:
        for number in range(150):
            writer.write(f"line {number}\n".encode())
            writer.flush()
            progress.cap_log(path)
            assert path.stat().st_size <= 1_000
    assert progress.log_tail(path, 2) == "line 148\nline 149"
