"""Due work of the server process: hourly detection, daily clean-up; a missed run is caught up once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from workbench.context import Context
from workbench.services import alerts, detect, schedule

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chore:
    """A named piece of regular work."""

    name: str
    every: timedelta
    run: Callable[[Context], None]


def _detect_all(context: Context) -> None:
    for tenant, domain in context.metrics.holdings():
        detect.detect(context, tenant, domain=domain, actor="scheduler")


def _archive_all(context: Context) -> None:
    for tenant in {tenant for tenant, _ in context.metrics.holdings()}:
        moved = alerts.archive(context, tenant, days=context.settings.retention_days)
        log.info("Moved %d resolved alerts of tenant %s to history", moved, tenant)


CHORES = (
    Chore("detection", timedelta(hours=1), _detect_all),
    Chore("clean-up", timedelta(days=1), _archive_all),
)


def start(context: Context, chores: tuple[Chore, ...] = CHORES) -> BackgroundScheduler:
    """Start the chores; those whose last run is older than their interval run now, once."""
    scheduler = BackgroundScheduler(timezone="UTC")
    for chore in chores:
        now = context.clock()
        due = next_due(schedule.last_finished(context, chore.name), chore.every, now)
        if due <= now:
            scheduler.add_job(_run, DateTrigger(now), [context, chore], id=f"{chore.name} now")
            due = now + chore.every
        scheduler.add_job(
            _run,
            IntervalTrigger(seconds=int(chore.every.total_seconds()), start_date=due),
            [context, chore],
            id=chore.name,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
    scheduler.start()
    return scheduler


def next_due(last: datetime | None, every: timedelta, now: datetime) -> datetime:
    """When a chore is due: one interval after it last finished; a chore that never ran, now."""
    return now if last is None else last + every


def _run(context: Context, chore: Chore) -> None:
    """One run, between two marks in the records; a failure is logged and tried again when next due."""
    schedule.mark_started(context, chore.name)
    try:
        chore.run(context)
    except Exception:
        log.exception("The chore %s failed; it is tried again in %s", chore.name, chore.every)
        return
    schedule.mark_finished(context, chore.name)
