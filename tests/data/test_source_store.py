"""Sources in the records: named once, moved on by one at a time, told in the audit trail."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from core.errors import ConflictError, NotFoundError
from data import audit_store, source_store
from data.record_store import Records
from data.records import MetricSource

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
WHO = {"actor": "ana", "now": NOW}
LAB = {"tenant": "acme", "domain": "services", "name": "lab"}


def add(records: Records, **told: str) -> MetricSource:
    named = LAB | told
    row = MetricSource(**named, kind="prometheus", url="http://host:9090", created_at=NOW)
    return records.write(named["tenant"], lambda session: source_store.add(session, row, **WHO))


def test_a_name_stands_once_in_a_domain(records: Records) -> None:
    add(records)
    with pytest.raises(ConflictError, match="new in this domain"):
        add(records)
    add(records, name="other")
    add(records, tenant="zeta")
    found = records.read("acme", lambda session: source_store.listing(session, tenant="acme"))
    assert [(row.name, row.version) for row in found] == [("lab", 1), ("other", 1)]


def test_only_who_saw_the_newest_moves_it_on(records: Records) -> None:
    seen = add(records)

    def move(row: MetricSource, until: int) -> MetricSource:
        return records.write(
            "acme",
            lambda session: source_store.move(
                session, row, cursor={"until": until}, fetched={"until": until}, **WHO
            ),
        )

    moved = move(seen, 60)
    assert (moved.cursor, moved.version, moved.fetched_at) == ({"until": 60}, 2, NOW)
    with pytest.raises(ConflictError, match="still at version 1"):
        move(seen, 120)
    assert move(moved, 120).cursor == {"until": 120}


def test_a_removed_source_is_gone_and_its_trail_stays(records: Records) -> None:
    seen = add(records)
    records.write("acme", lambda session: source_store.remove(session, **LAB, **WHO))
    with pytest.raises(NotFoundError, match="sources add"):
        records.read("acme", lambda session: source_store.get(session, **LAB))
    with pytest.raises(ConflictError, match="removed"):
        records.write("acme", lambda session: source_store.move(session, seen, cursor={}, **WHO))
    events = records.read(
        "acme",
        lambda session: audit_store.history(
            session, tenant="acme", objects=[("metric_source", seen.id)], limit=10
        ),
    )
    assert [event.verb for event in events] == ["remove source", "add source"]
