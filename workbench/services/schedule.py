"""When the scheduler's chores last ran; kept in the records, so that a missed run is caught up after a restart."""

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


def last_finished(ctx: Context, name: str) -> datetime | None:
    """When the chore last ended well, or None."""
    beat = beats(ctx).get(name)
    return beat.last_finished if beat else None


def mark_started(ctx: Context, name: str) -> None:
    """The chore starts now."""
    _mark(ctx, name, last_started=ctx.clock())


def mark_finished(ctx: Context, name: str) -> None:
    """The chore ended well now."""
    _mark(ctx, name, last_finished=ctx.clock(), error="")


def mark_failed(ctx: Context, name: str, error: str) -> None:
    """The chore ended badly; it stays due."""
    _mark(ctx, name, error=error)


def _mark(ctx: Context, name: str, **fields: Any) -> None:
    now = ctx.clock()
    ctx.records.write(
        SYSTEM,
        lambda session: run_store.beat(session, tenant=SYSTEM, name=name, due=now, **fields),
    )
