"""The graph of a moment, and what is kept of an incident whose samples have gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

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
