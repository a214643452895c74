"""Jobs: handed in, looked at, cancelled, resumed. Who runs them is `workbench.runner`."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from core.contracts import OnStep
from core.errors import UnknownNameError
from data import job_store
from data.model_records import Job
from data.snapshots import Snapshot
from models import progress
from models.executors import LOG
from models.jobs import WORK
from workbench.context import Context

LOOK = 0.3
"""Seconds between two looks of whoever waits for a job."""


@dataclass(frozen=True)
class Prepared:
    """What a worker needs beside its job: a snapshot, its arguments, and files for the job's folder."""

    snapshot: Snapshot
    payload: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)


Finish = Callable[[Any, str], None]
"""Settles a job as succeeded with a result, or raises: called first in the transaction that publishes it."""


@dataclass(frozen=True)
class JobView:
    """A job as people see it.

    state       : queued, running, cancelling, succeeded, failed, cancelled or lost
    device      : the wish while it waits, the slot that it runs on afterwards
    position    : place in the queue, from 1; None once it runs
    eta_seconds : as far as its pace so far tells; None before it has one
    notice      : what happened to it that one should know, "" when nothing
    metrics     : of the version that it made; empty until then
    """

    id: str
    kind: str
    domain: str
    state: str
    payload: dict[str, Any]
    device: str
    parent: str
    snapshot_digest: str
    attempt: int
    max_attempts: int
    created_at: datetime
    created_by: str
    claimed_at: datetime | None
    heartbeat_at: datetime | None
    finished_at: datetime | None
    progress: float
    progress_text: str
    cancel_requested: bool
    deadline: datetime | None
    rss_limit: int | None
    result_ref: str
    error_class: str
    error_text: str
    error_hint: str
    live: bool
    resumable: bool
    position: int | None
    eta_seconds: float | None
    notice: str
    metrics: dict[str, Any]


def submit(
    ctx: Context,
    tenant: str,
    *,
    kind: str,
    domain: str,
    payload: Mapping[str, Any],
    actor: str,
    idem_key: str = "",
    device: str = "auto",
    deadline_minutes: float | None = None,
    memory_bytes: int | None = None,
    parent: str = "",
) -> Job:
    """Hand a job in; the same `idem_key` once more is the job that is there.

    parent : the job it is a clone of. Deadline and memory are the installation's where none are given.
    """
    if kind not in WORK:
        raise UnknownNameError.of("jobs", "the kind", f"one of {', '.join(WORK)}", kind)
    minutes = ctx.settings.job_minutes if deadline_minutes is None else deadline_minutes
    call = partial(
        job_store.add,
        tenant=tenant,
        kind=kind,
        domain=domain,
        payload={**payload, "deadline_minutes": minutes},
        device=device,
        idem_key=idem_key,
        parent=parent,
        rss_limit=memory_bytes or ctx.settings.memory_of_a_job,
        actor=actor,
    )
    return ctx.records.write(tenant, call)


def get(ctx: Context, tenant: str, job_id: str) -> JobView:
    """One job; NotFoundError when the tenant has none of that id."""
    call = partial(job_store.get, tenant=tenant, job_id=job_id)
    return _views(ctx, tenant, [ctx.records.read(tenant, call)])[0]


def listing(ctx: Context, tenant: str, *, domain: str = "", active: bool = False) -> list[JobView]:
    """Jobs newest first; only those that wait or run where `active`."""
    states = job_store.LIVE if active else ()
    call = partial(job_store.listing, tenant=tenant, states=states, domain=domain)
    return _views(ctx, tenant, ctx.records.read(tenant, call))


def cancel(ctx: Context, tenant: str, job_id: str, *, actor: str) -> JobView:
    """Ask a job to stop: a waiting one is cancelled at once, a running one within seconds."""
    call = partial(job_store.ask_cancel, tenant=tenant, job_id=job_id, actor=actor)
    ctx.records.write(tenant, call)
    return get(ctx, tenant, job_id)


def resume(ctx: Context, tenant: str, job_id: str, *, actor: str) -> JobView:
    """Queue a failed, cancelled or lost job again; it goes on from its checkpoint."""
    call = partial(job_store.resume, tenant=tenant, job_id=job_id, actor=actor)
    ctx.records.write(tenant, call)
    return get(ctx, tenant, job_id)


def curve(ctx: Context, tenant: str, job_id: str) -> list[dict[str, Any]]:
    """The learning curve over all attempts: see `models.progress.curve`; `seconds` since the job first ran."""
    get(ctx, tenant, job_id)
    return progress.curve(folder(ctx, job_id))


def log_tail(ctx: Context, tenant: str, job_id: str, lines: int = 40) -> str:
    """The last lines of what the job said."""
    get(ctx, tenant, job_id)
    return progress.log_tail(folder(ctx, job_id) / LOG, lines)


def wait(ctx: Context, tenant: str, job_id: str, on_step: OnStep | None = None) -> JobView:
    """Look at a job until it has ended, telling `on_step` how far it is."""
    while (view := get(ctx, tenant, job_id)).live:
        if on_step is not None:
            on_step(view.progress_text or view.state, view.progress, {})
        threading.Event().wait(LOOK)
    return view


def folder(ctx: Context, job_id: str) -> Path:
    """Where a job's task, progress, log, checkpoints and outcome lie."""
    return ctx.settings.home.resolve() / "jobs" / job_id


def tidy(ctx: Context, *, days: int) -> int:
    """Remove the folders of jobs that ended more than `days` ago, and the snapshots that only those learned from.

    The rows stay, with everything that was published. Returns how many folders went.
    """
    since = ctx.clock() - timedelta(days=days)
    needed = {
        name
        for tenant in tenants(ctx)
        for pair in ctx.records.read(tenant, partial(job_store.kept, tenant=tenant, since=since))
        for name in pair
    }
    home = ctx.settings.home.resolve()
    old = [
        found
        for room in ("jobs", "snapshots")
        for found in sorted((home / room).glob("*/"))
        if found.name not in needed and found.stat().st_mtime < since.timestamp()
    ]
    for found in old:
        shutil.rmtree(found)
    return len(old)


def tenants(ctx: Context) -> Sequence[str]:
    """Whose jobs this installation runs: whoever has data here, and the configured tenant."""
    return sorted({ctx.settings.tenant, *(tenant for tenant, _ in ctx.holdings())})


def waiting(ctx: Context) -> list[Job]:
    """Jobs of all tenants whose time has come, in the order in which they get a place."""
    found: list[Job] = []
    for tenant in tenants(ctx):
        found += ctx.records.read(tenant, partial(job_store.due, tenant=tenant))
    return sorted(found, key=lambda job: (job.created_at, job.id))


def _views(ctx: Context, tenant: str, found: Sequence[Job]) -> list[JobView]:
    waits = any(job.state == "queued" for job in found)
    queue = [job.id for job in waiting(ctx)] if waits else []
    made = {job.result_ref for job in found} - {""}
    versions = ctx.registry.store.versions(tenant) if made else ()
    metrics = {version.id: version.metrics for version in versions if version.id in made}
    return [_view(ctx, job, queue, metrics.get(job.result_ref, {})) for job in found]


def _view(ctx: Context, job: Job, queue: Sequence[str], metrics: Mapping[str, Any]) -> JobView:
    running = job.state == "running"
    # one that waits to be tried again stands behind those that could start now
    place = queue.index(job.id) + 1 if job.id in queue else len(queue) + 1
    kept = {name: getattr(job, name) for name in JobView.__dataclass_fields__ if hasattr(job, name)}
    derived = {
        "state": "cancelling" if running and job.cancel_requested else job.state,
        "live": job.state in job_store.LIVE,
        "resumable": job.state in job_store.RESUMABLE,
        "position": place if job.state == "queued" else None,
        "eta_seconds": _eta(ctx, job) if running else None,
        "notice": progress.notice(folder(ctx, job.id)),
        "metrics": dict(metrics),
    }
    return JobView(**{**kept, **derived})


def _eta(ctx: Context, job: Job) -> float | None:
    pace = progress.pace(folder(ctx, job.id))
    return None if pace is None else (1 - job.progress) / pace
