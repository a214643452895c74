"""Due work of the server process: hourly detection, daily clean-up; a missed run is caught up once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from core.contracts import OnStep
from core.errors import CancelledError, HeadwaterError, StoreError
from workbench.context import Context
from workbench.services import alerts, detect, schedule

log = logging.getLogger(__name__)

RETRY = timedelta(minutes=10)
LOOK = 30.0
"""Seconds between two looks at the clock: a wait until the next chore would not notice that the machine slept."""


@dataclass(frozen=True)
class Chore:
    """A named piece of regular work; it stops where `on_step` answers False."""

    name: str
    every: timedelta
    run: Callable[[Context, OnStep], None]


def _detect_all(context: Context, on_step: OnStep) -> None:
    failed = []
    for tenant, domain in context.metrics.holdings():
        try:
            detect.detect(context, tenant, domain=domain, actor="scheduler", on_step=on_step)
        except CancelledError:
            raise
        except HeadwaterError as error:  # the other tenants still want theirs
            failed.append(f"{tenant}: {error}")
    if failed:
        raise StoreError.of("scheduler", "every tenant", "checked", "; ".join(failed))


def _archive_all(context: Context, _: OnStep) -> None:
    for tenant in {tenant for tenant, _ in context.metrics.holdings()}:
        moved = alerts.archive(context, tenant, days=context.settings.retention_days)
        log.info("Moved %d resolved alerts of tenant %s to history", moved, tenant)


CHORES = (
    Chore("detection", timedelta(hours=1), _detect_all),
    Chore("clean-up", timedelta(days=1), _archive_all),
)


@contextmanager
def running(context: Context, chores: tuple[Chore, ...] = CHORES) -> Iterator[None]:
    """Run what is due for as long as the block lasts; a chore under way at its end is asked to stop."""
    ending = threading.Event()
    thread = threading.Thread(target=_keep, args=(context, chores, ending), name="scheduler")
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def _keep(context: Context, chores: tuple[Chore, ...], ending: threading.Event) -> None:
    while not ending.is_set():
        try:
            run_due(context, chores, lambda *_: not ending.is_set())
        except HeadwaterError:
            log.exception("The scheduler could not reach its records; it tries again")
        ending.wait(LOOK)


def run_due(
    context: Context, chores: tuple[Chore, ...] = CHORES, on_step: OnStep = lambda *_: True
) -> list[str]:
    """Run each chore that is due once, however often it was missed; returns their names."""
    late = [chore for chore in chores if schedule.due(context, chore.name) <= context.clock()]
    for chore in late:
        _run(context, chore, on_step)
    return [chore.name for chore in late]


def _run(context: Context, chore: Chore, on_step: OnStep) -> None:
    """One run between two marks in the records; a failure is logged, kept, and tried again soon."""
    schedule.mark_started(context, chore.name)
    try:
        chore.run(context, on_step)
    except CancelledError:
        log.info("The chore %s was stopped; it stays due", chore.name)
    except Exception as error:
        log.exception("The chore %s failed; it is tried again in %s", chore.name, RETRY)
        schedule.mark_failed(context, chore.name, str(error), context.clock() + RETRY)
    else:
        schedule.mark_finished(context, chore.name, context.clock() + chore.every)
