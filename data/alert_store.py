"""Alerts: found by detection, moved through their life by people, archived at its end."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import and_, delete, select
from sqlalchemy.orm import Session

from core.errors import ConflictError, InvalidInputError, NotFoundError, StoreError
from data import audit_store
from data.audit_store import Edit
from data.finding_store import Kind, Upserted, fingerprint, pause, store
from data.records import (
    ACTIVE,
    SEVERITIES,
    Alert,
    AlertFacts,
    AlertHistory,
    AlertRow,
    Comment,
    Incident,
    NewAlert,
)

FACTS = tuple(AlertFacts.model_fields)
EVERYTHING = (*FACTS, "severity_rank")
"""All that a run may say of an alert: what a look into the past leaves as it is."""
ARCHIVE_BATCH = 1000

# verb -> (the states it may start from, the state it leads to)
TRANSITIONS = {
    "acknowledge": (("open",), "acknowledged"),
    "resolve": (("open", "acknowledged"), "resolved"),
    "reopen": (("acknowledged", "resolved"), "open"),
}


def upsert(
    session: Session,
    *,
    tenant: str,
    found: Sequence[NewAlert],
    now: datetime,
    actor: str,
    keep: Collection[str] = (),
) -> Upserted:
    """Store what a run found, one alert per entity and episode, however often it runs.

    An alert of the same entity whose [onset, last_seen] overlaps or lies within its domain's pause is the same
    alert: an active one takes the new facts and keeps its number and status, a resolved one stays as it is. What is
    foretold of an entity is another alert than what is seen of it, and the time first foretold stands.

    keep : facts that an active alert keeps, because the run was not asked for them or looked at the past
    """
    episodes = _episodes(session, tenant, found)

    def make(item: NewAlert) -> Alert:
        alert = _new_alert(tenant, item, now, actor)
        episodes.setdefault(_subject(item), []).append(alert)
        return alert

    kind = Kind(
        "alerts",
        verb="detect",
        known=lambda place: _same_episode(episodes.get(_subject(found[place]), ()), found[place]),
        make=make,
        newer=lambda alert, item: _newer_facts(alert, item, keep) if alert.status in ACTIVE else {},
    )
    return store(session, kind, tenant=tenant, found=found, now=now, actor=actor)


def get(session: Session, *, tenant: str, alert_id: int) -> Alert | AlertHistory:
    """The alert, from history when it was archived; `NotFoundError` when the tenant has none."""
    for row in (Alert, AlertHistory):
        alert = session.get(row, (tenant, alert_id))
        if alert is not None:
            return alert
    raise NotFoundError.of("alerts", "the alert", "one of this tenant's", alert_id)


def move(
    session: Session,
    *,
    verb: str,
    tenant: str,
    alert_id: int,
    actor: str,
    now: datetime,
    expected_version: int | None = None,
    note: str = "",
) -> Alert:
    """Acknowledge, resolve or reopen the alert, with a note if there is one. Done before: no change.

    Raises `ConflictError` when it stands where the verb can't start from, or changed since `expected_version`.
    """
    alert = _locked(session, verb, tenant, alert_id, expected_version)
    edit = Edit(session, actor=actor, now=now)
    moved = transition(edit, alert, verb)
    if note.strip():
        add_comment(edit, tenant, "alert", alert_id, note)
    if moved or note.strip():
        edit.record(tenant=tenant, verb=verb, object_kind="alert", object_id=alert_id)
    return alert


acknowledge = partial(move, verb="acknowledge")
resolve = partial(move, verb="resolve")
reopen = partial(move, verb="reopen")


def mute(
    session: Session,
    *,
    tenant: str,
    alert_id: int,
    incident_id: int | None,
    actor: str,
    now: datetime,
    expected_version: int | None = None,
) -> Alert:
    """Let an incident speak for the alert; None lets it speak for itself again."""
    if incident_id is not None and session.get(Incident, (tenant, incident_id)) is None:
        raise NotFoundError.of("mute", "the incident", "one of this tenant's", incident_id)
    verb = "unmute" if incident_id is None else "mute"
    alert = _locked(session, verb, tenant, alert_id, expected_version)
    if alert.muted_by != incident_id:
        edit = Edit(session, actor=actor, now=now)
        edit.change(alert, muted_by=incident_id)
        edit.record(tenant=tenant, verb=verb, object_kind="alert", object_id=alert_id)
    return alert


unmute = partial(mute, incident_id=None)


def comment(
    session: Session, *, tenant: str, alert_id: int, actor: str, now: datetime, body: str
) -> Comment:
    """Say something about the alert, archived or not."""
    get(session, tenant=tenant, alert_id=alert_id)
    edit = Edit(session, actor=actor, now=now)
    said = add_comment(edit, tenant, "alert", alert_id, body)
    edit.record(tenant=tenant, verb="comment", object_kind="alert", object_id=alert_id)
    return said


def comments(
    session: Session, *, tenant: str, object_kind: str, object_id: object
) -> list[Comment]:
    """What was said about a record and not withdrawn, oldest first."""
    query = select(Comment).where(
        Comment.tenant == tenant,
        Comment.object_kind == object_kind,
        Comment.object_id == str(object_id),
        Comment.withdrawn.is_(False),
    )
    return list(session.scalars(query.order_by(Comment.id)))


def archive(
    session: Session,
    *,
    tenant: str,
    now: datetime,
    days: int = 90,
    actor: str = "scheduler",
) -> int:
    """Move alerts resolved more than `days` ago to history; return how many.

    One transaction: either all of them moved or none. Labels, comments and the audit trail stay.
    """
    due = and_(
        Alert.tenant == tenant,
        Alert.status == "resolved",
        Alert.resolved_at < now - timedelta(days=days),
    )
    numbers = list(session.scalars(select(Alert.id).where(due)))
    moved = 0
    for start in range(0, len(numbers), ARCHIVE_BATCH):
        some = numbers[start : start + ARCHIVE_BATCH]
        rows = session.scalars(select(Alert).where(Alert.id.in_(some))).all()
        session.add_all(_archived(row, now) for row in rows)
        session.flush()
        session.expunge_all()
        gone = session.execute(
            delete(Alert).where(Alert.id.in_(some)),
            execution_options={"synchronize_session": False},
        )
        if not len(some) == len(rows) == gone.rowcount:
            raise StoreError.of(
                "archive", "the alerts deleted", f"the {len(some)} copied", gone.rowcount
            )
        moved += len(some)
    if moved:
        audit_store.record(
            session,
            tenant=tenant,
            actor=actor,
            now=now,
            verb="archive",
            object_kind="alerts",
            object_id=f"{numbers[0]}-{numbers[-1]}",
            after={"moved": moved},
        )
    return moved


def transition(edit: Edit, row: Alert | Incident, verb: str) -> bool:
    """Move an alert or incident along; False when it is there already, `ConflictError` when it can't go."""
    sources, target = TRANSITIONS[verb]
    if row.status == target:
        return False
    if row.status not in sources:
        raise ConflictError.of(
            verb,
            f"the status of {row.__tablename__} {row.id}",
            " or ".join(sources),
            row.status,
            f"{row.updated_by} made it {row.status} on {row.updated_at:%Y-%m-%d %H:%M} UTC: reopen it first.",
            status=row.status,
            actor=row.updated_by,
            at=row.updated_at,
        )
    stamps: dict[str, Any] = {
        "acknowledge": {"acknowledged_at": edit.now, "acknowledged_by": edit.actor},
        "resolve": {"resolved_at": edit.now, "resolved_by": edit.actor},
        "reopen": dict.fromkeys(
            ("acknowledged_at", "acknowledged_by", "resolved_at", "resolved_by")
        ),
    }[verb]
    edit.change(row, status=target, **stamps)
    return True


def add_comment(edit: Edit, tenant: str, kind: str, number: object, body: str) -> Comment:
    """A comment as part of an edit; an empty one is refused."""
    if not body.strip():
        raise InvalidInputError.of("comment", "the text", "something to read", body)
    said = Comment(
        tenant=tenant,
        object_kind=kind,
        object_id=str(number),
        author=edit.actor,
        at=edit.now,
        body=body.strip(),
    )
    edit.add(said)
    return said


def _episodes(
    session: Session, tenant: str, found: Sequence[NewAlert]
) -> dict[tuple[str, str, bool], list[Alert]]:
    """The alerts that anything found could belong to, by subject: one query for all."""
    if not found:
        return {}
    earliest = min(item.onset - pause(item.domain) for item in found)
    query = select(Alert).where(
        Alert.tenant == tenant,
        Alert.domain.in_({item.domain for item in found}),
        Alert.last_seen >= earliest,
    )
    episodes: dict[tuple[str, str, bool], list[Alert]] = {}
    for alert in session.scalars(query.order_by(Alert.last_seen).with_for_update()):
        episodes.setdefault(_subject(alert), []).append(alert)
    return episodes


def _subject(item: AlertFacts) -> tuple[str, str, bool]:
    """What an alert is about, and whether it foretells or tells it."""
    return (item.domain, item.entity, _foretold(item))


def _foretold(item: AlertFacts) -> bool:
    return item.predicted_for is not None


def _same_episode(alerts: Sequence[Alert], item: NewAlert) -> Alert | None:
    """The active one of those near in time, else the latest resolved one."""
    apart = pause(item.domain)
    near = [
        alert
        for alert in alerts
        if alert.onset - apart <= item.last_seen and item.onset <= alert.last_seen + apart
    ]
    return max(near, key=lambda alert: (alert.status in ACTIVE, alert.last_seen), default=None)


def _new_alert(tenant: str, item: NewAlert, now: datetime, actor: str) -> Alert:
    return Alert(
        **{name: getattr(item, name) for name in FACTS},
        tenant=tenant,
        fingerprint=fingerprint(
            tenant,
            item.domain,
            item.entity,
            item.onset,
            *(("foretold",) if _foretold(item) else ()),
        ),
        severity_rank=SEVERITIES.index(item.severity),
        created_at=now,
        updated_at=now,
        updated_by=actor,
    )


def _newer_facts(alert: Alert, item: NewAlert, keep: Collection[str]) -> dict[str, Any]:
    """The facts as now found, but for those to keep; the episode only ever grows, so that it stays one episode."""
    facts = {name: getattr(item, name) for name in FACTS} | {
        "onset": min(alert.onset, item.onset),
        "last_seen": max(alert.last_seen, item.last_seen),
        "severity_rank": SEVERITIES.index(item.severity),
    }
    first = ("predicted_for", "lead_minutes") if _foretold(alert) else ()
    return {name: value for name, value in facts.items() if name not in (*keep, *first)}


def _locked(session: Session, who: str, tenant: str, alert_id: int, expected: int | None) -> Alert:
    alert = session.get(Alert, (tenant, alert_id), with_for_update=True)
    if alert is None:
        raise NotFoundError.of(
            who, "the alert", "a live one of this tenant's", alert_id, "It may have been archived."
        )
    audit_store.check_version(who, alert, expected)
    return alert


def _archived(alert: Alert, now: datetime) -> AlertHistory:
    resolved = alert.resolved_at
    if resolved is None:
        raise StoreError.of("archive", f"alert {alert.id}", "stamped with its resolution", None)
    return AlertHistory(
        **{name: getattr(alert, name) for name in AlertRow.model_fields},
        resolution_minutes=(resolved - alert.created_at).total_seconds() / 60,
        archived_at=now,
    )
