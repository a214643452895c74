"""The records schema, revision by revision, for SQLite and PostgreSQL; run by the store when it opens."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from core.errors import StoreError


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to `revision` in one transaction.

    Raises `StoreError` when the database carries a revision that this release does not know.
    """
    with engine.begin() as connection:
        known = ScriptDirectory.from_config(config(connection))
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in {
            script.revision for script in known.walk_revisions()
        }:
            raise StoreError.of(
                "records",
                "the schema revision",
                f"one that this release knows (its newest is {known.get_current_head()})",
                current,
                "The database was written by a newer Headwater: upgrade Headwater or restore a backup.",
            )
        if current != (known.get_current_head() if revision == "head" else revision):
            command.upgrade(config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the database back to `revision` ("base" for none), in one transaction."""
    with engine.begin() as connection:
        command.downgrade(config(connection), revision)


def config(connection: Connection) -> Config:
    """Alembic's configuration for this package, bound to an open connection."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    return settings
