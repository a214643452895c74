"""What the Alert and Root cause pages are told of one alert, on an account with one broken campaign."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import NotEnoughDataError, NotFoundError, UnknownNameError
from data.records import Alert, NodeProposal
from tests.findings import NOW
from tests.workbench import small_account
from tests.workbench.small_account import BROKEN, TENANT, Tail
from workbench.context import Context
from workbench.services import alerts, investigate, proposals
from workbench.services import scene as scenes
from workbench.services.scene import Judged, Scene

ONSET, LAST = np.datetime64("2026-03-13"), np.datetime64("2026-03-16")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    with small_account.opened(tmp_path_factory.mktemp("home")) as opened:
        small_account.detect(opened)
        yield opened


@pytest.fixture(scope="module")
def scene(context: Context) -> Scene:
    return scenes.look(context, TENANT)


@pytest.fixture(scope="module")
def judged(scene: Scene) -> Judged:
    return scenes.judge(scene, Tail())


def alert_on(context: Context, entity: str) -> Alert:
    (alert,) = alerts.page(context, TENANT, filters={"entity": entity, "muted": True}).alerts
    return alert


def test_the_focus_is_the_channel_that_carries_the_score(
    context: Context, scene: Scene, judged: Judged
) -> None:
    view = investigate.alert_view(scene, judged, alert_on(context, BROKEN))
    assert view.focus == "impressions"
    assert (view.onset, view.last_day) == (ONSET, LAST)
    assert list(view.anomalous) == list(np.arange(ONSET, LAST + 1))


def test_curves_hold_every_channel_beside_what_was_expected(
    context: Context, scene: Scene, judged: Judged
) -> None:
    view = investigate.alert_view(scene, judged, alert_on(context, BROKEN))
    assert [curve.metric for curve in view.curves] == [
        *("impressions", "ctr", "cpc", "cvr", "aov"),
        *("clicks", "cost", "orders", "sales"),
    ]
    shown = view.curve("impressions")
    assert len(shown.days) == 60
    share = shown.observed[-4:].sum() / shown.expected[-4:].sum()
    assert share == pytest.approx(0.35, abs=0.04)
    quiet = slice(-30, -4)
    inside = np.abs(shown.observed - shown.expected)[quiet] <= 2.6 * shown.spread[quiet]
    assert inside.mean() > 0.9


def test_a_ratio_is_of_sums_and_follows_the_zero_rules(
    context: Context, scene: Scene, judged: Judged
) -> None:
    view = investigate.alert_view(scene, judged, alert_on(context, BROKEN))
    ctr, clicks, shown = (view.curve(name) for name in ("ctr", "clicks", "impressions"))
    assert ctr.observed == pytest.approx(clicks.observed / shown.observed)
    assert (ctr.spread[-20:] > 0).all() and ctr.unit == "share"


def test_late_sales_are_marked_as_still_arriving(
    context: Context, scene: Scene, judged: Judged
) -> None:
    view = investigate.alert_view(scene, judged, alert_on(context, BROKEN))
    assert view.curve("sales").settled[-1] == pytest.approx(0.6, abs=0.02)
    assert view.curve("sales").settled[-10] == 1.0
    assert (view.curve("impressions").settled == 1.0).all()


def test_strips_and_heat_point_at_the_same_days(
    context: Context, scene: Scene, judged: Judged
) -> None:
    view = investigate.alert_view(scene, judged, alert_on(context, BROKEN))
    assert [strip.detector for strip in view.strips] == [
        *("isolation-forest", "half-space-trees"),
        "all together",
    ]
    assert view.heat is not None
    impressions = view.heat.deviations[view.heat.channels.index("impressions")]
    assert (impressions[-4:] < -4).all() and np.abs(impressions[:-4]).max() < 4
    assert (view.strips[-1].p_values[-4:] <= view.alpha).all()


def test_parts_left_out_say_why_and_settings_show_before_and_after(
    context: Context, scene: Scene, judged: Judged
) -> None:
    view = investigate.alert_view(scene, judged, alert_on(context, BROKEN))
    assert {part.detector: part.left_out for part in view.parts if part.left_out} == {
        "lstm-autoencoder": "not warm: 9 of 14 days seen"
    }
    assert view.settings == (("Budget", "80", "20"),)
    assert [place.level for place in view.above] == ["profile", "portfolio"]


def test_siblings_are_of_one_level_and_start_with_the_entity_itself(
    context: Context, scene: Scene, judged: Judged
) -> None:
    view = investigate.alert_view(scene, judged, alert_on(context, BROKEN))
    names = [curve.entity for curve in view.siblings]
    assert names[0] == BROKEN and len(names) == 4
    assert {name.partition(":")[0] for name in names} == {"campaign"}


def test_an_entity_that_left_the_data_still_has_its_record(
    context: Context, scene: Scene, judged: Judged
) -> None:
    gone = alert_on(context, BROKEN).model_copy(update={"entity": "campaign:gone"})
    view = investigate.alert_view(scene, judged, gone)
    assert view.curves == () and view.heat is None and view.siblings == ()
    assert view.notices == ("This entity has no data in the period shown; its record stands.",)
    assert investigate.glance(scene, gone) is None
    cause = investigate.cause_view(context, TENANT, scene, judged, gone, method="bfs-temporal")
    assert cause.candidates == () and cause.nodes == ()
    assert cause.notices == ("This entity is no longer in the hierarchy; its record stands.",)


def test_without_a_model_the_record_alone_is_shown(context: Context, scene: Scene) -> None:
    alert = alert_on(context, BROKEN)
    view = investigate.alert_view(scene, None, alert)
    assert view.notices == ("No model can score now, so what each detector said is left out.",)
    assert view.strips == () and list(view.anomalous) == list(np.arange(ONSET, LAST + 1))
    cause = investigate.cause_view(context, TENANT, scene, None, alert)
    assert cause.candidates[0].node == BROKEN
    assert [node.id for node in cause.nodes if node.order] == [BROKEN]


def test_the_drawn_hierarchy_leads_from_the_cause_to_the_alert(
    context: Context, scene: Scene, judged: Judged
) -> None:
    keyword = alert_on(context, "keyword:0.1.2.0.1")
    view = investigate.cause_view(context, TENANT, scene, judged, keyword)
    best = view.candidates[0]
    assert best.node == BROKEN and best.type_label == "Budget cut" and best.hops == 2
    assert best.path == (BROKEN, "ad_group:0.1.2.0", "keyword:0.1.2.0.1")
    nodes = {node.id: node for node in view.nodes}
    assert set(best.path) <= set(nodes) and len(nodes) <= 60
    columns = [nodes[step].x for step in best.path]
    assert columns == sorted(columns) and len(set(columns)) == 3
    assert nodes[BROKEN].severity == "critical" and nodes[BROKEN].number == "−65 %"
    assert nodes[BROKEN].onset == ONSET and nodes[BROKEN].order == 1
    assert all(source in nodes and target in nodes for source, target in view.edges)


@pytest.mark.parametrize("method", [None, "tree-scan", "bfs-temporal"])
def test_a_component_that_people_added_is_drawn_as_a_cause_and_changes_nothing_else(
    context: Context, scene: Scene, judged: Judged, method: str | None
) -> None:
    top = scene.above(BROKEN)[0]

    def missed(session: Any) -> list[int]:
        about: dict[str, Any] = {"tenant": TENANT, "domain": "ads", "at": NOW}
        rows = [
            NodeProposal(name="Feed", parent=BROKEN, **about),
            NodeProposal(name="Billing", parent=top, **about),
        ]
        session.add_all(rows)
        session.flush()
        return [row.id for row in rows]

    alert = alert_on(context, BROKEN)
    before = investigate.cause_view(context, TENANT, scene, judged, alert, method=method)
    for number in (added := context.records.write(TENANT, missed)):
        proposals.decide(context, TENANT, number, state="accepted", actor="ben")
    wider = scenes.look(context, TENANT)
    view = investigate.cause_view(context, TENANT, wider, judged, alert, method=method)
    assert not any("Drawn as it was" in notice for notice in view.notices)
    assert {node.id for node in view.nodes} - {node.id for node in before.nodes} == {
        "Feed",
        "Billing",
    }
    assert {("Feed", BROKEN), ("Billing", top)} <= set(view.edges)
    assert [one.node for one in view.candidates] == [one.node for one in before.candidates]
    assert (wider.above(BROKEN), wider.above(top)) == (scene.above(BROKEN), ())
    assert wider.siblings(BROKEN) == scene.siblings(BROKEN)
    assert wider.conditions(BROKEN) == scene.conditions(BROKEN)
    for number in added:
        proposals.decide(context, TENANT, number, state="dismissed", actor="ben")


def test_calm_neighbours_stand_in_one_node_with_their_count(
    context: Context, scene: Scene, judged: Judged
) -> None:
    view = investigate.cause_view(context, TENANT, scene, judged, alert_on(context, BROKEN))
    (hidden,) = (node for node in view.nodes if node.hidden and node.level == "campaign")
    assert hidden.hidden == 3 and hidden.severity == ""
    assert (view.siblings_anomalous, view.siblings) == (0, 3)


def test_lanes_run_from_the_earliest_onset(context: Context, scene: Scene, judged: Judged) -> None:
    view = investigate.cause_view(context, TENANT, scene, judged, alert_on(context, BROKEN))
    starts = [lane.start for lane in view.lanes]
    assert starts == sorted(starts) and view.lanes[0].id == BROKEN
    assert all(lane.start <= lane.end for lane in view.lanes)


def test_a_setting_that_did_not_change_is_told_once_and_a_state_in_words(
    context: Context, scene: Scene, judged: Judged
) -> None:
    alert = alert_on(context, BROKEN)
    alert.settings = {
        "budget": {"after": 80.0, "before": 80.0},
        "status": {"after": 0.0, "before": 1.0},
    }
    view = investigate.alert_view(scene, judged, alert)
    assert view.settings == (("Budget", "80"), ("Status", "enabled", "paused"))


@pytest.mark.parametrize("method", ["magic", "isolation-forest"])
def test_what_is_no_localiser_is_refused_by_name(context: Context, method: str) -> None:
    with pytest.raises(UnknownNameError, match="one of bfs-temporal, tree-scan"):
        investigate.causes(context, TENANT, 1, method=method)


@pytest.mark.parametrize("method", ["tree-scan", "bfs-temporal"])
def test_both_methods_name_the_campaign_from_a_keyword(
    context: Context, scene: Scene, judged: Judged, method: str
) -> None:
    keyword = alert_on(context, "keyword:0.1.2.0.1").model_copy(update={"root_causes": []})
    view = investigate.cause_view(context, TENANT, scene, judged, keyword, method=method)
    assert view.method == method and method in view.methods
    named = [candidate.node for candidate in view.candidates]
    # the search by levels prefers what is higher, the scan what explains
    assert BROKEN in named and (method == "bfs-temporal" or named[0] == BROKEN)
    assert sum(view.candidates[0].terms.values()) == pytest.approx(view.candidates[0].score)
    assert view.notices == ("Computed now with today's data, not at detection.",)


@pytest.mark.parametrize("method", ["tree-scan", "bfs-temporal"])
def test_an_onset_is_the_local_day_of_the_entity_east_of_greenwich_too(
    context: Context, scene: Scene, judged: Judged, method: str
) -> None:
    berlin = replace(scene, panel=replace(scene.panel, zones=("Europe/Berlin",)))
    midnight = datetime(2026, 3, 12, 23, tzinfo=UTC)
    alert = alert_on(context, BROKEN)
    kept = [cause | {"onset": midnight.isoformat()} for cause in alert.root_causes]
    for known in (kept, []):
        alert = alert.model_copy(update={"root_causes": known})
        view = investigate.cause_view(context, TENANT, berlin, judged, alert, method=method)
        (found,) = [cause for cause in view.candidates if cause.node == BROKEN]
        assert (found.onset, found.onset_day) == (midnight, ONSET.item())


def test_explanation_and_causes_answer_by_number(context: Context) -> None:
    alert = alert_on(context, BROKEN)
    told = investigate.explanation(context, TENANT, alert.id)
    assert told["id"] == alert.id and told["metrics"][0] == "impressions"
    found = investigate.causes(context, TENANT, alert.id)
    assert found["method"] == "tree-scan" and found["candidates"][0].node == BROKEN
    with pytest.raises(NotFoundError):
        investigate.explanation(context, TENANT, 999)


def test_settings_before_and_after_the_window_go_into_the_case(scene: Scene) -> None:
    assert scene.changes == {BROKEN: {"budget": (80.0, 20.0), "status": (1.0, 1.0)}}


def test_nothing_imported_is_told(tmp_path: Path) -> None:
    with small_account.opened(tmp_path, data=False) as empty, pytest.raises(NotEnoughDataError):
        scenes.look(empty, TENANT)
