"""Keeping of samples: whole days go in one transaction, what is needed stays, and so does what was only described."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest

from core.domains.services import SERVICES
from data import sample_retention
from data.metrics import MetricStore
from tests.data.test_samples import START, batch

DAY = timedelta(days=1)
MIDNIGHT = datetime(2026, 3, 3, tzinfo=UTC)
EVERY_HOUR = [("service:cart", "latency", 3600 * hour, float(hour)) for hour in range(96)]
"""Four days from noon on: 12 hours of the first, 24 of each that follows."""


@pytest.fixture
def store() -> Iterator[MetricStore]:
    opened = MetricStore(":memory:")
    components = [
        {"id": "service:cart", "level": "service", "name": "cart"},
        {"id": "pod:old", "level": "pod", "name": "old", "parent": "service:cart"},
        {"id": "service:silent", "level": "service", "name": "silent"},
    ]
    edges = [
        {"source": "pod:old", "target": "service:cart", "kind": "part"},
        {"source": "service:silent", "target": "service:cart", "kind": "calls"},
    ]
    rows = [*EVERY_HOUR, ("pod:old", "latency", 0, 1.0)]
    opened.samples.load("t", SERVICES, batch(rows, components=components, dependencies=edges))
    opened.samples.load("rival", SERVICES, batch(rows))
    yield opened
    opened.close()


def forget(store: MetricStore, held: sample_retention.Spans = ()) -> int:
    due = store.samples.past_keeping("t", SERVICES, MIDNIGHT, held)
    went = sum(store.samples.forget("t", SERVICES, MIDNIGHT, held, day) for day in due)
    store.samples.forget_unmeasured("t", SERVICES)
    assert went == sum(due.values())
    return went


def hours(store: MetricStore) -> list[int]:
    end = START + 5 * DAY
    times, _ = store.samples.raw("t", SERVICES, "service:cart", "latency", START, end)
    return [
        round(at.item().replace(tzinfo=UTC).timestamp() - START.timestamp()) // 3600 for at in times
    ]


def test_samples_before_the_cut_go_and_the_rest_stays(store: MetricStore) -> None:
    version = store.version("t")
    assert forget(store) == 12 + 24 + 1
    assert hours(store) == list(range(36, 96))
    assert store.samples.span("t", SERVICES) == (MIDNIGHT, START + timedelta(hours=95))
    assert store.samples.metrics("t", SERVICES)[0].samples == 60
    assert store.version("t") != version
    told = store.samples.forgotten("t", SERVICES)
    assert told is not None
    assert (told.before, told.samples) == (MIDNIGHT, 37)
    assert forget(store) == 0
    assert len(store.samples.coverage("rival", SERVICES, days=9)) == 5


def test_times_that_are_needed_stay_by_the_hour(store: MetricStore) -> None:
    held = [(START + timedelta(hours=20.5), START + timedelta(hours=22))]
    forget(store, held)
    assert hours(store)[:5] == [20, 21, 22, 36, 37]


def test_who_has_no_sample_left_leaves_the_graph_and_who_never_had_one_stays(
    store: MetricStore,
) -> None:
    assert "pod:old" in store.samples.graph("t", SERVICES).net
    forget(store)
    assert set(store.samples.graph("t", SERVICES).net.edges) == {("service:silent", "service:cart")}
    assert "pod:old" not in store.samples.graph("t", SERVICES).net


def test_a_day_goes_wholly_or_not_at_all(
    store: MetricStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = sample_retention.statements("retention")
    broken: dict[str, Any] = {
        **sql,
        "told": "INSERT INTO nowhere VALUES ($tenant, $domain, $before, $dropped_at, $samples)",
    }
    monkeypatch.setattr(sample_retention, "statements", lambda _: broken)
    with pytest.raises(duckdb.CatalogException):
        forget(store)
    assert hours(store) == list(range(96))


def test_taking_back_a_batch_whose_samples_went_takes_what_is_left(store: MetricStore) -> None:
    forget(store)
    assert store.undo("t", 1) == 60
    assert store.samples.span("t", SERVICES) is None
