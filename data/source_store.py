"""Sources of metrics: where to fetch, by which plan, and up to where each fetch has come."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import ConflictError, NotFoundError
from data.audit_store import tell
from data.records import MetricSource


def add(session: Session, row: MetricSource, *, actor: str, now: datetime) -> MetricSource:
    """A new source; its name is its own within the domain."""
    if find(session, tenant=row.tenant, domain=row.domain, name=row.name) is not None:
        rule, cure = "new in this domain", "Remove that one first, or choose another name."
        raise ConflictError.of("sources", "the name", rule, row.name, cure)
    session.add(row)
    session.flush()
    after = {"name": row.name, "kind": row.kind, "url": row.url, "plan": row.plan}
    tell(session, row, "add source", actor=actor, now=now, after=after)
    return row


def listing(session: Session, *, tenant: str, domain: str = "") -> list[MetricSource]:
    """Every source, of one domain where it is named, by name."""
    found = select(MetricSource).where(MetricSource.tenant == tenant)  # type: ignore[arg-type]
    if domain:
        found = found.where(MetricSource.domain == domain)  # type: ignore[arg-type]
    return list(session.scalars(found.order_by(MetricSource.domain, MetricSource.name)))


def find(session: Session, *, tenant: str, domain: str, name: str) -> MetricSource | None:
    """The source of that name, or None."""
    named = [row for row in listing(session, tenant=tenant, domain=domain) if row.name == name]
    return named[0] if named else None


def get(session: Session, *, tenant: str, domain: str, name: str) -> MetricSource:
    """The source of that name; NotFoundError lists those there are."""
    row = find(session, tenant=tenant, domain=domain, name=name)
    if row is None:
        names = [one.name for one in listing(session, tenant=tenant, domain=domain)]
        rule = f"one of {', '.join(names)}" if names else "added first: headwater sources add"
        raise NotFoundError.of("sources", "the source", rule, name)
    return row


def remove(
    session: Session, *, tenant: str, domain: str, name: str, actor: str, now: datetime
) -> None:
    """Fetch no more from it; what it brought stays."""
    row = get(session, tenant=tenant, domain=domain, name=name)
    tell(session, row, "remove source", actor=actor, now=now, after={"name": name, "url": row.url})
    session.delete(row)


def move(
    session: Session,
    seen: MetricSource,
    *,
    cursor: Mapping[str, Any],
    error: str = "",
    fetched: Mapping[str, Any] | None = None,
    actor: str,
    now: datetime,
) -> MetricSource:
    """Write down how far a fetch has come, if nobody else moved it since it was `seen`.

    `fetched` tells of a span that is now stored, for the audit trail.
    """
    row = session.get(MetricSource, (seen.tenant, seen.id), with_for_update=True)
    if row is None or row.version != seen.version:
        stored = "removed" if row is None else f"version {row.version}, at {row.cursor}"
        raise ConflictError.of(
            "sources",
            seen.name,
            f"still at version {seen.version}",
            stored,
            "Somebody else fetches it right now; look again when they are done.",
        )
    row.cursor, row.error, row.version = dict(cursor), error, row.version + 1
    if fetched is not None:
        row.fetched_at = now
        tell(session, row, "fetch", actor=actor, now=now, after=fetched)
    session.flush()
    return row
