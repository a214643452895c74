"""Every table of the records store, by name."""

from __future__ import annotations

from itertools import chain

from data import model_records, records
from data.columns import TenantRow

METADATA = TenantRow.metadata
TABLES: dict[str, type[TenantRow]] = {
    str(row.__tablename__): row
    for row in sorted(
        (
            row
            for row in chain(vars(records).values(), vars(model_records).values())
            if isinstance(row, type) and issubclass(row, TenantRow) and hasattr(row, "__table__")
        ),
        key=lambda row: row.__name__,
    )
}
