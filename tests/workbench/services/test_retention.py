"""Keeping of measurements: counted from the newest, longer around incidents that need them, told before it begins."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pyarrow as pa
import pytest

from core.domains.services import SERVICES
from core.errors import CancelledError
from data import incident_store
from data.ingest.batch import SAMPLES, Samples
from tests.findings import NOW, new_incident
from tests.workbench.conftest import Clock
from workbench import scheduler
from workbench.context import Context, open_context
from workbench.services import audit, incidents, retention
from workbench.settings import Settings

DAYS = 6


@pytest.fixture
def kept(settings: Settings, clock: Clock) -> Iterator[Context]:
    """A home that keeps two days; six days of hours in it."""
    chosen = settings.model_copy(update={"sample_days": 2})
    with open_context(chosen, clock=clock) as context:
        first = (NOW - timedelta(days=DAYS)).replace(tzinfo=None)
        rows = [
            {
                "entity": "service:cart",
                "metric": "error_rate_by_service",
                "moment": first + timedelta(hours=hour),
                "value": 0.01,
                "row": hour,
            }
            for hour in range(24 * DAYS)
        ]
        table = pa.Table.from_pylist(rows, SAMPLES)
        batch = Samples("a.csv", "a", 100, "samples", first, rows=len(rows), samples=table)
        context.metrics.samples.load("acme", SERVICES, batch)
        yield context


def first(ctx: Context) -> datetime:
    span = ctx.metrics.samples.span("acme", SERVICES)
    assert span is not None
    return span[0]


def midnight(days_ago: int) -> datetime:
    newest = NOW - timedelta(hours=1)
    return newest.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days_ago)


def test_the_scheduler_drops_what_is_past_keeping_and_tells_of_it(kept: Context) -> None:
    (chore,) = (chore for chore in scheduler.CHORES if chore.name == "retention")
    scheduler.run_due(kept, (chore,))
    assert first(kept) == midnight(2)
    (event,) = [row for row in audit.history(kept, "acme") if row.verb == "drop samples"]
    gone = retention.latest(kept, "acme", domain="services")
    assert gone is not None
    assert event.after["samples"] == gone.samples > 0
    assert (event.actor, event.after["days kept"]) == ("scheduler", 2)
    assert retention.forget(kept, "acme", domain="services") is None


def test_it_counts_from_the_newest_measurement_not_from_today(kept: Context, clock: Clock) -> None:
    clock.advance(days=400)
    retention.forget(kept, "acme", domain="services")
    assert first(kept) == midnight(2)


def test_zero_days_keep_all_for_ever(kept: Context, settings: Settings) -> None:
    object.__setattr__(kept, "settings", settings.model_copy(update={"sample_days": 0}))
    assert retention.forget(kept, "acme", domain="services") is None
    assert first(kept) == NOW - timedelta(days=DAYS)


def test_what_an_open_incident_is_judged_by_stays_until_it_is_resolved(kept: Context) -> None:
    onset = NOW - timedelta(days=4)
    found = new_incident(
        "service:cart", domain="services", onset=onset, ended_at=onset + timedelta(hours=1)
    )
    (number,) = kept.records.write(
        "acme",
        lambda session: incident_store.upsert(
            session, tenant="acme", found=[found], actor="ana", now=NOW
        ),
    ).ids
    retention.forget(kept, "acme", domain="services")
    assert first(kept) == onset - retention.LEARNED_FROM
    around = kept.metrics.samples.raw(
        "acme",
        SERVICES,
        "service:cart",
        "error_rate_by_service",
        first(kept),
        onset + timedelta(hours=3),
    )[0]
    assert len(around) == 9 + 3
    incidents.resolve(kept, "acme", number, actor="ana")
    retention.forget(kept, "acme", domain="services")
    assert first(kept) == midnight(2)


def test_a_stop_in_the_middle_leaves_whole_days_and_the_next_run_goes_on(kept: Context) -> None:
    with pytest.raises(CancelledError, match="after 1 of"):
        retention.forget(
            kept, "acme", domain="services", on_step=lambda name, share, numbers: share == 0.0
        )
    left = first(kept)
    assert NOW - timedelta(days=DAYS) < left < midnight(2)
    assert left.hour == 0
    retention.forget(kept, "acme", domain="services")
    assert first(kept) == midnight(2)
