"""Incidents: alerts with one root, found by root-cause analysis and worked on as one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Select, Text, cast, func, or_, select
from sqlalchemy.orm import Session

from core.errors import NotFoundError
from data import audit_store
from data.alert_feed import Cursor, Page, keyset_page
from data.alert_store import TRANSITIONS, add_comment, transition
from data.audit_store import Edit
from data.finding_store import Kind, Upserted, fingerprint, pause, store
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

IDS_AT_A_TIME = 1000
FACTS = tuple(IncidentFacts.model_fields)
OWN = "headwater"
"""The source of what root-cause analysis found, or a person raised from an alert."""
KEPT = ("onset", "source", "external_key", "description", "snapshots")
"""What a run says nothing of: an incident that it finds again keeps them."""


def upsert(
    session: Session,
    *,
    tenant: str,
    found: Sequence[NewIncident],
    now: datetime,
    actor: str,
    refresh: bool = True,
) -> Upserted:
    """Store what root-cause analysis found, one incident per root, cause and episode.

    An incident of the same root and cause whose onset lies within its domain's pause is the same one: an active one takes
    the new facts (its first onset stays), a resolved one stays as it is; without `refresh`, both do.
    """
    kind = Kind(
        "incidents",
        verb="group",
        key=_root,
        same=_same_onset,
        make=lambda item: Incident(
            **facts_of(item),
            tenant=tenant,
            fingerprint=fingerprint(tenant, *_root(item), item.onset),
            created_at=now,
            updated_at=now,
            updated_by=actor,
        ),
        newer=lambda _, item: _newer(item) if refresh else {},
    )
    known: dict[tuple[str, str, str], list[Incident]] = {}
    if found:
        query = select(Incident).where(
            Incident.tenant == tenant,
            Incident.source == OWN,
            Incident.status.in_(STATUSES),
            Incident.domain.in_({item.domain for item in found}),
            Incident.onset >= min(item.onset - pause(item.domain) for item in found),
        )
        for incident in session.scalars(query.with_for_update()):
            known.setdefault(_root(incident), []).append(incident)
    return store(session, kind, tenant=tenant, found=found, known=known, now=now, actor=actor)


def attach(
    session: Session,
    *,
    tenant: str,
    incident_id: int,
    alert_ids: Sequence[int],
    now: datetime,
    actor: str,
    mute: bool = True,
) -> Incident:
    """Put alerts under the incident; with `mute`, it speaks for all but the alert of the root itself.

    An active incident that loses its last alert to this one is resolved: it was the same trouble, seen worse.
    """
    incident = _locked(session, "attach", tenant, incident_id, None)
    edit = Edit(session, actor=actor, now=now)
    left: set[int] = set()
    for alert in _by_number(session, tenant, alert_ids):
        muted_by = incident.id if mute and alert.entity != incident.root_entity else None
        if (alert.incident_id, alert.muted_by) == (incident.id, muted_by):
            continue
        if alert.incident_id not in (None, incident.id):
            left.add(alert.incident_id)
        edit.change(alert, incident_id=incident.id, muted_by=muted_by)
    session.flush()
    for number in sorted(left | {incident.id}):
        other = _locked(session, "attach", tenant, number, None)
        count = select(func.count(Alert.id)).where(
            Alert.tenant == tenant, Alert.incident_id == number
        )
        other.alerts = session.scalar(count) or 0
        if number in left and other.alerts == 0 and other.status in ACTIVE:
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
    span: tuple[datetime, datetime] | None = None,
    text: str = "",
    after: Cursor | None = None,
    limit: int = 50,
) -> Page[Incident]:
    """One page of incidents by severity, then onset, then number, all descending.

    label   : the label status, e.g. "unlabeled"
    service : among those affected, as told
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
    """The incident; `NotFoundError` when the tenant has none of that number."""
    incident = session.get(Incident, (tenant, incident_id))
    if incident is None:
        raise NotFoundError.of("incidents", "the incident", "one of this tenant's", incident_id)
    return incident


def alerts(session: Session, *, tenant: str, incident_id: int) -> list[Alert]:
    """The live alerts under the incident, muted ones too, earliest onset first."""
    query = select(Alert).where(Alert.tenant == tenant, Alert.incident_id == incident_id)
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


def _same_onset(incidents: Sequence[Incident], item: NewIncident) -> Incident | None:
    """The active one of those near in time, else the latest resolved one."""
    apart = pause(item.domain)
    near = [other for other in incidents if abs(other.onset - item.onset) <= apart]
    return max(near, key=lambda other: (other.status in ACTIVE, other.onset), default=None)


def facts_of(item: NewIncident) -> dict[str, Any]:
    """The facts as columns of an incident, with the rank of its severity."""
    facts = {name: getattr(item, name) for name in FACTS}
    return facts | {"severity_rank": SEVERITIES.index(item.severity)}


def _newer(item: NewIncident) -> dict[str, Any]:
    return {name: value for name, value in facts_of(item).items() if name not in KEPT}


def _root(incident: IncidentFacts) -> tuple[str, str, str]:
    return incident.domain, incident.root_entity, incident.cause_type


def _by_number(session: Session, tenant: str, numbers: Sequence[int]) -> Iterator[Alert]:
    """Alerts by number, a bounded count of bound values at a time."""
    for start in range(0, len(numbers), IDS_AT_A_TIME):
        some = numbers[start : start + IDS_AT_A_TIME]
        query = select(Alert).where(Alert.tenant == tenant, Alert.id.in_(some))
        yield from session.scalars(query.with_for_update())


def _locked(
    session: Session, who: str, tenant: str, incident_id: int, expected: int | None
) -> Incident:
    incident = session.get(Incident, (tenant, incident_id), with_for_update=True)
    if incident is None:
        raise NotFoundError.of(who, "the incident", "one of this tenant's", incident_id)
    audit_store.check_version(who, incident, expected)
    return incident
