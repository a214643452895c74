"""A real account checked for drift: calm as it is, moved where something was moved, and honest about what is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.drift import check as core_check
from core.drift.check import Cell, Watched
from core.errors import CancelledError, NotEnoughDataError, NotFoundError
from data.label_store import Episode
from tests.conftest import MORNING, TENANT
from workbench.context import Context
from workbench.services import drift, retraining
from workbench.services import scene as scenes
from workbench.services.scene import Scene

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
    assert rate.shape == (1, len(watched.days))
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
    account: Context, monkeypatch: pytest.MonkeyPatch, after: bool, advice: str
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
    monkeypatch.setattr(drift.labelled, "episodes", lambda *_: found)
    since = (LAST_SUNDAY - timedelta(days=20)).isoformat()
    said = drift._performance(account, TENANT, "ads", scene, p_values, date.fromisoformat(since))
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
    there, needed = drift.days(account, TENANT)
    assert (there, needed) == (75, 63)


def test_periods_shorter_than_a_day_are_watched_by_the_day() -> None:
    hours = np.arange("2026-03-01", "2026-03-03", dtype="datetime64[h]").astype("datetime64[D]")
    values = np.repeat([[1.0, 2.0], [3.0, np.nan]], 24, axis=1)
    values[0, 0] = np.nan
    folded = drift.by_day(Watched(values, np.arange(2), (Cell("service", "cpu"),) * 2, hours))
    assert folded.days.tolist() == [date(2026, 3, 1), date(2026, 3, 2)]
    np.testing.assert_array_equal(folded.values, [[1.0, 2.0], [3.0, np.nan]])
    assert drift.by_day(folded) is folded


def test_a_check_can_be_cancelled_and_leaves_nothing(account: Context) -> None:
    with pytest.raises(CancelledError):
        drift.check(account, TENANT, actor="ana", on_step=lambda *_: False)
    assert drift.history(account, TENANT) == []
