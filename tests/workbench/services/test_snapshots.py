"""The graph of a moment, and what is kept of an incident whose samples have gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from core.cases import Graph
from core.domains.services import SERVICES
from data import incident_store
from data.ingest.batch import DEPENDENCIES, Samples
from tests.findings import NOW, new_incident
from tests.workbench.services import services_world
from workbench.context import Context
from workbench.services import incidents, snapshots

CHANGED = NOW - timedelta(hours=6)


@pytest.fixture
def rewired(ctx: Context) -> Context:
    """Two services that call each other one way round until six hours ago, the other way since."""
    services_world.load(ctx)
    begun = services_world.START.replace(tzinfo=None)
    for name, ends, told in (
        ("before", ("service:db", "service:cart"), begun),
        ("after", ("service:db", "service:pay"), CHANGED.replace(tzinfo=None)),
    ):
        edge = dict(zip(("source", "target"), ends, strict=True)) | {"kind": "calls"}
        batch = Samples("edges.csv", name, 1, "table", told, "edges", 1)
        told_edges = pa.Table.from_pylist([edge], DEPENDENCIES)
        ctx.metrics.samples.load("acme", SERVICES, replace(batch, dependencies=told_edges))
    return ctx


def reached(graph: Graph) -> set[str]:
    """What the database reaches."""
    return set(graph.net.successors("service:db"))


def test_a_graph_is_that_of_its_moment(rewired: Context) -> None:
    for moment, expected in (
        (None, "service:pay"),
        (NOW, "service:pay"),
        (CHANGED - timedelta(minutes=1), "service:cart"),
    ):
        found = snapshots.graph(rewired, "acme", "services", at=moment)
        assert reached(found) == {expected}


def test_an_incident_is_seen_alike_with_what_was_read_before(rewired: Context) -> None:
    told: dict[str, Any] = {"title": "Slow", "severity": "high", "services": ["cart"]}
    about: dict[str, Any] = {"onset": services_world.FAULT[0], "actor": "ana"}
    number = incidents.record(rewired, "acme", **told, **about).incident.id
    detail = incidents.get(rewired, "acme", number)
    graph = snapshots.graph(rewired, "acme", "services")
    anew = incidents.look(rewired, "acme", detail)
    kept = incidents.look(
        rewired, "acme", detail, graph, snapshots.measured(rewired, "acme", "services")
    )
    assert anew is not None and kept is not None
    # not by value: what was not measured after it is not equal to itself
    assert repr(kept.rows) == repr(anew.rows) and len(kept.rows) > 1
    np.testing.assert_array_equal(kept.curves, anew.curves)


def test_what_a_person_says_of_a_metric_is_another_version_of_the_data(rewired: Context) -> None:
    versions = set()
    for unit in ("flops", "cores"):
        versions.add(rewired.metrics.version("acme"))
        metric = next(iter(snapshots.measured(rewired, "acme", "services").metrics))
        rewired.metrics.samples.declare("acme", SERVICES, metric, unit=unit)
        said = snapshots.measured(rewired, "acme", "services").metrics[metric]
        assert said["unit"] == unit
    versions.add(rewired.metrics.version("acme"))
    assert len(versions) == 3


def test_graphs_of_many_moments_are_read_once_between_two_changes(
    rewired: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[datetime | None] = []
    real = snapshots.graph

    def counted(ctx: Context, tenant: str, domain: str, *, at: datetime | None = None) -> Graph:
        read.append(at)
        return real(ctx, tenant, domain, at=at)

    monkeypatch.setattr(snapshots, "graph", counted)
    then = snapshots.graphs(rewired, "acme", "services")
    moments = [CHANGED + timedelta(hours=hours) for hours in (-2, -1, 0, 1, 2)]
    found = [reached(then(moment)) for moment in moments]
    assert found == [{"service:cart"}] * 2 + [{"service:pay"}] * 3
    assert len(read) == 2


def test_what_was_kept_of_an_incident_outlives_its_samples(rewired: Context) -> None:
    start, end = services_world.FAULT
    told = new_incident("service:cart", domain="services", onset=start, ended_at=end)
    (number,) = rewired.records.write(
        "acme",
        lambda session: incident_store.upsert(
            session, tenant="acme", found=[told], actor="ana", now=NOW
        ),
    ).ids
    incidents.look(rewired, "acme", incidents.get(rewired, "acme", number))
    kept = incidents.get(rewired, "acme", number).incident
    assert kept.snapshots["rows"]
    snapshots.keep(rewired, "acme", kept, None)
    assert (
        incidents.get(rewired, "acme", number).incident.snapshots["rows"] == kept.snapshots["rows"]
    )


def test_each_metric_keeps_its_strongest_row_before_one_that_moved_everywhere_keeps_more() -> None:
    rows = [
        snapshots.Snapshot(f"service:{place}", "", name, name, "", 0, 1.0, 2.0, 1.0, 99.0 - place)
        for place, name in enumerate(["errors"] * 30 + ["disk", "memory", "disk"])
    ]
    kept = snapshots.telling(rows)
    assert [row.metric for row in kept] == ["errors"] * 22 + ["disk", "memory"]
    assert [row.shift for row in kept] == sorted((row.shift for row in kept), reverse=True)
