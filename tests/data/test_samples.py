"""The store of measurements: panels by period, idempotent load, exact undo, what metrics and components are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.domains.services import SERVICES
from core.errors import ConflictError, InvalidInputError, UnknownNameError
from data import samples
from data.ingest.batch import COMPONENTS, DEPENDENCIES, MEASURES, SAMPLES, Samples
from data.metrics import MetricStore
from data.samples import SampleStore

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
Row = tuple[str, str, int, float]


@pytest.fixture
def store() -> Iterator[MetricStore]:
    opened = MetricStore(":memory:")
    yield opened
    opened.close()


def batch(
    rows: Sequence[Row],
    name: str = "a",
    *,
    components: Sequence[dict[str, str]] = (),
    dependencies: Sequence[dict[str, str]] = (),
    measures: Sequence[dict[str, object]] = (),
) -> Samples:
    """Samples (entity, metric, seconds after START, value); `name` stands for the bytes."""
    begun = START.replace(tzinfo=None)
    told = [
        {"entity": e, "metric": m, "moment": begun + timedelta(seconds=s), "value": v, "row": row}
        for row, (e, m, s, v) in enumerate(rows)
    ]
    return Samples(
        f"{name}.csv",
        name,
        100,
        "samples",
        begun,
        rows=len(rows),
        samples=pa.Table.from_pylist(told, SAMPLES),
        components=pa.Table.from_pylist(list(components), COMPONENTS),
        dependencies=pa.Table.from_pylist(list(dependencies), DEPENDENCIES),
        measures=pa.Table.from_pylist(list(measures), MEASURES),
    )


def values(store: MetricStore, seconds: int = 180, step: int = 60, **asked: object) -> np.ndarray:
    return store.samples.panel(
        "t",
        SERVICES,
        start=START,
        end=START + timedelta(seconds=seconds),
        step=np.timedelta64(step, "s"),
        **asked,  # type: ignore[arg-type]
    ).values


CART = [("service:cart", "latency", s, v) for s, v in ((0, 1.0), (60, 3.0), (75, 5.0), (120, 7.0))]


def test_a_panel_holds_the_mean_of_each_period_and_nan_where_nothing_was_measured(
    store: MetricStore,
) -> None:
    store.samples.load("t", SERVICES, batch([*CART, ("pod:b", "errors", 60, 2.0)]))
    panel = store.samples.panel("t", SERVICES, start=START, end=START + timedelta(seconds=180))
    assert (panel.entities, panel.metrics) == (("pod:b", "service:cart"), ("errors", "latency"))
    assert panel.periods.labels[1] == np.datetime64("2026-03-01T12:01:00")
    np.testing.assert_array_equal(panel.metric("latency")[1], [1.0, 4.0, 7.0])
    np.testing.assert_array_equal(panel.metric("errors"), [[np.nan, 2, np.nan], [np.nan] * 3])


def test_periods_start_at_multiples_of_the_step_and_cover_the_asked_window(
    store: MetricStore,
) -> None:
    store.samples.load("t", SERVICES, batch(CART))
    panel = store.samples.panel(
        "t",
        SERVICES,
        start=START + timedelta(seconds=70),
        end=np.datetime64("2026-03-01T12:02:01"),
        step=np.timedelta64(60, "s"),
    )
    assert panel.periods.labels.astype(str).tolist() == [
        "2026-03-01T12:01:00",
        "2026-03-01T12:02:00",
    ]
    assert panel.values[0, :, 0].tolist() == [4.0, 7.0]
    assert values(store, 300, 300).tolist() == [[[4.0]]]


def test_many_samples_are_read_some_periods_at_a_time(
    store: MetricStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        ("pod:a", metric, second, 0.1 * second)
        for metric in ("m", "n")
        for second in range(0, 600, 7)
    ]
    store.samples.load("t", SERVICES, batch([*rows, ("pod:late", "m", 590, 1.0)]))
    at_once = values(store, 600)
    read: list[datetime] = []
    real = SampleStore._values

    def counted(self: SampleStore, *asked: Any) -> Any:
        read.append(asked[-2])
        return real(self, *asked)

    monkeypatch.setattr(samples, "AT_ONCE", 60)
    monkeypatch.setattr(SampleStore, "_values", counted)
    np.testing.assert_array_equal(values(store, 600), at_once)
    assert len(read) == 4


def test_an_entity_without_samples_in_the_window_stays_only_when_asked_by_name(
    store: MetricStore,
) -> None:
    store.samples.load("t", SERVICES, batch([*CART, ("pod:b", "errors", 3600, 2.0)]))
    assert values(store).shape == (1, 3, 1)
    asked = values(store, entities=("pod:b", "service:cart"), metrics=("latency",))
    assert np.isnan(asked[0]).all()
    assert asked[1, :, 0].tolist() == [1.0, 4.0, 7.0]
    assert values(store, levels=("pod",)).shape == (0, 3, 0)


@pytest.mark.parametrize("asked", [{"entities": ("pod:x",)}, {"metrics": ("warp",)}])
def test_an_unknown_name_is_refused(store: MetricStore, asked: dict[str, tuple[str, ...]]) -> None:
    store.samples.load("t", SERVICES, batch(CART))
    with pytest.raises(UnknownNameError, match="that were measured"):
        values(store, **asked)


def test_a_window_that_ends_before_it_starts_is_refused(store: MetricStore) -> None:
    with pytest.raises(InvalidInputError, match="ends after it starts"):
        values(store, -60)


def test_the_same_bytes_twice_change_nothing(store: MetricStore) -> None:
    assert store.samples.load("t", SERVICES, batch(CART)).sentence == "batch 1: 4 new rows"
    again = store.samples.load("t", SERVICES, batch(CART))
    assert (again.already, again.new) == (True, 0)
    assert values(store)[0, :, 0].tolist() == [1.0, 4.0, 7.0]


def test_of_one_series_and_time_the_last_row_of_a_file_and_the_newest_batch_count(
    store: MetricStore,
) -> None:
    twice = [("pod:a", "m", 0, 1.0), ("pod:a", "m", 0, 2.0)]
    loaded = store.samples.load("t", SERVICES, batch(twice))
    assert (loaded.new, loaded.duplicates) == (1, 1)
    store.samples.load("t", SERVICES, batch([("pod:a", "m", 0, 9.0)], "b"))
    assert values(store, 60).tolist() == [[[9.0]]]
    assert store.samples.raw("t", SERVICES, "pod:a", "m", START, START + timedelta(1))[1] == [9.0]
    store.undo("t", 2)
    assert values(store, 60).tolist() == [[[2.0]]]


def test_taking_a_batch_back_leaves_no_trace_of_it(store: MetricStore) -> None:
    store.samples.load("t", SERVICES, batch(CART))
    store.samples.load(
        "t",
        SERVICES,
        batch(
            [("pod:b", "errors", 3600, 2.0)],
            "b",
            components=[{"id": "pod:b", "level": "pod", "parent": "service:cart"}],
            dependencies=[{"source": "service:db", "target": "service:cart", "kind": "calls"}],
            measures=[{"metric": "latency", "bad": -1}],
        ),
    )
    assert set(store.samples.graph("t", SERVICES).net) == {"service:cart", "pod:b", "service:db"}
    assert store.undo("t", 2) == 1
    assert set(store.samples.graph("t", SERVICES).net) == {"service:cart"}
    (only,) = store.samples.metrics("t", SERVICES)
    assert (only.name, only.bad, only.samples) == ("latency", 1, 4)
    assert store.samples.span("t", SERVICES) == (START, START + timedelta(seconds=120))
    with pytest.raises(ConflictError, match="still loaded"):
        store.undo("t", 2)


def test_another_tenant_sees_nothing(store: MetricStore) -> None:
    store.samples.load("t", SERVICES, batch(CART))
    assert store.samples.metrics("other", SERVICES) == []
    assert store.samples.span("other", SERVICES) is None
    assert store.samples.load("other", SERVICES, batch(CART)).batch == 1
    assert store.samples.holdings() == [("other", "services"), ("t", "services")]


def test_a_metric_tells_its_span_and_usual_interval(store: MetricStore) -> None:
    rows = [("pod:a", "m", s, 1.0) for s in (0, 15, 30, 45, 105)]
    store.samples.load("t", SERVICES, batch([*rows, ("pod:b", "m", 0, 1.0)]))
    for (info,) in (
        store.samples.metrics("t", SERVICES),
        store.samples.metrics("t", SERVICES, "pod:a"),
    ):
        assert (info.first, info.last) == (START, START + timedelta(seconds=105))
        assert info.interval_seconds == 15
    assert store.samples.metrics("t", SERVICES)[0].entities == 2
    with pytest.raises(UnknownNameError, match="the entity"):
        store.samples.metrics("t", SERVICES, "pod:z")


def test_unit_and_direction_come_from_a_person_then_the_domain_then_the_source_then_the_name(
    store: MetricStore,
) -> None:
    rows = [
        ("pod:a", metric, 0, 1.0)
        for metric in (
            "http_request_duration_seconds",
            "http_request_duration_seconds:p50",
            "queue_depth",
            "disk_free_bytes",
        )
    ]
    said = [
        {"metric": "queue_depth", "unit": "jobs", "bad": 0},
        {"metric": "http_request_duration_seconds", "bad": -1},
    ]
    store.samples.load("t", SERVICES, batch(rows, measures=said))
    told = {info.name: info for info in store.samples.metrics("t", SERVICES)}
    declared = told["http_request_duration_seconds"]
    assert (declared.label, declared.unit, declared.bad) == ("Latency (p95)", "s", 1)
    assert told["http_request_duration_seconds:p50"].label == "Latency (p50)"
    assert told["http_request_duration_seconds:p50"].said_by == "domain"
    assert (told["queue_depth"].unit, told["queue_depth"].bad) == ("jobs", 0)
    guessed = told["disk_free_bytes"]
    assert (guessed.unit, guessed.bad, guessed.said_by) == ("bytes", -1, "name")
    store.samples.declare("t", SERVICES, "queue_depth", bad=1)
    edited = {info.name: info for info in store.samples.metrics("t", SERVICES)}["queue_depth"]
    assert (edited.unit, edited.bad, edited.said_by) == ("jobs", 1, "hand")
    with pytest.raises(InvalidInputError, match="bad direction"):
        store.samples.declare("t", SERVICES, "queue_depth", bad=2)
    with pytest.raises(UnknownNameError, match="measured"):
        store.samples.declare("t", SERVICES, "warp", bad=1)


def test_the_graph_runs_from_cause_to_effect_and_may_hold_cycles(store: MetricStore) -> None:
    described = [
        {"id": "pod:a", "level": "pod", "name": "a-1", "parent": "service:cart"},
        {"id": "node:n", "level": "node", "parent": "region:eu"},
        {"id": "region:eu", "level": "region"},
        {"id": "service:cart", "level": "service"},
    ]
    told = [
        {"source": "node:n", "target": "pod:a", "kind": "hosts"},
        {"source": "service:cart", "target": "service:shop", "kind": "calls"},
        {"source": "service:shop", "target": "service:cart", "kind": "calls"},
    ]
    store.samples.load(
        "t", SERVICES, batch([("pod:q", "m", 0, 1.0)], components=described, dependencies=told)
    )
    graph = store.samples.graph("t", SERVICES)
    assert set(graph.net.edges) == {
        ("node:n", "pod:a"),
        ("pod:a", "service:cart"),
        ("region:eu", "node:n"),
        ("service:cart", "service:shop"),
        ("service:shop", "service:cart"),
    }
    assert (graph.level("pod:a"), graph.name("pod:a"), graph.level("pod:q")) == (
        "pod",
        "a-1",
        "pod",
    )
    assert graph.net.nodes["pod:a"]["parent"] == "service:cart"


def edges(told: Sequence[str], name: str, *, day: int, file: str = "edges.csv") -> Samples:
    """A whole file of edges into the shop, downloaded on a day of March; `name` stands for the bytes."""
    found = [
        {"source": f"service:{source}", "target": "service:shop", "kind": "calls"}
        for source in told
    ]
    whole = batch([], name, dependencies=found)
    return replace(whole, file=file, report="edges", as_of=datetime(2026, 3, day, 12))


def sources(store: MetricStore, at: datetime | None = None) -> set[str]:
    graph = store.samples.graph("t", SERVICES, at=at)
    return {source.partition(":")[2] for source, _ in graph.net.edges}


def test_a_newer_file_of_edges_ends_those_that_it_no_longer_tells(store: MetricStore) -> None:
    march = partial(datetime, 2026, 3, tzinfo=UTC)
    store.samples.load("t", SERVICES, edges(["db", "mail"], "a", day=2))
    loaded = store.samples.load("t", SERVICES, edges(["db", "search"], "b", day=9))
    assert loaded.notes == (
        "1 edge that the edges.csv before it told held until 9 Mar 2026 12:00 UTC",
    )
    assert sources(store) == sources(store, march(20)) == {"db", "search"}
    assert sources(store, march(9, 11)) == sources(store, march(1)) == {"db", "mail"}
    assert store.samples.graph_changes("t", SERVICES) == [march(2, 12), march(9, 12)]
    store.samples.load("t", SERVICES, edges(["cache"], "c", day=5, file="other.csv"))
    assert sources(store) == {"db", "search", "cache"}
    store.undo("t", 2)
    assert sources(store) == {"db", "mail", "cache"}


def test_a_file_that_came_late_counts_for_its_own_time_only(store: MetricStore) -> None:
    store.samples.load("t", SERVICES, edges(["new"], "b", day=9))
    assert store.samples.load("t", SERVICES, edges(["old"], "a", day=2)).notes == ()
    assert sources(store) == {"new"}
    assert sources(store, datetime(2026, 3, 3, tzinfo=UTC)) == {"old"}


def test_edges_that_came_back_are_news_and_an_archive_told_again_is_not(store: MetricStore) -> None:
    first, second = edges(["db", "mail"], "a", day=2), edges(["db"], "b", day=9)
    for told in (first, second):
        store.samples.load("t", SERVICES, told)
    assert [store.samples.load("t", SERVICES, told).already for told in (first, second)] == [
        True
    ] * 2
    assert store.digests("t") == {"b": 2}
    assert not store.samples.load("t", SERVICES, edges(["db", "mail"], "a", day=16)).already
    assert sources(store) == {"db", "mail"}
    assert sources(store, datetime(2026, 3, 10, tzinfo=UTC)) == {"db"}


def test_an_edge_holds_within_its_own_bounds(store: MetricStore) -> None:
    march = partial(datetime, 2026, 3)
    told = [
        {"source": "service:db", "target": "service:shop", "kind": "calls", "valid_to": march(5)},
        {
            "source": "service:mail",
            "target": "service:shop",
            "kind": "calls",
            "valid_from": march(5),
        },
    ]
    store.samples.load("t", SERVICES, batch([], dependencies=told))
    assert sources(store, march(4, tzinfo=UTC)) == {"db"}
    assert sources(store, march(5, tzinfo=UTC)) == sources(store) == {"mail"}


def test_a_store_from_before_edges_had_bounds_opens_and_keeps_them(tmp_path: Path) -> None:
    file = tmp_path / "metrics.duckdb"
    opened = MetricStore(file)
    opened.samples.load("t", SERVICES, edges(["db"], "a", day=2))
    opened.close()
    with duckdb.connect(file) as connection:
        connection.execute("ALTER TABLE dependency DROP COLUMN valid_to")
        connection.execute("ALTER TABLE dependency DROP COLUMN valid_from")
    again = MetricStore(file)
    assert sources(again) == {"db"}
    again.samples.load("t", SERVICES, edges(["db", "mail"], "b", day=3))
    assert sources(again) == {"db", "mail"}
    again.close()


def test_calls_stand_apart_from_what_runs(store: MetricStore) -> None:
    rows = [*CART, ("service:shop→service:cart", "latency", 0, 2.0)]
    store.samples.load("t", SERVICES, batch(rows))
    assert values(store).shape == (1, 3, 1)
    calls = store.samples.calls("t", SERVICES, start=START, end=START + timedelta(seconds=60))
    assert calls.entities == ("service:shop→service:cart",)
    assert calls.values.tolist() == [[[2.0]]]
    assert set(store.samples.graph("t", SERVICES).net) == {"service:cart"}


def test_coverage_tells_whole_days_from_partial_and_missing_ones(store: MetricStore) -> None:
    day = 86_400 // 60
    whole = [("pod:a", "m", 60 * at, 1.0) for at in range(3 * day)]
    # two pods that take turns: together they are there at every minute
    turns = [(f"pod:{'ab'[at % 2]}", "turns", 60 * at, 1.0) for at in range(3 * day)]
    broken = [row for row in whole if not 1.2 * day < row[2] / 60 < 2.2 * day]
    store.samples.load("t", SERVICES, batch([*whole, *turns], "a"))
    store.samples.load("t", SERVICES, batch([("pod:a", "n", *row[2:]) for row in broken], "b"))
    rare = [("pod:a", "rare", 300 * at, 1.0) for at in range(3 * day // 5)]
    store.samples.load("t", SERVICES, batch(rare, "c"))
    found = store.samples.coverage("t", SERVICES, days=14)
    states = {name: [row.state for row in found if row.report == name] for name in "mn"}
    # the minutes begin at noon: three days' worth lie on four
    assert states == {
        "m": ["delivered"] * 4,
        "n": ["delivered", "partial", "partial", "delivered"],
    }
    for name in ("turns", "rare"):
        assert {row.state for row in found if row.report == name} == {"delivered"}
    assert [row.day.day for row in store.samples.coverage("t", SERVICES, days=2)[:2]] == [3, 4]
    assert store.samples.coverage("other", SERVICES, days=14) == []


def test_a_snapshot_holds_the_measurements(store: MetricStore, tmp_path: Path) -> None:
    store.samples.load("t", SERVICES, batch(CART))
    folder = store.snapshot(tmp_path / "snapshot")
    assert pq.read_table(folder / "sample.parquet").num_rows == 4
    assert pq.read_table(folder / "series.parquet")["entity"].to_pylist() == ["service:cart"]
