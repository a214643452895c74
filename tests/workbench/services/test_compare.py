"""Champion and challenger on the same days: what is compared, what would change, and that it then does."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from core.errors import InvalidInputError, NotFoundError
from core.evaluate.compare import labels_to_tell
from data import alert_feed, alert_store, label_store
from data.alert_feed import Filters
from data.model_records import Comparison, StreamState
from data.records import Alert, NewLabel
from models import train
from tests.workbench.two_models import TENANT, challenge
from workbench.context import Context
from workbench.plain import plain
from workbench.services import compare, detect, labelled, scorer
from workbench.services import scene as scenes

OpenHome = Callable[..., Context]
KINDS = ("vanish", "severity", "appear")


@pytest.fixture
def ctx(detected: Path, open_home: OpenHome) -> Context:
    return open_home(detected)


def alerts(ctx: Context) -> dict[int, Alert]:
    """Every live alert by number, muted ones too."""
    chosen = Filters(muted=None)
    page = ctx.records.read(
        TENANT,
        lambda session: alert_feed.page(session, tenant=TENANT, filters=chosen, limit=1000),
    )
    return {row.id: row for row in page.rows}


def label(ctx: Context, disposition: str, cause: str = "", **about: Any) -> None:
    verdict = NewLabel(entity="", disposition=disposition, cause=cause, **about)
    ctx.records.write(
        TENANT,
        lambda session: label_store.add(
            session, tenant=TENANT, label=verdict, actor="ana", now=ctx.clock()
        ),
    )


def label_everything(ctx: Context) -> None:
    """The planted incidents are real, alerts on their own are not."""
    live = alerts(ctx).values()
    for incident in {row.incident_id for row in live if row.incident_id}:
        label(ctx, "real", incident_id=incident)
    for row in live:
        if not row.incident_id:
            label(ctx, "false alarm", alert_id=row.id)


def test_both_are_compared_on_days_that_neither_learned_from(ctx: Context) -> None:
    challenger = challenge(ctx)
    view = compare.compare(ctx, TENANT, actor="ana")
    assert view.challenger.id == challenger.id
    assert view.champion.learned_until == view.challenger.learned_until < view.first
    assert (view.last - view.first).days == 13
    assert (view.entities, view.notices) == (186, ())
    by_level = [part for part in view.slices if part.kind == "level"]
    assert sum(part.rows for part in by_level) == view.entity_days
    assert {dot.entity for dot in view.dots} == set(view.names)
    alarms = view.figure("alarms_a_day")
    assert alarms is not None
    assert alarms.champion.value * 14 == sum(part.champion for part in by_level)
    assert alarms.challenger.value * 14 == sum(part.challenger for part in by_level)


def test_without_labels_no_figure_says_who_is_right(ctx: Context) -> None:
    challenge(ctx)
    view = compare.compare(ctx, TENANT, actor="ana")
    assert (view.verdict.word, view.verdict.because) == ("inconclusive", "no labels")
    assert view.figure("f1") is None and view.labels.real == 0
    least = min(labels_to_tell(0.75), view.labels.open)
    assert f"{view.labels.open:,} entity-days: judging {least} of them" in view.sentence


def test_comparing_teaches_the_streaming_parts_nothing(ctx: Context) -> None:
    def streams() -> list[tuple[str, bytes]]:
        return ctx.records.read(
            TENANT,
            lambda session: [
                (row.model_version, row.state)
                for row in session.scalars(select(StreamState).where(StreamState.tenant == TENANT))
            ],
        )

    challenge(ctx, "half-space-trees=1", settings="half-space-trees.trees=10")
    before = streams()
    assert before
    first = compare.compare(ctx, TENANT, actor="ana")
    second = compare.compare(ctx, TENANT, actor="ana")
    assert streams() == before
    assert [(dot.champion, dot.challenger) for dot in first.dots] == [
        (dot.champion, dot.challenger) for dot in second.dots
    ]


def test_what_would_change_is_what_changes_once_the_challenger_is_promoted(ctx: Context) -> None:
    challenger = challenge(ctx)
    before = alerts(ctx)
    view = compare.compare(ctx, TENANT, actor="ana")
    assert view.open_alerts == len(before)
    told = {kind: [row for row in view.changed if row.kind == kind] for kind in KINDS}
    assert all(told.values())

    ctx.registry.promote(TENANT, "ads", challenger.id, actor="ana", reason="try it")
    report = detect.detect(ctx, TENANT, actor="ana")
    after = alerts(ctx)
    raised = {row.id for row in report.alerts}
    assert {row.alert for row in told["vanish"]} == set(before) - raised
    new = [after[number].entity for number in raised - set(before)]
    assert sorted(row.entity for row in told["appear"]) == sorted(new)
    severity = {
        number: (before[number].severity, row.severity)
        for number, row in after.items()
        if number in before and row.severity != before[number].severity
    }
    assert {row.alert: (row.before, row.after) for row in told["severity"]} == severity


def test_a_comparison_is_not_made_again_until_detection_runs(ctx: Context) -> None:
    challenge(ctx)
    first = compare.newest(ctx, TENANT, actor="ana")
    assert compare.newest(ctx, TENANT, actor="ben") == first
    detect.detect(ctx, TENANT, actor="ana")
    assert compare.newest(ctx, TENANT, actor="ben")["id"] == first["id"] + 1


def test_what_people_closed_neither_vanishes_nor_comes_back(ctx: Context) -> None:
    challenge(ctx)
    view = compare.compare(ctx, TENANT, actor="ana")
    gone = next(row for row in view.changed if row.kind == "vanish")
    other = next(row for row in view.changed if row.kind == "severity")
    for row in (gone, other):
        ctx.records.write(
            TENANT,
            lambda session, number=row.alert: alert_store.resolve(
                session, tenant=TENANT, alert_id=number, actor="ana", now=ctx.clock()
            ),
        )
    kept = compare.newest(ctx, TENANT, actor="ben")
    assert (kept["id"], kept["by"], kept["open_alerts"]) == (view.id, "ana", view.open_alerts - 2)
    now = compare.with_alerts(ctx, TENANT, view)
    assert kept["changed"] == plain(now.changed)
    assert now.open_alerts == view.open_alerts - 2
    left = {(row.kind, row.entity) for row in view.changed if row not in (gone, other)}
    assert {(row.kind, row.entity) for row in now.changed} == left
    assert {dot.alert for dot in now.dots} == {dot.alert for dot in view.dots} - {
        gone.alert,
        other.alert,
    }


def test_labels_give_figures_types_and_a_cost(ctx: Context, truth: list[dict[str, Any]]) -> None:
    challenge(ctx)
    label_everything(ctx)
    view = compare.compare(ctx, TENANT, actor="ana")
    scene = scenes.look(ctx, TENANT)
    late = scene.panel.select(times=slice(-14, None))
    said = labelled.said(late, labelled.episodes(ctx, TENANT, "ads"))
    assert (
        view.labels.real == said.real[np.isfinite(scene.residual.values[:, -14:]).any(axis=2)].sum()
    )
    recall = view.figure("recall")
    assert recall is not None
    # what is judged real is what the champion raised
    assert recall.champion.value == 1.0 > recall.challenger.value
    assert view.mcnemar is not None
    apart = view.mcnemar.champion_right + view.mcnemar.challenger_right
    assert 0 < apart < view.labels.real + view.labels.normal
    types = {part.name: part for part in view.slices if part.kind == "type"}
    assert set(types) == {row["cause_type"] for row in truth}
    assert all(part.real == part.rows == part.champion_real for part in types.values())
    best = {who: curve.cost(20.0)[curve.best(20.0)] for who, curve in view.costs.items()}
    assert best["champion"] <= best["challenger"]


def test_an_alarm_that_nobody_judged_counts_for_neither(ctx: Context) -> None:
    challenge(ctx)
    live = alerts(ctx)
    first = next(row for row in live.values() if row.incident_id)
    label(ctx, "real", incident_id=first.incident_id)
    view = compare.compare(ctx, TENANT, actor="ana")
    precision = view.figure("precision")
    assert precision is not None
    assert (precision.champion.value, precision.challenger.value) == (1.0, 1.0)
    false = view.figure("false_alarms_a_day")
    assert false is not None and false.champion.value == 0.0


def test_a_comparison_is_kept_as_it_stood(ctx: Context) -> None:
    challenger = challenge(ctx)
    view = compare.compare(ctx, TENANT, actor="ana")
    (row,) = ctx.records.read(
        TENANT,
        lambda session: list(
            session.scalars(select(Comparison).where(Comparison.tenant == TENANT))
        ),
    )
    assert (row.id, row.challenger, row.actor) == (view.id, challenger.id, "ana")
    assert row.verdict == row.report["verdict"]["word"] == view.verdict.word
    assert len(row.report["changed"]) == len(view.changed)
    assert json.loads(json.dumps(row.report)) == row.report


def test_days_that_taught_a_model_are_told(ctx: Context) -> None:
    scene = scenes.look(ctx, TENANT)
    trained = train.train(scene.residual, params={"parts": "robust-z=1"}, held_out=0.0)
    version = train.publish(ctx.registry, TENANT, "ads", trained, scene.residual, actor="ana")
    view = compare.compare(ctx, TENANT, challenger=version.id, actor="ana")
    assert view.challenger.learned_until == view.last == date(2026, 3, 14)
    assert "learned from 14 of these 14 days" in view.notices[0]


def test_what_cannot_be_compared_is_refused_by_name(ctx: Context, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="a challenger must be there for ads"):
        compare.compare(ctx, TENANT, actor="ana")
    champion = ctx.registry.store.alias(TENANT, "ads", "champion")
    assert champion is not None
    with pytest.raises(InvalidInputError, match="must be two different ones"):
        compare.compare(ctx, TENANT, challenger=champion.version_id, actor="ana")
    with pytest.raises(NotFoundError):
        compare.compare(ctx, TENANT, challenger="nobody", actor="ana")
    scene = scenes.look(ctx, TENANT)
    history = scorer.training_part(scene.residual, 14)
    alone = train.train(history, name="robust-z", held_out=0.0)
    version = train.publish(ctx.registry, TENANT, "ads", alone, history, actor="ana")
    with pytest.raises(InvalidInputError, match="must be a calibrated ensemble"):
        compare.compare(ctx, TENANT, challenger=version.id, actor="ana")


def test_an_empty_home_says_what_to_do(tmp_path: Path, open_home: OpenHome) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError) as failed:
        compare.compare(open_home(tmp_path / "empty"), TENANT, actor="ana")
    assert failed.value.hint == "Run: headwater detect"
