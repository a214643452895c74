"""The morning brief: how things stand, what is open, and when it broke."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session
from sqlmodel import col

from core.domains import DOMAINS
from data.records import ACTIVE, SEVERITIES, Alert, Incident
from workbench.context import Context
from workbench.services import alerts
from workbench.services.alerts import HALF_DAY
from workbench.services.views import Arrivals, Brief, Freshness

DAYS = 14


def freshness(context: Context, tenant: str, *, domain: str = "ads") -> Freshness:
    """How far the data of a domain reaches, and when its newest part was downloaded."""
    rows = context.metrics.coverage(tenant, DOMAINS[domain])
    return Freshness(
        max((row.day for row in rows if row.state != "missing"), default=None),
        max((row.as_of for row in rows if row.as_of is not None), default=None),
    )


STATES = ("delivered", "partial", "missing")


def arrivals(context: Context, tenant: str, *, domain: str = "ads", days: int = 45) -> Arrivals:
    """What was delivered of the newest days, by report."""
    rows = context.metrics.coverage(tenant, DOMAINS[domain])
    days = tuple(last_day - timedelta(days=back) for back in range(DAYS - 1, -1, -1))
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
        alerts_by_day=_by_onset(((row.onset, row.many) for row in rows), days),
        critical_by_day=_by_onset(((row.onset, row.many) for row in critical), days),
        incidents_by_day=_by_onset(((onset, 1) for onset in onsets), days),
        at_risk_by_day=_by_onset(
            ((row.onset, row.at_risk) for row in rows if row.currency == main), days
        ),
    )


def _open(
    session: Session, tenant: str, domain: str
) -> tuple[Sequence[Row[Any]], Sequence[datetime]]:
    """Active unmuted alerts by onset, severity and currency, and the onsets of active incidents."""
    keys = (col(Alert.onset), col(Alert.severity), col(Alert.currency))
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
    context: Context, tenant: str, filters: Mapping[str, Any], *, last_day: date
) -> tuple[tuple[date, ...], dict[str, tuple[float, ...]]]:
    """Alerts by day of onset and severity under the filters, every day from the first onset to `last_day`."""
    rows = alerts.onsets(context, tenant, filters=filters)
    first = min((day for day, _, _ in rows), default=last_day)
    length = max((last_day - first).days + 1, DAYS)
    days = tuple(last_day - timedelta(days=back) for back in range(length - 1, -1, -1))
    return days, {
        severity: _by_day(((day, many) for day, kind, many in rows if kind == severity), days)
        for severity in reversed(SEVERITIES)
    }


def arrived(context: Context, tenant: str, since: datetime) -> int:
    """Alerts created since then."""
    query = select(func.count(col(Alert.id))).where(
        col(Alert.tenant) == tenant, col(Alert.created_at) > since
    )
    return context.records.read(tenant, lambda session: session.scalar(query) or 0)


def _by_onset(counted: Iterable[tuple[datetime, float]], days: Sequence[date]) -> tuple[float, ...]:
    return _by_day((((onset + HALF_DAY).date(), amount) for onset, amount in counted), days)


def _by_day(counted: Iterable[tuple[date, float]], days: Sequence[date]) -> tuple[float, ...]:
    sums = dict.fromkeys(days, 0.0)
    for day, amount in counted:
        if day in sums:
            sums[day] += float(amount)
    return tuple(sums.values())
