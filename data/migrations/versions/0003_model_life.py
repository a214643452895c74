"""Model life: experiments, drift, retraining, comparisons, preferences, and what a job says of itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from data.migrations.fences import FENCE, UNFENCE

revision = "0003"
down_revision = "0002"

TABLES = ("comparison", "drift_check", "experiment", "preference", "retrain_proposal")


def upgrade() -> None:
    op.create_table(
        "comparison",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("domain", sa.String(32), nullable=False),
        sa.Column("champion", sa.String(128), nullable=False),
        sa.Column("challenger", sa.String(128), nullable=False),
        sa.Column("data_version", sa.String(64), nullable=False),
        sa.Column("verdict", sa.String(32), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_index(
        "ix_comparison_pair", "comparison", ["tenant", "domain", "champion", "challenger"]
    )
    op.create_table(
        "drift_check",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("domain", sa.String(32), nullable=False),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.Column("reference_start", sa.Date(), nullable=False),
        sa.Column("reference_end", sa.Date(), nullable=False),
        sa.Column("window_start", sa.Date(), nullable=False),
        sa.Column("window_end", sa.Date(), nullable=False),
        sa.Column("tested", sa.Integer(), nullable=False),
        sa.Column("drifted", sa.Integer(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_index("ix_drift_check_domain", "drift_check", ["tenant", "domain", "window_end"])
    op.create_table(
        "experiment",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("domain", sa.String(32), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("control", sa.String(128), nullable=False),
        sa.Column("treatment", sa.String(128), nullable=False),
        sa.Column("metric", sa.String(64), nullable=False),
        sa.Column("alpha", sa.Float(), nullable=False),
        sa.Column("power", sa.Float(), nullable=False),
        sa.Column("effect", sa.Float(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("unit", sa.String(32), nullable=False),
        sa.Column("salt", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("looks", sa.JSON(), nullable=False),
        sa.Column("guardrails", sa.JSON(), nullable=False),
        sa.Column("verdict", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_index("ix_experiment_state", "experiment", ["tenant", "domain", "state"])
    op.create_table(
        "preference",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_by", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name"),
    )
    op.create_table(
        "retrain_proposal",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("domain", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("trigger", sa.String(32), nullable=False),
        sa.Column("check_id", sa.BigInteger(), nullable=True),
        sa.Column("start", sa.Date(), nullable=False),
        sa.Column("end", sa.Date(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("job_id", sa.String(64), nullable=False),
        sa.Column("backtest", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_index("ix_retrain_proposal_state", "retrain_proposal", ["tenant", "domain", "state"])
    op.add_column("job", sa.Column("domain", sa.String(32), nullable=False, server_default=""))
    op.add_column("job", sa.Column("device", sa.String(32), nullable=False, server_default="auto"))
    op.add_column("job", sa.Column("parent", sa.String(64), nullable=False, server_default=""))
    op.add_column(
        "job", sa.Column("snapshot_digest", sa.String(64), nullable=False, server_default="")
    )
    op.add_column("job", sa.Column("error_hint", sa.Text(), nullable=False, server_default=""))

    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(FENCE.format(table=table))


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(UNFENCE.format(table=table))
    op.drop_column("job", "error_hint")
    op.drop_column("job", "snapshot_digest")
    op.drop_column("job", "parent")
    op.drop_column("job", "device")
    op.drop_column("job", "domain")
    op.drop_index("ix_retrain_proposal_state", table_name="retrain_proposal")
    op.drop_table("retrain_proposal")
    op.drop_table("preference")
    op.drop_index("ix_experiment_state", table_name="experiment")
    op.drop_table("experiment")
    op.drop_index("ix_drift_check_domain", table_name="drift_check")
    op.drop_table("drift_check")
    op.drop_index("ix_comparison_pair", table_name="comparison")
    op.drop_table("comparison")
