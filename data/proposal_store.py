"""Components that somebody missed in the graph: open → accepted | dismissed, or withdrawn with their label."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import ConflictError, NotFoundError
from data import audit_store
from data.records import NodeProposal

DECISIONS = ("accepted", "dismissed")


def waiting(
    session: Session, *, tenant: str, domain: str = "", name: str = ""
) -> list[NodeProposal]:
    """The open proposals of a domain and of a name where they are given, oldest first."""
    query = select(NodeProposal).where(NodeProposal.tenant == tenant, NodeProposal.state == "open")
    for column, value in ((NodeProposal.domain, domain), (NodeProposal.name, name)):
        if value:
            query = query.where(column == value)
    return list(session.scalars(query.order_by(NodeProposal.id)))


def decide(
    session: Session, *, tenant: str, proposal_id: int, state: str, actor: str, now: datetime
) -> NodeProposal:
    """Accept or dismiss an open proposal; `ConflictError` where somebody did before, with what they said."""
    row = session.get(NodeProposal, (tenant, proposal_id), with_for_update=True)
    if row is None:
        raise NotFoundError.of("graph", "the proposal", "one of this tenant's", proposal_id)
    if row.state != "open":
        hint = f"{row.decided_by or row.proposed_by} made it {row.state}."
        raise ConflictError.of("graph", f"proposal {proposal_id}", "open", row.state, hint)
    row.state, row.decided_by, row.decided_at = state, actor, now
    row.version += 1
    audit_store.tell(session, row, state, actor=actor, now=now, after={"name": row.name})
    return row
