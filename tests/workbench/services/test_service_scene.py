"""Detection over running systems: what was planted is found, told, grouped and located; a re-run doubles nothing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from core.errors import NotEnoughDataError
from data import run_store
from data.records import DetectionRun
from data.simulate.services import Size, simulate_services
from tests.workbench.services import services_world
from workbench.context import Context, open_context
from workbench.services import (
    alerts,
    brief,
    detect,
    incidents,
    ingest,
    investigate,
    scorer,
    service_scene,
    snapshots,
)
from workbench.services import scene as scenes
from workbench.services.detect import DetectionReport
from workbench.services.findings import sightings_of
from workbench.services.scene import Judged, Scene
from workbench.services.service_scene import CELLS, Spell, _fitting
from workbench.settings import Settings

TENANT = "acme"
SIZE = Size(8, (2, 3), 4, 2, 2, 8)
HOUR, HOURS = timedelta(hours=1), timedelta(hours=12)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("services") / "world"
    simulate_services(folder, size=SIZE, seed=5)
    return folder


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Iterator[Context]:
    with open_context(Settings(home=tmp_path_factory.mktemp("home"))) as opened:
        done = ingest.import_paths(opened, TENANT, [world], domain="services")
        assert not done.failed and not done.refused
        yield opened


@pytest.fixture(scope="module")
def report(context: Context) -> DetectionReport:
    return detect.detect(context, TENANT, actor="ana", domain="services")


@pytest.fixture(scope="module")
def seen(context: Context, report: DetectionReport) -> tuple[Scene, Judged]:
    scene = scenes.look(context, TENANT, domain="services")
    served = context.serve.champion(TENANT, "services")
    return scene, scenes.judge(scene, scorer.resumed(context, TENANT, served))


@pytest.fixture(scope="module")
def planted(world: Path) -> list[dict[str, Any]]:
    """Every fault of the two days."""
    truth: list[dict[str, Any]] = json.loads(
        (world / "truth" / "incidents.json").read_text(encoding="utf-8")
    )
    return truth


def within(row: dict[str, Any], moment: datetime) -> bool:
    onset, end = (datetime.fromisoformat(row[name]) for name in ("onset", "end"))
    return onset - timedelta(minutes=5) <= moment <= end + timedelta(minutes=10)


def test_every_planted_fault_is_one_incident_and_nothing_else_is(
    report: DetectionReport, planted: list[dict[str, Any]]
) -> None:
    assert len(planted) == 8
    for row in planted:
        assert sum(within(row, incident.onset) for incident in report.incidents) == 1
    assert len(report.incidents) == len(planted)
    # each was told in the world's own file and found by the run
    assert {incident.source for incident in report.incidents} == {"file"}
    stray = [alert for alert in report.alerts if not any(within(p, alert.onset) for p in planted)]
    assert len(stray) <= 3
    assert all(alert.incident_id is None for alert in stray)


def test_the_root_stands_first(report: DetectionReport, planted: list[dict[str, Any]]) -> None:
    first = [
        (row["root"], found.root_entity)
        for row in planted
        for found in report.incidents
        if within(row, found.onset)
    ]
    assert sum(root == told for root, told in first) >= 7


def test_an_alert_says_what_moved_when_and_by_how_much(report: DetectionReport) -> None:
    worst = max(report.alerts, key=lambda alert: alert.score)
    assert " at " in worst.sentence and "of the score" in worst.sentence
    assert worst.onset.tzinfo is not None and worst.onset.minute != 0
    told = worst.explanation
    total = np.asarray(told["shares"]).sum() + told["base"] + told["gap"]
    assert total == pytest.approx(told["score"], abs=1e-4)
    assert "T" in told["days"][0]
    assert worst.currency == "" and worst.spend_at_risk == 0.0 and worst.revenue_impact is None


def test_a_second_run_doubles_nothing(context: Context, report: DetectionReport) -> None:
    again = detect.detect(context, TENANT, actor="ben", domain="services")
    assert again.created == 0
    # nothing came in between, so it tells of the newest window alone
    window = datetime(2026, 3, 4, tzinfo=UTC) - HOURS
    late = {alert.id for alert in report.alerts if alert.last_seen >= window}
    assert {alert.id for alert in again.alerts} == late
    assert {row.id for row in again.incidents} < {row.id for row in report.incidents}


def test_a_run_tells_of_what_nobody_looked_at_and_never_of_less_than_the_window(
    context: Context, report: DetectionReport, seen: tuple[Scene, Judged]
) -> None:
    scene, _ = seen
    minutes, day = len(scene.times), datetime(2026, 3, 3, tzinfo=UTC)
    # the first twelve hours teach what is usual
    assert scene.told_from(None) == 720
    assert scene.told_from(day - timedelta(days=9)) == 720
    assert scene.told_from(day + timedelta(hours=5)) == minutes - 19 * 60
    assert scene.told_from(day + timedelta(hours=23)) == minutes - 720

    def known(session: Any) -> tuple[datetime | None, int]:
        about = {"tenant": TENANT, "domain": "services", "detector": "robust-z"}
        return run_store.seen(session, **about)

    until, batch = context.records.read(TENANT, known)
    assert until == datetime(2026, 3, 3, 23, 59, tzinfo=UTC)
    assert batch == context.metrics.batches(TENANT)[0].id


def test_a_run_over_a_part_or_over_the_past_leaves_the_rest_to_the_next(
    context: Context, report: DetectionReport
) -> None:
    def runs(session: Any) -> list[datetime | None]:
        return list(session.scalars(select(DetectionRun.seen_until).order_by(DetectionRun.id)))

    before = context.records.read(TENANT, runs)
    about: dict[str, Any] = {"actor": "ben", "domain": "services", "explain": False}
    detect.detect(context, TENANT, level="node", **about)
    past = detect.detect(context, TENANT, at=datetime(2026, 3, 3, tzinfo=UTC), **about)
    assert context.records.read(TENANT, runs)[len(before) :] == [None, None]
    assert all(alert.last_seen >= datetime(2026, 3, 2, 12, tzinfo=UTC) for alert in past.alerts)


def test_two_episodes_of_one_entity_are_two_alerts(seen: tuple[Scene, Judged]) -> None:
    scene, judged = seen
    calm = np.ones_like(judged.p_values)
    window = calm.shape[1] - scene.domain.window
    calm[0, window + 100 : window + 110] = 1e-9
    calm[0, window + 125 : window + 130] = 1e-9
    calm[0, window + 300 : window + 310] = 1e-9
    calm[1, window + 300 : window + 302] = 1e-9
    told = dataclasses.replace(judged, p_values=calm)
    found = sightings_of(scene, told, np.ones(len(calm), dtype=bool))
    spans = [(item.row, item.first - window, item.last - window) for item in found]
    # half an hour of calm parts them, a shorter one does not; two minutes are no episode
    assert spans == [(0, 100, 129), (0, 300, 309)]


def test_what_ran_already_when_the_window_began_has_begun_where_it_did(
    seen: tuple[Scene, Judged],
) -> None:
    scene, judged = seen
    p_values = np.ones_like(judged.p_values)
    window = p_values.shape[1] - scene.domain.window
    p_values[0, window - 400 : window + 5] = 1e-9
    p_values[1, window - 400 : window - 390] = 1e-9
    told = dataclasses.replace(judged, p_values=p_values)
    everyone = np.ones(len(p_values), dtype=bool)
    (running,) = sightings_of(scene, told, everyone)
    assert (running.row, running.first - window, running.last - window) == (0, -400, 4)
    # what was over by then is told by a run that comes after a longer silence
    assert [item.row for item in sightings_of(scene, told, everyone, window - 395)] == [0, 1]


def test_neighbours_in_trouble_are_asked_about_once_where_it_is_felt(
    seen: tuple[Scene, Judged], planted: list[dict[str, Any]]
) -> None:
    scene, judged = seen
    found = sightings_of(scene, judged, np.ones(len(scene.panel.entities), dtype=bool))
    outbreaks = scene.outbreaks(found)
    places = sorted(place for outbreak in outbreaks for place in outbreak.places)
    assert places == list(range(len(found)))
    assert len(outbreaks) < len(found) / 3
    case = scene.case(judged, outbreaks[0].questions[0])
    assert case.kind == "metrics" and case.panel is not None and case.normal is not None
    assert len(case.panel.periods) <= 46
    # the same object for all alerts, since localizers learn from it once
    assert scene.case(judged, outbreaks[-1].questions[0]).normal is case.normal
    quiet = {np.datetime64(label, "m") for label in case.normal.periods.labels}
    for row in planted[1:]:
        middle = np.datetime64(row["noticed"].rstrip("Z"), "m")
        assert middle not in quiet


def test_parts_of_one_whole_in_trouble_make_it_trouble_of_the_whole(
    seen: tuple[Scene, Judged],
) -> None:
    scene, _ = seen
    whole = next(
        node
        for node in scene.graph.net
        if scene.graph.level(node) == "service" and len(pods_of(scene, node)) > 1
    )
    one, other = pods_of(scene, whole)[:2]

    def asked(*spells: Spell) -> list[list[str]]:
        return [
            [alarm.node for alarm in outbreak.questions[0].alarms]
            for outbreak in scene.outbreaks(spells)
        ]

    assert asked(Spell(one, 900, 930, 910), Spell(other, 905, 935, 910)) == [[whole]]
    assert asked(Spell(one, 900, 930, 910)) == [[one]]
    apart = asked(Spell(one, 900, 930, 910), Spell(other, 960, 990, 970))
    assert sorted(apart) == sorted([[one], [other]])


def pods_of(scene: Scene, service: str) -> list[str]:
    return [pod for pod in scene.graph.parents(service) if scene.graph.level(pod) == "pod"]


def test_what_rises_slowly_is_asked_about_again_at_its_worst(seen: tuple[Scene, Judged]) -> None:
    scene, judged = seen
    service = next(node for node in scene.graph.net if scene.graph.level(node) == "service")
    (outbreak,) = scene.outbreaks([Spell(service, 900, 990, 985)])
    first, again = outbreak.questions
    assert first.since is None and again.since == scene.times[900]
    labels = scene.case(judged, again).panel.periods.labels
    minutes = np.flatnonzero(np.isin(scene.panel.periods.labels, labels))
    # forty minutes before it rose, and six at its worst
    assert minutes.tolist() == [*range(860, 900), *range(982, 988)]


def test_the_pages_show_minutes_and_at_most_sixty_nodes(
    context: Context, report: DetectionReport, seen: tuple[Scene, Judged]
) -> None:
    scene, judged = seen
    for alert in report.alerts[:5]:
        row = alerts.get(context, TENANT, alert.id).alert
        view = investigate.alert_view(scene, judged, row)
        assert view.unit == "m" and view.onset.dtype == np.dtype("datetime64[m]")
        assert view.focus in {curve.metric for curve in view.curves}
        assert view.onset in view.curves[0].days
        cause = investigate.cause_view(context, TENANT, scene, judged, row)
        assert 1 < len(cause.nodes) <= 60
        assert row.entity in {node.id for node in cause.nodes}
        drawn = sum(node.hidden or 1 for node in cause.nodes)
        assert drawn == len(scene.graph.net)
        assert "headwater" in cause.methods and "tree-scan" not in cause.methods


def test_a_cause_is_drawn_on_the_graph_of_its_moment_and_says_what_changed(
    context: Context,
    report: DetectionReport,
    seen: tuple[Scene, Judged],
    world: Path,
    tmp_path: Path,
) -> None:
    scene, judged = seen
    rows = (alerts.get(context, TENANT, alert.id).alert for alert in report.alerts)
    row = next(row for row in rows if row.root_causes and row.root_causes[0]["hops"])
    before = investigate.cause_view(context, TENANT, scene, judged, row)
    assert not any("Drawn as it was" in notice for notice in before.notices)
    source, target = row.root_causes[0]["path"][:2]
    told = (world / "edges.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    gone = [line for line in told if not line.startswith(f"{source},{target}")]
    assert len(gone) == len(told) - 1
    edges = tmp_path / "edges.csv"
    edges.write_text("".join(gone), encoding="utf-8")
    done = ingest.import_paths(context, TENANT, [edges], domain="services")
    try:
        now = dataclasses.replace(scene, graph=snapshots.graph(context, TENANT, "services"))
        assert (source, target) not in now.graph.net.edges
        view = investigate.cause_view(context, TENANT, now, judged, row)
    finally:
        for file in done.files:
            ingest.undo_batch(context, TENANT, file.batch, actor="ana")
    assert view.edges == before.edges and (source, target) in view.edges
    (notice,) = (notice for notice in view.notices if "Drawn as it was" in notice)
    assert f"gone {scene.graph.name(source)} → {scene.graph.name(target)}." in notice


def test_an_alert_keeps_its_severity_where_it_was_resolved(
    context: Context, report: DetectionReport, seen: tuple[Scene, Judged]
) -> None:
    scene, judged = seen
    row = alerts.get(context, TENANT, report.alerts[0].id).alert
    assert row.status == "resolved" and row.severity != "low"
    view = investigate.cause_view(context, TENANT, scene, judged, row)
    (own,) = (node for node in view.nodes if node.id == row.entity)
    assert own.severity == row.severity


def test_another_method_looks_at_the_whole_outbreak(
    context: Context, report: DetectionReport, seen: tuple[Scene, Judged]
) -> None:
    scene, judged = seen
    grouped = next(alert for alert in report.alerts if alert.incident_id is not None)
    row = alerts.get(context, TENANT, grouped.id).alert
    view = investigate.cause_view(context, TENANT, scene, judged, row, method="graph-residual")
    assert view.candidates and view.method == "graph-residual"


def test_triage_tells_the_domains_apart(context: Context, report: DetectionReport) -> None:
    assert brief.domains(context, TENANT) == ("services",)
    latest = max(report.incidents, key=lambda row: row.onset)
    assert latest.status == "resolved"  # as its file told, and its alerts with it
    incidents.reopen(context, TENANT, latest.id, actor="ana")
    today = brief.of(
        context, TENANT, last_day=datetime(2026, 3, 3, tzinfo=UTC).date(), domain="services"
    )
    assert today.alerts_by_day[-1] > 0 and not any(today.alerts_by_day[:-2])
    assert alerts.page(context, TENANT, filters={"domain": "ads"}).alerts == []
    kept: list[Any] = []
    for day in (date(2026, 3, 2), date(2026, 3, 3)):
        chosen = {"domain": "services", "broke": day, "muted": True, "status": "any"}
        kept += alerts.page(context, TENANT, filters=chosen, limit=500).alerts
    assert len(kept) == len(report.alerts)


def test_a_look_into_the_past_knows_nothing_of_what_came_after(context: Context) -> None:
    until = datetime(2026, 3, 3, tzinfo=UTC)
    scene = scenes.look(context, TENANT, domain="services", as_of=until)
    assert scene.panel.periods.labels[-1] < np.datetime64("2026-03-03T00:00:00")


def test_an_unknown_domain_and_an_empty_home_are_refused(context: Context) -> None:
    with pytest.raises(NotEnoughDataError, match="imported first"):
        scenes.look(context, "nobody", domain="services")


@pytest.mark.parametrize(
    ("width", "days", "seconds"), [(800, 2, 60), (800, 14, 60), (83_000, 2, 600), (70_000, 30, 600)]
)
def test_periods_grow_only_as_far_as_the_room_asks(width: int, days: int, seconds: int) -> None:
    end = datetime(2026, 3, 20, tzinfo=UTC)
    step, first = _fitting(end - timedelta(days=days), end, width)
    assert step == np.timedelta64(seconds, "s")
    assert (end - first) >= min(timedelta(days=days), timedelta(days=2)) - timedelta(minutes=20)
    assert (end - first).total_seconds() / seconds * width <= CELLS * 1.01


def test_what_comes_in_late_is_judged_by_the_next_run_alone(ctx: Context) -> None:
    fault = (services_world.NOW - timedelta(hours=30), services_world.NOW - timedelta(hours=29))

    def late(entity: str, moment: datetime) -> bool:
        return entity == "service:cart" and fault[0] - HOUR <= moment < fault[1] + HOUR

    def found() -> tuple[int, set[str]]:
        run = detect.detect(ctx, TENANT, actor="ana", domain="services", explain=False)
        return run.created, {alert.entity for alert in run.alerts}

    world: dict[str, Any] = {"hours": 48, "fault": fault}
    services_world.load(ctx, TENANT, **world, kept=lambda *one: not late(*one))
    assert found() == (1, {"pod:cart-1"})
    assert found() == (0, set())
    services_world.load(ctx, TENANT, **world, kept=late, file="late")
    assert found() == (1, {"service:cart", "pod:cart-1"})
    assert found() == (0, set())


@pytest.mark.parametrize("outage", [timedelta(0), timedelta(hours=39)])
def test_a_first_run_judges_all_it_looks_back_on_in_looks_that_memory_has_room_for(
    ctx: Context, monkeypatch: pytest.MonkeyPatch, outage: timedelta
) -> None:
    now, room = services_world.NOW, 30 * 60
    fault = (now - timedelta(hours=80), now - timedelta(hours=79))
    silent = now - timedelta(hours=70)
    services_world.load(
        ctx,
        TENANT,
        hours=96,
        fault=fault,
        kept=lambda _, moment: not silent <= moment < silent + outage,
    )
    monkeypatch.setattr(service_scene, "LEAST", HOURS)
    # two metrics of two services, a pod and a region
    monkeypatch.setattr(service_scene, "CELLS", 2 * 4 * room)
    held: list[int] = []
    course = service_scene.course
    monkeypatch.setattr(
        service_scene,
        "course",
        lambda panel, *rest: held.append(len(panel.periods)) or course(panel, *rest),
    )
    run = detect.detect(ctx, TENANT, actor="ana", domain="services", explain=False)
    assert {alert.entity for alert in run.alerts} == {"service:cart", "pod:cart-1"}
    assert all(fault[0] <= alert.onset < fault[1] for alert in run.alerts)
    assert max(held) <= room + 1 and len(held) >= 3
    # pages show an old alert by the look that holds it
    newest = scenes.look(ctx, TENANT, domain="services")
    row = alerts.get(ctx, TENANT, run.alerts[0].id).alert
    until = investigate.moment(newest, row)
    assert until is not None and until <= newest.begin
    then = scenes.look(ctx, TENANT, domain="services", as_of=until)
    assert investigate.alert_view(then, None, row).onset in then.times
    looked = len(held)
    again = detect.detect(ctx, TENANT, actor="ana", domain="services", explain=False)
    assert (again.created, len(held)) == (0, looked + 1)


def test_a_run_says_what_lies_too_far_back_to_be_judged(
    context: Context, report: DetectionReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scenes.look(context, TENANT, domain="services")
    monkeypatch.setattr(service_scene, "HISTORY", timedelta(days=1))
    (said,) = scene.unseen(None)
    assert said.startswith("2 Mar 2026, 00:00, to 3 Mar 2026, 00:00 (UTC) was not judged")
    (late,) = scene.unseen(datetime(2026, 3, 2, 20, tzinfo=UTC))
    assert late.startswith("2 Mar 2026, 20:00, to 3 Mar 2026, ")
    assert scene.unseen(datetime(2026, 3, 3, 20, tzinfo=UTC)) == ()


def test_a_whole_look_leaves_nothing_unsaid(seen: tuple[Scene, Judged]) -> None:
    assert seen[0].unseen(datetime(2026, 3, 3, tzinfo=UTC)) == ()
