"""Reports on the quality of the data, as they stood."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import NotFoundError
from data.audit_store import tell
from data.records import DataReport


def add(
    session: Session,
    *,
    tenant: str,
    domain: str,
    passed: bool,
    report: Mapping[str, Any],
    actor: str,
    now: datetime,
) -> DataReport:
    """Keep one report, and tell of it in the audit trail."""
    row = DataReport(
        tenant=tenant, domain=domain, at=now, actor=actor, passed=passed, report=dict(report)
    )
    session.add(row)
    session.flush()
    states = {check["name"]: check["state"] for check in report["checks"]}
    tell(session, row, "validate", actor=actor, now=now, after={"domain": domain} | states)
    return row


def get(session: Session, *, tenant: str, report_id: int) -> DataReport:
    """One report; NotFoundError for a number that this tenant has not."""
    row = session.get(DataReport, (tenant, report_id))
    if row is None:
        raise NotFoundError.of("validation", "the report", "one of this tenant's", report_id)
    return row


def latest(session: Session, *, tenant: str, domain: str) -> DataReport | None:
    """The newest report of a domain; None where nobody ever looked."""
    query = select(DataReport).where(DataReport.tenant == tenant, DataReport.domain == domain)
    return session.scalars(query.order_by(DataReport.id.desc()).limit(1)).first()


def history(
    session: Session, *, tenant: str, domain: str, limit: int = 26
) -> list[tuple[int, datetime, str, bool]]:
    """(number, when, by whom, passed) of the newest reports, newest first."""
    query = (
        select(DataReport.id, DataReport.at, DataReport.actor, DataReport.passed)
        .where(DataReport.tenant == tenant, DataReport.domain == domain)
        .order_by(DataReport.id.desc())
        .limit(limit)
    )
    return [(row.id, row.at, row.actor, row.passed) for row in session.execute(query)]
