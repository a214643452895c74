"""Files of measurements: long or wide CSV and Parquet, what runs, what reaches what, what metrics are.

    nodes.csv      node, level, parent, name, …        what runs; further columns are kept as attributes
    edges.csv      source, target, kind                from cause to effect: callee → caller, node → pod;
                                                       valid_from and valid_to bound an edge in time
    metrics.csv    metric, label, unit, bad, nature    nature `counter` makes rates of what only counts up
    long           time, node, metric, value           or time, caller, callee, metric, value
    wide           time, node, <metric>, …
    *.prom, *.om   Prometheus' or OpenMetrics text with timestamps, read by `exposition`

A file is known by its columns. One of edges tells all of them: the next of its name replaces it from its download on.
A folder with `suite.json` is a labelled suite: its observations and its reference are read, its answers are not.
Times are ISO 8601 (UTC where no zone is told) or counted from 1970. Where semicolons part the cells of a CSV, a comma
is the decimal mark.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.domain import Domain
from core.errors import InvalidInputError
from data.duck import Cursor, rows, statements
from data.ingest import exposition, sheet
from data.ingest.batch import Samples
from data.ingest.declared import DECLARED, GIVEN, Naming, Reader
from data.ingest.facts import workspace
from data.ingest.quarantine import UNREADABLE, Check, refuse, whole
from data.ingest.reading import Plan, plan
from data.ingest.source import Source, open_source

log = logging.getLogger(__name__)

TIME = ("time", "timestamp", "at", "ts", "datetime", "date")
# The more special name first, with the level that it implies, "" where the names tell it themselves.
WHO = {
    "entity": "",
    "component": "",
    "pod": "pod",
    "service": "service",
    "node": "",
    "instance": "node",
    "host": "node",
    "region": "region",
}
NOT_MEASURED = ("case_id", "label", "level")
SUITE = "suite.json"
DECLARING = ("metrics.csv", "nodes.csv", "edges.csv")
OTHERS = {
    "cases.csv": "it holds the answers: `headwater evaluate cause` reads it",
    "labels.csv": "what people said comes in with `headwater labels import`",
}
"""Files of the layouts that hold no measurements to store, and why."""
ELSEWHERE = ("events.csv", "incidents.csv")
"""Files that other readers take in."""
CALL = "→"
SIGN = "="
"""What stands before a metric while it is the name of a column."""
UTC_MOMENT = pa.timestamp("us")
PIECE = 4_000_000
"""Samples that are handed on at once: a file may hold more than memory does."""
MEMORY = "1GB"
"""What reading may hold; the rest goes to a temporary file."""
CHECKS = (
    Check(
        "spare",
        "as long as the header; a cell that holds a comma stands in quotes",
        "spare IS NOT NULL",
    ),
    Check("time::VARCHAR", "a time: ISO 8601, or counted from 1970", "moment IS NULL"),
    Check(
        "time::VARCHAR",
        "after 1990: what is counted from a run's start is scored by `evaluate cause`, not stored",
        "coalesce(moment < TIMESTAMP '1990-01-01', false)",
    ),
    Check(
        "time::VARCHAR",
        "no later than a day from now",
        "coalesce(moment > now()::TIMESTAMP + INTERVAL 1 DAY, false)",
    ),
    Check("who", GIVEN, "who IS NULL"),
    Check("metric", GIVEN, "metric IS NULL"),
    Check(
        "cell::VARCHAR",
        "a finite number",
        "nullif(cell::VARCHAR, '') IS NOT NULL AND coalesce(isinf(value), true)",
    ),
)


def arranged(paths: Sequence[Path], *, as_of: datetime | date | None = None) -> Plan:
    """The files of measurements under `paths`, what declares first; and what was left aside, in words."""
    found = plan(paths, as_of=as_of)
    files, notes, suites = [], [*found.notes], {}
    for path, root in found.files:
        if path.parent != root and (path.parent / SUITE).exists():
            suites[path.parent] = root
        elif path.name in OTHERS:
            notes.append(f"{path.name} was left aside: {OTHERS[path.name]}")
        elif path.name not in ELSEWHERE and path.name != SUITE:
            files.append((path, root))
    notes += [
        f"{folder.relative_to(root)}/ was left aside: a labelled suite is for `headwater evaluate cause`"
        for folder, root in sorted(suites.items())
    ]
    place = {name: number for number, name in enumerate(DECLARING)}
    files.sort(key=lambda file: place.get(file[0].name, len(place)))
    return Plan(tuple(files), tuple(notes))


def read_many(
    paths: Sequence[Path],
    *,
    domain: Domain,
    mapping: Mapping[str, Any] | None = None,
    as_of: datetime | date | None = None,
    known: Mapping[str, str] | None = None,
    loaded: Collection[str] = (),
) -> Iterator[Samples]:
    """Every file of `arranged` as a batch. `known`: name → id of what is stored already.

    A file whose SHA-256 is among `loaded` brings nothing again: its batch is empty, of format "loaded". One that
    cannot be read becomes a batch of one refusal; the others still come.
    """
    naming = Naming(domain, dict(known or {}))
    with workspace() as cursor:
        cursor.execute("SET TimeZone = 'UTC'")
        cursor.execute(f"SET memory_limit = '{MEMORY}'")
        cursor.execute(statements("measurements")["macros"])
        for path, root in arranged(paths, as_of=as_of).files:
            source = open_source(path, as_of=as_of, mapping=mapping, root=root)
            again = source.sha256 in loaded
            batch = _read_or_refuse(cursor, source, naming, again)
            yield source.samples("loaded") if again else batch


def _read_or_refuse(cursor: Cursor, source: Source, naming: Naming, again: bool) -> Samples:
    if not source.size:
        return replace(source.samples("empty"), notes=("the file is empty",))
    try:
        if exposition.recognise(source):
            return source.samples("loaded") if again else exposition.read(source)
        declares = _declares(source)
        # what declares is read again: the files that come need its names and counters
        if declares is None and again:
            return source.samples("loaded")
        _check_suite(source.path.parent / SUITE)
        return declares(source, naming) if declares else _measured(cursor, source, naming)
    except UNREADABLE as error:
        log.info("%s was refused: %s", source.name, error)
        return replace(source.samples("unknown"), refused=(whole(source.name, error),))


def _check_suite(suite: Path) -> None:
    kind = json.loads(suite.read_text(encoding="utf-8")).get("kind") if suite.exists() else ""
    if kind and kind != "metrics":
        rule = "metrics: events and dimensions are scored, not stored"
        hint = f"headwater evaluate cause {suite.parent.name}"
        raise InvalidInputError.of(suite.name, "the suite's kind", rule, kind, hint)


def _declares(source: Source) -> Reader | None:
    """Who reads a file that declares: such hold no times."""
    if not sheet.recognise(source) or source.head[:4] == b"PAR1" or "entity" in source.mapping:
        return None
    columns = {name.strip().lower() for name in sheet.headers(source)}
    return next(
        (reader for needed, reader in DECLARED if needed <= columns and not columns & {*TIME}),
        None,
    )


# ── Measurements ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Layout:
    """Which column of a table says what, by header.

    who     : the measured, or caller and callee; level : of all of them, "" where their names tell it
    tells   : the column of levels, "" without one; metrics : column → metric of a wide table
    """

    time: str
    who: tuple[str, ...]
    level: str = ""
    tells: str = ""
    metric: str = ""
    value: str = ""
    metrics: Mapping[str, str] = field(default_factory=dict)

    @property
    def report(self) -> str:
        return "calls" if len(self.who) > 1 else "long" if self.metric else "wide"

    @property
    def headers(self) -> dict[str, str]:
        """What a refused cell's column is called."""
        return {
            "spare": "the line",
            "time::VARCHAR": self.time,
            "who": CALL.join(self.who),
            "metric": self.metric or "metric",
            "cell::VARCHAR": self.value or "value",
        }

    @property
    def named_by(self) -> dict[str, str]:
        """A cell of a wide table stands in the column of its metric."""
        return {} if self.metric else {"cell::VARCHAR": "metric"}


def _measured(cursor: Cursor, source: Source, naming: Naming) -> Samples:
    """One table of measurements; a cell that is no number is refused, an empty one is missing."""
    if not sheet.recognise(source):
        rule = "a CSV, a workbook or a Parquet of measurements"
        raise InvalidInputError.of(source.name, "the file", rule, source.path.suffix)
    sql, heading = statements("measurements"), sheet.headers(source)
    layout = _layout(source, heading)
    column = {name: f"c{index}" for index, name in enumerate(heading)}
    types = _open(cursor, source)
    notes = _narrow(cursor, source, layout, column, types)
    cursor.execute(sql["raw"].format(moment=_moment(types[column[layout.time]])))
    refused, failed, cells = refuse(
        cursor, source.name, list(CHECKS), layout.headers, layout.named_by
    )
    bad = " OR ".join(f"({check.bad})" for check in failed) or "false"
    counted = rows(cursor, sql["counts"].format(bad=bad))[0]
    if counted["missing"]:
        notes.append(f"{counted['missing']:,} cells are empty: missing")
    names = {kind: _names(cursor, kind) for kind in ("who", "metric")}
    cursor.execute(sql["measured"].format(bad=bad))
    rated = [at for at, name in enumerate(names["metric"]) if name in naming.counters]
    if rated:
        told = ", ".join(names["metric"][at] for at in rated)
        notes.append(f"counters became rates per second: {told}")
    ids = [_id(naming, name, layout.level) for name in names["who"]]
    return replace(
        source.samples("measurements"),
        report=layout.report,
        rows=cells - counted["missing"],
        refused=tuple(refused),
        refused_rows=counted["refused"],
        notes=tuple(notes),
        samples=partial(_pieces, cursor, ids, names["metric"], rated),
    )


def _pieces(
    cursor: Cursor, ids: Sequence[str], metrics: Sequence[str], rated: Sequence[int]
) -> Iterator[pa.Table]:
    """What was measured, some whole series at a time."""
    sql, place = statements("measurements"), f"(entity::BIGINT * {len(metrics)} + metric)"
    for part in rows(cursor, sql["parts"].format(place=place), most=PIECE):
        cursor.execute(sql["piece"].format(place=place, **part))
        found = (
            cursor.sql(sql["rates"], params={"counters": list(rated)})
            if rated
            else cursor.sql(sql["samples"])
        )
        yield _samples(found.to_arrow_table(), ids, metrics)


def _layout(source: Source, heading: Sequence[str]) -> _Layout:
    """What the mapping says, else what the headers say."""
    mapping = source.mapping
    by_name = {name.strip().lower(): name for name in reversed(heading)}

    def column(key: str, usual: Sequence[str]) -> str:
        if key in mapping and mapping[key] not in heading:
            rule = f"one of the file's: {', '.join(heading)}"
            raise InvalidInputError.of(source.name, f"the mapped {key}", rule, mapping[key])
        found = (by_name[name] for name in usual if name in by_name)
        return str(mapping.get(key) or next(found, ""))

    time, entity = column("time", TIME), column("entity", tuple(WHO))
    metric, value = column("metric", ("metric",)), column("value", ("value",))
    lower = [name.strip().lower() for name in heading]
    if twice := [name for at, name in enumerate(lower) if name and name in lower[:at]]:
        hint = f"Leave out or rename the second {', '.join(twice)}."
        raise InvalidInputError.of(
            source.name, "the columns", "each of its own name", list(heading), hint
        )
    called = {"caller", "callee"} <= by_name.keys()
    who = (by_name["caller"], by_name["callee"]) if called else (entity,)
    if not time or not all(who) or bool(metric) != bool(value):
        rule = "time, node, metric, value; or time, node and one per metric; or those of nodes.csv, edges.csv, metrics.csv"
        hint = "Give --mapping with entity, time and metrics (or metric and value) for other names."
        raise InvalidInputError.of(source.name, "the columns", rule, list(heading), hint)
    level = mapping.get("level", "" if called else WHO.get(who[0].strip().lower(), ""))
    by_row = isinstance(level, Mapping)
    tells = str(level["column"]) if by_row else by_name.get("level", "")
    used = {"", time, *who, tells, *(by_name.get(name) for name in NOT_MEASURED)}
    wide = mapping.get("metrics") or {name: name for name in heading if name not in used}
    return _Layout(
        time, who, "" if by_row else str(level), tells, metric, value, {} if metric else wide
    )


def _open(cursor: Cursor, source: Source) -> dict[str, str]:
    """Make `sheet` of the file, typed where it is a Parquet, else text; returns c0… → type."""
    if source.head[:4] == b"PAR1":
        # DuckDB's own reader has had a hole in a compression of Parquet; pyarrow reads it first.
        with pq.ParquetFile(source.path) as file:
            told = pa.schema(
                (f"c{at}", UTC_MOMENT if pa.types.is_timestamp(field.type) else field.type)
                for at, field in enumerate(file.schema_arrow)
            )
            read = (
                pa.RecordBatch.from_arrays(
                    [
                        column.cast(to, safe=False)
                        for column, to in zip(part, told.types, strict=True)
                    ],
                    schema=told,
                )
                for part in file.iter_batches()
            )
            cursor.register("table_read", pa.RecordBatchReader.from_batches(told, read))
            cursor.execute(statements("measurements")["typed"])
    else:
        sheet.load(cursor, source)
    cell = "replace(x, ',', '.')" if sheet.writes_decimal_commas(source) else "x"
    cursor.execute(statements("measurements")["number"].format(cell=cell))
    return {row["column_name"]: row["column_type"] for row in rows(cursor, "DESCRIBE sheet")}


def _narrow(
    cursor: Cursor,
    source: Source,
    layout: _Layout,
    column: Mapping[str, str],
    types: Mapping[str, str],
) -> list[str]:
    """Make `narrow` (row, time, who, metric, cell) of `sheet`, whatever its layout; returns what was left aside."""
    sql = statements("measurements")
    who = f" || '{CALL}' || ".join(f"nullif({column[name]}::VARCHAR, '')" for name in layout.who)
    if layout.tells and layout.tells in column:
        who = f"coalesce({column[layout.tells]} || ':', '') || {who}"
    kept = f"row, spare, {column[layout.time]} AS time, {who} AS who"
    if layout.metric:
        metric, cell = column[layout.metric], column[layout.value]
        cells = f"nullif({metric}::VARCHAR, '') AS metric, {cell} AS cell"
        cursor.execute(sql["long"].format(kept=kept, cells=cells))
        return []
    places = {name: column[name] for name in layout.metrics if name in column}
    counted = "".join(f", count(told_number({at})) AS {at}" for at in places.values())
    many = rows(cursor, sql["numbers"].format(counted=counted))[0]
    figures = {name: at for name, at in places.items() if many[at]}
    if not figures:
        rule = "of numbers"
        raise InvalidInputError.of(source.name, "one of the columns at least", rule, list(column))
    text = all(types[at] == "VARCHAR" for at in figures.values())
    cells = ", ".join(
        f"{at if text else f'told_number({at})'} AS {_quoted(SIGN + layout.metrics[name])}"
        for name, at in figures.items()
    )
    cursor.execute(sql["wide"].format(kept=kept, cells=cells))
    left = sorted(layout.metrics.keys() - figures.keys())
    return [f"columns without any number were left aside: {', '.join(left)}"] if left else []


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _moment(type: str) -> str:
    """SQL that reads `time`, a column of that type, as a naive UTC moment; NULL where it is none."""
    if type == "VARCHAR":
        return "told_moment(time)"
    if type.startswith(("TIMESTAMP", "DATE")):
        return "time::TIMESTAMP"
    return "counted_moment(time::DOUBLE)"


def _names(cursor: Cursor, kind: str) -> list[str]:
    """The distinct names of `raw`, kept as the table `{kind}_name` with their numbers."""
    found = rows(cursor, statements("measurements")["names"].format(column=kind))
    names = [str(row["name"]) for row in found]
    numbers = pa.array(range(len(names)), pa.int32())
    cursor.register(
        f"{kind}_name", pa.table({"number": numbers, "name": pa.array(names, pa.string())})
    )
    return names


def _id(naming: Naming, name: str, level: str) -> str:
    return CALL.join(naming.id(end, level) for end in name.split(CALL))


def _samples(found: pa.Table, ids: Sequence[str], metrics: Sequence[str]) -> pa.Table:
    """SAMPLES with names once each, not once a row."""
    named = {"entity": ids, "metric": metrics}
    columns = {
        name: pa.chunked_array(
            [
                pa.DictionaryArray.from_arrays(chunk, pa.array(named[name], pa.string()))
                for chunk in found[name].chunks
            ],
            pa.dictionary(pa.int32(), pa.string()),
        )
        if name in named
        else found[name]
        for name in ("entity", "metric", "moment", "value", "row")
    }
    return pa.table(columns)
