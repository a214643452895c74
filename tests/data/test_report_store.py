"""Reports on the data are kept as they stood, one tenant's own, and told in the audit trail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from core.errors import NotFoundError
from data import report_store
from data.record_store import Records
from data.records import AuditEvent

NOW = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)


def add(records: Records, passed: bool, *, tenant: str = "acme", domain: str = "services") -> int:
    state = "pass" if passed else "fail"
    row = records.write(
        tenant,
        lambda session: report_store.add(
            session,
            tenant=tenant,
            domain=domain,
            passed=passed,
            report={"checks": [{"name": "gaps", "state": state}]},
            actor="ana",
            now=NOW + timedelta(hours=1),
        ),
    )
    return int(row.id)


def test_the_newest_report_of_a_domain_is_the_latest(records: Records) -> None:
    def read(act: Any, tenant: str = "acme", **asked: Any) -> Any:
        return records.read(tenant, partial(act, tenant=tenant, **asked))

    first, second = add(records, False), add(records, True)
    other = add(records, False, domain="ads")
    assert read(report_store.latest, domain="services").id == second
    assert read(report_store.latest, domain="epc") is None
    assert read(report_store.latest, "other", domain="services") is None
    told = read(report_store.history, domain="services")
    assert [(row[0], row[3]) for row in told] == [(second, True), (first, False)]
    assert read(report_store.get, report_id=other).domain == "ads"
    with pytest.raises(NotFoundError, match="99"):
        read(report_store.get, report_id=99)
    events = records.read("acme", lambda session: list(session.scalars(select(AuditEvent.after))))
    assert events[0] == {"domain": "services", "gaps": "fail"}
