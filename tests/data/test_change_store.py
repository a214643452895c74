"""Change events: told once however often told, found by time and entity, taken back and brought back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from data import audit_store, change_store
from data.finding_store import Upserted
from data.record_store import Records
from data.records import ChangeEvent
from tests.findings import NOW

HOUR = timedelta(hours=1)
WHO = {"tenant": "acme", "actor": "ana", "now": NOW}


def change(
    key: str = "1", hours_ago: float = 1, entity: str = "service:cart", **facts: Any
) -> ChangeEvent:
    """A deploy of the cart."""
    known = {"kind": "deploy", "title": "cart 1.2", "source": "file", "domain": "services"}
    return ChangeEvent(external_key=key, at=NOW - hours_ago * HOUR, entity=entity, **known | facts)


def tell(records: Records, *found: ChangeEvent) -> Upserted:
    return records.write("acme", lambda s: change_store.add(s, found=found, **WHO))


def between(records: Records, **asked: Any) -> list[str]:
    about = {"tenant": "acme", "domain": "services", "start": NOW - 2 * HOUR, "end": NOW}
    found = records.read("acme", lambda s: change_store.between(s, **about | asked))
    return [event.external_key for event in found]


def test_an_event_told_again_is_the_same_and_news_are_taken(records: Records) -> None:
    assert tell(records, change(), change("2")) == Upserted(2, 0, 0, (1, 2))
    assert tell(records, change(), change("2")) == Upserted(0, 0, 2, (1, 2))
    assert tell(records, change(title="cart 1.3")) == Upserted(0, 1, 0, (1,))
    assert tell(records, change(source="hand")) == Upserted(1, 0, 0, (3,))


def test_events_are_found_by_time_entity_and_domain_earliest_first(records: Records) -> None:
    tell(
        records,
        change("late", 0.5),
        change("early", 2),
        change("gone", 2.1),
        change("long", 9, ended_at=NOW - HOUR),
        change("other", 1, entity="service:pay"),
        change("all", 1, entity=""),
        change("ads", 1, domain="ads"),
    )
    assert between(records) == ["long", "early", "other", "all", "late"]
    assert between(records, entities=["service:pay"]) == ["other", "all"]
    assert between(records, limit=2) == ["all", "late"]


def test_one_undo_takes_all_of_it_back_and_telling_again_brings_it_back(records: Records) -> None:
    tell(records, change(), change("2"))
    records.write("acme", lambda s: audit_store.undo(s, tenant="acme", actor="ana", now=NOW))
    assert between(records) == []
    assert tell(records, change("2")) == Upserted(0, 1, 0, (2,))
    assert between(records) == ["2"]
