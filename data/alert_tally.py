"""How many alerts since when, from which detector, on which entity."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from data.records import ACTIVE, Alert, Incident


def by_detector(session: Session, *, tenant: str, domain: str = "") -> dict[str, int]:
    """Live alerts by the detector that raised them."""
    query = select(Alert.detector, func.count(Alert.id)).group_by(Alert.detector)
    return dict(session.execute(_of(query, tenant, domain)).all())


def top_entities(
    session: Session, *, tenant: str, domain: str = "", limit: int = 10
) -> list[dict[str, Any]]:
    """Entities with the most live alerts, most first."""
    columns = (Alert.entity, Alert.entity_name, Alert.level)
    count = func.count(Alert.id).label("alerts")
    query = _of(select(*columns, count), tenant, domain).group_by(*columns)
    ranked = query.order_by(count.desc(), Alert.entity).limit(limit)
    return [dict(row) for row in session.execute(ranked).mappings()]


def created_since(session: Session, *, tenant: str, since: datetime | None) -> dict[str, int]:
    """Active alerts that no incident mutes, by severity; of those made after `since` where given."""
    query = select(Alert.severity, func.count(Alert.id)).where(
        Alert.tenant == tenant, Alert.status.in_(ACTIVE), Alert.muted_by.is_(None)
    )
    if since is not None:
        query = query.where(Alert.created_at > since)
    return dict(session.execute(query.group_by(Alert.severity)).all())


def incidents_since(session: Session, *, tenant: str, since: datetime | None) -> int:
    """Active incidents; of those made after `since` where given."""
    query = select(func.count(Incident.id)).where(
        Incident.tenant == tenant, Incident.status.in_(ACTIVE)
    )
    if since is not None:
        query = query.where(Incident.created_at > since)
    return session.scalar(query) or 0


def open_by_onset(
    session: Session, *, tenant: str, domain: str
) -> list[tuple[datetime, str, str, int, float]]:
    """Active unmuted alerts by onset, severity and currency: how many, and their spend at risk."""
    keys = (Alert.onset, Alert.severity, Alert.currency)
    query = select(*keys, func.count(Alert.id), func.sum(Alert.spend_at_risk)).where(
        Alert.status.in_(ACTIVE), Alert.muted_by.is_(None)
    )
    return [tuple(row) for row in session.execute(_of(query, tenant, domain).group_by(*keys))]


def open_incident_onsets(session: Session, *, tenant: str, domain: str) -> list[datetime]:
    """When each active incident began."""
    query = select(Incident.onset).where(
        Incident.tenant == tenant, Incident.domain == domain, Incident.status.in_(ACTIVE)
    )
    return list(session.scalars(query))


def leading_alerts(session: Session, *, tenant: str, incidents: list[int]) -> dict[int, int]:
    """Incident → the alert that speaks for it: the unmuted, worst, earliest one."""
    columns = (Alert.incident_id, Alert.id)
    query = select(*columns).where(Alert.tenant == tenant, Alert.incident_id.in_(incidents))
    order = (Alert.muted_by.is_not(None), Alert.severity_rank.desc(), Alert.onset, Alert.id)
    found: dict[int, int] = {}
    for incident, alert in session.execute(query.order_by(*order)):
        found.setdefault(incident, alert)
    return found


def _of(query: Select[Any], tenant: str, domain: str) -> Select[Any]:
    query = query.where(Alert.tenant == tenant)
    return query.where(Alert.domain == domain) if domain else query
