"""Measurements are kept for so many days back from the newest, and longer around incidents that still need them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from core.contracts import OnStep
from core.domain import Domain
from core.domains import DOMAINS
from core.errors import CancelledError
from data import audit_store, incident_store
from data.records import ACTIVE, Incident
from data.sample_retention import Forgotten
from workbench.context import Context
from workbench.services import causes, snapshots

MOST = 10_000
"""Incidents looked at, the latest that began before the cut."""
LEARNED_FROM = causes.NORMAL + causes.APART
"""How long before its onset a labelled incident is learned from."""


def forget(
    ctx: Context, tenant: str, *, domain: str, actor: str = "", on_step: OnStep | None = None
) -> Forgotten | None:
    """Drop what is past keeping, the oldest day first; None where nothing is, or all is kept for ever.

    Counted from the newest measurement, so that an old recording stays whole. What an open incident or one that
    people labelled was looked at with stays. The audit trail tells of it before it begins: a kill leaves whole days,
    and the next run goes on.
    """
    which, samples = DOMAINS[domain], ctx.metrics.samples
    before = cut(ctx, tenant, which)
    if before is None:
        return None
    held = _needed(ctx, tenant, which, before)
    due = samples.past_keeping(tenant, which, before, held)
    if due:
        _tell(ctx, tenant, domain, before, sum(due.values()), len(held), actor or ctx.actor)
    for place, day in enumerate(due):
        if on_step is not None and on_step(domain, place / len(due), {"days": place}) is False:
            rule = f"a stop after {place} of {len(due)} days"
            raise CancelledError.of("retention", "the clean-up", "allowed to go on", rule)
        samples.forget(tenant, which, before, held, day)
    samples.forget_unmeasured(tenant, which)
    return samples.forgotten(tenant, which) if due else None


def cut(ctx: Context, tenant: str, domain: Domain) -> datetime | None:
    """The midnight (UTC) before which nothing is kept; None where all is."""
    span = ctx.metrics.samples.span(tenant, domain)
    if span is None or not ctx.settings.sample_days:
        return None
    newest = min(span[1], ctx.clock().astimezone(UTC))
    midnight = newest.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=ctx.settings.sample_days)


def latest(ctx: Context, tenant: str, *, domain: str) -> Forgotten | None:
    """The newest clean-up that dropped something."""
    return ctx.metrics.samples.forgotten(tenant, DOMAINS[domain])


def _needed(
    ctx: Context, tenant: str, domain: Domain, before: datetime
) -> list[tuple[datetime, datetime]]:
    """The times that open and labelled incidents are judged and learned from."""
    early = ctx.records.read(
        tenant,
        lambda session: incident_store.before(
            session, tenant=tenant, domain=domain.name, onset=before + LEARNED_FROM, limit=MOST
        ),
    )
    span = ctx.metrics.samples.span(tenant, domain)
    until = span[1] if span else before
    return [_window(incident, domain, until) for incident in early if _is_needed(incident)]


def _is_needed(incident: Incident) -> bool:
    return incident.status in ACTIVE or incident.label_status in causes.LABELLED


def _window(incident: Incident, domain: Domain, until: datetime) -> tuple[datetime, datetime]:
    seen = snapshots.windows(incident, domain, until)
    return min(seen["before"][0], incident.onset - LEARNED_FROM), seen["after"][1]


def _tell(
    ctx: Context,
    tenant: str,
    domain: str,
    before: datetime,
    samples: int,
    incidents: int,
    actor: str,
) -> None:
    now = ctx.clock()
    ctx.records.write(
        tenant,
        lambda session: audit_store.record(
            session,
            tenant=tenant,
            actor=actor,
            now=now,
            verb="drop samples",
            object_kind="domain",
            object_id=domain,
            after={
                "before": before,
                "samples": samples,
                "days kept": ctx.settings.sample_days,
                "kept for incidents": incidents,
            },
        ),
    )
