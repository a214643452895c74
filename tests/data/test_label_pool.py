"""What may be asked: incidents and lone alerts with their verdicts, and a queue that asks once, on both databases."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from data import alert_store, audit_store, incident_store, label_pool, label_store
from data.record_store import Records
from data.records import LabelItem, NewLabel
from tests.findings import DAY, NOW, new_alert, new_incident

ABOUT: dict[str, Any] = {"tenant": "acme", "domain": "ads"}
WHO: dict[str, Any] = {"tenant": "acme", "actor": "ana", "now": NOW}


def seed(session: Session, tenant: str = "acme") -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Three alerts, the first under the first of two incidents; and an alert of another domain."""
    who = WHO | {"tenant": tenant}
    found = [new_alert(f"campaign:{n}", days_ago=2 + n) for n in range(3)]
    alerts = alert_store.upsert(session, **who, found=found).ids
    alert_store.upsert(session, **who, found=[new_alert("pod:1", domain="services")])
    incidents = incident_store.upsert(
        session, **who, found=[new_incident(), new_incident("campaign:9", days_ago=5)]
    ).ids
    incident_store.attach(session, **who, incident_id=incidents[0], alert_ids=alerts[:1])
    return alerts, incidents


def item(number: int, **facts: Any) -> LabelItem:
    about = {"subject_kind": "alert", "subject_id": number, "slice": "hard", "created_at": NOW}
    return LabelItem(**ABOUT, **about | facts)


def test_incidents_and_lone_alerts_of_one_domain_and_tenant_are_the_pool(records: Records) -> None:
    alerts, incidents = records.write("acme", seed)
    records.write("rival", lambda session: seed(session, "rival"))

    def read(session: Session) -> Any:
        return (
            [row.id for row in label_pool.incidents(session, **ABOUT, most=9)],
            [row.id for row in label_pool.lone_alerts(session, **ABOUT, most=9)],
            [row.id for row in label_pool.alerts_under(session, **ABOUT, since=NOW - 30 * DAY)],
            [row.id for row in label_pool.lone_alerts(session, **ABOUT, most=1)],
        )

    assert records.read("acme", read) == (
        list(incidents),
        list(alerts[1:]),
        [alerts[0]],
        [alerts[1]],
    )


def test_a_resolved_alert_stays_once_judged_and_a_withdrawn_incident_goes(records: Records) -> None:
    alerts, incidents = records.write("acme", seed)

    def change(session: Session) -> None:
        for number in alerts[1:]:
            alert_store.resolve(session, **WHO, alert_id=number)
        label = NewLabel(alert_id=alerts[1], entity="campaign:1", disposition="expected")
        label_store.add(session, tenant="acme", label=label, actor="ana", now=NOW)
        told = incident_store.get(session, tenant="acme", incident_id=incidents[1])
        told.status = "withdrawn"

    records.write("acme", change)
    assert records.read(
        "acme",
        lambda session: (
            [row.id for row in label_pool.lone_alerts(session, **ABOUT, most=9)],
            [row.id for row in label_pool.incidents(session, **ABOUT, most=9)],
        ),
    ) == ([alerts[1]], [incidents[0]])


def test_verdicts_stand_by_subject_in_order_and_without_those_taken_back(records: Records) -> None:
    alerts, incidents = records.write("acme", seed)

    def judge(session: Session) -> None:
        for subject, words in (
            ({"alert_id": alerts[1]}, ("real", "expected")),
            ({"incident_id": incidents[0]}, ("real", "unsure")),
        ):
            for by, word in zip(("ana", "ben"), words, strict=True):
                label = NewLabel(**subject, entity="campaign:1", disposition=word)
                label_store.add(session, tenant="acme", label=label, actor=by, now=NOW)
        label_store.undo(session, tenant="acme", actor="ben", now=NOW)

    records.write("acme", judge)
    said = records.read("acme", lambda session: label_pool.verdicts(session, **ABOUT))
    assert {key: [label.disposition for label in labels] for key, labels in said.items()} == {
        ("alert", alerts[1]): ["real", "expected"],
        ("incident", incidents[0]): ["real"],
    }


def test_a_subject_is_asked_once_at_a_time_and_every_filling_is_told(records: Records) -> None:
    alerts, _ = records.write("acme", seed)

    def fill(*new: LabelItem) -> list[int]:
        return records.write(
            "acme",
            lambda session: [
                row.id
                for row in label_pool.enqueue(session, **ABOUT, new=new, actor="ana", now=NOW)
            ],
        )

    assert len(fill(item(alerts[1]), item(alerts[2], priority=1.0, slice="random"))) == 2
    assert fill(item(alerts[1], round=2)) == []

    def close(session: Session) -> None:
        for row in label_pool.items(session, **ABOUT):
            row.state = "done"

    records.write("acme", close)
    assert fill(item(alerts[1])) == [] and len(fill(item(alerts[1], round=2))) == 1
    rows = records.read("acme", lambda session: label_pool.items(session, **ABOUT))
    assert [row.subject_id for row in rows] == [alerts[2], alerts[1], alerts[1]]
    open_now = records.read(
        "acme", lambda session: label_pool.items(session, **ABOUT, states=("open",))
    )
    assert [row.round for row in open_now] == [2]
    told = records.read(
        "acme",
        lambda session: audit_store.history(session, tenant="acme", objects=[("labels", "ads")]),
    )
    assert [event.after for event in told] == [{"hard": 1}, {"hard": 1, "random": 1}]
