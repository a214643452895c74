"""The queue in either database: one holder at a time, labels that move item and incident, and what an undo restores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from core.errors import ConflictError
from data import (
    alert_store,
    incident_store,
    label_store,
    proposal_store,
    queue_store,
    taxonomy_store,
)
from data.record_store import Records
from data.records import Incident, LabelItem, NewLabel, NodeProposal
from tests.findings import NOW, new_alert, new_incident

WHO: dict[str, Any] = {"tenant": "acme", "actor": "ana", "now": NOW}
ADS = {"tenant": "acme", "domain": "ads"}


def seed(records: Records, many: int, **facts: Any) -> list[int]:
    """Items on as many alerts, the first most urgent; their numbers."""

    def write(session: Any) -> list[int]:
        found = [new_alert(f"campaign:{number}") for number in range(many)]
        items = [
            LabelItem(
                **ADS,
                subject_kind="alert",
                subject_id=alert,
                slice="hard",
                priority=float(-place),
                created_at=NOW,
                **facts,
            )
            for place, alert in enumerate(alert_store.upsert(session, found=found, **WHO).ids)
        ]
        session.add_all(items)
        session.flush()
        return [item.id for item in items]

    return records.write("acme", write)


def lease(records: Records, actor: str, when: Any = NOW, without: Any = ()) -> int | None:
    item = records.write(
        "acme",
        lambda session: queue_store.lease(session, **ADS, actor=actor, now=when, without=without),
    )
    return None if item is None else item.id


def test_items_are_held_by_one_person_each_in_order_of_priority(records: Records) -> None:
    items = seed(records, 24)

    def work(actor: str) -> list[int]:
        got: list[int] = []
        for _ in range(4):
            got.append(lease(records, actor, without=got) or 0)
        return got

    with ThreadPoolExecutor(6) as pool:
        taken = [item for some in pool.map(work, "abcdef") for item in some]
    assert sorted(taken) == items
    assert lease(records, "late") is None
    after = NOW + queue_store.LEASE + timedelta(seconds=1)
    assert lease(records, "late", after) == items[0]
    waiting = records.read(
        "acme", lambda session: queue_store.waiting(session, **ADS, actor="a", now=NOW)
    )
    assert waiting == 24
    other = records.read(
        "other",
        lambda session: queue_store.waiting(
            session, tenant="other", domain="ads", actor="a", now=NOW
        ),
    )
    assert other == 0


def test_a_label_moves_its_incident_and_its_item_and_an_undo_moves_them_back(
    records: Records,
) -> None:
    def write(session: Any) -> tuple[int, int, int]:
        number = incident_store.upsert(session, found=[new_incident()], **WHO).ids[0]
        item = LabelItem(
            **ADS, subject_kind="incident", subject_id=number, slice="gold", created_at=NOW
        )
        session.add(item)
        session.flush()
        label = label_store.add(
            session,
            label=NewLabel(
                incident_id=number,
                entity="campaign:1",
                disposition="real",
                cause="bid_up",
                confidence=0.6,
                item_id=item.id,
            ),
            proposal=NodeProposal(domain="ads", name="Hats", tenant="acme", at=NOW),
            **WHO,
        )
        return number, item.id, label.id

    number, item, label = records.write("acme", write)

    def told() -> tuple[Any, ...]:
        def read(session: Any) -> tuple[Any, ...]:
            incident = session.get(Incident, ("acme", number))
            row = session.get(LabelItem, ("acme", item))
            open_ones = proposal_store.waiting(session, **ADS, name="Hats")
            return (
                incident.label_status,
                incident.root_cause,
                incident.cause_confidence,
                row.state,
                row.given,
                [one.label_id for one in open_ones],
            )

        return records.read("acme", read)

    assert told() == ("labeled", "bid_up", 0.6, "done", 1, [label])
    undone = records.write("acme", lambda session: label_store.undo(session, **WHO))
    assert told() == ("unlabeled", "", None, "open", 0, [])
    redo = lambda session: label_store.undo(session, audit_id=undone.id, **WHO)  # noqa: E731
    records.write("acme", redo)
    assert told() == ("labeled", "bid_up", 0.6, "done", 1, [label])
    decide = lambda session: proposal_store.decide(  # noqa: E731
        session, proposal_id=1, state="accepted", **WHO
    )
    assert records.write("acme", decide).decided_by == "ana"
    with pytest.raises(ConflictError, match="ana made it accepted"):
        records.write("acme", decide)


def test_an_adjudicated_label_validates_whatever_was_said_before(records: Records) -> None:
    def write(session: Any) -> int:
        number = incident_store.upsert(session, found=[new_incident()], **WHO).ids[0]
        for actor, cause, settles in (
            ("ana", "bid_up", []),
            ("bob", "paused", []),
            ("eve", "bid_up", [1, 2]),
        ):
            label = NewLabel(
                incident_id=number, entity="", disposition="real", cause=cause, settles=settles
            )
            label_store.add(session, label=label, **{**WHO, "actor": actor})
        return number

    number = records.write("acme", write)
    row = records.read("acme", lambda session: session.get(Incident, ("acme", number)))
    assert (row.label_status, row.root_cause, row.labelled_by) == ("validated", "bid_up", "eve")


def test_versions_of_words_stand_beside_each_other_and_a_stale_one_is_told_both(
    records: Records,
) -> None:
    def add(seen: int, body: dict[str, Any], actor: str = "ana") -> int:
        return records.write(
            "acme",
            lambda session: (
                taxonomy_store.add(
                    session, **ADS, body=body, seen=seen, actor=actor, now=NOW
                ).number
            ),
        )

    assert (add(0, {"several": False}), add(1, {"several": True})) == (1, 2)
    with pytest.raises(ConflictError, match="ana made number 2") as stale:
        add(1, {"several": False}, "bob")
    assert stale.value.context["theirs"] == {"several": True}
    assert stale.value.context["yours"] == {"several": False}
    found = records.read("acme", lambda session: taxonomy_store.versions(session, **ADS))
    assert [(row.number, row.body) for row in found] == [
        (2, {"several": True}),
        (1, {"several": False}),
    ]
