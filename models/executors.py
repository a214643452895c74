"""Where a job's process runs: on this machine, or wherever a Dask cluster has room.

A job is a command on a folder; how it fares is told by the folder and the records, never by the executor. So
all that an executor does is start it, say whether it runs, and end it.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from core import devices
from core.errors import InvalidInputError, MissingExtraError, StoreError, install
from models.processes import GRACE, ProcessGroup, boot, started

LOG = "log.txt"
EXECUTORS = ("local", "dask")
_LOOK, _ON_THE_WAY = 0.2, 5.0
"""Seconds between two looks, and those that a word to the cluster and its answer may take."""


@dataclass(frozen=True)
class Order:
    """One attempt at a job: what to run, where, and under which fence."""

    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    fence: int


class Run(Protocol):
    """A job's process, wherever it runs."""

    def alive(self) -> bool:
        """Whether it still runs, as far as can be told from here."""
        ...

    def memory(self) -> int:
        """Bytes that it and its children hold."""
        ...

    def stop(self, grace: float = GRACE) -> None:
        """SIGTERM to its group, SIGKILL after `grace` seconds; returns when it is over."""
        ...


class Executor(Protocol):
    """What starts jobs."""

    def slots(self, wishes: Collection[str]) -> Sequence[str]:
        """The devices that jobs with these wishes can run on at once, one entry for each place."""
        ...

    def start(self, order: Order) -> Run:
        """Start it; raises StoreError when it cannot be."""
        ...

    def adopt(self, order: Order, pid: int, pid_start: float, boot_id: str) -> Run | None:
        """The run that an earlier process of ours started, or None when it is surely over."""
        ...

    def close(self) -> None:
        """Let go of what was needed to start jobs; those that run go on."""
        ...


def executor(name: str, *, cpu_jobs: int = 1, scheduler: str = "") -> Executor:
    """The executor of that name; `scheduler` is the address of Dask's."""
    if name not in EXECUTORS:
        raise InvalidInputError.of(
            "jobs",
            "the executor",
            f"one of {', '.join(EXECUTORS)}",
            name,
            "Set HEADWATER_EXECUTOR.",
        )
    return Dask(scheduler) if name == "dask" else Local(cpu_jobs)


# ── This machine ─────────────────────────────────────────────────────────────────────────────────


class _Outliving(subprocess.Popen[bytes]):
    """A process that may go on without us on purpose: to let go of it is no oversight to warn of."""

    def __del__(self) -> None:
        self.poll()


@dataclass(frozen=True)
class _Child:
    """A process of our own; asking whether it runs takes note of its end, so that it leaves no zombie."""

    process: subprocess.Popen[bytes]
    group: ProcessGroup

    def alive(self) -> bool:
        return self.process.poll() is None

    def memory(self) -> int:
        return self.group.memory()

    def stop(self, grace: float = GRACE) -> None:
        self.group.stop(grace)
        self.process.wait()


class Local:
    """Subprocesses of this machine, each in a session of its own: they outlive whoever started them."""

    def __init__(self, cpu_jobs: int = 1) -> None:
        self.cpu_jobs = cpu_jobs

    def slots(self, wishes: Collection[str]) -> Sequence[str]:
        cpu = [devices.CPU] * self.cpu_jobs
        # who only wants the CPU need not wait until torch is there to tell of GPUs
        return [*self._gpus, *cpu] if set(wishes) - {devices.CPU} else cpu

    @cached_property
    def _gpus(self) -> Sequence[str]:
        return [device.id for device in devices.devices() if device.id != devices.CPU]

    def start(self, order: Order) -> Run:
        order.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with (order.folder / LOG).open("ab") as log:
                process = _Outliving(
                    order.command,
                    env={**os.environ, **order.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise StoreError.of(
                "jobs", "the worker", "startable", f"{order.command[0]}: {error}"
            ) from error
        # one that is over before we look leaves nobody who could be mistaken for it
        return _Child(process, ProcessGroup(process.pid, started(process.pid) or -1.0))

    def adopt(self, order: Order, pid: int, pid_start: float, boot_id: str) -> Run | None:
        group = ProcessGroup(pid, pid_start)
        return group if boot_id == boot() and group.alive() else None

    def close(self) -> None:
        """Nothing is held."""


# ── A Dask cluster ───────────────────────────────────────────────────────────────────────────────


class Dask:
    """Subprocesses that the workers of a Dask cluster start; all see the same folders and the same records.

    A worker process of the cluster only watches over the job's own process, so a job can be ended at any time
    and what it does wrong harms nobody else.
    """

    def __init__(self, scheduler: str) -> None:
        try:
            from distributed import Client
        except ModuleNotFoundError as error:
            raise MissingExtraError.of(
                "jobs", "the executor dask", "installed", error.name, install("dask")
            ) from error
        if not scheduler:
            raise InvalidInputError.of(
                "jobs",
                "the scheduler",
                "an address such as tcp://host:8786",
                scheduler,
                "Set HEADWATER_DASK_SCHEDULER.",
            )
        try:
            self._client: Any = Client(scheduler, timeout=10, set_as_default=False)
        except (OSError, ValueError) as error:
            raise StoreError.of(
                "jobs", "the scheduler", "reachable", f"{scheduler}: {error}"
            ) from None

    def slots(self, wishes: Collection[str]) -> Sequence[str]:
        return [devices.CPU] * len(self._client.scheduler_info(n_workers=-1)["workers"])

    def start(self, order: Order) -> Run:
        from distributed import fire_and_forget

        order.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        future = self._client.submit(attend, order, pure=False, retries=0)
        fire_and_forget(future)  # the job goes on without us
        return _Remote(order, future.done)

    def adopt(self, order: Order, pid: int, pid_start: float, boot_id: str) -> Run | None:
        return _Remote(order, lambda: False)  # only its lease tells when it is over

    def close(self) -> None:
        """Let go of the cluster; its jobs go on."""
        self._client.close()


@dataclass(frozen=True)
class _Remote:
    """A job on some machine of the cluster, spoken to through its folder."""

    order: Order
    done: Callable[[], bool]

    def alive(self) -> bool:
        return not self.done()

    def memory(self) -> int:
        with suppress(FileNotFoundError, ValueError):
            return int(_memory_file(self.order).read_text(encoding="ascii"))
        return 0

    def stop(self, grace: float = GRACE) -> None:
        file = _stop_file(self.order)
        beside = file.with_suffix(".new")
        beside.write_text(str(grace), encoding="ascii")
        beside.rename(file)
        for _ in range(int((grace + _ON_THE_WAY) / _LOOK)):
            if self.done():
                return
            threading.Event().wait(_LOOK)


def attend(order: Order) -> None:
    """On a worker of the cluster: start the job's process and stay until it is over."""
    run = Local().start(order)
    while run.alive():
        with suppress(FileNotFoundError):
            run.stop(float(_stop_file(order).read_text(encoding="ascii")))
        _memory_file(order).write_text(str(run.memory()), encoding="ascii")
        threading.Event().wait(_LOOK)
    run.stop(grace=0.0)


def _stop_file(order: Order) -> Path:
    return order.folder / f"stop-{order.fence}"


def _memory_file(order: Order) -> Path:
    return order.folder / f"memory-{order.fence}"
