from __future__ import annotations

import shutil
from datetime import timedelta

from core.errors import StoreError
from tests.workbench.conftest import Clock
from workbench import __version__
from workbench.context import Context, announce, open_context
from workbench.plain import plain
from workbench.services import algorithms, health, schedule
from workbench.settings import Settings


def test_a_well_home_says_so(ctx: Context) -> None:
    found = plain(health.check(ctx))
    assert found["ok"] is True
    assert found["version"] == __version__
    assert set(found["checks"]) == {"metrics", "records", "registry", "scheduler"}
    assert found["scheduler_age_seconds"] is None


def test_a_sick_store_is_named_and_the_others_still_looked_at(ctx: Context) -> None:
    def refuse() -> None:
        raise StoreError.of("metrics", "the file", "readable", "gone")

    ctx.metrics.check = refuse  # type: ignore[method-assign]
    shutil.rmtree(ctx.registry.root)
    found = health.check(ctx)
    assert (found.ok, found.status) == (False, "failing")
    assert "metrics: the file" in found.checks["metrics"].detail
    assert not found.checks["registry"].ok
    assert found.checks["records"].ok


def test_a_scheduler_that_stopped_is_noticed_where_there_should_be_one(
    settings: Settings, clock: Clock
) -> None:
    with announce(settings), open_context(settings, clock=clock) as ctx:
        schedule.mark_started(ctx, "detection")
        clock.advance(minutes=30)
        found = health.check(ctx)
        assert found.ok
        assert found.scheduler_age_seconds == 1800
        clock.advance(hours=2)
        found = health.check(ctx)
        assert not found.ok
        assert found.checks["scheduler"].detail == "last started 150 minutes ago"
    with open_context(settings, clock=clock) as ctx:
        assert health.check(ctx).ok


def test_chores_remember_when_they_ended_and_are_due(ctx: Context, clock: Clock) -> None:
    assert schedule.due(ctx, "detection") == clock.now
    schedule.mark_started(ctx, "detection")
    assert schedule.due(ctx, "detection") == clock.now
    done = clock.advance(minutes=1)
    schedule.mark_finished(ctx, "detection", done + timedelta(hours=1))
    clock.advance(hours=1)
    schedule.mark_started(ctx, "detection")
    assert schedule.due(ctx, "detection") == done + timedelta(hours=1)
    schedule.mark_failed(ctx, "detection", "no data", clock.now + timedelta(minutes=10))
    beat = schedule.beats(ctx)["detection"]
    assert (beat.last_finished, beat.error) == (done, "no data")
    assert beat.due == clock.now + timedelta(minutes=10)


def test_the_listing_is_the_catalogue() -> None:
    rows = algorithms.listing()
    assert {"robust-z", "isolation-forest", "seasonal-naive"} <= {row["name"] for row in rows}
    assert {row["kind"] for row in algorithms.listing("forecaster")} == {"forecaster"}
    robust = next(row for row in rows if row["name"] == "robust-z")
    assert robust["installed"] is True
    assert plain(robust)["params"][0]["name"] == "seed"
