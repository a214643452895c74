"""Alembic's entry: runs the revisions on the connection that `data.migrations` hands over."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from data import columns
from data.tables import METADATA

PORTABLE = {
    columns.UtcDateTime: "sa.DateTime(timezone=True)",
    columns.Json: "sa.JSON()",
}


def portable(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    """Write our column types as SQLAlchemy's own: a revision must not change when `records` does."""
    if kind == "type" and type(item) in PORTABLE:
        return PORTABLE[type(item)]
    if kind == "type" and type(item).__name__ == "AutoString":
        return f"sa.String({item.length or ''})"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
    render_item=portable,
    compare_type=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
