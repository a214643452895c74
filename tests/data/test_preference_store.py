"""Preferences: chosen by compare-and-swap, told in the audit trail, one tenant's own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from core.errors import ConflictError
from data import preference_store
from data.record_store import Records
from data.records import AuditEvent

NOW = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)


def put(records: Records, value: dict[str, Any], seen: int, tenant: str = "acme") -> None:
    records.write(
        tenant,
        lambda session: preference_store.put(
            session, tenant=tenant, name="promotion", value=value, seen=seen, actor="ana", now=NOW
        ),
    )


def test_a_choice_is_kept_told_and_its_tenants_own(records: Records) -> None:
    put(records, {"cost": 3.0}, 0)
    put(records, {"cost": 5.0}, 1)

    def look(tenant: str) -> Any:
        return records.read(
            tenant,
            lambda session: preference_store.get(session, tenant=tenant, name="promotion"),
        )

    assert (look("acme").value, look("acme").version) == ({"cost": 5.0}, 2)
    assert look("other") is None
    told = records.read("acme", lambda session: list(session.scalars(select(AuditEvent.after))))
    assert told == [
        {"value": {"cost": 3.0}, "previous": None},
        {"value": {"cost": 5.0}, "previous": {"cost": 3.0}},
    ]


def test_a_choice_on_top_of_one_not_seen_is_refused_with_both(records: Records) -> None:
    put(records, {"cost": 3.0}, 0)
    with pytest.raises(ConflictError, match=r"version 0.*version 1.*3\.0.*ana"):
        put(records, {"cost": 9.0}, 0)
