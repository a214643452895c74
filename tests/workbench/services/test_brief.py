"""The morning brief: freshness, what is open, when it broke, what has arrived."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from data import alert_store
from data.records import NewAlert
from tests.findings import new_alert
from tests.workbench import small_account
from tests.workbench.small_account import NOW, TENANT
from workbench.context import Context
from workbench.services import alerts, brief

LAST = date(2026, 3, 16)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    with small_account.opened(tmp_path) as opened:
        yield opened


def keep(context: Context, *found: NewAlert) -> None:
    context.records.write(
        TENANT,
        lambda session: alert_store.upsert(
            session, tenant=TENANT, found=list(found), now=NOW, actor="ana"
        ),
    )


def on(day: int, entity: str, **facts: object) -> NewAlert:
    """An alert whose onset is local midnight of that day in March, in the UTC hour given by `hour`."""
    hour = facts.pop("hour", 0)
    assert isinstance(hour, int)
    onset = NOW.replace(day=day, hour=0, minute=0) + timedelta(hours=hour)
    return new_alert(entity, **{"onset": onset, "last_seen": onset, "day": onset.date(), **facts})


def test_freshness_is_the_newest_delivered_day(context: Context) -> None:
    found = brief.freshness(context, TENANT)
    assert (found.newest_day, found.as_of) == (LAST, NOW)


def test_nothing_imported_has_no_freshness(tmp_path: Path) -> None:
    with small_account.opened(tmp_path, data=False) as empty:
        assert brief.freshness(empty, TENANT).newest_day is None
        assert brief.arrivals(empty, TENANT).reports == ()
        assert brief.standing(empty, TENANT).last_run is None


def test_standing_tells_the_last_run(context: Context) -> None:
    small_account.detect(context)
    found = brief.standing(context, TENANT)
    assert found.last_run == NOW and found.entities_checked == 91 and found.last_error == ""


def test_open_alerts_are_counted_by_the_day_they_began(context: Context) -> None:
    keep(
        context,
        on(10, "campaign:1", severity="critical", spend_at_risk=50.0),
        on(10, "campaign:2", hour=8),
        on(16, "campaign:3", hour=-1, currency="EUR", spend_at_risk=7.0),
        on(1, "campaign:4"),
    )
    found = brief.of(context, TENANT, last_day=LAST)
    assert (found.open, found.critical, found.incidents) == (4, 1, 0)
    assert found.at_risk == {"USD": 250.0, "EUR": 7.0}
    by_day = dict(zip(found.days, found.alerts_by_day, strict=True))
    assert len(by_day) == 14 and found.days[-1] == LAST
    # 8:00 UTC is a midnight in Los Angeles, 23:00 UTC one in Berlin
    assert by_day[date(2026, 3, 10)] == 2 and by_day[date(2026, 3, 16)] == 1
    assert sum(by_day.values()) == 3
    assert sum(found.at_risk_by_day) == 150.0


def test_the_timeline_covers_every_day_and_follows_the_filters(context: Context) -> None:
    keep(context, on(10, "campaign:1", severity="critical"), on(12, "keyword:2", severity="low"))
    days, counts = brief.when(context, TENANT, {}, last_day=LAST)
    assert len(days) == 14 and days[-1] == LAST
    assert counts["critical"][days.index(date(2026, 3, 10))] == {"campaign": 1}
    _, only = brief.when(context, TENANT, {"level": "keyword"}, last_day=LAST)
    assert [day for by_day in only.values() for day in by_day if day] == [{"keyword": 1}]
    days, counts = brief.when(context, TENANT, {"text": "nobody"}, last_day=LAST)
    assert len(days) == 14 and not any(day for by_day in counts.values() for day in by_day)


def test_a_long_ago_onset_stretches_the_timeline(context: Context) -> None:
    keep(context, new_alert("campaign:1", days_ago=280, lasts=1))
    days, _ = brief.when(context, TENANT, {}, last_day=LAST)
    assert days[0] < date(2026, 3, 3) and days[-1] == LAST


def test_arrivals_since_the_page_was_opened(context: Context) -> None:
    keep(context, on(10, "campaign:1"))
    assert brief.arrived(context, TENANT, NOW) == 0
    before = NOW - timedelta(seconds=1)
    assert brief.arrived(context, TENANT, before) == 1
    alerts.resolve(context, TENANT, 1, actor="ana")
    assert brief.arrived(context, TENANT, before) == 0


def test_what_has_arrived_by_report_and_day(context: Context) -> None:
    grid = brief.arrivals(context, TENANT)
    assert grid.reports == ("spCampaigns", "spTargeting") and len(grid.days) == 14
    campaigns, targeting = grid.states
    assert campaigns.count("delivered") == 13 and campaigns.count("partial") == 1
    assert targeting.count("missing") == 1
