"""Incidents as people meet them: told by whoever noticed, worst first, opened with all that happened around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from core.cases import Graph
from core.contracts import OnStep
from core.domains import DOMAINS
from core.errors import CancelledError, ConflictError, InvalidInputError, UnknownNameError
from data import (
    alert_store,
    alert_tally,
    audit_store,
    change_store,
    foretold,
    incident_reports,
    incident_store,
    outbreaks,
)
from data.finding_store import fingerprint
from data.incident_reports import Report
from data.ingest import incident_files
from data.ingest.incident_files import reported, standing
from data.records import (
    SEVERITIES,
    Alert,
    AuditEvent,
    ChangeEvent,
    Comment,
    Incident,
    IncidentFacts,
    Lifecycle,
    NewIncident,
)
from workbench.context import Context
from workbench.services import snapshots, taxonomy
from workbench.services.alerts import read_cursor, statuses, write_cursor
from workbench.services.changes import BY_HAND, Imported, content_of, known_domain
from workbench.services.snapshots import Look, Measured
from workbench.services.taxonomy import Taxonomy

LABELS = ("unlabeled", "labeled", "validated")
SOURCES = ("headwater", "pagerduty", "file", "hand")
ALWAYS = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))
CHANGES_BEFORE, CHANGES_AFTER = timedelta(hours=24), timedelta(hours=6)
"""How far around an incident its change events are looked for."""


class IncidentLine(IncidentFacts, Lifecycle):
    """An incident of a list, with its label and the alert that speaks for it; minutes are None while it goes on.

    found                 : Headwater found it, whoever told of it too
    looks_like, judged_as : what Headwater and people call its cause, in the tenant's words of today; "" for none
    """

    id: int
    severity_rank: int
    alerts: int
    root_cause: str
    component: str
    cause_confidence: float | None
    label_status: str
    labelled_by: str
    labelled_at: datetime | None
    was_predicted: bool | None
    prediction_accuracy: float | None
    duration_minutes: float | None
    found: bool
    looks_like: str
    judged_as: str
    alert_id: int | None = None


@dataclass(frozen=True, eq=False)
class IncidentPage:
    """One page of incidents, worst and latest first; `next` opens the following one, None at the end."""

    incidents: list[IncidentLine]
    next: str | None


@dataclass(frozen=True, eq=False)
class Unlabeled:
    """Incidents that nobody labelled yet, and how many of all are labelled."""

    incidents: list[IncidentLine]
    labeled: int
    total: int
    next: str | None


@dataclass(frozen=True, eq=False)
class IncidentDetail:
    """One incident with its alerts (muted ones too), what was done to the system around it, comments and audit events.

    foretold : the alert that said it would come, None where none did
    found, looks_like, judged_as : as of a line
    """

    incident: Incident
    alerts: list[Alert]
    comments: list[Comment]
    history: list[AuditEvent]
    changes: list[ChangeEvent]
    duration_minutes: float | None
    found: bool
    looks_like: str
    judged_as: str
    foretold: Alert | None = None


@dataclass(frozen=True, eq=False)
class Recorded:
    """An incident that was told, and what of it nobody here knows."""

    incident: Incident
    created: bool
    warnings: tuple[str, ...]


def page(
    ctx: Context,
    tenant: str,
    *,
    domain: str = "",
    status: str | None = None,
    severity: str | None = None,
    source: str | None = None,
    label: str | None = None,
    service: str | None = None,
    cause: str | None = None,
    span: tuple[datetime, datetime] | None = None,
    text: str = "",
    after: str | None = None,
    limit: int = 50,
) -> IncidentPage:
    """Incidents after the cursor `after`; without a status, the active ones ("any" for all).

    label : unlabeled, labeled or validated        span : bounds of the onset, half open
    cause : what people call it, else what Headwater does; with all that counts as that today
    """
    words = taxonomy.vocabulary(ctx, tenant)

    def read(session: Any) -> tuple[Any, dict[int, int]]:
        found = incident_store.page(
            session,
            tenant=tenant,
            domain=domain and known_domain(domain),
            status=statuses(status),
            severity=_one_of("the severity", severity, SEVERITIES),
            source=source or "",
            label="".join(_one_of("the label status", label, LABELS)),
            service=service or "",
            causes=_counted(words, domain, cause),
            span=span,
            text=text,
            after=read_cursor(after),
            limit=limit,
        )
        ids = [incident.id for incident in found.rows]
        return found, alert_tally.leading_alerts(session, tenant=tenant, incidents=ids)

    found, leading = ctx.records.read(tenant, read)
    lines = [
        IncidentLine(
            **incident.model_dump(),
            duration_minutes=duration(incident),
            found=found_too(incident),
            looks_like=words(incident.domain).said(incident.cause_type),
            judged_as=words(incident.domain).said(incident.root_cause),
            alert_id=leading.get(incident.id),
        )
        for incident in (taxonomy.retold(words, row) for row in found.rows)
    ]
    return IncidentPage(lines, write_cursor(found.after))


def between(start: datetime | None, end: datetime | None) -> tuple[datetime, datetime] | None:
    """The span that starts and ends then, an open end far away; None where neither is given."""
    if start is None and end is None:
        return None
    first, last = (moment and moment.astimezone(UTC) for moment in (start, end))
    return first or ALWAYS[0], last or ALWAYS[1]


def unlabeled(
    ctx: Context, tenant: str, *, domain: str = "", after: str | None = None, limit: int = 50
) -> Unlabeled:
    """Incidents of any status without a label, worst and latest first, with the counts of all."""
    found = page(
        ctx, tenant, domain=domain, status="any", label="unlabeled", after=after, limit=limit
    )
    counts = ctx.records.read(
        tenant, lambda session: incident_store.tally(session, tenant=tenant, domain=domain)
    )
    total = sum(counts.values())
    return Unlabeled(found.incidents, total - counts.get("unlabeled", 0), total, found.next)


def duration(incident: Incident) -> float | None:
    """Minutes from onset to end, None while it goes on."""
    over = snapshots.ended(incident)
    return None if over is None else (over - incident.onset).total_seconds() / 60


def found_too(incident: Incident) -> bool:
    """Whether Headwater found it: what others told alone has no root."""
    return bool(incident.root_entity)


def get(ctx: Context, tenant: str, incident_id: int) -> IncidentDetail:
    """One incident, by the number of what was told of it or found; NotFoundError when the tenant has none such."""
    about: dict[str, Any] = {"tenant": tenant}
    now, words = ctx.clock(), taxonomy.vocabulary(ctx, tenant)

    def read(session: Any) -> IncidentDetail:
        incident = incident_store.get(session, **about, incident_id=incident_id)
        own = incident_store.finding(session, **about, incident_id=incident.id)
        objects = [("incident", row.id) for row in (incident, own) if row is not None]
        said = [
            one
            for kind, number in objects
            for one in alert_store.comments(session, **about, object_kind=kind, object_id=number)
        ]
        around = change_store.between(
            session,
            **about,
            domain=incident.domain,
            start=incident.onset - CHANGES_BEFORE,
            end=min(snapshots.ended(incident) or now, now) + CHANGES_AFTER,
        )
        return IncidentDetail(
            incident,
            incident_store.alerts(session, **about, incident_id=incident.id),
            sorted(said, key=lambda one: one.id),
            audit_store.history(session, **about, objects=objects),
            around,
            duration(incident),
            found_too(incident),
            "",
            "",
            foretold.warning(session, **about, incident=incident)
            if incident.was_predicted
            else None,
        )

    found = ctx.records.read(tenant, read)
    known = words(found.incident.domain)
    return replace(
        found,
        incident=taxonomy.retold(words, found.incident),
        alerts=[taxonomy.retold(words, alert) for alert in found.alerts],
        looks_like=known.said(found.incident.cause_type),
        judged_as=known.said(found.incident.root_cause),
        foretold=found.foretold and taxonomy.retold(words, found.foretold),
    )


def _counted(
    words: Callable[[str], Taxonomy], domain: str, cause: str | None
) -> dict[str, tuple[str, ...]] | None:
    """Domain → the names that count today as a cause; None where none is asked for. Refused where no domain knows it."""
    if not cause:
        return None
    names = {one: words(one).counted(cause) for one in ([domain] if domain else DOMAINS)}
    if not any(names.values()):
        known = [word.name for one in names for word in words(one).active]
        rule = f"one of {', '.join(dict.fromkeys(known))}"
        raise UnknownNameError.of("incidents", "the cause", rule, cause)
    return names


# ── told by somebody ─────────────────────────────────────────────────────────────────────────────


def record(
    ctx: Context,
    tenant: str,
    *,
    title: str,
    severity: str,
    onset: datetime,
    domain: str = "services",
    description: str = "",
    ended_at: datetime | None = None,
    services: Sequence[str] = (),
    regions: Sequence[str] = (),
    key: str = "",
    actor: str,
) -> Recorded:
    """Note an incident by hand; told again by the same `key`, or in the same words, it is the same one.

    Services that were never measured are kept as told and named in the warnings.
    """
    if not title.strip():
        raise InvalidInputError.of("incidents", "the title", "given", title)
    facts = reported(
        known_domain(domain),
        source=BY_HAND,
        key=key or fingerprint(domain, title.strip(), onset, sorted(services))[:32],
        title=title.strip(),
        description=description.strip(),
        severity=severity,
        onset=onset,
        ended_at=ended_at,
        services=_names(services),
        regions=_names(regions),
    )
    incident_reports.check_order({"onset": onset, "ended_at": ended_at})
    return report(ctx, tenant, Report(facts, standing(ended_at, actor)), actor=actor, verb="record")


def report(
    ctx: Context, tenant: str, told: Report, *, actor: str, verb: str = "report"
) -> Recorded:
    """Store one report of an incident, with a warning about each service that was never measured."""
    now = ctx.clock()
    kept = ctx.records.write(
        tenant,
        lambda session: incident_reports.report(
            session, tenant=tenant, found=[told], actor=actor, now=now, verb=verb
        ),
    )
    warnings = unknown(ctx, tenant, told.facts.domain, told.facts.services)
    return Recorded(kept.rows[0], bool(kept.created), warnings)


def import_csv(
    ctx: Context,
    tenant: str,
    domain: str,
    source: Path | bytes,
    *,
    actor: str,
    file: str = "incidents.csv",
) -> Imported:
    """Take in a CSV of incidents (title, severity, started_at; id, description, ended_at, services, regions).

    The same file again changes nothing; one undo takes all of it back. Rows that break a rule are left out and told.
    """
    content, name = content_of(source, file)
    told = incident_files.incidents(content, name, known_domain(domain))
    now = ctx.clock()
    kept = ctx.records.write(
        tenant,
        lambda session: incident_reports.report(
            session, tenant=tenant, found=told.rows, actor=actor, now=now, verb="import"
        ),
    )
    services = {name for row in told.rows for name in row.facts.services}
    warnings = unknown(ctx, tenant, domain, sorted(services)) if told.rows else ()
    notes = (*told.notes, *warnings)
    return Imported(name, kept.created, kept.updated, kept.unchanged, told.refused, notes)


def raise_from(ctx: Context, tenant: str, alert_id: int, *, actor: str) -> Incident:
    """Make an incident of an alert that stands alone; ConflictError where one speaks for it already."""
    now = ctx.clock()

    def write(session: Any) -> Incident:
        alert = alert_store.get(session, tenant=tenant, alert_id=alert_id)
        if alert.incident_id is not None:
            raise ConflictError.of(
                "raise", f"alert {alert_id}", "without an incident", f"incident {alert.incident_id}"
            )
        service = alert.entity_name or alert.entity
        facts = NewIncident(
            title=f"{service}: {alert.sentence}" if alert.sentence else service,
            domain=alert.domain,
            severity=alert.severity,
            onset=alert.onset,
            root_entity=alert.entity,
            root_name=alert.entity_name,
            root_level=alert.level,
            cause_type="",
            confidence=0.0,
            method=BY_HAND,
            spend_at_risk=alert.spend_at_risk,
            money_impact=alert.revenue_impact or 0.0,
            currency=alert.currency,
            external_key=f"alert/{alert_id}",
            services=alert.services or ([service] if alert.level == "service" else []),
        )
        who: dict[str, Any] = {"tenant": tenant, "actor": actor, "now": now}
        kept = incident_reports.report(session, found=[Report(facts)], verb="raise", **who)
        return incident_store.attach(session, incident_id=kept.ids[0], alert_ids=[alert_id], **who)

    return ctx.records.write(tenant, write)


def edit(
    ctx: Context,
    tenant: str,
    incident_id: int,
    *,
    values: Mapping[str, Any],
    actor: str,
    expected_version: int | None = None,
) -> Incident:
    """Correct title, description, severity, services, regions, onset or end; one undo takes it back."""
    now = ctx.clock()
    lists = {name: _names(values[name]) for name in ("services", "regions") if name in values}
    if "title" in values and not str(values["title"]).strip():
        raise InvalidInputError.of("edit", "the title", "given", values["title"])
    return ctx.records.write(
        tenant,
        lambda session: incident_reports.edit(
            session,
            tenant=tenant,
            incident_id=incident_id,
            values={**values, **lists},
            actor=actor,
            now=now,
            expected_version=expected_version,
        ),
    )


def unknown(ctx: Context, tenant: str, domain: str, services: Sequence[str]) -> tuple[str, ...]:
    """A warning that names the services that were never measured; none where all are known."""
    if not services:
        return ()
    found = snapshots.resolve(snapshots.graph(ctx, tenant, domain), services)
    missing = [name for name, entity in found.items() if not entity]
    return (f"never measured here: {', '.join(missing)}",) if missing else ()


def affected(incident: Incident, alerts: Sequence[Alert], known: Graph) -> tuple[str, ...]:
    """The entities that it hit: its services as the graph knows them, its root, and those of its alerts."""
    told = [name for name in snapshots.resolve(known, incident.services).values() if name]
    own = (incident.root_entity, *(alert.entity for alert in alerts))
    return tuple(dict.fromkeys((*told, *(entity for entity in own if entity in known.net))))


def _names(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in names if name.strip()))


def _one_of(thing: str, given: str | None, allowed: Sequence[str]) -> tuple[str, ...]:
    if not given:
        return ()
    if given not in allowed:
        raise UnknownNameError.of("incidents", thing, f"one of {', '.join(allowed)}", given)
    return (given,)


def look(
    ctx: Context,
    tenant: str,
    detail: IncidentDetail,
    known: Graph | None = None,
    there: Measured | None = None,
) -> Look | None:
    """What the metrics of an incident were before, during and after; None where nothing of that time is stored.

    The first snapshot and the final one are kept with it at once; those between come with `picture_due`.
    """
    incident = detail.incident
    known = known or snapshots.graph(ctx, tenant, incident.domain)
    entities = affected(incident, detail.alerts, known)
    there = there or snapshots.measured(ctx, tenant, incident.domain)
    seen = snapshots.look(ctx, tenant, incident, entities, known, there)
    kept = incident.snapshots
    if seen is not None and (not kept.get("rows") or (seen.final and not kept["final"])):
        snapshots.keep(ctx, tenant, incident, seen)
    return seen


def picture_due(ctx: Context, tenant: str, on_step: OnStep, *, limit: int = 200) -> int:
    """Keep anew the snapshots of the latest incidents that go on or whose metrics still come in; returns how many."""
    now, version = ctx.clock(), ctx.metrics.version(tenant)
    found = ctx.records.read(
        tenant, lambda session: incident_reports.unpictured(session, tenant=tenant)
    )
    due = [incident for incident in found if snapshots.due(incident, now, version)][:limit]
    known = {
        domain: (snapshots.graph(ctx, tenant, domain), snapshots.measured(ctx, tenant, domain))
        for domain in {incident.domain for incident in due}
    }
    for place, incident in enumerate(due):
        if on_step("snapshots", place / len(due), {"incident": float(incident.id)}) is False:
            raise CancelledError.of(
                "snapshots", "the chore", "allowed to go on", f"a stop after {place} incidents"
            )
        seen = look(ctx, tenant, get(ctx, tenant, incident.id), *known[incident.domain])
        snapshots.keep(ctx, tenant, incident, seen)
    return len(due)


# ── moved through its life ───────────────────────────────────────────────────────────────────────


def move(
    ctx: Context,
    tenant: str,
    incident_id: int,
    *,
    verb: str,
    actor: str,
    note: str = "",
    expected_version: int | None = None,
) -> Incident:
    """Acknowledge, resolve or reopen the incident and all its alerts, as one action with one undo."""
    now = ctx.clock()
    return ctx.records.write(
        tenant,
        lambda session: incident_store.move(
            session,
            verb=verb,
            tenant=tenant,
            incident_id=incident_id,
            actor=actor,
            now=now,
            expected_version=expected_version,
            note=note,
        ),
    )


acknowledge = partial(move, verb="acknowledge")
resolve = partial(move, verb="resolve")
reopen = partial(move, verb="reopen")


def part(
    ctx: Context,
    tenant: str,
    incident_id: int,
    *,
    actor: str,
    note: str = "",
    expected_version: int | None = None,
) -> Incident:
    """Part what somebody told from what Headwater found: two incidents from now on, whatever a run says.

    Raises ConflictError where nothing was joined, or it changed since `expected_version`.
    """
    now = ctx.clock()
    return ctx.records.write(
        tenant,
        lambda session: outbreaks.part(
            session,
            tenant=tenant,
            incident_id=incident_id,
            actor=actor,
            now=now,
            note=note,
            expected_version=expected_version,
        ),
    )


def comment(ctx: Context, tenant: str, incident_id: int, *, actor: str, text: str) -> Comment:
    """Say something about an incident."""
    now = ctx.clock()
    return ctx.records.write(
        tenant,
        lambda session: incident_store.comment(
            session, tenant=tenant, incident_id=incident_id, actor=actor, now=now, body=text
        ),
    )
