"""Any CSV or Parquet with a mapping that says what its columns mean.

Mapping (JSON): `entity` (column), `level` (name, or {"column": …}), `time` (column), then either
`metrics` {column: metric or setting} (wide) or `metric` and `value` (columns, long); optional `name`
(column), `parent` {"column": …, "level": …}, `owner` {"column": …} (the top-level entity's id), `profile`
(that id, for the whole file).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.domain import Domain
from core.errors import InvalidInputError
from data.duck import Cursor, literal, rows, statements
from data.ingest import sheet
from data.ingest.batch import Batch
from data.ingest.facts import Facts, Node, assemble, selection
from data.ingest.quarantine import Check, Style
from data.ingest.source import Source

KINDS = {"spare": "spare", "entity": "id", "day": "day", "parent": "optional id", "profile": "id"}
NOBODY = "default"
COLUMN = "the name of a column"
SHAPES = dict.fromkeys(("entity", "time", "metric", "value", "name"), COLUMN) | {
    "level": "a level or {'column': …}",
    "parent": "{'column': …, 'level': …}",
    "owner": "{'column': …}",
    "metrics": "{column: metric, …}",
    "profile": "an id",
    "report": "a name",
}
"""What stands under each key of a mapping."""
INNER = {"level": {"column"}, "parent": {"column", "level"}, "owner": {"column"}}


def read(cursor: Cursor, source: Source, domain: Domain) -> Batch:
    """One table, read as its mapping says; an undeclared metric or unknown column is refused."""
    mapping, heading = source.mapping, sheet.headers(source)
    _check_shape(source.name, mapping)
    column = _Columns(source.name, heading)
    top = domain.levels[0]
    cells = {"entity": column(mapping, "entity"), "day": column(mapping, "time")}
    optional = {"name": mapping.get("name"), "parent": _inner(mapping.get("parent"), "column")}
    optional["profile"] = _inner(mapping.get("owner"), "column")
    level_column = (
        _inner(mapping["level"], "column") if isinstance(mapping.get("level"), Mapping) else ""
    )
    optional["level"] = level_column
    cells |= {name: column.at(header) for name, header in optional.items() if header}
    sheet.load(cursor, source)
    declared = [metric.name for metric in domain.metrics] + list(domain.settings)
    extra: tuple[Check, ...] = ()
    if "metrics" in mapping:
        figures = {
            _declared(source, name, declared): column.at(h)
            for h, name in mapping["metrics"].items()
        }
        values = {name: f"c{index}" for name, index in figures.items()}
    else:
        metric, value = column(mapping, "metric"), column(mapping, "value")
        cells["metric"] = metric
        found = rows(cursor, statements("ingest")["distinct"].format(cells=f"c{metric} AS metric"))
        used = [name for name in declared if name in {row["metric"] for row in found}]
        figures = dict.fromkeys(used, value)
        values = {name: f"CASE WHEN c{metric} = {literal(name)} THEN c{value} END" for name in used}
        extra = (_among("metric", declared),)
    levels = _levels(cursor, source, domain, cells)
    if "level" in cells:
        extra += (_among("level", domain.levels),)
    nodes = _nodes(mapping, domain, levels, "level" in cells)
    constants = {} if "profile" in cells else {"profile": source.profile or NOBODY}
    if levels == [top] and "profile" not in cells:
        constants, cells["profile"] = {}, cells["entity"]
    selected = {name: f"c{index}" for name, index in cells.items()} | values | {"spare": "spare"}
    cursor.execute(
        statements("ingest")["mapped"].format(selected=selection(selected, nodes, constants))
    )
    facts = Facts(
        file=source.name,
        sha256=source.sha256,
        size=source.size,
        format="table",
        report=str(mapping.get("report", "table")),
        level=levels[0],
        as_of=source.as_of,
        headers={"spare": ""} | {name: heading[index] for name, index in (cells | figures).items()},
        nodes=nodes,
        kinds=KINDS | dict.fromkeys(domain.settings, "number"),
        entity="level || ':' || entity" if "level" in cells else "",
        owner=f"'{top}:' || profile",
        style=Style("shown_number", "shown_day"),
        extra=extra,
        merged="metrics" not in mapping,
    )
    return assemble(cursor, domain, facts)


class _Columns:
    """Positions of headers; an absent one is refused by name."""

    def __init__(self, file: str, heading: Sequence[str]) -> None:
        self.file = file
        self.position = {header.strip(): index for index, header in reversed([*enumerate(heading)])}

    def __call__(self, mapping: Mapping[str, Any], key: str) -> int:
        if key not in mapping:
            rule = "with entity, level, time and metrics (or metric and value)"
            raise InvalidInputError.of(
                self.file, "the mapping", rule, sorted(mapping), f"Add {key!r}."
            )
        return self.at(mapping[key])

    def at(self, header: str) -> int:
        if header not in self.position:
            rule = f"one of the file's: {', '.join(self.position)}"
            raise InvalidInputError.of(self.file, "a mapped column", rule, header)
        return self.position[header]


def _check_shape(file: str, mapping: Mapping[str, Any]) -> None:
    """Refuse a key that nothing reads, and a value that is not of its key's shape."""
    for key, value in mapping.items():
        if key not in SHAPES:
            raise InvalidInputError.of(file, "the mapping", f"made of {', '.join(SHAPES)}", key)
        plain = isinstance(value, str | int) and key != "metrics"
        nested = (
            isinstance(value, Mapping)
            and all(isinstance(text, str) for text in value.values())
            and (key == "metrics" or value.keys() == INNER.get(key))
        )
        if not (plain or nested):
            raise InvalidInputError.of(file, f"the mapping's {key}", SHAPES[key], value)


def _inner(value: Any, key: str) -> str:
    return str(value[key]) if isinstance(value, Mapping) else str(value or "")


def _declared(source: Source, name: str, declared: Sequence[str]) -> str:
    if name not in declared:
        raise InvalidInputError.of(
            source.name, "a mapped metric", f"one of {', '.join(declared)}", name
        )
    return name


def _among(column: str, allowed: Sequence[str]) -> Check:
    listed = ", ".join(literal(name) for name in allowed)
    return Check(
        column, f"one of {', '.join(allowed)}", f"coalesce({column} NOT IN ({listed}), true)"
    )


def _levels(cursor: Cursor, source: Source, domain: Domain, cells: Mapping[str, int]) -> list[str]:
    """Levels that the rows are of, lowest first."""
    if "level" in cells:
        sql = statements("ingest")["distinct"].format(cells=f"c{cells['level']} AS level")
        told = {row["level"] for row in rows(cursor, sql)}
    else:
        told = {source.mapping.get("level")}
    found = [level for level in reversed(domain.levels) if level in told]
    if not found:
        rule = f"one of {', '.join(domain.levels)}"
        raise InvalidInputError.of(source.name, "the level", rule, sorted(map(str, told)))
    return found


def _nodes(
    mapping: Mapping[str, Any], domain: Domain, levels: Sequence[str], by_row: bool
) -> tuple[Node, ...]:
    parent = mapping.get("parent")
    above = _inner(parent, "level") if isinstance(parent, Mapping) else ""
    if parent and (above not in domain.levels or above in levels):
        rule = "{'column': …, 'level': …} with a level above the entity's"
        raise InvalidInputError.of("import", "the mapping's parent", rule, parent)
    nodes = [
        Node(
            level,
            f"CASE WHEN level = '{level}' THEN entity END" if by_row else "entity",
            ("entity",),
            name="name",
            parents=(above,) if above else (),
            settings={name: name for name in domain.settings},
            mentions=("name",),
        )
        for level in levels
    ]
    if above and above != domain.levels[0]:
        nodes.append(Node(above, "parent", ("parent",)))
    if domain.levels[0] not in levels:
        nodes.append(Node(domain.levels[0], "profile", ("profile",)))
    return tuple(nodes)
