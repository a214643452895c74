"""Drift checks as they stood, and the retrainings that they or the calendar ask for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.errors import ConflictError, NotFoundError
from data.audit_store import tell
from data.model_records import DriftCheck, RetrainProposal

OPEN, ACCEPTED, DISMISSED, EXPIRED = "open", "accepted", "dismissed", "expired"

# ── Checks ───────────────────────────────────────────────────────────────────────────────────────


def add_check(session: Session, *, tenant: str, **facts: Any) -> DriftCheck:
    """Keep one check; `facts` are the columns of the record."""
    row = DriftCheck(tenant=tenant, **facts)
    session.add(row)
    session.flush()
    return row


def get_check(session: Session, *, tenant: str, check_id: int) -> DriftCheck:
    """One check; NotFoundError for a number that this tenant has not."""
    row = session.get(DriftCheck, (tenant, check_id))
    if row is None:
        raise NotFoundError.of("drift", "the check", "one of this tenant's", check_id)
    return row


def latest_check(
    session: Session, *, tenant: str, domain: str, model_version: str | None = None
) -> DriftCheck | None:
    """The newest check of a domain, of a version if one is named; None when nobody ever looked."""
    query = select(DriftCheck).where(DriftCheck.tenant == tenant, DriftCheck.domain == domain)
    if model_version is not None:
        query = query.where(DriftCheck.model_version == model_version)
    return session.scalars(query.order_by(DriftCheck.id.desc()).limit(1)).first()


def checks(session: Session, *, tenant: str, domain: str, limit: int = 26) -> list[Any]:
    """The newest checks without their reports: id, windows, counts, version, when and by whom."""
    columns = (
        DriftCheck.id,
        DriftCheck.window_start,
        DriftCheck.window_end,
        DriftCheck.tested,
        DriftCheck.drifted,
        DriftCheck.model_version,
        DriftCheck.at,
        DriftCheck.actor,
    )
    query = (
        select(*columns)
        .where(DriftCheck.tenant == tenant, DriftCheck.domain == domain)
        .order_by(DriftCheck.id.desc())
    )
    return list(session.execute(query.limit(limit)))


# ── Proposals ────────────────────────────────────────────────────────────────────────────────────


def propose(
    session: Session,
    *,
    tenant: str,
    domain: str,
    reason: str,
    trigger: str,
    start: date,
    end: date,
    check_id: int | None,
    actor: str,
    now: datetime,
) -> RetrainProposal:
    """Open a proposal; where one of the same domain is open it stays the only one and is returned."""
    standing = proposals(session, tenant=tenant, domain=domain, state=OPEN)
    if standing:
        return standing[0]
    row = RetrainProposal(
        tenant=tenant,
        domain=domain,
        reason=reason,
        trigger=trigger,
        check_id=check_id,
        start=start,
        end=end,
        created_at=now,
    )
    session.add(row)
    session.flush()
    after = {"trigger": trigger, "start": start, "end": end, "reason": reason}
    tell(session, row, "propose", actor=actor, now=now, after=after)
    return row


def get_proposal(session: Session, *, tenant: str, proposal_id: int) -> RetrainProposal:
    """One proposal; NotFoundError for a number that this tenant has not."""
    row = session.get(RetrainProposal, (tenant, proposal_id))
    if row is None:
        raise NotFoundError.of("drift", "the proposal", "one of this tenant's", proposal_id)
    return row


def proposals(
    session: Session, *, tenant: str, domain: str, state: str = "", limit: int = 50
) -> list[RetrainProposal]:
    """Proposals of a domain, newest first, in a state if one is given."""
    query = select(RetrainProposal).where(
        RetrainProposal.tenant == tenant, RetrainProposal.domain == domain
    )
    if state:
        query = query.where(RetrainProposal.state == state)
    return list(session.scalars(query.order_by(RetrainProposal.id.desc()).limit(limit)))


def decide(
    session: Session,
    *,
    tenant: str,
    proposal_id: int,
    state: str,
    actor: str,
    now: datetime,
    job_id: str = "",
    reason: str = "",
) -> RetrainProposal:
    """Accept, dismiss or let expire an open proposal; ConflictError, naming who, for one that is decided."""
    row = get_proposal(session, tenant=tenant, proposal_id=proposal_id)
    if row.state != OPEN:
        raise ConflictError.of(
            "drift",
            f"proposal {proposal_id}",
            "still open",
            f"{row.state} by {row.decided_by}",
            "Look at the proposals again.",
        )
    row.state, row.job_id = state, job_id
    row.decided_at, row.decided_by, row.version = now, actor, row.version + 1
    tell(
        session,
        row,
        state,
        actor=actor,
        now=now,
        after={"state": state, "job": job_id, "reason": reason},
    )
    return row


def keep_backtest(
    session: Session,
    *,
    tenant: str,
    proposal_id: int,
    backtest: Mapping[str, Any],
    actor: str,
    now: datetime,
) -> RetrainProposal:
    """Note how the challenger of an accepted proposal did."""
    row = get_proposal(session, tenant=tenant, proposal_id=proposal_id)
    row.backtest, row.version = dict(backtest), row.version + 1
    tell(session, row, "backtest", actor=actor, now=now, after=dict(backtest))
    return row


def retrained_since(session: Session, *, tenant: str, domain: str, since: datetime) -> int:
    """How many proposals of a domain were accepted since then."""
    query = select(func.count()).where(
        RetrainProposal.tenant == tenant,
        RetrainProposal.domain == domain,
        RetrainProposal.state == ACCEPTED,
        RetrainProposal.decided_at >= since,
    )
    return int(session.scalar(query) or 0)


def last_decided(session: Session, *, tenant: str, domain: str) -> RetrainProposal | None:
    """The newest proposal that was accepted or dismissed; None where none ever was."""
    query = select(RetrainProposal).where(
        RetrainProposal.tenant == tenant,
        RetrainProposal.domain == domain,
        RetrainProposal.state.in_((ACCEPTED, DISMISSED)),
    )
    return session.scalars(query.order_by(RetrainProposal.decided_at.desc()).limit(1)).first()
