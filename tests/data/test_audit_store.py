"""The audit trail: undo brings back what was, tampering shows, nothing is ever rewritten."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from core.errors import ConflictError, NotFoundError, StoreError
from data import alert_store, audit_store, incident_store, label_store
from data.record_store import Records
from data.records import Alert, AuditEvent, Comment, Incident, Label, NewLabel
from tests.findings import NOW, new_alert, new_incident

BY_ANA = {"tenant": "acme", "actor": "ana", "now": NOW}
ALERT_VERBS = {
    "acknowledge": {},
    "resolve": {"note": "done"},
    "reopen": {},
    "mute": {"incident_id": 1},
    "unmute": {},
    "comment": {"body": "seen"},
}
STEPS = st.tuples(st.sampled_from(sorted(ALERT_VERBS)), st.integers(1, 3)) | st.tuples(
    st.sampled_from(["acknowledge", "resolve", "reopen"]), st.none()
)


def do(records: Records, verb: Any, **arguments: Any) -> Any:
    return records.write("acme", lambda session: verb(session, **arguments))


def snapshot(records: Records) -> dict[str, Any]:
    """What an undo must bring back: everything but the counters of changes."""

    def take(session: Session) -> dict[str, Any]:
        lived = {"version", "updated_at", "updated_by"}
        rows: dict[str, Any] = {
            f"{row.__tablename__}/{row.id}": row.model_dump(exclude=lived)
            for kind in (Alert, Incident)
            for row in session.scalars(select(kind))
        }
        for kind in (Comment, Label):
            standing = select(kind).where(kind.withdrawn.is_(False))
            rows |= {f"{kind}/{row.id}": row.model_dump() for row in session.scalars(standing)}
        return rows

    return records.read("acme", take)


def fill(records: Records) -> None:
    found = [new_alert(f"campaign:{n}") for n in (1, 2, 3)]
    do(records, alert_store.upsert, tenant="acme", found=found, now=NOW, actor="detection")
    do(
        records,
        incident_store.upsert,
        tenant="acme",
        found=[new_incident()],
        now=NOW,
        actor="detection",
    )
    do(
        records,
        incident_store.attach,
        tenant="acme",
        incident_id=1,
        alert_ids=[1, 2],
        now=NOW,
        actor="detection",
    )


def step(records: Records, verb: str, alert_id: int | None) -> bool:
    """Do one verb on an alert, or on the incident for None; False when it changed nothing."""
    count = len(records.read("acme", lambda s: audit_store.history(s, tenant="acme", limit=9999)))
    try:
        if alert_id is None:
            do(records, getattr(incident_store, verb), incident_id=1, **BY_ANA)
        else:
            arguments = ALERT_VERBS[verb]
            do(records, getattr(alert_store, verb), alert_id=alert_id, **arguments, **BY_ANA)
    except ConflictError:
        return False
    after = records.read("acme", lambda s: audit_store.history(s, tenant="acme", limit=9999))
    return len(after) > count


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(STEPS, max_size=6))
def test_any_verbs_undone_one_by_one_bring_back_each_state_before(
    records: Records, steps: list[tuple[str, int | None]]
) -> None:
    if not snapshot(records):
        fill(records)
    states = [snapshot(records)]
    for verb, alert_id in steps:
        if step(records, verb, alert_id):
            states.append(snapshot(records))
    while len(states) > 1:
        assert snapshot(records) == states.pop()
        do(records, audit_store.undo, **BY_ANA)
    assert snapshot(records) == states[0]
    assert records.read("acme", lambda s: audit_store.verify(s, tenant="acme")) is None


def test_an_undo_can_be_undone_and_the_verb_undone_again(records: Records) -> None:
    fill(records)
    start = snapshot(records)
    do(records, alert_store.acknowledge, alert_id=1, **BY_ANA)
    done = snapshot(records)
    undone = do(records, audit_store.undo, **BY_ANA)
    assert snapshot(records) == start
    redone = do(records, audit_store.undo, audit_id=undone.id, **BY_ANA)
    assert (snapshot(records), redone.undo_of) == (done, undone.id)
    do(records, audit_store.undo, **BY_ANA)
    assert snapshot(records) == start
    with pytest.raises(NotFoundError, match="Nothing to undo"):
        do(records, audit_store.undo, **BY_ANA)


def test_an_event_is_undone_once(records: Records) -> None:
    fill(records)
    do(records, alert_store.acknowledge, alert_id=1, **BY_ANA)
    event = records.read("acme", lambda s: audit_store.history(s, tenant="acme"))[0]
    do(records, audit_store.undo, audit_id=event.id, **BY_ANA)
    with pytest.raises(ConflictError, match="still in effect"):
        do(records, audit_store.undo, audit_id=event.id, **BY_ANA)


def test_undo_takes_the_actors_own_last_verb(records: Records) -> None:
    fill(records)
    do(records, alert_store.acknowledge, alert_id=1, **BY_ANA)
    do(records, alert_store.acknowledge, tenant="acme", alert_id=2, actor="ben", now=NOW)
    event = do(records, audit_store.undo, **BY_ANA)
    assert (event.object_kind, event.object_id, event.actor) == ("alert", "1", "ana")


def test_undo_refuses_to_overwrite_what_somebody_did_since(records: Records) -> None:
    fill(records)
    do(records, alert_store.acknowledge, alert_id=3, **BY_ANA)
    do(records, alert_store.resolve, tenant="acme", alert_id=3, actor="ben", now=NOW)
    before = snapshot(records)
    with pytest.raises(ConflictError, match="ben changed it since"):
        do(records, audit_store.undo, **BY_ANA)
    assert snapshot(records) == before


def test_a_withdrawn_label_stays_in_the_store(records: Records) -> None:
    fill(records)
    verdict = NewLabel(alert_id=1, entity="campaign:1", disposition="false alarm", was_right=False)
    do(records, label_store.add, label=verdict, **BY_ANA)
    standing = lambda s: label_store.current(s, tenant="acme", alert_id=1)  # noqa: E731
    assert [label.labelled_by for label in records.read("acme", standing)] == ["ana"]
    do(records, audit_store.undo, **BY_ANA)
    assert records.read("acme", standing) == []
    assert records.read("acme", lambda s: s.scalars(select(Label)).one().withdrawn) is True


def test_the_chain_names_the_first_event_that_was_tampered_with(records: Records) -> None:
    fill(records)
    for alert_id in (1, 2, 3):
        do(records, alert_store.acknowledge, alert_id=alert_id, **BY_ANA)
    event = records.read("acme", lambda s: audit_store.history(s, tenant="acme"))[1]

    def tamper(session: Session) -> int | None:
        # In memory only: the database refuses the change itself (next test).
        session.get(AuditEvent, ("acme", event.id)).actor = "nobody"
        with session.no_autoflush:
            found = audit_store.verify(session, tenant="acme")
        session.expunge_all()
        return found

    assert records.write("acme", tamper) == event.id


@pytest.mark.parametrize(
    "statement", [update(AuditEvent).values(actor="nobody"), delete(AuditEvent)]
)
def test_the_database_refuses_to_change_the_trail(records: Records, statement: Any) -> None:
    fill(records)
    with pytest.raises(StoreError, match=r"append-only|permission denied"):
        records.write("acme", lambda session: session.execute(statement))
    assert records.read("acme", lambda s: audit_store.verify(s, tenant="acme")) is None


def test_history_tells_what_happened_to_an_object(records: Records) -> None:
    fill(records)
    do(records, alert_store.acknowledge, alert_id=1, **BY_ANA)
    do(records, incident_store.resolve, incident_id=1, **BY_ANA)
    about = [("alert", 1), ("incident", 1)]
    events = records.read("acme", lambda s: audit_store.history(s, tenant="acme", objects=about))
    assert [(event.verb, event.object_kind) for event in events] == [
        ("resolve", "incident"),
        ("acknowledge", "alert"),
        ("attach", "incident"),
    ]
