"""Small files that declare: what runs, what reaches what, and what metrics are."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pyarrow as pa

from core.domain import Domain
from core.domains.conventions import COUNTER, NATURES
from data.ingest import sheet
from data.ingest.batch import COMPONENTS, DEPENDENCIES, EDGES_WHOLE, MEASURES, Refusal, Samples
from data.ingest.quarantine import LISTED
from data.ingest.source import Source

GIVEN = "given"
BOUNDS = ("valid_from", "valid_to")
"""Columns that an edge may have: it holds from the first on, no longer from the second on."""
DIRECTIONS = {"": None, "1": 1, "+1": 1, "rise": 1, "-1": -1, "fall": -1, "0": 0, "either": 0}


@dataclass
class Naming:
    """Who is meant by a name: ids by name, as stored and as the nodes of this import tell."""

    domain: Domain
    ids: dict[str, str] = field(default_factory=dict)
    counters: set[str] = field(default_factory=set)

    def id(self, text: str, level: str = "") -> str:
        """`level:name` as it stands; else one of the level; else who is known by the name; else of the usual level."""
        prefix, _, rest = text.partition(":")
        if prefix in self.domain.levels and rest:
            return text
        if level:
            return f"{level}:{text}"
        return self.ids.get(text) or f"{self.domain.defaults['unit']}:{text}"


def _lines(source: Source) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells of a small CSV, by lower-case column."""
    heading, delimiter = sheet.header(source)
    names = [name.strip().lower() for name in heading]
    with source.path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, delimiter=delimiter)
        next(lines)
        for line, cells in enumerate(lines, start=2):
            empty = dict.fromkeys(names, "")
            yield line, empty | {n: c.strip() for n, c in zip(names, cells, strict=False)}


def _nodes(source: Source, naming: Naming) -> Samples:
    """Components; from here on they are known by their names too."""
    levels, found, refused = naming.domain.levels, [], []
    lines = list(_lines(source))
    for line, row in lines:
        node, level = row.pop("node"), row.pop("level", "")
        if not node:
            refused.append(Refusal(source.name, line, "node", node, GIVEN))
        elif level and level not in levels:
            rule = f"one of {', '.join(levels)}"
            refused.append(Refusal(source.name, line, "level", level, rule))
        else:
            id = naming.id(node, level)
            found.append((id, row))
            for name in filter(None, (node, id.partition(":")[2], row.get("name"))):
                naming.ids.setdefault(name, id)
    known = {id for id, _ in found} | set(naming.ids.values())
    told = []
    for id, row in found:
        above, name = row.pop("parent", ""), row.pop("name", "")
        parent = naming.ids.get(above, above)
        if above and parent not in known:  # a path or a group, no component
            row, parent = row | {"parent": above}, ""
        kept = {key: value for key, value in row.items() if value}
        level, _, rest = id.partition(":")
        stated = (id, level, name or rest, parent or None, json.dumps(kept) if kept else None)
        told.append(dict(zip(COMPONENTS.names, stated, strict=True)))
    table = pa.Table.from_pylist(told, COMPONENTS)
    return _declared(source, "nodes", len(lines), refused, components=table)


def _edges(source: Source, naming: Naming) -> Samples:
    """Dependencies from cause to effect: calls within a level, parts across levels, unless the file says what."""
    found, refused = [], []
    lines = list(_lines(source))
    for line, row in lines:
        bounds, bad = _bounds(row)
        if bad:
            refused.append(Refusal(source.name, line, *bad))
            continue
        if empty := [end for end in ("source", "target") if not row[end]]:
            refused.append(Refusal(source.name, line, empty[0], "", GIVEN))
            continue
        start, stop = (naming.id(row[end]) for end in ("source", "target"))
        if start == stop:
            refused.append(Refusal(source.name, line, "target", stop, "another than the source"))
            continue
        same = start.partition(":")[0] == stop.partition(":")[0]
        kind = row.get("kind") or ("calls" if same else "part")
        found.append({"source": start, "target": stop, "kind": kind, **bounds})
    table = pa.Table.from_pylist(found, DEPENDENCIES)
    return _declared(source, EDGES_WHOLE, len(lines), refused, dependencies=table)


def _bounds(row: Mapping[str, str]) -> tuple[dict[str, datetime], tuple[str, str, str] | None]:
    """From when until when an edge holds, as told; and column, cell and rule of what is wrong with it."""
    bounds = {}
    for column in BOUNDS:
        if told := row.get(column):
            try:
                moment = datetime.fromisoformat(told)
            except ValueError:
                return {}, (column, told, "a time: ISO 8601, UTC where no zone is told")
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            bounds[column] = aware.astimezone(UTC).replace(tzinfo=None)
    if len(bounds) == len(BOUNDS) and bounds["valid_to"] <= bounds["valid_from"]:
        return {}, ("valid_to", row["valid_to"], f"later than valid_from, {row['valid_from']}")
    return bounds, None


def _measures(source: Source, naming: Naming) -> Samples:
    """What metrics are; those that only count up are remembered for the files that hold them."""
    found, refused = [], []
    lines = list(_lines(source))
    for line, row in lines:
        bad, nature = row.get("bad", "").lower(), row.get("nature", "").lower()
        if not row["metric"]:
            refused.append(Refusal(source.name, line, "metric", "", GIVEN))
        elif bad not in DIRECTIONS:
            rule = "1 (a rise hurts), -1 (a fall) or 0 (either)"
            refused.append(Refusal(source.name, line, "bad", bad, rule))
        elif nature and nature not in NATURES:
            rule = f"one of {', '.join(NATURES)}"
            refused.append(Refusal(source.name, line, "nature", nature, rule))
        else:
            words = {name: row.get(name) or None for name in ("metric", "label", "unit", "nature")}
            found.append({**words, "bad": DIRECTIONS[bad]})
            naming.counters |= {row["metric"]} if nature == COUNTER else set()
    table = pa.Table.from_pylist(found, MEASURES)
    return _declared(source, "metrics", len(lines), refused, measures=table)


Reader = Callable[[Source, Naming], Samples]
DECLARED: tuple[tuple[set[str], Reader], ...] = (
    ({"source", "target"}, _edges),
    ({"metric"}, _measures),
    ({"node"}, _nodes),
)
"""The columns by which such a file is known, and who reads it."""


def _declared(
    source: Source, report: str, count: int, refused: Sequence[Refusal], **tables: pa.Table
) -> Samples:
    return replace(
        source.samples("table"),
        report=report,
        rows=count,
        refused=tuple(refused[:LISTED]),
        refused_rows=len(refused),
        **tables,
    )
