"""What an alerted entity is part of, so that an alert without a cause finds the incident that somebody told of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

ADDED: tuple[tuple[str, sa.Column[object]], ...] = (
    ("alert", sa.Column("services", sa.JSON(), nullable=False, server_default="[]")),
    ("alert_history", sa.Column("services", sa.JSON(), nullable=False, server_default="[]")),
)


def upgrade() -> None:
    for table, column in ADDED:
        op.add_column(table, column._copy())


def downgrade() -> None:
    for table, column in reversed(ADDED):
        op.drop_column(table, column.name)
