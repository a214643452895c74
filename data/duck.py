"""DuckDB as one process uses it: a single connection, a cursor per call, statements from `data/sql`."""

from __future__ import annotations

import logging
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import duckdb
from numpy.typing import NDArray

from core.errors import InvalidInputError, StoreError

log = logging.getLogger(__name__)
T = TypeVar("T")
Cursor = duckdb.DuckDBPyConnection

# Concurrent updates of the same rows conflicted in 67 of 400 tries; two or three more suffice.
CONFLICT_TRIES = 8
# A failed checkpoint on a full disk invalidates the whole database, so an import must not get near.
MIN_FREE_BYTES = 1 << 30
PATIENCE = 5.0
"""Seconds that closing waits for calls under way."""


class Duck:
    """An open DuckDB file (or ":memory:"); safe to use from many threads."""

    def __init__(self, path: Path | str, *, threads: int | None = None) -> None:
        self.path = str(path)
        self._threads = threads
        self._reopening = threading.Lock()
        self._calls = 0
        self._closed = False
        self._change = threading.Condition()
        self._connection = self._open()

    def _open(self) -> duckdb.DuckDBPyConnection:
        if self.path != ":memory:":
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        try:
            connection = duckdb.connect(self.path)
        except duckdb.IOException as error:
            raise StoreError.of(
                "metrics",
                "the file",
                "free: only one process may hold it",
                self.path,
                "A running server holds it; ask through its API, or stop it first.",
                detail=str(error),
            ) from error
        connection.execute("SET TimeZone = 'UTC'")
        # Without extensions to fetch, an unknown function must fail at once, not by a download.
        connection.execute("SET autoinstall_known_extensions = false")
        if self._threads is not None:
            connection.execute("SET threads = ?", [self._threads])
        return connection

    def run(self, work: Callable[[Cursor], T]) -> T:
        """`work(cursor)`; repeated after a conflict, and once after a reopen where the file was invalidated."""
        with self._in_use():
            return self._run(work)

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        """Count a call, so that `close` can wait for it; refuse one that comes too late."""
        with self._change:
            if self._closed:
                raise StoreError.of(
                    "metrics", "the file", "open", "closed: the process is stopping"
                )
            self._calls += 1
        try:
            yield
        finally:
            with self._change:
                self._calls -= 1
                self._change.notify_all()

    def _run(self, work: Callable[[Cursor], T]) -> T:
        for attempt in range(CONFLICT_TRIES):
            connection = self._connection
            try:
                with connection.cursor() as cursor:
                    return work(cursor)
            except duckdb.TransactionException:
                if attempt == CONFLICT_TRIES - 1:
                    raise
            except duckdb.FatalException as error:
                log.exception("DuckDB gave up on %s; reopening", self.path)
                if self.path == ":memory:" or attempt:
                    raise StoreError.of("metrics", "the file", "usable", self.path) from error
                self._reopen(connection)
        raise StoreError.of("metrics", "the write", "free of conflicts", CONFLICT_TRIES)

    def transaction(self, work: Callable[[Cursor], T]) -> T:
        """`work(cursor)` inside one transaction: all of it or nothing."""

        def atomic(cursor: Cursor) -> T:
            cursor.begin()
            try:
                result = work(cursor)
                cursor.commit()
            except duckdb.FatalException:
                raise
            except BaseException:
                cursor.rollback()
                raise
            return result

        return self.run(atomic)

    def checkpoint(self) -> None:
        """Write the log into the file."""
        self.run(lambda cursor: cursor.execute("CHECKPOINT"))

    def check_space(self, needed: int) -> None:
        """Refuse a write that could fill the disk: max(1 GB, twice its size) must be free."""
        if self.path == ":memory:":
            return
        free = shutil.disk_usage(Path(self.path).parent).free
        required = max(MIN_FREE_BYTES, 2 * needed)
        if free < required:
            raise StoreError.of(
                "metrics",
                "free disk space",
                f"at least {required / 1e9:.1f} GB",
                f"{free / 1e9:.1f} GB",
                "Free some space, then import again; nothing was written.",
            )

    def close(self) -> None:
        """Wait for the calls under way, stop those that take too long (they roll back), and close."""
        with self._change:
            self._closed = True
            if not self._change.wait_for(lambda: self._calls == 0, PATIENCE):
                log.warning("Stopping %d calls to close %s", self._calls, self.path)
                self._connection.interrupt()
                self._change.wait_for(lambda: self._calls == 0, PATIENCE)
        self._connection.close()

    def _reopen(self, broken: duckdb.DuckDBPyConnection) -> None:
        with self._reopening:
            if self._connection is broken:
                broken.close()
                self._connection = self._open()


@cache
def statements(name: str) -> dict[str, str]:
    """The statements of `data/sql/{name}.sql`, by the names in their `-- name:` lines."""
    text = (Path(__file__).parent / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+).*$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def rows(cursor: Cursor, sql: str, **values: Any) -> list[dict[str, Any]]:
    """Every row as a dict; for small answers."""
    answer = cursor.execute(sql, values)
    names = [column[0] for column in answer.description]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def one(cursor: Cursor, sql: str, **values: Any) -> Any:
    """The single value of a statement that always has one."""
    return next(iter(rows(cursor, sql, **values)[0].values()))


def columns(cursor: Cursor, sql: str, **values: Any) -> dict[str, NDArray[Any]]:
    """Every column as an array; NULL is NaN in floats and masked elsewhere."""
    found: dict[str, Any] = cursor.execute(sql, values).fetchnumpy()
    return found


def literal(text: str) -> str:
    """Text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A table or column name that is safe inside a statement."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
        raise InvalidInputError.of(
            "metrics", "a column name", "lower-case letters, digits, _", name
        )
    return name
