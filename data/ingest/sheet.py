"""CSV, XLSX and Parquet as a table `sheet` of text columns c0, c1, … with the line number in the file."""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import InvalidInputError
from data.duck import Cursor, statements
from data.ingest.source import Source

# A workbook of 5 MB can unpack to hours of work; these bounds hold every real export.
MAX_UNPACKED = 200 << 20
MAX_RATIO = 100
MAX_ENTRIES = 10_000
# Cells beyond the header that a line may have before the file as a whole is no table.
SPARE = 8
DELIMITERS = (",", ";", "\t")
LONGEST_HEADER = 1 << 20
SAVED_AS = "Save it as CSV in UTF-8."
FAULTS = {
    "Invalid unicode": "bytes of another encoding",
    "unterminated quote": "a quote without its pair",
}
"""What DuckDB says of a line → what is wrong with it."""


def recognise(source: Source) -> bool:
    """Whether the file is one of the three, by content where content tells."""
    return source.head[:4] in (b"PK\x03\x04", b"PAR1") or source.path.suffix.lower() in (
        ".csv",
        ".tsv",
    )


def writes_decimal_commas(source: Source) -> bool:
    """Whether a comma is the decimal mark: semicolons part the cells of a CSV."""
    return source.head[:4] not in (b"PK\x03\x04", b"PAR1") and header(source)[1] == ";"


def headers(source: Source) -> list[str]:
    """The header row as it stands in the file."""
    if source.head[:4] == b"PAR1":
        return list(pq.read_schema(source.path).names)
    if source.head[:4] == b"PK\x03\x04":
        return [str(cell or "") for cell in next(_rows(source.path), [])]
    return header(source)[0]


def load(cursor: Cursor, source: Source) -> None:
    """Make the table `sheet` of a file: column `row` is the line in the file, or the row of a Parquet.

    `spare` holds what a line has beyond the header's columns, so that it can be refused alone.
    """
    sql, count = statements("ingest"), len(headers(source))
    if source.head[:4] == b"PAR1":
        # DuckDB's own reader has had a hole in a compression of Parquet; pyarrow reads it first.
        cursor.register("table_read", pq.read_table(source.path))
        names = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in headers(source)]
        _create(cursor, "table_read", names, 0)
    elif source.head[:4] == b"PK\x03\x04":
        rows = [[_text(cell) for cell in row] for row in _rows(source.path)][1:]
        columns = {
            f"c{i}": [row[i] if i < len(row) else None for row in rows] for i in range(count)
        }
        table = pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})
        cursor.register("table_read", table)
        _create(cursor, "table_read", list(columns), 1)
    else:
        names = [f"c{i}" for i in range(count)]
        spare = [f"spare{i}" for i in range(SPARE)]
        statement = sql["csv"].format(
            columns=", ".join(f"'{name}': 'VARCHAR'" for name in (*names, *spare)),
            cells=_cells(names),
            spare=", ".join(spare),
        )
        values = {"file": str(source.path), "delimiter": header(source)[1]}
        try:
            cursor.execute(statement, values)
        except duckdb.InvalidInputException as error:
            raise _refused(source.name, str(error)) from error


def _refused(file: str, said: str) -> InvalidInputError:
    """What DuckDB says of a CSV, in the words of who made it."""
    line = re.search(r"CSV Error on Line: (\d+)", said)
    got = next((word for sign, word in FAULTS.items() if sign in said), said.splitlines()[0])
    thing = f"line {line[1]}" if line else "the file"
    return InvalidInputError.of(file, thing, "readable as CSV in UTF-8", got, SAVED_AS)


def _cells(names: list[str]) -> str:
    return "".join(f", nullif(trim({name}::VARCHAR), '') AS c{i}" for i, name in enumerate(names))


def _create(cursor: Cursor, table: str, names: list[str], header_rows: int) -> None:
    sql = statements("ingest")["sheet"]
    cursor.execute(sql.format(table=table, cells=_cells(names), header=header_rows))


def header(source: Source) -> tuple[list[str], str]:
    """The header row of a CSV, and what parts its cells."""
    with source.path.open("rb") as file:
        raw = file.readline(LONGEST_HEADER)
    try:
        told = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        got = "UTF-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else raw[:40]
        raise InvalidInputError.of(
            source.name, "the first line", "text in UTF-8", got, SAVED_AS
        ) from None
    line = told.splitlines()[:1] or [""]
    delimiter = max(DELIMITERS, key=line[0].count)
    return next(csv.reader(line, delimiter=delimiter), []), delimiter


def _rows(path: Path) -> Iterator[tuple[object, ...]]:
    """Rows of the first sheet, after a look at what the archive would unpack to."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        unpacked = sum(entry.file_size for entry in entries)
        packed = max(sum(entry.compress_size for entry in entries), 1)
    if unpacked > MAX_UNPACKED or unpacked / packed > MAX_RATIO or len(entries) > MAX_ENTRIES:
        raise InvalidInputError.of(
            path.name,
            "the workbook",
            f"at most {MAX_UNPACKED >> 20} MB unpacked, {MAX_RATIO} times its size, {MAX_ENTRIES} parts",
            f"{unpacked >> 20} MB, {unpacked / packed:.0f} times, {len(entries)} parts",
            "Export as CSV.",
        )
    from openpyxl import load_workbook  # slow to import, and few files are workbooks

    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (
        KeyError,
        ValueError,
        SyntaxError,
    ) as error:  # an archive of something else, or a torn one
        why = "a workbook such as Excel saves"
        raise InvalidInputError.of(
            path.name, "the file", why, str(error), "Export as CSV."
        ) from error
    try:
        sheet = book.worksheets[0]
        sheet.reset_dimensions()
        yield from sheet.iter_rows(values_only=True)
    finally:
        book.close()


def _text(cell: object) -> str | None:
    if cell is None:
        return None
    if isinstance(cell, datetime) and cell.time() != time():
        return cell.isoformat()
    if isinstance(cell, datetime | date):
        return cell.isoformat()[:10]
    return str(cell).strip() or None
