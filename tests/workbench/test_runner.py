"""The runner with real workers: every way in which a job can end, and every way back."""

from __future__ import annotations

import dataclasses
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConflictError, NotFoundError, UnknownNameError
from data import audit_store, job_store, snapshots
from data.model_records import Job
from models import jobs as folders
from models.executors import Order
from models.processes import started
from tests.postgres import postgres  # noqa: F401 - a fixture
from tests.workbench import forge
from tests.workbench.forge import Forged
from tests.workbench.jobs_world import TENANT, panel, settings
from workbench import runner
from workbench.context import Context, open_context
from workbench.services import job_kinds, jobs
from workbench.services.job_kinds import Kind
from workbench.services.jobs import JobView, Prepared
from workbench.worker import DATABASE

PATIENCE = 60.0


def prepare(ctx: Context, tenant: str, job: Job) -> Prepared:
    kept = snapshots.write(ctx.settings.home / "snapshots", panel())
    return Prepared(kept, {"acts": job.payload["acts"]}, {"parent/note.txt": b"beside"})


def publish(ctx: Context, tenant: str, job: Job, outcome: Any, finish: Any) -> None:
    ctx.records.write(tenant, partial(finish, result=f"made under {job.fence}"))


@pytest.fixture(scope="module")
def smith(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forged]:
    """Forks the workers of this file: a start costs no second."""
    with forge.running(tmp_path_factory.mktemp("forge")) as executor:
        yield executor


@pytest.fixture(autouse=True)
def odd_jobs(monkeypatch: pytest.MonkeyPatch, smith: Forged) -> None:
    monkeypatch.setitem(job_kinds.KINDS, "odd", Kind(prepare, publish))
    monkeypatch.setitem(folders.WORK, "odd", "tests.workbench.odd_jobs:work")
    monkeypatch.setattr(runner, "executor", lambda *_, **__: smith)
    for name in ("LOOK", "TICK"):
        monkeypatch.setattr(runner, name, 0.05)
    monkeypatch.setattr(runner, "RETRY", timedelta(seconds=0.05))
    monkeypatch.setattr(jobs, "LOOK", 0.05)


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    with open_context(settings(tmp_path / "home")) as context:
        yield context


def fetch(ctx: Context, job_id: str) -> Job:
    return ctx.records.read(TENANT, partial(job_store.get, tenant=TENANT, job_id=job_id))


def submit(ctx: Context, *acts: tuple[str, Any], **more: Any) -> Job:
    fields: dict[str, Any] = {"domain": "ads", "actor": "ana", "device": "cpu"}
    return jobs.submit(ctx, TENANT, kind="odd", payload={"acts": acts}, **fields | more)


def until(
    ctx: Context, job: Job, there: Callable[[JobView], bool], patience: float = PATIENCE
) -> JobView:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        view = jobs.get(ctx, TENANT, job.id)
        if there(view):
            return view
        time.sleep(0.02)
    raise AssertionError(f"still {view} after {patience} s: {jobs.log_tail(ctx, TENANT, job.id)}")


def ended(ctx: Context, job: Job) -> JobView:
    return until(ctx, job, lambda view: not view.live)


def at_work(ctx: Context, job: Job) -> JobView:
    return until(ctx, job, lambda view: view.progress > 0)


def gone(pid: int, patience: float = PATIENCE) -> bool:
    deadline = time.monotonic() + patience
    while started(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    return started(pid) is None


# ── The way through ──────────────────────────────────────────────────────────────────────────────


def test_a_job_goes_from_the_queue_to_its_result(ctx: Context) -> None:
    job = submit(ctx, ("epochs", 4), idem_key="once")
    assert submit(ctx, ("epochs", 9), idem_key="once").id == job.id
    with runner.running(ctx):
        view = ended(ctx, job)
    assert (view.state, view.result_ref, view.progress) == ("succeeded", "made under 1", 1.0)
    assert view.snapshot_digest == snapshots.write(ctx.settings.home / "snapshots", panel()).digest
    rows = jobs.curve(ctx, TENANT, job.id)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[1] == rows[1] | {"part": "net", "stage": "train", "train": 0.5, "validation": 1.0}
    assert "on cpu, attempt 1" in jobs.log_tail(ctx, TENANT, job.id)
    assert (jobs.folder(ctx, job.id) / "parent" / "note.txt").read_bytes() == b"beside"
    assert gone(fetch(ctx, job.id).pid or 0)


def test_old_jobs_leave_their_row_and_give_back_their_room(ctx: Context) -> None:
    job = submit(ctx, ("epochs", 1))
    with runner.running(ctx):
        digest = ended(ctx, job).snapshot_digest
    waiting = submit(ctx, ("epochs", 1))
    jobs.folder(ctx, waiting.id).mkdir()

    def tidied(after: int) -> int:
        later = ctx.clock() + timedelta(days=after)
        return jobs.tidy(dataclasses.replace(ctx, clock=lambda: later), days=90)

    assert tidied(80) == 0
    assert tidied(100) == 2
    assert not jobs.folder(ctx, job.id).exists()
    assert not (ctx.settings.home / "snapshots" / digest).exists()
    assert jobs.folder(ctx, waiting.id).exists()
    assert jobs.get(ctx, TENANT, job.id).state == "succeeded"
    assert jobs.log_tail(ctx, TENANT, job.id) == ""


def test_a_job_is_run_and_a_late_holder_fenced_off_on_postgresql_too(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue("postgres").database()
    with open_context(settings(tmp_path / "home", database_url=url)) as ctx:
        job = submit(ctx, ("once", "store"), ("epochs", 2))
        with runner.running(ctx):
            view = ended(ctx, job)
        assert (view.state, view.attempt, view.result_ref) == ("succeeded", 2, "made under 2")
        with pytest.raises(ConflictError, match="fence 1"):
            publish(ctx, TENANT, job, None, partial(_late, job=job))


def _late(session: Any, *, result: str, job: Job) -> None:
    job_store.finish(
        session, tenant=TENANT, job_id=job.id, fence=1, state="succeeded", actor="zombie"
    )


def test_jobs_wait_in_line_for_the_one_place(ctx: Context) -> None:
    first, second, third = (submit(ctx, ("epochs", 30)) for _ in range(3))
    assert [jobs.get(ctx, TENANT, job.id).position for job in (first, second, third)] == [1, 2, 3]
    with runner.running(ctx):
        at_work(ctx, first)
        assert jobs.get(ctx, TENANT, first.id).position is None
        assert [row.position for row in jobs.listing(ctx, TENANT, active=True)] == [2, 1, None]
        jobs.cancel(ctx, TENANT, second.id, actor="bo")
        assert jobs.get(ctx, TENANT, third.id).position == 1
        jobs.cancel(ctx, TENANT, third.id, actor="bo")
        running = until(ctx, first, lambda view: view.eta_seconds is not None)
        assert (running.eta_seconds or 0) > 0
        jobs.cancel(ctx, TENANT, first.id, actor="bo")
        ended(ctx, first)
    assert fetch(ctx, second.id).fence == 0, "a job cancelled in the queue never starts"


def test_a_device_that_is_not_there_is_refused_by_name(ctx: Context) -> None:
    job = submit(ctx, ("epochs", 1), device="cuda:7")
    with runner.running(ctx):
        view = ended(ctx, job)
    assert (view.state, view.error_class) == ("failed", "DeviceError")
    assert view.error_text == "There is no device cuda:7 here, only cpu."


@pytest.mark.parametrize(
    ("wish", "free", "given"),
    [
        ("auto", ["cpu"], None),
        ("auto", ["cuda:1", "cpu"], "cuda:1"),
        ("cuda:0", ["cuda:1", "cpu"], None),
        ("cuda:1", ["cuda:1", "cpu"], "cuda:1"),
        ("cpu", ["cuda:0", "cuda:1"], None),
        ("cpu", ["cuda:0", "cpu"], "cpu"),
    ],
)
def test_every_gpu_has_one_place_and_auto_waits_for_one(
    wish: str, free: list[str], given: str | None
) -> None:
    assert runner._slot(wish, free, ["cuda:0", "cuda:1", "cpu"]) == given
    assert runner._slot("auto", ["cpu"], ["cpu"]) == "cpu", "without a GPU the CPU will do"


def test_what_nobody_has_is_not_found(ctx: Context) -> None:
    for ask in (jobs.get, jobs.curve, jobs.log_tail):
        with pytest.raises(NotFoundError):
            ask(ctx, TENANT, "../../etc")
    with pytest.raises(UnknownNameError, match="the kind"):
        jobs.submit(ctx, TENANT, kind="dig", domain="ads", payload={}, actor="ana")


# ── Cancel and resume ────────────────────────────────────────────────────────────────────────────


def test_a_polite_worker_keeps_its_checkpoint_and_a_resume_goes_on_with_one_curve(
    ctx: Context,
) -> None:
    job = submit(ctx, ("epochs", 40))
    with runner.running(ctx):
        until(ctx, job, lambda view: view.progress > 0.1)
        asked = jobs.cancel(ctx, TENANT, job.id, actor="bo")
        assert asked.state in ("cancelling", "cancelled")
        view = ended(ctx, job)
        assert (view.state, view.resumable, view.error_class) == (
            "cancelled",
            True,
            "CancelledError",
        )
        reached = len(jobs.curve(ctx, TENANT, job.id))
        assert 0 < reached < 40
        assert jobs.resume(ctx, TENANT, job.id, actor="bo").state == "queued"
        view = ended(ctx, job)
    assert (view.state, view.result_ref) == ("succeeded", "made under 2")
    rows = jobs.curve(ctx, TENANT, job.id)
    assert [row["epoch"] for row in rows] == list(range(1, 41)), "every epoch once"
    marked = [row["epoch"] for row in rows if row["resumed"]]
    assert marked == [reached + 1], "the first new epoch says that it goes on"
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)
    with pytest.raises(ConflictError):
        jobs.resume(ctx, TENANT, job.id, actor="bo")


def test_a_worker_that_ignores_sigterm_is_killed_with_its_children(ctx: Context) -> None:
    job = submit(ctx, ("stubborn", 300))
    child = jobs.folder(ctx, job.id) / "child"
    with runner.running(ctx):
        until(ctx, job, lambda _: child.exists() and child.read_text() != "")
        jobs.cancel(ctx, TENANT, job.id, actor="bo")
        assert ended(ctx, job).state == "cancelled"
    assert gone(int(child.read_text()))
    assert gone(fetch(ctx, job.id).pid or 0)


# ── Limits ───────────────────────────────────────────────────────────────────────────────────────


def test_a_job_past_its_deadline_is_ended(ctx: Context) -> None:
    job = submit(ctx, ("sleep", 300), deadline_minutes=0.02)
    with runner.running(ctx):
        view = ended(ctx, job)
    assert (view.state, view.error_class, view.attempt) == ("failed", "DeadlineError", 1)
    assert "0.02 minutes" in view.error_text
    assert gone(fetch(ctx, job.id).pid or 0)


def test_a_job_that_holds_too_much_is_ended_children_counted(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "WEIGH", 0.05)
    job = submit(ctx, ("hold", 700), memory_bytes=600 << 20)
    with runner.running(ctx):
        view = ended(ctx, job)
    assert (view.state, view.error_class) == ("failed", "MemoryLimitError")
    assert "more than the 0.63 GB allowed" in view.error_text
    assert "HEADWATER_JOB_MEMORY" in view.error_hint
    assert gone(fetch(ctx, job.id).pid or 0)


# ── Faults ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", ["crash", "store"])
def test_a_passing_fault_is_tried_again(ctx: Context, fault: str) -> None:
    job = submit(ctx, ("once", fault), ("epochs", 1))
    with runner.running(ctx):
        view = ended(ctx, job)
    assert (view.state, view.attempt, view.result_ref) == ("succeeded", 2, "made under 2")
    assert view.error_text == ""


def test_a_job_that_always_crashes_is_given_up_after_three_attempts(ctx: Context) -> None:
    job = submit(ctx, ("fault", "crash"))
    with runner.running(ctx):
        view = ended(ctx, job)
    assert (view.state, view.error_class, view.attempt) == ("failed", "WorkerDied", 3)
    assert view.error_text.endswith("Given up after 3 attempts.")
    assert view.resumable


@pytest.mark.parametrize(
    ("fault", "name", "text"),
    [
        ("input", "InvalidInputError", "odd: the input must be even. Got 7."),
        ("bug", "ZeroDivisionError", "ZeroDivisionError: nothing to divide by"),
        ("memory", "MemoryError", "The worker ran out of memory."),
    ],
)
def test_a_lasting_fault_fails_at_once_and_says_why(
    ctx: Context, fault: str, name: str, text: str
) -> None:
    job = submit(ctx, ("fault", fault))
    with runner.running(ctx):
        view = ended(ctx, job)
    assert (view.state, view.attempt, view.error_class, view.error_text) == (
        "failed",
        1,
        name,
        text,
    )
    assert view.error_hint
    assert "Traceback" in jobs.log_tail(ctx, TENANT, job.id)


def test_a_fault_before_the_worker_fails_the_job(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Prepared:
        raise UnknownNameError.of("odd", "the data", "there", None)

    monkeypatch.setitem(job_kinds.KINDS, "odd", Kind(refuse, publish))
    job = submit(ctx)
    with runner.running(ctx):
        view = ended(ctx, job)
    assert (view.state, view.error_class) == ("failed", "UnknownNameError")


# ── The server ends ──────────────────────────────────────────────────────────────────────────────


def test_a_worker_outlives_its_server_and_is_adopted_by_the_next(ctx: Context) -> None:
    job = submit(ctx, ("epochs", 60))
    with runner.running(ctx):
        at_work(ctx, job)
        before = fetch(ctx, job.id)
    assert started(before.pid or 0) == before.pid_start, "it goes on alone"
    with runner.running(ctx):
        view = ended(ctx, job)
    after = fetch(ctx, job.id)
    assert (view.state, view.attempt, view.result_ref) == ("succeeded", 1, "made under 1")
    assert (after.pid, after.fence) == (before.pid, before.fence)


def test_an_outcome_that_lay_ready_is_published_by_the_next_server(ctx: Context) -> None:
    job = submit(ctx, ("epochs", 20))
    with runner.running(ctx):
        at_work(ctx, job)
    assert gone(fetch(ctx, job.id).pid or 0)
    assert fetch(ctx, job.id).state == "running"
    with runner.running(ctx):
        assert ended(ctx, job).result_ref == "made under 1"


def test_a_worker_that_died_while_nobody_watched_leaves_its_job_lost_until_it_is_resumed(
    ctx: Context,
) -> None:
    job = submit(ctx, ("epochs", 60))
    with runner.running(ctx):
        at_work(ctx, job)
    os.killpg(fetch(ctx, job.id).pid or 0, signal.SIGKILL)
    assert gone(fetch(ctx, job.id).pid or 0)
    with runner.running(ctx):
        view = ended(ctx, job)
        assert (view.state, view.resumable) == ("lost", True)
        jobs.resume(ctx, TENANT, job.id, actor="bo")
        assert ended(ctx, job).state == "succeeded"
    rows = jobs.curve(ctx, TENANT, job.id)
    assert [row["epoch"] for row in rows] == list(range(1, 61))


def test_a_claim_whose_worker_never_began_is_taken_up_again(ctx: Context) -> None:
    job = submit(ctx, ("epochs", 1))
    with runner.running(ctx) as there:
        owner = there._owner
        ended(ctx, job)
    waiting = submit(ctx, ("epochs", 1))
    ctx.records.write(
        TENANT,
        partial(job_store.claim, tenant=TENANT, job_id=waiting.id, owner=owner, device="cpu"),
    )
    with runner.running(ctx):
        view = ended(ctx, waiting)
    assert (view.state, view.result_ref, view.attempt) == ("succeeded", "made under 2", 2)


def test_a_process_with_the_number_of_a_dead_worker_is_left_alone(ctx: Context) -> None:
    job = submit(ctx, ("epochs", 60))
    with runner.running(ctx):
        at_work(ctx, job)
    os.killpg(fetch(ctx, job.id).pid or 0, signal.SIGKILL)
    assert gone(fetch(ctx, job.id).pid or 0)

    def reuse(session: Any) -> None:
        row = job_store.get(session, tenant=TENANT, job_id=job.id)
        row.pid = os.getpid()  # began at another time than the worker did

    ctx.records.write(TENANT, reuse)
    with runner.running(ctx):
        assert ended(ctx, job).state == "lost"


# ── Zombies ──────────────────────────────────────────────────────────────────────────────────────


def test_a_frozen_worker_loses_its_lease_is_killed_and_the_job_done_by_another(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(ctx, ("epochs", 40))
    with runner.running(ctx):
        at_work(ctx, job)
        frozen = fetch(ctx, job.id)
        os.killpg(frozen.pid or 0, signal.SIGSTOP)
        monkeypatch.setattr(job_store, "LEASE", timedelta(seconds=3))
        view = ended(ctx, job)
    assert gone(frozen.pid or 0)
    assert (view.state, view.attempt, view.result_ref) == ("succeeded", 2, "made under 2")


def order(ctx: Context, folder: Path, **environment: str) -> Order:
    return Order(("worker",), folder, {DATABASE: ctx.settings.records_url, **environment}, 1)


@contextmanager
def alone(ctx: Context, job: Job, smith: Forged, **environment: str) -> Iterator[Any]:
    """A worker on a claimed job, without any runner that would watch over it."""
    claimed = ctx.records.write(
        TENANT,
        partial(job_store.claim, tenant=TENANT, job_id=job.id, owner="far", device="cpu"),
    )
    folder = jobs.folder(ctx, job.id)
    prepared = prepare(ctx, TENANT, job)
    folders.Task(
        TENANT,
        job.id,
        claimed.fence,
        "odd",
        "ads",
        dict(prepared.payload),
        "cpu",
        str(prepared.snapshot.path),
        prepared.snapshot.digest,
    ).write(folder)
    run = smith.start(order(ctx, folder, **environment))
    try:
        yield run
    finally:
        run.stop(0.0)


def test_a_worker_whose_job_was_given_to_another_ends_itself_without_effect(
    ctx: Context, smith: Forged
) -> None:
    job = submit(ctx, ("epochs", 1000))
    with alone(ctx, job, smith) as run:
        at_work(ctx, job)
        ctx.records.write(
            TENANT,
            partial(
                job_store.retry,
                tenant=TENANT,
                job_id=job.id,
                fence=1,
                delay=timedelta(hours=1),
                actor="runner",
                error_class="LeaseExpired",
                error_text="silent",
            ),
        )
        deadline = time.monotonic() + PATIENCE
        while run.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not run.alive()
    assert fetch(ctx, job.id).state == "queued"
    assert "somebody else's by now" in jobs.log_tail(ctx, TENANT, job.id)
    assert not folders.is_handed_over(jobs.folder(ctx, job.id), 1)


def test_a_second_worker_of_the_same_claim_does_not_begin(ctx: Context, smith: Forged) -> None:
    job = submit(ctx, ("epochs", 200))
    with alone(ctx, job, smith):
        at_work(ctx, job)
        first = fetch(ctx, job.id)
        folder = jobs.folder(ctx, job.id)
        second = smith.start(order(ctx, folder))
        deadline = time.monotonic() + PATIENCE
        while second.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not second.alive()
        assert fetch(ctx, job.id).pid == first.pid
    assert "is not to be had under fence 1" in jobs.log_tail(ctx, TENANT, job.id)


def test_a_worker_that_cannot_say_that_it_lives_ends_itself(ctx: Context, smith: Forged) -> None:
    job = submit(ctx, ("epochs", 10_000))
    with alone(ctx, job, smith, SILENCE="1") as run:
        at_work(ctx, job)
        lock = sqlite3.connect(ctx.settings.home / "records.db", isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        try:
            deadline = time.monotonic() + PATIENCE
            while run.alive() and time.monotonic() < deadline:
                time.sleep(0.02)
        finally:
            lock.execute("ROLLBACK")
            lock.close()
        assert not run.alive()
    assert "no sign of life got through for 1 s" in jobs.log_tail(ctx, TENANT, job.id)


# ── From the command line ────────────────────────────────────────────────────────────────────────


def test_run_until_done_tells_progress_and_leaves_the_others_in_line(ctx: Context) -> None:
    other = submit(ctx, ("epochs", 1))
    job = submit(ctx, ("epochs", 20))
    told: list[float] = []
    view = runner.run_until_done(
        ctx, TENANT, job.id, lambda stage, share, numbers: told.append(share)
    )
    assert view.state == "succeeded"
    assert told == sorted(told)
    assert max(told) > 0
    assert fetch(ctx, other.id).state == "queued"


def test_whoever_interrupts_it_cancels_the_job(ctx: Context) -> None:
    job = submit(ctx, ("epochs", 400))

    def interrupt(stage: str, share: float, numbers: Any) -> None:
        if share > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run_until_done(ctx, TENANT, job.id, interrupt)
    assert fetch(ctx, job.id).state == "cancelled"
    assert gone(fetch(ctx, job.id).pid or 0)
    events = ctx.records.read(
        TENANT, partial(audit_store.history, tenant=TENANT, objects=[("job", job.id)])
    )
    assert [event.verb for event in reversed(events)] == ["submit", "start", "cancel", "finish"]
    assert not [thread for thread in threading.enumerate() if thread.name == "runner"]
