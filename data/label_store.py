"""Labels: people's verdicts, kept as events with the values they were given on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Integer, cast, func, select
from sqlalchemy.orm import Session

from core.errors import InvalidInputError
from data.alert_store import get as get_alert
from data.audit_store import Edit
from data.incident_store import get as get_incident
from data.records import ACTIVE, Alert, AlertHistory, Incident, Label, NewLabel


@dataclass(frozen=True)
class Episode:
    """What is said of one alert: `disposition` is "" where nobody judged it or the incident it belongs to.

    cause     : the type that the label names, else the one that root-cause analysis gave its incident
    confirmed : the label names it
    """

    alert_id: int
    incident_id: int | None
    entity: str
    level: str
    onset: datetime
    last_seen: datetime
    active: bool
    disposition: str
    cause: str
    confirmed: bool

    @property
    def subject(self) -> tuple[str, int]:
        """The incident that the alert belongs to, else the alert itself: what people judge as one."""
        incident = self.incident_id
        return ("alert", self.alert_id) if incident is None else ("incident", incident)


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


def episodes(
    session: Session, *, tenant: str, domain: str, until: datetime | None = None
) -> list[Episode]:
    """Every alert of a domain, archived ones too, with the newest verdict on it, else on its incident.

    until : only verdicts given by then, as a look into the past may know no later ones
    """
    query = select(Label).where(Label.tenant == tenant, Label.withdrawn.is_(False))
    if until is not None:
        query = query.where(Label.labelled_at <= until)
    of_alert: dict[int, Label] = {}
    of_incident: dict[int, Label] = {}
    for label in session.scalars(query.order_by(Label.id)):
        if label.alert_id is not None:
            of_alert[label.alert_id] = label
        elif label.incident_id is not None:
            of_incident[label.incident_id] = label
    causes = dict(
        session.execute(
            select(Incident.id, Incident.cause_type).where(
                Incident.tenant == tenant, Incident.domain == domain
            )
        ).all()
    )
    found = []
    for table in (Alert, AlertHistory):
        columns = (table.id, table.incident_id, table.entity, table.level)
        rows = session.execute(
            select(*columns, table.onset, table.last_seen, table.status).where(
                table.tenant == tenant, table.domain == domain
            )
        )
        for number, incident, entity, level, onset, last_seen, status in rows:
            said = of_alert.get(number) or of_incident.get(incident)
            found.append(
                Episode(
                    number,
                    incident,
                    entity,
                    level,
                    onset,
                    last_seen,
                    status in ACTIVE,
                    said.disposition if said else "",
                    (said.cause if said else "") or causes.get(incident, ""),
                    bool(said and said.cause),
                )
            )
    return found


def revision(session: Session, *, tenant: str) -> str:
    """Another text whenever a label came or was taken back: what caches of labelled data are keyed by."""
    taken_back = func.sum(cast(Label.withdrawn, Integer))
    newest, withdrawn, changes = session.execute(
        select(func.max(Label.id), taken_back, func.sum(Label.version)).where(
            Label.tenant == tenant
        )
    ).one()
    return f"{newest or 0}.{withdrawn or 0}.{changes or 0}"
