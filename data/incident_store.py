"""Incidents: alerts with one root, found by root-cause analysis and worked on as one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Select, Text, and_, case, cast, func, or_, select
from sqlalchemy.orm import Session

from core.errors import NotFoundError
from data import audit_store, receipt_store
from data.alert_feed import Cursor, Page, keyset_page
from data.alert_store import TRANSITIONS, add_comment, transition
from data.audit_store import Edit
from data.columns import plain
from data.finding_store import Kind, Upserted, fingerprint, pause, store
from data.record_store import in_parts, next_numbers
from data.records import (
    ACTIVE,
    SEVERITIES,
    STATUSES,
    Alert,
    Comment,
    Incident,
    IncidentFacts,
    NewIncident,
)

FACTS = tuple(IncidentFacts.model_fields)
OWN = "headwater"
"""The source of what root-cause analysis found, or a person raised from an alert."""
JOINED = "joined"
"""The status of what was found where somebody told of it too: that one speaks for both; no list shows this one."""
WITHDRAWN = "withdrawn"
"""The status of an incident whose recording was undone; no list shows it."""
KEPT = ("onset", "source", "external_key", "description", "snapshots")
"""What a run says nothing of: an incident that it finds again keeps them."""
CAUSE = (
    "root_entity",
    "root_name",
    "root_level",
    "cause_type",
    "confidence",
    "hops",
    "path",
    "candidates",
    "method",
)
GUESS = ("title", *CAUSE)
"""What root-cause analysis says of an incident; the title that it gives is made of it."""


def upsert(
    session: Session,
    *,
    tenant: str,
    found: Sequence[NewIncident],
    now: datetime,
    actor: str,
    refresh: bool = True,
    holding: Sequence[Collection[int]] = (),
) -> Upserted:
    """Store what root-cause analysis found, one incident per outbreak however its root is told from run to run.

    What is found is a known incident that holds most of the same alerts, else one of the same root and cause whose
    onset lies within its domain's pause, else one of the same root in that time that nothing else claims; no two
    become one. An active one takes the new facts: its first onset stays, where people labelled it the guess that they
    judged, what they corrected, and where less than half of its alerts were seen everything but its end. A resolved
    one stays as it is; without `refresh`, both do.

    holding : numbers of the alerts of each that was found, in the order of `found`
    """
    holding = holding or [()] * len(found)
    again, in_part = _known_again(session, tenant, found, holding)
    said = receipt_store.outcomes(
        session,
        tenant=tenant,
        source=receipt_store.CORRECTED,
        keys=[str(row.id) for row in again.values()],
    )

    def make(item: NewIncident) -> Incident:
        number = next_numbers(session.connection(), tenant, Incident.__tablename__, 1)[0]
        return Incident(
            **facts_of(item),
            tenant=tenant,
            id=number,
            # its root and cause may change, its number never does
            fingerprint=fingerprint(tenant, OWN, number),
            created_at=now,
            updated_at=now,
            updated_by=actor,
        )

    def newer(row: Incident, item: NewIncident) -> dict[str, Any]:
        if not refresh or get(session, tenant=tenant, incident_id=row.id).status not in ACTIVE:
            return {}
        if row.id in in_part:
            news = {"ended_at": item.ended_at}
        else:
            kept = (*KEPT, *GUESS) if judged(row) else KEPT
            news = {name: value for name, value in facts_of(item).items() if name not in kept}
        corrected = said.get(str(row.id), {})
        return {
            name: value
            for name, value in news.items()
            if name not in corrected or corrected[name] != plain(getattr(row, name))
        }

    kind = Kind("incidents", verb="group", known=again.get, make=make, newer=newer)
    return store(session, kind, tenant=tenant, found=found, now=now, actor=actor)


def judged(row: Incident) -> bool:
    """Whether people labelled it in view of a guess, which then stands beside what they said."""
    return row.label_status != "unlabeled" and bool(row.root_entity)


def attach(
    session: Session,
    *,
    tenant: str,
    incident_id: int,
    alert_ids: Sequence[int],
    now: datetime,
    actor: str,
    taking: bool = True,
) -> Incident:
    """Put alerts under the incident, which speaks for all but the alert of the root itself.

    An active incident that was found and loses its last alert to this one is resolved: it was the same trouble, seen
    worse.

    taking : whether alerts that are under another incident come too
    """
    incident = _locked(session, "attach", tenant, incident_id, None)
    edit = Edit(session, actor=actor, now=now)
    left: set[int] = set()
    for alert in _by_number(session, tenant, alert_ids):
        muted_by = muter(incident, alert)
        if (alert.incident_id, alert.muted_by) == (incident.id, muted_by):
            continue
        if alert.incident_id is not None and not taking:
            continue
        if alert.incident_id not in (None, incident.id):
            left.add(alert.incident_id)
        edit.change(alert, incident_id=incident.id, muted_by=muted_by)
    for number in sorted(left | {incident.id}):
        other = _locked(session, "attach", tenant, number, None)
        recount(session, other)
        lost = number in left and other.alerts == 0 and other.source == OWN
        if lost and other.status in ACTIVE:
            transition(edit, other, "resolve")
    if edit.after:
        audit_store.record(
            session,
            tenant=tenant,
            actor=actor,
            now=now,
            verb="attach",
            object_kind="incident",
            object_id=incident.id,
            after=edit.after,
        )
    return incident


def muter(incident: Incident, alert: Alert) -> int | None:
    """The number of the incident where it speaks for the alert; one that is over can't speak for what goes on."""
    spoken_for = incident.status in ACTIVE or alert.status not in ACTIVE
    return incident.id if spoken_for and alert.entity != incident.root_entity else None


def recount(session: Session, incident: Incident) -> None:
    """Note how many live alerts are under the incident."""
    session.flush()
    count = select(func.count(Alert.id)).where(
        Alert.tenant == incident.tenant, Alert.incident_id == incident.id
    )
    incident.alerts = session.scalar(count) or 0


def page(
    session: Session,
    *,
    tenant: str,
    domain: str = "",
    status: tuple[str, ...] = ACTIVE,
    severity: tuple[str, ...] = (),
    source: str = "",
    label: str = "",
    service: str = "",
    causes: Mapping[str, Collection[str]] | None = None,
    span: tuple[datetime, datetime] | None = None,
    text: str = "",
    after: Cursor | None = None,
    limit: int = 50,
) -> Page[Incident]:
    """One page of incidents by severity, then onset, then number, all descending.

    label   : the label status, e.g. "unlabeled"
    service : among those affected, as told
    causes  : domain → the names, one of which people gave its cause, or the run did where nobody judged it
    span    : bounds of the onset, half open
    """
    query = _chosen(tenant, domain, status)
    for column, values in (
        (Incident.severity, severity),
        (Incident.source, (source,) if source else ()),
        (Incident.label_status, (label,) if label else ()),
    ):
        if values:
            query = query.where(column.in_(values))
    if service:
        told = cast(Incident.services, Text)
        query = query.where(told.contains(json.dumps(service), autoescape=True))
    if causes is not None:
        called = case((Incident.root_cause != "", Incident.root_cause), else_=Incident.cause_type)
        query = query.where(
            or_(
                *(
                    and_(Incident.domain == name, called.in_(names))
                    for name, names in causes.items()
                )
            )
        )
    if span is not None:
        query = query.where(Incident.onset >= span[0], Incident.onset < span[1])
    if words := text.strip():
        searched = (
            Incident.title,
            Incident.description,
            Incident.root_name,
            Incident.root_entity,
            Incident.external_key,
        )
        query = query.where(or_(*(column.icontains(words, autoescape=True) for column in searched)))
    return keyset_page(session, query, Incident, Incident.onset, after, limit)


def tally(session: Session, *, tenant: str, domain: str = "") -> dict[str, int]:
    """How many incidents stand at each label status."""
    counted = (
        _chosen(tenant, domain, STATUSES)
        .with_only_columns(Incident.label_status, func.count(Incident.id))
        .group_by(Incident.label_status)
    )
    return dict(session.execute(counted).all())


def _chosen(tenant: str, domain: str, status: tuple[str, ...]) -> Select[Any]:
    query = select(Incident).where(Incident.tenant == tenant, Incident.status.in_(status))
    return query.where(Incident.domain == domain) if domain else query


def before(
    session: Session, *, tenant: str, domain: str, onset: datetime, limit: int
) -> list[Incident]:
    """Incidents that began before then, the latest first."""
    query = _chosen(tenant, domain, STATUSES).where(Incident.onset < onset)
    return list(session.scalars(query.order_by(Incident.onset.desc(), Incident.id).limit(limit)))


def get(session: Session, *, tenant: str, incident_id: int) -> Incident:
    """The incident, or the one that it joined; `NotFoundError` when the tenant has none of that number."""
    return _found(session, "incidents", tenant, incident_id)


def finding(session: Session, *, tenant: str, incident_id: int) -> Incident | None:
    """What Headwater found of an incident that somebody told, None where it found nothing."""
    query = select(Incident).where(Incident.tenant == tenant, Incident.joined == incident_id)
    return session.scalar(query)


def alerts(session: Session, *, tenant: str, incident_id: int) -> list[Alert]:
    """The live alerts under the incident, muted ones too, earliest onset first."""
    number = get(session, tenant=tenant, incident_id=incident_id).id
    query = select(Alert).where(Alert.tenant == tenant, Alert.incident_id == number)
    return list(session.scalars(query.order_by(Alert.onset, Alert.id)))


def move(
    session: Session,
    *,
    verb: str,
    tenant: str,
    incident_id: int,
    actor: str,
    now: datetime,
    expected_version: int | None = None,
    note: str = "",
) -> Incident:
    """Acknowledge, resolve or reopen the incident and those of its alerts that can follow, as one event.

    Done before: no change. Raises `ConflictError` when it stands where the verb can't start from, or changed
    since `expected_version`.
    """
    incident = _locked(session, verb, tenant, incident_id, expected_version)
    edit = Edit(session, actor=actor, now=now)
    moved = transition(edit, incident, verb)
    if moved:
        sources, _ = TRANSITIONS[verb]
        query = select(Alert).where(
            Alert.tenant == tenant, Alert.incident_id == incident_id, Alert.status.in_(sources)
        )
        for alert in session.scalars(query.with_for_update()):
            transition(edit, alert, verb)
    if note.strip():
        add_comment(edit, tenant, "incident", incident_id, note)
    if moved or note.strip():
        edit.record(tenant=tenant, verb=verb, object_kind="incident", object_id=incident_id)
    return incident


acknowledge = partial(move, verb="acknowledge")
resolve = partial(move, verb="resolve")
reopen = partial(move, verb="reopen")


def comment(
    session: Session, *, tenant: str, incident_id: int, actor: str, now: datetime, body: str
) -> Comment:
    """Say something about the incident."""
    get(session, tenant=tenant, incident_id=incident_id)
    edit = Edit(session, actor=actor, now=now)
    said = add_comment(edit, tenant, "incident", incident_id, body)
    edit.record(tenant=tenant, verb="comment", object_kind="incident", object_id=incident_id)
    return said


def facts_of(item: NewIncident) -> dict[str, Any]:
    """The facts as columns of an incident, with the rank of its severity."""
    facts = {name: getattr(item, name) for name in FACTS}
    return facts | {"severity_rank": SEVERITIES.index(item.severity)}


def _known_again(
    session: Session,
    tenant: str,
    found: Sequence[NewIncident],
    holding: Sequence[Collection[int]],
) -> tuple[dict[int, Incident], set[int]]:
    """Place of what was found → the row that it is, one to one, the closest kin first; and those seen in part."""
    if not found:
        return {}, set()
    numbers = [number for members in holding for number in members]
    under = {alert.id: alert.incident_id for alert in _by_number(session, tenant, numbers)}
    holders = {number for number in under.values() if number is not None}
    query = select(Incident).where(
        Incident.tenant == tenant,
        Incident.source == OWN,
        Incident.status.in_((*STATUSES, JOINED)),
        Incident.domain.in_({item.domain for item in found}),
        or_(
            Incident.onset >= min(item.onset - pause(item.domain) for item in found),
            Incident.id.in_(holders),
            Incident.joined.in_(holders),
        ),
    )
    rows = list(session.scalars(query.order_by(Incident.id).with_for_update()))
    speaking = {row.id: get(session, tenant=tenant, incident_id=row.id) for row in rows}
    by_holder = {speaking[row.id].id: row for row in rows}
    by_root: dict[tuple[str, str], list[Incident]] = {}
    for row in rows:
        by_root.setdefault((row.domain, row.root_entity), []).append(row)
    kin: list[tuple[Any, int, Incident, bool]] = []
    for place, (item, members) in enumerate(zip(found, holding, strict=True)):
        shared = Counter(under.get(number) for number in members)
        near = [
            row
            for row in by_root.get((item.domain, item.root_entity), ())
            if abs(row.onset - item.onset) <= pause(item.domain)
        ]
        holding_some = [by_holder[number] for number in shared if number in by_holder]
        for row in {row.id: row for row in (*near, *holding_some)}.values():
            speaker = speaking[row.id]
            common = shared[speaker.id]
            most = 2 * common > min(len(members), speaker.alerts)
            same_cause = row in near and row.cause_type == item.cause_type
            if not most and row not in near:
                continue
            active = speaker.status in ACTIVE
            closeness = (most, common if most else 0, same_cause, active, judged(row), row.onset)
            of_all = speaker.alerts + len(members) - common
            kin.append((closeness, place, row, most and 2 * len(members) < of_all))
    again: dict[int, Incident] = {}
    claimed: set[int] = set()
    in_part: set[int] = set()
    for _, place, row, partly in sorted(kin, key=lambda one: one[0], reverse=True):
        if place not in again and row.id not in claimed:
            again[place] = row
            claimed.add(row.id)
            in_part |= {row.id} if partly else set()
    return again, in_part


def _by_number(session: Session, tenant: str, numbers: Sequence[int]) -> Iterator[Alert]:
    for some in in_parts(numbers):
        query = select(Alert).where(Alert.tenant == tenant, Alert.id.in_(some))
        yield from session.scalars(query.with_for_update())


def _locked(
    session: Session, who: str, tenant: str, incident_id: int, expected: int | None
) -> Incident:
    incident = _found(session, who, tenant, incident_id, with_for_update=True)
    audit_store.check_version(who, incident, expected)
    return incident


def _found(session: Session, who: str, tenant: str, incident_id: int, **how: Any) -> Incident:
    incident = session.get(Incident, (tenant, incident_id), **how)
    if incident is not None and incident.joined is not None:
        incident = session.get(Incident, (tenant, incident.joined), **how)
    if incident is None:
        raise NotFoundError.of(who, "the incident", "one of this tenant's", incident_id)
    return incident
