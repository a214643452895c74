"""Labels: people's verdicts, kept as events with the values they were given on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Integer, cast, func, select
from sqlalchemy.orm import Session

from core.errors import InvalidInputError, NotFoundError, StoreError
from data import audit_store, proposal_store
from data.alert_store import get as get_alert
from data.audit_store import Edit
from data.columns import TenantRow
from data.incident_store import get as get_incident
from data.records import (
    ACTIVE,
    Alert,
    AlertHistory,
    AuditEvent,
    Incident,
    Label,
    LabelItem,
    NewLabel,
    NodeProposal,
)

Row = TypeVar("Row", bound=TenantRow)
UNDECIDED = "unsure"
"""The disposition that says nothing of its subject."""
FOLLOWING = ("node_proposal",)
"""What follows from a label, though labels given before it was left to that wrote it into their events."""


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


def add(
    session: Session,
    *,
    tenant: str,
    label: NewLabel,
    actor: str,
    now: datetime,
    replaces: Sequence[Label] = (),
    proposal: NodeProposal | None = None,
) -> Label:
    """Store one verdict on an alert or an incident, as an event that one undo takes back.

    It stands beside what others said; `replaces` are the actor's own earlier ones, which it withdraws, and
    `proposal` is the component that the actor missed in the graph. The incident, the queue and what is proposed follow
    at once.
    """
    if label.alert_id is not None:
        get_alert(session, tenant=tenant, alert_id=label.alert_id)
    if label.incident_id is not None:
        get_incident(session, tenant=tenant, incident_id=label.incident_id)
    if label.alert_id is None and label.incident_id is None:
        raise InvalidInputError.of("label", "the object", "an alert or an incident", None)
    edit = Edit(session, actor=actor, now=now)
    for earlier in replaces:
        edit.change(earlier, withdrawn=True)
    row = Label(**label.model_dump(), tenant=tenant, labelled_by=actor, labelled_at=now)
    edit.add(row)
    if proposal is not None:
        proposal.label_id = row.id
        session.add(proposal)
    kind, number = subject(row)
    edit.record(tenant=tenant, verb="label", object_kind=kind, object_id=number)
    _follow(session, tenant, [row])
    return row


def undo(
    session: Session, *, tenant: str, actor: str, now: datetime, audit_id: int | None = None
) -> AuditEvent:
    """Take back the actor's last action, or a named one; what was labelled stands again as it stood before."""
    event = audit_store.undo(
        session, tenant=tenant, actor=actor, now=now, audit_id=audit_id, following=FOLLOWING
    )
    _follow(session, tenant, touched(session, event, Label))
    return event


def touched(session: Session, event: AuditEvent, kind: type[Row]) -> list[Row]:
    """The rows of one table that an event changed."""
    table = str(kind.__tablename__)
    keys = [key.split("/", 1) for key in event.after or {}]
    rows = [
        session.get(kind, (event.tenant, int(number))) for name, number in keys if name == table
    ]
    return [row for row in rows if row is not None]


def subject(label: NewLabel) -> tuple[str, int]:
    """What a label is about: ("alert" | "incident", its number)."""
    if label.alert_id is not None:
        return "alert", label.alert_id
    return "incident", int(label.incident_id or 0)


def on(
    session: Session, *, tenant: str, subject_kind: str, subject_id: int, by: str = ""
) -> list[Label]:
    """The verdicts that stand on an alert or incident, newest first; those of one person where one is named."""
    found = current(session, tenant=tenant, **{f"{subject_kind}_id": subject_id})
    return [label for label in found if by in ("", label.labelled_by)]


def _follow(session: Session, tenant: str, labels: Iterable[Label]) -> None:
    """Let the incidents, the items of the queue and the proposals say what the labels that stand now make of them."""
    session.flush()
    told = list(labels)
    for label in told:
        proposal_store.follow(session, label)
    for number in dict.fromkeys(label.incident_id for label in told if label.incident_id):
        reflect(session, get_incident(session, tenant=tenant, incident_id=number))
    for number in dict.fromkeys(label.item_id for label in told if label.item_id):
        _recount(session, tenant, number)


def reflect(session: Session, incident: Incident) -> None:
    """Let the incident say what the labels that stand make of it.

    unlabeled → labeled by the newest verdict → validated by an adjudication, or by two people who agree.
    """
    decided = [
        label
        for label in current(session, tenant=incident.tenant, incident_id=incident.id)
        if label.disposition != UNDECIDED
    ]
    settled = [label for label in decided if label.settles]
    verdict = next(iter(settled or decided), None)
    agree = {
        label.labelled_by
        for label in decided
        if verdict is not None and _said(label) == _said(verdict)
    }
    incident.root_cause = verdict.cause if verdict else ""
    incident.component = verdict.component if verdict else ""
    incident.cause_confidence = verdict.confidence if verdict else None
    incident.labelled_by = verdict.labelled_by if verdict else ""
    incident.labelled_at = verdict.labelled_at if verdict else None
    incident.label_status = (
        "unlabeled"
        if verdict is None
        else "validated"
        if settled or (len(agree) > 1 and agree == {label.labelled_by for label in decided})
        else "labeled"
    )


def _said(label: Label) -> tuple[str, frozenset[str]]:
    return label.disposition, frozenset(label.causes or ([label.cause] if label.cause else []))


def _recount(session: Session, tenant: str, item_id: int) -> None:
    """How many people judged an item, and whether those are as many as it wants."""
    item = session.get(LabelItem, (tenant, item_id), with_for_update=True)
    if item is None:
        raise StoreError.of("label", "the item of a label", "in the queue", item_id)
    people = select(func.count(func.distinct(Label.labelled_by))).where(
        Label.tenant == tenant, Label.item_id == item_id, Label.withdrawn.is_(False)
    )
    item.given = session.scalar(people) or 0
    if item.state != "closed":
        item.state = "done" if item.given >= item.wanted else "open"
    item.version += 1


def get(session: Session, *, tenant: str, label_id: int) -> Label:
    """The label, withdrawn or not; `NotFoundError` when the tenant has none of that number."""
    label = session.get(Label, (tenant, label_id))
    if label is None:
        raise NotFoundError.of("labels", "the label", "one of this tenant's", label_id)
    return label


def newest(session: Session, *, tenant: str) -> int:
    """The highest number that a label ever had, 0 before the first."""
    return session.scalar(select(func.max(Label.id)).where(Label.tenant == tenant)) or 0


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
