"""Samples that are past keeping go, a day in one transaction, except the hours that something still needs.

Snapshots that models were trained on are files of their own and are not touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from core.domain import Domain
from data.duck import Cursor, Duck, rows, statements

HOUR = timedelta(hours=1)
Spans = Sequence[tuple[datetime, datetime]]
"""Times that are needed, half open."""
HELD = pa.schema({"first": pa.timestamp("us"), "last": pa.timestamp("us")})


@dataclass(frozen=True)
class Forgotten:
    """A clean-up: `samples` from before `before` went, the last of them `dropped_at` (UTC)."""

    before: datetime
    dropped_at: datetime
    samples: int


def due(
    duck: Duck, tenant: str, domain: Domain, before: datetime, held: Spans
) -> dict[datetime, int]:
    """Day (UTC) → samples of it that are past keeping, the earliest first."""
    sql, scope = statements("retention"), _scope(tenant, domain, before)

    def read(cursor: Cursor) -> list[dict[str, Any]]:
        cursor.register("held", _hours(held))
        return rows(cursor, sql["days"], **scope)

    return {row["day"].replace(tzinfo=UTC): row["samples"] for row in duck.run(read)}


def forget_day(
    duck: Duck, tenant: str, domain: Domain, before: datetime, held: Spans, day: datetime
) -> int:
    """Drop what `due` tells of a day, and what is told of its hours; returns the samples that went."""
    sql, scope = statements("retention"), _scope(tenant, domain, before)
    one_day = scope | {"day": _plain(day)}

    def write(cursor: Cursor) -> int:
        cursor.register("held", _hours(held))
        (went,) = cursor.execute(sql["samples"], one_day).fetchone() or (0,)
        cursor.execute(sql["sampling"], one_day)
        at = _plain(datetime.now(UTC))
        cursor.execute(sql["told"], scope | {"dropped_at": at, "samples": went})
        return int(went)

    return duck.transaction(write)


def forget_unmeasured(duck: Duck, tenant: str, domain: Domain) -> None:
    """Drop series without samples; whoever has no other goes from the graph, with its edges.

    What was described and never measured stays.
    """
    sql, scope = statements("retention"), {"tenant": tenant, "domain": domain.name}

    def write(cursor: Cursor) -> None:
        for step in ("gone", "components", "dependencies", "series"):
            cursor.execute(sql[step], scope)

    duck.transaction(write)


def last(duck: Duck, tenant: str, domain: Domain) -> Forgotten | None:
    """The newest clean-up that dropped something."""
    sql, scope = statements("retention")["last"], {"tenant": tenant, "domain": domain.name}
    found = duck.run(lambda cursor: rows(cursor, sql, **scope))
    if not found:
        return None
    before, at = (found[0][name].replace(tzinfo=UTC) for name in ("before", "dropped_at"))
    return Forgotten(before, at, found[0]["samples"])


def _scope(tenant: str, domain: Domain, before: datetime) -> dict[str, Any]:
    return {"tenant": tenant, "domain": domain.name, "before": _plain(before)}


def _hours(held: Iterable[tuple[datetime, datetime]]) -> pa.Table:
    """Whole hours: what is told of samples is told by the hour."""
    told = [
        {"first": start.replace(minute=0, second=0, microsecond=0), "last": _hour_after(stop)}
        for start, stop in ((_plain(start), _plain(stop)) for start, stop in held)
    ]
    return pa.Table.from_pylist(told, HELD)


def _hour_after(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0) + HOUR


def _plain(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
