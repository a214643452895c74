"""CSV files of incidents and of change events, as a person exports or writes them.

A row that breaks a rule is left out and told with its line, column and value; the rest counts. Columns go by
several names; those that nothing reads are told too.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from core.domain import CHANGE_KINDS
from core.errors import InvalidInputError
from data.finding_store import fingerprint
from data.incident_reports import Report
from data.ingest.batch import Refusal
from data.ingest.sheet import DELIMITERS
from data.records import SEVERITIES, ChangeEvent, NewIncident

SOURCE = "file"
LONGEST = {"title": 500, "description": 20_000, "detail": 20_000, "id": 120, "entity": 500}
"""Characters that a cell may have."""
MOST_ROWS = 100_000

Row = TypeVar("Row")


@dataclass(frozen=True)
class Column:
    """A column under the names that files give it; `read` turns its text into a value or raises ValueError(rule)."""

    names: tuple[str, ...]
    read: Callable[[str], Any]
    required: bool = False


@dataclass(frozen=True)
class Told(Generic[Row]):
    """What a file says: its rows, the cells that could not be used, and what was left aside, in words."""

    rows: tuple[Row, ...]
    refused: tuple[Refusal, ...]
    notes: tuple[str, ...] = ()


def moment(text: str) -> datetime:
    """A time as files write it: ISO 8601 or seconds since 1970; without a zone it is UTC."""
    rule = "a time such as 2026-03-10T06:00:00Z, or seconds since 1970"
    try:
        if re.fullmatch(r"\d{9,11}(\.\d+)?", text):
            return datetime.fromtimestamp(float(text), UTC)
        parsed = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ValueError(rule) from None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def names(text: str) -> list[str]:
    """A list in one cell: JSON, or split at `;` or `|`, else at commas; each name once."""
    if text.startswith("["):
        try:
            found = json.loads(text)
        except ValueError:
            raise ValueError("a JSON list of names, or names split by ;") from None
    else:
        found = re.split(r"[;|]" if re.search(r"[;|]", text) else ",", text)
    if not all(isinstance(name, str) and len(name) <= 200 for name in found):
        raise ValueError("a list of names of at most 200 characters")
    return list(dict.fromkeys(name.strip() for name in found if name.strip()))


def severity(text: str) -> str:
    """One of ours, or a priority of a pager: P1 or SEV1 is critical, 2 high, 3 medium, 4 and 5 low."""
    word = text.strip().lower()
    if word in SEVERITIES:
        return word
    graded = re.fullmatch(r"(?:p|sev|s|priority|severity)?[\s-]*([1-5])", word)
    if graded:
        return SEVERITIES[max(0, 4 - int(graded[1]))]
    raise ValueError(f"one of {', '.join(SEVERITIES)}, or P1 to P5")


def _text(name: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if len(text) > LONGEST[name]:
            raise ValueError(f"at most {LONGEST[name]:,} characters")
        return text

    return read


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ValueError("a number of minutes, not negative")
    return value


def kind(text: str) -> str:
    """What was done, of a fixed vocabulary."""
    word = text.strip().lower()
    if word not in CHANGE_KINDS:
        raise ValueError(f"one of {', '.join(CHANGE_KINDS)}")
    return word


INCIDENT = {
    "id": Column(("id", "incident_id", "key", "number"), _text("id")),
    "title": Column(("title", "summary", "name"), _text("title"), required=True),
    "description": Column(("description", "details", "body"), _text("description")),
    "severity": Column(("severity", "priority"), severity, required=True),
    "onset": Column(
        ("started_at", "onset", "start", "created_at", "started"), moment, required=True
    ),
    "ended_at": Column(("ended_at", "end", "resolved_at", "ended"), moment),
    "minutes": Column(("duration_minutes", "duration"), _minutes),
    "services": Column(("services", "service", "affected_services"), names),
    "regions": Column(("regions", "region", "affected_regions"), names),
}
CHANGE = {
    "id": Column(("id", "event_id", "key"), _text("id")),
    "at": Column(("at", "time", "started_at", "timestamp"), moment, required=True),
    "ended_at": Column(("ended_at", "end", "finished_at"), moment),
    "kind": Column(("kind", "type"), kind, required=True),
    "entity": Column(("entity", "node", "service"), _text("entity")),
    "title": Column(("title", "summary", "name"), _text("title"), required=True),
    "detail": Column(("detail", "details", "description"), _text("detail")),
}


def incidents(content: bytes, file: str, domain: str) -> Told[Report]:
    """A CSV of incidents; one that ended is resolved. Without an id, title and onset name the incident."""

    def make(cells: Mapping[str, Any]) -> Report:
        onset, ended = cells["onset"], cells.get("ended_at")
        if ended is None and "minutes" in cells:
            ended = datetime.fromtimestamp(onset.timestamp() + 60 * cells["minutes"], UTC)
        if ended is not None and ended < onset:
            raise _Broken("ended_at", str(ended), f"no earlier than the start, {onset}")
        facts = reported(
            domain,
            source=SOURCE,
            key=cells.get("id") or fingerprint(cells["title"], onset)[:32],
            **{
                name: cells[name]
                for name in ("title", "description", "severity", "services", "regions")
                if name in cells
            },
            onset=onset,
            ended_at=ended,
        )
        return Report(facts, standing(ended, SOURCE))

    return _read(content, file, INCIDENT, make)


def changes(content: bytes, file: str, domain: str) -> Told[ChangeEvent]:
    """A CSV of change events; without an id, all of its facts name the event."""

    def make(cells: Mapping[str, Any]) -> ChangeEvent:
        ended = cells.get("ended_at")
        if ended is not None and ended < cells["at"]:
            raise _Broken("ended_at", str(ended), f"no earlier than the start, {cells['at']}")
        facts = {name: value for name, value in cells.items() if name != "id"}
        return ChangeEvent(
            domain=domain,
            source=SOURCE,
            external_key=cells.get("id") or fingerprint(*sorted(map(str, facts.items())))[:32],
            **facts,
        )

    return _read(content, file, CHANGE, make)


def reported(domain: str, *, source: str, key: str, **facts: Any) -> NewIncident:
    """An incident that somebody told: nobody knows its root yet."""
    unknown = {"root_entity": "", "root_level": "", "cause_type": "", "confidence": 0.0}
    return NewIncident(domain=domain, source=source, external_key=key, **unknown, **facts)


def standing(ended: datetime | None, by: str) -> dict[str, Any]:
    """The status of an incident that ended then, or has not."""
    if ended is None:
        return {"status": "open"}
    return {"status": "resolved", "resolved_at": ended, "resolved_by": by}


class _Broken(Exception):
    """A rule over several cells: column, value, rule."""


def _read(
    content: bytes,
    file: str,
    columns: Mapping[str, Column],
    make: Callable[[Mapping[str, Any]], Row],
) -> Told[Row]:
    lines = _lines(content, file)
    header = [cell.strip().lower() for cell in lines[0][1]]
    place = {
        name: header.index(found)
        for name, column in columns.items()
        if (found := next((alias for alias in column.names if alias in header), None)) is not None
    }
    for name, column in columns.items():
        if column.required and name not in place:
            rule = f"there, under one of these names: {', '.join(column.names)}"
            raise InvalidInputError.of(file, f"the column {column.names[0]}", rule, header)
    rows: list[Row] = []
    ids: Counter[str] = Counter()
    refused: list[Refusal] = []
    for line, cells in lines[1:]:
        broken = (
            [Refusal(file, line, "", cells[len(header)][:200], "no cell beyond the header's")]
            if (len(cells) > len(header))
            else []
        )
        told: dict[str, Any] = {}
        for name, index in place.items():
            text = cells[index].strip() if index < len(cells) else ""
            if not text:
                if columns[name].required:
                    broken.append(Refusal(file, line, header[index], "", "given"))
                continue
            try:
                told[name] = columns[name].read(text)
            except ValueError as error:
                broken.append(Refusal(file, line, header[index], text[:200], str(error)))
        if not broken:
            try:
                rows.append(make(told))
                ids.update([told["id"]] if "id" in told else [])
            except _Broken as error:
                column, value, rule = error.args
                broken.append(Refusal(file, line, column, value, rule))
        refused += broken
    used = {header[index] for index in place.values()}
    aside = [name for name in header if name and name not in used]
    notes = [f"{file}: nothing reads the columns {', '.join(aside)}"] if aside else []
    if again := [key for key, times in ids.items() if times > 1]:
        notes.append(f"{file}: the last line counts of those with the same id: {', '.join(again)}")
    return Told(tuple(rows), tuple(refused), tuple(notes))


def _lines(content: bytes, file: str) -> Sequence[tuple[int, list[str]]]:
    """The header and every row that says something, each with its line in the file."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError.of(
            file, "the file", "CSV in UTF-8", content[error.start : error.start + 8]
        ) from None
    first = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    found: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.append((reader.line_num, cells))
            if len(found) > MOST_ROWS + 1:
                rule = f"at most {MOST_ROWS:,} rows long"
                raise InvalidInputError.of(file, "the file", rule, "more", "Split it.")
    except csv.Error as error:
        raise InvalidInputError.of(
            file, f"line {reader.line_num}", "readable CSV", str(error)
        ) from None
    if not found:
        raise InvalidInputError.of(file, "the file", "a CSV with a header", "an empty file")
    return found
