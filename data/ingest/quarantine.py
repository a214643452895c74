"""What a cell must be to count, and the list of those that are not."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import duckdb
import pyarrow as pa

from core.errors import HeadwaterError
from data.duck import Cursor, literal, rows, statements
from data.ingest.batch import Refusal

UNREADABLE = (
    HeadwaterError,
    OSError,
    UnicodeError,
    csv.Error,
    json.JSONDecodeError,
    zipfile.BadZipFile,
    pa.ArrowException,
    duckdb.DataError,
    duckdb.InvalidInputException,
)
"""What is raised over a file that is torn, of another encoding, or otherwise not what its name says."""

LISTED = 1000
"""Refusals listed per file; all are counted."""


@dataclass(frozen=True)
class Rule:
    """`bad` is SQL over {x}, the cell's text (NULL when empty), {n} its number and {d} its day."""

    kind: str
    rule: str
    bad: str


# All digits is the rule; an ASIN or a made id has letters; digits with an exponent were a float once.
NOT_AN_ID = (
    "NOT regexp_full_match({x}, '[0-9]+') AND (NOT regexp_full_match({x}, '[A-Za-z0-9_-]+')"
    " OR regexp_full_match({x}, '[0-9]+[eE][0-9]+'))"
)
ID = "an id in letters and digits, not a float (floats lose digits)"
RULES = (
    Rule("id", ID, f"{{x}} IS NULL OR ({NOT_AN_ID})"),
    Rule("optional id", ID, NOT_AN_ID),
    Rule("spare", "no cell beyond the header's columns", "{x} IS NOT NULL"),
    Rule("required", "given", "{x} IS NULL"),
    Rule("day", "a date", "{d} IS NULL"),
    Rule("day", "no later than its download on {as_of}", "{d} > DATE '{as_of}'"),
    Rule("same day", "the same as the start: one day per row", "{d} <> shown_day(day)"),
    Rule(
        "count",
        "a whole number, not negative",
        "{x} IS NOT NULL AND coalesce({n} < 0 OR NOT isfinite({n}) OR {n} <> floor({n}), true)",
    ),
    Rule(
        "money",
        "a finite amount, not negative",
        "{x} IS NOT NULL AND coalesce({n} < 0 OR NOT isfinite({n}), true)",
    ),
    Rule("number", "a finite number", "{x} IS NOT NULL AND coalesce(NOT isfinite({n}), true)"),
    Rule(
        "status",
        "ENABLED, PAUSED or ARCHIVED",
        "upper({x}) NOT IN ('ENABLED', 'PAUSED', 'ARCHIVED')",
    ),
)


@dataclass(frozen=True)
class Style:
    """How a format writes numbers and days: names of the macros that read them."""

    number: str = "plain_number"
    day: str = "plain_day"


PLAIN = Style()


@dataclass(frozen=True)
class Check:
    """One rule on one column."""

    column: str
    rule: str
    bad: str


def checks(kinds: Mapping[str, str], style: Style, as_of: date) -> list[Check]:
    """The rules that the columns' kinds bring."""
    found = []
    for column, kind in kinds.items():
        slots = {
            "x": column,
            "n": f"{style.number}({column})",
            "d": f"{style.day}({column})",
            "as_of": as_of.isoformat(),
        }
        found += [
            Check(column, rule.rule.format(**slots), f"coalesce({rule.bad.format(**slots)}, false)")
            for rule in RULES
            if rule.kind == kind
        ]
    return found


def whole(file: str, error: Exception) -> Refusal:
    """The refusal of a file that can not be used at all, of one of `UNREADABLE`."""
    if not isinstance(error, HeadwaterError):
        return Refusal(
            file, 0, "the file", str(error).split("\n", 1)[0][:200], "whole and readable"
        )
    facts = error.context
    cure = f" ({error.hint.rstrip('.')})" if error.hint else ""
    rule = f"{facts.get('needed', error.message)}{cure}"
    got = facts.get("got", "")
    value = ", ".join(map(str, got)) if isinstance(got, list) else str(got)
    return Refusal(file, 0, str(facts.get("thing", "")), value[:200], rule)


def refuse(
    cursor: Cursor,
    file: str,
    made: list[Check],
    headers: Mapping[str, str],
    named_by: Mapping[str, str] | None = None,
) -> tuple[list[Refusal], list[Check], int]:
    """The refused cells of `raw` (listed up to a bound), the checks that failed, and the rows of `raw`.

    headers  : column of `raw` → its header in the file
    named_by : column of `raw` → the column that tells its header row by row, where one does
    """
    sql = statements("ingest")
    counts = "".join(f", count(*) FILTER ({check.bad}) AS c{i}" for i, check in enumerate(made))
    counted = rows(cursor, sql["bad_counts"].format(counts=counts))[0]
    failed = [check for i, check in enumerate(made) if counted[f"c{i}"]]
    refused = [
        Refusal(file, cell["line"], cell["column"], cell["value"][:200], check.rule)
        for check in failed
        for cell in rows(
            cursor,
            sql["refusals"].format(
                header=(named_by or {}).get(check.column) or literal(headers[check.column]),
                column=check.column,
                bad=check.bad,
                limit=LISTED,
            ),
        )
    ]
    refused.sort(key=lambda refusal: (refusal.line, refusal.column))
    return refused[:LISTED], failed, counted["rows"]
