"""What one sees of a thing to judge: the planted fault on top, the guess hidden from who judges blind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from data import alert_store, incident_store
from tests.findings import NOW, new_alert, new_incident
from tests.workbench.services import services_world
from tests.workbench.services.services_world import FAULT
from workbench.context import Context
from workbench.services import changes, evidence, incidents, labelling, snapshots
from workbench.services.evidence import Evidence
from workbench.services.labelling import Item
from workbench.services.verdicts import Verdict

TENANT = "acme"


def told(ctx: Context, title: str, start: timedelta = timedelta()) -> int:
    """An incident of the cart that somebody told, an hour long; its number."""
    made = incidents.record(
        ctx,
        TENANT,
        title=title,
        domain="services",
        severity="high",
        onset=FAULT[0] + start,
        ended_at=FAULT[1] + start,
        services=["cart"],
        actor="ana",
    )
    return made.incident.id


def look(ctx: Context, item: Item) -> Evidence:
    detail = incidents.get(ctx, TENANT, item.subject_id)
    known = (found(ctx, TENANT, "services") for found in (snapshots.graph, snapshots.measured))
    return evidence.of_incident(ctx, TENANT, item, detail, *known)


@pytest.fixture
def world(ctx: Context) -> Context:
    services_world.load(ctx)
    return ctx


def test_the_metric_that_broke_comes_first_beside_its_usual_band(world: Context) -> None:
    item = labelling.item_on(world, TENANT, "incident", told(world, "Cart slow"), actor="ana")
    seen = look(world, item)
    curve = seen.curves[0]
    assert (curve.entity, curve.metric.split("/")[1]) == (
        "service:cart",
        "http_request_duration_seconds",
    )
    # before, the cart answers in 0.1 s ± 5 %; during, fifteen times as slowly
    assert curve.expected[0] == pytest.approx(0.1, rel=0.05)
    assert curve.spread[0] == pytest.approx(0.005, rel=0.5)
    assert np.nanmax(curve.observed) == pytest.approx(1.5, rel=0.2)
    assert seen.heat is not None
    assert seen.heat.labels[0] == "Cart · Latency (p95)"
    assert np.nanmax(seen.heat.deviations[0]) > 100
    assert seen.heat.deviations.shape[1] == len(seen.heat.days) <= evidence.COLUMNS
    assert dict(seen.components)["service:cart"] == "Cart (service)"
    assert seen.notices == ()
    assert np.datetime_data(seen.onset.dtype)[0] == "m"  # told by the minute, not as a day


def test_past_incidents_of_the_same_place_come_with_what_was_said(world: Context) -> None:
    before = told(world, "Cart slow after deploy", -timedelta(hours=3))
    verdict = Verdict("real", ("memory_leak",))
    labelling.label_incident(world, TENANT, before, actor="bob", verdict=verdict)
    changes.record(
        world,
        TENANT,
        kind="deploy",
        at=FAULT[0] - timedelta(minutes=5),
        title="cart 1.4.2",
        entity="service:cart",
        actor="ci",
    )
    item = labelling.item_on(world, TENANT, "incident", told(world, "Cart slow"), actor="ana")
    seen = look(world, item)
    assert [(one.title, one.said) for one in seen.past] == [
        ("Cart slow after deploy", "Memory leak")
    ]
    assert [one.title for one in seen.changes] == ["cart 1.4.2"]


def test_who_judges_blind_does_not_see_the_suspects(ctx: Context) -> None:
    cause = {"type": "bid_up", "node": "campaign:1", "name": "Shoes", "confidence": 0.8}
    alert = ctx.records.write(
        TENANT,
        lambda session: alert_store.upsert(
            session,
            tenant=TENANT,
            found=[new_alert("campaign:1", root_causes=[cause])],
            now=NOW,
            actor="detection",
        ).rows[0],
    )
    item = labelling.item_on(ctx, TENANT, "alert", alert.id, actor="ana")
    graph = snapshots.graph(ctx, TENANT, "ads")
    open_eyed = evidence.of_alert(ctx, TENANT, item, alert, None, graph)
    assert [(one.cause, one.name) for one in open_eyed.suspects] == [("bid_up", "Shoes")]
    assert open_eyed.notices == (evidence.NOTHING,)
    blind = evidence.of_alert(ctx, TENANT, replace(item, blind=True), alert, None, graph)
    assert blind.suspects == ()


def test_who_judges_blind_is_not_told_the_guess_by_the_title(world: Context) -> None:
    found = new_incident(
        "service:cart", domain="services", title="Memory leak on Cart", cause_type="memory_leak"
    )
    made = world.records.write(
        TENANT,
        lambda session: incident_store.upsert(
            session, tenant=TENANT, found=[found], now=NOW, actor="detection"
        ).rows[0],
    )
    item = labelling.item_on(world, TENANT, "incident", made.id, actor="ana")
    assert look(world, item).title == "Memory leak on Cart"
    assert look(world, replace(item, blind=True)).title == "Trouble at Cart"
