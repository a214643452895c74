"""The queue of long work: rows that are claimed, kept alive, given up and settled, each in one guarded statement.

A claim raises the job's `fence`. Whatever its holder does afterwards names that fence, so what comes late, from
a holder that was given up, changes no row. All times here are the database's own.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select, text, update
from sqlalchemy.orm import Session

from core.errors import ConflictError, InvalidInputError, NotFoundError
from data.audit_store import tell
from data.model_records import Job

LEASE = timedelta(seconds=30)
"""Without a sign of life for this long, a claimed job counts as abandoned."""
RUNNER = "runner"
"""Who acts where no person does."""
LIVE = ("queued", "running")
RESUMABLE = ("failed", "cancelled", "lost")
NOW = {
    "sqlite": "SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')",
    "postgresql": "SELECT clock_timestamp()",
}


def now(session: Session) -> datetime:
    """The database's clock: the only one that leases, deadlines and waits are measured by."""
    connection = session.connection()
    found = connection.execute(text(NOW[connection.dialect.name])).scalar_one()
    return datetime.fromisoformat(found) if isinstance(found, str) else found


def add(
    session: Session,
    *,
    tenant: str,
    kind: str,
    domain: str,
    payload: Mapping[str, Any],
    device: str,
    idem_key: str = "",
    parent: str = "",
    rss_limit: int | None = None,
    actor: str,
) -> Job:
    """Queue a job; with the key of an earlier one that one is returned and nothing is queued."""
    number = uuid.uuid4().hex
    same = select(Job).where(Job.tenant == tenant, Job.idem_key == (idem_key or number))
    known = session.scalars(same).first()
    if known is not None:
        return known
    at = now(session)
    job = Job(
        tenant=tenant,
        id=number,
        kind=kind,
        domain=domain,
        payload={**payload, "device": device},
        device=device,
        parent=parent,
        idem_key=idem_key or number,
        created_at=at,
        created_by=actor,
        not_before=at,
        rss_limit=rss_limit,
    )
    session.add(job)
    tell(session, job, "submit", actor=actor, now=at, after={"kind": kind, "domain": domain})
    return job


def get(session: Session, *, tenant: str, job_id: str) -> Job:
    """One job, or NotFoundError."""
    job = session.get(Job, (tenant, job_id))
    if job is None:
        raise NotFoundError.of(
            "jobs", "the job", "one of this tenant's", job_id, "List them: headwater jobs list"
        )
    return job


def listing(
    session: Session, *, tenant: str, states: Sequence[str] = (), domain: str = "", limit: int = 200
) -> list[Job]:
    """Jobs in any of the states (or in all), newest first."""
    query = select(Job).where(Job.tenant == tenant)
    if states:
        query = query.where(Job.state.in_(states))
    if domain:
        query = query.where(Job.domain == domain)
    return list(session.scalars(query.order_by(Job.created_at.desc(), Job.id.desc()).limit(limit)))


def kept(session: Session, *, tenant: str, since: datetime) -> list[tuple[str, str]]:
    """Jobs that are live or ended later than `since`, each with the digest of its snapshot ("" without one)."""
    recent = or_(Job.finished_at.is_(None), Job.finished_at > since)
    query = select(Job.id, Job.snapshot_digest).where(Job.tenant == tenant, recent)
    return [(number, digest) for number, digest in session.execute(query)]


def due(session: Session, *, tenant: str) -> list[Job]:
    """Queued jobs whose time has come, oldest first."""
    query = select(Job).where(
        Job.tenant == tenant, Job.state == "queued", Job.not_before <= now(session)
    )
    return list(session.scalars(query.order_by(Job.created_at, Job.id)))


def abandoned(session: Session, *, tenant: str) -> list[Job]:
    """Running jobs that nobody gave a sign of life for; one that never did counts from its claim."""
    sign = func.coalesce(Job.heartbeat_at, Job.claimed_at)
    query = select(Job).where(
        Job.tenant == tenant, Job.state == "running", sign <= now(session) - LEASE
    )
    return list(session.scalars(query))


def claim(session: Session, *, tenant: str, job_id: str, owner: str, device: str) -> Job | None:
    """Take a queued job for a slot; None when somebody else did, or it was cancelled.

    Lease, fence and first heartbeat are set by the statement that takes it. The deadline counts from here.
    """
    at = now(session)
    waiting = get(session, tenant=tenant, job_id=job_id)
    minutes = waiting.payload.get("deadline_minutes")
    taken = _update(
        session,
        update(Job)
        .where(
            Job.tenant == tenant,
            Job.id == job_id,
            Job.state == "queued",
            Job.not_before <= at,
            Job.cancel_requested.is_(False),
        )
        .values(
            state="running",
            fence=Job.fence + 1,
            attempt=Job.attempt + 1,
            owner=owner,
            device=device,
            claimed_at=at,
            heartbeat_at=at,
            lease_until=at + LEASE,
            finished_at=None,
            pid=None,
            pid_start=None,
            boot_id="",
            deadline=None if minutes is None else at + timedelta(minutes=minutes),
            error_class="",
            error_text="",
            error_hint="",
        ),
    )
    if taken is not None:
        after = {"state": "running", "attempt": taken.attempt, "device": device}
        tell(session, taken, "start", actor=RUNNER, now=at, after=after)
    return taken


def register(
    session: Session,
    *,
    tenant: str,
    job_id: str,
    fence: int,
    pid: int,
    pid_start: float,
    boot_id: str,
) -> Job | None:
    """A worker's first sign of life, with which process it is; None when it came too late or second."""
    first = (Job.pid.is_(None), Job.cancel_requested.is_(False))
    process = {"pid": pid, "pid_start": pid_start, "boot_id": boot_id}
    return _held(session, tenant, job_id, fence, process | _alive(now(session)), *first)


def beat(
    session: Session,
    *,
    tenant: str,
    job_id: str,
    fence: int,
    progress: float | None = None,
    progress_text: str = "",
) -> Job | None:
    """Renew the lease and tell how far the work is; None when this holder was given up."""
    told = {} if progress is None else {"progress": progress, "progress_text": progress_text[:255]}
    return _held(session, tenant, job_id, fence, told | _alive(now(session)))


def note(session: Session, *, tenant: str, job_id: str, fence: int, snapshot_digest: str) -> None:
    """Record which snapshot the job learns from; ConflictError when its holder was given up."""
    held = _held(session, tenant, job_id, fence, {"snapshot_digest": snapshot_digest})
    if held is None:
        raise _given_up(job_id, fence)


def finish(
    session: Session,
    *,
    tenant: str,
    job_id: str,
    fence: int,
    state: str,
    actor: str,
    result_ref: str = "",
    device: str = "",
    error_class: str = "",
    error_text: str = "",
    error_hint: str = "",
) -> Job:
    """Settle a job: the guard of every effect that is written in the same transaction.

    device : what it ended up on, where that is not the slot it was given

    Raises ConflictError, which undoes all of them, when the holder was given up, or when a success comes after
    somebody asked to cancel.
    """
    at = now(session)
    unasked = (Job.cancel_requested.is_(False),) if state == "succeeded" else ()
    values: dict[str, Any] = {
        "state": state,
        "finished_at": at,
        "result_ref": result_ref,
        "error_class": error_class,
        "error_text": error_text,
        "error_hint": error_hint,
    }
    if device:
        values["device"] = device
    if state == "succeeded":
        values |= {"progress": 1.0, "progress_text": "done"}
    job = _held(session, tenant, job_id, fence, values, *unasked)
    if job is None:
        raise _given_up(job_id, fence)
    after = {"state": state, "result_ref": result_ref, "error": error_text[:500]}
    tell(session, job, "finish", actor=actor, now=at, after=after)
    return job


def retry(
    session: Session,
    *,
    tenant: str,
    job_id: str,
    fence: int,
    delay: timedelta,
    actor: str,
    error_class: str,
    error_text: str,
    error_hint: str = "",
) -> Job:
    """Queue a job again after a passing fault; ConflictError when its holder was given up."""
    at = now(session)
    held = get(session, tenant=tenant, job_id=job_id)
    values = {
        "state": "queued",
        "not_before": at + delay,
        "device": held.payload["device"],
        "error_class": error_class,
        "error_text": error_text,
        "error_hint": error_hint,
    }
    job = _held(session, tenant, job_id, fence, values)
    if job is None:
        raise _given_up(job_id, fence)
    after = {"state": "queued", "attempt": job.attempt, "error": error_text[:500]}
    tell(session, job, "retry", actor=actor, now=at, after=after)
    return job


def ask_cancel(session: Session, *, tenant: str, job_id: str, actor: str) -> Job:
    """Cancel a queued job at once, ask a running one to stop; ConflictError when it has ended."""
    at = now(session)
    job = get(session, tenant=tenant, job_id=job_id)
    if job.state not in LIVE:
        raise ConflictError.of("jobs", "the job", "queued or running to be cancelled", job.state)
    if job.cancel_requested:
        return job
    job.cancel_requested = True
    if job.state == "queued":
        job.state, job.finished_at = "cancelled", at
        job.error_class, job.error_text = "CancelledError", f"{actor} cancelled it while it waited."
    session.flush()
    tell(
        session,
        job,
        "cancel",
        actor=actor,
        now=at,
        after={"state": job.state, "cancel_requested": True},
    )
    return job


def resume(session: Session, *, tenant: str, job_id: str, actor: str) -> Job:
    """Queue a failed, cancelled or lost job again, its attempts counted anew; ConflictError for any other."""
    at = now(session)
    job = get(session, tenant=tenant, job_id=job_id)
    if job.state not in RESUMABLE:
        rule = f"{', '.join(RESUMABLE[:-1])} or {RESUMABLE[-1]} to be resumed"
        raise ConflictError.of("jobs", "the job", rule, job.state)
    job.state, job.attempt, job.cancel_requested, job.not_before = "queued", 0, False, at
    job.device, job.finished_at, job.deadline = job.payload["device"], None, None
    job.error_class = job.error_text = job.error_hint = ""
    session.flush()
    tell(session, job, "resume", actor=actor, now=at, after={"state": "queued"})
    return job


# ── Statements ───────────────────────────────────────────────────────────────────────────────────


def _alive(at: datetime) -> dict[str, Any]:
    return {"heartbeat_at": at, "lease_until": at + LEASE}


def _held(
    session: Session,
    tenant: str,
    job_id: str,
    fence: int,
    values: Mapping[str, Any],
    *conditions: Any,
) -> Job | None:
    """Change a job that still runs under this fence; None when it does not."""
    if fence < 1:
        raise InvalidInputError.of("jobs", "the fence", "that of a claim, at least 1", fence)
    mine = (Job.tenant == tenant, Job.id == job_id, Job.fence == fence, Job.state == "running")
    return _update(session, update(Job).where(*mine, *conditions).values(**values))


def _update(session: Session, statement: Any) -> Job | None:
    # what the session holds of the row is overwritten by what the database answers
    options = {"synchronize_session": False, "populate_existing": True}
    returning = statement.returning(Job).execution_options(**options)
    found: Job | None = session.scalars(returning).first()
    return found


def _given_up(job_id: str, fence: int) -> ConflictError:
    return ConflictError.of(
        "jobs",
        f"job {job_id}",
        f"running under fence {fence} and not cancelled",
        "given up or cancelled meanwhile",
        "Look at the job: whoever holds it now settles it.",
    )
