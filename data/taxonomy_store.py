"""Taxonomies: what a label may say in a domain, one row a version, none ever changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import ConflictError
from data import audit_store
from data.records import Taxonomy


def versions(session: Session, *, tenant: str, domain: str) -> list[Taxonomy]:
    """Every version of a domain's taxonomy that somebody made, newest first."""
    query = select(Taxonomy).where(Taxonomy.tenant == tenant, Taxonomy.domain == domain)
    return list(session.scalars(query.order_by(Taxonomy.number.desc())))


def add(
    session: Session,
    *,
    tenant: str,
    domain: str,
    body: dict[str, Any],
    seen: int,
    actor: str,
    now: datetime,
) -> Taxonomy:
    """Put a version after number `seen`; `ConflictError` where somebody made another one meanwhile."""
    newest = next(iter(versions(session, tenant=tenant, domain=domain)), None)
    number = newest.number if newest else 0
    if newest is not None and number != seen:
        raise ConflictError.of(
            "taxonomy",
            f"the version of {domain}",
            f"{seen}, the one you saw",
            number,
            f"{newest.created_by} made number {number} on {newest.created_at:%Y-%m-%d %H:%M} UTC: "
            "look again, then decide.",
            seen=seen,
            stored=number,
            yours=body,
            theirs=newest.body,
            actor=newest.created_by,
            at=newest.created_at,
        )
    row = Taxonomy(
        tenant=tenant,
        domain=domain,
        number=number + 1,
        body=body,
        created_at=now,
        created_by=actor,
    )
    session.add(row)
    session.flush()
    audit_store.tell(
        session, row, "edit", actor=actor, now=now, after={"domain": domain, "number": row.number}
    )
    return row
