"""What people said of alerts, as cells of a panel; and that a labelled incident teaches nothing."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from core import artifact
from core.cases import Graph
from core.contracts import Panel
from core.ensembles.calibrated import calibrated
from data import alert_store, audit_store, incident_store, label_store
from data.records import NewLabel
from tests.core.ads_world import account
from tests.findings import new_alert, new_incident
from tests.workbench import small_account
from tests.workbench.small_account import BROKEN, NOW, TENANT
from workbench.context import Context
from workbench.services import labelled
from workbench.services import scene as scenes

WHO: dict[str, Any] = {"tenant": TENANT, "actor": "ana", "now": NOW}


@pytest.fixture
def ctx(tmp_path: Path) -> Any:
    with small_account.opened(tmp_path) as context:
        yield context


def raise_alerts(ctx: Context, *found: Any) -> tuple[int, ...]:
    return ctx.records.write(
        TENANT, lambda session: alert_store.upsert(session, found=list(found), **WHO)
    ).ids


def label(ctx: Context, disposition: str, **about: Any) -> None:
    verdict = NewLabel(entity="", disposition=disposition, **about)
    ctx.records.write(TENANT, lambda session: label_store.add(session, label=verdict, **WHO))


def episode(entity: str, first: date, last: date) -> Any:
    midnight = datetime(first.year, first.month, first.day, tzinfo=UTC)
    return new_alert(
        entity, onset=midnight, last_seen=midnight + (last - first), day=last, severity="high"
    )


def panel_of(ctx: Context) -> Panel:
    return cast(Panel, ctx.metrics.panel(TENANT, "ads"))


def days_of(panel: Panel) -> list[date]:
    return list(panel.periods.labels.astype("datetime64[D]").astype(date))


def held(cells: Any, panel: Panel) -> dict[str, list[int]]:
    return {
        panel.entities[row]: np.flatnonzero(cells[row]).tolist()
        for row in np.flatnonzero(cells.any(axis=1))
    }


def test_an_open_alert_is_out_of_training_but_not_of_the_expectation(ctx: Context) -> None:
    panel = panel_of(ctx)
    days = days_of(panel)
    raise_alerts(ctx, episode(BROKEN, days[40], days[43]), episode("campaign:gone", *days[40:42]))
    assert held(labelled.mask(ctx, TENANT, "ads", panel), panel) == {BROKEN: [40, 41, 42, 43]}
    assert not labelled.known_odd(ctx, TENANT, "ads", panel).any()


@pytest.mark.parametrize(
    ("disposition", "training", "expectation", "said"),
    [
        ("real", True, True, "real"),
        ("Real", True, True, "real"),
        ("duplicate", True, True, "real"),
        ("data error", True, True, "doubtful"),
        ("expected", False, False, "normal"),
        ("false alarm", False, False, "normal"),
        ("unsure", False, False, "doubtful"),
    ],
)
def test_a_verdict_says_what_a_day_may_teach(
    ctx: Context, disposition: str, training: bool, expectation: bool, said: str
) -> None:
    panel = panel_of(ctx)
    days = days_of(panel)
    (number,) = raise_alerts(ctx, episode(BROKEN, days[40], days[43]))
    label(ctx, disposition, alert_id=number)
    resolve(ctx, number)
    assert labelled.mask(ctx, TENANT, "ads", panel).any() == training
    assert labelled.known_odd(ctx, TENANT, "ads", panel).any() == expectation
    found = labelled.said(panel, labelled.episodes(ctx, TENANT, "ads"))
    cells = {name: held(getattr(found, name), panel) for name in ("real", "normal", "doubtful")}
    assert {name for name, some in cells.items() if some} == {said}


def resolve(ctx: Context, number: int) -> None:
    """Resolve it, so that only the verdict counts."""
    ctx.records.write(TENANT, lambda session: alert_store.resolve(session, alert_id=number, **WHO))


def test_the_verdict_on_an_incident_is_one_on_all_its_alerts_unless_they_have_their_own(
    ctx: Context,
) -> None:
    panel = panel_of(ctx)
    days = days_of(panel)
    other, third = panel.entities[1], panel.entities[2]
    numbers = raise_alerts(
        ctx, *(episode(entity, days[40], days[41]) for entity in (BROKEN, other, third))
    )
    (incident,) = ctx.records.write(
        TENANT,
        lambda session: incident_store.upsert(session, found=[new_incident(BROKEN)], **WHO),
    ).ids
    ctx.records.write(
        TENANT,
        lambda session: incident_store.attach(
            session, incident_id=incident, alert_ids=list(numbers), **WHO
        ),
    )
    label(ctx, "expected", incident_id=incident)
    label(ctx, "real", incident_id=incident, cause="bid_up")
    label(ctx, "false alarm", alert_id=numbers[2])
    found = labelled.episodes(ctx, TENANT, "ads")
    assert [(one.entity, one.disposition, one.cause) for one in found] == [
        (BROKEN, "real", "bid_up"),
        (other, "real", "bid_up"),
        (third, "false alarm", "budget"),
    ]
    said = labelled.said(panel, found)
    assert set(held(said.real, panel)) == {BROKEN, other}
    assert set(held(said.normal, panel)) == {third}


def test_a_verdict_that_was_taken_back_or_given_later_is_none(ctx: Context) -> None:
    panel = panel_of(ctx)
    days = days_of(panel)
    (number,) = raise_alerts(ctx, episode(BROKEN, days[40], days[43]))
    before = ctx.records.read(TENANT, lambda session: label_store.revision(session, tenant=TENANT))
    label(ctx, "real", alert_id=number)
    earlier = NOW - timedelta(minutes=1)
    assert not labelled.known_odd(ctx, TENANT, "ads", panel, until=earlier).any()
    assert labelled.known_odd(ctx, TENANT, "ads", panel, until=NOW).any()
    given = ctx.records.read(TENANT, lambda session: label_store.revision(session, tenant=TENANT))
    ctx.records.write(TENANT, lambda session: audit_store.undo(session, **WHO))
    assert not labelled.known_odd(ctx, TENANT, "ads", panel).any()
    after = ctx.records.read(TENANT, lambda session: label_store.revision(session, tenant=TENANT))
    assert len({before, given, after}) == 3


# ── A labelled incident teaches nothing ──────────────────────────────────────────────────────────


def broken(panel: Panel, graph: Graph, share: float) -> Panel:
    """The account when one campaign and all beneath it keep only a share of their numbers on days 30 to 40."""
    values = panel.values.copy()
    days = slice(30, 41)
    lost = (1 - share) * values[panel.row_of[BROKEN], days]
    for entity in (BROKEN, *graph.descendants(BROKEN, 5)):
        values[panel.row_of[entity], days] *= share
    for entity in graph.ancestors(BROKEN, 5):
        values[panel.row_of[entity], days] -= lost
    return panel.with_values(values)


def test_a_labelled_incident_changes_neither_the_expectation_nor_what_is_learned(
    ctx: Context,
) -> None:
    normal, graph = account(shape=(1, 2, 4, 2, 4), days=75)
    days = days_of(normal)
    mild, severe = (broken(normal, graph, share) for share in (0.35, 0.02))
    touched = (BROKEN, *graph.descendants(BROKEN, 5), *graph.ancestors(BROKEN, 5))

    def learned(panel: Panel) -> tuple[scenes.Scene, bytes]:
        ctx.metrics.data = (panel, graph)  # type: ignore[attr-defined]
        scene = scenes.look(ctx, TENANT)
        ensemble = calibrated("robust-z")
        ensemble.fit(scene.residual, labelled.mask(ctx, TENANT, "ads", scene.residual))
        return scene, b"".join(artifact.pack(ensemble.state).values())

    def rates(scene: scenes.Scene) -> Any:
        return np.stack(scene.baseline.rates)

    first, second = learned(mild), learned(severe)
    assert not np.array_equal(rates(first[0]), rates(second[0]), equal_nan=True)
    assert first[1] != second[1]

    numbers = raise_alerts(ctx, *(episode(entity, days[30], days[40]) for entity in touched))
    for number in numbers:
        label(ctx, "real", alert_id=number)
    first, second = learned(mild), learned(severe)
    for field in ("rates", "extra", "scale", "noise"):
        for one, other in zip(
            getattr(first[0].baseline, field), getattr(second[0].baseline, field), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    assert first[1] == second[1]
    # the days themselves are judged all the same
    row = first[0].panel.row_of[BROKEN]
    assert np.nanmin(first[0].residual.values[row, 30:40, 0]) < -4


def test_what_a_first_champion_learns_leaves_labelled_days_out(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models import train as training
    from workbench.services import scorer

    panel = panel_of(ctx)
    days = days_of(panel)
    raise_alerts(ctx, episode(BROKEN, days[40], days[43]))
    given: dict[str, Any] = {}

    def train(history: Panel, *, labels: Any, **_: Any) -> Any:
        given.update(history=history, labels=labels)
        raise InterruptedError

    monkeypatch.setattr(training, "train", train)
    store = type("Store", (), {"versions": lambda *_: []})()
    context = dataclasses.replace(ctx, registry=cast(Any, type("R", (), {"store": store})()))
    scene = scenes.look(context, TENANT)
    with pytest.raises(InterruptedError):
        scorer.serve(context, TENANT, scene, domain="ads", detector="robust-z", actor="ana")
    history = given["history"]
    (row,) = np.flatnonzero(given["labels"].any(axis=1))
    assert history.entities[row] == BROKEN
    kept = history.periods.labels[given["labels"][row]].astype("datetime64[D]").astype(date)
    assert list(kept) == days[40:44]
