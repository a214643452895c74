"""Alerts as pages, API and command line ask for them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.errors import ConflictError, InvalidInputError, NotFoundError, UnknownNameError
from data import alert_store
from data.records import NewAlert
from tests.findings import NOW, new_alert
from tests.workbench.conftest import Clock
from workbench.context import Context
from workbench.plain import plain
from workbench.services import alerts

SEVERITIES = ("low", "medium", "high", "critical")


def found(ctx: Context, *new: NewAlert) -> tuple[int, ...]:
    now = ctx.clock()
    return ctx.records.write(
        "acme",
        lambda session: alert_store.upsert(
            session, tenant="acme", found=new, now=now, actor="scheduler"
        ),
    ).ids


@pytest.fixture
def many(ctx: Context) -> tuple[int, ...]:
    """120 alerts of all severities on two levels."""
    new = [
        new_alert(
            f"{'campaign' if number % 3 else 'keyword'}:{number}",
            severity=SEVERITIES[number % 4],
            days_ago=1 + number % 5,
        )
        for number in range(120)
    ]
    return found(ctx, *new)


def test_pages_follow_each_other_without_gap_or_overlap(
    ctx: Context, many: tuple[int, ...]
) -> None:
    seen: list[int] = []
    sizes, cursor = [], None
    while True:
        page = alerts.page(ctx, "acme", after=cursor)
        seen += [alert.id for alert in page.alerts]
        sizes.append(len(page.alerts))
        if page.next is None:
            break
        cursor = page.next
    assert sizes == [50, 50, 20]
    assert sorted(seen) == sorted(many)
    ranks = [alerts.get(ctx, "acme", number).alert.severity_rank for number in seen[::10]]
    assert ranks == sorted(ranks, reverse=True)


def test_filters_choose_and_combine(ctx: Context, many: tuple[int, ...]) -> None:
    def entities(**filters: object) -> list[str]:
        page = alerts.page(ctx, "acme", filters=filters, limit=1000)
        return [alert.entity for alert in page.alerts]

    assert len(entities(level="keyword")) == 40
    assert len(entities(level=["keyword", "campaign"], severity="critical")) == 30
    assert entities(text="campaign:119") == ["campaign:119"]
    assert entities(entity="keyword:0") == ["keyword:0"]
    assert len(entities(day=(NOW - timedelta(days=0)).date())) == 24
    assert entities(domain="epc") == []
    alerts.resolve(ctx, "acme", many[0], actor="ana")
    assert len(entities()) == 119
    assert entities(status="resolved") == ["keyword:0"]
    assert len(entities(status="any")) == 120


def test_what_a_filter_or_cursor_may_not_be(ctx: Context) -> None:
    with pytest.raises(UnknownNameError, match="one of domain, severity"):
        alerts.page(ctx, "acme", filters={"colour": "red"})
    with pytest.raises(UnknownNameError, match="the status"):
        alerts.page(ctx, "acme", filters={"status": "closed"})
    for cursor in ("x", "1.2", "1.2.3.4", "-1.2.3", "1.2.3\n"):
        with pytest.raises(InvalidInputError, match="`next` of the page before"):
            alerts.page(ctx, "acme", after=cursor)


def test_a_cursor_keeps_every_microsecond() -> None:
    cursor = alerts.Cursor(3, NOW + timedelta(microseconds=123_457), 7)
    assert alerts.read_cursor(alerts.write_cursor(cursor)) == cursor


def test_facets_and_timeline_count_what_the_page_shows(ctx: Context, many: tuple[int, ...]) -> None:
    facets = alerts.facets(ctx, "acme", filters={"severity": "critical"})
    assert facets["level"] == {"campaign": 20, "keyword": 10}
    assert facets["severity"] == dict.fromkeys(SEVERITIES, 30)
    cells = alerts.timeline(ctx, "acme", filters={"level": "keyword"})
    assert sum(cell.count for cell in cells) == 40
    assert {cell.level for cell in cells} == {"keyword"}
    shown = alerts.page(ctx, "acme", filters={"level": "keyword", "broke": cells[0].day}).alerts
    assert len(shown) == sum(cell.count for cell in cells if cell.day == cells[0].day)
    assert [cell.day for cell in cells] == sorted(cell.day for cell in cells)


def test_an_alert_lives_and_one_undo_takes_the_last_step_back(ctx: Context, clock: Clock) -> None:
    (number,) = found(ctx, new_alert())
    clock.advance(minutes=30)
    alerts.acknowledge(ctx, "acme", number, actor="ana", note="on it")
    clock.advance(minutes=30)
    resolved = alerts.resolve(ctx, "acme", number, actor="bob")
    assert (resolved.status, resolved.resolved_by) == ("resolved", "bob")
    alerts.comment(ctx, "acme", number, actor="ana", text="thank you")
    detail = alerts.get(ctx, "acme", number)
    assert [comment.body for comment in detail.comments] == ["on it", "thank you"]
    assert [event.verb for event in detail.history] == ["comment", "resolve", "acknowledge"]
    alerts.undo(ctx, "acme", actor="bob")
    assert alerts.get(ctx, "acme", number).alert.status == "acknowledged"
    alerts.undo(ctx, "acme", actor="ana")
    assert [said.body for said in alerts.get(ctx, "acme", number).comments] == ["on it"]
    alerts.undo(ctx, "acme", actor="ana")
    detail = alerts.get(ctx, "acme", number)
    assert (detail.alert.status, detail.comments) == ("open", [])


def test_a_change_seen_too_late_is_a_conflict(ctx: Context) -> None:
    (number,) = found(ctx, new_alert())
    version = alerts.get(ctx, "acme", number).alert.version
    alerts.acknowledge(ctx, "acme", number, actor="ana")
    with pytest.raises(ConflictError, match="the one you saw"):
        alerts.resolve(ctx, "acme", number, actor="bob", expected_version=version)


def test_another_tenant_sees_nothing(ctx: Context) -> None:
    (number,) = found(ctx, new_alert())
    assert alerts.page(ctx, "rival").alerts == []
    assert alerts.statistics(ctx, "rival").total == 0
    for ask in (alerts.get, alerts.acknowledge):
        with pytest.raises(NotFoundError):
            ask(ctx, "rival", number, **({"actor": "eve"} if ask is not alerts.get else {}))


def test_the_visit_is_remembered_once_it_is_marked(ctx: Context, clock: Clock) -> None:
    found(ctx, new_alert("campaign:1", severity="critical"), new_alert("campaign:2"))
    first = alerts.since_last_visit(ctx, "acme", user="ana")
    assert (first.since, first.alerts, first.by_severity) == (None, 2, {"critical": 1, "high": 1})
    clock.advance(hours=1)
    found(ctx, new_alert("campaign:3"))
    clock.advance(hours=1)
    look = alerts.since_last_visit(ctx, "acme", user="ana", mark=False)
    assert (look.since, look.alerts) == (NOW, 1)
    assert alerts.since_last_visit(ctx, "acme", user="ana").alerts == 1
    assert alerts.since_last_visit(ctx, "acme", user="ana").alerts == 0
    assert alerts.since_last_visit(ctx, "acme", user="bob").alerts == 3


def test_statistics_add_up_and_encode(ctx: Context, clock: Clock) -> None:
    one, two, *_ = found(
        ctx, *(new_alert(f"campaign:{number}", detector="robust-z") for number in range(4))
    )
    clock.advance(minutes=20)
    alerts.acknowledge(ctx, "acme", one, actor="ana")
    clock.advance(minutes=40)
    alerts.resolve(ctx, "acme", two, actor="ana")
    numbers = plain(alerts.statistics(ctx, "acme", domain="ads"))
    assert numbers["total"] == 4
    assert numbers["active"] == 3
    assert numbers["by_status"] == {"open": 2, "acknowledged": 1, "resolved": 1}
    assert numbers["by_detector"] == {"robust-z": 4}
    assert numbers["acknowledged_share"] == 0.5
    assert numbers["minutes_to_acknowledge"] == 20
    assert numbers["minutes_to_resolve"] == 60
    assert numbers["spend_at_risk"] == {"USD": 300.0}
    assert len(numbers["top_entities"]) == 4


def test_resolved_alerts_go_to_history_after_their_days(ctx: Context, clock: Clock) -> None:
    one, two = found(ctx, new_alert("campaign:1"), new_alert("campaign:2"))
    alerts.resolve(ctx, "acme", one, actor="ana")
    clock.advance(days=90)
    assert alerts.archive(ctx, "acme") == 0
    clock.advance(seconds=1)
    assert alerts.archive(ctx, "acme") == 1
    assert alerts.get(ctx, "acme", one).alert.resolution_minutes == 0  # type: ignore[union-attr]
    assert [alert.id for alert in alerts.page(ctx, "acme", filters={"status": "any"}).alerts] == [
        two
    ]
