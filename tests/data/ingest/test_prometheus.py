"""Fetching from a real Prometheus: rates over resets, quantiles, entities and calls from labels, errors that help."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from core.domains.services import LEVELS
from core.errors import HeadwaterError, InvalidInputError, PermissionDeniedError, StoreError
from data.ingest import prometheus as api
from data.ingest.answers import Span
from data.ingest.batch import Samples
from data.ingest.prometheus import Prometheus
from data.ingest.promql import Plan
from tests.prometheus import RESET, SCRAPE, Live, prometheus  # noqa: F401 - a fixture

STEP = 60


def fetched(live: Live, plan: Plan | None = None, *, last: int | None = None) -> api.Fetched:
    """The written hours, from their second scrape on."""
    plan = plan or Plan(include="(http|rpc|queue|mesh)_.*")
    span = Span(live.start + STEP, last or live.end, plan.step_seconds)
    with Prometheus(live.url, plan) as source:
        return api.fetch(
            source,
            span,
            name="lab",
            sha256="x",
            series=source.series(span),
            kinds=source.kinds(),
            window=4 * SCRAPE,
        )


def curves(batch: Samples) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    """(entity, metric) → seconds since 1970 and values."""
    table = batch.samples
    found = {}
    for key in {tuple(row.values()) for row in table.select(["entity", "metric"]).to_pylist()}:
        kept = table.filter(
            pc.and_(pc.equal(table["entity"], key[0]), pc.equal(table["metric"], key[1]))
        )
        times = kept["moment"].to_numpy().astype("datetime64[s]").astype(np.int64)
        found[key] = (times, kept["value"].to_numpy())
    return found


def test_what_a_real_prometheus_holds_comes_in_as_rates_quantiles_and_calls(
    prometheus: Live,  # noqa: F811
) -> None:
    batch = fetched(prometheus).batch
    found = curves(batch)
    assert {(entity, metric) for entity, metric in found} == {
        ("pod:prod/cart-1", 'http_requests_total{code="200"}'),
        ("pod:prod/cart-1", 'http_requests_total{code="500"}'),
        ("service:cart", "rpc_seconds"),
        ("service:cart", "rpc_seconds:p50"),
        ("service:cart", "rpc_seconds:p99"),
        ("service:cart", "rpc_seconds_count"),
        ("service:cart", "queue_depth"),
        ("service:shop→service:cart", "mesh_requests_total"),
    }
    times, rate = found[("pod:prod/cart-1", 'http_requests_total{code="200"}')]
    assert np.array_equal(times, np.arange(prometheus.start + STEP, prometheus.end + 1, STEP))
    away = np.abs(times - (prometheus.start + RESET)) > 4 * SCRAPE
    np.testing.assert_allclose(rate[away], 2.0, rtol=1e-9)
    assert rate.min() > 0.5  # at the reset a part of a minute is unknown, and nothing is negative
    # half of the calls take up to 0.1 s, nine in ten up to 0.2, all up to 0.4: linear in between
    for metric, quantile in (
        ("rpc_seconds:p50", 0.1),
        ("rpc_seconds", 0.3),
        ("rpc_seconds:p99", 0.38),
    ):
        np.testing.assert_allclose(found[("service:cart", metric)][1], quantile, rtol=1e-6)
    np.testing.assert_allclose(found[("service:cart", "rpc_seconds_count")][1], 10, rtol=1e-9)
    times, depth = found[("service:cart", "queue_depth")]
    assert set(depth) == {7.0}  # of both instances
    gap = (times - prometheus.start > 3600 + 300) & (times - prometheus.start < 5400)
    assert not gap.any()
    np.testing.assert_allclose(
        found[("service:shop→service:cart", "mesh_requests_total")][1], 4.0, rtol=1e-9
    )


def test_labels_tell_what_runs_where_and_what_calls_what(prometheus: Live) -> None:  # noqa: F811
    batch = fetched(prometheus).batch
    parents = {row["id"]: row["parent"] for row in batch.components.to_pylist()}
    assert parents == {
        "pod:prod/cart-1": "service:prod/cart",
        "service:prod/cart": None,
        "service:cart": None,
        "service:shop": None,
    }
    assert {tuple(row.values())[:3] for row in batch.dependencies.to_pylist()} == {
        ("service:cart", "service:shop", "calls"),
    }
    told = {row["metric"]: row for row in batch.measures.to_pylist()}
    assert told["rpc_seconds"]["nature"] == "histogram"
    assert told["rpc_seconds_count"]["unit"] == "1/s"
    assert told["queue_depth"]["nature"] == "gauge"


def test_a_real_exporter_is_scraped_into_the_expected_metrics(prometheus: Live) -> None:  # noqa: F811
    plan = Plan(step_seconds=1, include="node_.*|up", window_seconds=4, since_hours=0.01)
    with Prometheus(prometheus.url, plan) as source:
        assert source.version()
        for _ in range(200):
            now = int(datetime.now(UTC).timestamp())
            span = Span(now - 20, now, 1)
            series = source.series(span)
            batch = api.fetch(
                source,
                span,
                name="lab",
                sha256="x",
                series=series,
                kinds=source.kinds(),
                window=4,
            ).batch
            found = curves(batch) if batch.rows else {}
            cpu = found.get(("node:127.0.0.1", "node_cpu_seconds_total"))
            if cpu is not None and len(cpu[0]) > 2:
                break
            time.sleep(0.1)
        assert source.scrape_seconds() == 1
    assert cpu is not None
    assert (cpu[1] >= 0).all()
    assert (found[("node:127.0.0.1", "node_memory_MemAvailable_bytes")][1] > 1e6).all()
    assert ("node:127.0.0.1", "network_transmit_bytes") in found
    assert found[("service:node", "up")][1][-1] == 1
    assert len({metric for _, metric in found}) > 200
    parents = {row["id"]: row["parent"] for row in batch.components.to_pylist()}
    assert parents["node:127.0.0.1"] == "region:eu"
    assert ("node:127.0.0.1", "service:node", "part") in {
        tuple(row.values())[:3] for row in batch.dependencies.to_pylist()
    }


def test_a_query_of_ones_own_is_a_metric_and_a_bad_one_stops_no_other(
    prometheus: Live,  # noqa: F811
) -> None:
    own = {
        "error_rate_by_service": "sum by (service, namespace) (rate(http_requests_total"
        '{{code="500"}}[{window}])) / sum by (service, namespace) (rate(http_requests_total[{window}]))',
        "broken": "rate(http_requests_total[",
    }
    result = fetched(prometheus, Plan(include="queue_depth", queries=own))
    found = curves(result.batch)
    assert set(found) == {
        ("service:prod/cart", "error_rate_by_service"),
        ("service:cart", "queue_depth"),
    }
    np.testing.assert_allclose(
        found[("service:prod/cart", "error_rate_by_service")][1], 0.2, rtol=1e-6
    )
    assert list(result.failed) == ["broken"]
    assert "parse error" in result.failed["broken"]


def test_ones_own_labels_come_first(prometheus: Live) -> None:  # noqa: F811
    plan = Plan(include="queue_depth", labels={"node": ["instance"]})
    assert {key[0] for key in curves(fetched(prometheus, plan).batch)} == {"node:a", "node:b"}


def test_a_span_asks_for_no_more_points_than_are_answered(prometheus: Live) -> None:  # noqa: F811
    now = datetime.fromtimestamp(1_800_000_000, UTC)
    plan = Plan(step_seconds=1, since_hours=24)
    span = api.next_span(plan, until=None, now=now, scrape=15)
    assert span is not None
    assert span.points == api.MOST_POINTS
    with Prometheus(prometheus.url, plan) as source:
        assert source.values("up", span) == []
        with pytest.raises(InvalidInputError, match="one that it can answer"):
            source.values("up", Span(span.first, span.last + 2, 1))
    following = api.next_span(plan, until=span.last, now=now, scrape=15)
    assert following is not None
    assert following.first == span.last + 1
    many = api.next_span(plan, until=None, now=now, scrape=15, series=40_000)
    assert many is not None
    assert many.points == api.MOST_CELLS // 40_000
    settled = int(now.timestamp()) - api.SETTLING
    assert api.next_span(plan, until=settled, now=now, scrape=15) is None
    last = api.next_span(plan, until=settled - 1, now=now, scrape=15)
    assert last == Span(settled, settled, 1)


@contextmanager
def answering(code: int, body: str) -> Iterator[str]:
    """A server that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen.append(self.headers.get("Authorization") or "")
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = _answer

        def log_message(self, format: str, *arguments: Any) -> None:
            return

    seen: list[str] = []
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


ERROR = json.dumps({"status": "error", "errorType": "internal", "error": "out of memory"})


@pytest.mark.parametrize(
    ("code", "body", "error", "told"),
    [
        (401, "who are you", PermissionDeniedError, "--token-env"),
        (403, "no", PermissionDeniedError, "403"),
        (200, "<html>Grafana</html>", StoreError, "without /api/v1"),
        (503, ERROR, StoreError, "out of memory"),
        (400, ERROR.replace("internal", "bad_data"), InvalidInputError, "bad_data"),
    ],
)
def test_an_answer_that_does_not_serve_tells_why_and_what_to_do(
    code: int, body: str, error: type[HeadwaterError], told: str
) -> None:
    with (
        answering(code, body) as url,
        Prometheus(url, Plan()) as source,
        pytest.raises(error, match=told),
    ):
        source.version()


def test_nothing_that_answers_is_told_with_its_address() -> None:
    told = pytest.raises(StoreError, match="reachable")
    with Prometheus("http://127.0.0.1:1", Plan()) as source, told as caught:
        source.version()
    assert "http://127.0.0.1:1" in str(caught.value)


def test_a_token_comes_from_the_environment_and_is_kept_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = Plan(token_env="LAB_TOKEN")
    with pytest.raises(PermissionDeniedError, match="LAB_TOKEN"):
        Prometheus("http://127.0.0.1:1", plan)
    monkeypatch.setenv("LAB_TOKEN", "secret")
    good = json.dumps({"status": "success", "data": {"version": "3"}})
    with answering(200, good) as url, Prometheus(url, plan) as source:
        assert source.version() == "3"
    assert "secret" not in repr(plan)


@pytest.mark.parametrize("url", ["ftp://host", "host:9090", "", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="http://host:port"):
        Prometheus(url, Plan())


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidInputError, match="without a password") as caught:
        Prometheus("http://ana:secret@host:9090", Plan())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("told", "rule"),
    [
        ({"nope": 1}, "made of step_seconds"),
        ({"labels": {"planet": ["x"]}}, "by level"),
        ({"include": "("}, "regular expression"),
        ({"step_seconds": 0}, "1 to 86400"),
        ({"quantiles": [1.5]}, "between 0 and 1"),
        ({"step_seconds": "often"}, "whole number"),
        ({"token_env": "A B"}, "name of a variable"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_name(told: dict[str, Any], rule: str) -> None:
    with pytest.raises(InvalidInputError, match=rule):
        Plan.of(told, LEVELS)


@pytest.mark.parametrize(
    ("text", "expected"), [("1s", 1), ("1m30s", 90), ("1h", 3600), ("500ms", 0), ("", 0)]
)
def test_durations_are_read_as_prometheus_writes_them(text: str, expected: int) -> None:
    assert api.seconds(text) == expected
