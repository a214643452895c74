"""Alerts: found twice is one alert, verbs go only where they may, every verb can be undone, old ones move out."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from core.errors import ConflictError, InvalidInputError, NotFoundError
from data import alert_store, audit_store, incident_store, label_store
from data.finding_store import Upserted
from data.record_store import Records
from data.records import Alert, AlertHistory, AuditEvent, Label, NewLabel
from tests.findings import DAY, NOW, new_alert, new_incident

BY_ANA = {"tenant": "acme", "actor": "ana", "now": NOW}
BY_BEN = {"tenant": "acme", "actor": "ben", "now": NOW + DAY / 24}


def find(
    records: Records, *found: Any, now: datetime = NOW, keep: tuple[str, ...] = ()
) -> Upserted:
    call = partial(
        alert_store.upsert, tenant="acme", found=found, now=now, actor="detection", keep=keep
    )
    return records.write("acme", call)


def do(records: Records, verb: Any, **arguments: Any) -> Any:
    return records.write("acme", lambda session: verb(session, **arguments))


def look(records: Records, alert_id: int = 1) -> Any:
    return records.read(
        "acme", lambda session: alert_store.get(session, tenant="acme", alert_id=alert_id)
    )


def state(records: Records, alert_id: int = 1) -> tuple[Any, ...]:
    alert = look(records, alert_id)
    return (
        alert.status,
        alert.acknowledged_at,
        alert.acknowledged_by,
        alert.resolved_at,
        alert.resolved_by,
        alert.muted_by,
    )


def test_a_second_run_doubles_nothing(records: Records) -> None:
    found = [new_alert(), new_alert("campaign:2")]
    assert find(records, *found) == Upserted(2, 0, 0, (1, 2))
    assert find(records, *found) == Upserted(0, 0, 2, (1, 2))
    assert look(records).version == 1


def test_a_later_day_of_the_episode_updates_the_alert_and_keeps_its_status(
    records: Records,
) -> None:
    find(records, new_alert(days_ago=5, lasts=1))
    do(records, alert_store.acknowledge, alert_id=1, **BY_ANA)
    again = new_alert(days_ago=3, lasts=2, severity="critical", score=9.0)
    assert find(records, again, now=NOW + DAY) == Upserted(0, 1, 0, (1,))
    alert = look(records)
    assert (alert.status, alert.severity, alert.severity_rank, alert.score) == (
        "acknowledged",
        "critical",
        3,
        9.0,
    )
    assert (alert.onset, alert.last_seen) == (NOW - 5 * DAY, NOW - 1 * DAY)
    assert (alert.acknowledged_by, alert.updated_at) == ("ana", NOW + DAY)


def test_a_run_leaves_what_it_was_not_asked_for(records: Records) -> None:
    find(records, new_alert(explanation={"shares": [[1.0]]}, root_causes=[{"node": "a"}]))
    unasked = new_alert(score=9.0, explanation={}, sentence="", root_causes=[])
    find(records, unasked, keep=("explanation", "sentence", "root_causes"))
    alert = look(records)
    assert (alert.score, alert.sentence) == (9.0, "Clicks fell by 60 %.")
    assert (alert.explanation, alert.root_causes) == ({"shares": [[1.0]]}, [{"node": "a"}])
    find(records, new_alert(score=9.0, sentence="Sales fell.", root_causes=[]))
    assert (look(records).sentence, look(records).root_causes) == ("Sales fell.", [])


def test_a_look_into_the_past_changes_nothing_that_is_known(records: Records) -> None:
    find(records, new_alert())
    before = look(records).model_dump()
    found = find(records, new_alert(days_ago=3, score=1.0), keep=alert_store.EVERYTHING)
    assert found == Upserted(0, 0, 1, (1,))
    assert look(records).model_dump() == before


@pytest.mark.parametrize(("gap", "created"), [(3.0, 0), (3.01, 1)])
def test_three_days_apart_is_one_episode_and_more_is_two(
    records: Records, gap: float, created: int
) -> None:
    find(records, new_alert(days_ago=10, lasts=1))
    later = find(records, new_alert(days_ago=9 - gap, lasts=1))
    assert later.created == created


def test_a_resolved_episode_is_not_created_again_but_a_new_one_is(records: Records) -> None:
    find(records, new_alert(days_ago=20, lasts=1))
    do(records, alert_store.resolve, alert_id=1, **BY_ANA)
    assert find(records, new_alert(days_ago=19, lasts=1, score=8.0)) == Upserted(0, 0, 1, (1,))
    assert look(records).score == 4.5
    assert find(records, new_alert(days_ago=5, lasts=1)) == Upserted(1, 0, 0, (2,))


def test_two_findings_of_one_episode_in_one_run_are_one_alert(records: Records) -> None:
    result = find(records, new_alert(days_ago=4), new_alert(days_ago=2))
    assert (result.created, result.updated, result.ids) == (1, 1, (1, 1))


def test_five_thousand_alerts_come_and_come_again_in_a_few_statements(records: Records) -> None:
    found = [new_alert(f"keyword:{n}", parts={"lstm": {"p": 0.01}}) for n in range(5000)]
    assert find(records, *found).created == 5000
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(records._writer_engine, "before_cursor_execute", note)
    again = find(records, *found)
    assert (again.unchanged, again.ids) == (5000, tuple(range(1, 5001)))
    assert len(statements) < 12, statements


def test_an_unknown_severity_is_refused(records: Records) -> None:
    with pytest.raises(InvalidInputError, match="one of low, medium, high, critical"):
        find(records, new_alert(severity="bad"))


def test_verbs_stamp_who_and_when(records: Records) -> None:
    find(records, new_alert())
    do(records, alert_store.acknowledge, alert_id=1, **BY_ANA)
    do(records, alert_store.resolve, alert_id=1, note="Budget raised.", **BY_BEN)
    alert = look(records)
    assert (alert.status, alert.acknowledged_by, alert.acknowledged_at) == ("resolved", "ana", NOW)
    assert (alert.resolved_by, alert.resolved_at) == ("ben", BY_BEN["now"])
    said = records.read(
        "acme",
        lambda session: alert_store.comments(
            session, tenant="acme", object_kind="alert", object_id=1
        ),
    )
    assert [(one.author, one.body) for one in said] == [("ben", "Budget raised.")]
    do(records, alert_store.reopen, alert_id=1, **BY_ANA)
    assert state(records) == ("open", None, None, None, None, None)


def test_a_verb_done_before_changes_nothing_and_writes_no_event(records: Records) -> None:
    find(records, new_alert())
    do(records, alert_store.acknowledge, alert_id=1, **BY_ANA)
    do(records, alert_store.acknowledge, alert_id=1, **BY_BEN)
    assert look(records).acknowledged_by == "ana"
    events = records.read("acme", lambda session: audit_store.history(session, tenant="acme"))
    assert [told.verb for told in events] == ["acknowledge", "detect"]


def test_a_verb_that_can_not_start_here_names_who_and_when(records: Records) -> None:
    find(records, new_alert())
    do(records, alert_store.resolve, alert_id=1, **BY_ANA)
    with pytest.raises(ConflictError) as caught:
        do(records, alert_store.acknowledge, alert_id=1, **BY_BEN)
    assert "must be open. Got 'resolved'" in str(caught.value)
    assert "ana made it resolved on 2026-11-20 06:00 UTC" in str(caught.value)


def test_a_stale_version_is_a_conflict_with_both_values(records: Records) -> None:
    find(records, new_alert())
    do(records, alert_store.acknowledge, alert_id=1, expected_version=1, **BY_ANA)
    with pytest.raises(ConflictError) as caught:
        do(records, alert_store.resolve, alert_id=1, expected_version=1, **BY_BEN)
    assert caught.value.context["seen"] == 1
    assert caught.value.context["stored"] == 2
    assert (caught.value.context["actor"], caught.value.context["at"]) == ("ana", NOW)
    assert look(records).status == "acknowledged"


def test_an_unknown_alert_is_not_found_and_neither_is_another_tenants(records: Records) -> None:
    find(records, new_alert())
    with pytest.raises(NotFoundError, match="Got 7"):
        do(records, alert_store.acknowledge, alert_id=7, **BY_ANA)
    with pytest.raises(NotFoundError):
        records.write(
            "bolt",
            lambda session: alert_store.resolve(
                session, tenant="bolt", alert_id=1, actor="eve", now=NOW
            ),
        )


def test_an_empty_comment_is_refused(records: Records) -> None:
    find(records, new_alert())
    with pytest.raises(InvalidInputError, match="something to read"):
        do(records, alert_store.comment, alert_id=1, body="  ", **BY_ANA)


def test_archive_moves_what_was_resolved_ninety_days_ago_and_nothing_else(records: Records) -> None:
    find(records, *(new_alert(f"campaign:{n}", revenue_impact=50.0) for n in range(4)))
    old, young = NOW - 91 * DAY, NOW - 89 * DAY
    for alert_id, when in ((1, old), (2, young), (3, old)):
        do(records, alert_store.resolve, tenant="acme", alert_id=alert_id, actor="ana", now=when)
    verdict = NewLabel(alert_id=1, entity="campaign:0", disposition="true positive")
    do(records, label_store.add, label=verdict, **BY_ANA)

    def totals(session: Session) -> tuple[int | None, ...]:
        return tuple(
            session.scalar(select(func.count(row.id))) for row in (Alert, AlertHistory, Label)
        )

    live = look(records, 1)
    assert do(records, alert_store.archive, tenant="acme", now=NOW) == 2
    assert records.read("acme", totals) == (2, 2, 1)
    moved = look(records, 1)
    assert isinstance(moved, AlertHistory)
    assert moved.resolution_minutes == (live.resolved_at - live.created_at).total_seconds() / 60
    assert (moved.revenue_impact, moved.fingerprint, moved.onset) == (
        50.0,
        live.fingerprint,
        live.onset,
    )
    assert do(records, alert_store.archive, tenant="acme", now=NOW) == 0
    assert records.read("acme", lambda s: audit_store.verify(s, tenant="acme")) is None
    do(records, alert_store.comment, alert_id=1, body="Still remembered.", **BY_ANA)


def test_numbers_of_archived_alerts_are_not_given_out_again(records: Records) -> None:
    find(records, new_alert(days_ago=200))
    do(records, alert_store.resolve, tenant="acme", alert_id=1, actor="ana", now=NOW - 150 * DAY)
    do(records, alert_store.archive, tenant="acme", now=NOW)
    assert find(records, new_alert(days_ago=2)).ids == (2,)


def test_muting_needs_an_incident_that_exists(records: Records) -> None:
    find(records, new_alert())
    with pytest.raises(NotFoundError, match="incident"):
        do(records, alert_store.mute, alert_id=1, incident_id=5, **BY_ANA)
    do(records, incident_store.upsert, found=[new_incident()], **BY_ANA)
    do(records, alert_store.mute, alert_id=1, incident_id=1, **BY_ANA)
    assert look(records).muted_by == 1
    do(records, alert_store.unmute, alert_id=1, **BY_ANA)
    assert look(records).muted_by is None


def test_audit_events_of_a_run_tell_counts_and_can_not_be_undone(records: Records) -> None:
    find(records, new_alert())
    told = records.read("acme", lambda session: session.scalars(select(AuditEvent)).one())
    assert (told.verb, told.actor, told.after, told.before) == (
        "detect",
        "detection",
        {"created": 1},
        None,
    )
    with pytest.raises(NotFoundError, match="Nothing to undo"):
        do(records, audit_store.undo, tenant="acme", actor="detection", now=NOW)
