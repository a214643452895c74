"""What may be asked of people who label: incidents and lone alerts, what was said of them, and what waits in the queue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from data import audit_store
from data.records import ACTIVE, STATUSES, Alert, AlertHistory, Incident, Label, LabelItem

ALERT, INCIDENT = "alert", "incident"
Subject = tuple[str, int]
"""The kind and number of what is judged."""


def incidents(session: Session, *, tenant: str, domain: str, most: int) -> list[Incident]:
    """The latest incidents of a domain, whoever told of them and whatever became of them."""
    query = select(Incident).where(
        Incident.tenant == tenant, Incident.domain == domain, Incident.status.in_(STATUSES)
    )
    return list(session.scalars(query.order_by(Incident.onset.desc(), Incident.id).limit(most)))


def lone_alerts(session: Session, *, tenant: str, domain: str, most: int) -> list[Alert]:
    """The latest alerts under no incident: active, or judged already."""
    judged = select(Label.alert_id).where(Label.tenant == tenant, Label.withdrawn.is_(False))
    query = select(Alert).where(
        Alert.tenant == tenant,
        Alert.domain == domain,
        Alert.incident_id.is_(None),
        or_(Alert.status.in_(ACTIVE), Alert.id.in_(judged)),
    )
    return list(session.scalars(query.order_by(Alert.onset.desc(), Alert.id).limit(most)))


def alerts_under(session: Session, *, tenant: str, domain: str, since: datetime) -> list[Alert]:
    """The alerts of incidents, worst first, of those last seen since then."""
    query = select(Alert).where(
        Alert.tenant == tenant,
        Alert.domain == domain,
        Alert.last_seen >= since,
        Alert.incident_id.is_not(None),
    )
    return list(session.scalars(query.order_by(Alert.severity_rank.desc(), Alert.id)))


def verdicts(session: Session, *, tenant: str, domain: str) -> dict[Subject, list[Label]]:
    """The labels that stand, in the order given, by what they judge."""
    found: dict[Subject, list[Label]] = {}
    for kind, column, tables in (
        (ALERT, Label.alert_id, (Alert, AlertHistory)),
        (INCIDENT, Label.incident_id, (Incident,)),
    ):
        numbers = [
            select(table.id).where(table.tenant == tenant, table.domain == domain)
            for table in tables
        ]
        query = select(Label).where(
            Label.tenant == tenant,
            Label.withdrawn.is_(False),
            or_(*(column.in_(ids) for ids in numbers)),
        )
        for label in session.scalars(query.order_by(Label.id)):
            found.setdefault((kind, getattr(label, column.key)), []).append(label)
    return found


def items(
    session: Session, *, tenant: str, domain: str, states: Sequence[str] = ()
) -> list[LabelItem]:
    """The queue's items of a domain, in the order in which they are asked; of some states only."""
    query = select(LabelItem).where(LabelItem.tenant == tenant, LabelItem.domain == domain)
    if states:
        query = query.where(LabelItem.state.in_(states))
    return list(session.scalars(query.order_by(LabelItem.priority.desc(), LabelItem.id)))


def enqueue(
    session: Session,
    *,
    tenant: str,
    domain: str,
    new: Iterable[LabelItem],
    actor: str,
    now: datetime,
) -> list[LabelItem]:
    """Put items into the queue, but no second open one of a subject: another fill may have been quicker."""
    waiting = items(session, tenant=tenant, domain=domain)
    held = {(item.subject_kind, item.subject_id, item.round) for item in waiting}
    asked = {(item.subject_kind, item.subject_id) for item in waiting if item.state == "open"}
    added = [
        item
        for item in new
        if (item.subject_kind, item.subject_id) not in asked
        and (item.subject_kind, item.subject_id, item.round) not in held
    ]
    session.add_all(added)
    session.flush()
    if added:
        counts: dict[str, int] = {}
        for item in added:
            counts[item.slice] = counts.get(item.slice, 0) + 1
        audit_store.record(
            session,
            tenant=tenant,
            actor=actor,
            now=now,
            verb="queue",
            object_kind="labels",
            object_id=domain,
            after=counts,
        )
    return added
