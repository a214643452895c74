"""Preferences: what a tenant has chosen, by name, with who chose it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from core.errors import ConflictError
from data.audit_store import record
from data.records import Preference


def get(session: Session, *, tenant: str, name: str) -> Preference | None:
    """The preference as it stands, or None where nobody chose."""
    return session.get(Preference, (tenant, name))


def put(
    session: Session,
    *,
    tenant: str,
    name: str,
    value: Mapping[str, Any],
    seen: int,
    actor: str,
    now: datetime,
) -> Preference:
    """Choose, if nobody else did since version `seen` (0: nobody ever); ConflictError names both."""
    row = session.get(Preference, (tenant, name), with_for_update=True)
    stored = row.version if row else 0
    if stored != seen:
        raise ConflictError.of(
            "preferences",
            f"the preference {name}",
            f"still at version {seen}, the one you saw",
            f"version {stored}, {row.value} by {row.updated_by}" if row else "none",
            "Look at the current one, then decide.",
        )
    before = None if row is None else row.value
    if row is None:
        row = Preference(tenant=tenant, name=name, updated_at=now, version=0)
        session.add(row)
    row.value, row.version = dict(value), stored + 1
    row.updated_at, row.updated_by = now, actor
    record(
        session,
        tenant=tenant,
        actor=actor,
        now=now,
        verb="choose",
        object_kind="preference",
        object_id=name,
        after={"value": dict(value), "previous": before},
    )
    return row
