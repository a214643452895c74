"""Findings of a detection run, as short as a test needs them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from data.records import NewAlert, NewIncident

NOW = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def new_alert(
    entity: str = "campaign:1", *, days_ago: float = 2, lasts: float = 1, **facts: Any
) -> NewAlert:
    """An alert whose episode began `days_ago` and lasted `lasts` days."""
    onset = NOW - days_ago * DAY
    last_seen = onset + lasts * DAY
    return NewAlert(
        **{
            "domain": "ads",
            "entity": entity,
            "entity_name": f"Name of {entity}",
            "level": entity.split(":")[0],
            "onset": onset,
            "last_seen": last_seen,
            "day": last_seen.date(),
            "score": 4.5,
            "p_value": 0.001,
            "threshold": 3.0,
            "severity": "high",
            "detector": "ensemble",
            "sentence": "Clicks fell by 60 %.",
            "spend_at_risk": 100.0,
            "currency": "USD",
        }
        | facts
    )


def new_incident(root: str = "campaign:1", *, days_ago: float = 2, **facts: Any) -> NewIncident:
    """An incident whose root broke `days_ago`."""
    return NewIncident(
        **{
            "title": f"{root} ran out of budget",
            "domain": "ads",
            "severity": "high",
            "onset": NOW - days_ago * DAY,
            "root_entity": root,
            "root_name": f"Name of {root}",
            "root_level": root.split(":")[0],
            "cause_type": "budget",
            "confidence": 0.8,
            "method": "tree-scan",
        }
        | facts
    )
