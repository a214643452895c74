"""Services: incidents that others tell, what happened around them, and the queue of what is to be labelled."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from data.migrations.fences import FENCE, UNFENCE

revision = "0004"
down_revision = "0003"

TABLES = (
    "change_event",
    "data_report",
    "label_item",
    "label_skip",
    "metric_source",
    "node_proposal",
    "receipt",
    "taxonomy",
)

ADDED: tuple[tuple[str, sa.Column[object]], ...] = (
    ("alert", sa.Column("predicted_for", sa.DateTime(timezone=True), nullable=True)),
    ("alert", sa.Column("lead_minutes", sa.Float(), nullable=True)),
    ("alert_history", sa.Column("predicted_for", sa.DateTime(timezone=True), nullable=True)),
    ("alert_history", sa.Column("lead_minutes", sa.Float(), nullable=True)),
    ("incident", sa.Column("source", sa.String(32), nullable=False, server_default="headwater")),
    ("incident", sa.Column("external_key", sa.String(160), nullable=False, server_default="")),
    ("incident", sa.Column("description", sa.Text(), nullable=False, server_default="")),
    ("incident", sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True)),
    ("incident", sa.Column("services", sa.JSON(), nullable=False, server_default="[]")),
    ("incident", sa.Column("regions", sa.JSON(), nullable=False, server_default="[]")),
    ("incident", sa.Column("snapshots", sa.JSON(), nullable=False, server_default="{}")),
    ("incident", sa.Column("root_cause", sa.String(64), nullable=False, server_default="")),
    ("incident", sa.Column("component", sa.String(), nullable=False, server_default="")),
    ("incident", sa.Column("cause_confidence", sa.Float(), nullable=True)),
    (
        "incident",
        sa.Column("label_status", sa.String(16), nullable=False, server_default="unlabeled"),
    ),
    ("incident", sa.Column("labelled_by", sa.String(), nullable=False, server_default="")),
    ("incident", sa.Column("labelled_at", sa.DateTime(timezone=True), nullable=True)),
    ("incident", sa.Column("was_predicted", sa.Boolean(), nullable=True)),
    ("incident", sa.Column("prediction_accuracy", sa.Float(), nullable=True)),
    ("label", sa.Column("causes", sa.JSON(), nullable=False, server_default="[]")),
    ("label", sa.Column("taxonomy", sa.Integer(), nullable=False, server_default="0")),
    ("label", sa.Column("item_id", sa.BigInteger(), nullable=True)),
    ("label", sa.Column("blind", sa.Boolean(), nullable=False, server_default=sa.false())),
    ("label", sa.Column("settles", sa.JSON(), nullable=False, server_default="[]")),
    ("label", sa.Column("seconds", sa.Float(), nullable=True)),
)


def upgrade() -> None:
    op.create_table(
        "change_event",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("domain", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("entity", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("external_key", sa.String(160), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
        sa.UniqueConstraint("tenant", "source", "external_key", name="uq_change_event_key"),
    )
    op.create_index("ix_change_event_at", "change_event", ["tenant", "domain", "at"])
    op.create_table(
        "data_report",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("domain", sa.String(32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_index("ix_data_report_domain", "data_report", ["tenant", "domain", "at"])
    op.create_table(
        "label_item",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("domain", sa.String(32), nullable=False),
        sa.Column("subject_kind", sa.String(16), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("slice", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("priority", sa.Float(), nullable=False),
        sa.Column("chance", sa.Float(), nullable=True),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("given", sa.Integer(), nullable=False),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("expected", sa.JSON(), nullable=False),
        sa.Column("guess", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("leased_by", sa.String(), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
        sa.UniqueConstraint(
            "tenant", "domain", "subject_kind", "subject_id", "round", name="uq_label_item_subject"
        ),
    )
    op.create_index("ix_label_item_lease", "label_item", ["tenant", "leased_by", "leased_until"])
    op.create_index(
        "ix_label_item_open", "label_item", ["tenant", "domain", "state", "priority", "id"]
    )
    op.create_table(
        "label_skip",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("item_id", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_index("ix_label_skip_item", "label_skip", ["tenant", "item_id", "actor"])
    op.create_table(
        "metric_source",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("domain", sa.String(32), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("cursor", sa.JSON(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
        sa.UniqueConstraint("tenant", "domain", "name", name="uq_metric_source_name"),
    )
    op.create_table(
        "node_proposal",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("domain", sa.String(32), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("level", sa.String(32), nullable=False),
        sa.Column("parent", sa.String(), nullable=False),
        sa.Column("label_id", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("proposed_by", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_index("ix_node_proposal_state", "node_proposal", ["tenant", "domain", "state"])
    op.create_table(
        "receipt",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("key", sa.String(160), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "source", "key"),
    )
    op.create_table(
        "taxonomy",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("domain", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
        sa.UniqueConstraint("tenant", "domain", "number", name="uq_taxonomy_number"),
    )
    for table, column in ADDED:
        op.add_column(table, column._copy())

    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(FENCE.format(table=table))


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(UNFENCE.format(table=table))
    for table, column in reversed(ADDED):
        op.drop_column(table, column.name)
    for table in reversed(TABLES):
        op.drop_table(table)
