"""Incidents: read with their alerts, moved with them, taken back as one."""

from __future__ import annotations

import pytest

from core.errors import NotFoundError
from data import alert_store, incident_store
from tests.findings import new_alert, new_incident
from workbench.context import Context
from workbench.plain import plain
from workbench.services import alerts, incidents


@pytest.fixture
def incident(ctx: Context) -> tuple[int, tuple[int, ...]]:
    """A campaign's incident with its own alert and those of two keywords muted under it."""
    who = {"tenant": "acme", "now": ctx.clock(), "actor": "scheduler"}

    def write(session):  # type: ignore[no-untyped-def]
        found = [new_alert("keyword:7", severity="critical"), new_alert(), new_alert("keyword:8")]
        numbers = alert_store.upsert(session, **who, found=found).ids
        (number,) = incident_store.upsert(session, **who, found=[new_incident()]).ids
        incident_store.attach(session, **who, incident_id=number, alert_ids=numbers)
        return number, numbers

    return ctx.records.write("acme", write)


def test_the_list_leads_to_the_alert_that_speaks_for_each(
    ctx: Context, incident: tuple[int, tuple[int, ...]]
) -> None:
    number, numbers = incident
    page = incidents.page(ctx, "acme")
    assert page.next is None
    (line,) = page.incidents
    assert (line.id, line.alerts, line.alert_id) == (number, 3, numbers[1])
    assert (line.root_name, line.status) == ("Name of campaign:1", "open")
    encoded = plain(page)["incidents"][0]
    assert encoded["title"] == "campaign:1 ran out of budget"
    assert encoded["onset"] == line.onset.isoformat()
    assert incidents.page(ctx, "acme", status="resolved").incidents == []
    assert incidents.page(ctx, "rival", status="any").incidents == []


def test_one_verb_moves_all_its_alerts_and_one_undo_takes_all_back(
    ctx: Context, incident: tuple[int, tuple[int, ...]]
) -> None:
    number, _ = incident
    incidents.resolve(ctx, "acme", number, actor="ana", note="budget raised")
    detail = incidents.get(ctx, "acme", number)
    assert detail.incident.status == "resolved"
    assert [alert.status for alert in detail.alerts] == ["resolved"] * 3
    assert [said.body for said in detail.comments] == ["budget raised"]
    assert detail.history[0].verb == "resolve"
    alerts.undo(ctx, "acme", actor="ana")
    detail = incidents.get(ctx, "acme", number)
    assert detail.incident.status == "open"
    assert {alert.status for alert in detail.alerts} == {"open"}
    assert detail.comments == []


def test_muted_alerts_are_shown_when_asked_for(
    ctx: Context, incident: tuple[int, tuple[int, ...]]
) -> None:
    number, numbers = incident
    shown = alerts.page(ctx, "acme").alerts
    assert [alert.id for alert in shown] == [numbers[1]]
    assert len(alerts.page(ctx, "acme", filters={"muted": True, "incident": number}).alerts) == 3
    assert {alert.muted_by for alert in incidents.get(ctx, "acme", number).alerts} == {None, number}


def test_an_unknown_incident_is_not_found(ctx: Context) -> None:
    with pytest.raises(NotFoundError):
        incidents.get(ctx, "acme", 5)
    with pytest.raises(NotFoundError):
        incidents.acknowledge(ctx, "acme", 5, actor="ana")
    with pytest.raises(NotFoundError):
        incidents.comment(ctx, "acme", 5, actor="ana", text="hello")
