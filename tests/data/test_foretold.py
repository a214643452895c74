"""Alerts that foretell: apart from those that tell, matched to the incident that came, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from data import alert_store, incident_reports
from data.finding_store import Upserted
from data.incident_reports import Report
from data.ingest.incident_files import reported
from data.record_store import Records
from data.records import Alert, Incident, NewAlert
from tests.findings import NOW, new_alert

WHO = {"tenant": "acme", "actor": "ana", "now": NOW}
RAISED = NOW - timedelta(minutes=50)


def alert(lead: float | None, **facts: Any) -> NewAlert:
    """Of the checkout, 50 minutes ago; with a lead, it foretells."""
    expected = None if lead is None else RAISED + timedelta(minutes=lead)
    known = {
        "domain": "services",
        "level": "service",
        "entity_name": "Checkout",
        "onset": RAISED,
        "last_seen": RAISED,
        "predicted_for": expected,
        "lead_minutes": lead,
    }
    return new_alert("service:checkout", **known | facts)


def raised(records: Records, *found: NewAlert) -> Upserted:
    return records.write("acme", lambda session: alert_store.upsert(session, found=found, **WHO))


def told(
    records: Records, minutes: float, service: str = "checkout", domain: str = "services"
) -> Incident:
    """An incident that began so many minutes after the alert."""
    facts = reported(
        domain,
        source="pagerduty",
        key=f"{service} {minutes}",
        title="Checkout down",
        severity="high",
        onset=RAISED + timedelta(minutes=minutes),
        services=[service],
    )
    found = records.write(
        "acme", lambda s: incident_reports.report(s, found=[Report(facts)], **WHO)
    )
    row: Incident = found.rows[0]
    return row


def test_what_is_foretold_and_what_is_seen_are_two_alerts(records: Records) -> None:
    assert raised(records, alert(30), alert(None)) == Upserted(2, 0, 0, (1, 2))
    again = raised(records, alert(20, p_value=0.001), alert(None))
    assert again.ids == (1, 2) and again.created == 0
    first: Alert = again.rows[0]
    assert (first.p_value, first.lead_minutes) == (0.001, 30)
    assert first.predicted_for == RAISED + timedelta(minutes=30)


@pytest.mark.parametrize("service", ["checkout", "Checkout", "service:checkout"])
def test_an_incident_within_the_hour_was_predicted(records: Records, service: str) -> None:
    raised(records, alert(30))
    row = told(records, 45, service)
    assert row.was_predicted is True
    assert row.prediction_accuracy == pytest.approx(0.75)
    assert row.version == 1


@pytest.mark.parametrize(
    ("minutes", "service"), [(0, "checkout"), (-5, "checkout"), (61, "checkout"), (30, "cart")]
)
def test_at_once_before_too_late_or_elsewhere_it_was_not(
    records: Records, minutes: float, service: str
) -> None:
    raised(records, alert(30))
    row = told(records, minutes, service)
    assert (row.was_predicted, row.prediction_accuracy) == (False, None)


def test_what_is_said_after_the_incident_was_known_foretold_nothing(records: Records) -> None:
    assert told(records, 40).was_predicted is False
    later = {**WHO, "now": NOW + timedelta(minutes=5)}
    records.write("acme", lambda s: alert_store.upsert(s, found=[alert(30)], **later))
    assert told(records, 40).was_predicted is False


def test_nothing_is_said_where_nothing_is_foretold(records: Records) -> None:
    assert told(records, 40, domain="ads").was_predicted is None
