"""What names of metrics tell: unit, direction, label."""

from __future__ import annotations

import pytest

from core.domains import conventions
from core.domains.services import SERVICES


@pytest.mark.parametrize(
    ("name", "nature", "unit", "bad", "label"),
    [
        ("node_memory_MemAvailable_bytes", "gauge", "bytes", -1, "Node memory mem available bytes"),
        ("process_cpu_seconds_total", "counter", "share", 1, "Process cpu seconds"),
        ('node_cpu_seconds_total{mode="idle"}', "counter", "share", -1, "Node cpu seconds (idle)"),
        ("node_network_receive_bytes_total", "counter", "bytes/s", 0, None),
        ('http_requests_total{code="503"}', "counter", "1/s", 1, "Http requests (503)"),
        ('http_requests_total{code="200"}', "counter", "1/s", 0, None),
        ("rpc_duration_seconds:p99", "histogram", "s", 1, "Rpc duration seconds (p99)"),
        ("rpc_duration_seconds_count", "counter", "1/s", 0, None),
        ("rpc_errors_count", "counter", "1/s", 1, None),
        ("up", "gauge", "", -1, "Up"),
        ("go_goroutines", "gauge", "", 0, "Go goroutines"),
        ("SuccessRate(%)", "gauge", "percent", -1, "Success rate"),
        ("LatencyP95(s)", "gauge", "s", 1, "Latency p95"),
    ],
)
def test_a_name_tells_unit_direction_and_label(
    name: str, nature: str, unit: str, bad: int, label: str | None
) -> None:
    assert conventions.unit(name, nature) == unit
    assert conventions.bad(name) == bad
    assert label is None or conventions.label(name) == label


def test_the_help_tells_the_direction_where_the_name_does_not() -> None:
    assert conventions.bad("app_things", "Number of failed things.") == 1


def test_what_the_specification_declares_is_never_contradicted_by_its_name() -> None:
    for metric in SERVICES.metrics:
        assert conventions.bad(metric.name) in (metric.bad, 0), metric.name
