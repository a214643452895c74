"""The counts that the pages ask for, on both databases."""

from __future__ import annotations

from datetime import timedelta

from data import alert_store, alert_tally, incident_store
from data.record_store import Records
from tests.findings import NOW, new_alert, new_incident

ACME = {"tenant": "acme", "actor": "ana", "now": NOW}


def test_alerts_are_counted_by_detector_entity_and_time(records: Records) -> None:
    found = [
        new_alert("campaign:1", severity="critical"),
        new_alert("campaign:1", days_ago=20, detector="robust-z"),
        new_alert("keyword:2"),
        new_alert("keyword:3", domain="epc"),
    ]
    later = {**ACME, "now": NOW + timedelta(hours=1)}
    records.write("acme", lambda session: alert_store.upsert(session, **ACME, found=found))
    records.write(
        "acme", lambda session: alert_store.upsert(session, **later, found=[new_alert("ad:9")])
    )

    def look(session):  # type: ignore[no-untyped-def]
        return (
            alert_tally.by_detector(session, tenant="acme", domain="ads"),
            alert_tally.top_entities(session, tenant="acme", domain="ads", limit=2),
            alert_tally.created_since(session, tenant="acme", since=None),
            alert_tally.created_since(session, tenant="acme", since=NOW),
        )

    detectors, top, everything, new = records.read("acme", look)
    assert detectors == {"ensemble": 3, "robust-z": 1}
    assert top[0] == {
        "entity": "campaign:1",
        "entity_name": "Name of campaign:1",
        "level": "campaign",
        "alerts": 2,
    }
    assert len(top) == 2
    assert everything == {"critical": 1, "high": 4}
    assert new == {"high": 1}


def test_the_alert_of_the_root_speaks_for_its_incident(records: Records) -> None:
    def build(session):  # type: ignore[no-untyped-def]
        alerts = alert_store.upsert(
            session,
            **ACME,
            found=[
                new_alert("keyword:7", severity="critical"),
                new_alert("campaign:1"),
                new_alert("keyword:8"),
            ],
        ).ids
        (incident,) = incident_store.upsert(session, **ACME, found=[new_incident("campaign:1")]).ids
        incident_store.attach(session, **ACME, incident_id=incident, alert_ids=alerts)
        return incident, alerts

    incident, alerts = records.write("acme", build)
    leading = records.read(
        "acme",
        lambda session: alert_tally.leading_alerts(
            session, tenant="acme", incidents=[incident, 99]
        ),
    )
    assert leading == {incident: alerts[1]}
    counts = records.read(
        "acme", lambda session: alert_tally.incidents_since(session, tenant="acme", since=None)
    )
    assert counts == 1
