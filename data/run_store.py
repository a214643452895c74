"""What the machine itself remembers: detection runs, schedules, streaming state, and who looked when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.errors import NotFoundError
from data.model_records import StreamState
from data.records import DetectionRun, SchedulerBeat, Visit


def start(
    session: Session,
    *,
    tenant: str,
    domain: str,
    detector: str,
    at: datetime,
    actor: str,
    now: datetime,
    as_of: datetime | None = None,
) -> DetectionRun:
    """Note that a run has begun."""
    run = DetectionRun(
        tenant=tenant,
        domain=domain,
        detector=detector,
        at=at,
        as_of=as_of,
        started=now,
        actor=actor,
    )
    session.add(run)
    session.flush()
    return run


def finish(
    session: Session,
    *,
    tenant: str,
    run_id: int,
    now: datetime,
    entities_checked: int,
    anomalies: int,
    seconds: dict[str, float],
    model_version: str = "",
    notes: Sequence[str] = (),
    seen_until: datetime | None = None,
    seen_batch: int = 0,
) -> DetectionRun:
    """Note that a run is done and what it saw; `seen_until` where it looked at everything until then, of the
    imports up to `seen_batch`.
    """
    return _close(
        session,
        tenant,
        run_id,
        state="done",
        finished=now,
        entities_checked=entities_checked,
        anomalies=anomalies,
        seconds=seconds,
        model_version=model_version,
        notes=list(notes),
        seen_until=seen_until,
        seen_batch=seen_batch,
    )


def fail(session: Session, *, tenant: str, run_id: int, now: datetime, error: str) -> DetectionRun:
    """Note that a run ended in an error."""
    return _close(session, tenant, run_id, state="failed", finished=now, error=error)


def heal(session: Session, *, tenant: str, now: datetime) -> int:
    """Close the runs that a killed process left running; return how many. Call before starting any."""
    query = select(DetectionRun).where(
        DetectionRun.tenant == tenant, DetectionRun.state == "running"
    )
    runs = session.scalars(query).all()
    for run in runs:
        run.state, run.finished, run.error = "failed", now, "The process ended before the run did."
    return len(runs)


def latest(session: Session, *, tenant: str, domain: str, state: str = "") -> DetectionRun | None:
    """The newest run of a domain, in a state if one is given; None when detection has never run."""
    query = select(DetectionRun).where(DetectionRun.tenant == tenant, DetectionRun.domain == domain)
    if state:
        query = query.where(DetectionRun.state == state)
    order = (DetectionRun.started.desc(), DetectionRun.id.desc())
    return session.scalars(query.order_by(*order).limit(1)).first()


def seen(
    session: Session, *, tenant: str, domain: str, detector: str
) -> tuple[datetime | None, int]:
    """Until when runs of a detector that are done saw everything of a domain, None before the first, and up to
    which import of measurements.
    """
    query = select(
        func.max(DetectionRun.seen_until), func.coalesce(func.max(DetectionRun.seen_batch), 0)
    ).where(
        DetectionRun.tenant == tenant,
        DetectionRun.domain == domain,
        DetectionRun.detector == detector,
        DetectionRun.state == "done",
    )
    until, batch = session.execute(query).one()
    return until, int(batch)


def outcomes(session: Session, *, tenant: str, domain: str, since: datetime) -> dict[str, int]:
    """How many runs of a domain that began since then are in each state."""
    query = (
        select(DetectionRun.state, func.count())
        .where(
            DetectionRun.tenant == tenant,
            DetectionRun.domain == domain,
            DetectionRun.started >= since,
        )
        .group_by(DetectionRun.state)
    )
    return dict(session.execute(query).all())


def save_stream(
    session: Session,
    *,
    tenant: str,
    domain: str,
    detector: str,
    model_version: str,
    state: bytes,
    until: date | None,
    now: datetime,
) -> None:
    """Keep what a streaming detector has learned, in place of what was kept before."""
    key = (tenant, domain, detector, model_version)
    row = session.get(StreamState, key)
    if row is None:
        names = ("tenant", "domain", "detector", "model_version")
        row = StreamState(**dict(zip(names, key, strict=True)), state=state, updated_at=now)
        session.add(row)
    row.state, row.until, row.updated_at = state, until, now


def load_stream(
    session: Session, *, tenant: str, domain: str, detector: str, model_version: str
) -> StreamState | None:
    """What a streaming detector of this version had learned; None when it starts afresh."""
    return session.get(StreamState, (tenant, domain, detector, model_version))


def visit(
    session: Session, *, tenant: str, user_id: str, page: str, now: datetime
) -> datetime | None:
    """Note that a person looks at a page; return when they looked before."""
    row = session.get(Visit, (tenant, user_id, page))
    if row is None:
        session.add(Visit(tenant=tenant, user_id=user_id, page=page, seen_at=now))
        return None
    before, row.seen_at = row.seen_at, now
    return before


def last_visit(session: Session, *, tenant: str, user_id: str, page: str) -> datetime | None:
    """When a person last looked at a page, without noting this look."""
    row = session.get(Visit, (tenant, user_id, page))
    return row and row.seen_at


def beats(session: Session, *, tenant: str) -> dict[str, SchedulerBeat]:
    """Every scheduled task with when it is due and last ran, by name."""
    query = select(SchedulerBeat).where(SchedulerBeat.tenant == tenant)
    return {beat.name: beat for beat in session.scalars(query)}


def beat(
    session: Session, *, tenant: str, name: str, due: datetime, **fields: Any
) -> SchedulerBeat:
    """Set when a task is next due, and `last_started`, `last_finished` or `error` with it.

    A task whose stored `due` has passed when the scheduler starts was missed: run it once, then set the next.
    """
    row = session.get(SchedulerBeat, (tenant, name))
    if row is None:
        row = SchedulerBeat(tenant=tenant, name=name, due=due)
        session.add(row)
    for field, value in {"due": due, **fields}.items():
        setattr(row, field, value)
    session.flush()
    return row


def _close(session: Session, tenant: str, run_id: int, **fields: Any) -> DetectionRun:
    run = session.get(DetectionRun, (tenant, run_id))
    if run is None:
        raise NotFoundError.of("runs", "the run", "one of this tenant's", run_id)
    for field, value in fields.items():
        setattr(run, field, value)
    session.flush()
    return run
