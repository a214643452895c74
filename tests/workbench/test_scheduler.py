"""The scheduler: what is due when, caught up once, kept due by a failure, ended with the server."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.contracts import OnStep
from core.errors import CancelledError, NotEnoughDataError, StoreError
from data import run_store
from tests.workbench.conftest import Clock
from tests.workbench.services import services_world
from workbench import scheduler
from workbench.context import Context, open_context
from workbench.scheduler import CHORES, Chore
from workbench.services import alerts, detect, drift, retraining, schedule
from workbench.settings import Settings


class Log:
    """Chores that note when they ran."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, datetime]] = []

    def chore(self, name: str, **every: float) -> Chore:
        def run(context: Context, on_step: OnStep) -> None:
            self.ran.append((name, context.clock()))

        return Chore(name, timedelta(**every), run)


def test_detection_is_due_hourly_and_clean_up_daily(ctx: Context, clock: Clock) -> None:
    assert [(chore.name, chore.every) for chore in CHORES] == [
        ("fetch", timedelta(minutes=5)),
        ("detection", timedelta(hours=1)),
        ("watch", timedelta(minutes=10)),
        ("drift", timedelta(days=1)),
        ("retraining", timedelta(days=7)),
        ("snapshots", timedelta(minutes=10)),
        ("retention", timedelta(days=1)),
        ("clean-up", timedelta(days=1)),
    ]
    log = Log()
    chores = (log.chore("detection", hours=1), log.chore("clean-up", days=1))
    start = clock.now
    for _ in range(4 * 25):  # a look each quarter of an hour for 25 hours
        scheduler.run_due(ctx, chores)
        clock.advance(minutes=15)
    hours = {
        name: [(at - start) / timedelta(hours=1) for ran, at in log.ran if ran == name]
        for name in ("detection", "clean-up")
    }
    assert hours == {"detection": list(range(25)), "clean-up": [0, 24]}


def test_what_was_missed_is_caught_up_once_after_a_restart(
    settings: Settings, clock: Clock
) -> None:
    log = Log()
    chores = (log.chore("detection", hours=1),)
    with open_context(settings, clock=clock) as ctx:
        assert scheduler.run_due(ctx, chores) == ["detection"]
    back = clock.advance(hours=7, minutes=20)
    with open_context(settings, clock=clock) as ctx:
        assert scheduler.run_due(ctx, chores) == ["detection"]
        assert scheduler.run_due(ctx, chores) == []
        assert schedule.due(ctx, "detection") == back + timedelta(hours=1)


def test_a_restart_within_the_hour_runs_nothing(settings: Settings, clock: Clock) -> None:
    chores = (Log().chore("detection", hours=1),)
    with open_context(settings, clock=clock) as ctx:
        scheduler.run_due(ctx, chores)
    clock.advance(minutes=59)
    with open_context(settings, clock=clock) as ctx:
        assert scheduler.run_due(ctx, chores) == []


def test_a_failing_chore_is_logged_marked_and_tried_again(
    ctx: Context, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(context: Context, on_step: OnStep) -> None:
        raise ValueError("the disk is full")

    log = Log()
    chores = (Chore("detection", timedelta(hours=1), fail), log.chore("clean-up", days=1))
    began = clock.now
    with caplog.at_level(logging.ERROR):
        assert scheduler.run_due(ctx, chores) == ["detection", "clean-up"]
    assert "The chore detection failed" in caplog.text
    assert "the disk is full" in caplog.text  # the trace
    beat = schedule.beats(ctx)["detection"]
    assert beat.error == "the disk is full"
    assert (beat.last_started, beat.last_finished) == (began, None)
    assert beat.due == began + scheduler.RETRY
    assert log.ran == [("clean-up", began)]
    clock.advance(minutes=10)
    mended = (log.chore("detection", hours=1),)
    assert scheduler.run_due(ctx, mended) == ["detection"]
    assert schedule.beats(ctx)["detection"].error == ""


def test_a_killed_chore_stays_due(settings: Settings, clock: Clock) -> None:
    with open_context(settings, clock=clock) as ctx:
        schedule.mark_started(ctx, "detection")  # and no more
    clock.advance(minutes=1)
    with open_context(settings, clock=clock) as ctx:
        assert scheduler.run_due(ctx, (Log().chore("detection", hours=1),)) == ["detection"]


def test_a_tenant_that_fails_does_not_stop_the_others(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[tuple[str, str]] = []

    def detected(context: Context, tenant: str, **options: Any) -> None:
        checked.append((tenant, options["actor"]))
        if tenant == "a":
            raise NotEnoughDataError.of("detect", "days", "at least 8", 3)

    monkeypatch.setattr(ctx.metrics, "holdings", lambda: [("a", "ads"), ("b", "ads")])
    monkeypatch.setattr(detect, "detect", detected)
    with pytest.raises(StoreError, match=r"a: detect: days must be at least 8"):
        CHORES[1].run(ctx, lambda *_: True)
    assert checked == [("a", "scheduler"), ("b", "scheduler")]


def test_running_systems_are_looked_at_for_drift_and_asked_to_retrain_too(
    ctx: Context, caplog: pytest.LogCaptureFixture
) -> None:
    services_world.load(ctx)
    weekly = dataclasses.replace(retraining.policy(ctx, "acme"), weekly=True)
    retraining.set_policy(ctx, "acme", weekly, actor="ana")
    chores = tuple(chore for chore in CHORES if chore.name in ("drift", "retraining"))
    with caplog.at_level(logging.INFO):
        assert scheduler.run_due(ctx, chores) == ["drift", "retraining"]
    assert "No drift check of services for tenant acme before 2026-11-30: 0 of 10" in caplog.text
    assert [beat.error for beat in schedule.beats(ctx).values()] == ["", ""]
    (proposed,) = retraining.proposals(ctx, "acme", domain="services")
    assert proposed.trigger == "schedule" and proposed.end == services_world.FAULT[0].date()


def test_the_clean_up_keeps_as_long_as_the_settings_say(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[tuple[str, int]] = []

    def archived(context: Context, tenant: str, *, days: int) -> int:
        kept.append((tenant, days))
        return 0

    monkeypatch.setattr(ctx.metrics, "holdings", lambda: [("a", "ads")])
    monkeypatch.setattr(ctx.metrics.samples, "holdings", lambda: [("b", "services")])
    monkeypatch.setattr(alerts, "archive", archived)
    CHORES[-1].run(ctx, lambda *_: True)
    assert kept == [("a", 90), ("b", 90)]


def test_the_end_of_the_server_stops_a_chore_that_then_stays_due(
    ctx: Context, clock: Clock
) -> None:
    under_way, ended = threading.Event(), threading.Event()

    def work(context: Context, on_step: OnStep) -> None:
        under_way.set()
        while on_step("train", 0.5, {}) is not False:
            ended.wait(0.01)
        raise CancelledError.of("detect", "the run", "allowed to go on", "a stop")

    with scheduler.running(ctx, (Chore("detection", timedelta(hours=1), work),)):
        assert under_way.wait(10)
    assert not any(thread.name == "scheduler" for thread in threading.enumerate())
    beat = schedule.beats(ctx)["detection"]
    assert (beat.last_finished, beat.error, beat.due) == (None, "", clock.now)


def test_the_chores_run_for_real(detected: Path, open_home: Callable[..., Context]) -> None:
    monday = datetime(2026, 3, 16, 6, tzinfo=UTC)
    ctx = open_home(detected, now=monday)
    assert scheduler.run_due(ctx, CHORES) == [
        "fetch",
        "detection",
        "watch",
        "drift",
        "retraining",
        "snapshots",
        "retention",
        "clean-up",
    ]
    run = ctx.records.read(
        "local", lambda session: run_store.latest(session, tenant="local", domain="ads")
    )
    assert run is not None
    assert (run.state, run.actor, run.finished) == ("done", "scheduler", monday)
    report = drift.latest(ctx, "local")
    assert report is not None and report.actor == "scheduler"
    assert scheduler.run_due(ctx, CHORES) == []
