"""What a run found, stored once however often it runs: created, refreshed, or left as people left it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from core.domains import DOMAINS
from core.errors import InvalidInputError
from data import audit_store
from data.columns import canonical, plain
from data.records import SEVERITIES, Alert, Incident

SAME_EPISODE = timedelta(days=3)
"""Findings of one thing at most this far apart are the same finding, where their domain says nothing else."""


@dataclass(frozen=True)
class Upserted:
    """What a run's findings became; `ids` and `rows` stand in the order of what was found."""

    created: int
    updated: int
    unchanged: int
    ids: tuple[int, ...]
    rows: tuple[Any, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class Kind:
    """A kind of finding: whether it is known already, what is new of it, and how it is told in the audit.

    known : (place among what was found) → the row that it is, if any
    newer : (row, the finding) → the facts that the row takes
    """

    name: str
    verb: str
    known: Callable[[int], Any]
    make: Callable[[Any], Any]
    newer: Callable[[Any, Any], dict[str, Any]]


def pause(domain: str) -> timedelta:
    """How far apart findings of one thing may lie to be the same finding."""
    if domain not in DOMAINS:
        return SAME_EPISODE
    return timedelta(seconds=float(DOMAINS[domain].pause / np.timedelta64(1, "s")))


def store(
    session: Session,
    kind: Kind,
    *,
    tenant: str,
    found: Sequence[Any],
    now: datetime,
    actor: str,
) -> Upserted:
    """Create what is new and refresh what is known."""
    check_severities(found)
    rows: list[Any] = []
    tally: Counter[str] = Counter()
    for place, item in enumerate(found):
        row = kind.known(place)
        if row is None:
            row = kind.make(item)
            session.add(row)
            tally["created"] += 1
        elif refresh(row, kind.newer(row, item), actor=actor, now=now):
            tally["updated"] += 1
        else:
            tally["unchanged"] += 1
        rows.append(row)
    session.flush()
    if tally["created"] or tally["updated"]:
        audit_store.record(
            session,
            tenant=tenant,
            actor=actor,
            now=now,
            verb=kind.verb,
            object_kind=kind.name,
            object_id=found[0].domain,
            after=dict(tally),
        )
    ids = tuple(row.id for row in rows)
    return Upserted(tally["created"], tally["updated"], tally["unchanged"], ids, tuple(rows))


def refresh(row: Alert | Incident, facts: dict[str, Any], *, actor: str, now: datetime) -> bool:
    """Take newer facts; False when they say nothing new."""
    changed = {
        name: value
        for name, value in facts.items()
        # the stored form is compared only where the cheap look tells them apart
        if getattr(row, name) != value and plain(getattr(row, name)) != plain(value)
    }
    for name, value in changed.items():
        setattr(row, name, value)
    if changed:
        row.version += 1
        row.updated_at = now
        row.updated_by = actor
    return bool(changed)


def check_severities(found: Iterable[Any]) -> None:
    """Refuse a finding whose severity is not one of ours."""
    for item in found:
        if item.severity not in SEVERITIES:
            raise InvalidInputError.of(
                "upsert", "the severity", "one of " + ", ".join(SEVERITIES), item.severity
            )


def fingerprint(*parts: object) -> str:
    """SHA-256 over the parts, each told apart from the next."""
    return hashlib.sha256(canonical(parts).encode()).hexdigest()
