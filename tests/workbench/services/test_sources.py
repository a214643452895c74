"""Sources of metrics: added after a look, fetched on from where they were, each span once whatever is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.domains import DOMAINS
from core.errors import (
    CancelledError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    StoreError,
    UnknownNameError,
)
from data import source_store
from data.ingest import prometheus as api
from tests.prometheus import Live, prometheus  # noqa: F401 - a fixture
from tests.workbench.conftest import Clock
from workbench import scheduler
from workbench.context import Context, open_context
from workbench.services import audit, ingest, measures, sources
from workbench.settings import Settings

SERVICES = DOMAINS["services"]
PLAN: dict[str, Any] = {"include": "(http|rpc|mesh)_.*", "since_hours": 1.0, "window_seconds": 60}


def at(live: Live, hours: float) -> datetime:
    """A moment of the written hours."""
    return datetime.fromtimestamp(live.start + hours * 3600, UTC)


@pytest.fixture
def added(ctx: Context, clock: Clock, prometheus: Live) -> Context:  # noqa: F811
    """A source of the written hours, seen two hours after they begin."""
    clock.now = at(prometheus, 2)
    sources.add(ctx, "acme", name="lab", url=prometheus.url + "/", plan=PLAN)
    return ctx


def requests(ctx: Context, live: Live) -> tuple[np.ndarray, np.ndarray]:
    """Seconds since the written hours began, and the rate of the good requests."""
    times, values = ctx.metrics.samples.raw(
        "acme",
        SERVICES,
        "pod:prod/cart-1",
        'http_requests_total{code="200"}',
        at(live, 0),
        at(live, 9),
    )
    return times.astype(np.int64) - live.start, values


def test_a_fetch_goes_on_where_the_last_one_was(
    added: Context,
    clock: Clock,
    prometheus: Live,  # noqa: F811
) -> None:
    (first,) = sources.fetch(added, "acme")
    assert (first.spans, first.failed, first.error) == (1, {}, "")
    assert first.until == datetime.fromtimestamp(prometheus.start + 2 * 3600 - 60, UTC)
    times, values = requests(added, prometheus)
    assert np.array_equal(times, np.arange(3600, 7200, 60))
    assert np.median(values) == pytest.approx(2.0)
    (nothing,) = sources.fetch(added, "acme")
    assert (nothing.spans, nothing.samples) == (0, 0)
    clock.now = at(prometheus, 2.5)
    (second,) = sources.fetch(added, "acme", name="lab")
    assert second.samples == first.samples // 2
    assert np.array_equal(requests(added, prometheus)[0], np.arange(3600, 9000, 60))
    graph = added.metrics.samples.graph("acme", SERVICES)
    assert ("service:cart", "service:shop") in graph.net.edges
    assert ("pod:prod/cart-1", "service:prod/cart") in graph.net.edges
    said = added.metrics.samples.components("acme", SERVICES)
    assert [thing.id for thing in said].count("pod:prod/cart-1") == 1


def test_one_batch_is_one_span_and_can_be_taken_back(
    added: Context,
    prometheus: Live,  # noqa: F811
) -> None:
    (report,) = sources.fetch(added, "acme")
    (batch,) = ingest.batches(added, "acme")
    assert (batch.format, batch.report, batch.new >= report.samples) == ("prometheus", "lab", True)
    assert ingest.undo_batch(added, "acme", batch.id)["removed"] == report.samples
    assert added.metrics.samples.span("acme", SERVICES) is None
    assert sources.fetch(added, "acme")[0].samples == 0  # it was there, and was not wanted


def test_long_gaps_come_in_spans_that_a_stop_leaves_whole(
    added: Context,
    prometheus: Live,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, "MOST_POINTS", 25)
    with pytest.raises(CancelledError, match="after 1 spans"):
        sources.fetch(added, "acme", on_step=lambda *_: False)
    assert np.array_equal(requests(added, prometheus)[0], np.arange(3600, 5100, 60))
    (rest,) = sources.fetch(added, "acme")
    assert rest.spans == 2
    assert np.array_equal(requests(added, prometheus)[0], np.arange(3600, 7200, 60))


DYING = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from core.domains import DOMAINS
from data import source_store
from data.samples import SampleStore
from workbench.context import open_context
from workbench.services import sources
from workbench.settings import Settings

home, now, point = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if point == "asked":
    SampleStore.load = die
if point == "stored":
    real = SampleStore.load
    SampleStore.load = lambda *told: (real(*told), die())
with open_context(Settings(home=home, user="ana", tenant="acme"), clock=lambda: datetime.fromtimestamp(now, UTC)) as ctx:
    sources.fetch(ctx, "acme")
"""


@pytest.mark.parametrize("point", ["asked", "stored"])
def test_a_kill_in_the_middle_doubles_and_loses_nothing(
    settings: Settings,
    clock: Clock,
    prometheus: Live,  # noqa: F811
    point: str,
) -> None:
    clock.now = at(prometheus, 2)
    with open_context(settings, clock=clock) as ctx:
        sources.add(ctx, "acme", name="lab", url=prometheus.url, plan=PLAN)
    command = [sys.executable, "-c", DYING, str(settings.home), str(clock.now.timestamp()), point]
    died = subprocess.run(command, cwd=Path(__file__).parents[3], check=False)
    assert died.returncode == -signal.SIGKILL
    clock.advance(minutes=10)
    with open_context(settings, clock=clock) as ctx:
        assert sources.listing(ctx, "acme")[0].until is None
        sources.fetch(ctx, "acme")
        times, _ = requests(ctx, prometheus)
        assert np.array_equal(times, np.arange(3600, 7800, 60))
        stored = ctx.metrics.samples.metrics("acme", SERVICES)
        assert {info.samples for info in stored} == {70}
        assert len(ingest.batches(ctx, "acme")) == 2


def test_two_that_fetch_at_once_do_not_both_move_on(
    added: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = api.fetch

    def slow(*arguments: Any, **told: Any) -> api.Fetched:
        monkeypatch.setattr(api, "fetch", real)
        assert sources.fetch(added, "acme")[0].spans == 1  # somebody else, meanwhile
        return real(*arguments, **told)

    monkeypatch.setattr(api, "fetch", slow)
    with pytest.raises(ConflictError, match="Somebody else"):
        sources.fetch(added, "acme", name="lab")
    assert {info.samples for info in measures.listing(added, "acme")} == {60}


def test_a_source_that_is_away_stops_no_other_and_says_so(
    added: Context,
    clock: Clock,
    prometheus: Live,  # noqa: F811
) -> None:
    sources.add(added, "acme", name="away", url=prometheus.url, plan=PLAN)
    named = {"tenant": "acme", "domain": "services", "name": "away"}
    added.records.write(
        "acme",
        lambda session: setattr(source_store.get(session, **named), "url", "http://127.0.0.1:1"),
    )
    reports = {report.name: report for report in sources.fetch(added, "acme")}
    assert reports["lab"].spans == 1
    assert "reachable" in reports["away"].error
    told = {source.name: source for source in sources.listing(added, "acme")}
    assert "reachable" in told["away"].error
    assert told["lab"].error == ""
    with pytest.raises(StoreError, match="reachable"):
        sources.fetch(added, "acme", name="away")
    with pytest.raises(StoreError, match="away of acme"):
        next(chore for chore in scheduler.CHORES if chore.name == "fetch").run(
            added, lambda *_: True
        )


def test_what_cannot_be_added(added: Context, prometheus: Live) -> None:  # noqa: F811
    def add(**told: Any) -> None:
        sources.add(added, "acme", **({"name": "b", "url": prometheus.url} | told))

    with pytest.raises(ConflictError, match="new in this domain"):
        add(name="lab")
    with pytest.raises(InvalidInputError, match="the name"):
        add(name="a b")
    with pytest.raises(UnknownNameError, match="the domain"):
        add(domain="ads")
    with pytest.raises(StoreError, match="reachable"):
        add(url="http://127.0.0.1:1")
    with pytest.raises(InvalidInputError, match="one that it can answer"):
        add(plan={"queries": {"a": "rate(b["}})
    assert [source.name for source in sources.listing(added, "acme")] == ["lab"]
    assert sources.listing(added, "other") == []


def test_a_source_is_removed_and_its_figures_stay(
    added: Context,
    prometheus: Live,  # noqa: F811
) -> None:
    sources.fetch(added, "acme")
    sources.remove(added, "acme", "lab", actor="bob")
    assert sources.listing(added, "acme") == []
    assert len(requests(added, prometheus)[0]) == 60
    with pytest.raises(NotFoundError, match="sources add"):
        sources.fetch(added, "acme", name="lab")
    verbs = [event.verb for event in audit.history(added, "acme", kind="metric_source", number=1)]
    assert sorted(verbs) == ["add source", "fetch", "remove source"]


def test_a_person_says_what_a_metric_is(added: Context) -> None:
    sources.fetch(added, "acme")
    told = measures.declare(added, "acme", "rpc_seconds", unit="seconds", actor="bob")
    assert (told.unit, told.bad, told.said_by) == ("seconds", 0, "name")
    told = measures.declare(added, "acme", "rpc_seconds", bad=1)
    assert (told.unit, told.bad, told.said_by) == ("seconds", 1, "hand")
    (newest, _) = audit.history(added, "acme", kind="metric", number="rpc_seconds")
    assert newest.after == {"told": {"bad": 1}, "previous": {"bad": 0}}
    with pytest.raises(UnknownNameError, match="measured"):
        measures.declare(added, "acme", "warp", bad=1)
    with pytest.raises(InvalidInputError, match="label, unit, bad or nature"):
        measures.declare(added, "acme", "rpc_seconds")
