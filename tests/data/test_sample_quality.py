"""What the store tells of its samples: steps, holes, spikes, corrections and presence, counted where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pytest

from core.domains.services import SERVICES
from data import sample_quality
from data.metrics import MetricStore
from data.sample_quality import Sampled
from tests.data.test_samples import START, batch

MINUTES = 240


@pytest.fixture
def store() -> Iterator[MetricStore]:
    opened = MetricStore(":memory:")
    yield opened
    opened.close()


def rows(metric: str = "cpu", entity: str = "pod:a") -> list[tuple[str, str, int, float]]:
    """Four hours of minutes between 1 and 2."""
    return [(entity, metric, 60 * minute, 1 + minute % 7 / 6) for minute in range(MINUTES)]


def looked(store: MetricStore, hours: float = 4) -> Sampled:
    end = START + timedelta(hours=hours)
    return store.samples.sampled("t", SERVICES, start=START, end=end)


def test_steps_holes_and_spikes_are_counted_per_series(store: MetricStore) -> None:
    broken = [row for row in rows("ram") if not 6000 <= row[2] < 9000]
    broken[10] = ("pod:a", "ram", 612, broken[10][3])
    broken[50] = (*broken[50][:3], 99.0)
    broken[60] = (*broken[60][:3], 9.0)
    store.samples.load("t", SERVICES, batch([*rows(), *broken]))
    found = looked(store)
    series = found.series
    assert list(series.metric) == ["cpu", "ram"] and list(series.entity) == ["pod:a"] * 2
    assert series.samples.tolist() == [240, 190] and series.usual.tolist() == [60.0, 60.0]
    assert series.uneven.tolist() == [0, 3] and series.missing.tolist() == [0, 50]
    assert series.lone.tolist() == [0, 2] and series.absurd.tolist() == [0, 1]
    assert np.isnan(series.worst[0]) and series.worst[1] == 99.0
    assert series.worst_at[1] == START.timestamp() + 3000
    (hole,) = found.holes
    assert (hole.missing, hole.series, hole.example) == (50, 1, "ram of pod:a")
    assert hole.start == START.timestamp() + 5940
    assert (found.samples, found.every, found.corrected) == (430, 1, 0)


def test_holes_of_the_same_time_are_one(store: MetricStore) -> None:
    both = [row for metric in ("cpu", "ram") for row in rows(metric) if not 600 <= row[2] < 1200]
    store.samples.load("t", SERVICES, batch(both))
    (hole,) = looked(store).holes
    assert (hole.series, hole.missing) == (2, 20)


def test_the_newest_word_counts_and_corrections_are_counted(store: MetricStore) -> None:
    store.samples.load("t", SERVICES, batch(rows(), "a"))
    again = [(*row[:3], 500.0 if row[2] == 600 else row[3]) for row in rows()[:20]]
    store.samples.load("t", SERVICES, batch(again, "b"))
    found = looked(store)
    assert (found.corrected, found.series.samples.tolist()) == (1, [240])
    assert found.series.worst.tolist() == [500.0]


def test_calls_and_other_tenants_and_times_are_not_looked_at(store: MetricStore) -> None:
    store.samples.load("t", SERVICES, batch([*rows(), *rows(entity="service:a→service:b")]))
    store.samples.load("u", SERVICES, batch(rows("ram"), "u"))
    assert looked(store).series.metric.tolist() == ["cpu"]
    assert looked(store, 0.5).series.samples.tolist() == [30]


def test_of_too_many_samples_every_so_many_series_is_taken(
    store: MetricStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.samples.load(
        "t", SERVICES, batch([row for k in range(6) for row in rows(entity=f"pod:{k}")])
    )
    monkeypatch.setattr(sample_quality, "SAMPLES", 3 * MINUTES)
    found = looked(store)
    assert (found.every, len(found.series.entity), found.samples) == (2, 3, 6 * MINUTES)


def test_presence_is_told_by_hour_for_a_metric_and_its_parts(store: MetricStore) -> None:
    half = [row for row in rows("http_request_duration_seconds:p95") if row[2] < 5400]
    store.samples.load("t", SERVICES, batch([*rows(), *half]))
    there = store.samples.presence(
        "t",
        SERVICES,
        ("cpu", "http_request_duration_seconds", "never"),
        start=START,
        end=START + timedelta(hours=3, minutes=30),
        seconds=60,
    )
    assert there.due.tolist() == [60, 60, 60, 30]
    assert there.shares.tolist() == [[1, 1, 1, 1], [1, 0.5, 0, 0], [0, 0, 0, 0]]
    assert there.hours[0] == np.datetime64("2026-03-01T12")
