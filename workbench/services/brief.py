"""The morning brief: how things stand, what is open, and when it broke."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session
from sqlmodel import col

from core.domains import DOMAINS
from data import run_store
from data.records import ACTIVE, SEVERITIES, Alert, Alias, DetectionRun, Incident
from workbench.context import Context
from workbench.services import alerts
from workbench.services.views import Brief, Freshness, Standing

DAYS = 14


def freshness(context: Context, tenant: str, *, domain: str = "ads") -> Freshness:
    """How far the data of a domain reaches, and when its newest part was downloaded."""
    rows = context.metrics.coverage(tenant, DOMAINS[domain])
    return Freshness(
        max((row.day for row in rows if row.state != "missing"), default=None),
        max((row.as_of for row in rows if row.as_of is not None), default=None),
    )


def standing(context: Context, tenant: str, *, domain: str = "ads") -> Standing:
    """When detection last looked, at how much, and which model is the champion."""

    def look(session: Session) -> tuple[DetectionRun | None, DetectionRun | None, Alias | None]:
        latest = partial(run_store.latest, session, tenant=tenant, domain=domain)
        return latest(state="done"), latest(), session.get(Alias, (tenant, domain, "champion"))

    done, last, champion = context.records.read(tenant, look)
    return Standing(
        last_run=done.finished if done else None,
        entities_checked=done.entities_checked if done else 0,
        last_error=last.error if last and last.state == "failed" else "",
        champion=champion.version_id if champion else "",
    )


def of(context: Context, tenant: str, *, domain: str = "ads") -> Brief:
    """Open alerts, critical ones, incidents and spend at risk, with their last 14 days."""
    rows, onsets = context.records.read(tenant, lambda session: _open(session, tenant, domain))
    newest = max((row.day for row in rows), default=context.clock().date())
    days = tuple(newest - timedelta(days=back) for back in range(DAYS - 1, -1, -1))
    at_risk: dict[str, float] = {}
    for row in rows:
        at_risk[row.currency] = at_risk.get(row.currency, 0.0) + float(row.at_risk)
    main = max(at_risk, key=lambda currency: at_risk[currency], default="")
    critical = [row for row in rows if row.severity == "critical"]
    return Brief(
        open=sum(row.many for row in rows),
        critical=sum(row.many for row in critical),
        incidents=len(onsets),
        at_risk=at_risk,
        days=days,
        alerts_by_day=_by_day(((row.day, row.many) for row in rows), days),
        critical_by_day=_by_day(((row.day, row.many) for row in critical), days),
        incidents_by_day=_by_day(((onset.date(), 1) for onset in onsets), days),
        at_risk_by_day=_by_day(
            ((row.day, row.at_risk) for row in rows if row.currency == main), days
        ),
    )


def _open(
    session: Session, tenant: str, domain: str
) -> tuple[Sequence[Row[Any]], Sequence[datetime]]:
    """Active unmuted alerts by day, severity and currency, and the onsets of active incidents."""
    keys = (col(Alert.day), col(Alert.severity), col(Alert.currency))
    totals = (
        func.count(col(Alert.id)).label("many"),
        func.sum(col(Alert.spend_at_risk)).label("at_risk"),
    )
    counted = (
        select(*keys, *totals)
        .where(col(Alert.tenant) == tenant, col(Alert.domain) == domain)
        .where(col(Alert.status).in_(ACTIVE), col(Alert.muted_by).is_(None))
        .group_by(*keys)
    )
    onsets = select(col(Incident.onset)).where(
        col(Incident.tenant) == tenant,
        col(Incident.domain) == domain,
        col(Incident.status).in_(ACTIVE),
    )
    return session.execute(counted).all(), session.scalars(onsets).all()


def when(
    context: Context, tenant: str, filters: Mapping[str, Any]
) -> tuple[tuple[date, ...], dict[str, tuple[float, ...]]]:
    """Alerts by day and severity under the filters, every day between the first and last present."""
    cells = alerts.timeline(context, tenant, filters=filters)
    if not cells:
        return (), {}
    last = cells[-1].day
    first = min(cells[0].day, last - timedelta(days=DAYS - 1))
    days = tuple(first + timedelta(days=on) for on in range((last - first).days + 1))
    return days, {
        severity: _by_day(
            ((cell.day, cell.count) for cell in cells if cell.severity == severity), days
        )
        for severity in reversed(SEVERITIES)
    }


def arrived(context: Context, tenant: str, since: datetime) -> int:
    """Alerts created since then."""
    query = select(func.count(col(Alert.id))).where(
        col(Alert.tenant) == tenant, col(Alert.created_at) > since
    )
    return context.records.read(tenant, lambda session: session.scalar(query) or 0)


def _by_day(counted: Iterable[tuple[date, float]], days: Sequence[date]) -> tuple[float, ...]:
    sums = dict.fromkeys(days, 0.0)
    for day, amount in counted:
        if day in sums:
            sums[day] += float(amount)
    return tuple(sums.values())
