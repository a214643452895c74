"""Checks are kept as they stood; a proposal is open once, decided once, and told in the audit trail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from core.errors import ConflictError, NotFoundError
from data import drift_store
from data.model_records import RetrainProposal
from data.record_store import Records
from data.records import AuditEvent

NOW = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
DAYS = {"start": date(2026, 9, 21), "end": date(2026, 11, 15)}


def write(records: Records, act: Callable[..., Any], tenant: str = "acme", **facts: Any) -> Any:
    return records.write(tenant, partial(act, tenant=tenant, **facts))


def read(records: Records, act: Callable[..., Any], tenant: str = "acme", **facts: Any) -> Any:
    return records.read(tenant, partial(act, tenant=tenant, **facts))


def check(records: Records, end: date, tenant: str = "acme", version: str = "v1") -> int:
    row = write(
        records,
        drift_store.add_check,
        tenant,
        domain="ads",
        model_version=version,
        reference_start=end - timedelta(days=70),
        reference_end=end - timedelta(days=21),
        window_start=end - timedelta(days=20),
        window_end=end,
        tested=77,
        drifted=2,
        report={"cells": [{"lean": 0.5}]},
        at=NOW,
        actor="ana",
    )
    return int(row.id)


def propose(records: Records, tenant: str = "acme", **facts: Any) -> RetrainProposal:
    told = {"domain": "ads", "reason": "spend moved", "trigger": "drift", "check_id": None}
    row: RetrainProposal = write(
        records, drift_store.propose, tenant, **(told | DAYS | facts), actor="ana", now=NOW
    )
    return row


def decide(records: Records, proposal: int, state: str, **facts: Any) -> None:
    told = {"actor": "ben", "now": NOW} | facts
    write(records, drift_store.decide, proposal_id=proposal, state=state, **told)


def test_the_newest_check_is_the_last_one_made_of_its_tenant(records: Records) -> None:
    check(records, date(2026, 11, 8))
    newest = check(records, date(2026, 11, 15), version="v2")
    check(records, date(2026, 11, 15), tenant="other")
    latest = read(records, drift_store.latest_check, domain="ads")
    assert (latest.id, latest.report) == (newest, {"cells": [{"lean": 0.5}]})
    assert read(records, drift_store.latest_check, domain="ads", model_version="v1").id != newest
    assert [row.drifted for row in read(records, drift_store.checks, domain="ads")] == [2, 2]
    assert read(records, drift_store.latest_check, domain="epc") is None
    with pytest.raises(NotFoundError, match="the check"):
        read(records, drift_store.get_check, check_id=999)


def test_one_proposal_is_open_at_a_time(records: Records) -> None:
    first, second = propose(records), propose(records, reason="more moved")
    assert first.id == second.id and second.reason == "spend moved"
    decide(records, first.id, "dismissed")
    assert propose(records).id != first.id


def test_a_decision_stands_and_is_told(records: Records) -> None:
    proposal = propose(records)
    decide(records, proposal.id, "accepted", job_id="job-1")
    with pytest.raises(ConflictError, match="accepted by ben"):
        decide(records, proposal.id, "dismissed", actor="cy")
    row = read(records, drift_store.get_proposal, proposal_id=proposal.id)
    assert (row.state, row.job_id, row.decided_by, row.version) == ("accepted", "job-1", "ben", 2)
    told = records.read("acme", lambda session: list(session.scalars(select(AuditEvent.verb))))
    assert told == ["propose", "accepted"]


def test_accepted_ones_are_counted_from_a_moment_on(records: Records) -> None:
    proposal = propose(records)
    count = partial(read, records, drift_store.retrained_since, domain="ads")
    assert count(since=NOW - timedelta(days=7)) == 0
    decide(records, proposal.id, "accepted", job_id="job-1")
    assert count(since=NOW - timedelta(days=7)) == 1
    assert count(since=NOW + timedelta(seconds=1)) == 0
    assert read(records, drift_store.last_decided, domain="ads").id == proposal.id
    assert read(records, drift_store.last_decided, domain="epc") is None


def test_a_backtest_is_kept_beside_the_proposal(records: Records) -> None:
    proposal = propose(records)
    write(
        records,
        drift_store.keep_backtest,
        proposal_id=proposal.id,
        backtest={"offered": True},
        actor="scheduler",
        now=NOW,
    )
    kept = read(records, drift_store.get_proposal, proposal_id=proposal.id)
    assert kept.backtest == {"offered": True}


def test_another_tenants_proposal_is_not_there(records: Records) -> None:
    proposal = propose(records)
    with pytest.raises(NotFoundError, match="the proposal"):
        read(records, drift_store.get_proposal, "other", proposal_id=proposal.id)
    assert read(records, drift_store.proposals, "other", domain="ads") == []
