"""Receipts: what was taken in from outside, by its key, so that the same once more changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from data.record_store import in_parts
from data.records import IncidentFacts, Receipt

TOLD = "incident"
"""The source of the receipts that hold what was told last of an incident."""
CORRECTED = "correction"
"""The source of those that hold what people said instead of what Headwater found, by the incident's number."""


def get(session: Session, *, tenant: str, source: str, key: str) -> Receipt | None:
    """The receipt of a delivery, None where it never came."""
    return session.get(Receipt, (tenant, source, key))


def under(session: Session, *, tenant: str, source: str, prefix: str) -> list[Receipt]:
    """Every receipt of the source whose key begins so, by key."""
    query = select(Receipt).where(
        Receipt.tenant == tenant,
        Receipt.source == source,
        Receipt.key.startswith(prefix, autoescape=True),
    )
    return list(session.scalars(query.order_by(Receipt.key)))


def outcomes(
    session: Session, *, tenant: str, source: str, keys: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """What was kept under each of these keys; those that never came are left out."""
    return {row.key: row.outcome for row in _rows(session, tenant, source, keys)}


def told(session: Session, tenant: str, incident: IncidentFacts) -> dict[str, Any]:
    """What was told last of an incident, by column; nothing where nobody told of it."""
    row = get(session, tenant=tenant, source=TOLD, key=told_key(incident))
    return {} if row is None else row.outcome


def told_key(incident: IncidentFacts) -> str:
    """What an incident is called by whom, in one text."""
    return f"{incident.source}/{incident.external_key}"


def keep(
    session: Session,
    *,
    tenant: str,
    source: str,
    outcomes: Mapping[str, Mapping[str, Any]],
    now: datetime,
) -> None:
    """Keep an outcome under each key; one that is there already is rewritten."""
    known = {row.key: row for row in _rows(session, tenant, source, list(outcomes))}
    for key, outcome in outcomes.items():
        row = known.get(key)
        if row is None:
            row = Receipt(tenant=tenant, source=source, key=key, at=now)
            session.add(row)
        row.at, row.outcome = now, dict(outcome)
    session.flush()


def _rows(session: Session, tenant: str, source: str, keys: Sequence[str]) -> Iterator[Receipt]:
    for some in in_parts(keys):
        query = select(Receipt).where(
            Receipt.tenant == tenant, Receipt.source == source, Receipt.key.in_(some)
        )
        yield from session.scalars(query)
