"""Components that somebody missed in the graph: open → accepted | dismissed, or withdrawn with their label.

What somebody decided stands whatever becomes of the label: it is theirs to take back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.errors import ConflictError, NotFoundError
from data.audit_store import Edit
from data.records import Label, NodeProposal

OPEN, ACCEPTED, DISMISSED, WITHDRAWN = "open", "accepted", "dismissed", "withdrawn"
DECISIONS: Mapping[str, Sequence[str]] = {ACCEPTED: (OPEN,), DISMISSED: (OPEN, ACCEPTED)}
"""A decision → the states that it may follow: a node that was taken in can be taken away again."""


def waiting(
    session: Session, *, tenant: str, domain: str = "", name: str = ""
) -> list[NodeProposal]:
    """The open proposals of a domain and of a name where they are given, oldest first."""
    return _of(session, tenant, OPEN, domain, name)


def accepted(session: Session, *, tenant: str, domain: str = "") -> list[NodeProposal]:
    """The proposals that became nodes, of a domain where one is given, oldest first."""
    return _of(session, tenant, ACCEPTED, domain)


def revision(session: Session, *, tenant: str) -> str:
    """Another text whenever a proposal becomes a node or ends being one: what caches of graphs are keyed by."""
    query = select(func.count(NodeProposal.id), func.sum(NodeProposal.version)).where(
        NodeProposal.tenant == tenant, NodeProposal.decided_at.is_not(None)
    )
    many, changes = session.execute(query).one()
    return f"{many}.{changes or 0}"


def decide(
    session: Session, *, tenant: str, proposal_id: int, state: str, actor: str, now: datetime
) -> NodeProposal:
    """Accept or dismiss a proposal; `ConflictError` where somebody decided before, with what they said."""
    row = session.get(NodeProposal, (tenant, proposal_id), with_for_update=True)
    if row is None:
        raise NotFoundError.of("graph", "the proposal", "one of this tenant's", proposal_id)
    if row.state not in DECISIONS[state]:
        hint = f"{row.decided_by or row.proposed_by} made it {row.state}."
        rule = " or ".join(DECISIONS[state])
        raise ConflictError.of("graph", f"proposal {proposal_id}", rule, row.state, hint)
    edit = Edit(session, actor=actor, now=now)
    edit.change(row, state=state, decided_by=actor, decided_at=now)
    edit.record(tenant=tenant, verb=state, object_kind="node_proposal", object_id=row.id)
    return row


def follow(session: Session, label: Label) -> None:
    """Open what the label proposed while it stands, withdraw it with the label; what was decided stays."""
    query = select(NodeProposal).where(
        NodeProposal.tenant == label.tenant,
        NodeProposal.label_id == label.id,
        NodeProposal.state == (OPEN if label.withdrawn else WITHDRAWN),
    )
    for row in session.scalars(query.with_for_update()):
        row.state = WITHDRAWN if label.withdrawn else OPEN
        row.version += 1


def _of(
    session: Session, tenant: str, state: str, domain: str = "", name: str = ""
) -> list[NodeProposal]:
    query = select(NodeProposal).where(NodeProposal.tenant == tenant, NodeProposal.state == state)
    for column, value in ((NodeProposal.domain, domain), (NodeProposal.name, name)):
        if value:
            query = query.where(column == value)
    return list(session.scalars(query.order_by(NodeProposal.id)))
