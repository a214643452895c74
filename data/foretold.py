"""Incidents that an alert foretold: which alert, and how near the time it named was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.domains import DOMAINS
from data.records import Alert, Incident

HORIZON = timedelta(minutes=60)
"""How far ahead failures are foretold, and so how long such an alert holds."""


def settle(session: Session, *, tenant: str, incidents: Sequence[Incident]) -> None:
    """Note with incidents just saved whether an alert foretold them; what was foretold once stays so.

    It is found by the machine and not told by a person, so neither version nor audit tell of it.
    """
    by_domain: dict[str, list[Incident]] = {}
    for incident in incidents:
        if incident.domain in DOMAINS and "predictor" in DOMAINS[incident.domain].defaults:
            by_domain.setdefault(incident.domain, []).append(incident)
    for domain, told in by_domain.items():
        warnings = _warnings(session, tenant, domain, told)
        for incident in told:
            facts = judged(incident, _first(incident, warnings))
            if facts["was_predicted"] or incident.was_predicted is None:
                for name, value in facts.items():
                    setattr(incident, name, value)


def warning(session: Session, *, tenant: str, incident: Incident) -> Alert | None:
    """The first alert that foretold the incident, None where none did."""
    return _first(incident, _warnings(session, tenant, incident.domain, [incident]))


def judged(incident: Incident, alert: Alert | None) -> dict[str, Any]:
    """What an incident keeps of it: accuracy is 1 at the very minute foretold, 0 a whole horizon off."""
    if alert is None or alert.predicted_for is None:
        return {"was_predicted": False, "prediction_accuracy": None}
    off = abs(incident.onset - alert.predicted_for) / HORIZON
    return {"was_predicted": True, "prediction_accuracy": max(0.0, 1.0 - off)}


def _warnings(
    session: Session, tenant: str, domain: str, incidents: Sequence[Incident]
) -> list[Alert]:
    query = select(Alert).where(
        Alert.tenant == tenant,
        Alert.domain == domain,
        Alert.predicted_for.is_not(None),
        Alert.onset >= min(incident.onset for incident in incidents) - HORIZON,
        Alert.onset < max(incident.onset for incident in incidents),
    )
    return list(session.scalars(query.order_by(Alert.onset, Alert.id)))


def _first(incident: Incident, warnings: Sequence[Alert]) -> Alert | None:
    """Raised within the horizon before the onset, and before anybody knew of it, of something that it hit."""
    hit = {str(name).lower() for name in (*incident.services, incident.root_entity) if name}
    return next(
        (
            alert
            for alert in warnings
            if alert.onset < incident.onset <= alert.onset + HORIZON
            and alert.created_at <= incident.created_at
            and hit & _names(alert)
        ),
        None,
    )


def _names(alert: Alert) -> set[str]:
    """What its entity may be called: its id, the id without the level, its name."""
    called = (alert.entity, alert.entity.partition(":")[2], alert.entity_name)
    return {name.lower() for name in called if name}
