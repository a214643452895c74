"""Event logs: CSV or Parquet of cases, activities, resources and times, as an `EventTable`.

Columns are known by the names that process mining tools write, whatever their case, or by a mapping
`{"case": column, "activity": column, "timestamp": column, …}`. Duration is kept in minutes: as its column says
(`duration_seconds`, `duration_hours`), or as "duration_unit" of the mapping says, or from start and timestamp. Other
columns are kept as text under their own names. A row with a bad cell is refused by file, line, column, value and
rule; every row of the file is either an event or refused.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import available_timezones

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import InvalidInputError, UnknownNameError
from core.evaluate.event_log import ATTRIBUTES, Truth
from core.events import EventTable, Texts
from data.duck import Cursor, literal, statements
from data.ingest import sheet
from data.ingest.batch import Refusal
from data.ingest.facts import workspace
from data.ingest.quarantine import Check, refuse
from data.ingest.source import Source, open_source

SUFFIXES = (".csv", ".tsv", ".parquet")
NAMES = {
    "case": ("case", "case_id", "caseid", "case:concept:name", "trace_id"),
    "activity": ("activity", "concept:name", "task", "event"),
    "resource": ("resource", "org:resource", "user"),
    "timestamp": (
        "timestamp",
        "time:timestamp",
        "complete",
        "complete_timestamp",
        "completed",
        "time",
    ),
    "start": ("start", "start_timestamp", "start_time", "started"),
    "duration": (
        "duration",
        "duration_minutes",
        "duration_seconds",
        "duration_hours",
        "duration_days",
    ),
    "cost": ("cost", "costs", "cost:total", "amount"),
}
"""What each column of a log is called in the files of this world."""
REQUIRED = ("case", "activity", "timestamp")
MINUTES = {"seconds": 1 / 60, "minutes": 1.0, "hours": 60.0, "days": 1440.0}


@dataclass(frozen=True, eq=False)
class EventLog:
    """What was read: the events, and what could not be used.

    table : keys = cases; texts activity, resource, file and the file's other columns; numbers duration (minutes), cost
    rows  : rows in the files; `refused_rows` of them were left out, for the reasons in `refused`
    """

    table: EventTable
    rows: int
    refused: tuple[Refusal, ...]
    refused_rows: int


def read_event_log(
    path: Path, *, mapping: Mapping[str, str] | None = None, zone: str = "UTC"
) -> EventLog:
    """The event log in a file, or in all files of a folder but its `truth/`.

    zone : of times that name none, and of the hours of the day
    """
    if zone not in available_timezones():
        raise InvalidInputError.of("event log", "the zone", "of the IANA list", zone)
    files = [file for file in _files(path) if file.suffix.lower() in SUFFIXES]
    if not files:
        rule = f"a file or a folder with one of {', '.join(SUFFIXES)}"
        raise InvalidInputError.of("event log", "the path", rule, str(path))
    parts: list[pa.Table] = []
    refused: list[Refusal] = []
    rows = 0
    with workspace() as cursor:
        cursor.execute(statements("ingest")["event_macros"])
        for file in files:
            source = open_source(file, root=None if path.is_file() else path)
            part, bad, read = _read(cursor, source, mapping or {}, zone)
            parts.append(part)
            refused += bad
            rows += read
    events = pa.concat_tables(parts, promote_options="permissive")
    return EventLog(_table(events, zone), rows, tuple(refused), rows - len(events))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    inner = ((file, file.relative_to(path).parts) for file in sorted(path.rglob("*")))
    return [
        file
        for file, parts in inner
        if parts[0] != "truth" and not any(part.startswith(".") for part in parts)
    ]


def _read(
    cursor: Cursor, source: Source, mapping: Mapping[str, str], zone: str
) -> tuple[pa.Table, list[Refusal], int]:
    """The usable rows of one file, what was refused, and how many rows it has."""
    heading = sheet.headers(source)
    place = _places(source.name, heading, mapping)
    unit = MINUTES[_unit(heading, place, mapping)]
    sheet.load(cursor, source)
    used = {at for name, at in place.items() if name != "start"}
    others = [at for at in range(len(heading)) if at not in used]
    cells = {f"{name}_text": at for name, at in place.items()} | {f"x{at}": at for at in others}
    selected = "".join(f", c{at} AS {name}" for name, at in cells.items())
    cursor.execute(statements("ingest")["mapped"].format(selected=f"{selected}, spare"))
    checks = _checks(place, zone)
    shown = {f"{name}_text": heading[at] for name, at in place.items()} | {"spare": ""}
    refused, failed, rows = refuse(cursor, source.name, checks, shown)
    bad = " OR ".join(check.bad for check in failed) or "false"
    found = _query(cursor, place, [f"x{at}" for at in others], unit, zone, bad)
    names = found.column_names[: len(found.column_names) - len(others)]
    for at in others:
        name = heading[at]
        names.append(f"{name} ({at + 1})" if name in (*names, "file") else name)
    file = pa.array([source.name]).take(pa.array(np.zeros(len(found), dtype=np.int64)))
    return found.rename_columns(names).append_column("file", file), refused, rows


def _places(file: str, heading: Sequence[str], mapping: Mapping[str, str]) -> dict[str, int]:
    """Column number of each part of the log."""
    for name, column in mapping.items():
        if name not in (*NAMES, "duration_unit"):
            rule = f"one of {', '.join(NAMES)}, duration_unit"
            raise UnknownNameError.of(file, "a key of the mapping", rule, name)
        if name in NAMES and column not in heading:
            rule = f"one of {', '.join(heading)}"
            raise UnknownNameError.of(file, f"the column of {name}", rule, column)
    lower = [name.strip().lower().replace(" ", "_") for name in heading]
    place: dict[str, int] = {}
    for part, names in NAMES.items():
        known = [name for name in names if name in lower]
        if part in mapping:
            place[part] = list(heading).index(mapping[part])
        elif known:
            place[part] = lower.index(known[0])
    for part in REQUIRED:
        if part not in place:
            rule = f"a column such as {', '.join(NAMES[part][:3])}"
            hint = f"Name it: --column {part}=…, or mapping={{{part!r}: …}} in Python."
            raise InvalidInputError.of(file, part, rule, ", ".join(heading), hint)
    return place


def _unit(heading: Sequence[str], place: Mapping[str, int], mapping: Mapping[str, str]) -> str:
    told = mapping.get("duration_unit", "")
    if told and told not in MINUTES:
        rule = f"one of {', '.join(MINUTES)}"
        raise InvalidInputError.of("event log", "duration_unit", rule, told)
    named = heading[place["duration"]].lower().rpartition("_")[2] if "duration" in place else ""
    return told or (named if named in MINUTES else "minutes")


def _checks(place: Mapping[str, int], zone: str) -> list[Check]:
    checks = [Check("spare", "no cell beyond the header's columns", "spare IS NOT NULL")]
    checks += [
        Check(f"{name}_text", "given", f"({name}_text IS NULL)") for name in ("case", "activity")
    ]
    time = f"instant(timestamp_text, {literal(zone)})"
    checks.append(Check("timestamp_text", "a date and time", f"({time} IS NULL)"))
    if "start" in place:
        start = f"instant(start_text, {literal(zone)})"
        late = f"(start_text IS NOT NULL AND coalesce({start} > {time}, {start} IS NULL))"
        checks.append(Check("start_text", "a date and time not after the timestamp", late))
    for name, rule, bad in (
        ("duration", "a finite number, not negative", "NOT isfinite({n}) OR {n} < 0"),
        ("cost", "a finite number", "NOT isfinite({n})"),
    ):
        text = f"{name}_text"
        refused = bad.format(n=f"plain_number({text})")
        if name in place:
            checks.append(Check(text, rule, f"({text} IS NOT NULL AND coalesce({refused}, true))"))
    return checks


def _query(
    cursor: Cursor,
    place: Mapping[str, int],
    others: Sequence[str],
    unit: float,
    zone: str,
    bad: str,
) -> pa.Table:
    time = f"instant(timestamp_text, {literal(zone)})"
    durations = [f"plain_number(duration_text) * {unit}"] if "duration" in place else []
    if "start" in place:
        durations.append(f"({time} - instant(start_text, {literal(zone)})) / 6e7")
    parts = [
        'case_text AS "case"',
        "activity_text AS activity",
        f"{'resource_text' if 'resource' in place else 'NULL::VARCHAR'} AS resource",
        f"{time} AS time",
        f"coalesce({', '.join([*durations, 'NULL::DOUBLE'])}) AS duration",
        f"{'plain_number(cost_text)' if 'cost' in place else 'NULL::DOUBLE'} AS cost",
        *others,
    ]
    sql = statements("ingest")["events"].format(selected=", ".join(parts), bad=bad)
    return cursor.sql(sql).to_arrow_table()


def _table(events: pa.Table, zone: str) -> EventTable:
    numbers = {
        name: events[name].to_numpy(zero_copy_only=False).astype(np.float64)
        for name in ("duration", "cost")
    }
    texts = {
        name: _texts(events[name])
        for name in events.column_names
        if name not in ("case", "time", *numbers)
    }
    time = events["time"].to_numpy().astype("datetime64[us]")
    return EventTable.of(_texts(events["case"]), time, texts, numbers, zone)


def _texts(column: pa.ChunkedArray) -> Texts:
    """A column of text as codes into its sorted vocabulary."""
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    words = encoded.dictionary.to_pylist()
    order = sorted(range(len(words)), key=words.__getitem__)
    rank = np.empty(len(words) + 1, dtype=np.int32)
    rank[order] = np.arange(len(words))
    rank[-1] = -1
    codes = pc.fill_null(encoded.indices, len(words)).to_numpy(zero_copy_only=False)
    return Texts(rank[codes], tuple(words[i] for i in order))


def read_truth(folder: Path, log: EventLog) -> Truth:
    """`truth/traces.csv` (case_id, kind) and, where there is one, `truth/attributes.csv` (case_id, event_index,
    attribute) beside a log; an event counts from 0 by time within its case."""
    traces = _truth_rows(folder / "truth" / "traces.csv", ("case_id", "kind"))
    kind_of = {row["case_id"]: row["kind"] for row in traces}
    table = log.table
    for key in table.keys:
        if key not in kind_of:
            raise InvalidInputError.of("truth/traces.csv", "case_id", "there for every case", key)
    kinds = np.array([kind_of[key] for key in table.keys])
    file = folder / "truth" / "attributes.csv"
    if not file.exists():
        return Truth(kinds)
    wrong = np.zeros((len(table), len(ATTRIBUTES)), dtype=bool)
    row_of = {key: row for row, key in enumerate(table.keys)}
    for line, row in enumerate(_truth_rows(file, ("case_id", "event_index", "attribute")), start=2):
        case, place = row_of.get(row["case_id"], -1), row["event_index"]
        there = case >= 0 and place.isdecimal() and int(place) < table.lengths[case]
        if not there or row["attribute"] not in ATTRIBUTES:
            rule = f"an event of the log and one of {', '.join(ATTRIBUTES)}"
            raise InvalidInputError.of("truth/attributes.csv", f"line {line}", rule, row)
        wrong[table.offsets[case] + int(place), ATTRIBUTES.index(row["attribute"])] = True
    return Truth(kinds, wrong)


def _truth_rows(file: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    if not file.exists():
        raise InvalidInputError.of("event log", "the truth", "beside the log", str(file))
    with file.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines)
        if not set(columns) <= set(rows.fieldnames or ()):
            rule = f"with columns {', '.join(columns)}"
            raise InvalidInputError.of("event log", file.name, rule, rows.fieldnames)
        return list(rows)
