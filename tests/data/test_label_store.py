"""Labels as episodes: the newest verdict on each alert, its own before its incident's; and comparisons beside them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from data import (
    alert_feed,
    alert_store,
    audit_store,
    comparison_store,
    incident_store,
    label_store,
    run_store,
)
from data.record_store import Records
from data.records import NewLabel
from tests.findings import NOW, new_alert, new_incident

WHO: dict[str, Any] = {"tenant": "acme", "actor": "ana", "now": NOW}


def seed(records: Records) -> tuple[list[int], int]:
    """Two alerts under an incident, and one on its own."""

    def write(session: Any) -> tuple[list[int], int]:
        found = [new_alert("campaign:1"), new_alert("keyword:11"), new_alert("campaign:2")]
        ids = alert_store.upsert(session, found=found, **WHO).ids
        incident = incident_store.upsert(session, found=[new_incident("campaign:1")], **WHO).ids[0]
        incident_store.attach(session, incident_id=incident, alert_ids=ids[:2], **WHO)
        return list(ids), incident

    return records.write("acme", write)


def say(records: Records, disposition: str, when: Any = NOW, **about: Any) -> None:
    label = NewLabel(entity="", disposition=disposition, **about)
    records.write(
        "acme", lambda session: label_store.add(session, label=label, **{**WHO, "now": when})
    )


def episodes(records: Records, **options: Any) -> dict[int, tuple[str, str, bool]]:
    found = records.read(
        "acme",
        lambda session: label_store.episodes(session, tenant="acme", domain="ads", **options),
    )
    return {one.alert_id: (one.disposition, one.cause, one.confirmed) for one in found}


def revision(records: Records) -> str:
    return records.read("acme", lambda session: label_store.revision(session, tenant="acme"))


def test_an_alert_has_its_own_verdict_else_that_of_its_incident(records: Records) -> None:
    (first, second, alone), incident = seed(records)
    say(records, "expected", incident_id=incident)
    say(records, "real", incident_id=incident, cause="bid_up")
    say(records, "false alarm", alert_id=second)
    assert episodes(records) == {
        first: ("real", "bid_up", True),
        second: ("false alarm", "budget", False),
        alone: ("", "", False),
    }
    found = records.read(
        "acme", lambda session: label_store.episodes(session, tenant="acme", domain="ads")
    )
    assert {one.alert_id: one.subject for one in found} == {
        first: ("incident", incident),
        second: ("incident", incident),
        alone: ("alert", alone),
    }


def test_verdicts_outlive_the_archive_and_a_look_back_knows_no_later_ones(
    records: Records,
) -> None:
    (_, _, alone), _ = seed(records)
    say(records, "real", alert_id=alone)
    records.write("acme", lambda session: alert_store.resolve(session, alert_id=alone, **WHO))
    later = {**WHO, "now": NOW + timedelta(days=100)}
    records.write(
        "acme",
        lambda session: alert_store.archive(
            session, tenant="acme", now=later["now"], actor="scheduler"
        ),
    )
    assert episodes(records)[alone][0] == "real"
    assert episodes(records, until=NOW - timedelta(seconds=1))[alone][0] == ""
    assert episodes(records, until=NOW)[alone][0] == "real"


def test_a_revision_changes_with_every_label_given_or_taken_back(records: Records) -> None:
    (first, second, _), _ = seed(records)
    seen = [revision(records)]
    for number in (first, second):
        say(records, "real", alert_id=number)
        seen.append(revision(records))
    records.write("acme", lambda session: audit_store.undo(session, **WHO))
    seen.append(revision(records))
    assert len(set(seen)) == 4
    assert (episodes(records)[first][0], episodes(records)[second][0]) == ("real", "")


def test_another_tenant_sees_none_of_it(records: Records) -> None:
    seed(records)
    for ask in (
        lambda session: label_store.episodes(session, tenant="other", domain="ads"),
        lambda session: alert_feed.near(
            session, tenant="other", domain="ads", since=NOW - timedelta(days=30)
        ),
    ):
        assert records.read("other", ask) == []


def test_alerts_near_a_day_are_those_seen_since(records: Records) -> None:
    records.write(
        "acme",
        lambda session: alert_store.upsert(
            session,
            found=[new_alert("campaign:1", days_ago=20), new_alert("campaign:2", days_ago=3)],
            **WHO,
        ),
    )
    rows = records.read(
        "acme",
        lambda session: alert_feed.near(
            session, tenant="acme", domain="ads", since=NOW - timedelta(days=5)
        ),
    )
    assert [(row.entity, row.status, row.severity) for row in rows] == [
        ("campaign:2", "open", "high")
    ]


def test_runs_are_counted_by_how_they_ended(records: Records) -> None:
    def write(session: Any) -> None:
        for day in (40, 2, 1):
            began = NOW - timedelta(days=day)
            run = run_store.start(
                session,
                tenant="acme",
                domain="ads",
                detector="ensemble",
                at=began,
                actor="ana",
                now=began,
            )
            if day != 1:
                run_store.fail(session, tenant="acme", run_id=run.id, now=NOW, error="no")

    records.write("acme", write)
    since = NOW - timedelta(days=30)
    counts = records.read(
        "acme",
        lambda session: run_store.outcomes(session, tenant="acme", domain="ads", since=since),
    )
    assert counts == {"failed": 1, "running": 1}


def test_the_newest_comparison_of_a_pair_is_found_by_its_data(records: Records) -> None:
    pair = {"tenant": "acme", "domain": "ads", "champion": "a", "challenger": "b"}

    def keep(data: str, when: Any) -> int:
        return records.write(
            "acme",
            lambda session: int(
                comparison_store.add(
                    session,
                    **pair,
                    data_version=data,
                    verdict="deploy",
                    report={"figures": [1.5, None]},
                    actor="ana",
                    now=when,
                ).id
            ),
        )

    keep("x", NOW)
    second = keep("x", NOW)
    keep("y", NOW)

    def newest(data: str, since: Any) -> Any:
        return records.read(
            "acme",
            lambda session: comparison_store.newest(
                session, **pair, data_version=data, since=since
            ),
        )

    found = newest("x", NOW)
    assert (found.id, found.report) == (second, {"figures": [1.5, None]})
    assert newest("x", NOW + timedelta(seconds=1)) is None
    assert newest("z", NOW) is None
