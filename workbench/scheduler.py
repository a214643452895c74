"""Due work of the server process: fetching, detection, drift, retraining, clean-up; a missed run is caught up once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from core.contracts import OnStep
from core.errors import CancelledError, HeadwaterError, NotEnoughDataError, StoreError
from workbench.context import Context
from workbench.services import (
    alerts,
    detect,
    drift,
    incidents,
    jobs,
    retention,
    retraining,
    schedule,
    sources,
)

log = logging.getLogger(__name__)

ACTOR = "scheduler"
RETRY = timedelta(minutes=10)
LOOK = 30.0
"""Seconds between two looks at the clock: a wait until the next chore would not notice that the machine slept."""


@dataclass(frozen=True)
class Chore:
    """A named piece of regular work; it stops where `on_step` answers False."""

    name: str
    every: timedelta
    run: Callable[[Context, OnStep], None]


def _for_each(
    holdings: Iterable[tuple[str, str]], work: Callable[[str, str], object], done: str
) -> None:
    """Do the work for every tenant and domain that holds data; what failed for one is told once all had theirs."""
    failed = []
    for tenant, domain in holdings:
        try:
            work(tenant, domain)
        except CancelledError:
            raise
        except HeadwaterError as error:  # the other tenants still want theirs
            failed.append(f"{tenant}: {error}")
    if failed:
        raise StoreError.of("scheduler", "every tenant", done, "; ".join(failed))


def _fetch_all(context: Context, on_step: OnStep) -> None:
    """What sources have since the last fetch, of tenants with measurements and of this installation's own."""
    holding = {tenant for tenant, _ in context.metrics.samples.holdings()}
    failed = [
        f"{report.name} of {tenant}: {report.error}"
        for tenant in sorted({*holding, context.settings.tenant})
        for domain in sources.domains()
        for report in sources.fetch(context, tenant, domain=domain, actor=ACTOR, on_step=on_step)
        if report.error
    ]
    if failed:
        raise StoreError.of("scheduler", "every source", "fetched from", "; ".join(failed))


def _detect_all(context: Context, on_step: OnStep) -> None:
    def look(tenant: str, domain: str) -> None:
        detect.detect(context, tenant, domain=domain, actor=ACTOR, on_step=on_step)

    _for_each(context.metrics.holdings(), look, "checked")


def _drift_all(context: Context, on_step: OnStep) -> None:
    """A check where a window has closed since the last one, and what came of trainings that drift asked for."""

    def look(tenant: str, domain: str) -> None:
        retraining.settle(context, tenant, domain=domain, actor=ACTOR)
        if drift.due(context, tenant, domain=domain):
            try:
                drift.check(context, tenant, domain=domain, actor=ACTOR, on_step=on_step)
            except NotEnoughDataError as error:  # a young account, not a failure
                log.info("No drift check of %s for tenant %s: %s", domain, tenant, error.message)
        elif waits := drift.wait(context, tenant, domain=domain):
            told = "No drift check of %s for tenant %s before %s: %d of %d days are there"
            log.info(told, domain, tenant, waits.ready, waits.days, waits.needed)

    _for_each(context.holdings(), look, "looked at for drift")


def _retrain_all(context: Context, _: OnStep) -> None:
    """The weekly proposal of those who want one; it starts by itself only where they allow that."""

    def ask(tenant: str, domain: str) -> None:
        retraining.schedule(context, tenant, domain=domain, actor=ACTOR)

    _for_each(context.holdings(), ask, "asked to retrain")


def _picture_all(context: Context, on_step: OnStep) -> None:
    """What the metrics of incidents were around them, while they still come in."""
    for tenant in sorted({tenant for tenant, _ in context.holdings()}):
        incidents.picture_due(context, tenant, on_step)


def _watch_all(context: Context, on_step: OnStep) -> None:
    """Detection where data comes by the minute."""

    def look(tenant: str, domain: str) -> None:
        detect.detect(context, tenant, domain=domain, actor=ACTOR, on_step=on_step)

    _for_each(context.metrics.samples.holdings(), look, "detected in")


def _clean_up(context: Context, _: OnStep) -> None:
    days = context.settings.retention_days
    log.info("Removed %d folders of old jobs", jobs.tidy(context, days=days))
    for tenant in sorted({tenant for tenant, _ in context.holdings()}):
        moved = alerts.archive(context, tenant, days=days)
        log.info("Moved %d resolved alerts of tenant %s to history", moved, tenant)


def _forget_all(context: Context, on_step: OnStep) -> None:
    """Measurements that are past keeping."""

    def forget(tenant: str, domain: str) -> None:
        retention.forget(context, tenant, domain=domain, actor=ACTOR, on_step=on_step)

    _for_each(context.metrics.samples.holdings(), forget, "freed of old measurements")


CHORES = (
    Chore("fetch", timedelta(minutes=5), _fetch_all),
    Chore("detection", timedelta(hours=1), _detect_all),
    Chore("watch", timedelta(minutes=10), _watch_all),
    Chore("drift", timedelta(days=1), _drift_all),
    Chore("retraining", timedelta(days=7), _retrain_all),
    Chore("snapshots", timedelta(minutes=10), _picture_all),
    Chore("retention", timedelta(days=1), _forget_all),
    Chore("clean-up", timedelta(days=1), _clean_up),
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
    run = []
    for chore in chores:
        if schedule.due(context, chore.name) > context.clock():
            continue
        if on_step("", 0.0, {}) is False:  # none begins once the server ends
            break
        _run(context, chore, on_step)
        run.append(chore.name)
    return run


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
