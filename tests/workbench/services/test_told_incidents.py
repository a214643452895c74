"""Incidents by hand, from files and from alerts, with their metrics, the changes around them and those like them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.cases import Graph
from core.domains.services import SERVICES
from core.errors import CancelledError, ConflictError, InvalidInputError, UnknownNameError
from data import alert_store, label_store
from data.records import Incident, NewLabel
from tests.findings import NOW, new_alert
from tests.workbench import small_account
from tests.workbench.services import services_world
from tests.workbench.services.services_world import FAULT
from workbench.context import Context
from workbench.plain import plain
from workbench.services import alerts, changes, findings, incidents, similar, snapshots

HOUR = timedelta(hours=1)


@pytest.fixture
def measured(ctx: Context) -> Context:
    services_world.load(ctx)
    return ctx


def record(ctx: Context, title: str = "Cart slow", **facts: Any) -> incidents.Recorded:
    known = {"severity": "high", "onset": FAULT[0], "services": ["cart"]}
    return incidents.record(ctx, "acme", title=title, actor="ana", **known | facts)


def look(ctx: Context, incident: Incident) -> Any:
    return incidents.look(ctx, "acme", incidents.get(ctx, "acme", incident.id))


# ── by hand, from files, from alerts ─────────────────────────────────────────────────────────────


def test_an_incident_noted_twice_is_one_and_what_is_unknown_is_told(measured: Context) -> None:
    first = record(measured, services=["Cart", "service:pay", "crt"], regions=[" eu ", "eu"])
    assert first.created and first.warnings == ("never measured here: crt",)
    row = first.incident
    assert (row.services, row.regions, row.source) == (
        ["Cart", "service:pay", "crt"],
        ["eu"],
        "hand",
    )
    again = record(measured, services=["Cart", "service:pay", "crt"])
    assert (again.created, again.incident.id) == (False, row.id)
    known = snapshots.graph(measured, "acme", "services")
    assert incidents.affected(row, [], known) == ("service:cart", "service:pay")


@pytest.mark.parametrize(
    ("facts", "error", "said"),
    [
        ({"title": " "}, InvalidInputError, "title"),
        ({"severity": "awful"}, InvalidInputError, "awful"),
        ({"domain": "weather"}, UnknownNameError, "weather"),
        ({"ended_at": FAULT[0] - HOUR}, InvalidInputError, "no earlier than the onset"),
        ({"onset": datetime(2026, 3, 1)}, InvalidInputError, "aware"),
    ],
)
def test_what_cannot_be_an_incident_is_refused_and_nothing_is_kept(
    ctx: Context, facts: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        record(ctx, **facts)
    assert incidents.page(ctx, "acme", status="any").incidents == []


def test_a_file_is_taken_in_once_and_undone_at_once(ctx: Context, tmp_path: Path) -> None:
    path = tmp_path / "incidents.csv"
    path.write_text(
        "id,title,severity,started_at,ended_at,services\n"
        "1,Cart slow,P1,2026-11-20T01:00Z,2026-11-20T02:00Z,cart\n"
        "2,Pay down,P9,2026-11-20T03:00Z,,pay\n"
        "3,Pay down,P2,2026-11-20T03:00Z,,pay\n"
    )
    told = incidents.import_csv(ctx, "acme", "services", path, actor="ana")
    assert (told.new, told.updated, told.unchanged, len(told.refused)) == (2, 0, 0, 1)
    assert told.notes == ("never measured here: cart, pay",)
    assert str(told) == "2 new, 0 updated, 0 known already, 1 cells refused"
    again = incidents.import_csv(ctx, "acme", "services", path.read_bytes(), actor="ana")
    assert (again.new, again.unchanged) == (0, 2)
    (line,) = incidents.page(ctx, "acme", status="resolved").incidents
    assert (line.duration_minutes, line.severity) == (60.0, "critical")
    alerts.undo(ctx, "acme", actor="ana")
    assert incidents.page(ctx, "acme", status="any").incidents == []


def test_a_missing_file_is_named(ctx: Context, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"gone\.csv: the file must be readable"):
        incidents.import_csv(ctx, "acme", "services", tmp_path / "gone.csv", actor="ana")


def test_an_alert_that_stands_alone_becomes_an_incident(ctx: Context) -> None:
    def write(session: Any) -> int:
        who = {"tenant": "acme", "now": NOW, "actor": "run"}
        found = [new_alert("service:cart", domain="services", entity_name="cart")]
        (number,) = alert_store.upsert(session, found=found, **who).ids
        return int(number)

    number = ctx.records.write("acme", write)
    row = incidents.raise_from(ctx, "acme", number, actor="ana")
    assert (row.source, row.alerts, row.root_entity, row.services) == (
        "headwater",
        1,
        "service:cart",
        ["cart"],
    )
    assert incidents.page(ctx, "acme").incidents[0].alert_id == number
    with pytest.raises(ConflictError, match="without an incident"):
        incidents.raise_from(ctx, "acme", number, actor="ana")


def test_unlabeled_ones_are_listed_with_the_counts_of_all(ctx: Context) -> None:
    for title in ("a", "b", "c"):
        record(ctx, title, ended_at=NOW if title == "b" else None)
    label = NewLabel(incident_id=3, entity="", disposition="real", cause="disk_full")
    ctx.records.write(
        "acme",
        lambda s: label_store.add(s, tenant="acme", label=label, actor="ana", now=NOW),
    )
    found = incidents.unlabeled(ctx, "acme", domain="services", limit=1)
    assert (found.labeled, found.total, [row.id for row in found.incidents]) == (1, 3, [2])
    assert [row.id for row in incidents.unlabeled(ctx, "acme", after=found.next).incidents] == [1]
    assert incidents.unlabeled(ctx, "acme", domain="ads").total == 0
    line = incidents.page(ctx, "acme", label="labeled").incidents[0]
    assert (line.root_cause, line.label_status, line.labelled_by) == ("disk_full", "labeled", "ana")


def test_services_and_regions_of_a_detected_incident_come_from_the_graph(measured: Context) -> None:
    graph: Graph = snapshots.graph(measured, "acme", "services")
    hit = ["pod:cart-1", "service:pay", "service:cart"]
    assert findings.affected(graph, hit, "service") == ["Cart", "pay"]
    assert findings.affected(graph, hit, "region") == ["eu"]
    assert findings.affected(graph, ["campaign:1"], "service") == []


def test_one_that_was_told_and_found_is_one_until_people_part_it(ctx: Context) -> None:
    services_world.found(ctx)
    incidents.comment(ctx, "acme", 1, actor="eva", text="looking")
    kept = record(ctx, severity="low")
    assert kept.created
    (line,) = incidents.page(ctx, "acme").incidents
    assert (line.id, line.source, line.found, line.alerts) == (kept.incident.id, "hand", True, 2)
    assert (line.severity, line.root_entity) == ("low", "service:cart")
    assert incidents.page(ctx, "acme", source="headwater").incidents == []
    by_either = [incidents.get(ctx, "acme", number) for number in (1, kept.incident.id)]
    for detail in by_either:
        assert detail.incident.id == kept.incident.id and detail.found
        assert [said.body for said in detail.comments] == ["looking"]
        assert {"join", "record", "comment"} <= {event.verb for event in detail.history}
    seen = kept.incident.version
    with pytest.raises(ConflictError, match="version"):
        incidents.part(ctx, "acme", line.id, actor="ana", expected_version=seen - 1)
    incidents.part(ctx, "acme", line.id, actor="ana", note="two things")
    services_world.found(ctx)
    told = {row.source: (row.found, row.alerts) for row in incidents.page(ctx, "acme").incidents}
    assert told == {"hand": (False, 0), "headwater": (True, 2)}
    alerts.undo(ctx, "acme", actor="ana")
    (line,) = incidents.page(ctx, "acme").incidents
    assert (line.source, line.alerts) == ("hand", 2)
    alerts.undo(ctx, "acme", actor="ana")  # of the recording
    (line,) = incidents.page(ctx, "acme").incidents
    assert (line.source, line.alerts, line.id) == ("headwater", 2, 1)


# ── before, during, after ────────────────────────────────────────────────────────────────────────


def test_snapshots_show_what_rose_where_and_that_it_came_back(measured: Context) -> None:
    row = record(measured, ended_at=FAULT[1]).incident
    seen = look(measured, row)
    assert [(one.entity, one.metric) for one in seen.rows] == [
        ("service:cart", "http_request_duration_seconds"),
        ("pod:cart-1", "container_memory_usage_bytes"),
    ]
    latency, memory = seen.rows
    assert (latency.before, latency.during, latency.after) == pytest.approx(
        (0.1, 1.5, 0.1), rel=0.05
    )
    assert (memory.during / memory.before, memory.unit, memory.bad) == (
        pytest.approx(2.0, rel=0.05),
        "bytes",
        1,
    )
    assert latency.shift > 50 and memory.shift > 10
    assert seen.windows["before"] == (FAULT[0] - HOUR, FAULT[0])
    assert seen.curves.shape == (2, 180) and seen.final
    kept = incidents.get(measured, "acme", row.id).incident
    assert kept.snapshots["final"] and len(kept.snapshots["rows"]) == 2
    assert snapshots.shifts(kept)["container_memory_usage_bytes"] == pytest.approx(memory.shift)
    assert kept.version == row.version  # nobody's act


def test_where_no_service_is_told_everything_of_the_unit_is_looked_at(measured: Context) -> None:
    seen = look(measured, record(measured, services=[]).incident)
    assert [row.entity for row in seen.rows] == ["service:cart", "service:pay"]
    assert abs(seen.rows[1].shift) < 3


def test_an_incident_that_goes_on_is_pictured_again_until_it_is_over(
    measured: Context, clock: Any
) -> None:
    row = record(measured, onset=NOW - HOUR).incident
    detail = incidents.get(measured, "acme", row.id)
    assert not look(measured, row).final
    taken = incidents.get(measured, "acme", row.id).incident.snapshots["taken_at"]
    assert incidents.picture_due(measured, "acme", lambda *_: True) == 0  # no minute has passed
    clock.advance(minutes=10)
    assert incidents.picture_due(measured, "acme", lambda *_: True) == 1
    assert incidents.get(measured, "acme", row.id).incident.snapshots["taken_at"] > taken
    assert detail.incident.snapshots == {}
    clock.advance(minutes=10)
    with pytest.raises(CancelledError):
        incidents.picture_due(measured, "acme", lambda *_: False)


def test_without_measurements_there_is_no_snapshot(ctx: Context) -> None:
    assert look(ctx, record(ctx).incident) is None
    services_world.load(ctx)
    long_ago = record(ctx, "Old", onset=NOW - 400 * HOUR, ended_at=NOW - 399 * HOUR).incident
    assert look(ctx, long_ago) is None


def test_the_onset_may_lie_within_a_period() -> None:
    times = np.datetime64("2026-03-01T00:00:00") + np.arange(5) * np.timedelta64(60, "s")
    onset, end = np.datetime64("2026-03-01T00:01:30"), np.datetime64("2026-03-01T00:03:00")
    named = snapshots._phase(times, np.timedelta64(60, "s"), (onset, end))
    assert named.tolist() == ["before", "during", "during", "after", "after"]


# ── changes, likeness ────────────────────────────────────────────────────────────────────────────


def test_changes_are_noted_once_imported_and_shown_beside_the_incident(ctx: Context) -> None:
    told = {"kind": "deploy", "at": FAULT[0] - HOUR / 6, "title": "cart 1.2", "entity": "cart"}
    first = changes.record(ctx, "acme", **told, actor="ana")
    assert changes.record(ctx, "acme", **told, actor="ana").id == first.id
    content = (
        b"at,kind,entity,title\n2026-11-20T03:30:00Z,config,service:pay,pool 10\n2026-1,config,,x\n"
    )
    came = changes.import_csv(ctx, "acme", "services", content, actor="ana")
    assert (came.new, [cell.column for cell in came.refused]) == (1, ["at"])
    row = record(ctx).incident
    around = incidents.get(ctx, "acme", row.id).changes
    assert [event.title for event in around] == ["cart 1.2", "pool 10"]
    asked = {"domain": "services", "start": FAULT[0] - HOUR, "end": NOW}
    found = changes.between(ctx, "acme", **asked, entities=["service:cart"])
    assert [event.title for event in found] == ["cart 1.2"]
    alerts.undo(ctx, "acme", actor="ana")  # the incident
    alerts.undo(ctx, "acme", actor="ana")  # the import
    assert len(changes.between(ctx, "acme", **asked)) == 1


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"kind": "explosion"}, "one of deploy, config"),
        ({"title": ""}, "title"),
        ({"ended_at": FAULT[0] - HOUR}, "no earlier"),
        ({"domain": "weather"}, "weather"),
    ],
)
def test_what_cannot_be_a_change_is_refused(ctx: Context, facts: dict[str, Any], said: str) -> None:
    told: dict[str, Any] = {"kind": "deploy", "at": FAULT[0], "title": "x"}
    with pytest.raises(InvalidInputError, match=said):
        changes.record(ctx, "acme", **told | facts, actor="ana")


def test_past_incidents_are_told_with_their_labels_and_why_they_are_alike(
    measured: Context,
) -> None:
    def past(title: str, hours: float, **facts: Any) -> int:
        known = {"onset": FAULT[0] - hours * HOUR, "ended_at": FAULT[0] - (hours - 0.5) * HOUR}
        return int(record(measured, title, **known | facts).incident.id)

    alike = past("Timeouts in checkout", 5)
    past("Printer out of paper", 6, services=["office"])
    later = record(measured, "Timeouts in checkout", onset=NOW).incident.id
    label = NewLabel(incident_id=alike, entity="", disposition="real", cause="memory_leak")
    measured.records.write(
        "acme",
        lambda s: label_store.add(s, tenant="acme", label=label, actor="ana", now=NOW),
    )
    own = record(measured, "Checkout answers with timeouts").incident
    (found,) = similar.similar(measured, "acme", own.id)
    assert (found.incident.id, found.incident.root_cause) == (alike, "memory_leak")
    assert found.why.startswith("also at cart") and "both say" in found.why
    assert found.similarity > 0.5 and later != found.incident.id
    assert plain(found)["incident"]["root_cause"] == "memory_leak"


def test_an_incident_of_days_is_pictured_from_the_store_of_days(tmp_path: Path) -> None:
    with small_account.opened(tmp_path) as ads:
        small_account.detect(ads)
        (line,) = incidents.page(ads, small_account.TENANT, text=small_account.BROKEN).incidents
        seen = incidents.look(ads, small_account.TENANT, incidents.get(ads, "local", line.id))
    assert seen is not None
    worst = next(
        row
        for row in seen.rows
        if (row.entity, row.metric) == (small_account.BROKEN, "impressions")
    )
    assert worst.during / worst.before == pytest.approx(0.35, rel=0.15)  # as it was planted
    assert (worst.label, worst.bad, worst.shift < -3) == ("Impressions", -1, True)
    assert seen.windows["before"][1] == line.onset


@pytest.mark.parametrize(
    ("last", "ended"),
    [(5, datetime(2026, 3, 7, tzinfo=UTC)), (6, None), (9, None)],
)
def test_a_detected_incident_has_ended_once_its_last_alert_was_calm_for_long_enough(
    last: int, ended: datetime | None
) -> None:
    labels = np.datetime64("2026-03-01", "s") + np.arange(10) * np.timedelta64(1, "D")
    panel = SimpleNamespace(periods=SimpleNamespace(labels=labels), zones=("UTC",))
    seen = [SimpleNamespace(row=0, last=2), SimpleNamespace(row=1, last=last)]
    scene: Any = SimpleNamespace(panel=panel)
    assert findings._ended(scene, seen) == ended  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("minutes", "before"), [(5, 60.0), (120, 120.0), (24 * 60, 360.0), (10 * 24 * 60, 1440.0)]
)
def test_the_time_before_is_as_long_as_it_lasted_within_bounds(
    minutes: float, before: float
) -> None:
    incident = Incident(onset=NOW, ended_at=NOW + minutes * HOUR / 60)
    spans = snapshots.windows(incident, SERVICES, NOW)
    lengths = {name: (end - start).total_seconds() / 60 for name, (start, end) in spans.items()}
    assert lengths == {"before": before, "during": minutes, "after": before}


def test_an_incident_that_goes_on_is_looked_at_as_far_as_anything_was_measured(
    measured: Context, clock: Any
) -> None:
    row = record(measured, onset=FAULT[0]).incident
    clock.advance(days=300)
    seen = look(measured, row)
    assert seen.windows["during"][1] == NOW - HOUR / 60  # the newest minute
    assert all(np.isfinite([row.before, row.during]).all() for row in seen.rows)
