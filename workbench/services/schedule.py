"""When the scheduler's chores ran and are due; kept in the records, so that a missed run is caught up after a restart."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from data import run_store
from data.records import SchedulerBeat
from workbench.context import Context

SYSTEM = "system"  # the tenant of what belongs to the process, not to a customer


def beats(ctx: Context) -> dict[str, SchedulerBeat]:
    """Every chore that ever started, by name."""
    return ctx.records.read(SYSTEM, lambda session: run_store.beats(session, tenant=SYSTEM))


def due(ctx: Context, name: str) -> datetime:
    """When the chore is due; one that never ran is due now."""
    beat = beats(ctx).get(name)
    return beat.due if beat else ctx.clock()


def mark_started(ctx: Context, name: str) -> None:
    """The chore starts now; until it ends it stays due, so that a killed one is run again."""
    _mark(ctx, name, due(ctx, name), last_started=ctx.clock())


def mark_finished(ctx: Context, name: str, next_due: datetime) -> None:
    """The chore ended well now."""
    _mark(ctx, name, next_due, last_finished=ctx.clock(), error="")


def mark_failed(ctx: Context, name: str, error: str, next_due: datetime) -> None:
    """The chore ended badly."""
    _mark(ctx, name, next_due, error=error)


def _mark(ctx: Context, name: str, next_due: datetime, **fields: Any) -> None:
    ctx.records.write(
        SYSTEM,
        lambda session: run_store.beat(session, tenant=SYSTEM, name=name, due=next_due, **fields),
    )
