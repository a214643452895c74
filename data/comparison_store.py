"""Comparisons of two model versions, kept as they stood."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from data.model_records import Comparison


def add(
    session: Session,
    *,
    tenant: str,
    domain: str,
    champion: str,
    challenger: str,
    data_version: str,
    verdict: str,
    report: Mapping[str, Any],
    actor: str,
    now: datetime,
) -> Comparison:
    """Keep one comparison."""
    row = Comparison(
        tenant=tenant,
        domain=domain,
        champion=champion,
        challenger=challenger,
        data_version=data_version,
        verdict=verdict,
        report=dict(report),
        at=now,
        actor=actor,
    )
    session.add(row)
    session.flush()
    return row


def newest(
    session: Session,
    *,
    tenant: str,
    domain: str,
    champion: str,
    challenger: str,
    data_version: str,
    since: datetime,
) -> Comparison | None:
    """The newest comparison of a pair on the same data since then, or None."""
    query = select(Comparison).where(
        Comparison.tenant == tenant,
        Comparison.domain == domain,
        Comparison.champion == champion,
        Comparison.challenger == challenger,
        Comparison.data_version == data_version,
        Comparison.at >= since,
    )
    return session.scalars(query.order_by(Comparison.id.desc()).limit(1)).first()
