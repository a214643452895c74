"""Detection runs over a real small account: what they save, what they must not double, and what they serve with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.detectors.half_space_trees import HalfSpaceTrees
from core.errors import (
    CancelledError,
    ChecksumMismatchError,
    NotEnoughDataError,
    UnknownNameError,
)
from data import alert_feed, run_store
from data.alert_feed import Filters
from data.records import Alert, DetectionRun, Incident
from workbench.context import Context
from workbench.services import demo, detect, ingest, scorer, training
from workbench.services import scene as scenes
from workbench.services.detect import DetectionReport

TENANT = "local"
OpenHome = Callable[..., Context]
CHEAP = "robust-z"
"""A detector that is fitted in no time, where the test is not about the detector."""


def run(context: Context, **options: Any) -> DetectionReport:
    return detect.detect(context, TENANT, actor="ana", **options)


def kept(context: Context) -> dict[int, Alert]:
    """Every active alert, muted ones too, by number."""
    page = context.records.read(
        TENANT,
        lambda session: alert_feed.page(
            session, tenant=TENANT, filters=Filters(muted=None), limit=1000
        ),
    )
    return {row.id: row for row in page.rows}


def told(alerts: list[Alert]) -> list[tuple[Any, ...]]:
    """What an alert says of the world, without its number and times of saving."""
    facts = (
        (row.entity, row.onset, row.day, row.severity, round(row.score, 6), row.sentence)
        for row in alerts
    )
    return sorted(facts, key=str)


def latest(context: Context) -> DetectionRun:
    found = context.records.read(
        TENANT, lambda session: run_store.latest(session, tenant=TENANT, domain="ads")
    )
    assert found is not None
    return found


def test_planted_incidents_are_found_with_their_roots(
    detected: Path, world: Path, open_home: OpenHome
) -> None:
    report = run(open_home(detected))
    assert report.total_entities_checked == 186
    assert report.anomalies_detected == len(report.alerts) == sum(report.severity_counts.values())
    found = [demo.stored(row, report.alerts) for row in report.incidents]
    result = demo.against_truth(world, found)
    assert (result.incidents, result.found, result.root_top1, result.false_alarms) == (3, 3, 3, 0)
    assert set(report.seconds) == {"detect", "train", "cause", "explain", "save"}
    assert report.notes == []


def test_running_again_doubles_nothing(detected: Path, open_home: OpenHome) -> None:
    context = open_home(detected)
    before = kept(context)
    report = run(context)
    assert report.created == 0
    assert kept(context).keys() == before.keys()
    assert {row.id for row in report.incidents} == {1, 2, 3}
    again = latest(context)
    assert (again.id, again.state, again.entities_checked) == (report.run_id, "done", 186)


def test_a_run_of_one_level_leaves_the_other_alerts_where_they_were(
    detected: Path, open_home: OpenHome
) -> None:
    context = open_home(detected)
    before = kept(context)
    sizes = {row.id: row.alerts for row in run(context).incidents}
    report = run(context, level="campaign")
    assert report.total_entities_checked == 6
    assert {row.level for row in report.alerts} == {"campaign"}
    after = kept(context)
    assert {n: (row.status, row.incident_id, row.muted_by) for n, row in after.items()} == {
        n: (row.status, row.incident_id, row.muted_by) for n, row in before.items()
    }
    assert {row.id: row.alerts for row in report.incidents}.items() <= sizes.items()


def test_a_profile_is_named_with_or_without_its_level(detected: Path, open_home: OpenHome) -> None:
    context = open_home(detected)
    profile = next(
        row.entity.removeprefix("profile:")
        for row in kept(context).values()
        if row.level == "profile"
    )
    whole = run(context)
    for name in (profile, f"profile:{profile}"):
        assert told(run(context, profile=name).alerts) == told(whole.alerts)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"domain": "nope"}, "the domain must be one of ads"),
        ({"level": "shop"}, "the level must be one of profile, portfolio"),
        ({"profile": "1"}, "the profile must be one that was imported. Got '1'"),
        ({"detector": "magic"}, "the detector must be one of robust-z"),
        ({"detector": "tree-scan"}, "the detector must be one of"),
        ({"detector": "seasonal-naive"}, "the detector must be one of"),
    ],
)
def test_a_wrong_choice_names_the_right_ones(
    detected: Path, open_home: OpenHome, options: dict[str, str], rule: str
) -> None:
    with pytest.raises(UnknownNameError, match=rule):
        run(open_home(detected), **options)


def test_a_run_that_finds_nothing_says_how_far_from_certain_the_oddest_day_was() -> None:
    lowest = scenes.Judged(np.ones((1, 1)), {}, alpha=0.0, lowest=0.002, days=5_000)
    assert "The oddest of 5,000 entity-days has a p-value of 0.002." in lowest.silence
    assert "would have to reach 1e-05" in lowest.silence
    found = scenes.Judged(np.ones((1, 1)), {}, alpha=0.003, lowest=1e-9, days=5_000)
    calm = scenes.Judged(np.ones((1, 1)), {}, alpha=0.0, lowest=0.4, days=3)
    assert (found.silence, calm.silence) == ("", "")


def test_an_empty_home_says_what_to_do(tmp_path: Path, open_home: OpenHome) -> None:
    (tmp_path / "empty").mkdir()
    context = open_home(tmp_path / "empty")
    with pytest.raises(NotEnoughDataError) as failed:
        run(context)
    assert "headwater import PATH" in failed.value.hint and "services" in failed.value.hint
    assert (latest(context).state, latest(context).error) == ("failed", failed.value.message)


@pytest.mark.parametrize(
    ("choice", "parts"),
    [
        ("lstm", {"lstm-autoencoder"}),
        ("streaming", {"half-space-trees"}),
        ("isolation_forest", {"isolation-forest"}),
        ("robust-z", {"robust-z"}),
        ("ensemble", {"lstm-autoencoder", "half-space-trees", "isolation-forest"}),
        ("vote-50-30-20", {"lstm-autoencoder", "half-space-trees", "isolation-forest"}),
    ],
)
def test_each_choice_of_detector_works_and_names_itself(
    detected: Path, open_home: OpenHome, choice: str, parts: set[str]
) -> None:
    context = open_home(detected)
    report = run(context, detector=choice)
    assert report.anomalies_detected > 0
    assert {frozenset(row.parts) for row in report.alerts} == {frozenset(parts)}
    assert latest(context).detector == choice
    assert latest(context).model_version == report.model_version
    assert {row.model_version for row in report.alerts} == {report.model_version}
    served = context.registry.store.get(TENANT, report.model_version)
    assert served.name == (choice if choice == "vote-50-30-20" else "ensemble")
    again = run(context, detector=choice)
    assert again.model_version == report.model_version  # fitted once
    assert again.created == 0


def test_the_past_sees_only_what_was_known_then(imported: Path, open_home: OpenHome) -> None:
    context = open_home(imported)
    then = datetime(2026, 3, 12, 20, tzinfo=UTC)
    past = run(context, at=then, detector=CHEAP)
    assert past.anomalies_detected > 20
    assert max(row.day for row in past.alerts) == datetime(2026, 3, 11, tzinfo=UTC).date()
    # the same as if the later downloads had never come
    for batch in ingest.batches(context, TENANT):
        if batch.as_of.replace(tzinfo=UTC) > then and batch.report.startswith("sp"):
            ingest.undo_batch(context, TENANT, batch.id)
    assert told(run(context, detector=CHEAP).alerts) == told(past.alerts)


def test_a_calendared_promotion_raises_no_incident(
    detected: Path, world: Path, open_home: OpenHome
) -> None:
    context = open_home(detected)
    decoys = json.loads((world / "truth" / "decoys.json").read_text())
    promoted = next(row for row in decoys if row["decoy"] == "D01" and row["to"] >= "2026-03-01")
    scene = scenes.look(context, TENANT)
    scope = f"{promoted['level']}:{promoted['entity_id']}"
    days = scene.panel.periods.labels.astype("datetime64[D]")
    within = (days >= np.datetime64(promoted["from"])) & (days <= np.datetime64(promoted["to"]))
    served = context.serve.champion(TENANT, "ads")
    row = scene.panel.row_of[scope]
    assert within.sum() == 3
    assert not [
        incident
        for incident in run(context).incidents
        if incident.root_entity == scope or promoted["from"] <= str(incident.onset)[:10]
    ]
    # told nothing of the calendar, the same days stand out
    usual = scenes.judge(scene, scorer.resumed(context, TENANT, served)).p_values[row, within]
    for batch in ingest.batches(context, TENANT):
        if batch.source.endswith("calendar.csv"):
            ingest.undo_batch(context, TENANT, batch.id)
    naive = scenes.look(context, TENANT)
    bare = scenes.judge(naive, scorer.resumed(context, TENANT, served)).p_values[row, within]
    assert bare.min() < usual.min()


def test_each_day_teaches_the_streaming_part_once_also_across_restarts(
    imported: Path, world: Path, open_home: OpenHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[int] = []
    update = HalfSpaceTrees.update

    def counted(self: HalfSpaceTrees, state: Any, points: Any) -> Any:
        learned.append(len(points))
        return update(self, state, points)

    context = open_home(imported)
    for batch in ingest.batches(context, TENANT):
        if batch.as_of.date() >= datetime(
            2026, 3, 14, tzinfo=UTC
        ).date() and batch.report.startswith("sp"):
            ingest.undo_batch(context, TENANT, batch.id)
    first = run(context, detector="streaming")
    monkeypatch.setattr(HalfSpaceTrees, "update", counted)
    assert until(context, first) == "2026-02-26"  # the newest day but the window of 14

    context = open_home(imported)
    assert until(context, first) == "2026-02-26"
    ingest.import_paths(context, TENANT, [world / "2026-03-14", world / "2026-03-15"])
    second = run(context, detector="streaming")
    assert second.model_version == first.model_version
    assert until(context, second) == "2026-02-28"
    assert len(learned) == 2

    context = open_home(imported)
    run(context, detector="streaming")
    assert until(context, second) == "2026-02-28"
    assert len(learned) == 2


def until(context: Context, report: DetectionReport) -> str:
    """The last day that the streaming part has learned."""
    row = context.records.read(
        TENANT,
        lambda session: run_store.load_stream(
            session,
            tenant=TENANT,
            domain="ads",
            detector="half-space-trees",
            model_version=report.model_version,
        ),
    )
    assert row is not None
    return str(row.until)


def spoil(context: Context, version: str) -> None:
    """Flip one byte of a model file."""
    (file,) = context.registry.root.glob(f"*/{version}/arrays.safetensors")
    file.chmod(0o600)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_a_spoiled_champion_is_replaced_by_the_last_good_one_with_a_notice(
    detected: Path, open_home: OpenHome
) -> None:
    context = open_home(detected)
    good = context.serve.champion(TENANT, "ads").version
    scene = scenes.look(context, TENANT)
    history = scorer.training_part(scene.residual, scene.domain.window)
    newer = training.fit_champion(
        context, TENANT, history, domain="ads", params={"parts": "robust-z=1"}, actor="ana"
    )
    spoil(context, newer.id)
    report = run(context)
    assert report.model_version == latest(context).model_version == good.id
    assert {row.model_version for row in report.alerts} == {good.id}
    assert report.anomalies_detected > 50
    (notice,) = report.notes
    assert notice.startswith(f"Champion {newer.id} was refused, {good.id} serves: ")
    assert latest(context).notes == report.notes


def test_a_spoiled_champion_without_a_predecessor_is_a_clear_error(
    detected: Path, open_home: OpenHome
) -> None:
    context = open_home(detected)
    champion = context.serve.champion(TENANT, "ads").version
    context = open_home(detected)  # nothing of it in memory
    spoil(context, champion.id)
    before = kept(context)
    with pytest.raises(ChecksumMismatchError) as failed:
        run(context)
    assert failed.value.hint == scorer.CURE
    assert latest(context).state == "failed"
    assert kept(context).keys() == before.keys()


def test_a_spoiled_version_of_another_detector_is_fitted_again(
    detected: Path, open_home: OpenHome
) -> None:
    first = run(open_home(detected), detector=CHEAP)
    context = open_home(detected)  # nothing of it in memory
    spoil(context, first.model_version)
    second = run(context, detector=CHEAP)
    assert second.model_version != first.model_version
    assert second.notes[0].startswith(f"Version {first.model_version} was refused: ")
    assert told(second.alerts) == told(first.alerts)


@pytest.mark.parametrize("stage", ["train", "cause", "save"])
def test_a_cancelled_run_keeps_nothing(imported: Path, open_home: OpenHome, stage: str) -> None:
    context = open_home(imported)
    with pytest.raises(CancelledError, match=f"a stop at {stage}"):
        run(context, detector=CHEAP, on_step=lambda name, *_: name != stage)
    assert kept(context) == {}
    assert latest(context).state == "failed"


def test_a_run_may_leave_out_explanation_and_cause(detected: Path, open_home: OpenHome) -> None:
    context = open_home(detected)
    with_cause: list[Incident] = run(context).incidents
    report = run(context, explain=False, cause=False)
    assert len(with_cause) == 3
    assert report.incidents == []
    assert not {"explain", "cause"} & set(report.seconds)


def test_a_champion_that_learned_other_metrics_is_stood_in_for_and_says_so(
    detected: Path, open_home: OpenHome
) -> None:
    context = open_home(detected)
    champion = context.serve.champion(TENANT, "ads").version.id
    scene = scenes.look(context, TENANT)
    fewer = scene.residual.select(metrics=scene.residual.metrics[:2])
    asked: dict[str, Any] = {"domain": "ads", "detector": "ensemble", "actor": "ana"}
    narrow = dataclasses.replace(scene, residual=fewer)
    served = scorer.serve(context, TENANT, narrow, **asked)
    assert served.version.id != champion and scorer.knows(served, narrow)
    assert champion in served.notice and "other metrics" in served.notice
    again = scorer.serve(context, TENANT, narrow, **asked)
    assert again.version.id == served.version.id
    assert scorer.serve(context, TENANT, scene, **asked).version.id == champion
