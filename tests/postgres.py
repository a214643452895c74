"""A real PostgreSQL for the tests: started once per worker, on a socket in a folder of its own.

Import `postgres` (and pytest finds the fixture); `postgres.database()` makes a fresh, migrated database.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from data.record_store import Records


@dataclass
class Postgres:
    """A running server; its databases belong to a role that is no superuser, as in production."""

    socket: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://owner@/{database}?host={self.socket}"

    def admin(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            host=str(self.socket), user="postgres", dbname=database, autocommit=True
        )

    def empty(self) -> str:
        """The URL of a new database with nothing in it."""
        name = f"empty_{next(self.numbers)}"
        with self.admin() as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER owner")
        return self.url(name)

    def database(self) -> str:
        """The URL of a new database at the newest schema, copied from a migrated one."""
        name = f"records_{next(self.numbers)}"
        with self.admin() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE migrated OWNER owner")
        return self.url(name)


def _programs() -> Path | None:
    found = [Path(found).resolve().parent] if (found := shutil.which("initdb")) else []
    return next(iter(found + sorted(Path("/usr/lib/postgresql").glob("*/bin"))[::-1]), None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; skips where Debian's `postgresql` is not installed."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL's initdb is not installed (apt-get install postgresql)")
    # initdb refuses root; and the folder must be open to the account it runs as.
    home = Path(tempfile.mkdtemp(prefix="headwater-pg-"))
    drop: list[str] = []
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(home, account.pw_uid, account.pw_gid)
        drop = ["runuser", "-u", "postgres", "--"]

    def run(program: str, *arguments: str) -> None:
        command = [*drop, str(programs / program), *arguments]
        with (home / "out.log").open("ab") as log:
            subprocess.run(command, cwd=home, check=True, stdout=log, stderr=log, timeout=60)

    cluster = str(home / "cluster")
    settings = (
        f"-c listen_addresses='' -c unix_socket_directories='{home}' -c fsync=off "
        "-c shared_buffers=16MB -c max_connections=80"
    )
    try:
        run("initdb", "-D", cluster, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale")
        run("pg_ctl", "-D", cluster, "-w", "-o", settings, "-l", f"{home}/server.log", "start")
        server = Postgres(home)
        with server.admin() as connection:
            connection.execute("CREATE ROLE owner LOGIN CREATEROLE")
            connection.execute("CREATE DATABASE migrated OWNER owner")
        Records(server.url("migrated")).close()
        yield server
    finally:
        if Path(cluster, "postmaster.pid").exists():
            run("pg_ctl", "-D", cluster, "-w", "-m", "immediate", "stop")
        shutil.rmtree(home)
