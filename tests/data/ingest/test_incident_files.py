"""CSV files of incidents and changes: read by many names, each broken cell told with line, column and rule."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from core.errors import InvalidInputError
from data.ingest import incident_files
from data.ingest.incident_files import moment, names, severity

TEN = datetime(2026, 3, 10, 10, tzinfo=UTC)


def incidents(text: str) -> incident_files.Told[incident_files.Report]:
    return incident_files.incidents(text.encode(), "incidents.csv", "services")


def test_a_file_of_incidents_is_read_whole() -> None:
    told = incidents(
        "id,title,description,severity,started_at,ended_at,services,regions\n"
        'INC-1,"Checkout, slow","two\nlines",P1,2026-03-10T10:00:00Z,2026-03-10 11:30:00+01:00,cart;pay,eu|us\n'
        'INC-2,Cart down,,low,1773136800,,"[""cart""]",\n'
    )
    assert (told.refused, told.notes) == ((), ())
    first, second = told.rows
    assert (first.facts.title, first.facts.severity) == ("Checkout, slow", "critical")
    assert first.facts.description == "two\nlines"
    assert (first.facts.services, first.facts.regions) == (["cart", "pay"], ["eu", "us"])
    assert first.stands["status"] == "resolved"
    assert first.facts.ended_at == first.stands["resolved_at"] == TEN.replace(minute=30)
    assert (second.facts.onset, second.facts.ended_at) == (TEN, None)
    assert (second.stands, second.facts.services) == ({"status": "open"}, ["cart"])
    assert (second.facts.source, second.facts.external_key) == ("file", "INC-2")


def test_other_names_delimiters_and_a_duration_serve_too() -> None:
    told = incidents("\ufeffsummary;priority;start;duration\nDisk full;SEV-2;2026-03-10T10:00;90\n")
    (row,) = told.rows
    assert (row.facts.severity, row.facts.onset) == ("high", TEN)
    assert row.facts.ended_at == TEN.replace(hour=11, minute=30)
    assert len(row.facts.external_key) == 32
    assert (
        incidents("summary,priority,start\nDisk full,1,2026-03-10T10:00\n")
        .rows[0]
        .facts.external_key
        == row.facts.external_key
    )


def test_each_broken_cell_is_told_and_the_rest_counts() -> None:
    told = incidents(
        "title,severity,started_at,ended_at,team\n"
        ",high,2026-03-10,,x\n"
        "a,awful,yesterday,,x\n"
        "b,low,2026-03-10,2026-03-09,x\n"
        "c,low,2026-03-10,,x,more\n"
        "\n"
        "d,low,2026-03-10,,x\n"
    )
    assert [row.facts.title for row in told.rows] == ["d"]
    assert [(cell.line, cell.column, cell.value) for cell in told.refused] == [
        (2, "title", ""),
        (3, "severity", "awful"),
        (3, "started_at", "yesterday"),
        (4, "ended_at", "2026-03-09 00:00:00+00:00"),
        (5, "", "more"),
    ]
    assert told.refused[1].rule == "one of low, medium, high, critical, or P1 to P5"
    assert told.notes == ("incidents.csv: nothing reads the columns team",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"title,severity\nx,low\n", "started_at must be there"),
        (b'title,severity,started_at\n"x,low,2026', "readable CSV"),
        ("title\nJörg".encode("latin-1"), "UTF-8"),
    ],
)
def test_what_is_no_such_file_is_refused_by_name(content: bytes, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as refused:
        incident_files.incidents(content, "x.csv", "services")
    assert refused.value.message.startswith("x.csv: ")


def test_a_file_of_changes_is_read_and_its_events_have_keys() -> None:
    text = (
        "at,kind,entity,title,detail\n"
        "2026-03-10T10:00:00Z,Deploy,service:cart,cart 1.2,abc\n"
        "2026-03-10T10:00:00Z,explode,service:cart,boom,\n"
    )
    told = incident_files.changes(text.encode(), "events.csv", "services")
    (event,) = told.rows
    assert (event.kind, event.at, event.entity, event.detail) == (
        "deploy",
        TEN,
        "service:cart",
        "abc",
    )
    again = incident_files.changes(text.encode(), "other.csv", "services")
    assert again.rows[0].external_key == event.external_key
    (refused,) = told.refused
    assert (refused.line, refused.column, refused.value) == (3, "kind", "explode")


@pytest.mark.parametrize(
    ("text", "grade"),
    [
        ("P1", "critical"),
        ("sev2", "high"),
        ("S3", "medium"),
        ("4", "low"),
        ("P5", "low"),
        ("High", "high"),
    ],
)
def test_a_priority_is_a_severity(text: str, grade: str) -> None:
    assert severity(text) == grade


def test_lists_and_times_in_cells() -> None:
    assert names("a, b,a") == ["a", "b"]
    assert names("a, b; c") == ["a, b", "c"]
    assert moment("2026-03-10T12:00:00+02:00") == TEN
    for text in ("[1]", "[oops"):
        with pytest.raises(ValueError, match=r"list of names|JSON list"):
            names(text)
    with pytest.raises(ValueError, match="a time such as"):
        moment("99999999999999")
