"""The feed: pages that neither skip nor repeat, facets that say what a click would show, days that add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from data import alert_feed, alert_store, incident_store
from data.alert_feed import Filters
from data.record_store import Records
from data.records import SEVERITIES
from tests.findings import DAY, NOW, new_alert, new_incident

ANY = Filters(status=(), muted=None)


@pytest.fixture
def world(records: Records) -> Records:
    """120 alerts of two levels and four severities over ten days; some handled, some muted."""
    found = [
        new_alert(
            f"{'campaign' if n % 3 else 'keyword'}:{n}",
            days_ago=n % 10 + 1,
            lasts=0.5,
            severity=SEVERITIES[n % 4],
            spend_at_risk=1.0,
            currency="EUR" if n % 2 else "USD",
        )
        for n in range(120)
    ]

    def fill(session: Session) -> None:
        upsert = partial(alert_store.upsert, session, tenant="acme", now=NOW, actor="run")
        upsert(found=found)
        incident_store.upsert(
            session, tenant="acme", found=[new_incident("x:1")], now=NOW, actor="run"
        )
        incident_store.attach(
            session, tenant="acme", incident_id=1, alert_ids=range(1, 11), now=NOW, actor="run"
        )
        for number in range(11, 21):
            alert_store.acknowledge(
                session, tenant="acme", alert_id=number, actor="ana", now=NOW + DAY / 24
            )
        for number in range(21, 31):
            alert_store.resolve(
                session, tenant="acme", alert_id=number, actor="ana", now=NOW + DAY / 12
            )

    records.write("acme", fill)
    return records


def ask(records: Records, question: Any, **arguments: Any) -> Any:
    return records.read("acme", partial(question, tenant="acme", **arguments))


def test_pages_walk_every_alert_once_in_order(world: Records) -> None:
    seen, after, sizes = [], None, []
    while True:
        part = ask(world, alert_feed.page, filters=ANY, after=after, limit=50)
        seen += part.rows
        sizes.append(len(part.rows))
        if (after := part.after) is None:
            break
    assert sizes == [50, 50, 20]
    keys = [(row.severity_rank, row.last_seen, row.id) for row in seen]
    assert keys == sorted(keys, reverse=True)
    assert len({row.id for row in seen}) == 120


def test_a_page_stays_put_when_alerts_arrive_above_it(world: Records) -> None:
    first = ask(world, alert_feed.page, limit=10)
    planned = ask(world, alert_feed.page, after=first.after, limit=10)
    late = [new_alert(f"asin:{n}", days_ago=0.1, lasts=0, severity="critical") for n in range(5)]
    world.write(
        "acme", lambda s: alert_store.upsert(s, tenant="acme", found=late, now=NOW, actor="r")
    )
    second = ask(world, alert_feed.page, after=first.after, limit=10)
    assert [row.id for row in second.rows] == [row.id for row in planned.rows]


def test_sqlite_reads_pages_from_an_index_without_sorting(tmp_path: Path) -> None:
    plans: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "FROM alert" in statement:
            rows = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row[3] for row in rows.fetchall())

    found = [new_alert(f"campaign:{n}") for n in range(20)]
    with Records(f"sqlite:///{tmp_path}/records.db") as records:
        records.write(
            "acme",
            partial(alert_store.upsert, tenant="acme", found=found, now=NOW, actor="run"),
        )
        event.listen(records._reader_engine, "before_cursor_execute", explain)
        first = ask(records, alert_feed.page, limit=10)
        ask(records, alert_feed.page, after=first.after, limit=10)
    assert len(plans) == 2
    assert all("USING INDEX ix_alert_page" in plan for plan in plans), plans


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (Filters(), 100),  # 10 resolved, 10 muted
        (ANY, 120),
        (Filters(muted=True), 10),
        (replace(ANY, incident_id=1), 10),
        (Filters(status=("acknowledged",)), 10),
        (replace(ANY, severity=("critical", "high")), 60),
        (replace(ANY, level=("keyword",)), 40),
        (replace(ANY, domain="epc"), 0),
        (replace(ANY, entities=("keyword:3", "campaign:4")), 2),
        (replace(ANY, text="NAME OF KEYWORD:11"), 3),  # 111, 114 and 117
        (replace(ANY, text="60 %"), 120),
        (replace(ANY, text="6_ %"), 0),  # a pattern's signs are plain text
        (replace(ANY, days=((NOW - 2 * DAY).date(), (NOW - 1 * DAY).date())), 24),
    ],
)
def test_filters_choose(world: Records, filters: Filters, count: int) -> None:
    assert len(ask(world, alert_feed.page, filters=filters, limit=500).rows) == count
    assert sum(row[-1] for row in ask(world, alert_feed.timeline, filters=filters)) == count


def test_facets_tell_what_a_click_would_show(world: Records) -> None:
    chosen = Filters(severity=("critical",), level=("campaign",))
    counts = ask(world, alert_feed.facets, filters=chosen)
    for facet in ("status", "severity", "level"):
        for value, count in counts[facet].items():
            clicked = replace(chosen, **{facet: (value,)})
            shown = ask(world, alert_feed.page, filters=clicked, limit=500).rows
            assert len(shown) == count, (facet, value)
    assert set(counts["severity"]) == set(SEVERITIES)
    assert set(counts["status"]) == {"open", "acknowledged", "resolved"}


def test_the_timeline_counts_by_onset_severity_and_level(world: Records) -> None:
    rows = ask(world, alert_feed.timeline, filters=ANY)
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    shown = ask(world, alert_feed.page, filters=ANY, limit=500).rows
    counted = Counter((row.onset, row.severity, row.level) for row in shown)
    assert {tuple(cell): count for *cell, count in rows} == counted


def test_statistics_count_money_by_currency_and_time_to_handle(world: Records) -> None:
    told = ask(world, alert_feed.statistics)
    assert (told.total, told.active, told.muted) == (120, 110, 10)
    assert told.by_status == {"open": 100, "acknowledged": 10, "resolved": 10}
    assert told.by_severity == dict.fromkeys(SEVERITIES, 30)
    assert told.by_level == {"campaign": 80, "keyword": 40}
    assert (told.minutes_to_acknowledge, told.minutes_to_resolve) == (60.0, 120.0)
    assert told.spend_at_risk == {"EUR": 50.0, "USD": 50.0}


def test_an_empty_store_answers_with_nothing(records: Records) -> None:
    assert ask(records, alert_feed.page) == alert_feed.Page([], None)
    assert ask(records, alert_feed.timeline) == []
    told = ask(records, alert_feed.statistics)
    assert (told.total, told.minutes_to_resolve, told.spend_at_risk) == (0, None, {})
