"""The morning brief: how things stand, what is open, and when it broke."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
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
from workbench.services.alerts import HALF_DAY
from workbench.services.views import Arrivals, Brief, Freshness, Standing

DAYS = 14
ARRIVAL_DAYS = 45
STATES = ("delivered", "partial", "missing")


# ── How things stand ─────────────────────────────────────────────────────────────────────────────


def freshness(context: Context, tenant: str, *, domain: str = "ads") -> Freshness:
    """How far the data of a domain reaches, and when its newest part was downloaded."""
    rows = context.metrics.coverage(tenant, DOMAINS[domain])
    return Freshness(
        max((row.day for row in rows if row.state != "missing"), default=None),
        max((_utc(row.as_of) for row in rows if row.as_of is not None), default=None),
    )


def arrivals(context: Context, tenant: str, *, domain: str = "ads") -> Arrivals:
    """What was delivered of the newest days, by report."""
    rows = context.metrics.coverage(tenant, DOMAINS[domain])
    newest = max((row.day for row in rows), default=date.min)
    worst: dict[tuple[str, date], int] = {}
    for row in rows:
        if (newest - row.day).days < ARRIVAL_DAYS:
            key = (row.report, row.day)
            worst[key] = max(worst.get(key, 0), STATES.index(row.state))
    reports = tuple(sorted({report for report, _ in worst}))
    days = tuple(sorted({day for _, day in worst}))
    missing = STATES.index("missing")
    return Arrivals(
        reports,
        days,
        tuple(
            tuple(STATES[worst.get((report, day), missing)] for day in days) for report in reports
        ),
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


# ── What is open, and since when ─────────────────────────────────────────────────────────────────


def of(context: Context, tenant: str, *, last_day: date, domain: str = "ads") -> Brief:
    """Open alerts, critical ones, incidents and spend at risk, by onset over the 14 days to `last_day`."""
    rows, onsets = context.records.read(tenant, lambda session: _open(session, tenant, domain))
    days = _until(last_day, DAYS)
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
) -> tuple[Sequence[Row[datetime, str, str, int, float]], Sequence[datetime]]:
    """Active unmuted alerts by onset, severity and currency, and the onsets of active incidents."""
    keys = (col(Alert.onset), col(Alert.severity), col(Alert.currency))
    counted = (
        select(
            *keys,
            func.count(col(Alert.id)).label("many"),
            func.sum(col(Alert.spend_at_risk)).label("at_risk"),
        )
        .where(col(Alert.tenant) == tenant, col(Alert.domain) == domain)
        .where(col(Alert.status).in_(ACTIVE), col(Alert.muted_by).is_(None))
        .group_by(*keys)
    )
    onsets = (
        select(col(Incident.onset))
        .where(col(Incident.tenant) == tenant, col(Incident.domain) == domain)
        .where(col(Incident.status).in_(ACTIVE))
    )
    return session.execute(counted).all(), session.scalars(onsets).all()


def when(
    context: Context, tenant: str, filters: Mapping[str, Any], *, last_day: date
) -> tuple[tuple[date, ...], dict[str, tuple[float, ...]]]:
    """Alerts by day of onset and severity under the filters, every day from the first onset to `last_day`."""
    rows = alerts.onsets(context, tenant, filters=filters)
    first = min((day for day, _, _ in rows), default=last_day)
    days = _until(last_day, max((last_day - first).days + 1, DAYS))
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


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _until(last_day: date, length: int) -> tuple[date, ...]:
    return tuple(last_day - timedelta(days=back) for back in range(length - 1, -1, -1))


def _by_onset(counted: Iterable[tuple[datetime, float]], days: Sequence[date]) -> tuple[float, ...]:
    return _by_day((((onset + HALF_DAY).date(), amount) for onset, amount in counted), days)


def _by_day(counted: Iterable[tuple[date, float]], days: Sequence[date]) -> tuple[float, ...]:
    sums = dict.fromkeys(days, 0.0)
    for day, amount in counted:
        if day in sums:
            sums[day] += float(amount)
    return tuple(sums.values())
