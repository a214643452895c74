"""What the database itself enforces: tenants apart (PostgreSQL), the audit trail append-only (both)."""

from __future__ import annotations

from alembic import op

from data.migrations.fences import FENCE, UNFENCE

revision = "0002"
down_revision = "0001"

TABLES = (
    "alert",
    "alert_history",
    "alias",
    "audit_event",
    "comment",
    "counter",
    "detection_run",
    "incident",
    "job",
    "label",
    "model_version",
    "outbox",
    "scheduler_beat",
    "stream_state",
    "token",
    "user",
    "visit",
)

# Roles belong to the whole cluster: another database of it may have made this one already.
ROLE = """
DO $$ BEGIN CREATE ROLE headwater_app NOLOGIN NOBYPASSRLS;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$
"""

UP = {
    "postgresql": [
        ROLE,
        "GRANT headwater_app TO CURRENT_USER",
        "GRANT USAGE ON SCHEMA public TO headwater_app",
        *(FENCE.format(table=table) for table in TABLES),
        "REVOKE UPDATE, DELETE ON audit_event FROM headwater_app",
    ],
    "sqlite": [
        f"CREATE TRIGGER audit_event_no_{verb} BEFORE {verb} ON audit_event "
        "BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END"
        for verb in ("update", "delete")
    ],
}
DOWN = {
    "postgresql": [UNFENCE.format(table=table) for table in TABLES],
    "sqlite": [f"DROP TRIGGER audit_event_no_{verb}" for verb in ("update", "delete")],
}


def upgrade() -> None:
    for statement in UP[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN[op.get_bind().dialect.name]:
        op.execute(statement)
