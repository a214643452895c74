"""A small running system in a metrics store: two services, a pod and a day of minutes with one planted fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from core.domains.services import SERVICES
from data import alert_store, outbreaks
from data.ingest.batch import COMPONENTS, DEPENDENCIES, SAMPLES, Samples
from tests.findings import NOW, new_alert, new_incident
from workbench.context import Context

START = NOW - timedelta(hours=12)
Span = tuple[datetime, datetime]
FAULT: Span = (NOW - timedelta(hours=3), NOW - timedelta(hours=2))
"""When the cart's latency rises fifteenfold and its pod's memory doubles."""
SERIES = {
    ("service:cart", "http_request_duration_seconds"): 0.1,
    ("service:pay", "http_request_duration_seconds"): 0.2,
    ("pod:cart-1", "container_memory_usage_bytes"): 4e8,
}
FAULTY = {
    ("service:cart", "http_request_duration_seconds"): 15.0,
    ("pod:cart-1", "container_memory_usage_bytes"): 2.0,
}


def load(
    ctx: Context,
    tenant: str = "acme",
    *,
    hours: int = 12,
    fault: Span = FAULT,
    file: str = "day",
    kept: Callable[[str, datetime], bool] = lambda entity, moment: True,
    series: Mapping[tuple[str, str], float] = SERIES,
) -> None:
    """Put it into the tenant's store: every minute of the last hours; `kept` tells which of them are in this file.

    series : (entity, metric) → usual level
    """
    start = NOW - timedelta(hours=hours)
    random = np.random.default_rng(1)
    rows = []
    for (entity, metric), level in series.items():
        for minute in range(hours * 60):
            moment = start + timedelta(minutes=minute)
            factor = FAULTY.get((entity, metric), 1.0) if fault[0] <= moment < fault[1] else 1.0
            value = level * factor * (1 + 0.05 * random.standard_normal())
            if not kept(entity, moment):
                continue
            rows.append((entity, metric, moment.replace(tzinfo=None), value, len(rows)))
    names = ("entity", "metric", "moment", "value", "row")
    components = [
        {"id": "service:cart", "level": "service", "name": "Cart", "parent": "region:eu"},
        {"id": "service:pay", "level": "service", "name": "pay", "parent": "region:eu"},
        {"id": "pod:cart-1", "level": "pod", "name": "cart-1", "parent": "service:cart"},
        {"id": "region:eu", "level": "region", "name": "eu", "parent": ""},
    ]
    calls = [{"source": "service:cart", "target": "service:pay", "kind": "calls"}]
    batch = Samples(
        f"{file}.csv",
        file,
        100,
        "samples",
        start.replace(tzinfo=None),
        rows=len(rows),
        samples=pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], SAMPLES),
        components=pa.Table.from_pylist(components, COMPONENTS),
        dependencies=pa.Table.from_pylist(calls, DEPENDENCIES),
    )
    ctx.metrics.samples.load(tenant, SERVICES, batch)


def found(ctx: Context, tenant: str = "acme") -> int:
    """A run finds the fault, with an alert of the service and one of its pod: the number of its incident."""
    who: dict[str, Any] = {"tenant": tenant, "now": NOW, "actor": "scheduler"}
    seen = {"domain": "services", "onset": FAULT[0], "last_seen": FAULT[1]}
    facts = {"domain": "services", "onset": FAULT[0], "cause_type": "cpu_saturation"}

    def write(session: Any) -> int:
        members = [new_alert("service:cart", **seen), new_alert("pod:cart-1", **seen)]
        ids = alert_store.upsert(session, found=members, **who).ids
        about = [new_incident("service:cart", **facts)]
        return int(outbreaks.gather(session, found=about, holding=[ids], **who).ids[0])

    return ctx.records.write(tenant, write)
