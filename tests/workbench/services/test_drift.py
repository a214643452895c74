"""A real account checked for drift: calm as it is, moved where something was moved, and honest about what is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.drift import check as core_check
from core.drift.check import Cell, Watched
from core.drift.windows import HOURLY
from core.errors import CancelledError, NotEnoughDataError, NotFoundError
from data.label_store import Episode
from tests.conftest import MORNING, TENANT
from tests.findings import NOW
from tests.workbench.services import services_world
from workbench.context import Context, open_context
from workbench.services import detect, drift, retraining
from workbench.services import scene as scenes
from workbench.services.scene import Scene
from workbench.settings import Settings

LAST_SUNDAY = date(2026, 3, 8)


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer resamples: what is planted here is plain."""
    learn = core_check.Reference.learn.__func__  # type: ignore[attr-defined]

    def quick(cls: Any, watched: Any, schedule: Any) -> Any:
        return learn(cls, watched, schedule, draws=120)

    monkeypatch.setattr(core_check.Reference, "learn", classmethod(quick))


@pytest.fixture
def account(detected: Path, open_home: Callable[..., Context]) -> Context:
    return open_home(detected)


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clicks cost three times as much from the first compared day on."""
    look = scenes.look

    def dearer(*arguments: Any, **named: Any) -> Scene:
        scene = look(*arguments, **named)
        values = scene.panel.values.copy()
        days = scene.panel.periods.labels.astype("datetime64[D]")
        late = days > np.datetime64(LAST_SUNDAY - timedelta(days=21))
        values[:, late, scene.panel.metrics.index("cost")] *= 3.0
        return dataclasses.replace(scene, panel=scene.panel.with_values(values))

    monkeypatch.setattr(scenes, "look", dearer)


def look(ctx: Context) -> Any:
    return drift.check(ctx, TENANT, actor="ana")


def test_an_account_as_it_is_is_calm(account: Context) -> None:
    report = look(account)
    assert not report.metrics.moved and report.metrics.drifted == ()
    assert report.metrics.windows[-1] == (LAST_SUNDAY - timedelta(days=6), LAST_SUNDAY)
    assert report.metrics.reference[1] < report.metrics.windows[0][0]
    tested = [cell for cell in report.metrics.cells if cell.state != "untested"]
    assert len(tested) > 60 and {cell.metric for cell in tested} >= {"impressions", "cost", "cpc"}
    assert all(0 <= cell.p <= cell.adjusted <= 1 for cell in tested)
    assert report.complete > 0.95 and report.newest == date(2026, 3, 14)
    assert retraining.proposals(account, TENANT) == []


@pytest.mark.usefixtures("moved")
def test_a_moved_price_is_found_and_a_retraining_proposed(account: Context) -> None:
    report = look(account)
    found = {cell.key: cell for cell in report.metrics.drifted}
    assert {"campaign.cpc", "ad_group.cpc", "keyword.cpc"} <= set(found)
    assert found["campaign.cpc"].lean > 1.0 and found["campaign.cpc"].adjusted < 0.01
    assert not {cell.metric for cell in found.values()} & {"impressions", "clicks", "orders"}
    (proposal,) = retraining.proposals(account, TENANT)
    assert (proposal.trigger, proposal.check_id, proposal.state) == ("drift", report.id, "open")
    assert "moved, most" in proposal.reason and "Cost per click" in proposal.reason
    assert proposal.end == LAST_SUNDAY and (proposal.end - proposal.start).days == 55
    look(account)
    assert len(retraining.proposals(account, TENANT)) == 1


def test_a_report_comes_back_as_it_was_kept(account: Context) -> None:
    report = look(account)
    assert drift.latest(account, TENANT) == report == drift.get(account, TENANT, report.id)
    (row,) = drift.history(account, TENANT)
    assert (row.id, row.drifted, row.window_end) == (report.id, 0, LAST_SUNDAY)
    assert drift.latest(account, "other") is None
    with pytest.raises(NotFoundError):
        drift.get(account, "other", report.id)


def test_what_the_champion_says_needs_judged_days_and_says_how_many_there_are(
    account: Context,
) -> None:
    report = look(account)
    if report.scores is None:
        assert "at least 63" in report.no_scores
    else:
        assert {cell.metric for cell in report.scores.cells} == {"score", "alert_rate"}


def test_scores_are_surprise_by_entity_and_the_share_of_alerts_by_level(account: Context) -> None:
    scene = scenes.look(account, TENANT)
    shape = scene.panel.values.shape[:2]
    p_values = np.full(shape, 0.5)
    campaigns = drift._of_level(scene, "campaign")
    p_values[campaigns[: len(campaigns) // 2], -5:] = 1e-6
    odd = np.zeros(shape, dtype=bool)
    watched = drift.scores_of(scene, p_values, drift._largest(scene), odd)
    names = [(cell.level, cell.metric) for cell in watched.cells]
    rate = watched.values[watched.member == names.index(("campaign", "alert_rate"))]
    assert rate.shape == (1, len(watched.times))
    seen = np.isfinite(scene.residual.values).any(axis=2)[campaigns, -1]
    share = seen[: len(campaigns) // 2].sum() / seen.sum()
    assert 0 < share < 1 and rate[0, -1] == pytest.approx(np.sqrt(share))
    assert rate[0, -6] == 0.0
    surprise = watched.values[watched.member == names.index(("campaign", "score"))]
    assert np.nanmax(surprise[:, -1]) == pytest.approx(np.log1p(6.0))


def test_known_anomalies_are_no_drift(account: Context) -> None:
    scene = scenes.look(account, TENANT)
    odd = np.zeros(scene.panel.values.shape[:2], dtype=bool)
    odd[:, -9:] = True
    watched = drift.metrics_of(scene, drift._largest(scene), odd)
    assert np.isnan(watched.values[:, -9:]).all() and np.isfinite(watched.values[:, :-9]).any()


def test_what_still_arrives_is_scaled_to_its_whole(account: Context) -> None:
    scene = scenes.look(account, TENANT)
    settled = scene.settled("sales")
    late = settled[:, -1] < 1.0
    assert late.any()
    whole = drift._whole(scene, "sales")
    arrived = (settled >= drift.SETTLED) & np.isfinite(scene.panel.metric("sales"))
    assert whole[arrived] == pytest.approx((scene.panel.metric("sales") / settled)[arrived])


@pytest.mark.parametrize(("after", "advice"), [(True, "fine"), (False, "fall back")])
def test_performance_compares_labels_before_and_within_the_windows(
    account: Context, after: bool, advice: str
) -> None:
    scene = scenes.look(account, TENANT)
    rng = np.random.default_rng(0)
    p_values = np.ones(scene.panel.values.shape[:2])
    found = []
    for number in range(120):
        row, late, real = number % len(scene.panel.entities), number % 2 == 1, number % 4 < 2
        column = -5 if late else 20
        right = real if (after or not late) else rng.random() < 0.5
        p_values[row, column] = 1e-5 if right else 1e-2
        day = scene.panel.periods.labels[column].astype("datetime64[us]").item()
        moment = day.replace(tzinfo=UTC)
        word = "real" if real else "false alarm"
        entity = scene.panel.entities[row]
        found.append(
            Episode(number, None, entity, "campaign", moment, moment, False, word, "", False)
        )
    surprise = {
        place: float(-np.log10(p_values[drift.labelled.cells(scene.panel, [one])].min()))
        for place, one in enumerate(found)
    }
    said = drift._performance(found, surprise, LAST_SUNDAY - timedelta(days=20))
    assert said.advice == advice
    assert said.real[0] + said.normal[0] == 60 == said.real[1] + said.normal[1]


def test_a_window_is_checked_once_until_the_next_closes(
    account: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert drift.due(account, TENANT)
    look(account)
    assert not drift.due(account, TENANT)
    newest = datetime.combine(LAST_SUNDAY + timedelta(days=8), MORNING.time())
    monkeypatch.setattr(account.metrics, "newest", lambda *_: newest)
    assert drift.due(account, TENANT)


def test_too_short_a_history_says_what_it_needs(
    account: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "DAYS", 40)
    with pytest.raises(NotEnoughDataError, match=r"at least 63 .*Got"):
        look(account)
    assert drift.latest(account, TENANT) is None
    assert drift.wait(account, TENANT) is None
    assert drift.wait(account, "nobody") is None


def test_periods_are_folded_to_the_values_that_are_compared() -> None:
    hours = np.arange("2026-03-01T00:00", "2026-03-01T02:00", dtype="datetime64[m]").astype(
        "datetime64[h]"
    )
    values = np.repeat([[1.0, 2.0], [3.0, np.nan]], 60, axis=1)
    values[0, 0] = np.nan
    cells = (Cell("service", "cpu"), Cell("service", "memory"))
    folded = drift.folded(Watched(values, np.arange(2), cells, hours, HOURLY))
    assert folded.times.astype(str).tolist() == ["2026-03-01T00", "2026-03-01T01"]
    np.testing.assert_array_equal(folded.values, [[1.0, 2.0], [3.0, np.nan]])
    assert drift.folded(folded) is folded


# ── Running systems: by the hour ──


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    """Twelve days of minutes and a model."""
    settings = Settings(home=tmp_path_factory.mktemp("home"), user="ana", tenant=TENANT)
    with open_context(settings, clock=lambda: NOW) as opened:
        services_world.load(opened, TENANT, hours=24 * 12)
        detect.detect(opened, TENANT, actor="ana", domain="services", explain=False)
        yield opened


def test_running_systems_are_compared_by_the_hour_in_the_days_that_are_held(
    systems: Context,
) -> None:
    report = drift.check(systems, TENANT, domain="services", actor="ana")
    part = report.metrics
    last = NOW.date() - timedelta(days=1)
    assert part.unit == "hour" and not part.moved
    assert part.windows == tuple((last - timedelta(days=ago),) * 2 for ago in (2, 1, 0))
    assert (part.windows[0][0] - part.reference[0]).days >= 7
    assert len(part.days) == (last - part.reference[0]).days + 1
    tested = [cell for cell in part.cells if cell.state != "untested"]
    assert len(tested) == 2 and all(len(cell.daily) == len(part.days) for cell in tested)
    assert report.scores is not None and report.scores.unit == "hour"
    assert drift.latest(systems, TENANT, domain="services") == report
    assert not drift.due(systems, TENANT, domain="services")


def test_running_systems_that_slowed_down_for_three_days_have_drifted(
    systems: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = scenes.look

    def slower(*arguments: Any, **named: Any) -> Scene:
        scene = look(*arguments, **named)
        values = scene.panel.values.copy()
        since = np.datetime64(NOW.date() - timedelta(days=3))
        late = scene.panel.periods.labels >= since
        values[:, late, scene.panel.metrics.index("http_request_duration_seconds")] *= 1.3
        return dataclasses.replace(scene, panel=scene.panel.with_values(values))

    monkeypatch.setattr(scenes, "look", slower)
    report = drift.check(systems, TENANT, domain="services", actor="ana")
    assert [cell.key for cell in report.metrics.drifted] == [
        "service.http_request_duration_seconds"
    ]
    (proposal,) = retraining.proposals(systems, TENANT, domain="services")
    assert (proposal.start, proposal.end) == (
        report.metrics.reference[0],
        report.metrics.windows[-1][1],
    )


def test_a_young_home_says_when_it_can_be_checked_and_is_left_alone_until_then(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    services_world.load(ctx, "acme", hours=30)
    waits = drift.wait(ctx, "acme", domain="services")
    assert waits is not None and (waits.days, waits.needed) == (1, 10)
    # yesterday is whole, today is not
    assert waits.ready == NOW.date() + timedelta(days=9)
    assert "three days that are compared" in waits.compared
    with pytest.raises(NotEnoughDataError, match=r"at least 10 settled days .*midnight"):
        drift.check(ctx, "acme", domain="services", actor="ana")
    monkeypatch.setattr(scenes, "each", lambda *_, **__: pytest.fail("read in vain"))
    assert not drift.due(ctx, "acme", domain="services")


def test_a_check_can_be_cancelled_and_leaves_nothing(account: Context) -> None:
    with pytest.raises(CancelledError):
        drift.check(account, TENANT, actor="ana", on_step=lambda *_: False)
    assert drift.history(account, TENANT) == []
