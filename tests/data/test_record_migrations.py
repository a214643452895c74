"""The schema: no drift from the tables, up and down with data, unknown revisions refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.pool import NullPool
from sqlmodel import SQLModel

from core.errors import StoreError
from data.migrations import NEWEST, config, downgrade, upgrade
from data.record_store import Records
from data.records import Comment, Counter, User

NOW = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/records.db"
    empty: str = request.getfixturevalue("postgres").empty()
    return empty


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(url, poolclass=NullPool)
    yield engine
    engine.dispose()


def test_the_revisions_build_exactly_the_tables_of_records(engine: sa.Engine) -> None:
    upgrade(engine)
    with engine.begin() as connection:
        command.check(config(connection))
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_the_newest_revision_is_the_one_that_the_files_are_named_by(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        known = ScriptDirectory.from_config(config(connection))
    assert known.get_heads() == [NEWEST]


def test_up_down_up_with_data(url: str, engine: sa.Engine) -> None:
    def fill(session: sa.orm.Session) -> None:
        session.add(User(tenant="acme", id="ana", name="Ana", created_at=NOW))
        session.add(
            Comment(
                tenant="acme", object_kind="alert", object_id="1", author="ana", at=NOW, body="hi"
            )
        )

    with Records(url) as records:
        records.write("acme", fill)
    downgrade(engine, "0001")
    with Records(url) as records:
        rows = records.read("acme", lambda session: list(session.scalars(sa.select(Comment))))
        assert [(row.id, row.body, row.at) for row in rows] == [(1, "hi", NOW)]
        assert records.read("acme", lambda session: session.scalar(sa.select(Counter.last))) == 1
    downgrade(engine, "base")
    left = set(sa.inspect(engine).get_table_names())
    assert left == {"alembic_version"}
    with Records(url) as records:
        assert records.read("acme", lambda session: session.scalar(sa.select(User.id))) is None


def test_a_newer_revision_is_refused_with_the_cure(url: str, engine: sa.Engine) -> None:
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer Headwater") as caught:
        Records(url)
    assert "9999" in str(caught.value)


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """The whole upgrade is one transaction on SQLite too: a table in the way of the last step reverts all."""
    url = f"sqlite:///{tmp_path}/records.db"
    engine = sa.create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE visit (x)"))
    with pytest.raises(StoreError, match=r"records\.open"):
        Records(url)
    assert sa.inspect(engine).get_table_names() == ["visit"]
