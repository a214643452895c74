"""Experiments as records: what may follow what, one running per domain, every step told, each tenant its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from core.errors import ConflictError, NotFoundError
from data import experiment_store as store
from data.model_records import Experiment
from data.record_store import Records
from data.records import AuditEvent

NOW = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)


def fields(**other: Any) -> dict[str, Any]:
    return {
        "domain": "ads",
        "name": "quieter",
        "control": "v1",
        "treatment": "v2",
        "metric": "alert-rate",
        "effect": -0.002,
        "units": 400,
        "days": 14,
        "salt": "s" * 32,
        **other,
    }


def plan(records: Records, tenant: str = "acme", **other: Any) -> Experiment:
    return records.write(
        tenant,
        lambda session: store.add(
            session, tenant=tenant, fields=fields(**other), actor="ana", now=NOW
        ),
    )


def move(records: Records, number: int, verb: str, tenant: str = "acme", **options: Any) -> Any:
    seen = options.pop("seen", None)
    return records.write(
        tenant,
        lambda session: store.move(
            session,
            tenant=tenant,
            number=number,
            verb=verb,
            changes=options,
            actor="ana",
            now=NOW + timedelta(hours=1),
            seen=seen,
        ),
    )


def test_an_experiment_goes_from_plan_to_end_and_the_trail_tells(records: Records) -> None:
    assert plan(records).state == "planning"
    move(records, 1, "start", state="running", started_at=NOW)
    move(records, 1, "look", looks=[{"value": 0.1}])
    ended = move(records, 1, "end", state="completed", verdict="deploy", reason="it is better")
    assert (ended.version, ended.ended_at) == (4, NOW + timedelta(hours=1))
    told = records.read("acme", lambda session: session.scalars(select(AuditEvent)).all())
    assert [event.verb for event in told] == ["plan", "start", "end"]
    assert told[-1].after == {"state": "completed", "verdict": "deploy", "reason": "it is better"}


def test_what_ended_stays_as_it_is(records: Records) -> None:
    plan(records)
    with pytest.raises(ConflictError, match=r"must be running.*planning"):
        move(records, 1, "end", state="completed")
    move(records, 1, "stop", state="failed")
    with pytest.raises(
        ConflictError, match=r"must be planning or running.*failed.*\n.*Plan a new one"
    ):
        move(records, 1, "start", state="running")
    with pytest.raises(ConflictError, match="must be planning or running"):
        move(records, 1, "look", looks=[{}])


def test_one_runs_in_a_domain(records: Records) -> None:
    for _ in range(2):
        plan(records)
    move(records, 1, "start", state="running")
    with pytest.raises(ConflictError, match=r"the only one that runs in ads.*\n.*experiment 1"):
        move(records, 2, "start", state="running")
    assert (
        records.read("acme", lambda session: store.running(session, tenant="acme", domain="ads")).id
        == 1
    )
    move(records, 1, "stop", state="failed")
    assert move(records, 2, "start", state="running").state == "running"


def test_a_move_on_top_of_one_not_seen_is_refused(records: Records) -> None:
    plan(records)
    move(records, 1, "start", state="running", seen=1)
    with pytest.raises(ConflictError, match=r"version 1.*version 2, running at shadow"):
        move(records, 1, "advance", share=0.05, seen=1)


def test_a_tenant_sees_its_own(records: Records) -> None:
    plan(records)
    plan(records, tenant="other", name="theirs")

    def listing(tenant: str) -> list[str]:
        rows = records.read(tenant, lambda session: store.listing(session, tenant=tenant))
        return [row.name for row in rows]

    assert (listing("acme"), listing("other")) == (["quieter"], ["theirs"])
    with pytest.raises(NotFoundError, match="one of this tenant's"):
        records.read("other", lambda session: store.get(session, tenant="other", number=2))
