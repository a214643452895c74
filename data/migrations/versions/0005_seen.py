"""Until when a detection run has seen everything, and which incident tells of the same outbreak as another."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

ADDED: tuple[tuple[str, sa.Column[object]], ...] = (
    ("detection_run", sa.Column("seen_until", sa.DateTime(timezone=True), nullable=True)),
    ("detection_run", sa.Column("seen_batch", sa.Integer(), nullable=False, server_default="0")),
    ("incident", sa.Column("joined", sa.BigInteger(), nullable=True)),
    ("incident", sa.Column("apart", sa.Boolean(), nullable=False, server_default=sa.false())),
)


def upgrade() -> None:
    for table, column in ADDED:
        op.add_column(table, column._copy())
    op.create_index("ix_incident_joined", "incident", ["tenant", "joined"])


def downgrade() -> None:
    op.drop_index("ix_incident_joined", "incident")
    for table, column in reversed(ADDED):
        op.drop_column(table, column.name)
