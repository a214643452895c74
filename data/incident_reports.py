"""Incidents that somebody else tells: a pager, a file, a person. Told again, they are the same incident.

What was told last is kept beside each incident, and only what is told differently since is taken over: a
correction that a person made here outlives the same report delivered once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import InvalidInputError
from data import audit_store, foretold, outbreaks, receipt_store
from data.audit_store import Edit
from data.columns import plain
from data.finding_store import Upserted, check_severities, fingerprint
from data.incident_store import CAUSE, OWN, WITHDRAWN, facts_of, get
from data.receipt_store import CORRECTED, TOLD
from data.record_store import in_parts
from data.records import SEVERITIES, STATUSES, Incident, NewIncident

EDITABLE = ("title", "description", "severity", "services", "regions", "onset", "ended_at")


@dataclass(frozen=True)
class Report:
    """What somebody tells of one incident; `stands` holds its status and the stamps of who moved it when."""

    facts: NewIncident
    stands: Mapping[str, Any] = field(default_factory=lambda: {"status": "open"})

    @property
    def key(self) -> str:
        """What it is called by whom, in one text."""
        return receipt_store.told_key(self.facts)

    @property
    def told(self) -> dict[str, Any]:
        """Everything it says, by column."""
        return facts_of(self.facts) | dict(self.stands)


def report(
    session: Session,
    *,
    tenant: str,
    found: Sequence[Report],
    actor: str,
    now: datetime,
    verb: str = "report",
) -> Upserted:
    """Store what was told: new incidents, and what is told differently of known ones; one undo takes it back.

    The last of several reports of one incident counts. Raises InvalidInputError on an unknown severity or a
    report without a key.
    """
    check_severities([item.facts for item in found])
    latest = {item.key: item for item in found}
    if unnamed := [item for item in found if not item.facts.external_key]:
        raise InvalidInputError.of("report", "the incident's key", "given", unnamed[0].facts.title)
    known = _known(session, tenant, [_fingerprint(tenant, item) for item in latest.values()])
    before = receipt_store.outcomes(session, tenant=tenant, source=TOLD, keys=list(latest))
    edit = Edit(session, actor=actor, now=now)
    rows: dict[str, Incident] = {}
    tally: Counter[str] = Counter()
    news: dict[str, dict[str, Any]] = {}
    for key, item in latest.items():
        told, saying = item.told, plain(item.told)
        if before.get(key) != saying:
            news[key] = saying
        row = known.get(_fingerprint(tenant, item))
        if row is None:
            rows[key] = _new(tenant, item, actor, now)
            tally["created"] += 1
            continue
        rows[key] = row
        last = {} if row.status == WITHDRAWN else before.get(key, {})
        changed = {
            name: value
            for name, value in told.items()
            # nobody but Headwater says more of the root than was said at first
            if name not in CAUSE
            and saying[name] != last.get(name, ...)
            and saying[name] != plain(getattr(row, name))
        }
        if changed:
            was = outbreaks.position(row)
            edit.change(row, **changed)
            if row.alerts and "status" in changed:
                outbreaks.follow(edit, row, was)
        tally["updated" if changed else "unchanged"] += 1
    edit.create([row for row in rows.values() if row.id is None], status=WITHDRAWN)
    foretold.settle(session, tenant=tenant, incidents=list(rows.values()))
    outbreaks.meet(session, tenant=tenant, rows=rows.values(), now=now, actor=actor, telling=edit)
    receipt_store.keep(session, tenant=tenant, source=TOLD, outcomes=news, now=now)
    ids = tuple(rows[item.key].id for item in found)
    if edit.after:
        named = str(ids[0]) if len(rows) == 1 else f"{min(ids)}-{max(ids)}"
        edit.record(tenant=tenant, verb=verb, object_kind="incident", object_id=named)
    return Upserted(
        tally["created"],
        tally["updated"],
        tally["unchanged"],
        ids,
        tuple(rows[item.key] for item in found),
    )


def find(session: Session, *, tenant: str, source: str, key: str) -> Incident | None:
    """The incident that a source calls by this key, None where it told of none."""
    wanted = fingerprint(tenant, source, key)
    return _known(session, tenant, [wanted]).get(wanted)


def edit(
    session: Session,
    *,
    tenant: str,
    incident_id: int,
    values: Mapping[str, Any],
    actor: str,
    now: datetime,
    expected_version: int | None = None,
) -> Incident:
    """Correct what is said of an incident; `ConflictError` when it changed since `expected_version`."""
    for name in values:
        if name not in EDITABLE:
            rule = f"one of {', '.join(EDITABLE)}"
            raise InvalidInputError.of("edit", "the field of an incident", rule, name)
    row = get(session, tenant=tenant, incident_id=incident_id)
    audit_store.check_version("edit", row, expected_version)
    changed = {
        name: value for name, value in values.items() if plain(getattr(row, name)) != plain(value)
    }
    if "severity" in changed:
        if changed["severity"] not in SEVERITIES:
            rule = f"one of {', '.join(SEVERITIES)}"
            raise InvalidInputError.of("edit", "the severity", rule, changed["severity"])
        changed["severity_rank"] = SEVERITIES.index(changed["severity"])
    check_order({"onset": row.onset, "ended_at": row.ended_at} | changed)
    if changed:
        if row.was_predicted is not None and changed.keys() & {"onset", "services"}:
            corrected = Incident(**(row.model_dump() | changed))
            warning = foretold.warning(session, tenant=tenant, incident=corrected)
            changed |= foretold.judged(corrected, warning)
        change = Edit(session, actor=actor, now=now)
        change.change(row, **changed)
        change.record(tenant=tenant, verb="edit", object_kind="incident", object_id=row.id)
        if row.source == OWN:
            _remember(session, row, changed, now)
    if changed.keys() & {"onset", "ended_at", "services"}:
        outbreaks.meet(session, tenant=tenant, rows=[row], now=now, actor=actor)
    return row


def _remember(session: Session, row: Incident, changed: Mapping[str, Any], now: datetime) -> None:
    """Keep what people said instead of what was found: no run says it otherwise while it stands."""
    about: dict[str, Any] = {"tenant": row.tenant, "source": CORRECTED}
    before = receipt_store.get(session, **about, key=str(row.id))
    said = (before.outcome if before else {}) | plain(dict(changed))
    receipt_store.keep(session, **about, outcomes={str(row.id): said}, now=now)


def picture(
    session: Session, *, tenant: str, incident_id: int, snapshots: Mapping[str, Any]
) -> None:
    """Keep what the incident's metrics were; no person's act, so neither its version nor the audit tells of it."""
    get(session, tenant=tenant, incident_id=incident_id).snapshots = dict(snapshots)


def unpictured(session: Session, *, tenant: str) -> list[Incident]:
    """Incidents whose snapshots are not final, the latest first."""
    query = select(Incident).where(Incident.tenant == tenant, Incident.status.in_(STATUSES))
    rows = session.scalars(query.order_by(Incident.onset.desc(), Incident.id))
    return [row for row in rows if not row.snapshots.get("final")]


def check_order(told: Mapping[str, Any]) -> None:
    """Refuse an incident that ended before it began."""
    if told["ended_at"] is not None and told["ended_at"] < told["onset"]:
        raise InvalidInputError.of(
            "incident",
            "the end",
            f"no earlier than the onset, {told['onset']:%Y-%m-%d %H:%M} UTC",
            f"{told['ended_at']:%Y-%m-%d %H:%M} UTC",
        )


def _new(tenant: str, item: Report, actor: str, now: datetime) -> Incident:
    return Incident(
        **item.told,
        tenant=tenant,
        fingerprint=_fingerprint(tenant, item),
        created_at=now,
        updated_at=now,
        updated_by=actor,
    )


def _fingerprint(tenant: str, item: Report) -> str:
    return fingerprint(tenant, item.facts.source, item.facts.external_key)


def _known(session: Session, tenant: str, fingerprints: Sequence[str]) -> dict[str, Incident]:
    return {row.fingerprint: row for row in _by_fingerprint(session, tenant, fingerprints)}


def _by_fingerprint(
    session: Session, tenant: str, fingerprints: Sequence[str]
) -> Iterator[Incident]:
    for some in in_parts(fingerprints):
        query = select(Incident).where(Incident.tenant == tenant, Incident.fingerprint.in_(some))
        yield from session.scalars(query)
