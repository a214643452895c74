"""Incidents as people meet them: worst first, opened with their alerts, moved and taken back as one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from data import alert_store, alert_tally, audit_store, incident_store
from data.records import Alert, AuditEvent, Comment, Incident, IncidentFacts, Lifecycle
from workbench.context import Context
from workbench.services.alerts import read_cursor, statuses, write_cursor


class IncidentLine(IncidentFacts, Lifecycle):
    """An incident of a list, with the alert that speaks for it."""

    id: int
    severity_rank: int
    alerts: int
    alert_id: int | None = None


@dataclass(frozen=True, eq=False)
class IncidentPage:
    """One page of incidents, worst and latest first; `next` opens the following one, None at the end."""

    incidents: list[IncidentLine]
    next: str | None


@dataclass(frozen=True, eq=False)
class IncidentDetail:
    """One incident with its alerts (muted ones too), comments and audit events; `candidates` are its own."""

    incident: Incident
    alerts: list[Alert]
    comments: list[Comment]
    history: list[AuditEvent]


def page(
    ctx: Context,
    tenant: str,
    *,
    domain: str = "",
    status: str | None = None,
    severity: str | None = None,
    text: str = "",
    after: str | None = None,
    limit: int = 50,
) -> IncidentPage:
    """Incidents after the cursor `after`; without a status, the active ones."""

    def read(session: Any) -> tuple[Any, dict[int, int]]:
        found = incident_store.page(
            session,
            tenant=tenant,
            domain=domain,
            status=statuses(status),
            severity=(severity,) if severity else (),
            text=text,
            after=read_cursor(after),
            limit=limit,
        )
        ids = [incident.id for incident in found.rows]
        return found, alert_tally.leading_alerts(session, tenant=tenant, incidents=ids)

    found, leading = ctx.records.read(tenant, read)
    lines = [
        IncidentLine(**incident.model_dump(), alert_id=leading.get(incident.id))
        for incident in found.rows
    ]
    return IncidentPage(lines, write_cursor(found.after))


def get(ctx: Context, tenant: str, incident_id: int) -> IncidentDetail:
    """One incident; NotFoundError when the tenant has none of that number."""
    about: dict[str, Any] = {"tenant": tenant}
    return ctx.records.read(
        tenant,
        lambda session: IncidentDetail(
            incident_store.get(session, **about, incident_id=incident_id),
            incident_store.alerts(session, **about, incident_id=incident_id),
            alert_store.comments(session, **about, object_kind="incident", object_id=incident_id),
            audit_store.history(session, **about, objects=[("incident", incident_id)]),
        ),
    )


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


def comment(ctx: Context, tenant: str, incident_id: int, *, actor: str, text: str) -> Comment:
    """Say something about an incident."""
    now = ctx.clock()
    return ctx.records.write(
        tenant,
        lambda session: incident_store.comment(
            session, tenant=tenant, incident_id=incident_id, actor=actor, now=now, body=text
        ),
    )
