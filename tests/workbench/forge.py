"""Workers without the start of Python: `forge.py SOCKET` imports everything once and forks a worker on request."""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from models import jobs
from models.executors import Order, Run
from models.processes import ProcessGroup, started
from tests.server import REPOSITORY, environment
from workbench import worker

READY = (
    "core.detectors.robust_z",
    "data.predictions",
    "data.snapshots",
    "models.train",
    "pandas",
    "psutil",
    "pyarrow.parquet",
    "safetensors.numpy",
    "tests.workbench.odd_jobs",
)
"""What would otherwise be imported in every fork anew."""


class Forged:
    """An executor whose workers are forked by the process that listens at `door`."""

    def __init__(self, door: Path) -> None:
        self.door = door

    def slots(self, wishes: Collection[str]) -> Sequence[str]:
        return ["cpu"]

    def start(self, order: Order) -> Run:
        order.folder.mkdir(parents=True, exist_ok=True)
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(str(self.door))
            door.sendall(json.dumps([str(order.folder), dict(order.environment)]).encode())
            pid = int(door.recv(32))
        return ProcessGroup(pid, started(pid) or -1.0)

    def adopt(self, order: Order, pid: int, pid_start: float, boot_id: str) -> Run | None:
        group = ProcessGroup(pid, pid_start)
        return group if group.alive() else None

    def close(self) -> None: ...


def get_ready() -> None:
    """Import what workers need."""
    for module in READY:
        importlib.import_module(module)
    jobs.WORK["odd"] = "tests.workbench.odd_jobs:work"


def serve(door: Path, on_fork: Callable[[], None] = lambda: None) -> None:
    """Fork a worker for each request, for ever; beside `door`, `workers` lists their numbers."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(door))
        listening.listen()
        while True:
            client, _ = listening.accept()
            with client:
                request = client.recv(1 << 16)
                if not request:  # who asked was killed before it had said for what
                    continue
                folder, wanted = json.loads(request)
                pid = os.fork()
                if pid == 0:
                    listening.close()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    os.setsid()
                    log = os.open(f"{folder}/log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                    os.dup2(log, 1)
                    os.dup2(log, 2)
                    os.environ.update(wanted)
                    worker.SILENCE = float(os.environ.get("SILENCE", worker.SILENCE))
                    on_fork()
                    os._exit(worker.main(Path(folder)))
                with door.with_name("workers").open("a") as book:
                    book.write(f"{pid} {started(pid) or -1.0}\n")
                with suppress(BrokenPipeError):  # killed before it heard the answer
                    client.sendall(str(pid).encode())


def living(folder: Path) -> list[ProcessGroup]:
    """Workers of the forge in a folder that run still; a number given out again is no worker."""
    book = folder / "workers"
    lines = book.read_text().splitlines() if book.exists() else []
    groups = [ProcessGroup(int(pid), float(start)) for pid, start in map(str.split, lines)]
    return [group for group in groups if group.alive()]


@contextmanager
def running(folder: Path) -> Iterator[Forged]:
    """A forge in a process of its own; all its workers end with it."""
    door = folder / "forge"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.workbench.forge", str(door)],
        cwd=REPOSITORY,
        env=environment(folder, OMP_NUM_THREADS="1"),
    )
    try:
        while not door.exists() and process.poll() is None:
            time.sleep(0.02)
        yield Forged(door)
    finally:
        process.kill()
        process.wait()
        for group in living(folder):
            group.stop(0.0)


if __name__ == "__main__":
    get_ready()
    worker.NEWS, worker.BEAT = 0.05, 0.2
    serve(Path(sys.argv[1]))
