"""How far a job came: lines that its attempts append to one file, and the learning curve they make together."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROGRESS = "progress.jsonl"
EVERY = 1.0
"""Seconds between two lines of work that tells of no epoch."""
LOG_BYTES = 1 << 20
"""What a log may hold; of a longer one the newest half is kept."""
TAIL_BYTES = 1 << 16
OUT_OF_MEMORY = "out of memory"


class Progress:
    """What `on_step` tells, kept as lines; `asked_to_stop` makes the next step answer False.

    Seconds count the work of all attempts, not the pauses between them.
    """

    def __init__(self, folder: Path, attempt: int) -> None:
        self.asked_to_stop = threading.Event()
        self.share, self.text = 0.0, ""
        self._path = folder / PROGRESS
        before = _lines(self._path)
        self._spent = float(before[-1]["seconds"]) if before else 0.0
        self._began = time.monotonic()
        self._told = -EVERY
        self._stage = ""
        with self._path.open("ab") as file:
            file.write(b"\n" if _torn(self._path) else b"")
        self._append({"attempt": attempt, "seconds": self._spent})

    def on_step(self, stage: str, share: float, numbers: Mapping[str, float]) -> bool:
        """Take note of a step; False where the work should stop."""
        self.share, self.text = min(max(share, 0.0), 1.0), _text(stage, numbers)
        now = time.monotonic()
        if "validation" in numbers or stage != self._stage or now - self._told >= EVERY:
            self._told, self._stage = now, stage
            line = {"stage": stage, "share": self.share, "seconds": self._spent + now - self._began}
            self._append(line | {name: _number(value) for name, value in numbers.items()})
        return not self.asked_to_stop.is_set()

    def _append(self, line: Mapping[str, Any]) -> None:
        with self._path.open("ab") as file:
            file.write(json.dumps(line, allow_nan=False).encode() + b"\n")


def curve(folder: Path) -> list[dict[str, Any]]:
    """The learning curve over all attempts, as one: a row per epoch, or per step of what knows no epochs.

    part    : of an ensemble, "" elsewhere
    stage   : what was under way; "train" has `train` and `validation`, the mean losses of an epoch
    epoch   : from 1; None where there are none
    resumed : 1 in the first row that an attempt added to those before it

    An attempt that goes on from a checkpoint replays its epochs, which are not told twice; one that starts
    again takes the place of what it repeats.
    """
    rows: list[dict[str, Any]] = []
    fresh = 0
    for line in _lines(folder / PROGRESS):
        if "warning" in line:
            continue
        if "stage" not in line:
            fresh = int(bool(rows))
            continue
        part, _, stage = line["stage"].rpartition(": ")
        row = {"part": part, "stage": stage, "resumed": fresh}
        row |= {name: value for name, value in line.items() if name not in ("stage", "resumed")}
        if "validation" not in row:
            rows.append(row | {"epoch": None})
            fresh = 0
            continue
        mine = [old for old in rows if (old["part"], old["stage"]) == (part, stage)]
        epoch = int(row.get("epoch") or 1 + max((old["epoch"] for old in mine), default=0))
        if line.get("resumed") and any(old["epoch"] == epoch for old in mine):
            continue
        again = [old for old in mine if old["epoch"] >= epoch]
        rows = [old for old in rows if old not in again]
        rows.append(row | {"epoch": epoch})
        fresh = 0
    names = ("train", "validation", "rows_per_second", "device_memory")
    return [dict.fromkeys(names) | row for row in rows]


def pace(folder: Path) -> float | None:
    """Share of the work done in a second, by the latest attempt; epochs from a checkpoint are no work of its."""
    told: list[tuple[float, float]] = []
    for line in _lines(folder / PROGRESS):
        if "attempt" in line:
            told = []
        elif "share" in line and not line.get("resumed"):
            told.append((line["seconds"], line["share"]))
    if len(told) < 2 or not (told[-1][0] > told[0][0] and told[-1][1] > told[0][1]):
        return None
    return (told[-1][1] - told[0][1]) / (told[-1][0] - told[0][0])


def notice(folder: Path) -> str:
    """What a person should know of how the job went on, e.g. on another device; "" when nothing."""
    lines = _lines(folder / PROGRESS)
    moved = next((line["stage"] for line in lines if OUT_OF_MEMORY in line.get("stage", "")), "")
    warnings = (line["warning"] for line in lines if "warning" in line)
    return "\n".join(dict.fromkeys(filter(None, (moved, *warnings))))


def warn(folder: Path, text: str) -> None:
    """Add to a job what a person should know of it, once its work is done."""
    with (folder / PROGRESS).open("ab") as file:
        file.write(json.dumps({"warning": text}).encode() + b"\n")


def log_tail(path: Path, lines: int) -> str:
    """The last lines of a log; "" when nothing was said yet."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def cap_log(path: Path) -> None:
    """Keep a log within its bound; whoever has it open to append goes on behind what is left."""
    if path.exists() and path.stat().st_size > LOG_BYTES:
        with path.open("r+b") as file:
            file.seek(-LOG_BYTES // 2, os.SEEK_END)
            kept = file.read()
            file.seek(0)
            file.write(kept)
            file.truncate()


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:  # a kill tore the last line of its attempt
            continue
    return found


def _torn(path: Path) -> bool:
    data = path.read_bytes()
    return bool(data) and not data.endswith(b"\n")


def _number(value: float) -> float | None:
    number = float(value)
    return number if abs(number) < float("inf") else None


def _text(stage: str, numbers: Mapping[str, float]) -> str:
    shown = {name: numbers[name] for name in ("epoch", "train", "validation") if name in numbers}
    return " ".join([stage, *(f"{name} {value:.4g}" for name, value in shown.items())])
