"""The alerts as people look at them: filtered, page by page, counted by facet and by day."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, extract, func, literal, or_, select, tuple_
from sqlalchemy.orm import Session

from data.columns import UtcDateTime
from data.records import ACTIVE, SEVERITIES, STATUSES, Alert, Incident

Row = TypeVar("Row", Alert, Incident)

FACETS = ("status", "severity", "level", "domain")


@dataclass(frozen=True)
class Filters:
    """Which alerts: empty means any; `muted` False leaves out those under an incident, None takes both.

    `days` are the first and last local day, inclusive; `broke` bounds the onset in UTC, half open; `text` is
    searched in name, entity and sentence.
    """

    domain: str = ""
    status: tuple[str, ...] = ACTIVE
    severity: tuple[str, ...] = ()
    level: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    incident_id: int | None = None
    text: str = ""
    days: tuple[date, date] | None = None
    broke: tuple[datetime, datetime] | None = None
    muted: bool | None = False


@dataclass(frozen=True)
class Cursor:
    """The last row of a page: where the next page starts, whatever was added meanwhile."""

    severity_rank: int
    moment: datetime
    id: int


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Rows, worst and latest first; `after` opens the next page, None at the end."""

    rows: list[Row]
    after: Cursor | None


@dataclass(frozen=True)
class Statistics:
    """Counts over a tenant's live alerts; minutes are means, None when nothing was handled yet."""

    total: int
    active: int
    muted: int
    by_status: dict[str, int]
    by_severity: dict[str, int]
    by_level: dict[str, int]
    minutes_to_acknowledge: float | None
    minutes_to_resolve: float | None
    spend_at_risk: dict[str, float]


def page(
    session: Session,
    *,
    tenant: str,
    filters: Filters | None = None,
    after: Cursor | None = None,
    limit: int = 50,
) -> Page[Alert]:
    """One page of alerts by severity, then last seen, then number, all descending."""
    query = _chosen(select(Alert), tenant, filters)
    return keyset_page(session, query, Alert, Alert.last_seen, after, limit)


def near(session: Session, *, tenant: str, domain: str, since: datetime) -> list[Any]:
    """Alerts of any status last seen since then, muted ones too: as rows of what a list shows of them."""
    columns = (
        Alert.id,
        Alert.domain,
        Alert.entity,
        Alert.severity,
        Alert.status,
        Alert.onset,
        Alert.last_seen,
        Alert.muted_by,
    )
    query = select(*columns).where(
        Alert.tenant == tenant, Alert.domain == domain, Alert.last_seen >= since
    )
    return list(session.execute(query.order_by(Alert.last_seen, Alert.id)))


def keyset_page(
    session: Session,
    query: Select[Any],
    row: type[Row],
    moment: Any,
    after: Cursor | None,
    limit: int,
) -> Page[Row]:
    """The next `limit` rows after a cursor: as quick on the last page as on the first."""
    order: tuple[Any, ...] = (row.severity_rank, moment, row.id)
    if after is not None:
        start = (
            literal(after.severity_rank),
            literal(after.moment, UtcDateTime),
            literal(after.id),
        )
        query = query.where(tuple_(*order) < tuple_(*start))
    rows = list(session.scalars(query.order_by(*(key.desc() for key in order)).limit(limit + 1)))
    if len(rows) <= limit:
        return Page(rows, None)
    last = rows[limit - 1]
    return Page(rows[:limit], Cursor(last.severity_rank, getattr(last, moment.key), last.id))


def facets(
    session: Session, *, tenant: str, filters: Filters | None = None
) -> dict[str, dict[str, int]]:
    """How many alerts each choice of each facet would show, the other facets kept as they are chosen."""
    filters = filters or Filters()
    chosen = {
        "status": filters.status,
        "severity": filters.severity,
        "level": filters.level,
        "domain": (filters.domain,) if filters.domain else (),
    }
    columns = [getattr(Alert, name) for name in FACETS]
    open_filters = replace(filters, status=(), severity=(), level=(), domain="")
    query = _chosen(select(*columns, func.count(Alert.id)), tenant, open_filters).group_by(*columns)
    counts: dict[str, Counter[str]] = {name: Counter() for name in FACETS}
    for *values, count in session.execute(query):
        misses = [
            name
            for name, value in zip(FACETS, values, strict=True)
            if chosen[name] and value not in chosen[name]
        ]
        for name, value in zip(FACETS, values, strict=True):
            if misses in ([], [name]):
                counts[name][value] += count
    return {name: dict(counter) for name, counter in counts.items()}


def timeline(
    session: Session, *, tenant: str, filters: Filters | None = None
) -> list[tuple[datetime, str, str, int]]:
    """Alerts by (onset, severity, level) with their count, in order of onset."""
    columns = (Alert.onset, Alert.severity, Alert.level)
    query = _chosen(select(*columns, func.count(Alert.id)), tenant, filters)
    return [tuple(row) for row in session.execute(query.group_by(*columns).order_by(*columns))]


def statistics(session: Session, *, tenant: str, domain: str = "") -> Statistics:
    """Totals over the live alerts of a domain, or of all."""
    everything = Filters(domain=domain, status=(), muted=None)
    counts = facets(session, tenant=tenant, filters=everything)
    active = replace(everything, status=ACTIVE)
    at_risk = _chosen(
        select(Alert.currency, func.sum(Alert.spend_at_risk)), tenant, replace(active, muted=False)
    )
    muted = _chosen(select(func.count(Alert.id)), tenant, replace(active, muted=True))
    return Statistics(
        total=sum(counts["status"].values()),
        active=sum(counts["status"].get(status, 0) for status in ACTIVE),
        muted=session.scalar(muted) or 0,
        by_status={name: counts["status"].get(name, 0) for name in STATUSES},
        by_severity={name: counts["severity"].get(name, 0) for name in SEVERITIES},
        by_level=counts["level"],
        minutes_to_acknowledge=_mean_minutes(session, tenant, domain, "acknowledged_at"),
        minutes_to_resolve=_mean_minutes(session, tenant, domain, "resolved_at"),
        spend_at_risk={
            currency: float(total)
            for currency, total in session.execute(at_risk.group_by(Alert.currency))
        },
    )


def _chosen(query: Select[Any], tenant: str, filters: Filters | None) -> Select[Any]:
    """The query with the filters' conditions."""
    filters = filters or Filters()
    conditions: list[ColumnElement[bool]] = [Alert.tenant == tenant]
    for column, values in (
        (Alert.status, filters.status),
        (Alert.severity, filters.severity),
        (Alert.level, filters.level),
        (Alert.entity, filters.entities),
        (Alert.domain, (filters.domain,) if filters.domain else ()),
        (Alert.incident_id, () if filters.incident_id is None else (filters.incident_id,)),
    ):
        if values:
            conditions.append(column.in_(values))
    if filters.days is not None:
        conditions.append(Alert.day.between(*filters.days))
    if filters.broke is not None:
        earliest, end = filters.broke
        conditions += [Alert.onset >= earliest, Alert.onset < end]
    if filters.muted is not None:
        conditions.append(
            Alert.muted_by.is_not(None) if filters.muted else Alert.muted_by.is_(None)
        )
    if words := filters.text.strip():
        searched = (Alert.entity_name, Alert.entity, Alert.sentence)
        conditions.append(or_(*(column.icontains(words, autoescape=True) for column in searched)))
    return query.where(*conditions)


def _mean_minutes(session: Session, tenant: str, domain: str, stamp: str) -> float | None:
    """The mean time from creation to a stamp."""
    seconds = extract("epoch", getattr(Alert, stamp)) - extract("epoch", Alert.created_at)
    filters = Filters(domain=domain, status=(), muted=None)
    mean = session.scalar(_chosen(select(func.avg(seconds)), tenant, filters))
    return None if mean is None else float(mean) / 60
