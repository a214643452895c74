"""The morning brief: how things stand, what is open, and when it broke."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

from core.contracts import DAY
from core.domain import Domain
from core.domains import DOMAINS
from data import alert_tally, run_store
from data.model_records import Alias
from data.records import SEVERITIES
from models.ports import CHAMPION
from workbench.context import Context
from workbench.services import alerts
from workbench.services.views import Arrivals, Brief, Freshness, Standing

DAYS = 14
ARRIVAL_DAYS = 45
MEASURED_DAYS = 14
STATES = ("delivered", "partial", "missing")


# ── How things stand ─────────────────────────────────────────────────────────────────────────────


def domains(context: Context, tenant: str) -> tuple[str, ...]:
    """The domains that a tenant has data of, in the order in which they are declared."""
    held = context.holdings()
    return tuple(name for name in DOMAINS if (tenant, name) in held)


def freshness(context: Context, tenant: str, *, domain: str = "ads") -> Freshness:
    """How far the data of a domain reaches, and when its newest part came or was measured."""
    which = DOMAINS[domain]
    if which.step < DAY:
        span = context.metrics.samples.span(tenant, which)
        return Freshness(span[1].date(), span[1]) if span else Freshness(None, None)
    rows = context.metrics.coverage(tenant, which)
    return Freshness(
        max((row.day for row in rows if row.state != "missing"), default=None),
        max((_utc(row.as_of) for row in rows if row.as_of is not None), default=None),
    )


def arrivals(context: Context, tenant: str, *, domain: str = "ads") -> Arrivals:
    """What came of the newest days: by report, or by metric where measurements are kept."""
    which = DOMAINS[domain]
    if which.step < DAY:
        return _measured(context, tenant, which)
    rows = context.metrics.coverage(tenant, which)
    newest = max((row.day for row in rows), default=date.min)
    worst: dict[tuple[str, date], int] = {}
    for row in rows:
        if (newest - row.day).days < ARRIVAL_DAYS:
            key = (row.report, row.day)
            worst[key] = max(worst.get(key, 0), STATES.index(row.state))
    return _grid(tuple(sorted({report for report, _ in worst})), worst)


def _measured(context: Context, tenant: str, domain: Domain) -> Arrivals:
    """The metrics that the domain expects, each by name; all others as one, as most of them are."""
    labels = {metric.name: metric.label for metric in domain.metrics}
    others: dict[date, list[int]] = {}
    worst: dict[tuple[str, date], int] = {}
    rows = context.metrics.samples.coverage(tenant, domain, days=MEASURED_DAYS)
    for row in rows:
        if row.report in labels:
            worst[labels[row.report], row.day] = STATES.index(row.state)
        else:
            others.setdefault(row.day, []).append(STATES.index(row.state))
    reports = [label for label in labels.values() if any(name == label for name, _ in worst)]
    if others:
        many = len({row.report for row in rows if row.report not in labels})
        reports.append(f"{many:,} other metric{'s' * (many != 1)}")
        worst |= {(reports[-1], day): int(median(states)) for day, states in others.items()}
    return _grid(tuple(reports), worst)


def _grid(reports: tuple[str, ...], worst: Mapping[tuple[str, date], int]) -> Arrivals:
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
    scope: dict[str, Any] = {"tenant": tenant, "domain": domain}
    done, last, champion = context.records.read(
        tenant,
        lambda session: (
            run_store.latest(session, **scope, state="done"),
            run_store.latest(session, **scope),
            session.get(Alias, (tenant, domain, CHAMPION)),
        ),
    )
    return Standing(
        last_run=done.finished if done else None,
        entities_checked=done.entities_checked if done else 0,
        last_error=last.error if last and last.state == "failed" else "",
        champion=champion.version_id if champion else "",
    )


# ── What is open, and since when ─────────────────────────────────────────────────────────────────


def of(context: Context, tenant: str, *, last_day: date, domain: str = "ads") -> Brief:
    """Open alerts, critical ones, incidents and spend at risk, by onset over the 14 days to `last_day`."""
    scope: dict[str, Any] = {"tenant": tenant, "domain": domain}
    rows, onsets = context.records.read(
        tenant,
        lambda session: (
            alert_tally.open_by_onset(session, **scope),
            alert_tally.open_incident_onsets(session, **scope),
        ),
    )
    days = _until(last_day, DAYS)
    at_risk: dict[str, float] = {}
    for _, _, currency, _, amount in rows:
        at_risk[currency] = at_risk.get(currency, 0.0) + amount
    main = max(at_risk, key=lambda currency: at_risk[currency], default="")
    critical = [(onset, many) for onset, severity, _, many, _ in rows if severity == "critical"]
    return Brief(
        open=sum(many for *_, many, _ in rows),
        critical=sum(many for _, many in critical),
        incidents=len(onsets),
        at_risk=at_risk,
        days=days,
        alerts_by_day=_by_onset(((onset, many) for onset, _, _, many, _ in rows), days, domain),
        critical_by_day=_by_onset(critical, days, domain),
        incidents_by_day=_by_onset(((onset, 1) for onset in onsets), days, domain),
        at_risk_by_day=_by_onset(
            ((onset, amount) for onset, _, currency, _, amount in rows if currency == main),
            days,
            domain,
        ),
    )


def when(
    context: Context, tenant: str, filters: Mapping[str, Any], *, last_day: date
) -> tuple[tuple[date, ...], dict[str, tuple[Counter[str], ...]]]:
    """Every day from the first onset to `last_day`, and by severity the levels that broke on each, counted."""
    cells = alerts.timeline(context, tenant, filters=filters)
    first = min((cell.day for cell in cells), default=last_day)
    days = _until(last_day, max((last_day - first).days + 1, DAYS))
    counts = {severity: tuple(Counter[str]() for _ in days) for severity in reversed(SEVERITIES)}
    place = {day: index for index, day in enumerate(days)}
    for cell in cells:
        if cell.day in place:
            counts[cell.severity][place[cell.day]][cell.level] += cell.count
    return days, counts


def arrived(context: Context, tenant: str, since: datetime) -> int:
    """Active alerts made since then that no incident mutes."""
    return sum(
        context.records.read(
            tenant,
            lambda session: alert_tally.created_since(session, tenant=tenant, since=since),
        ).values()
    )


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _until(last_day: date, length: int) -> tuple[date, ...]:
    return tuple(last_day - timedelta(days=back) for back in range(length - 1, -1, -1))


def _by_onset(
    counted: Iterable[tuple[datetime, float]], days: Sequence[date], domain: str
) -> tuple[float, ...]:
    sums = dict.fromkeys(days, 0.0)
    for onset, amount in counted:
        day = alerts.local_day(onset, domain)
        if day in sums:
            sums[day] += amount
    return tuple(sums.values())
