"""Incidents told by others: the same once however often told, and what people corrected stays corrected."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core.errors import ConflictError, InvalidInputError
from data import audit_store, incident_reports, incident_store
from data.finding_store import Upserted
from data.incident_reports import Report
from data.ingest.incident_files import reported, standing
from data.record_store import Records
from tests.findings import NOW, new_incident

WHO = {"tenant": "acme", "actor": "ana", "now": NOW}


def told(key: str = "INC-1", **facts: Any) -> Report:
    """A report of a checkout that was slow an hour ago."""
    known = {
        "title": "Checkout slow",
        "severity": "high",
        "onset": NOW - timedelta(hours=1),
        "services": ["checkout"],
    }
    return Report(reported("services", source="file", key=key, **known | facts))


def tell(records: Records, *found: Report) -> Upserted:
    return records.write(
        "acme", lambda session: incident_reports.report(session, found=found, **WHO)
    )


def stored(records: Records, number: int = 1) -> Any:
    return records.read("acme", lambda s: incident_store.get(s, tenant="acme", incident_id=number))


def edit(records: Records, **values: Any) -> Any:
    return records.write(
        "acme",
        lambda s: incident_reports.edit(s, incident_id=1, values=values, **WHO),
    )


def undo(records: Records) -> None:
    records.write("acme", lambda s: audit_store.undo(s, tenant="acme", actor="ana", now=NOW))


def shown(records: Records, **filters: Any) -> list[int]:
    chosen = {"status": ("open", "acknowledged", "resolved")} | filters
    page = records.read("acme", lambda s: incident_store.page(s, tenant="acme", **chosen))
    return [row.id for row in page.rows]


def test_the_same_report_again_changes_nothing_and_a_newer_one_updates(records: Records) -> None:
    assert tell(records, told(), told("INC-2")) == Upserted(2, 0, 0, (1, 2))
    version = stored(records).version
    assert tell(records, told(), told("INC-2")) == Upserted(0, 0, 2, (1, 2))
    assert stored(records).version == version
    assert tell(records, told(severity="critical")) == Upserted(0, 1, 0, (1,))
    assert (stored(records).severity, stored(records).severity_rank) == ("critical", 3)
    assert (stored(records).source, stored(records).label_status) == ("file", "unlabeled")


def test_the_last_of_several_reports_of_one_incident_counts(records: Records) -> None:
    kept = tell(records, told(title="First"), told(title="Second"))
    assert kept == Upserted(1, 0, 0, (1, 1))
    assert stored(records).title == "Second"


def test_a_correction_outlives_the_same_report_but_not_news(records: Records) -> None:
    tell(records, told())
    edit(records, title="Payment down", services=["payment"])
    tell(records, told())
    assert (stored(records).title, stored(records).services) == ("Payment down", ["payment"])
    tell(records, told(title="Checkout slow again", ended_at=NOW))
    row = stored(records)
    assert (row.title, row.services, row.ended_at) == ("Checkout slow again", ["payment"], NOW)


def test_undo_hides_what_was_told_and_telling_again_brings_it_back(records: Records) -> None:
    tell(records, told(), told("INC-2"))
    undo(records)
    assert (shown(records), stored(records).status) == ([], "withdrawn")
    assert tell(records, told()) == Upserted(0, 1, 0, (1,))
    assert shown(records) == [1]


def test_an_edit_is_undone_and_meets_the_version_it_was_made_on(records: Records) -> None:
    tell(records, told())
    edit(records, severity="low", regions=["eu-west"])
    assert (stored(records).severity_rank, stored(records).regions) == (0, ["eu-west"])
    undo(records)
    assert (stored(records).severity, stored(records).severity_rank) == ("high", 2)
    with pytest.raises(ConflictError, match="version"):
        records.write(
            "acme",
            lambda s: incident_reports.edit(
                s, incident_id=1, values={"title": "x"}, expected_version=1, **WHO
            ),
        )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"status": "resolved"}, "one of title, description, severity"),
        ({"severity": "awful"}, "one of low, medium, high, critical"),
        ({"ended_at": NOW - timedelta(days=2)}, "no earlier than the onset"),
    ],
)
def test_what_cannot_be_said_of_an_incident_is_refused(
    records: Records, values: dict[str, Any], said: str
) -> None:
    tell(records, told())
    with pytest.raises(InvalidInputError, match=said):
        edit(records, **values)
    assert stored(records).version == 1


def test_an_incident_is_found_by_who_told_it_and_its_key(records: Records) -> None:
    tell(records, told("INC-7"))

    def find(source: str, key: str, tenant: str = "acme") -> Any:
        return records.read(
            tenant, lambda s: incident_reports.find(s, tenant=tenant, source=source, key=key)
        )

    assert find("file", "INC-7").id == 1
    assert find("hand", "INC-7") is find("file", "INC-8") is None
    assert find("file", "INC-7", "rival") is None


def test_detection_neither_takes_over_nor_forgets_what_others_told(records: Records) -> None:
    tell(records, told(domain_key := "INC-1"))
    found = [new_incident("service:cart", domain="services")]

    def detect() -> Upserted:
        return records.write("acme", lambda s: incident_store.upsert(s, found=found, **WHO))

    assert detect().ids == (2,)
    records.write(
        "acme",
        lambda s: incident_reports.edit(
            s, incident_id=2, values={"description": "cache was cold"}, **WHO
        ),
    )
    found = [new_incident("service:cart", domain="services", confidence=0.9)]
    assert detect() == Upserted(0, 1, 0, (2,))
    row = stored(records, 2)
    assert (row.description, row.confidence, row.source) == ("cache was cold", 0.9, "headwater")
    assert stored(records).external_key == domain_key


def test_lists_are_filtered_by_source_service_label_and_time(records: Records) -> None:
    day = timedelta(days=1)
    tell(
        records,
        told("a", services=["cart", "pay_ment"]),
        told("b", services=["shopping cart"], onset=NOW - 5 * day),
        told("c", services=["payXment"], onset=NOW - 9 * day, description="Router flapping"),
    )
    assert shown(records, service="cart") == [1]
    assert shown(records, service="pay_ment") == [1]
    assert shown(records, span=(NOW - 9 * day, NOW - day)) == [2, 3]
    assert shown(records, text="flapping") == shown(records, text="c")[-1:] == [3]
    assert shown(records, source="hand") == shown(records, label="validated") == []
    tally = records.read("acme", lambda s: incident_store.tally(s, tenant="acme"))
    assert tally == {"unlabeled": 3}


def test_an_ended_incident_is_resolved_when_it_ended(records: Records) -> None:
    report = told(ended_at=NOW)
    tell(records, Report(report.facts, standing(NOW, "file")))
    row = stored(records)
    assert (row.status, row.resolved_at, row.resolved_by) == ("resolved", NOW, "file")
