"""Experiments as records: planned, running, ended, each step told in the audit trail. What they routed: `data.routing`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import ConflictError, NotFoundError
from data.audit_store import tell
from data.model_records import Experiment

PLANNING, RUNNING, COMPLETED, FAILED = "planning", "running", "completed", "failed"
STATES = (PLANNING, RUNNING, COMPLETED, FAILED)
FOLLOWING = {PLANNING: (RUNNING, FAILED), RUNNING: (RUNNING, COMPLETED, FAILED)}
"""The states that a state may lead to; an ended experiment stays as it is."""


def add(
    session: Session, *, tenant: str, fields: Mapping[str, Any], actor: str, now: datetime
) -> Experiment:
    """Write down a plan."""
    row = Experiment(tenant=tenant, created_at=now, created_by=actor, **fields)
    session.add(row)
    session.flush()
    after = {name: fields[name] for name in ("control", "treatment", "metric", "effect", "units")}
    tell(session, row, "plan", actor=actor, now=now, after=after)
    return row


def get(session: Session, *, tenant: str, number: int) -> Experiment:
    """One experiment; NotFoundError when the tenant has none of that number."""
    row = session.get(Experiment, (tenant, number))
    if row is None:
        raise NotFoundError.of("experiments", "the experiment", "one of this tenant's", number)
    return row


def listing(session: Session, *, tenant: str, domain: str = "") -> list[Experiment]:
    """Experiments, newest first, of one domain where given."""
    query = select(Experiment).where(Experiment.tenant == tenant)
    if domain:
        query = query.where(Experiment.domain == domain)
    return list(session.scalars(query.order_by(Experiment.id.desc())))


def running(session: Session, *, tenant: str, domain: str) -> Experiment | None:
    """The one that runs in a domain, if any."""
    query = select(Experiment).where(
        Experiment.tenant == tenant, Experiment.domain == domain, Experiment.state == RUNNING
    )
    return session.scalars(query).first()


def discard(
    session: Session,
    *,
    tenant: str,
    number: int,
    actor: str,
    now: datetime,
    seen: int | None = None,
) -> None:
    """Throw a plan away; what it was stays in the audit trail. Raises ConflictError once it was started."""
    row = get(session, tenant=tenant, number=number)
    _check_seen(row, seen)
    if row.state != PLANNING:
        hint = "What was started stays on record: stop it instead."
        raise ConflictError.of("experiments", f"experiment {number}", PLANNING, row.state, hint)
    after = {"name": row.name, "treatment": row.treatment, "metric": row.metric, "days": row.days}
    tell(session, row, "discard", actor=actor, now=now, after=after)
    session.delete(row)


def move(
    session: Session,
    *,
    tenant: str,
    number: int,
    verb: str,
    changes: Mapping[str, Any],
    actor: str,
    now: datetime,
    seen: int | None = None,
) -> Experiment:
    """Start, climb, look at or end an experiment, if nobody moved it since version `seen`.

    Raises ConflictError, naming both, when somebody did, when it has ended, or when another one runs in its domain.
    """
    row = get(session, tenant=tenant, number=number)
    state = changes.get("state", row.state)
    _check_seen(row, seen)
    if state not in FOLLOWING.get(row.state, ()):
        raise ConflictError.of(
            "experiments",
            f"experiment {number}",
            " or ".join(was for was, following in FOLLOWING.items() if state in following),
            row.state,
            "Plan a new one." if row.ended_at else "Start it first.",
        )
    if row.state == PLANNING and state == RUNNING:
        other = running(session, tenant=tenant, domain=row.domain)
        if other is not None:
            rule = f"the only one that runs in {row.domain}"
            hint = f"Stop experiment {other.id} first, or wait until it ends."
            raise ConflictError.of("experiments", f"experiment {number}", rule, other.name, hint)
    for field, value in changes.items():
        setattr(row, field, value)
    row.version += 1
    if row.state in (COMPLETED, FAILED):
        row.ended_at = now
    # a look tells of itself in `looks`; the trail keeps what changed what people see
    told = {name: value for name, value in changes.items() if name not in ("looks", "guardrails")}
    if told:
        tell(session, row, verb, actor=actor, now=now, after=told)
    return row


def _check_seen(row: Experiment, seen: int | None) -> None:
    if seen is not None and row.version != seen:
        rule = f"still at version {seen}, the one you saw"
        stands = f"version {row.version}, {row.state} at {row.stage} {row.share:.0%}"
        hint = "Look at it again, then decide."
        raise ConflictError.of("experiments", f"experiment {row.id}", rule, stands, hint)
