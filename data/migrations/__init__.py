"""The records schema, revision by revision, for SQLite and PostgreSQL; run by the store when it opens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from core.errors import StoreError

if TYPE_CHECKING:
    from alembic.config import Config

FOLDER = Path(__file__).parent
NEWEST = max(path.name for path in FOLDER.glob("versions/[0-9]*.py")).partition("_")[0]
"""The newest revision; files are named by theirs, in order."""


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to `revision` in one transaction.

    Raises `StoreError` when the database carries a revision that this release does not know.
    """
    with engine.begin() as connection:
        if revision == "head" and _is_newest(connection):
            return
        # a database is brought up to date once and opened a thousand times
        from alembic import command
        from alembic.runtime.migration import MigrationContext
        from alembic.script import ScriptDirectory

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
    from alembic import command

    with engine.begin() as connection:
        command.downgrade(config(connection), revision)


def config(connection: Connection) -> Config:
    """Alembic's configuration for this package, bound to an open connection."""
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    return settings


def _is_newest(connection: Connection) -> bool:
    """Whether the database stands at the newest revision."""
    if not inspect(connection).has_table("alembic_version"):
        return False
    return connection.scalars(text("SELECT version_num FROM alembic_version")).all() == [NEWEST]
