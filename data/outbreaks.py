"""One outbreak is one incident: what Headwater found and what somebody told of it are joined, and can be parted.

The one that was told speaks for both. It keeps its own words, key, times and severity, and takes the root, the
candidates, the cost, the alerts and the labels of the one that was found, which is kept beside it and shown no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from core.errors import ConflictError
from data import audit_store, foretold, incident_store, label_store, receipt_store
from data.alert_store import add_comment
from data.audit_store import Edit
from data.finding_store import Upserted, pause, refresh
from data.incident_store import CAUSE, JOINED, OWN, WITHDRAWN, judged, muter, recount
from data.record_store import in_parts
from data.records import (
    ACTIVE,
    STATUSES,
    Alert,
    AuditEvent,
    Incident,
    Label,
    LabelItem,
    NewIncident,
)

GOES_ON = timedelta(hours=4)
"""How long an incident without an end is taken to go on: as long as Alertmanager waits before it tells of it again."""
COST = ("spend_at_risk", "money_impact", "currency")
POSITION = ("status", "acknowledged_at", "acknowledged_by", "resolved_at", "resolved_by")
OPEN: Mapping[str, Any] = dict.fromkeys(POSITION) | {"status": "open"}


def gather(
    session: Session,
    *,
    tenant: str,
    found: Sequence[NewIncident],
    holding: Sequence[Sequence[int]],
    now: datetime,
    actor: str,
    anew: bool = True,
) -> Upserted:
    """Store what a run found with its alerts, each under the incident that speaks for it: the rows are those.

    holding : numbers of the alerts of each that was found
    anew    : whether known ones take the new facts, and alerts that are under others
    """
    who: dict[str, Any] = {"tenant": tenant, "now": now, "actor": actor}
    kept = incident_store.upsert(session, found=found, holding=holding, refresh=anew, **who)
    for row, members in zip(kept.rows, holding, strict=True):
        speaker = incident_store.get(session, tenant=tenant, incident_id=row.id)
        if speaker is not row and speaker.status in ACTIVE:
            _give(row, speaker, now=now, actor=actor)
        incident_store.attach(session, incident_id=row.id, alert_ids=members, taking=anew, **who)
    meet(session, rows=kept.rows, **who)
    rows = tuple(
        incident_store.get(session, tenant=tenant, incident_id=row.id) for row in kept.rows
    )
    foretold.settle(session, tenant=tenant, incidents=rows)
    return replace(kept, ids=tuple(row.id for row in rows), rows=rows)


# ── which is which ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class _Course:
    """From when until when an incident is known to have gone on, and all names of what it was at, in lower case."""

    incident: Incident
    start: datetime
    end: datetime
    names: frozenset[str]


def meet(
    session: Session,
    *,
    tenant: str,
    rows: Iterable[Incident],
    now: datetime,
    actor: str,
    telling: Edit | None = None,
) -> None:
    """Join each of the rows with the one of the other kind that is the same outbreak, if there is one.

    What was told is what was found where a service that was told is the root, an alerted entity or what that is part
    of, and both went on at the same time or no further apart than their domain's pause; of several the one that
    began nearest. Nothing is joined twice, and nothing that people parted.

    telling : what the told ones of these rows are being told with
    """
    free = {row.id: row for row in rows if row.status in STATUSES and not row.apart}
    if not free:
        return
    known = _courses(session, tenant, free.values())
    others = _courses(session, tenant, _near(session, tenant, known))
    told = [one for one in (*known, *others) if one.incident.source != OWN]
    spoken_for = _findings(session, tenant, [one.incident.id for one in told])
    at: dict[tuple[str, str], list[_Course]] = {}
    for one in (*known, *others):
        for name in one.names if one.incident.source == OWN else ():
            at.setdefault((one.incident.domain, name), []).append(one)
    pairs: dict[tuple[int, int], tuple[timedelta, str, _Course, _Course]] = {}
    for one in told:
        names = one.names if one.incident.id not in spoken_for else ()
        for name in sorted(names):
            for other in at.get((one.incident.domain, name), ()):
                gap = max(one.start - other.end, other.start - one.end)
                if gap <= pause(one.incident.domain):
                    key = one.incident.id, other.incident.id
                    pairs[key] = (abs(one.start - other.start), name, one, other)
    met: set[tuple[str, int]] = set()
    for key, (apart, name, one, other) in sorted(
        pairs.items(), key=lambda pair: (pair[1][0], pair[0])
    ):
        if met.isdisjoint(zip(("told", "found"), key, strict=True)):
            met |= set(zip(("told", "found"), key, strict=True))
            why = f"both at {name}, begun {apart / timedelta(minutes=1):.0f} minutes apart"
            _join(
                session,
                one.incident,
                other.incident,
                why=why,
                now=now,
                actor=actor,
                telling=telling,
            )


def _near(session: Session, tenant: str, known: Sequence[_Course]) -> list[Incident]:
    """Incidents of the other kind that may have gone on when one of these did."""
    longest = max(pause(one.incident.domain) for one in known)
    first = min(one.start for one in known) - longest
    last = max(one.end for one in known) + longest
    were_told = any(one.incident.source != OWN for one in known)
    seen = select(Alert.incident_id).where(Alert.tenant == tenant, Alert.last_seen >= first)
    query = select(Incident).where(
        Incident.tenant == tenant,
        Incident.source == OWN if were_told else Incident.source != OWN,
        Incident.domain.in_({one.incident.domain for one in known}),
        Incident.status.in_(STATUSES),
        Incident.apart.is_(False),
        Incident.onset <= last,
        or_(Incident.onset >= first - GOES_ON, Incident.ended_at >= first, Incident.id.in_(seen)),
    )
    return list(session.scalars(query.order_by(Incident.id)))


def _courses(session: Session, tenant: str, rows: Iterable[Incident]) -> list[_Course]:
    told = list(rows)
    under = _alerts_under(session, tenant, [row.id for row in told])
    return [_course(row, under.get(row.id, [])) for row in told]


def _course(row: Incident, alerts: Sequence[Alert]) -> _Course:
    names = [*row.services, row.root_entity, row.root_name]
    names += [name for alert in alerts for name in (alert.entity, alert.entity_name)]
    called = {part.lower() for name in names for part in (name, name.partition(":")[2]) if part}
    if row.source == OWN:
        end = max((alert.last_seen for alert in alerts), default=row.onset)
    else:
        end = min(row.resolved_at or row.onset + GOES_ON, row.onset + GOES_ON)
    return _Course(row, row.onset, max(row.ended_at or end, row.onset), frozenset(called))


# ── joined and parted ────────────────────────────────────────────────────────────────────────────


def _join(
    session: Session,
    told: Incident,
    found: Incident,
    *,
    why: str,
    now: datetime,
    actor: str,
    telling: Edit | None,
) -> None:
    """Let what was told speak for what was found; the audit tells of it, and `part` takes it back."""
    edit = Edit(session, actor=actor, now=now)
    _give(found, told, actor=actor, now=now)
    if (found.status, told.status) == ("acknowledged", "open"):
        (telling or edit).change(told, **position(found))
    edit.change(found, status=JOINED, joined=told.id)
    for alert in _alerts_under(session, told.tenant, [found.id]).get(found.id, ()):
        edit.change(alert, incident_id=told.id)
    session.flush()
    follow(edit, told)
    _hand_over(session, found, told)
    if found.was_predicted and not told.was_predicted:
        told.was_predicted = found.was_predicted
        told.prediction_accuracy = found.prediction_accuracy
    foretold.settle(session, tenant=told.tenant, incidents=[told])
    for row in (told, found):
        recount(session, row)
    after = edit.after | {"found": found.id, "why": why}
    audit_store.tell(session, told, "join", actor=actor, now=now, after=after)


def _give(found: Incident, told: Incident, *, actor: str, now: datetime) -> None:
    """Let what was told say the root and cost of what was found; the guess that people judged stands."""
    names = COST if judged(told) else (*CAUSE, *COST)
    refresh(told, {name: getattr(found, name) for name in names}, actor=actor, now=now)


def follow(edit: Edit, incident: Incident, was: Mapping[str, Any] = OPEN) -> None:
    """Let the alerts that stood where an incident stood come along to where it was told to be.

    Active ones that were over by then are resolved with it; one that went on speaks for itself.

    was : where it stood before
    """
    over = (incident.ended_at or incident.resolved_at or edit.now) + pause(incident.domain)
    by = f"{was['status']}_by"
    for alert in incident_store.alerts(
        edit.session, tenant=incident.tenant, incident_id=incident.id
    ):
        if incident.status == "resolved":
            moves = alert.status in ACTIVE and alert.last_seen <= over
        else:
            moves = alert.status == was["status"] and getattr(alert, by, None) == was.get(by)
        if moves and alert.status != incident.status:
            stamps = position(incident)
            for at in ("acknowledged_at", "resolved_at"):
                # nobody could handle it before it was raised
                stamps[at] = stamps[at] and max(stamps[at], alert.created_at)
            edit.change(alert, **stamps)
        if alert.muted_by != muter(incident, alert):
            edit.change(alert, muted_by=muter(incident, alert))


def part(
    session: Session,
    *,
    tenant: str,
    incident_id: int,
    actor: str,
    now: datetime,
    expected_version: int | None = None,
    note: str = "",
) -> Incident:
    """Part what was told from what was found, for good: no run joins it again. One undo takes it back.

    The alerts go with what was found, the labels stay with what was told. Raises ConflictError where nothing was
    joined to it, or it changed since `expected_version`.
    """
    told = incident_store.get(session, tenant=tenant, incident_id=incident_id)
    audit_store.check_version("part", told, expected_version)
    found = _findings(session, tenant, [told.id]).get(told.id)
    if found is None:
        rule = "one that was told and that Headwater found too"
        raise ConflictError.of("part", f"incident {told.id}", rule, f"told by {told.source} alone")
    edit = Edit(session, actor=actor, now=now)
    _part(edit, told, found)
    edit.change(told, apart=True)
    if note.strip():
        add_comment(edit, tenant, "incident", told.id, note)
    for row in (told, found):
        recount(session, row)
    edit.record(tenant=tenant, verb="part", object_kind="incident", object_id=told.id)
    return told


def undo(
    session: Session, *, tenant: str, actor: str, now: datetime, audit_id: int | None = None
) -> AuditEvent:
    """As `label_store.undo`; what was found outlives the undo of what was told, with its alerts and its labels."""
    event = label_store.undo(session, tenant=tenant, actor=actor, now=now, audit_id=audit_id)
    touched = label_store.touched(session, event, Incident)
    gone = [row for row in touched if row.status == WITHDRAWN]
    findings = _findings(session, tenant, [row.id for row in gone])
    under = _alerts_under(session, tenant, [row.id for row in gone])
    for told in gone:
        edit = Edit(session, actor=actor, now=now)
        if (found := findings.get(told.id)) is not None:
            _part(edit, told, found)
            _hand_over(session, told, found)
            recount(session, found)
        else:
            for alert in under.get(told.id, ()):
                edit.change(alert, incident_id=None, muted_by=None)
        if edit.after:
            audit_store.tell(session, told, "part", actor=actor, now=now, after=edit.after)
    for row in touched:
        recount(session, row)
    meet(session, tenant=tenant, rows=touched, now=now, actor=actor)
    return event


def _part(edit: Edit, told: Incident, found: Incident) -> None:
    """Give what was found its own back; what was told says of its root again what it said last."""
    said = receipt_store.told(edit.session, told.tenant, told)
    as_told = said.get("resolved_by") == told.resolved_by is not None
    alerts = _alerts_under(edit.session, told.tenant, [told.id]).get(told.id, [])
    for alert in alerts:
        # what ended only because the other one was told to have ended goes on
        ended = {**OPEN} if as_told and alert.resolved_by == told.resolved_by else {}
        edit.change(alert, incident_id=found.id, **ended)
    stands = min(alerts, key=lambda alert: STATUSES.index(alert.status), default=None)
    edit.change(found, joined=None, **(OPEN if stands is None else position(stands)))
    for alert in alerts:
        edit.change(alert, muted_by=muter(found, alert))
    names = [name for name in (*CAUSE, *COST) if name in said]
    edit.change(told, **{name: said[name] for name in names})


def _hand_over(session: Session, giver: Incident, taker: Incident) -> None:
    """File the labels of one incident under the other, and ask for its verdicts there."""
    items = select(LabelItem).where(
        LabelItem.tenant == giver.tenant, LabelItem.subject_kind == "incident"
    )
    rounds = set(
        session.scalars(
            items.where(LabelItem.subject_id == taker.id).with_only_columns(LabelItem.round)
        )
    )
    for item in session.scalars(items.where(LabelItem.subject_id == giver.id)):
        if item.round not in rounds:
            item.subject_id = taker.id
        elif item.state == "open":
            item.state = "closed"
        item.version += 1
    labels = select(Label).where(Label.tenant == giver.tenant, Label.incident_id == giver.id)
    for label in session.scalars(labels):
        label.incident_id = taker.id
        label.version += 1
    session.flush()
    for row in (giver, taker):
        label_store.reflect(session, row)


def position(row: Alert | Incident) -> dict[str, Any]:
    """Where an alert or incident stands, since when and by whom."""
    return {name: getattr(row, name) for name in POSITION}


def _findings(session: Session, tenant: str, numbers: Sequence[int]) -> dict[int, Incident]:
    """Number of what was told → what was found of it."""
    found: dict[int, Incident] = {}
    for some in in_parts(numbers):
        query = select(Incident).where(Incident.tenant == tenant, Incident.joined.in_(some))
        found |= {int(row.joined or 0): row for row in session.scalars(query)}
    return found


def _alerts_under(session: Session, tenant: str, numbers: Sequence[int]) -> dict[int, list[Alert]]:
    """Number of an incident → the live alerts under it."""
    under: dict[int, list[Alert]] = {}
    for some in in_parts(numbers):
        query = select(Alert).where(Alert.tenant == tenant, Alert.incident_id.in_(some))
        for alert in session.scalars(query.order_by(Alert.id)):
            under.setdefault(int(alert.incident_id or 0), []).append(alert)
    return under
