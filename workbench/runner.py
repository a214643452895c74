"""Who runs the jobs: claims them, starts a worker for each, watches over it, and publishes what it made.

A runner belongs to the process that owns the home. It may die at any moment: workers outlive it, and the next
runner of the home goes on where it ended. It adopts workers that live, publishes outcomes that lie ready, and calls
a job lost whose worker is gone without one. Every effect is committed under the fence of its claim, once.
"""

from __future__ import annotations

import logging
import random
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from core import devices
from core.contracts import OnStep
from core.errors import ConflictError, HeadwaterError
from data import job_store
from data.model_records import Job
from models.executors import Executor, Order, Run, executor
from models.jobs import (
    CHECKPOINTS,
    Failure,
    Outcome,
    Task,
    handed_over,
    is_handed_over,
    write_whole,
)
from models.processes import GRACE
from workbench.context import Context
from workbench.services import job_kinds, jobs
from workbench.services.jobs import JobView
from workbench.worker import BEAT, DATABASE

log = logging.getLogger(__name__)

LOOK, TICK = 0.5, 0.25
"""Seconds between two looks at the queue, and at a worker."""
RETRY = timedelta(seconds=10)
"""Pause before the second attempt; each further one is twice as long, give or take half."""
BEGIN = 120.0
"""Seconds that a worker has to begin, on a machine however busy."""
WEIGH = 1.0
"""Seconds between two looks at how much memory a job holds."""
COMMAND = (sys.executable, "-m", "workbench.worker")
SILENT = "LeaseExpired"
_CANCEL = Failure("CancelledError", "It was cancelled.", "Resume it, or start it anew.")


@dataclass(eq=False)
class _Attended:
    """A job in this runner's hands; while no worker of it lives, the runner itself renews the lease."""

    job: Job
    slot: str
    thread: threading.Thread = field(init=False)
    alone: bool = True


class _Left(Exception):
    """The runner ends; the worker goes on without it."""


class _Over:
    """A run that has ended, or never began."""

    def alive(self) -> bool:
        return False

    def memory(self) -> int:
        return 0

    def stop(self, grace: float = 0.0) -> None:
        """Nothing is left to stop."""


class Runner:
    """Attends to the jobs of one home, each in a thread of its own; `only` one job where that is given."""

    def __init__(self, context: Context, *, only: str = "") -> None:
        self._context = context
        self._only = only
        self._owner = f"{socket.gethostname()}:{context.settings.home.resolve()}"[:255]
        self._attended: dict[str, _Attended] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="runner")
        self._beaten = 0.0

    @cached_property
    def _executor(self) -> Executor:
        chosen = self._context.settings
        return executor(chosen.executor, cpu_jobs=chosen.cpu_jobs, scheduler=chosen.dask_scheduler)

    def start(self) -> None:
        """Take up what an earlier runner left, then the queue."""
        self._thread.start()

    def stop(self) -> None:
        """Let go: running workers go on, what was being prepared is given back."""
        self._ending.set()
        self._thread.join()
        for attended in list(self._attended.values()):
            attended.thread.join()
        if "_executor" in self.__dict__:
            self._executor.close()

    # ── The queue ────────────────────────────────────────────────────────────────────────────────

    def _keep(self) -> None:
        adopted = False
        while not self._ending.is_set():
            try:
                if not adopted:
                    self._adopt()
                    adopted = True
                self._look()
            except Exception:
                log.exception("The runner stumbled; it tries again")
            self._ending.wait(LOOK)

    def _look(self) -> None:
        """Renew leases, take up what nobody renews, and fill free slots from the head of the queue."""
        self._renew()
        for tenant in jobs.tenants(self._context):
            for job in self._read(tenant, job_store.abandoned):
                if self._mine(job):
                    self._take_up(job)
                elif job.owner != self._owner and not self._only:
                    self._lose(job)
        waiting = [job for job in jobs.waiting(self._context) if self._only in ("", job.id)]
        if not waiting:
            return
        slots = self._executor.slots({job.device for job in waiting})
        free = list(slots)
        for attended in list(self._attended.values()):
            if attended.slot in free:
                free.remove(attended.slot)
        for job in waiting:
            if slots and job.device not in (devices.AUTO, *slots):
                self._refuse(job, slots)
                continue
            slot = _slot(job.device, free, slots)
            claimed = self._claim(job, slot) if slot else None
            if claimed is not None:
                free.remove(claimed.device)
                self._attend(claimed, None)

    def _claim(self, job: Job, slot: str) -> Job | None:
        call = partial(job_store.claim, job_id=job.id, owner=self._owner, device=slot)
        claimed: Job | None = self._write(job.tenant, call)
        return claimed

    def _refuse(self, job: Job, slots: Sequence[str]) -> None:
        """A device that is not there will not come by waiting."""
        claimed = self._claim(job, job.device)
        if claimed is not None:
            there = ", ".join(dict.fromkeys(slots))
            text = f"There is no device {job.device} here, only {there}."
            self._fail(claimed, Failure("DeviceError", text, "Clone it for one of those."))

    def _renew(self) -> None:
        if time.monotonic() - self._beaten < BEAT:
            return
        self._beaten = time.monotonic()
        for attended in list(self._attended.values()):
            if attended.alone:
                job = attended.job
                self._write(job.tenant, partial(job_store.beat, job_id=job.id, fence=job.fence))

    def _adopt(self) -> None:
        """Take up the jobs that were running when this home's last runner ended."""
        for tenant in jobs.tenants(self._context):
            for job in self._read(tenant, partial(job_store.listing, states=("running",))):
                if self._mine(job):
                    self._take_up(job)

    def _take_up(self, job: Job) -> None:
        run: Run | None = None
        if job.pid is not None:
            process = (job.pid, job.pid_start or 0.0, job.boot_id)
            run = self._executor.adopt(self._order(job), *process)
        log.info("Job %s: %s", job.id, "its worker goes on" if run else "its worker is gone")
        self._attend(job, run or _Over())

    def _mine(self, job: Job) -> bool:
        """Whether a running job is this home's and nobody attends to it."""
        asked_for = self._only in ("", job.id)
        return asked_for and job.owner == self._owner and job.id not in self._attended

    # ── One job ──────────────────────────────────────────────────────────────────────────────────

    def _attend(self, job: Job, run: Run | None) -> None:
        attended = _Attended(job, job.device)
        attended.thread = threading.Thread(
            target=self._see_through, args=(attended, run), name=f"job {job.id[:8]}"
        )
        self._attended[job.id] = attended
        attended.thread.start()

    def _see_through(self, attended: _Attended, run: Run | None) -> None:
        """A claimed job from its snapshot (an adopted one from its worker) to its end."""
        job, adopted = attended.job, run is not None
        try:
            try:
                if run is None:
                    run = self._begin(job)
                fault = self._watch(attended, run)
                attended.alone = True
                run.stop(0.0)  # the worker's children, where it left any
                self._settle(job, fault, adopted=adopted)
            except (_Left, ConflictError):
                raise
            except Exception as error:
                log.exception("Job %s failed outside its worker", job.id)
                self._settle(job, Failure.of(error), adopted=False)
        except _Left:
            log.info("Job %s goes on without this process", job.id)
        except ConflictError as error:
            log.info("Job %s is not this runner's any more: %s", job.id, error.message)
        except HeadwaterError:
            log.exception("Job %s could not be settled; it is taken up again", job.id)
        finally:
            del self._attended[job.id]

    def _begin(self, job: Job) -> Run:
        """Snapshot, folder, worker."""
        prepared = job_kinds.kind(job.kind).prepare(self._context, job.tenant, job)
        order = self._order(job)
        digest = prepared.snapshot.digest
        note = partial(job_store.note, job_id=job.id, fence=job.fence, snapshot_digest=digest)
        self._write(job.tenant, note)
        for name, data in prepared.files.items():
            path = order.folder / name
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(path, data)
        Task(
            tenant=job.tenant,
            job=job.id,
            fence=job.fence,
            kind=job.kind,
            domain=job.domain,
            payload=dict(prepared.payload),
            device=job.device,
            snapshot=str(prepared.snapshot.path.resolve()),
            digest=digest,
        ).write(order.folder)
        if self._ending.is_set():
            self._retry(
                job, Failure("Interrupted", "The server ended.", transient=True), timedelta(0)
            )
            raise _Left
        return self._executor.start(order)

    def _watch(self, attended: _Attended, run: Run) -> Failure | None:
        """Stay with a worker to its end; what ended it, or None when it ended by itself."""
        job = attended.job
        began, weighed, ready = time.monotonic(), 0.0, 0.0
        while run.alive():
            row, now = self._read(job.tenant, partial(_seen, job_id=job.id))
            # until it speaks for itself, we vouch for a process that we know to run
            attended.alone = row.pid is None and time.monotonic() - began < BEGIN
            if row.fence != job.fence or row.state != "running":
                run.stop()
                raise ConflictError.of(
                    "runner", f"job {job.id}", f"held under {job.fence}", row.fence
                )
            fault = _overdue(row, now)
            if fault is None and time.monotonic() - weighed > WEIGH:
                weighed = time.monotonic()
                fault = _overweight(row, run.memory())
            if fault is not None:
                run.stop(0.0 if fault.error_class == SILENT else GRACE)
                return fault
            if is_handed_over(self._folder(job), job.fence):
                ready = ready or time.monotonic()
                if time.monotonic() - ready > BEAT:
                    return None  # it has said all it had to say
            if self._ending.wait(TICK):
                raise _Left
        return None

    def _settle(self, job: Job, fault: Failure | None, *, adopted: bool) -> None:
        """Write down how a job ended, with all its effects; ConflictError when it is somebody else's."""
        row, _ = self._read(job.tenant, partial(_seen, job_id=job.id))
        result = fault or handed_over(self._folder(job), job.fence)
        if row.cancel_requested:
            result = _CANCEL
        elif isinstance(result, Failure) and result.error_class == _CANCEL.error_class:
            result = Failure("Interrupted", "The worker was told to end.", transient=True)
        if isinstance(result, Outcome):
            result = self._publish(job, result)
            if result is None:
                # nobody resumes what succeeded; what cannot be removed does no harm
                shutil.rmtree(self._folder(job) / CHECKPOINTS, ignore_errors=True)
                return
        if result is None and adopted and row.pid is not None:
            self._lose(job)
            return
        if result is None:
            text = "The worker ended without a word." if row.pid else "The worker never began."
            result = Failure("WorkerDied", text, "Its log may tell why.", transient=True)
        self._fail(job, result)

    def _publish(self, job: Job, outcome: Outcome) -> Failure | None:
        """Commit an outcome; why not, where that is the outcome's fault or somebody cancelled."""

        def settle(session: Any, result: str) -> None:
            job_store.finish(
                session,
                tenant=job.tenant,
                job_id=job.id,
                fence=job.fence,
                state="succeeded",
                actor=job.created_by,
                result_ref=result,
                device=outcome.facts["device"],
            )

        try:
            job_kinds.kind(job.kind).publish(self._context, job.tenant, job, outcome, settle)
        except ConflictError:
            row, _ = self._read(job.tenant, partial(_seen, job_id=job.id))
            if (row.fence, row.state) == (job.fence, "running") and row.cancel_requested:
                return _CANCEL
            raise
        except HeadwaterError as error:
            log.exception("Job %s could not be published", job.id)
            return Failure.of(error)
        return None

    def _fail(self, job: Job, failure: Failure) -> None:
        last = job.attempt >= job.max_attempts
        if failure.transient and not last:
            pause = RETRY * 2 ** (job.attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311
            self._retry(job, failure, pause)
            return
        text = failure.text
        if failure.transient:
            text = f"{text} Given up after {job.attempt} attempts."
        self._finish(job, "cancelled" if failure == _CANCEL else "failed", failure, text)

    def _lose(self, job: Job) -> None:
        text = "Its worker is gone and left no outcome, while nobody watched over it."
        failure = Failure("Lost", text, "Resume it: it goes on from its last checkpoint.")
        try:
            self._finish(job, "lost", failure, text)
        except ConflictError as error:
            log.info("Job %s was taken up meanwhile: %s", job.id, error.message)

    def _finish(self, job: Job, state: str, failure: Failure, text: str) -> None:
        call = partial(
            job_store.finish,
            job_id=job.id,
            fence=job.fence,
            state=state,
            actor=job_store.RUNNER,
            error_class=failure.error_class,
            error_text=text,
            error_hint=failure.hint,
        )
        self._write(job.tenant, call)

    def _retry(self, job: Job, failure: Failure, delay: timedelta) -> None:
        call = partial(
            job_store.retry,
            job_id=job.id,
            fence=job.fence,
            delay=delay,
            actor=job_store.RUNNER,
            error_class=failure.error_class,
            error_text=failure.text,
            error_hint=failure.hint,
        )
        self._write(job.tenant, call)

    # ── Places ───────────────────────────────────────────────────────────────────────────────────

    def _folder(self, job: Job) -> Path:
        return jobs.folder(self._context, job.id)

    def _order(self, job: Job) -> Order:
        folder = self._folder(job)
        environment = {DATABASE: self._context.settings.records_url}
        return Order((*COMMAND, str(folder)), folder, environment, job.fence)

    def _read(self, tenant: str, ask: Callable[..., Any]) -> Any:
        return self._context.records.read(tenant, partial(ask, tenant=tenant))

    def _write(self, tenant: str, change: Callable[..., Any]) -> Any:
        return self._context.records.write(tenant, partial(change, tenant=tenant))


@contextmanager
def running(context: Context, *, only: str = "") -> Iterator[Runner]:
    """Run jobs for as long as the block lasts; their workers may outlast it."""
    runner = Runner(context, only=only)
    runner.start()
    try:
        yield runner
    finally:
        runner.stop()


def run_until_done(
    context: Context, tenant: str, job_id: str, on_step: OnStep | None = None
) -> JobView:
    """Run one job in this process to its end; whoever interrupts it cancels the job."""
    with running(context, only=job_id):
        try:
            return jobs.wait(context, tenant, job_id, on_step)
        except BaseException:
            jobs.cancel(context, tenant, job_id, actor=context.actor)
            jobs.wait(context, tenant, job_id)
            raise


def _slot(wish: str, free: Sequence[str], slots: Sequence[str]) -> str | None:
    """The free slot for a wish; "auto" is a GPU where the machine has any."""
    if wish == devices.AUTO:
        gpus = [slot for slot in slots if slot != devices.CPU]
        return next((slot for slot in free if not gpus or slot in gpus), None)
    return wish if wish in free else None


def _seen(session: Any, *, tenant: str, job_id: str) -> tuple[Job, datetime]:
    return job_store.get(session, tenant=tenant, job_id=job_id), job_store.now(session)


def _overdue(row: Job, now: datetime) -> Failure | None:
    """Why a running job must be ended now, as far as its row tells."""
    if row.cancel_requested:
        return _CANCEL
    if row.deadline is not None and now > row.deadline:
        minutes = row.payload.get("deadline_minutes", 0.0)
        hint = "Resume it to go on from its checkpoint, or take smaller parameters."
        return Failure("DeadlineError", f"It was not done within {minutes:g} minutes.", hint)
    sign = row.heartbeat_at or row.claimed_at
    if sign is not None and now - sign > job_store.LEASE:
        text = f"The worker gave no sign of life for {job_store.LEASE.total_seconds():g} s."
        return Failure(SILENT, text, transient=True)
    return None


def _overweight(row: Job, held: int) -> Failure | None:
    if row.rss_limit is None or held <= row.rss_limit:
        return None
    text = f"It held {held / 1e9:.2f} GB, more than the {row.rss_limit / 1e9:.2f} GB allowed."
    cure = "Take fewer entities or days, or raise HEADWATER_JOB_MEMORY."
    return Failure("MemoryLimitError", text, cure)
