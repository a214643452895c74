"""The audit trail: who did what when, chained by hash, and undone from what it wrote down."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.orm import Session

from core.errors import ConflictError, NotFoundError
from data.columns import UtcDateTime, canonical, plain
from data.record_store import next_numbers
from data.records import AuditEvent
from data.tables import TABLES

GENESIS = "0" * 64
UNDO_DEPTH = 500  # how many events back the last undoable one is looked for


class Edit:
    """Changes to rows under one verb, remembered as they are made so that one undo reverts them all.

    `before` and `after` hold `{"alert/12": {"status": "open"}}`: the table, the number, the fields changed.
    """

    def __init__(self, session: Session, *, actor: str, now: datetime) -> None:
        self.session = session
        self.actor = actor
        self.now = now
        self.before: dict[str, dict[str, Any]] = {}
        self.after: dict[str, dict[str, Any]] = {}

    def change(self, row: Any, **values: Any) -> None:
        """Set fields of a row, and raise its `version` and stamp it where it has such columns."""
        key = f"{row.__tablename__}/{row.id}"
        old = {field: plain(getattr(row, field)) for field in values}
        self.before[key] = old | self.before.get(key, {})
        self.after[key] = self.after.get(key, {}) | plain(values)
        _assign(row, values, actor=self.actor, now=self.now)

    def add(self, row: Any) -> None:
        """Add a row that an undo withdraws and never deletes."""
        self.create([row], withdrawn=True)

    def create(self, rows: Sequence[Any], **hidden: Any) -> None:
        """Add rows; an undo never deletes them, it gives them the values that hide them."""
        self.session.add_all(rows)
        self.session.flush()
        for row in rows:
            key = f"{row.__tablename__}/{row.id}"
            self.before[key] = dict(hidden)
            self.after[key] = {field: plain(getattr(row, field)) for field in hidden}

    def record(self, *, tenant: str, verb: str, object_kind: str, object_id: object) -> AuditEvent:
        """Write the event that tells of these changes."""
        return record(
            self.session,
            tenant=tenant,
            actor=self.actor,
            now=self.now,
            verb=verb,
            object_kind=object_kind,
            object_id=object_id,
            before=self.before,
            after=self.after,
        )


def record(
    session: Session,
    *,
    tenant: str,
    actor: str,
    now: datetime,
    verb: str,
    object_kind: str,
    object_id: object,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    undo_of: int | None = None,
) -> AuditEvent:
    """Append one event to the tenant's chain. Without `before` it tells, and can't be undone."""
    session.flush()
    last = select(AuditEvent.hash).order_by(AuditEvent.id.desc()).limit(1)
    event = AuditEvent(
        tenant=tenant,
        id=next_numbers(session.connection(), tenant, "audit_event", 1)[
            0
        ],  # hashed, so drawn first
        at=now,
        actor=actor,
        verb=verb,
        object_kind=object_kind,
        object_id=str(object_id),
        before=plain(before),
        after=plain(after),
        undo_of=undo_of,
        previous_hash=session.scalar(last) or GENESIS,
    )
    event.hash = _digest(event)
    session.add(event)
    session.flush()
    return event


def tell(
    session: Session, row: Any, verb: str, *, actor: str, now: datetime, after: Mapping[str, Any]
) -> AuditEvent:
    """Append what was done to a row, under its table's name and its id; it can't be undone."""
    return record(
        session,
        tenant=row.tenant,
        actor=actor,
        now=now,
        verb=verb,
        object_kind=row.__tablename__,
        object_id=row.id,
        after=dict(after),
    )


def undo(
    session: Session,
    *,
    tenant: str,
    actor: str,
    now: datetime,
    audit_id: int | None = None,
    following: Collection[str] = (),
) -> AuditEvent:
    """Revert an event, or the actor's last one still in effect; the undo is an event that can be undone (redo).

    following : tables whose rows follow from the others that an event wrote; the caller lets them

    Raises `NotFoundError` when there is nothing to undo and `ConflictError`, naming both values, when somebody
    changed one of the fields since.
    """
    target = _undoable(session, tenant, actor, audit_id)
    after, before = (_leading(rows or {}, following) for rows in (target.after, target.before))
    for key, written in after.items():
        table, number = key.split("/", 1)
        row = session.get(TABLES[table], (tenant, int(number)), with_for_update=True)
        if row is None:
            raise NotFoundError.of(
                "undo", key, "still there", None, "It was moved to history; history is not changed."
            )
        current = {field: plain(getattr(row, field)) for field in written}
        if current != written:
            raise ConflictError.of(
                "undo",
                key,
                f"as {target.actor} left it on {target.at:%Y-%m-%d %H:%M} UTC, {written}",
                current,
                f"{getattr(row, 'updated_by', 'Somebody')} changed it since: undo that first.",
            )
        values = {field: _typed(row, field, old) for field, old in before[key].items()}
        _assign(row, values, actor=actor, now=now)
    return record(
        session,
        tenant=tenant,
        actor=actor,
        now=now,
        verb="undo",
        object_kind=target.object_kind,
        object_id=target.object_id,
        before=after,
        after=before,
        undo_of=target.id,
    )


def history(
    session: Session, *, tenant: str, objects: Sequence[tuple[str, object]] = (), limit: int = 100
) -> list[AuditEvent]:
    """Events on the given (kind, id) objects, or on all, newest first."""
    query = select(AuditEvent).where(AuditEvent.tenant == tenant)
    if objects:
        about = [
            and_(AuditEvent.object_kind == kind, AuditEvent.object_id == str(number))
            for kind, number in objects
        ]
        query = query.where(or_(*about))
    return list(session.scalars(query.order_by(AuditEvent.id.desc()).limit(limit)))


def verify(session: Session, *, tenant: str) -> int | None:
    """The number of the first event that was changed, or whose predecessor is gone; None when all hold."""
    previous = GENESIS
    query = select(AuditEvent).where(AuditEvent.tenant == tenant).order_by(AuditEvent.id)
    with closing(session.scalars(query.execution_options(yield_per=1000))) as events:
        for event in events:
            if event.previous_hash != previous or event.hash != _digest(event):
                return event.id
            previous = event.hash
    return None


def check_version(who: str, row: Any, expected: int | None) -> None:
    """Raise `ConflictError` when the caller saw another version of the row than the stored one."""
    if expected is not None and row.version != expected:
        raise ConflictError.of(
            who,
            f"the version of {row.__tablename__} {row.id}",
            f"{expected}, the one you saw",
            row.version,
            f"{row.updated_by} made it {row.status} on {row.updated_at:%Y-%m-%d %H:%M} UTC: "
            "look again, then decide.",
            seen=expected,
            stored=row.version,
            status=row.status,
            actor=row.updated_by,
            at=row.updated_at,
        )


def standing(
    session: Session, *, tenant: str, actor: str, verbs: Collection[str] = ()
) -> Iterator[AuditEvent]:
    """The actor's events that can be undone and still stand, newest first; of these `verbs` where any are given."""
    query = select(AuditEvent).where(
        AuditEvent.tenant == tenant,
        AuditEvent.before.is_not(None),
        or_(AuditEvent.actor == actor, AuditEvent.undo_of.is_not(None)),
    )
    for event, in_effect in _newest_first(session, query.limit(UNDO_DEPTH)):
        asked = not verbs or event.verb in verbs
        if asked and in_effect and event.actor == actor and event.undo_of is None:
            yield event


def _leading(rows: Mapping[str, Any], following: Collection[str]) -> dict[str, Any]:
    """The rows of an event without those that follow from the others; all of them where there are no others."""
    leading = {key: row for key, row in rows.items() if key.split("/", 1)[0] not in following}
    return leading or dict(rows)


def _undoable(session: Session, tenant: str, actor: str, audit_id: int | None) -> AuditEvent:
    """The event to undo: the one named, or the actor's last."""
    if audit_id is None:
        for event in standing(session, tenant=tenant, actor=actor):
            return event
        raise NotFoundError(f"Nothing to undo: {actor} changed nothing that still stands.")
    query = select(AuditEvent).where(
        AuditEvent.before.is_not(None),
        or_(AuditEvent.undo_of.is_not(None), AuditEvent.id == audit_id),
        AuditEvent.id >= audit_id,
    )
    for event, in_effect in _newest_first(session, query):
        if event.id == audit_id and in_effect:
            return event
        if event.id == audit_id:
            raise ConflictError.of(
                "undo", "the event", "still in effect", audit_id, "Undo its undo."
            )
    raise NotFoundError.of("undo", "the event", "one that can be undone", audit_id)


def _newest_first(session: Session, query: Select[Any]) -> Iterator[tuple[AuditEvent, bool]]:
    """Each event and whether it is in effect; newest first, since only a later undo cancels an earlier event."""
    cancelled: set[int | None] = set()
    for event in session.scalars(query.order_by(AuditEvent.id.desc())):
        yield event, event.id not in cancelled
        if event.id not in cancelled:
            cancelled.add(event.undo_of)


def _assign(row: Any, values: dict[str, Any], *, actor: str, now: datetime) -> None:
    for field, value in values.items():
        setattr(row, field, value)
    if hasattr(row, "version"):
        row.version += 1
    if hasattr(row, "updated_at"):
        row.updated_at = now
        row.updated_by = actor


def _typed(row: Any, field: str, value: Any) -> Any:
    """A value from an event's JSON as the column holds it."""
    is_moment = isinstance(row.__table__.c[field].type, UtcDateTime)
    return datetime.fromisoformat(value) if is_moment and value is not None else value


def _digest(event: AuditEvent) -> str:
    row = event.model_dump(exclude={"hash"})
    return hashlib.sha256((event.previous_hash + canonical(row)).encode()).hexdigest()
