"""calendar.csv: days on which something unusual is expected, e.g. promotions."""

from __future__ import annotations

import csv
import re
from datetime import date

import pyarrow as pa

from core.domain import Domain
from data.ingest.batch import EVENTS, Batch, Refusal
from data.ingest.source import Source

HEADER = ("scope_level", "scope_id", "from", "to", "kind", "name")


def recognise(source: Source) -> bool:
    """Whether the first line is a calendar's."""
    first = source.head.decode("utf-8-sig", errors="replace").splitlines()[:1]
    return bool(first) and tuple(first[0].strip().lower().split(",")) == HEADER


def read(source: Source, domain: Domain) -> Batch:
    """The events; a line with a bad level, date or range is refused."""
    events, refused, count = [], [], 0
    with source.path.open(encoding="utf-8-sig", newline="") as file:
        for line, row in enumerate(csv.DictReader(file), start=2):
            count += 1
            fault = _fault(row, domain)
            if fault:
                refused.append(Refusal(source.name, line, fault[0], str(row[fault[0]]), fault[1]))
                continue
            scope = f"{row['scope_level']}:{row['scope_id']}" if row["scope_id"] else ""
            first, last = date.fromisoformat(row["from"]), date.fromisoformat(row["to"])
            events.append(
                {
                    "scope": scope,
                    "first": first,
                    "last": last,
                    "kind": row["kind"],
                    "name": row["name"],
                }
            )
    return source.batch(
        "calendar",
        rows=count,
        events=pa.Table.from_pylist(events, schema=EVENTS),
        refused=tuple(refused),
        refused_rows=len(refused),
    )


def _fault(row: dict[str, str], domain: Domain) -> tuple[str, str] | None:
    if row["scope_id"] and row["scope_level"] not in domain.levels:
        return (
            "scope_level",
            f"one of {', '.join(domain.levels)}, or empty with scope_id for everything",
        )
    for column in ("from", "to"):
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", row[column] or ""):
            return column, "a date YYYY-MM-DD"
        try:
            date.fromisoformat(row[column])
        except ValueError:
            return column, "a date that exists"
    if row["to"] < row["from"]:
        return "to", "not before `from`"
    return None if row["kind"] else ("kind", "given")
