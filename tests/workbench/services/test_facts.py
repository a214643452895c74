"""Facts of what people judge, in the words of people: labels and amounts, never a metric's own name."""

from __future__ import annotations

import math
from typing import Any

import pytest

from data.records import Alert, Incident
from tests.findings import NOW, new_alert, new_incident
from workbench.services import facts

MEMORY: dict[str, Any] = {
    "entity": "pod:cart-1",
    "name": "cart-1",
    "metric": "container_memory_usage_bytes",
    "label": "Memory used",
    "unit": "bytes",
    "before": 4.0e8,
    "during": 9.2e8,
    "shift": 12.0,
}
DISK = MEMORY | {
    "metric": "disk_io_time_ms",
    "label": "Disk time",
    "unit": "ms",
    "before": 0.0,
    "during": 57.3,
}


def incident(*rows: dict[str, Any]) -> Incident:
    found = new_incident(domain="services", snapshots={"rows": list(rows)}, services=["cart"])
    return Incident(
        **found.model_dump(), tenant="acme", id=1, fingerprint="f", severity_rank=2, created_at=NOW
    )


def alert(**more: Any) -> Alert:
    return Alert(
        **new_alert(**more).model_dump(), tenant="acme", id=1, fingerprint="f", severity_rank=1
    )


def test_the_strongest_row_of_a_metric_speaks_for_it() -> None:
    weaker = MEMORY | {"name": "cart-2", "shift": -3.0}
    endless = MEMORY | {"name": "cart-3", "shift": None}
    found = incident(weaker, MEMORY, endless)
    assert facts.moved(found)["container_memory_usage_bytes"]["name"] == "cart-1"
    known = facts.of_incident(found, None)
    assert known["shift of container_memory_usage_bytes"] == pytest.approx(math.log1p(12.0))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (MEMORY, "memory used of cart-1 2.3 × its usual"),
        (MEMORY | {"during": 2.0e10}, "memory used of cart-1 50 × its usual"),
        (MEMORY | {"label": "CPU used", "during": 1.0e8}, "CPU used of cart-1 0.25 × its usual"),
        (DISK, "disk time of cart-1 0 s → 57.3 ms"),
    ],
)
def test_a_shift_is_told_with_its_component(row: dict[str, Any], told: str) -> None:
    assert facts.shifted(row) == told


@pytest.mark.parametrize(
    ("name", "value", "domain", "told"),
    [
        ("share of error_rate_by_service", 0.51, "services", "51 % of its score is errors"),
        (
            "worst alert: share of ctr",
            0.2,
            "ads",
            "its worst alert: 20 % of its score is click-through rate",
        ),
        ("share of queue_depth", 0.2, "services", "20 % of its score is queue depth"),
        ("hours", 0.75, "services", "lasted 45 minutes"),
        ("hours", 48.0, "ads", "lasted 3 days"),
        ("robust-z says", 3.0, "services", "robust-z finds it 1 in 1,000"),
        ("severity", 3.0, "ads", "severity critical"),
        ("services", 1.0, "services", "1 service affected"),
        ("evidence lead", 2.0, "services", ""),
        ("worst alert: evidence lead", 2.0, "services", ""),
    ],
)
def test_every_other_fact_has_its_words_or_none(
    name: str, value: float, domain: str, told: str
) -> None:
    assert facts.said(name, value, domain, {}) == told


def test_every_fact_that_is_told_has_words_without_underscores() -> None:
    found = incident(MEMORY)
    known = facts.of_incident(found, alert())
    told = [
        facts.said(name, value, "services", facts.moved(found)) for name, value in known.items()
    ]
    assert len(known) > 8 and any(told)
    assert not any("_" in one for one in told)
