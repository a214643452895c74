"""The words of a label: what ships, what people make of it, and what an old label counts as."""

from __future__ import annotations

from typing import Any

import pytest

from core.domains.services import SERVICES
from core.errors import ConflictError, InvalidInputError, UnknownNameError
from data import alert_store, incident_store, label_store
from data.records import Incident, NewLabel
from tests.findings import NOW, new_alert, new_incident
from workbench.context import Context
from workbench.services import alerts, incidents, taxonomy
from workbench.services.taxonomy import Change, Taxonomy

TENANT = "acme"


def edit(ctx: Context, *changes: Change, seen: int | None = None) -> Taxonomy:
    return taxonomy.edit(ctx, TENANT, "services", changes=changes, actor="ana", seen=seen)


def test_the_words_of_the_specification_ship(ctx: Context) -> None:
    shipped = taxonomy.of(ctx, TENANT, "services")
    assert (shipped.number, shipped.several) == (0, False)
    assert " ".join(word.name for word in shipped.causes) == (
        "memory_leak database_slow deployment_failure network_latency disk_full cpu_saturation "
        "config_error external_dependency unknown"
    )
    assert [word.key for word in shipped.causes] == list("123456789")
    assert [one.name for one in shipped.dispositions] == [
        "real", "expected", "data_error", "duplicate", "unsure",
    ]  # fmt: skip
    epc = taxonomy.of(ctx, TENANT, "epc")
    assert epc.several
    assert [word.name for word in epc.causes] == [
        "epcFake", "epcDup", "locErr", "evtOrderErr", "jump",
    ]  # fmt: skip
    with pytest.raises(UnknownNameError, match="one of ads, services, epc"):
        taxonomy.of(ctx, TENANT, "weather")


def test_edits_make_versions_and_an_old_name_keeps_its_meaning(ctx: Context) -> None:
    first = edit(
        ctx,
        Change(verb="merge", name="disk_full", into="memory_leak"),
        Change(verb="add", name="dns", label="  DNS  failure "),
    )
    second = edit(
        ctx,
        Change(verb="merge", name="memory_leak", into="dns"),
        Change(verb="rename", name="unknown", label="Nobody knows"),
    )
    assert (first.number, second.number, second.by) == (1, 2, "ana")
    assert (second.now("disk_full"), second.now("memory_leak"), second.now("dns")) == ("dns",) * 3
    assert (second.label("dns"), second.label("unknown")) == ("DNS failure", "Nobody knows")
    assert second.now("what nobody ever said") == "what nobody ever said"
    assert [word.key for word in second.active] == list("12345678")
    assert [one.number for one in taxonomy.history(ctx, TENANT, "services")] == [2, 1, 0]
    back = edit(ctx, Change(verb="restore", name="disk_full"))
    assert back.now("disk_full") == "disk_full"
    assert taxonomy.of(ctx, "another tenant", "services").number == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (Change(verb="add", name="disk_full"), "a new name must be one never used"),
        (Change(verb="add", name="disk full"), "a name must be like"),
        (Change(verb="rename", name="disk_full", label=" "), "something to read"),
        (Change(verb="merge", name="disk_full", into="disk_full"), "another cause that is in use"),
        (Change(verb="retire", name="gremlins"), "the cause must be one of memory_leak"),
    ],
)
def test_a_change_that_breaks_a_rule_changes_nothing(
    ctx: Context, change: Change, told: str
) -> None:
    with pytest.raises((InvalidInputError, UnknownNameError), match=told):
        edit(ctx, Change(verb="add", name="dns"), change)
    assert taxonomy.of(ctx, TENANT, "services").number == 0


def test_no_more_causes_are_in_use_than_there_are_keys(ctx: Context) -> None:
    assert edit(ctx, Change(verb="add", name="dns")).causes[-1].key == "0"
    with pytest.raises(InvalidInputError, match="1 to 10 in use, one for each number key"):
        edit(ctx, Change(verb="add", name="queue_full"))
    assert edit(
        ctx, Change(verb="add", name="queue_full"), Change(verb="retire", name="dns")
    ).active


def test_two_people_do_not_overwrite_each_other(ctx: Context) -> None:
    edit(ctx, Change(verb="add", name="dns"), seen=0)
    with pytest.raises(ConflictError, match="0, the one you saw"):
        edit(ctx, Change(verb="retire", name="unknown"), seen=0)


# ── records of causes that were merged or renamed since ──────────────────────────────────────────


def found(ctx: Context) -> tuple[int, int]:
    """An incident and its alert, both of a slow database as it was called then, and a disk that is full."""
    cause = {"node": "service:db", "type": "database_slow", "type_label": "Database slow"}

    def write(session: Any) -> tuple[int, int]:
        who: dict[str, Any] = {"tenant": TENANT, "now": NOW, "actor": "detection"}
        raised = [new_alert("service:db", domain="services", root_causes=[cause])]
        about = [
            new_incident(
                "service:db",
                domain="services",
                title="Database slow on service db: queries × 4",
                cause_type="database_slow",
                candidates=[cause],
            ),
            new_incident("service:disk", domain="services", cause_type="disk_full"),
        ]
        (number,) = alert_store.upsert(session, found=raised, **who).ids
        first, _ = incident_store.upsert(session, found=about, **who).ids
        incident_store.attach(session, incident_id=first, alert_ids=[number], **who)
        return first, number

    return ctx.records.write(TENANT, write)


def test_whatever_is_read_tells_causes_by_what_they_count_as_and_are_called_today(
    ctx: Context,
) -> None:
    number, alert = found(ctx)
    edit(
        ctx,
        Change(verb="merge", name="database_slow", into="config_error"),
        Change(verb="rename", name="config_error", label="Bad settings"),
    )
    lines = incidents.page(ctx, TENANT, status="any").incidents
    detail = incidents.get(ctx, TENANT, number)
    for row in (next(line for line in lines if line.id == number), detail.incident):
        assert (row.cause_type, row.title) == (
            "config_error",
            "Bad settings on service db: queries × 4",
        )
        assert row.candidates[0]["type_label"] == "Bad settings"
    assert detail.looks_like == "Bad settings"
    listed = alerts.page(ctx, TENANT, filters={"muted": True}).alerts
    for row in (*listed, alerts.get(ctx, TENANT, alert).alert, *detail.alerts):
        told = row.root_causes[0]
        assert (told["type"], told["type_label"]) == ("config_error", "Bad settings")
    # what was stored stays as it was said, and counts for itself again once it is restored
    stored = ctx.records.read(TENANT, lambda session: session.get(Incident, (TENANT, number)))
    assert stored is not None and stored.cause_type == "database_slow"
    edit(ctx, Change(verb="restore", name="database_slow"))
    assert incidents.get(ctx, TENANT, number).looks_like == "Database slow"


def test_incidents_are_filtered_by_all_that_counts_as_a_cause_today(ctx: Context) -> None:
    number, _ = found(ctx)

    def called(cause: str, **more: Any) -> list[int]:
        return [row.id for row in incidents.page(ctx, TENANT, cause=cause, **more).incidents]

    assert called("database_slow") == [number] and called("config_error") == []
    edit(ctx, Change(verb="merge", name="database_slow", into="config_error"))
    assert called("database_slow") == called("config_error", domain="services") == [number]
    # what people say of it counts before what a run says
    said = NewLabel(incident_id=number, entity="", disposition="real", cause="disk_full")
    about: dict[str, Any] = {"tenant": TENANT, "actor": "ana", "now": NOW}
    ctx.records.write(TENANT, lambda session: label_store.add(session, label=said, **about))
    assert called("config_error") == []
    assert sorted(called("disk_full")) == [number, number + 1]
    with pytest.raises(UnknownNameError, match="the cause must be one of"):
        called("fax_jam")


def test_a_domain_knows_what_its_causes_count_as(ctx: Context) -> None:
    edit(ctx, Change(verb="merge", name="disk_full", into="memory_leak"))
    spec = taxonomy.worded(ctx, TENANT, SERVICES)
    assert (spec.now("disk_full"), spec.now("dns"), SERVICES.now("disk_full")) == (
        "memory_leak",
        "dns",
        "disk_full",
    )
    assert spec.word("disk_full") == "Memory leak"
