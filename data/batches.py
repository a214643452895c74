"""Batches in the store: loading one, taking one back, keeping the table in reading order."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from core.domain import Domain
from core.errors import ConflictError, NotFoundError, UnknownNameError
from data.duck import Cursor, Duck, identifier, one, rows, statements
from data.ingest.batch import EDGES_WHOLE, Arrival, Batch

# The table is rewritten in reading order when this many rows, or as many again, lie unsorted.
UNSORTED_ROWS = 200_000
# What a batch may bring beside its figures.
BROUGHT = (
    *("description", "edge", "delivery", "event"),
    *("sampling", "component", "dependency", "measure"),
)
REFUSALS = pa.schema(
    {name: pa.string() for name in ("file", "column", "value", "rule")} | {"line": pa.int64()}
)


@dataclass(frozen=True)
class Loaded:
    """What an import did: `new` rows stored, or `already` there as `batch` with 0 new rows."""

    batch: int
    rows: int
    new: int
    duplicates: int
    refused: int
    already: bool = False
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """For a person, in a few words."""
        if self.already:
            return f"already loaded as batch {self.batch}, 0 new rows"
        return f"batch {self.batch}: {self.counts}"

    @property
    def counts(self) -> str:
        """New, repeated and refused, in a few words."""
        parts = [f"{self.new:,} new row{'s' * (self.new != 1)}"]
        if self.duplicates:
            parts.append(f"{self.duplicates:,} repeated in the file (the last one counts)")
        if self.refused:
            parts.append(f"{self.refused:,} refused")
        return ", ".join(parts)


@dataclass(frozen=True)
class BatchInfo:
    """One import; state "loaded", "undone" or "refused" (nothing of it came in). Times are UTC."""

    id: int
    domain: str
    sha256: str
    source: str
    format: str
    report: str
    as_of: datetime
    loaded_at: datetime
    rows: int
    new: int
    duplicates: int
    refused: int
    differences: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]
    state: str


def table_of(domain: str) -> str:
    """The observation table of a domain."""
    return f"observation_{identifier(domain)}"


def find(duck: Duck, tenant: str, batch: Arrival) -> Loaded | None:
    """The earlier import of the same bytes, if one is in force."""
    sql = statements("load")["loaded"]
    key = {"sha256": batch.sha256, "as_of": batch.as_of, "whole": EDGES_WHOLE}
    found = duck.run(lambda cursor: rows(cursor, sql, tenant=tenant, **key))
    return Loaded(found[0]["id"], found[0]["rows"], 0, 0, 0, already=True) if found else None


def prepare(duck: Duck, domain: Domain) -> None:
    """The domain's observation table, with a column per declared metric and setting."""
    table = table_of(domain.name)
    present = duck.run(lambda cursor: rows(cursor, statements("read")["columns"], table=table))
    declared = [metric.name for metric in domain.metrics] + list(domain.settings)
    missing = [
        identifier(name) for name in declared if name not in {row["name"] for row in present}
    ]
    if not missing:
        return

    def widen(cursor: Cursor) -> None:
        cursor.execute(statements("create")["observations"].format(table=table))
        for name in missing:
            cursor.execute(statements("create")["column"].format(table=table, name=name))

    duck.transaction(widen)
    # Replaying a schema change from the log after a crash has broken files: leave none in the log.
    duck.checkpoint()


def load(cursor: Cursor, tenant: str, domain: Domain, batch: Batch) -> Loaded:
    """Store a batch; to be called inside one transaction."""
    sql, run, columns = statements("load"), cursor.execute, _columns(domain, batch)
    scope: dict[str, Any] = {"tenant": tenant, "domain": domain.name}
    number = one(cursor, sql["next_batch"], tenant=tenant)
    mark = {"as_of": batch.as_of, "batch": number}
    _register(cursor, batch)
    for step in ("owners", "entities"):
        run(sql[step], scope | {"key": one(cursor, sql["last_key"], tenant=tenant)})
    run(sql["keys"], scope)
    new = one(cursor, sql["distinct_rows"])
    duplicates = batch.observations.num_rows - new
    source = "incoming_kept" if duplicates else "incoming_observation"
    if duplicates:
        run(sql["kept"])
    quoted = "".join(f', "{name}"' for name in columns)
    insert = sql["observations"].format(table=table_of(domain.name), source=source, columns=quoted)
    run(insert, {"tenant": tenant} | mark)
    run(sql["descriptions"], scope | mark)
    for step, table in (("edges", batch.edges), ("events", batch.events)):
        if table.num_rows:
            run(sql[step], scope | mark)
    if new:
        first, last = batch.span or (None, None)
        volume = f'"{domain.metrics[0].name}"' if domain.metrics[0].name in columns else "0.0"
        run(
            sql["deliveries"].format(source=source, volume=volume),
            scope
            | mark
            | {"report": batch.report, "first": first, "last": last, "carried": ",".join(columns)},
        )
    something = bool(batch.entities.num_rows or batch.events.num_rows)
    return enter(cursor, tenant, domain, batch, number, new, duplicates, something=something)


def enter(
    cursor: Cursor,
    tenant: str,
    domain: Domain,
    batch: Arrival,
    number: int,
    new: int,
    duplicates: int,
    *,
    something: bool,
) -> Loaded:
    """The batch's own row and what it refused; `something` of it came in."""
    sql = statements("load")
    if batch.refused:
        refused = pa.Table.from_pylist(
            [asdict(refusal) for refusal in batch.refused], schema=REFUSALS
        )
        cursor.register("incoming_refusal", refused)
        cursor.execute(sql["refusals"], {"tenant": tenant, "batch": number})
    entry = {
        "tenant": tenant,
        "domain": domain.name,
        "batch": number,
        "as_of": batch.as_of,
        "sha256": batch.sha256,
        "source": batch.file,
        "format": batch.format,
        "report": batch.report,
        "loaded_at": datetime.now(UTC).replace(tzinfo=None),
        "rows": batch.rows,
        "new": new,
        "duplicates": duplicates,
        "refused": batch.refused_rows,
        "differences": json.dumps([asdict(difference) for difference in batch.differences]),
        "notes": json.dumps(batch.notes),
        "state": "loaded" if something or not batch.refused else "refused",
    }
    cursor.execute(sql["batch"], entry)
    return Loaded(number, batch.rows, new, duplicates, batch.refused_rows)


def _columns(domain: Domain, batch: Batch) -> list[str]:
    declared = {metric.name for metric in domain.metrics} | set(domain.settings)
    columns = batch.observations.schema.names[3:]
    for name in columns:
        if name not in declared:
            rule = f"declared by the domain {domain.name}: {', '.join(sorted(declared))}"
            raise UnknownNameError.of("metrics", "a metric", rule, name)
    return [identifier(name) for name in columns]


def _register(cursor: Cursor, batch: Batch) -> None:
    local = pa.array(np.arange(batch.entities.num_rows), pa.int32())
    cursor.register("incoming_entity", batch.entities.append_column("local", local))
    cursor.register("incoming_edge", batch.edges)
    cursor.register("incoming_event", batch.events)
    cursor.register("incoming_observation", batch.observations)


def undo(cursor: Cursor, tenant: str, number: int) -> int:
    """Take back all that a batch brought, inside one transaction; returns the observations removed."""
    found = rows(cursor, statements("read")["batch"], tenant=tenant, batch=number)
    if not found:
        raise NotFoundError.of("metrics", "the batch", "one of this tenant's", number)
    if found[0]["state"] != "loaded":
        raise ConflictError.of("metrics", f"batch {number}", "still loaded", found[0]["state"])
    sql, key = statements("load"), {"tenant": tenant, "batch": number}
    for table in BROUGHT:
        cursor.execute(sql["forget"].format(table=table), key)
    cursor.execute(sql["undo"], key)
    by_day = [row["name"] for row in rows(cursor, statements("read")["observation_tables"])]
    daily = table_of(found[0]["domain"])
    figures = daily if daily in by_day else "sample"
    removed = int(one(cursor, sql["forget"].format(table=figures), **key))
    if figures == "sample":
        cursor.execute(statements("samples")["unused"], {"tenant": tenant})
    return removed


def settle(duck: Duck, domain: Domain, added: int) -> None:
    """Keep the table sorted by (tenant, entity, day) after `added` rows went to its end."""
    read, load_sql, table = statements("read"), statements("load"), table_of(domain.name)
    total = duck.run(lambda cursor: one(cursor, read["rows"].format(table=table)))
    marked = duck.run(lambda cursor: rows(cursor, read["sorted"], table=table))
    in_order = marked[0]["sorted"] if marked else 0
    first = added == total
    rewrite = not first and total - in_order > max(UNSORTED_ROWS, in_order)
    if not (first or rewrite):
        return

    def write(cursor: Cursor) -> None:
        if rewrite:
            cursor.execute(load_sql["settle"].format(table=table))
        cursor.execute(load_sql["unmark"], {"table": table})
        cursor.execute(load_sql["mark"], {"table": table, "rows": total})

    duck.transaction(write)
    if rewrite:
        duck.checkpoint()
