"""A batch of samples into the store, a piece at a time inside one transaction: all of it comes in, or nothing."""

from __future__ import annotations

from collections.abc import Callable

from core.domain import Domain
from data import batches
from data.batches import Loaded
from data.duck import Cursor, one, statements
from data.ingest.batch import Samples

OnPiece = Callable[[int], None]
SAMPLE_BYTES = 40
"""What a sample takes on its way in."""


def load(cursor: Cursor, tenant: str, domain: Domain, batch: Samples, on_piece: OnPiece) -> Loaded:
    """Store a batch; to be called inside one transaction."""
    sql, scope = statements("samples"), {"tenant": tenant, "domain": domain.name}
    number = one(cursor, statements("load")["next_batch"], tenant=tenant)
    mark = scope | {"batch": number}
    told, new = 0, 0
    for piece in batch.pieces():
        cursor.register("incoming_sample", piece)
        cursor.execute(sql["series"], scope)
        cursor.execute(sql["keyed"], scope)
        cursor.execute(sql["stepped"])
        if one(cursor, sql["doubled"]):
            cursor.execute(sql["kept"])
        cursor.execute(sql["sampling"], mark)
        new += int(one(cursor, sql["samples"], tenant=tenant, batch=number))
        told += piece.num_rows
        on_piece(told)
    stated = {
        "component": batch.components,
        "dependency": batch.dependencies,
        "measure": batch.measures,
    }
    for name, table in stated.items():
        if table.num_rows:
            cursor.register(f"incoming_{name}", table)
            cursor.execute(sql[f"{name}s_told"], mark)
    declared = sum(table.num_rows for table in stated.values())
    something = bool(new + declared)
    counts = (number, new or declared, told - new)
    return batches.enter(cursor, tenant, domain, batch, *counts, something=something)


def ended(many: int, batch: Samples) -> tuple[str, ...]:
    """How many edges held until this batch of all edges, in words; nothing where none did."""
    if not many:
        return ()
    edges = f"{many:,} edge{'s' * (many != 1)} that the {batch.file} before it told"
    return (f"{edges} held until {batch.as_of:%-d %b %Y %H:%M} UTC",)
