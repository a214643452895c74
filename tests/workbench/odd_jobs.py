"""Jobs that behave in every way a job can.

The payload's "acts" says what to do, one act after the other; a resumed attempt begins behind its checkpoint.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core import artifact
from core.contracts import Bools, OnStep, Panel, report
from core.errors import InvalidInputError, StoreError
from models import jobs
from models.jobs import FolderCheckpoints, Outcome, Task

KEY = "epochs"


def epochs(folder: Path, on_step: OnStep, count: int) -> None:
    """Learn in epochs of a moment, going on from the checkpoint, which a stop leaves behind."""
    checkpoints = FolderCheckpoints(folder / jobs.CHECKPOINTS)
    done = int(checkpoints.load(KEY) or b"0")
    for epoch in range(1, count + 1):
        resumed = epoch <= done
        if not resumed:
            time.sleep(0.05)
            checkpoints.save(KEY, str(epoch).encode())
        numbers = {
            "train": 1 / epoch,
            "validation": 2 / epoch,
            "epoch": epoch,
            "rows_per_second": 100.0,
            "resumed": float(resumed),
        }
        report("odd", on_step, "net: train", epoch / count, numbers)


def hold(folder: Path, on_step: OnStep, megabytes: int) -> None:
    """Hold memory in a child, for ever."""
    code = f"held = bytearray({megabytes << 20})\nimport time\ntime.sleep(600)"
    subprocess.run([sys.executable, "-c", code], check=True)


def stubborn(folder: Path, on_step: OnStep, seconds: int) -> None:
    """Ignore SIGTERM, and have a child that does too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", f"import time\ntime.sleep({seconds})"])
    (folder / "child").write_text(str(child.pid))
    child.wait()


def once(folder: Path, on_step: OnStep, fault: str) -> None:
    """A fault of the first attempt alone."""
    if not (folder / "once").exists():
        (folder / "once").touch()
        FAULTS[fault]()


def _raise(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


FAULTS: dict[str, Callable[[], None]] = {
    "crash": lambda: os._exit(3),
    "store": _raise(StoreError.of("odd", "the store", "there", None)),
    "input": _raise(InvalidInputError.of("odd", "the input", "even", 7, "Take an even one.")),
    "bug": _raise(ZeroDivisionError("nothing to divide by")),
    "memory": _raise(MemoryError()),
}
ACTS: dict[str, Callable[..., None]] = {
    "epochs": epochs,
    "hold": hold,
    "stubborn": stubborn,
    "once": once,
    "fault": lambda folder, on_step, fault: FAULTS[fault](),
    "sleep": lambda folder, on_step, seconds: time.sleep(seconds),
}


def work(
    task: Task,
    folder: Path,
    panel: Panel,
    labels: Bools | None,
    on_step: OnStep,
    checkpoints: FolderCheckpoints,
    pack: Any,
) -> Outcome:
    """Act as the payload says, then hand over a little."""
    for act, argument in task.payload["acts"]:
        ACTS[act](folder, on_step, argument)
    return Outcome(artifact.pack({"seen": np.array([panel.values.shape[0]])}), {"device": "cpu"})
