"""Labels: people's verdicts, kept as events with the values they were given on."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import InvalidInputError
from data.alert_store import get as get_alert
from data.audit_store import Edit
from data.incident_store import get as get_incident
from data.records import Label, NewLabel


def add(session: Session, *, tenant: str, label: NewLabel, actor: str, now: datetime) -> Label:
    """Store one verdict on an alert or an incident; a second one stands beside the first, undo withdraws it."""
    if label.alert_id is not None:
        get_alert(session, tenant=tenant, alert_id=label.alert_id)
    if label.incident_id is not None:
        get_incident(session, tenant=tenant, incident_id=label.incident_id)
    if label.alert_id is None and label.incident_id is None:
        raise InvalidInputError.of("label", "the object", "an alert or an incident", None)
    edit = Edit(session, actor=actor, now=now)
    row = Label(**label.model_dump(), tenant=tenant, labelled_by=actor, labelled_at=now)
    edit.add(row)
    kind, number = (
        ("alert", label.alert_id) if label.alert_id is not None else ("incident", label.incident_id)
    )
    edit.record(tenant=tenant, verb="label", object_kind=kind, object_id=number)
    return row


def current(
    session: Session,
    *,
    tenant: str,
    alert_id: int | None = None,
    incident_id: int | None = None,
    entity: str = "",
) -> list[Label]:
    """The verdicts that stand, newest first: of one alert, incident or entity, or all."""
    query = select(Label).where(Label.tenant == tenant, Label.withdrawn.is_(False))
    for column, value in (
        (Label.alert_id, alert_id),
        (Label.incident_id, incident_id),
        (Label.entity, entity or None),
    ):
        if value is not None:
            query = query.where(column == value)
    return list(session.scalars(query.order_by(Label.id.desc())))
