"""Change events: what was done to the system and when, told once however often it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from data.audit_store import Edit
from data.columns import plain
from data.finding_store import Upserted
from data.record_store import in_parts
from data.records import ChangeEvent

FACTS = ("domain", "kind", "at", "ended_at", "entity", "title", "detail")


def add(
    session: Session,
    *,
    tenant: str,
    found: Sequence[ChangeEvent],
    actor: str,
    now: datetime,
) -> Upserted:
    """Store change events by their source and key, new facts on known ones; one undo takes all of it back."""
    latest = {(event.source, event.external_key): event for event in found}
    known = _known(session, tenant, list(latest))
    edit = Edit(session, actor=actor, now=now)
    tally: Counter[str] = Counter()
    fresh: list[ChangeEvent] = []
    for key, event in latest.items():
        row = known.setdefault(key, event)
        if row is event:
            event.tenant, event.actor = tenant, actor
            fresh.append(event)
            tally["created"] += 1
            continue
        told = {name: getattr(event, name) for name in FACTS} | {"withdrawn": False}
        changed = {
            name: value for name, value in told.items() if plain(getattr(row, name)) != plain(value)
        }
        if changed:
            edit.change(row, **changed)
        tally["updated" if changed else "unchanged"] += 1
    edit.create(fresh, withdrawn=True)
    rows = tuple(known[event.source, event.external_key] for event in found)
    ids = tuple(row.id for row in rows)
    if edit.after:
        named = str(ids[0]) if len(latest) == 1 else f"{min(ids)}-{max(ids)}"
        edit.record(tenant=tenant, verb="record", object_kind="change_event", object_id=named)
    return Upserted(tally["created"], tally["updated"], tally["unchanged"], ids, rows)


def between(
    session: Session,
    *,
    tenant: str,
    domain: str,
    start: datetime,
    end: datetime,
    entities: Collection[str] | None = None,
    limit: int = 200,
) -> list[ChangeEvent]:
    """Change events under way in [start, end], the latest `limit` of them, earliest first.

    entities : only those of one of these, and those of no entity in particular; all where None
    """
    query = select(ChangeEvent).where(
        ChangeEvent.tenant == tenant,
        ChangeEvent.domain == domain,
        ChangeEvent.withdrawn.is_(False),
        ChangeEvent.at <= end,
        or_(ChangeEvent.at >= start, ChangeEvent.ended_at >= start),
    )
    if entities is not None:
        query = query.where(ChangeEvent.entity.in_(["", *entities]))
    query = query.order_by(ChangeEvent.at.desc(), ChangeEvent.id.desc()).limit(limit)
    return list(session.scalars(query))[::-1]


def _known(
    session: Session, tenant: str, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Any]:
    found: dict[tuple[str, str], Any] = {}
    for part in in_parts(keys):
        some = {key for _, key in part}
        query = select(ChangeEvent).where(
            ChangeEvent.tenant == tenant, ChangeEvent.external_key.in_(some)
        )
        rows = session.scalars(query.with_for_update())
        found |= {
            (row.source, row.external_key): row
            for row in rows
            if (row.source, row.external_key) in set(keys)
        }
    return found
