"""The records store: one writer with group commit, snapshot reads, and tenants kept apart.

Every call names its tenant first. A session adds that tenant to every query, refuses rows of another one and
refuses SQL that it cannot filter; on PostgreSQL row-level security says the same once more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.orm import ORMExecuteState, Session, UOWTransaction, with_loader_criteria

from core.errors import HeadwaterError, InvalidInputError, MissingExtraError, StoreError
from data.columns import NumberedRow
from data.records import Counter
from data.tables import TABLES

T = TypeVar("T")

GROUP = 50  # requests that share one fsync
BOUND = 1000  # values of one statement
PATIENCE = 0.005  # seconds a busy writer waits for the group to fill

PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000")

# One writer at a time on either database: PostgreSQL's lock stands for SQLite's BEGIN IMMEDIATE, so the audit
# chain, the counters and the deduplication see the same order everywhere.
LOCK = "SELECT pg_advisory_xact_lock(7164923)"
ROLE = "SET LOCAL ROLE headwater_app"
OPENING = {
    ("sqlite", "migrate"): ["BEGIN IMMEDIATE"],
    ("sqlite", "write"): ["BEGIN IMMEDIATE"],
    ("sqlite", "read"): ["BEGIN"],
    ("postgresql", "migrate"): [LOCK],
    ("postgresql", "write"): [LOCK, ROLE],
    ("postgresql", "read"): ["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", ROLE],
}
INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class TenantSession(Session):
    """A session of one tenant that joins a transaction it does not own."""

    def __init__(self, connection: Connection, tenant: str, *, read_only: bool) -> None:
        super().__init__(
            bind=connection, join_transaction_mode="rollback_only", expire_on_commit=False
        )
        self.tenant = tenant
        self.read_only = read_only


@dataclass(frozen=True)
class _Request:
    tenant: str
    fn: Callable[[Session], Any]
    answer: Future[Any]


class Records:
    """The door to the records: `write(tenant, fn)` and `read(tenant, fn)`, from any thread.

    `url` is `sqlite:///path` or `postgresql+psycopg://…`. Opening migrates to the newest schema, which a job's
    worker leaves to its owner. A `fn` must only use the session it is given and must return plain values or
    rows; rows are detached afterwards.
    """

    def __init__(self, url: str, *, migrate: bool = True) -> None:
        _check_url(url)
        if migrate:
            from data.migrations import upgrade  # a worker starts without it

            engine = _engine(url, "migrate", pool_size=1)
            try:
                with _store_errors("open"):
                    upgrade(engine)
            finally:
                engine.dispose()
        self._writer_engine = _engine(url, "write", pool_size=1)
        self._reader_engine = _engine(url, "read", pool_size=8, max_overflow=56)
        self._requests: SimpleQueue[_Request | None] = SimpleQueue()
        self._door = threading.Lock()
        self._closed = False
        self._writer = threading.Thread(target=self._serve, name="records-writer", daemon=True)
        self._writer.start()

    def write(self, tenant: str, fn: Callable[[Session], T]) -> T:
        """Run `fn(session)` in its own savepoint; return its value once it is durably committed.

        What `fn` raises comes back to this caller and undoes this `fn` alone. Raises `StoreError` when the
        database refuses, `InvalidInputError` when called from within another write.
        """
        self._check_call("write", tenant)
        request = _Request(tenant, fn, Future())
        with self._door:
            if self._closed:
                raise _closed("write")
            self._requests.put(request)
        answer: T = request.answer.result()
        return answer

    def read(self, tenant: str, fn: Callable[[Session], T]) -> T:
        """Run `fn(session)` on one snapshot of the database; a write inside is refused."""
        self._check_call("read", tenant)
        if self._closed:
            raise _closed("read")
        with _store_errors("read"), self._reader_engine.begin() as connection:
            return _attempt(connection, tenant, fn, read_only=True)

    def check(self) -> None:
        """Ask the database a real question; raises `StoreError` when it can't answer."""
        if self._closed or not self._writer.is_alive():
            raise _closed("check")
        with _store_errors("check"), self._reader_engine.begin() as connection:
            connection.execute(select(Counter.last).limit(1)).all()

    def close(self) -> None:
        """Finish the writes already asked for, then let go of the database; safe to call twice."""
        self._check_call("close", "-")
        with self._door:
            if not self._closed:
                self._closed = True
                self._requests.put(None)
        self._writer.join()
        self._writer_engine.dispose()
        self._reader_engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_call(self, verb: str, tenant: str) -> None:
        if threading.current_thread() is self._writer:
            raise InvalidInputError.of(
                f"records.{verb}",
                "the call",
                "made outside any write",
                "a call from within one",
                "Use the session that the writing function was given.",
            )
        if not isinstance(tenant, str) or not 0 < len(tenant) <= 64:
            raise InvalidInputError.of(
                f"records.{verb}", "the tenant", "a text of 1 to 64 characters", tenant
            )

    def _serve(self) -> None:
        expected = 1
        while group := self._gather(expected):
            self._commit(group)
            expected = len(group)

    def _gather(self, expected: int) -> list[_Request]:
        """The next requests to commit together; empty when the store closes.

        A lone writer never waits. After a group, callers come back together: wait a moment for as many.
        """
        first = self._requests.get()
        if first is None:
            return []
        group = [first]
        deadline = monotonic() + PATIENCE
        while len(group) < GROUP:
            patience = deadline - monotonic() if len(group) < expected else 0.0
            try:
                following = self._requests.get(block=patience > 0, timeout=max(patience, 0.0))
            except Empty:
                break
            if following is None:
                self._requests.put(None)  # the door is shut, so nothing can come after it
                break
            group.append(following)
        return group

    def _commit(self, group: list[_Request]) -> None:
        outcomes: list[tuple[Any, BaseException | None]] = []
        try:
            with _store_errors("write"), self._writer_engine.begin() as connection:
                for request in group:
                    outcomes.append(_outcome(connection, request))
                    _check_open(connection)
        except BaseException as error:  # noqa: BLE001 - carried to the callers, who wait on it
            outcomes = [(None, error)] * len(group)
        for request, (value, error) in zip(group, outcomes, strict=True):
            if error is None:
                request.answer.set_result(value)
            else:
                request.answer.set_exception(error)


def in_parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values, no more of them at a time than a statement may bind."""
    for start in range(0, len(values), BOUND):
        yield values[start : start + BOUND]


def next_numbers(connection: Connection, tenant: str, series: str, count: int) -> range:
    """The next `count` numbers of a tenant's series, taken in one statement."""
    table = Counter.__table__
    row = {"tenant": tenant, "series": series, "last": count}
    insert = INSERT[connection.dialect.name](table).values(row)
    upsert = insert.on_conflict_do_update(
        index_elements=["tenant", "series"], set_={"last": table.c.last + count}
    )
    last = connection.execute(upsert.returning(table.c.last)).scalar_one()
    return range(last - count + 1, last + 1)


def _attempt(
    connection: Connection, tenant: str, fn: Callable[[Session], T], *, read_only: bool
) -> T:
    if connection.dialect.name == "postgresql":
        connection.execute(
            text("SELECT set_config('app.tenant', :tenant, true)"), {"tenant": tenant}
        )
    with TenantSession(connection, tenant, read_only=read_only) as session:
        value = fn(session)
        session.flush()
    return value


def _outcome(connection: Connection, request: _Request) -> tuple[Any, BaseException | None]:
    """The value of one request's function, or what it raised, its own changes undone."""
    try:
        with _store_errors("write"), connection.begin_nested():
            return _attempt(connection, request.tenant, request.fn, read_only=False), None
    except BaseException as error:  # noqa: BLE001 - carried to the caller, who waits on it
        return None, error


def _check_open(connection: Connection) -> None:
    """SQLite ends a transaction by itself on a full disk, and its driver's commit then says nothing."""
    raw: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite" and not raw.in_transaction:
        raise StoreError.of(
            "records.write",
            "the transaction",
            "open until its commit",
            "a transaction that the database ended",
            "Is the disk full? Nothing of this request was kept: free some space and try again.",
        )


@event.listens_for(TenantSession, "do_orm_execute")
def _keep_to_tenant(state: ORMExecuteState) -> None:
    session: Any = state.session
    if not state.is_orm_statement or state.is_insert:
        raise InvalidInputError.of(
            "records",
            "a statement",
            "a query, update or delete of record classes",
            str(state.statement)[:120],
            "Add rows with session.add; other SQL can't be kept to one tenant.",
        )
    if session.read_only and not state.is_select:
        raise _read_only(state.statement)
    state.statement = state.statement.options(*_only(session.tenant))


@lru_cache(maxsize=256)
def _only(tenant: str) -> tuple[Any, ...]:
    """The filter of each record class by tenant, subqueries and aliases included."""
    return tuple(
        with_loader_criteria(row, row.tenant == tenant, include_aliases=True)
        for row in TABLES.values()
    )


@event.listens_for(TenantSession, "before_flush")
def _check_rows(session: Any, _flush: UOWTransaction, _instances: object) -> None:
    rows = [*session.new, *session.dirty, *session.deleted]
    if rows and session.read_only:
        raise _read_only(rows[0])
    for row in rows:
        if row.tenant != session.tenant:
            raise InvalidInputError.of(
                "records",
                f"the tenant of a {type(row).__name__}",
                f"the session's own, {session.tenant!r}",
                row.tenant,
            )
    unnumbered: dict[str, list[NumberedRow]] = {}
    for row in session.new:
        if isinstance(row, NumberedRow) and row.id is None:
            unnumbered.setdefault(row.__tablename__, []).append(row)
    for series, waiting in unnumbered.items():
        numbers = next_numbers(session.connection(), session.tenant, series, len(waiting))
        for row, number in zip(waiting, numbers, strict=True):
            row.id = number


def _check_url(url: str) -> None:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _bad_url(url) from error
    backend = parsed.get_backend_name()
    in_memory = backend == "sqlite" and parsed.database in (None, "", ":memory:")
    if (backend, "write") not in OPENING or in_memory:
        raise _bad_url(parsed.render_as_string(hide_password=True))
    try:
        parsed.get_dialect().import_dbapi()
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(
            "records",
            "the database driver",
            "installed",
            error.name,
            "pip install 'headwater[postgres]' and use postgresql+psycopg://…",
        ) from error


def _engine(url: str, purpose: str, **pool: int) -> Engine:
    engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"), **pool)
    dialect = engine.dialect.name

    @event.listens_for(engine, "begin")
    def open_transaction(connection: Connection) -> None:
        for statement in OPENING[dialect, purpose]:
            connection.exec_driver_sql(statement)

    if dialect == "sqlite":

        @event.listens_for(engine, "connect")
        def prepare(raw: Any, _: object) -> None:
            raw.isolation_level = None  # the driver must not begin transactions of its own
            for pragma in (*PRAGMAS, *(["query_only=ON"] if purpose == "read" else [])):
                answer = raw.execute(f"PRAGMA {pragma}").fetchone()
                if pragma == "journal_mode=WAL" and answer != ("wal",):
                    raise StoreError.of(
                        "records",
                        "the journal mode",
                        "WAL",
                        answer,
                        "Keep the database on a local disk.",
                    )

    return engine


@contextmanager
def _store_errors(verb: str) -> Iterator[None]:
    """Turn the database's errors into ours, our own (raised while binding values) unwrapped."""
    try:
        yield
    except StatementError as error:
        if isinstance(error.orig, HeadwaterError):
            raise error.orig from error
        raise _refused(verb, error) from error
    except SQLAlchemyError as error:
        raise _refused(verb, error) from error


def _refused(verb: str, error: SQLAlchemyError) -> StoreError:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    hint = (
        "Another process holds the database; try again."
        if "locked" in str(cause)
        else "See the log for the statement."
    )
    return StoreError.of(
        f"records.{verb}", "the request", "accepted by the database", str(cause), hint
    )


def _closed(verb: str) -> StoreError:
    return StoreError.of(f"records.{verb}", "the store", "open", "a closed store")


def _read_only(what: object) -> InvalidInputError:
    return InvalidInputError.of(
        "records.read",
        "the function",
        "free of writes",
        str(what)[:120],
        "Use records.write.",
    )


def _bad_url(url: str) -> InvalidInputError:
    return InvalidInputError.of(
        "records",
        "the database URL",
        "sqlite:///<path> or postgresql+psycopg://<host>/<database>",
        url,
        "Set HEADWATER_DATABASE_URL.",
    )
