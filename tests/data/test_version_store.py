"""Versions and aliases on both databases; the registry's own rules are tested with the registry."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from core.errors import ConflictError, NotFoundError
from data import version_store
from data.record_store import Records
from data.version_store import Versions
from tests.findings import NOW


def fields(number: str, **others: Any) -> dict[str, Any]:
    return {
        "id": number,
        "domain": "ads",
        "name": "robust-z",
        "kind": "detector",
        "digest": number * 4,
        "params": {"largest": 2},
        "metrics": {"score_99": 2.5},
        "parent": None,
        "snapshot_digest": "",
    } | others


def test_versions_come_newest_first_and_by_domain_and_name(records: Records) -> None:
    store = Versions(records)
    for row in (fields("a"), fields("b", name="ensemble"), fields("c", domain="epc")):
        store.add("acme", row, actor="ana", at=NOW)
    assert [row.id for row in store.versions("acme")] == ["c", "b", "a"]
    assert [row.id for row in store.versions("acme", "ads")] == ["b", "a"]
    assert [row.id for row in store.versions("acme", name="robust-z")] == ["c", "a"]
    assert store.versions("rival") == []
    assert store.get("acme", "b").params == {"largest": 2}
    assert store.get("acme", "b").created_at == NOW


def test_an_alias_points_only_at_versions_of_its_tenant(records: Records) -> None:
    store = Versions(records)
    store.add("rival", fields("a"), actor="ana", at=NOW)
    with pytest.raises(NotFoundError, match="one of this tenant's"):
        store.move_alias(
            "acme", "ads", "champion", "a", seen=0, actor="ana", reason="first", at=NOW
        )
    assert store.alias("acme", "ads", "champion") is None


def test_of_many_moves_from_the_same_look_exactly_one_wins(records: Records) -> None:
    store = Versions(records)
    numbers = [f"v{number}" for number in range(8)]
    for number in numbers:
        store.add("acme", fields(number), actor="ana", at=NOW)

    def move(number: str) -> bool:
        try:
            store.move_alias(
                "acme", "ads", "champion", number, seen=0, actor=number, reason="race", at=NOW
            )
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = [
            number for number, moved in zip(numbers, pool.map(move, numbers), strict=True) if moved
        ]
    alias = store.alias("acme", "ads", "champion")
    assert alias is not None
    assert won == [alias.version_id]
    assert [row.id for row in store.versions("acme") if row.state == "champion"] == won


def test_a_version_that_comes_back_serves_again(records: Records) -> None:
    store = Versions(records)
    for number in ("a", "b"):
        store.add("acme", fields(number), actor="ana", at=NOW)
    for seen, number in enumerate(("a", "b", "a")):
        at = NOW + timedelta(hours=seen)
        store.move_alias(
            "acme", "ads", "champion", number, seen=seen, actor="ana", reason="try", at=at
        )
    assert {row.id: row.state for row in store.versions("acme")} == {
        "a": "champion",
        "b": "retired",
    }
    alias = store.alias("acme", "ads", "champion")
    assert alias is not None
    assert (alias.version, alias.updated_at) == (3, NOW + timedelta(hours=2))


def test_a_version_its_alias_and_more_are_one_transaction(records: Records) -> None:
    def publish(session: Session, *, fail: bool) -> None:
        version_store.add(session, tenant="acme", fields=fields("a"), actor="ana", at=NOW)
        version_store.move_alias(
            session,
            tenant="acme",
            domain="ads",
            alias="challenger",
            version_id="a",
            seen=0,
            actor="ana",
            reason="trained",
            at=NOW,
        )
        if fail:
            raise ConflictError.of("jobs", "the fence", "3", 4)

    store = Versions(records)
    with pytest.raises(ConflictError, match="the fence"):
        records.write("acme", lambda session: publish(session, fail=True))
    assert store.versions("acme") == []
    assert store.moves("acme", "ads", "challenger") == []
    records.write("acme", lambda session: publish(session, fail=False))
    found = store.served("acme", "ads", "challenger")
    assert found is not None
    assert (found[0].version, found[1].id, found[1].state) == (1, "a", "ready")


def test_one_id_has_one_version(records: Records) -> None:
    store = Versions(records)
    first = store.add("acme", fields("a"), actor="ana", at=NOW)
    again = store.add("acme", fields("a"), actor="bob", at=NOW + timedelta(hours=1))
    assert (again.created_by, again.created_at) == (first.created_by, first.created_at)
    with pytest.raises(ConflictError, match="published once"):
        store.add("acme", fields("a", digest="other"), actor="bob", at=NOW)


def test_what_stands_is_what_no_rollback_undid(records: Records) -> None:
    store = Versions(records)
    for number in ("a", "b", "c"):
        store.add("acme", fields(number), actor="ana", at=NOW)

    def move(number: str, undoes: int | None = None) -> None:
        row = store.alias("acme", "ads", "champion")
        store.move_alias(
            "acme",
            "ads",
            "champion",
            number,
            seen=row.version if row else 0,
            actor="ana",
            reason="try",
            at=NOW,
            undoes=undoes,
        )

    def undo() -> None:
        last = store.last_promotion("acme", "ads", "champion")
        assert last is not None
        move(last.previous, last.id)

    assert store.last_promotion("acme", "ads", "champion") is None
    for number in ("a", "b", "c"):
        move(number)
    assert store.predecessors("acme", "ads", "champion") == ["b", "a"]
    undo()
    assert store.predecessors("acme", "ads", "champion") == ["a"]
    move("c")
    assert store.predecessors("acme", "ads", "champion") == ["b", "a"]
    undo()
    undo()
    alias = store.alias("acme", "ads", "champion")
    assert alias is not None
    assert (alias.version_id, alias.version) == ("a", 7)
    assert store.predecessors("acme", "ads", "champion") == []
