"""A job's process: `python -m workbench.worker FOLDER`.

It reads a snapshot, learns, and leaves the outcome in the job's folder; it never opens the metrics file and never
signs. Of the records it touches the one row of its job, to say that it lives. Who is not believed to live any
more, because it could not say so or because somebody else holds the job now, ends itself and its children.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from core.errors import CancelledError, HeadwaterError, StoreError
from data import job_store
from data.record_store import Records
from models import processes
from models.executors import LOG
from models.jobs import CHECKPOINTS, Failure, FolderCheckpoints, Outcome, Task, hand_over, work
from models.progress import Progress, cap_log

log = logging.getLogger("worker")

DATABASE = "HEADWATER_DATABASE_URL"
BEAT = 5.0
"""Seconds between two signs of life; news of progress makes one too, at most one a second."""
NEWS = 1.0
SILENCE = 20.0
"""Seconds without a sign of life that got through, after which the worker ends itself: the lease has 30."""


class Lease:
    """The claim that this process works under, kept alive from a thread while the work goes on."""

    def __init__(self, records: Records, task: Task, folder: Path, progress: Progress) -> None:
        self._records = records
        self._task = task
        self._folder = folder
        self._progress = progress
        self._over = threading.Event()
        self._lived = threading.Event()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew the lease while the block runs."""
        threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (("beat", self._beat), ("watchdog", self._watch))
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._lived.set()
            for thread in threads:
                thread.join()

    def _beat(self) -> None:
        told, at = ("", -1.0), 0.0
        while not self._over.wait(NEWS):
            cap_log(self._folder / LOG)
            news = (self._progress.text, self._progress.share)
            if news == told and time.monotonic() - at < BEAT:
                continue
            call = partial(
                job_store.beat,
                tenant=self._task.tenant,
                job_id=self._task.job,
                fence=self._task.fence,
                progress=news[1],
                progress_text=news[0],
            )
            try:
                held = self._records.write(self._task.tenant, call)
            except StoreError as error:
                log.warning("No sign of life got through: %s", error.message)
                continue
            if held is None and not self._over.is_set():
                end_group("the job is somebody else's by now, or over")
            self._lived.set()
            told, at = news, time.monotonic()

    def _watch(self) -> None:
        """A beat may hang as well as fail, so another thread counts the silence."""
        while not self._over.is_set():
            if not self._lived.wait(SILENCE):
                end_group(f"no sign of life got through for {SILENCE:g} s")
            self._lived.clear()


def register(records: Records, task: Task) -> bool:
    """Say which process works on the job; False when it is not this one's to work on."""
    pid = os.getpid()
    process = {"pid": pid, "pid_start": processes.started(pid), "boot_id": processes.boot()}
    call = partial(
        job_store.register, tenant=task.tenant, job_id=task.job, fence=task.fence, **process
    )
    return records.write(task.tenant, call) is not None


def end_group(reason: str) -> None:
    """End this process and all its children, at once."""
    log.error("The worker ends itself: %s", reason)
    os.killpg(0, signal.SIGKILL)


def main(folder: Path) -> int:
    """Work on the job of a folder; 0 when an outcome lies there, 1 when the job was not to be had."""
    if os.getpgrp() != os.getpid():
        os.setsid()  # what ends this group must end nobody else
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    task = Task.read(folder)
    with Records(os.environ[DATABASE], migrate=False) as records:
        if not register(records, task):
            log.error("Job %s is not to be had under fence %d", task.job, task.fence)
            return 1
        progress = Progress(folder, task.fence)
        signal.signal(signal.SIGTERM, lambda *_: progress.asked_to_stop.set())
        with Lease(records, task, folder, progress).kept():
            hand_over(folder, task.fence, _result(task, folder, progress))
    return 0


def _result(task: Task, folder: Path, progress: Progress) -> Outcome | Failure:
    from data import predictions, snapshots

    def on_step(stage: str, share: float, numbers: Mapping[str, float]) -> bool:
        go_on = progress.on_step(stage, share, numbers)
        if "validation" in numbers:
            log.info("%s", progress.text)
        return go_on

    log.info("Job %s: %s on %s, attempt %d", task.job, task.kind, task.device, task.fence)
    try:
        panel, labels = snapshots.read(Path(task.snapshot), task.digest)
        checkpoints = FolderCheckpoints(folder / CHECKPOINTS)
        outcome = work(task.kind)(
            task, folder, panel, labels, on_step, checkpoints, predictions.pack
        )
    except CancelledError as error:
        log.info("Stopped, as it was asked to")
        return Failure.of(error)
    except HeadwaterError as error:
        log.exception("Refused")
        return Failure.of(error)
    except Exception as error:
        log.exception("Failed")
        return Failure.of(error)
    log.info("Done")
    return outcome


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
