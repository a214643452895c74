"""One outbreak is one incident: what Headwater found and what somebody told of it are joined, and can be parted.

The one that was told speaks for both. It keeps its own words, key, times and severity, and takes the root, the
candidates, the cost, the alerts and the labels of the one that was found, which is kept beside it and shown no more.
An alert for which no cause stands out is in no incident that was found; it is evidence of what was told of its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, or_, select
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

Row = TypeVar("Row", Incident, Alert)
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
    noticed: Sequence[int] = (),
) -> Upserted:
    """Store what a run found with its alerts, each under the incident that speaks for it: the rows are those.

    holding : numbers of the alerts of each that was found
    anew    : whether known ones take the new facts, and alerts that are under others
    noticed : numbers of all alerts of the run, those without a cause too
    """
    who: dict[str, Any] = {"tenant": tenant, "now": now, "actor": actor}
    kept = incident_store.upsert(session, found=found, holding=holding, refresh=anew, **who)
    for row, members in zip(kept.rows, holding, strict=True):
        speaker = incident_store.get(session, tenant=tenant, incident_id=row.id)
        if speaker is not row and speaker.status in ACTIVE:
            _give(row, speaker, now=now, actor=actor)
        incident_store.attach(session, incident_id=row.id, alert_ids=members, taking=anew, **who)
    meet(session, rows=kept.rows, **who)
    testify(session, alerts=noticed, **who)
    rows = tuple(
        incident_store.get(session, tenant=tenant, incident_id=row.id) for row in kept.rows
    )
    foretold.settle(session, tenant=tenant, incidents=rows)
    return replace(kept, ids=tuple(row.id for row in rows), rows=rows)


# ── which is which ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class _Course(Generic[Row]):
    """From when until when an incident or alert is known to have gone on, and all names of what it was at, in lower case."""

    row: Row
    start: datetime
    end: datetime
    names: frozenset[str]

    def near(self, other: _Course[Any]) -> bool:
        """Whether both went on at once, or no further apart than their domain's pause."""
        gap = max(self.start - other.end, other.start - self.end)
        return gap <= pause(self.row.domain)


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
    began nearest. Nothing is joined twice, and nothing that people parted. What was told then takes as evidence the
    alerts of its place and time that no cause explains.

    telling : what the told ones of these rows are being told with
    """
    free = {row.id: row for row in rows if row.status in STATUSES and not row.apart}
    if not free:
        return
    known = _courses(session, tenant, free.values())
    found_alone = all(row.source == OWN for row in free.values())
    others = _courses(session, tenant, _near(session, tenant, known, told=found_alone))
    told = [one for one in (*known, *others) if one.row.source != OWN]
    spoken_for = _findings(session, tenant, [one.row.id for one in told])
    at = _by_name([one for one in (*known, *others) if one.row.source == OWN])
    pairs: dict[tuple[int, int], tuple[timedelta, str, _Course[Incident], _Course[Incident]]] = {}
    for one in told:
        names = one.names if one.row.id not in spoken_for else ()
        for name in sorted(names):
            for other in at.get((one.row.domain, name), ()):
                if one.near(other):
                    key = one.row.id, other.row.id
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
                one.row,
                other.row,
                why=why,
                now=now,
                actor=actor,
                telling=telling,
            )
    if told:
        first, last = _reach(told)
        around = (Alert.last_seen >= first, Alert.onset <= last)
        of_domain = Alert.domain.in_({one.row.domain for one in told})
        _take(session, told, _lone(session, tenant, of_domain, *around), now=now, actor=actor)


def testify(
    session: Session, *, tenant: str, alerts: Sequence[int], now: datetime, actor: str
) -> None:
    """Put those of the alerts that are in no incident under the one that somebody told of the same outbreak, if any.

    They are evidence of it; of several the one that began nearest takes them, none that people parted.
    """
    for some in in_parts(alerts):
        if lone := _lone(session, tenant, Alert.id.in_(some)):
            told = _courses(session, tenant, _near(session, tenant, lone, told=True))
            _take(session, told, lone, now=now, actor=actor)


def _lone(session: Session, tenant: str, *which: ColumnElement[bool]) -> list[_Course[Alert]]:
    """The alerts that are in no incident, but those that foretell one."""
    query = select(Alert).where(
        Alert.tenant == tenant, Alert.incident_id.is_(None), Alert.predicted_for.is_(None), *which
    )
    return [
        _Course(alert, alert.onset, alert.last_seen, _called((*_places(alert), *alert.services)))
        for alert in session.scalars(query.order_by(Alert.id))
    ]


def _take(
    session: Session,
    told: Iterable[_Course[Incident]],
    lone: Sequence[_Course[Alert]],
    *,
    now: datetime,
    actor: str,
) -> None:
    """Put each alert under the told incident that is the same outbreak, if any; the audit tells of it."""
    at = _by_name(told)
    taken: dict[int, tuple[Incident, list[Alert], set[str]]] = {}
    for alert in lone:
        likely = [
            (abs(one.start - alert.start), one.row.id, name, one.row)
            for name in alert.names
            for one in at.get((alert.row.domain, name), ())
            if one.near(alert)
        ]
        if likely:
            _, number, name, incident = min(likely, key=lambda one: one[:3])
            _, alerts, names = taken.setdefault(number, (incident, [], set()))
            alerts.append(alert.row)
            names.add(name)
    for incident, alerts, names in taken.values():
        edit = Edit(session, actor=actor, now=now)
        for row in alerts:
            edit.change(row, incident_id=incident.id)
        follow(edit, incident, alerts=alerts)
        recount(session, incident)
        after = edit.after | {"why": f"no cause stands out; at {', '.join(sorted(names))} then"}
        audit_store.tell(session, incident, "take", actor=actor, now=now, after=after)


def _by_name(courses: Iterable[_Course[Row]]) -> dict[tuple[str, str], list[_Course[Row]]]:
    """Domain and name → what went on there."""
    at: dict[tuple[str, str], list[_Course[Row]]] = {}
    for one in courses:
        for name in one.names:
            at.setdefault((one.row.domain, name), []).append(one)
    return at


def _reach(known: Sequence[_Course[Any]]) -> tuple[datetime, datetime]:
    """From when until when anything may have gone on that is the same outbreak as one of these."""
    longest = max(pause(one.row.domain) for one in known)
    return min(one.start for one in known) - longest, max(one.end for one in known) + longest


def _near(
    session: Session, tenant: str, known: Sequence[_Course[Any]], *, told: bool
) -> list[Incident]:
    """Incidents that were told, else those that were found, that may have gone on when one of these did."""
    first, last = _reach(known)
    seen = select(Alert.incident_id).where(Alert.tenant == tenant, Alert.last_seen >= first)
    query = select(Incident).where(
        Incident.tenant == tenant,
        Incident.source != OWN if told else Incident.source == OWN,
        Incident.domain.in_({one.row.domain for one in known}),
        Incident.status.in_(STATUSES),
        Incident.apart.is_(False),
        Incident.onset <= last,
        or_(Incident.onset >= first - GOES_ON, Incident.ended_at >= first, Incident.id.in_(seen)),
    )
    return list(session.scalars(query.order_by(Incident.id)))


def _courses(session: Session, tenant: str, rows: Iterable[Incident]) -> list[_Course[Incident]]:
    told = list(rows)
    under = _alerts_under(session, tenant, [row.id for row in told])
    return [_course(row, under.get(row.id, [])) for row in told]


def _course(row: Incident, alerts: Sequence[Alert]) -> _Course[Incident]:
    names = [*row.services, row.root_entity, row.root_name]
    names += [name for alert in alerts for name in _places(alert)]
    if row.source == OWN:
        end = max((alert.last_seen for alert in alerts), default=row.onset)
    else:
        end = min(row.resolved_at or row.onset + GOES_ON, row.onset + GOES_ON)
    return _Course(row, row.onset, max(row.ended_at or end, row.onset), _called(names))


def _places(alert: Alert) -> tuple[str, str]:
    return alert.entity, alert.entity_name


def _called(names: Iterable[str]) -> frozenset[str]:
    """The names in lower case, with and without their level."""
    return frozenset(
        part.lower() for name in names for part in (name, name.partition(":")[2]) if part
    )


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


def follow(
    edit: Edit,
    incident: Incident,
    was: Mapping[str, Any] = OPEN,
    alerts: Sequence[Alert] | None = None,
) -> None:
    """Let the alerts that stood where an incident stood come along to where it was told to be.

    Active ones that were over by then are resolved with it; one that went on speaks for itself.

    was    : where it stood before
    alerts : those of its alerts that do; all where absent
    """
    if alerts is None:
        about = {"tenant": incident.tenant, "incident_id": incident.id}
        alerts = incident_store.alerts(edit.session, **about)
    over = (incident.ended_at or incident.resolved_at or edit.now) + pause(incident.domain)
    by = f"{was['status']}_by"
    for alert in alerts:
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

    The alerts go with what was found, those that were evidence alone stand alone again, the labels stay with what was
    told. Raises ConflictError where nothing was joined to it, or it changed since `expected_version`.
    """
    told = incident_store.get(session, tenant=tenant, incident_id=incident_id)
    audit_store.check_version("part", told, expected_version)
    found = _findings(session, tenant, [told.id]).get(told.id)
    if found is None and not _evidence(session, told):
        rule = "one that was told and that Headwater found too"
        raise ConflictError.of("part", f"incident {told.id}", rule, f"told by {told.source} alone")
    edit = Edit(session, actor=actor, now=now)
    alone = _part(edit, told, found)
    edit.change(told, apart=True)
    if note.strip():
        add_comment(edit, tenant, "incident", told.id, note)
    for row in filter(None, (told, found)):
        recount(session, row)
    edit.record(tenant=tenant, verb="part", object_kind="incident", object_id=told.id)
    testify(session, tenant=tenant, alerts=alone, now=now, actor=actor)
    return told


def undo(
    session: Session, *, tenant: str, actor: str, now: datetime, audit_id: int | None = None
) -> AuditEvent:
    """As `label_store.undo`; what was found outlives the undo of what was told, with its alerts and its labels."""
    event = label_store.undo(session, tenant=tenant, actor=actor, now=now, audit_id=audit_id)
    touched = label_store.touched(session, event, Incident)
    gone = [row for row in touched if row.status == WITHDRAWN]
    findings = _findings(session, tenant, [row.id for row in gone])
    alone: list[int] = []
    for told in gone:
        edit = Edit(session, actor=actor, now=now)
        found = findings.get(told.id)
        alone += _part(edit, told, found)
        if found is not None:
            _hand_over(session, told, found)
            recount(session, found)
        if edit.after:
            audit_store.tell(session, told, "part", actor=actor, now=now, after=edit.after)
    for row in touched:
        recount(session, row)
    meet(session, tenant=tenant, rows=touched, now=now, actor=actor)
    testify(session, tenant=tenant, alerts=alone, now=now, actor=actor)
    return event


def _part(edit: Edit, told: Incident, found: Incident | None) -> list[int]:
    """Give what was found its own back; what was told says of its root again what it said last.

    Returns the numbers of the alerts that stand alone again: its evidence, and all of one that is withdrawn and was
    never found.
    """
    said = receipt_store.told(edit.session, told.tenant, told)
    as_told = said.get("resolved_by") == told.resolved_by is not None
    evidence = _evidence(edit.session, told)
    own: list[Alert] = []
    alone: list[int] = []
    for alert in _alerts_under(edit.session, told.tenant, [told.id]).get(told.id, []):
        # what ended only because the other one was told to have ended goes on
        ended = {**OPEN} if as_told and alert.resolved_by == told.resolved_by else {}
        if alert.id in evidence or (found is None and told.status == WITHDRAWN):
            edit.change(alert, incident_id=None, muted_by=None, **ended)
            alone.append(alert.id)
        elif found is not None:
            edit.change(alert, incident_id=found.id, **ended)
            own.append(alert)
    if found is not None:
        stands = min(own, key=lambda alert: STATUSES.index(alert.status), default=None)
        edit.change(found, joined=None, **(OPEN if stands is None else position(stands)))
        for alert in own:
            edit.change(alert, muted_by=muter(found, alert))
        names = [name for name in (*CAUSE, *COST) if name in said]
        edit.change(told, **{name: said[name] for name in names})
    return alone


def _evidence(session: Session, told: Incident) -> set[int]:
    """Numbers of the alerts that it took and that no finding has brought to it since."""
    query = select(AuditEvent.verb, AuditEvent.after).where(
        AuditEvent.tenant == told.tenant,
        AuditEvent.object_kind == "incident",
        AuditEvent.object_id == str(told.id),
        AuditEvent.verb.in_(("take", "join")),
    )
    taken: set[int] = set()
    for verb, after in session.execute(query.order_by(AuditEvent.id)):
        numbers = {
            int(key.partition("/")[2])
            for key, written in (after or {}).items()
            if key.startswith("alert/") and "incident_id" in written
        }
        taken = taken | numbers if verb == "take" else taken - numbers
    return taken


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
