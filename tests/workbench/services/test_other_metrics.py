"""A home whose metrics change after a model was fitted: whoever asks the model is answered, and told what it never learned."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidInputError
from data import label_store
from data.records import NewLabel
from data.snapshots import read
from tests.workbench.services import services_world
from workbench.context import Context, open_context
from workbench.plain import plain
from workbench.requests import Row
from workbench.services import (
    alerts,
    compare,
    detect,
    experiments,
    investigate,
    preflight,
    scorer,
    scoring,
    training,
    training_jobs,
)
from workbench.services import scene as scenes
from workbench.services.detect import DetectionReport
from workbench.services.labelled import naive
from workbench.services.scene import Scene
from workbench.services.targets import Outlook
from workbench.settings import Settings

TENANT, DOMAIN = "acme", "services"
NEW = "error_rate_by_service"
HOURS = 26
PLANNED: dict[str, Any] = {"domain": DOMAIN, "metric": "alert-rate", "unit": "entity"}
FAULT = (services_world.NOW - timedelta(hours=6), services_world.NOW - timedelta(hours=5))


def run(ctx: Context) -> DetectionReport:
    return detect.detect(ctx, TENANT, actor="ana", domain=DOMAIN, explain=False)


def look(ctx: Context) -> Scene:
    return scenes.look(ctx, TENANT, domain=DOMAIN)


@pytest.fixture(scope="module")
def ctx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    settings = Settings(home=tmp_path_factory.mktemp("home"), user="ana", tenant=TENANT)
    with open_context(settings, clock=lambda: services_world.NOW) as opened:
        services_world.load(opened, TENANT, hours=HOURS)
        yield opened


@pytest.fixture(scope="module")
def champion(ctx: Context) -> str:
    """The version that two metrics taught."""
    return run(ctx).model_version


@pytest.fixture(scope="module")
def arrived(ctx: Context, champion: str) -> None:
    """A metric that nobody has seen came in; the cart's requests fail at another time than they are slow."""
    series = {("service:cart", NEW): 0.01, ("service:pay", NEW): 0.02}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(services_world.FAULTY, ("service:cart", NEW), 20.0)
        services_world.load(ctx, TENANT, hours=HOURS, fault=FAULT, series=series, file="errors")


@pytest.fixture(scope="module")
def report(ctx: Context, arrived: None) -> DetectionReport:
    """The first run after that; tests that ask for what is before it stand above those that use it."""
    return run(ctx)


def test_before_the_next_run_the_champion_is_heard_by_what_it_learned(
    ctx: Context, champion: str, arrived: None
) -> None:
    scene = look(ctx)
    served = scorer.standing(ctx, TENANT, scene)
    assert (served.version.id, scorer.knows(served, scene)) == (champion, False)
    judged = scenes.judge(scene, scorer.resumed(ctx, TENANT, served))
    assert judged.deaf == f"Not judged, for the model never learned it: {NEW}."
    (alert, *_) = alerts.page(ctx, TENANT, filters={"domain": DOMAIN}).alerts
    assert judged.deaf in investigate.alert_view(scene, judged, alert).notices
    found = investigate.causes(ctx, TENANT, alert.id, method="ranked-correlation")
    assert found["method"] == "ranked-correlation"


def test_an_experiment_waits_for_who_knows_the_new_metric(
    ctx: Context, champion: str, arrived: None
) -> None:
    with pytest.raises(InvalidInputError, match=f"learned what is measured now.*{NEW}") as refused:
        experiments.baseline(ctx, TENANT, treatment=champion, **PLANNED)
    assert "headwater detect --domain services" in refused.value.hint


def test_a_run_fits_who_knows_the_new_metric_and_pages_ask_it_too(
    ctx: Context, champion: str, report: DetectionReport
) -> None:
    instead = report.model_version
    assert instead != champion
    (notice,) = [note for note in report.notes if champion in note]
    assert f"headwater models promote {instead}" in notice
    assert any(FAULT[0] <= alert.onset < FAULT[1] for alert in report.alerts)
    scene = look(ctx)
    served = scorer.standing(ctx, TENANT, scene)
    assert (served.version.id, served.notice) == (instead, notice)
    assert scorer.knows(served, scene)
    assert ctx.serve.champion(TENANT, DOMAIN).version.id == champion
    assert run(ctx).model_version == instead


def test_an_experiment_runs_against_who_stands_in(
    ctx: Context, champion: str, report: DetectionReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what was champion is tried by what it learned
    hopeful = Outlook("alert-rate", -0.025, 14, 0.05, 0.8, 3, 3, 0.02, 14, 0.01, 0.0, 720.0)
    monkeypatch.setattr(experiments, "outlook", lambda *_, **__: hopeful)
    view = experiments.plan(ctx, TENANT, actor="ana", treatment=champion, mde=25.0, **PLANNED)
    assert view.control == report.model_version
    experiments.start(ctx, TENANT, view.id, actor="ana")
    run(ctx)
    seen = experiments.get(ctx, TENANT, view.id)
    assert seen.state != "failed" and len(seen.looks) == 1


def test_two_versions_are_compared_each_by_what_it_learned(
    ctx: Context, champion: str, report: DetectionReport
) -> None:
    pair = {"champion": champion, "challenger": report.model_version}
    told = compare.newest(ctx, TENANT, domain=DOMAIN, actor="ana", **pair)
    (notice,) = [one for one in told["notices"] if NEW in one]
    assert notice == f"The champion: Not judged, for the model never learned it: {NEW}."


def test_a_comparison_asks_for_confirmed_causes_again_and_tells_every_episode(
    ctx: Context, champion: str, report: DetectionReport
) -> None:
    found = report.alerts[0]
    label = NewLabel(
        alert_id=found.id, entity=found.entity, disposition="real", cause="cpu_saturation"
    )
    ctx.records.write(
        TENANT,
        lambda session: label_store.add(
            session, tenant=TENANT, label=label, actor="ana", now=ctx.clock()
        ),
    )
    pair = {"champion": champion, "challenger": report.model_version}
    view = compare.compare(ctx, TENANT, domain=DOMAIN, actor="ana", **pair)
    assert (view.causes.of, view.unit) == (1, "period")
    (seen,) = [
        one for one in view.raised["challenger"][found.entity] if one.first == naive(found.onset)
    ]
    assert seen.last == naive(found.last_seen)
    # both raise it, so that a promotion leaves its alert alone
    assert found.id not in {one.alert for one in view.changed}
    told = compare.newest(ctx, TENANT, domain=DOMAIN, actor="ana", **pair)
    assert told["id"] == view.id and told["changed"] == plain(view.changed)


def test_a_part_learns_what_its_champion_learned_and_a_whole_model_all_there_is(
    ctx: Context, champion: str, arrived: None
) -> None:
    asked: dict[str, Any] = {"domain": DOMAIN, "algorithm": "robust-z", "params": {}}
    checks = preflight.preflight(ctx, TENANT, **asked, start=None, end=None, part=True)
    (check,) = [one for one in checks if one.name == "metrics"]
    assert check.status == preflight.WARNING and NEW in check.message
    assert "whole model" in check.cure
    learned = {}
    for part in (True, False):
        job = training.start(ctx, TENANT, **asked, part=part, actor="ana")
        kept = training_jobs.prepare(ctx, TENANT, job).snapshot
        learned[part] = read(kept.path, kept.digest)[0].metrics
    assert set(learned[False]) - set(learned[True]) == {NEW}


def test_rows_are_scored_by_the_metrics_of_their_version(
    ctx: Context, champion: str, arrived: None
) -> None:
    features = scenes.learned(ctx.serve.champion(TENANT, DOMAIN).algorithm)
    row = Row(entity="service:cart", values=[9.0, 0.0])
    scored = scoring.score(ctx, TENANT, domain=DOMAIN, features=features, rows=[row]).result(10)
    assert scored.served.version.id == champion and scored.scores[0] > 1
    row = Row(entity="service:cart", values=[9.0, 0.0, 9.0])
    wrong = scoring.score(ctx, TENANT, domain=DOMAIN, features=(*features, NEW), rows=[row])
    with pytest.raises(InvalidInputError, match=f"features must be those of .*{NEW} extra"):
        wrong.result(10)


def test_what_is_measured_no_more_is_judged_without_and_what_nobody_learned_is_refused(
    ctx: Context, champion: str
) -> None:
    scene, model = look(ctx), ctx.serve.champion(TENANT, DOMAIN).algorithm
    left, gone = scenes.learned(model)
    fewer = dataclasses.replace(scene, residual=scene.residual.select(metrics=[left]))
    judged, whole = scenes.judge(fewer, model), scenes.judge(scene, model)
    assert judged.deaf == f"Not measured any more, so judged without: {gone}."
    alike = ~np.isfinite(scene.residual.metric(gone))
    assert alike.any() and np.array_equal(judged.p_values[alike], whole.p_values[alike])
    strange = np.zeros((*scene.residual.values.shape[:2], 2))
    other = scene.residual.with_values(strange, ("steam", "coal"))
    with pytest.raises(InvalidInputError, match="at least one of those that the model learned"):
        scenes.judge(dataclasses.replace(scene, residual=other), model)
