"""Experiments over a real small account: refused when hopeless, routed, watched, rolled back by themselves, decided."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from datetime import date
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from core.errors import (
    ConflictError,
    InvalidInputError,
    NotEnoughDataError,
    NotFoundError,
    UnknownNameError,
)
from data import experiment_store, label_store
from data.model_records import Experiment
from data.records import Alert, AuditEvent, NewLabel
from data.routing import Rung
from models import rollout
from tests.conftest import TENANT
from tests.workbench.conftest import Tried
from workbench.context import Context
from workbench.services import detect, experiments, targets, trial
from workbench.services.experiments import ExperimentView
from workbench.services.scene import Judged

OpenHome = Callable[..., Context]


def run(context: Context) -> detect.DetectionReport:
    return detect.detect(context, TENANT, actor="ana", explain=False)


def plan(context: Context, treatment: str, **options: Any) -> ExperimentView:
    chosen = {"metric": "alert-rate", "mde": 25.0, "unit": "keyword", "days": 14, **options}
    return experiments.plan(context, TENANT, actor="ana", treatment=treatment, **chosen)


def started(context: Context, treatment: str, **options: Any) -> ExperimentView:
    number = plan(context, treatment, **options).id
    return experiments.start(context, TENANT, number, actor="ana")


def change(context: Context, number: int, **changes: Any) -> None:
    """Put an experiment where a test wants it."""
    context.records.write(
        TENANT,
        lambda session: experiment_store.move(
            session,
            tenant=TENANT,
            number=number,
            verb="test",
            changes=changes,
            actor="test",
            now=context.clock(),
        ),
    )


def label_all(context: Context, disposition: str) -> int:
    """The same verdict on every alert that is seen on the newest day; how many."""

    def write(session: Any) -> int:
        alerts = list(session.scalars(select(Alert)))
        newest = max(alert.day for alert in alerts)
        chosen = [alert for alert in alerts if alert.day == newest]
        for alert in chosen:
            label = NewLabel(alert_id=alert.id, entity=alert.entity, disposition=disposition)
            label_store.add(session, tenant=TENANT, label=label, actor="ana", now=context.clock())
        return len(chosen)

    return context.records.write(TENANT, write)


def test_a_hopeless_experiment_is_refused_with_the_units_it_needs(
    tried: Tried, open_home: OpenHome
) -> None:
    context = open_home(tried.home)
    planned = plan(context, tried.versions["twin"], mde=0.5, days=3)
    assert (planned.state, planned.plan["hopeless"]) == ("planning", True)
    assert planned.units > planned.plan["available"] == 120
    with pytest.raises(InvalidInputError) as refused:
        experiments.start(context, TENANT, planned.id, actor="ana")
    assert f"at least {planned.units:,} to find its effect in 3 days" in refused.value.message
    assert "With 120 units:" in refused.value.hint
    assert "alerts per 1,000 entity-days or more" in refused.value.hint
    assert experiments.get(context, TENANT, planned.id).state == "planning"
    with pytest.raises(InvalidInputError, match="to find its effect in 3 days"):
        plan(context, tried.versions["twin"], mde=0.5, days=3, begin=True)
    assert [row.id for row in experiments.listing(context, TENANT)] == [planned.id]


def test_too_few_units_are_told_as_what_they_are() -> None:
    """Four services that alert twice a day: neither more days nor a larger effect would do."""
    some = targets.Tally(np.zeros(4, dtype=bool), *(np.full(4, float(n)) for n in (10, 20, 5)), 5)
    found = targets.outlook(some, "alert-rate", effect=-1.0, days=14, alpha=0.05, power=0.8)
    assert (found.usual, found.available, found.hopeless) == (2.0, 4, True)
    told = experiments.remedy(dataclasses.asdict(found), targets.METRICS["alert-rate"])
    assert told == "An experiment takes at least 20 units: choose a lower level as unit."


def test_a_plan_can_be_thrown_away_until_it_is_started(tried: Tried, open_home: OpenHome) -> None:
    context = open_home(tried.home)
    first = plan(context, tried.versions["twin"])
    with pytest.raises(ConflictError, match="still at version 7"):
        experiments.discard(context, TENANT, first.id, actor="ana", seen=7)
    assert experiments.discard(context, TENANT, first.id, actor="ana", seen=1) == first.id
    assert experiments.listing(context, TENANT) == []
    events = context.records.read(TENANT, lambda session: list(session.scalars(select(AuditEvent))))
    assert (events[-1].verb, events[-1].after["treatment"]) == ("discard", tried.versions["twin"])
    second = plan(context, tried.versions["twin"], begin=True)
    assert (second.state, second.stage) == ("running", "shadow")
    with pytest.raises(ConflictError, match="stop it instead"):
        experiments.discard(context, TENANT, second.id, actor="ana")


@pytest.mark.parametrize(
    ("options", "error", "rule"),
    [
        ({"metric": "luck"}, UnknownNameError, "one of alert-rate, precision, agreement"),
        ({"unit": "planet"}, UnknownNameError, "one of entity, profile"),
        ({"mde": -1.0}, InvalidInputError, "above 0"),
        ({"mde": 200.0}, InvalidInputError, r"what there is to lose, now 28\.9 alerts"),
        ({"metric": "agreement"}, NotEnoughDataError, "units must be at least 4"),
        ({"metric": "precision"}, NotEnoughDataError, "Label some alerts first"),
        ({"treatment": "nobody"}, NotFoundError, "one of this tenant's"),
        ({"domain": "sea"}, InvalidInputError, "the domain must be one of ads"),
    ],
)
def test_a_plan_without_sense_is_refused(
    tried: Tried,
    open_home: OpenHome,
    options: dict[str, Any],
    error: type[Exception],
    rule: str,
) -> None:
    context = open_home(tried.home)
    treatment = options.pop("treatment", tried.versions["twin"])
    with pytest.raises(error, match=rule):
        plan(context, treatment, **options)
    champion = context.serve.champion(TENANT, "ads").version.id
    with pytest.raises(InvalidInputError, match="another version of ads than the champion"):
        plan(context, champion)


def test_in_shadow_both_judge_and_the_champion_alone_alerts(
    tried: Tried, open_home: OpenHome
) -> None:
    context = open_home(tried.home)
    before = {(alert.entity, alert.score) for alert in run(context).alerts}
    number = started(context, tried.versions["twin"]).id
    report = run(context)
    assert {(alert.entity, alert.score) for alert in report.alerts} == before
    champion = context.serve.champion(TENANT, "ads").version.id
    assert {alert.model_version for alert in report.alerts} == {champion}
    seen = experiments.get(context, TENANT, number)
    (look,) = seen.looks
    assert look["run"] == report.run_id
    # the same model twice says the same
    assert (look["value"], look["alerts"][0]) == (0.0, look["alerts"][1])
    assert look["word"] == "inconclusive: need more data"
    # the keywords that have figures of the newest day, each a row
    assert 100 < look["units"] == look["rows"] <= 120
    assert set(seen.guardrails) == {"errors", "latency", "alert volume", "missing scores"}
    assert all(check["ok"] for check in seen.guardrails.values())
    routed = experiments.decisions(context, TENANT, number)
    assert routed["arms"] == [{"arm": "control", "entities": 120, "units": 120}]
    assert {row["version"] for row in routed["decisions"]} == {champion}
    assert experiments.disagreements(context, TENANT, number) == []


def test_a_canary_decides_for_its_units_and_every_alert_names_its_version(
    tried: Tried, open_home: OpenHome
) -> None:
    context = open_home(tried.home)
    everything = run(context)
    view = started(context, tried.versions["quiet"])
    change(context, view.id, stage="canary", share=0.5, salt="the same in every test")
    row = context.records.read(
        TENANT, lambda session: experiment_store.get(session, tenant=TENANT, number=view.id)
    )
    report = run(context)
    units = [alert.entity for alert in everything.alerts if alert.level == "keyword"]
    treated = dict(zip(units, rollout.arm(row.salt, units, 0.5).tolist(), strict=True))
    assert 0 < sum(treated.values()) < len(treated)
    # the silent version raises nothing where it decides, the champion all it did elsewhere
    left = {alert.entity for alert in report.alerts}
    assert left == {
        alert.entity for alert in everything.alerts if not treated.get(alert.entity, False)
    }
    seen = experiments.get(context, TENANT, view.id)
    (look,) = seen.looks
    assert 100 < sum(look["split"]) == look["units"]
    assert look["split_p"] > 0.001
    arms = {row["arm"]: row for row in experiments.decisions(context, TENANT, view.id)["arms"]}
    assert arms["treatment"]["entities"] + arms["control"]["entities"] == 120
    assert arms["treatment"]["units"] >= look["split"][1]
    one = next(entity for entity, is_treated in treated.items() if is_treated)
    (decision,) = experiments.decisions(context, TENANT, view.id, entity=one)["decisions"]
    assert (decision["arm"], decision["version"], decision["run"]) == (
        "treatment",
        tried.versions["quiet"],
        report.run_id,
    )


def test_the_twin_in_the_canary_signs_its_own_alerts_with_words(
    tried: Tried, open_home: OpenHome
) -> None:
    context = open_home(tried.home)
    view = started(context, tried.versions["twin"])
    change(context, view.id, stage="canary", share=0.5, salt="the same in every test")
    report = detect.detect(context, TENANT, actor="ana")
    versions = Counter(alert.model_version for alert in report.alerts)
    assert set(versions) == {tried.versions["twin"], view.control}
    theirs = [alert for alert in report.alerts if alert.model_version == tried.versions["twin"]]
    assert {alert.level for alert in theirs} == {"keyword"}
    assert all(alert.sentence and alert.explanation["shares"] for alert in theirs)


def test_too_many_alerts_roll_back_within_the_run(tried: Tried, open_home: OpenHome) -> None:
    context = open_home(tried.home)
    before = {alert.entity for alert in run(context).alerts}
    number = started(context, tried.versions["loud"]).id
    change(context, number, stage="canary", share=0.5, salt="the same in every test")
    report = run(context)
    assert {alert.entity for alert in report.alerts} == before
    assert [note for note in report.notes if note.startswith(f"Experiment {number} ended. Rolled")]
    seen = experiments.get(context, TENANT, number)
    assert seen.state == "failed"
    assert "alerts where the champion raises" in seen.reason
    assert not seen.guardrails["alert volume"]["ok"]
    told = context.records.read(TENANT, lambda session: session.scalars(select(AuditEvent)).all())[
        -1
    ]
    assert (told.verb, told.actor, told.object_id) == ("roll back", "headwater", str(number))
    arms = experiments.decisions(context, TENANT, number)["arms"]
    assert [arm["arm"] for arm in arms] == ["control"]
    assert len(run(context).alerts) == len(before)


def test_a_treatment_that_cannot_be_read_never_fails_a_run(
    tried: Tried, open_home: OpenHome
) -> None:
    context = open_home(tried.home)
    number = started(context, tried.versions["twin"]).id
    damage(context, tried.versions["twin"])
    context = open_home(tried.home)
    report = run(context)
    assert report.anomalies_detected > 0
    seen = experiments.get(context, TENANT, number)
    assert seen.state == "failed"
    assert "failed to score in 1 of 1 runs" in seen.reason


def test_a_rare_failure_is_forgiven_and_the_champion_steps_in(
    tried: Tried, open_home: OpenHome
) -> None:
    context = open_home(tried.home)
    view = started(context, tried.versions["twin"])
    sound = {"stage": "canary", "share": 0.5, "since": "2026-03-14", "day": "2026-03-14", "run": 1}
    looks = [{**sound, "seconds": [1.0, 1.0], "alerts": [9, 9], "missing": 0.0}] * 120
    change(context, view.id, stage="canary", share=0.5, looks=looks)
    damage(context, tried.versions["twin"])
    context = open_home(tried.home)
    report = run(context)
    assert {alert.model_version for alert in report.alerts} == {view.control}
    assert [note for note in report.notes if "the champion decided for everybody" in note]
    seen = experiments.get(context, TENANT, view.id)
    assert (seen.state, len(seen.looks)) == ("running", 121)
    routed = experiments.decisions(context, TENANT, view.id, limit=1000)["decisions"]
    assert {row["version"] for row in routed} == {view.control}


def test_days_that_a_run_judges_no_more_stay_as_they_were_last_seen(
    tried: Tried, open_home: OpenHome
) -> None:
    """A rung may last for months; a run looks at the newest two weeks."""
    context = open_home(tried.home)
    view = started(context, tried.versions["twin"])
    early = {"stage": "shadow", "share": 0.0, "since": "2026-02-01", "day": "2026-02-01", "run": 1}
    change(
        context, view.id, looks=[{**early, "seconds": [1.0, 1.0], "alerts": [1, 1], "missing": 0.0}]
    )
    log, at = context.metrics.routing, rollout_rung(view)
    seen = {
        "unit": np.array(["keyword:before"], dtype=object),
        "day": np.array(["2026-02-01"], dtype="datetime64[D]"),
        "treated": np.array([False]),
        **{name: np.array([7]) for name in ("rows", "control_alerts", "treatment_alerts")},
    }
    none = {name: values[:0] for name, values in seen.items() if name in ("unit", "day", "treated")}
    none |= {"entity": none["unit"]} | {
        f"{side}_{what}": np.empty(0, dtype=float if what == "p" else bool)
        for side in ("control", "treatment")
        for what in ("p", "alarm")
    }
    log.observe(TENANT, at, since=date(2026, 2, 1), exposures=seen, alarms=none)
    for _ in range(2):
        run(context)
        units = log.units(TENANT, at)
        rows = dict(zip(units["unit"], units["rows"], strict=True))
        # ten days of the window are judged with all that came before them
        assert rows.pop("keyword:before") == 7
        assert max(rows.values()) == 10


def rollout_rung(view: ExperimentView) -> Rung:
    return Rung(view.id, view.stage, view.share)


def damage(context: Context, version: str) -> None:
    """Make a version unreadable."""
    manifests = context.settings.home.rglob("manifest.json")
    folder = next(path for path in manifests if version in str(path)).parent
    next(path for path in folder.iterdir() if path.name != "manifest.json").write_bytes(b"no model")


def test_another_champion_ends_the_experiment(tried: Tried, open_home: OpenHome) -> None:
    context = open_home(tried.home)
    number = started(context, tried.versions["twin"]).id
    now = context.registry.store.alias(TENANT, "ads", "champion")
    assert now is not None
    context.registry.promote(
        TENANT, "ads", tried.versions["quiet"], seen=now.version, actor="ana", reason="test"
    )
    run(context)
    seen = experiments.get(context, TENANT, number)
    assert seen.state == "failed"
    assert f"{tried.versions['quiet']} scores now" in seen.reason


def test_the_better_treatment_is_found_in_shadow_and_climbs_the_ladder(
    tried: Tried, open_home: OpenHome
) -> None:
    """People call every alert false and the treatment would have kept silent: it agrees with them."""
    context = open_home(tried.home)
    labelled = label_all(context, "false alarm")
    view = started(
        context, tried.versions["quiet"], metric="agreement", mde=60.0, unit="entity", days=14
    )
    with pytest.raises(ConflictError, match="No detection run has looked at this rung yet"):
        experiments.advance(context, TENANT, view.id, actor="ana")
    run(context)
    seen = experiments.get(context, TENANT, view.id)
    assert (seen.state, seen.verdict, seen.stage) == ("running", "deploy", "shadow")
    assert seen.looks[-1]["rows"] == labelled
    assert seen.said.startswith("Deploy. +100.00 % of labelled alerts (")
    assert len(experiments.disagreements(context, TENANT, view.id, limit=1000)) == labelled
    for share in rollout.LADDER:
        climbed = experiments.advance(context, TENANT, view.id, actor="ana")
        assert (climbed.stage, climbed.share, climbed.guardrails) == ("canary", share, {})
        run(context)
    assert experiments.get(context, TENANT, view.id).following == "finish"
    done = experiments.advance(context, TENANT, view.id, actor="ana")
    assert (done.state, done.verdict) == ("completed", "deploy")
    assert done.reason == "the ladder was climbed without a fault."


def test_the_worse_treatment_is_rejected_in_shadow(tried: Tried, open_home: OpenHome) -> None:
    context = open_home(tried.home)
    label_all(context, "false alarm")
    view = started(
        context, tried.versions["quiet"], metric="agreement", mde=60.0, unit="entity", days=14
    )
    label_all(context, "real")
    report = run(context)
    seen = experiments.get(context, TENANT, view.id)
    assert (seen.state, seen.verdict) == ("completed", "reject")
    assert f"Experiment {view.id} ended: the treatment is worse." in report.notes


def test_stopping_gives_everything_back_to_the_champion(tried: Tried, open_home: OpenHome) -> None:
    context = open_home(tried.home)
    view = started(context, tried.versions["quiet"])
    with pytest.raises(InvalidInputError, match="the reason must be given"):
        experiments.stop(context, TENANT, view.id, actor="ana", reason=" ")
    with pytest.raises(ConflictError, match="still at version 1"):
        experiments.stop(context, TENANT, view.id, actor="ana", reason="enough", seen=1)
    stopped = experiments.stop(context, TENANT, view.id, actor="ana", reason="enough")
    assert (stopped.state, stopped.reason) == ("failed", "Stopped by ana: enough")
    run(context)
    assert experiments.get(context, TENANT, view.id).looks == []
    with pytest.raises(ConflictError, match="Plan a new one"):
        experiments.start(context, TENANT, view.id, actor="ana")
    assert [row.id for row in experiments.listing(context, TENANT)] == [view.id]


# ── A rung, without an account ───────────────────────────────────────────────────────────────────


def row(**fields: Any) -> Experiment:
    known: dict[str, Any] = {
        "tenant": TENANT,
        "id": 1,
        "domain": "ads",
        "name": "one",
        "control": "v1",
        "treatment": "v2",
        "metric": "precision",
        "effect": 0.1,
        "units": 200,
        "days": 14,
        "salt": "s",
        "stage": "canary",
        "share": 0.5,
    }
    return Experiment(**{**known, **fields})


def tally(control: float, treatment: float, units: int = 100, rows: int = 20) -> targets.Tally:
    """Two arms of units with those shares of right rows."""
    treated = np.arange(2 * units) % 2 == 1
    share = np.where(treated, treatment, control)
    draws = np.random.default_rng(1)
    right = draws.binomial(rows, share).astype(float)
    return targets.Tally(treated, np.full(2 * units, float(rows)), right, right, 14)


@pytest.mark.parametrize(
    ("control", "treatment", "word"),
    [
        (0.6, 0.8, "deploy"),
        (0.8, 0.6, "reject"),
        (0.7, 0.7, "inconclusive: small effect"),
    ],
)
def test_two_arms_end_in_the_specifications_words(
    control: float, treatment: float, word: str
) -> None:
    look = trial.measure(row(), tally(control, treatment), 14)
    assert look["word"] == word
    assert look["low"] < look["value"] < look["high"]
    assert look["value"] == pytest.approx(treatment - control, abs=0.04)
    assert np.sign(look["d"][0]) == np.sign(look["value"])


@pytest.mark.parametrize(
    ("day", "difference", "word"),
    [
        (1, 0.0, "inconclusive: need more data"),
        (1, 0.08, "inconclusive: need more data"),
        (1, 0.3, "deploy"),
        (14, 0.0, "inconclusive: small effect"),
        (14, 0.08, "deploy"),
    ],
)
def test_many_units_do_not_end_it_before_its_days_are_over(
    day: int, difference: float, word: str
) -> None:
    """Half the rows of a day would show the effect that was planned; all days together show one of .03."""
    found = row(effect=0.15, plan={"detectable": 0.03})
    assert trial.measure(found, tally(0.5, 0.5 + difference, 100, 5 * day), day)["word"] == word


def test_a_low_rung_shows_figures_and_no_verdict() -> None:
    look = trial.measure(row(share=0.05), tally(0.6, 0.8), 14)
    assert look["word"] == ""
    assert look["value"] > 0.1
    assert trial.measure(row(stage="shadow", share=0.0), tally(0.6, 0.8), 14).keys() == {
        "days",
        "rows",
        "units",
    }


def looked(**fields: Any) -> dict[str, Any]:
    sound = {"seconds": [1.0, 1.0], "alerts": [10, 10], "missing": 0.0, "split_p": 0.5}
    return {**sound, "split": [50, 50], **fields}


@pytest.mark.parametrize(
    ("fields", "name", "said"),
    [
        ({"alerts": [10, 21]}, "alert volume", "21 alerts where the champion raises 10"),
        ({"missing": 0.02}, "missing scores", "2.0 % of the entity-days"),
        ({"seconds": [1.0, 2.1]}, "latency", "up to 2.10 s, the champion 1.00 s"),
        ({"split_p": 0.0005, "split": [70, 30]}, "split", "30 of 100 units are treated, 50 %"),
        ({"error": "no such file"}, "errors", "failed to score in 1 of 1 runs (no such file)"),
    ],
)
def test_each_guardrail_trips_and_says_why(fields: dict[str, Any], name: str, said: str) -> None:
    checks = trial.guardrails([looked(**fields)], row())
    assert [key for key, check in checks.items() if not check["ok"]] == [name]
    assert said in checks[name]["said"]


def test_a_few_alerts_more_and_moments_longer_trip_nothing() -> None:
    checks = trial.guardrails([looked(alerts=[0, 5], seconds=[0.01, 0.9])], row())
    assert all(check["ok"] for check in checks.values())


def test_one_failure_in_a_hundred_runs_is_forgiven() -> None:
    sound = [looked() for _ in range(99)]
    assert trial.guardrails([looked(error="x"), *sound], row())["errors"]["ok"]
    assert not trial.guardrails([looked(error="x"), *sound[:50]], row())["errors"]["ok"]


def test_an_alert_starts_once_an_episode() -> None:
    alarm = np.zeros((2, 12), dtype=bool)
    alarm[0, [0, 1, 5, 10]] = True
    alarm[1, [3]] = True
    # three calm days within one episode, four between two
    assert np.argwhere(targets.starts(alarm, 3)).tolist() == [[0, 0], [0, 10], [1, 3]]


def test_minutes_are_folded_to_days() -> None:
    """Two days of one minute in ten; what goes on at the beginning may have begun before."""
    labels = np.arange("2026-03-01T12:00", "2026-03-03", 10, dtype="datetime64[m]")
    p_values = np.full((2, len(labels)), 0.5)
    nights = labels >= np.datetime64("2026-03-02")
    p_values[0, :3] = 1e-6
    begin = int(np.argmax(nights))
    for place in (
        begin + 1,
        begin + 40,
    ):  # two episodes of the second day, further apart than a pause
        p_values[0, place : place + 2] = 1e-6
    p_values[1, begin + 9] = np.nan
    domain = SimpleNamespace(
        pause=np.timedelta64(30, "m"), step=np.timedelta64(10, "m"), lasting=np.timedelta64(0, "m")
    )
    scene = SimpleNamespace(
        reach=len(labels),
        domain=domain,
        panel=SimpleNamespace(entities=("a", "b"), periods=SimpleNamespace(labels=labels)),
        residual=SimpleNamespace(values=np.zeros((2, len(labels), 1))),
    )
    judged = Judged(p_values, {}, 0.01)
    nobody = np.zeros(2, dtype=bool)
    seen = targets.Observed.of(scene, judged, judged, ["a", ""], nobody)  # type: ignore[arg-type]
    assert seen.days.astype(str).tolist() == ["2026-03-01", "2026-03-02"]
    assert seen.whole == date(2026, 3, 2)
    exposures = seen.exposures(seen.whole)
    assert [exposures[name].tolist() for name in ("unit", "rows", "control_alerts")] == [
        ["a"],
        [1],
        [2],
    ]
    assert seen.control_p[0].tolist() == [1e-6, 1e-6] and seen.seen.all()
    assert seen.alarms(seen.whole)["entity"].tolist() == ["a"]
