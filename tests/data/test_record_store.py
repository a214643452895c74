"""The store's promises: durable group commit, snapshots, and tenants that never see each other."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, func, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session, aliased

from core.errors import InvalidInputError, MissingExtraError, StoreError
from data import audit_store
from data.columns import plain
from data.record_store import Records
from data.records import Alert, AuditEvent, Comment, Counter
from data.tables import TABLES
from tests.postgres import Postgres

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)


def remark(tenant: str, body: str = "hello") -> Comment:
    return Comment(
        tenant=tenant, object_kind="alert", object_id="1", author="ana", at=NOW, body=body
    )


def put(records: Records, tenant: str, body: str = "hello") -> None:
    records.write(tenant, lambda session: session.add(remark(tenant, body)))


def bodies(records: Records, tenant: str) -> list[str]:
    query = select(Comment.body).order_by(Comment.id)
    return records.read(tenant, lambda session: list(session.scalars(query)))


def test_a_write_is_read_back_with_its_number_and_its_time_in_utc(records: Records) -> None:
    put(records, "acme")
    put(records, "acme", "again")
    rows = records.read("acme", lambda session: list(session.scalars(select(Comment))))
    assert [(row.id, row.body, row.at) for row in rows] == [(1, "hello", NOW), (2, "again", NOW)]


def test_numbers_count_up_per_tenant(records: Records) -> None:
    for tenant in ("acme", "bolt", "acme"):
        put(records, tenant)
    last = select(Counter.last)
    assert records.read("acme", lambda session: session.scalar(last)) == 2
    assert records.read("bolt", lambda session: session.scalar(last)) == 1


def test_a_forgotten_filter_leaks_nothing(records: Records) -> None:
    put(records, "acme", "ours")
    put(records, "bolt", "theirs")
    other = aliased(Comment)
    subquery = select(other).subquery()
    planted = [
        select(Comment.body),
        select(other.body),
        select(subquery.c.body),
        select(Comment.body).where(Comment.tenant == "bolt"),
        select(Comment.body).union_all(select(other.body)),
        select(func.max(Comment.body)),
    ]
    for query in planted:
        seen = records.read("acme", lambda session, query=query: set(session.scalars(query)))
        assert seen <= {"ours", None}, str(query)
    assert records.read("acme", lambda session: session.get(Comment, ("bolt", 1))) is None


def test_an_update_without_a_filter_touches_one_tenant(records: Records) -> None:
    put(records, "acme")
    put(records, "bolt")
    changed = records.write(
        "acme", lambda session: session.execute(update(Comment).values(body="x")).rowcount
    )
    assert changed == 1
    assert (bodies(records, "acme"), bodies(records, "bolt")) == (["x"], ["hello"])


def test_a_row_of_another_tenant_is_refused(records: Records) -> None:
    with pytest.raises(InvalidInputError, match="tenant of a Comment must be the session's own"):
        records.write("acme", lambda session: session.add(remark("bolt")))
    assert bodies(records, "bolt") == []


@pytest.mark.parametrize("statement", [text("SELECT 1"), select(Comment.__table__.c.body)])
def test_sql_that_no_filter_reaches_is_refused(records: Records, statement: Any) -> None:
    with pytest.raises(InvalidInputError, match="query, update or delete of record classes"):
        records.read("acme", lambda session: session.execute(statement))


def test_a_function_that_raises_undoes_itself_alone(records: Records) -> None:
    def broken(session: Session) -> None:
        session.add(remark("acme", "torn"))
        session.flush()
        raise KeyError("mine")

    put(records, "acme", "before")
    with pytest.raises(KeyError, match="mine"):
        records.write("acme", broken)
    put(records, "acme", "after")
    assert bodies(records, "acme") == ["before", "after"]


@pytest.mark.parametrize("exit_kind", [SystemExit, KeyboardInterrupt])
def test_a_function_that_exits_does_not_take_the_writer_along(
    records: Records, exit_kind: type[BaseException]
) -> None:
    def leave(session: Session) -> None:
        raise exit_kind

    with pytest.raises(exit_kind):
        records.write("acme", leave)
    put(records, "acme")
    assert bodies(records, "acme") == ["hello"]


def test_a_commit_inside_a_function_does_not_escape_its_savepoint(records: Records) -> None:
    def early(session: Session) -> None:
        session.add(remark("acme", "early"))
        session.commit()
        raise KeyError("late")

    with pytest.raises(KeyError):
        records.write("acme", early)
    assert bodies(records, "acme") == []


def test_calls_from_within_a_write_are_refused(records: Records) -> None:
    with pytest.raises(InvalidInputError, match="made outside any write"):
        records.write("acme", lambda session: put(records, "acme"))
    with pytest.raises(InvalidInputError, match="made outside any write"):
        records.write("acme", lambda session: bodies(records, "acme"))
    put(records, "acme")
    assert bodies(records, "acme") == ["hello"]


def test_a_write_inside_a_read_is_refused(records: Records) -> None:
    put(records, "acme")
    with pytest.raises(
        InvalidInputError, match=r"records\.read: the function must be free of writes"
    ):
        records.read("acme", lambda session: session.add(remark("acme")))
    with pytest.raises(InvalidInputError, match="free of writes"):
        records.read("acme", lambda session: session.execute(update(Comment).values(body="x")))
    with pytest.raises(StoreError):
        records.read(
            "acme", lambda session: session.connection().execute(update(Comment).values(body="x"))
        )
    assert bodies(records, "acme") == ["hello"]


def test_a_read_sees_one_snapshot_while_others_write(records: Records) -> None:
    def twice(session: Session) -> tuple[int, int]:
        count = select(func.count(Comment.id))
        first = session.scalar(count)
        writer = threading.Thread(target=put, args=(records, "acme"))
        writer.start()
        writer.join()
        return first, session.scalar(count)

    put(records, "acme")
    assert records.read("acme", twice) == (1, 1)
    assert len(bodies(records, "acme")) == 2


def test_eight_threads_write_fifty_times_each_in_few_commits(records: Records) -> None:
    commits: list[int] = []
    event.listen(records._writer_engine, "commit", lambda connection: commits.append(1))
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(50):
                put(records, "acme", f"{name}-{number}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(bodies(records, "acme")) == sorted(
        f"t{n}-{k}" for n in range(8) for k in range(50)
    )
    assert len(commits) <= 200, f"{len(commits)} commits for 400 writes: no grouping"


def test_a_group_failure_reaches_every_caller_and_the_store_lives_on(records: Records) -> None:
    def refuse(connection: object) -> None:
        raise StoreError.of("test", "the commit", "possible", "a full disk")

    event.listen(records._writer_engine, "commit", refuse)
    with pytest.raises(StoreError, match="a full disk"):
        put(records, "acme", "lost")
    event.remove(records._writer_engine, "commit", refuse)
    put(records, "acme", "kept")
    assert bodies(records, "acme") == ["kept"]


def ask_together(records: Records, *fns: Any) -> list[Any]:
    """Have the functions run in one group; return each value or error."""
    inside, go = threading.Event(), threading.Event()
    answers: list[Any] = [None] * len(fns)

    def hold(session: Session) -> None:
        inside.set()
        go.wait(10)

    def ask(place: int) -> None:
        try:
            answers[place] = records.write("acme", fns[place])
        except Exception as error:
            answers[place] = error

    holder = threading.Thread(target=records.write, args=("acme", hold))
    holder.start()
    inside.wait(10)
    threads = []
    for place in range(len(fns)):
        threads.append(threading.Thread(target=ask, args=(place,)))
        threads[-1].start()
        while records._requests.qsize() <= place:
            threads[-1].join(0.001)
    go.set()
    for thread in (holder, *threads):
        thread.join()
    return answers


def test_nothing_is_acknowledged_when_the_database_ends_the_transaction(tmp_path: Path) -> None:
    def ended(session: Session) -> None:
        session.connection().exec_driver_sql("ROLLBACK")

    def small(session: Session) -> None:
        session.add(remark("acme", "small"))

    with Records(f"sqlite:///{tmp_path}/records.db") as records:
        answers = ask_together(records, small, ended, small)
        assert [type(answer) for answer in answers] == [StoreError] * 3
        assert "Is the disk full?" in str(answers[0])
        assert bodies(records, "acme") == []
        put(records, "acme", "after")
        assert bodies(records, "acme") == ["after"]


def test_a_full_disk_is_told_and_survived(tmp_path: Path) -> None:
    def small(session: Session) -> None:
        session.add(remark("acme", "small"))

    def huge(session: Session) -> None:
        session.add(remark("acme", "x" * 1_000_000))

    with Records(f"sqlite:///{tmp_path}/records.db") as records:
        put(records, "acme", "before")

        def limit(pages: int) -> None:
            with records._writer_engine.begin() as connection:
                connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

        with records._writer_engine.begin() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        limit(pages + 5)
        answers = ask_together(records, small, huge, small)
        assert "full" in str(answers[1])
        acknowledged = sum(answer is None for answer in answers)
        assert bodies(records, "acme") == ["before", *["small"] * acknowledged]
        limit(1_000_000)
        records.write("acme", huge)
        assert len(bodies(records, "acme")[-1]) == 1_000_000


def test_a_rule_of_the_database_comes_back_as_a_store_error(records: Records) -> None:
    def doubled(session: Session) -> None:
        for _ in range(2):
            session.add(Counter(tenant="acme", series="x", last=1))
            session.flush()
            session.expunge_all()

    with pytest.raises(StoreError, match=r"records\.write: the request must be accepted"):
        records.write("acme", doubled)


def test_a_naive_time_is_refused_by_name(records: Records) -> None:
    row = remark("acme")
    row.at = datetime(2026, 1, 1)
    with pytest.raises(InvalidInputError, match="a time must be aware"):
        records.write("acme", lambda session: session.add(row))


def test_a_closed_store_refuses_and_closes_twice(records_url: str) -> None:
    records = Records(records_url)
    records.check()
    records.close()
    records.close()
    for call in (
        lambda: put(records, "acme"),
        lambda: bodies(records, "acme"),
        records.check,
    ):
        with pytest.raises(StoreError, match="open"):
            call()


def test_what_is_asked_before_closing_is_still_written(records_url: str) -> None:
    records = Records(records_url)
    started = threading.Event()
    go = threading.Event()

    def slow(session: Session) -> None:
        started.set()
        go.wait(10)
        session.add(remark("acme", "slow"))

    asking = threading.Thread(target=records.write, args=("acme", slow))
    asking.start()
    started.wait(10)
    closing = threading.Thread(target=records.close)
    closing.start()
    go.set()
    asking.join()
    closing.join()
    with Records(records_url) as reopened:
        assert bodies(reopened, "acme") == ["slow"]


WRITER = """
import sys, threading
from datetime import UTC, datetime
from data import audit_store
from data.record_store import Records

records = Records(sys.argv[1])
out = threading.Lock()

def work(name):
    for number in range(100_000):
        told = records.write("acme", lambda session: audit_store.record(
            session, tenant="acme", actor=name, now=datetime.now(UTC), verb="try",
            object_kind="test", object_id=f"{name}-{number}"))
        with out:
            print(told.object_id, flush=True)

for name in "abcd":
    threading.Thread(target=work, args=(name,)).start()
"""


@pytest.mark.parametrize("acknowledged", [1, 60, 300])
def test_kill_9_loses_nothing_that_was_acknowledged(records_url: str, acknowledged: int) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, records_url], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    seen = [child.stdout.readline().strip() for _ in range(acknowledged)]
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read()
    child.stdout.close()
    assert child.wait(10) == -signal.SIGKILL
    seen += rest[: rest.rfind("\n") + 1].split()
    assert len(seen) >= acknowledged
    with Records(records_url) as records:
        kept = records.read("acme", lambda s: list(s.scalars(select(AuditEvent.object_id))))
        assert set(seen) <= set(kept)
        assert len(kept) == len(set(kept)) <= len(seen) + 4  # at most one unanswered per thread
        assert records.read("acme", lambda s: audit_store.verify(s, tenant="acme")) is None
        put(records, "acme", "alive")


def test_two_stores_on_one_database_keep_one_order(records_url: str) -> None:
    """As two processes would: neither fails, and the chain and the numbers have no fork and no gap."""
    failures: list[BaseException] = []

    def work(records: Records) -> None:
        try:
            for _ in range(30):
                records.write(
                    "acme",
                    lambda session: audit_store.record(
                        session,
                        tenant="acme",
                        actor="ana",
                        now=NOW,
                        verb="try",
                        object_kind="test",
                        object_id="1",
                    ),
                )
        except BaseException as error:
            failures.append(error)

    with Records(records_url) as one, Records(records_url) as two:
        threads = [threading.Thread(target=work, args=(store,)) for store in (one, two, one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        numbers = one.read("acme", lambda s: list(s.scalars(select(AuditEvent.id))))
        assert failures == []
        assert sorted(numbers) == list(range(1, 121))
        assert two.read("acme", lambda s: audit_store.verify(s, tenant="acme")) is None


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://h/d", "nonsense"])
def test_an_unfit_url_is_refused_with_the_cure(url: str) -> None:
    with pytest.raises(InvalidInputError, match="HEADWATER_DATABASE_URL"):
        Records(url)


def test_a_missing_driver_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(MissingExtraError, match="pip install"):
        Records("postgresql+pg8000://host/database")


@pytest.mark.parametrize("tenant", ["", "x" * 65, None])
def test_a_call_without_a_tenant_is_refused(records: Records, tenant: Any) -> None:
    with pytest.raises(InvalidInputError, match="tenant must be a text of 1 to 64"):
        records.read(tenant, lambda session: None)


def test_sqlite_connections_carry_the_durable_pragmas(tmp_path: Path) -> None:
    with Records(f"sqlite:///{tmp_path}/records.db") as records:
        for engine, query_only in ((records._writer_engine, 0), (records._reader_engine, 1)):
            with engine.connect() as connection:
                answers = {
                    name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                    for name in (
                        "journal_mode",
                        "synchronous",
                        "foreign_keys",
                        "busy_timeout",
                        "query_only",
                    )
                }
            assert answers == {
                "journal_mode": "wal",
                "synchronous": 2,  # FULL
                "foreign_keys": 1,
                "busy_timeout": 5000,
                "query_only": query_only,
            }


def test_tenant_is_first_in_every_key_index_and_unique() -> None:
    for name, row in TABLES.items():
        table = row.__table__
        groups = [table.primary_key, *table.indexes]
        groups += [rule for rule in table.constraints if hasattr(rule, "columns")]
        for group in groups:
            assert next(iter(group.columns)).name == "tenant", (name, group)


def test_row_level_security_stands_behind_every_query(postgres: Postgres) -> None:
    url = postgres.database()
    with Records(url) as records:
        put(records, "acme", "ours")
        put(records, "bolt", "theirs")
    database = make_url(url).database
    with postgres.admin(database) as admin:
        fenced = admin.execute(
            "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity"
        ).fetchall()
        assert {name for (name,) in fenced} == set(TABLES)
    for role in ("headwater_app", "owner"):
        with psycopg.connect(host=str(postgres.socket), user="owner", dbname=database) as raw:
            raw.execute(f"SET LOCAL ROLE {role}")
            assert raw.execute("SELECT body FROM comment").fetchall() == []  # no tenant: nothing
            raw.execute("SELECT set_config('app.tenant', 'acme', true)")
            assert raw.execute("SELECT body FROM comment").fetchall() == [("ours",)]
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                raw.execute("INSERT INTO counter VALUES ('bolt', 'x', 1)")


def test_a_connection_forgets_its_tenant_after_each_read(records: Records) -> None:
    put(records, "acme")
    assert bodies(records, "acme") == ["hello"]
    for _ in range(3):
        assert bodies(records, "bolt") == []


def test_plain_keeps_what_json_can_not_say() -> None:
    import numpy as np

    value = {"acos": float("inf"), "gap": np.float64("nan"), "n": np.int64(3), "at": NOW}
    assert plain(value) == {
        "acos": "Infinity",
        "gap": None,
        "n": 3,
        "at": "2026-11-20T06:00:00+00:00",
    }
    assert float(plain(value)["acos"]) == float("inf")
    assert plain(np.arange(4.0).reshape(2, 2)) == [[0.0, 1.0], [2.0, 3.0]]
    assert Alert.__tablename__ == "alert"
