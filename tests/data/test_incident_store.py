"""Incidents: one per outbreak; verbs cascade to their alerts and are undone at once."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import ConflictError, NotFoundError
from data import alert_store, audit_store, incident_reports, incident_store, label_store
from data.alert_feed import Filters, page
from data.finding_store import Upserted
from data.record_store import Records
from data.records import NewLabel
from tests.findings import DAY, NOW, new_alert, new_incident

BY_ANA = {"tenant": "acme", "actor": "ana", "now": NOW}
BY_RUN = {"tenant": "acme", "actor": "detection", "now": NOW}


def do(records: Records, verb: Any, **arguments: Any) -> Any:
    return records.write("acme", lambda session: verb(session, **arguments))


def statuses(records: Records) -> list[str]:
    rows = records.read(
        "acme", lambda session: incident_store.alerts(session, tenant="acme", incident_id=1)
    )
    return [row.status for row in sorted(rows, key=lambda row: row.id)]


def incident(records: Records, incident_id: int = 1) -> Any:
    return records.read(
        "acme",
        lambda session: incident_store.get(session, tenant="acme", incident_id=incident_id),
    )


@pytest.fixture
def broken(records: Records) -> Records:
    """A campaign and two keywords below it, under one incident."""
    found = [new_alert("campaign:1"), new_alert("keyword:2"), new_alert("keyword:3")]
    do(records, alert_store.upsert, found=found, **BY_RUN)
    do(records, incident_store.upsert, found=[new_incident()], **BY_RUN)
    do(records, incident_store.attach, incident_id=1, alert_ids=[1, 2, 3], **BY_RUN)
    return records


def test_the_same_root_and_cause_within_three_days_is_one_incident(records: Records) -> None:
    first = do(records, incident_store.upsert, found=[new_incident(days_ago=5)], **BY_RUN)
    again = do(records, incident_store.upsert, found=[new_incident(days_ago=5)], **BY_RUN)
    moved = do(
        records, incident_store.upsert, found=[new_incident(days_ago=2, confidence=0.9)], **BY_RUN
    )
    assert (first, again, moved) == (
        Upserted(1, 0, 0, (1,)),
        Upserted(0, 0, 1, (1,)),
        Upserted(0, 1, 0, (1,)),
    )
    assert (incident(records).onset, incident(records).confidence) == (NOW - 5 * DAY, 0.9)
    others = [new_incident(days_ago=1.9), new_incident("asin:1/B0")]
    assert do(records, incident_store.upsert, found=others, **BY_RUN).created == 2


def test_an_outbreak_is_known_by_its_alerts_whatever_its_root_is_said_to_be(
    broken: Records,
) -> None:
    better = [new_incident("profile:9", cause_type="bid", days_ago=9)]
    for told in (Upserted(0, 1, 0, (1,)), Upserted(0, 0, 1, (1,))):
        run = do(broken, incident_store.upsert, found=better, holding=[(1, 2, 3)], **BY_RUN)
        assert run == told
    row = incident(broken)
    assert (row.root_entity, row.cause_type, row.onset) == ("profile:9", "bid", NOW - 2 * DAY)


def test_two_groups_of_one_run_never_become_one(broken: Records) -> None:
    found = [new_incident(cause_type="bid"), new_incident()]
    kept = do(broken, incident_store.upsert, found=found, holding=[(3,), (1, 2)], **BY_RUN)
    assert kept == Upserted(1, 0, 1, (2, 1))
    do(broken, incident_store.attach, incident_id=2, alert_ids=[3], **BY_RUN)
    again = do(broken, incident_store.upsert, found=found, holding=[(3,), (1, 2)], **BY_RUN)
    assert again == Upserted(0, 0, 2, (2, 1))
    # without a word of its alerts, root and cause tell the two apart; the root alone where nothing else claims it
    assert do(broken, incident_store.upsert, found=found, **BY_RUN).ids == (2, 1)
    other = [new_incident(cause_type="listing")]
    assert do(broken, incident_store.upsert, found=[*found, *other], **BY_RUN).ids == (2, 1, 3)
    do(broken, incident_store.upsert, found=[new_incident("asin:1")], **BY_RUN)
    assert do(
        broken, incident_store.upsert, found=[new_incident("asin:1", cause_type="bid")], **BY_RUN
    ) == (Upserted(0, 1, 0, (4,)))


def test_a_glimpse_of_an_outbreak_says_when_it_ends_and_nothing_else(broken: Records) -> None:
    found = [new_incident("keyword:3", cause_type="bid", severity="low", ended_at=NOW)]
    kept = do(broken, incident_store.upsert, found=found, holding=[(3,)], **BY_RUN)
    assert kept == Upserted(0, 1, 0, (1,))
    row = incident(broken)
    assert (row.root_entity, row.cause_type, row.severity) == ("campaign:1", "budget", "high")
    assert row.ended_at == NOW


def test_the_guess_that_people_judged_stands_and_what_it_cost_goes_on(broken: Records) -> None:
    label = NewLabel(incident_id=1, entity="campaign:1", disposition="real", cause="budget")
    do(broken, label_store.add, label=label, **BY_ANA)
    found = [new_incident("profile:9", cause_type="bid", spend_at_risk=900.0)]
    do(broken, incident_store.upsert, found=found, holding=[(1, 2, 3)], **BY_RUN)
    row = incident(broken)
    assert (row.root_entity, row.cause_type, row.title) == (
        "campaign:1",
        "budget",
        "campaign:1 ran out of budget",
    )
    assert (row.spend_at_risk, row.root_cause, row.label_status) == (900.0, "budget", "labeled")


def test_what_people_corrected_stays_corrected_until_they_undo_it(broken: Records) -> None:
    corrected = {"severity": "low", "title": "A sale"}
    do(broken, incident_reports.edit, incident_id=1, values=corrected, **BY_ANA)
    found = [new_incident(severity="critical", confidence=0.9)]
    assert (
        do(broken, incident_store.upsert, found=found, holding=[(1, 2, 3)], **BY_RUN).updated == 1
    )
    row = incident(broken)
    assert (row.severity, row.severity_rank, row.title, row.confidence) == ("low", 0, "A sale", 0.9)
    do(broken, audit_store.undo, **BY_ANA)
    do(broken, incident_store.upsert, found=found, holding=[(1, 2, 3)], **BY_RUN)
    row = incident(broken)
    assert (row.severity, row.severity_rank, row.title) == ("critical", 3, found[0].title)


def test_a_root_that_comes_and_goes_never_meets_itself(records: Records) -> None:
    """An incident whose root changed leaves its old name to the next one of that root and onset."""
    do(records, alert_store.upsert, found=[new_alert(), new_alert("keyword:2")], **BY_RUN)
    for root, holding in (("campaign:1", [(1,)]), ("profile:9", [(1,)])):
        do(records, incident_store.upsert, found=[new_incident(root)], holding=holding, **BY_RUN)
        do(records, incident_store.attach, incident_id=1, alert_ids=[1], **BY_RUN)
    found = [new_incident("campaign:1")]
    kept = do(records, incident_store.upsert, found=found, holding=[(2,)], **BY_RUN)
    assert kept == Upserted(1, 0, 0, (2,))


def test_an_alert_that_goes_on_is_heard_though_its_incident_is_over(broken: Records) -> None:
    do(broken, incident_store.resolve, incident_id=1, **BY_ANA)
    do(broken, alert_store.upsert, found=[new_alert("keyword:4")], **BY_RUN)
    do(broken, incident_store.attach, incident_id=1, alert_ids=[4], **BY_RUN)
    rows = broken.read("acme", lambda session: page(session, tenant="acme")).rows
    assert [(row.entity, row.incident_id) for row in rows] == [("keyword:4", 1)]


def test_a_resolved_incident_is_not_raised_again_by_a_rerun(records: Records) -> None:
    do(records, incident_store.upsert, found=[new_incident()], **BY_RUN)
    do(records, incident_store.resolve, incident_id=1, **BY_ANA)
    again = do(records, incident_store.upsert, found=[new_incident(confidence=0.1)], **BY_RUN)
    assert again == Upserted(0, 0, 1, (1,))
    assert (incident(records).status, incident(records).confidence) == ("resolved", 0.8)


def test_descendants_are_muted_under_their_incident_and_the_root_is_not(broken: Records) -> None:
    rows = broken.read("acme", lambda session: page(session, tenant="acme")).rows
    assert [row.entity for row in rows] == ["campaign:1"]
    everything = Filters(muted=None, incident_id=1)
    rows = broken.read("acme", lambda s: page(s, tenant="acme", filters=everything)).rows
    assert {row.entity: row.muted_by for row in rows} == {
        "campaign:1": None,
        "keyword:2": 1,
        "keyword:3": 1,
    }
    assert incident(broken).alerts == 3


def test_attaching_again_changes_nothing(broken: Records) -> None:
    before = len(broken.read("acme", lambda s: audit_store.history(s, tenant="acme")))
    do(broken, incident_store.attach, incident_id=1, alert_ids=[1, 2, 3], **BY_RUN)
    assert len(broken.read("acme", lambda s: audit_store.history(s, tenant="acme"))) == before


def test_an_incident_that_loses_its_last_alert_is_resolved(broken: Records) -> None:
    do(broken, incident_store.upsert, found=[new_incident("profile:9")], **BY_RUN)
    do(broken, incident_store.attach, incident_id=2, alert_ids=[1, 2], **BY_RUN)
    assert (incident(broken).status, incident(broken).alerts) == ("open", 1)
    do(broken, incident_store.attach, incident_id=2, alert_ids=[3], **BY_RUN)
    assert (incident(broken).status, incident(broken).alerts) == ("resolved", 0)
    assert incident(broken, 2).alerts == 3


def test_a_verb_on_the_incident_takes_its_alerts_along_with_one_undo(broken: Records) -> None:
    do(broken, alert_store.resolve, tenant="acme", alert_id=3, actor="ben", now=NOW)
    do(broken, incident_store.acknowledge, incident_id=1, note="On it.", **BY_ANA)
    assert incident(broken).status == "acknowledged"
    assert statuses(broken) == ["acknowledged", "acknowledged", "resolved"]
    do(broken, incident_store.resolve, incident_id=1, **BY_ANA)
    assert statuses(broken) == ["resolved"] * 3
    do(broken, audit_store.undo, **BY_ANA)
    assert incident(broken).status == "acknowledged"
    assert statuses(broken) == ["acknowledged", "acknowledged", "resolved"]
    do(broken, audit_store.undo, **BY_ANA)
    assert incident(broken).status == "open"
    assert statuses(broken) == ["open", "open", "resolved"]
    said = broken.read(
        "acme",
        lambda s: alert_store.comments(s, tenant="acme", object_kind="incident", object_id=1),
    )
    assert said == []  # the note went with the verb that it came with


def test_undoing_a_cascade_names_the_alert_that_somebody_changed_since(broken: Records) -> None:
    do(broken, incident_store.acknowledge, incident_id=1, **BY_ANA)
    do(broken, alert_store.resolve, tenant="acme", alert_id=2, actor="ben", now=NOW + DAY)
    with pytest.raises(ConflictError) as caught:
        do(broken, audit_store.undo, **BY_ANA)
    assert "alert/2 must be as ana left it" in str(caught.value)
    assert "ben changed it since" in str(caught.value)
    assert statuses(broken) == ["acknowledged", "resolved", "acknowledged"]


def test_pages_hold_the_worst_and_latest_first(records: Records) -> None:
    found = [
        new_incident(f"campaign:{n}", days_ago=n, severity=severity)
        for n, severity in enumerate(["low", "critical", "high", "critical", "medium"], start=1)
    ]
    do(records, incident_store.upsert, found=found, **BY_RUN)

    def walk(session: Any) -> list[str]:
        seen, after = [], None
        while True:
            part = incident_store.page(session, tenant="acme", after=after, limit=2)
            seen += [row.root_entity for row in part.rows]
            if (after := part.after) is None:
                return seen

    assert records.read("acme", walk) == [f"campaign:{n}" for n in (2, 4, 3, 5, 1)]
    some = records.read(
        "acme",
        lambda s: incident_store.page(s, tenant="acme", severity=("critical",), text="CAMPAIGN:4"),
    )
    assert [row.id for row in some.rows] == [4]


def test_an_unknown_incident_is_not_found(records: Records) -> None:
    with pytest.raises(NotFoundError, match="Got 4"):
        do(records, incident_store.acknowledge, incident_id=4, **BY_ANA)
