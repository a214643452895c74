"""What a reader hands to the store: one file as tables, what was refused of it, what looked odd."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

import pyarrow as pa

ENTITIES = pa.schema(
    {
        "id": pa.string(),
        "level": pa.string(),
        "owner": pa.string(),
        "name": pa.string(),
        "status": pa.string(),
        "zone": pa.string(),
        "currency": pa.string(),
        "attributes": pa.string(),
    }
)
"""One row per entity; the row number is its key in the other tables. `owner` = id of the top-level
entity it belongs to (an ads profile), `attributes` = JSON text."""

EDGES = pa.schema({"child": pa.int32(), "slot": pa.string(), "parent": pa.int32()})
"""Statements "the parent of child in this slot is …"; a child has one parent per slot at a time."""

EVENTS = pa.schema(
    {
        "scope": pa.string(),
        "first": pa.date32(),
        "last": pa.date32(),
        "kind": pa.string(),
        "name": pa.string(),
    }
)
"""Expected events: promotions and the like, for the entity `scope` and all below it."""

SAMPLES = pa.schema(
    {
        "entity": pa.string(),
        "metric": pa.string(),
        "moment": pa.timestamp("us"),
        "value": pa.float64(),
        "row": pa.int64(),
    }
)
"""One measured value each, at a UTC moment; none for what is missing. `row` is its place in the file."""

COMPONENTS = pa.schema(
    {name: pa.string() for name in ("id", "level", "name", "parent", "attributes")}
)
"""One row per component; `parent` is the id of what it belongs to, `attributes` JSON text."""

DEPENDENCIES = pa.schema(
    {name: pa.string() for name in ("source", "target", "kind")}
    | {name: pa.timestamp("us") for name in ("valid_from", "valid_to")}
)
"""One row per edge from cause to effect: callee → caller, node → pod. It holds in [valid_from, valid_to), UTC, null
without a bound."""

EDGES_WHOLE = "edges"
"""The report of a batch whose dependencies are all that its source knows: the next of its name replaces them."""

MEASURES = pa.schema(
    {
        "metric": pa.string(),
        "label": pa.string(),
        "unit": pa.string(),
        "bad": pa.int32(),
        "nature": pa.string(),
    }
)
"""What is said of a metric; null where nothing is said."""


def observations_schema(columns: tuple[str, ...]) -> pa.Schema:
    """(entity row, day, row of the file, one float column per metric and setting)."""
    keys = {"entity": pa.int32(), "day": pa.date32(), "row": pa.int64()}
    return pa.schema(keys | {name: pa.float64() for name in columns})


@dataclass(frozen=True)
class Refusal:
    """One cell that could not be used; its row was left out. Of a whole file the line is 0, the column what of it."""

    file: str
    line: int
    column: str
    value: str
    rule: str

    def __str__(self) -> str:
        plain = not self.line and self.value.isprintable()
        value = self.value if plain else repr(self.value)
        told = f" Got {value}." if self.value or self.line else ""
        return f"{self.column or 'the line'} must be {self.rule}.{told}"


@dataclass(frozen=True)
class Difference:
    """A ratio column of the file against the same ratio of its own sums.

    different        : rows that differ beyond the column's rounding
    worst            : largest absolute difference
    zero_denominator : rows printed as 0 that are "spend without result", not zero
    examples         : (row, file's value, recomputed value)
    """

    column: str
    ratio: str
    rows: int
    different: int
    worst: float
    zero_denominator: int
    examples: tuple[tuple[int, float, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Arrival:
    """One file, or one fetch of a source, and what was made of it.

    as_of   : UTC (naive), when it was downloaded
    size    : bytes of the file
    report  : what kind of report, e.g. spTargeting
    rows    : rows in the file; refused_rows of them were left out
    """

    file: str
    sha256: str
    size: int
    format: str
    as_of: datetime
    report: str = ""
    rows: int = 0
    refused: tuple[Refusal, ...] = ()
    refused_rows: int = 0
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Batch(Arrival):
    """A file of figures by day.

    span    : days the file speaks for; None = from its first to its last row
    """

    span: tuple[date, date] | None = None
    entities: pa.Table = field(default_factory=ENTITIES.empty_table)
    edges: pa.Table = field(default_factory=EDGES.empty_table)
    observations: pa.Table = field(default_factory=lambda: observations_schema(()).empty_table())
    events: pa.Table = field(default_factory=EVENTS.empty_table)


@dataclass(frozen=True, eq=False)
class Samples(Arrival):
    """Measurements at moments, and what is known of who was measured and of what.

    An entity is `level:name`; a call between two of them is `caller→callee`.

    samples : a table, or what gives one after another where they are many; all of one series lie in one of them
    """

    samples: pa.Table | Callable[[], Iterator[pa.Table]] = field(
        default_factory=SAMPLES.empty_table
    )
    components: pa.Table = field(default_factory=COMPONENTS.empty_table)
    dependencies: pa.Table = field(default_factory=DEPENDENCIES.empty_table)
    measures: pa.Table = field(default_factory=MEASURES.empty_table)

    def pieces(self) -> Iterator[pa.Table]:
        """The samples, table by table, from the beginning; none where there are none."""
        if callable(self.samples):
            yield from self.samples()
        elif self.samples.num_rows:
            yield self.samples


@dataclass(frozen=True)
class Known:
    """What the store already knows, for files that name no profile or no ids.

    owners  : campaign id → profile id; portfolios : campaign id → portfolio id
    profiles: profile id → (currency, country)
    ids     : (profile id, level, names from the campaign down) → id, where exactly one fits
    """

    owners: Mapping[str, str] = field(default_factory=dict)
    profiles: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    portfolios: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[tuple[str, ...], str] = field(default_factory=dict)


KnownSource = Callable[[], Known]
"""Asked only by the files that need it."""
