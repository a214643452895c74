"""Stores for the data tests, each in a temporary place of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from data.record_store import Records
from tests.postgres import postgres  # noqa: F401 - a fixture


@pytest.fixture(params=["sqlite", "postgresql"])
def records_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty records database, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/records.db"
    url: str = request.getfixturevalue("postgres").database()
    return url


@pytest.fixture
def records(records_url: str) -> Iterator[Records]:
    """An open records store, on SQLite and on PostgreSQL."""
    with Records(records_url) as store:
        yield store
