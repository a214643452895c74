"""The one place that wires: stores, registry, models and clock, built once and closed together.

One process owns a home at a time (DuckDB allows no second one, not even to read). The owner holds a lock on
`home/owner.lock`, whose text says who it is and, for a server, where it listens; the lock goes with the process,
so nothing is left to clean after a kill.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from core.errors import PermissionDeniedError, StoreError
from workbench.settings import Settings

if TYPE_CHECKING:
    from data.metrics import MetricStore
    from data.record_store import Records
    from models.registry import Registry
    from models.scoring import RowScorer
    from models.serve import Serve

Clock = Callable[[], datetime]
_TRIES = (0.0, 0.02, 0.05, 0.1)  # seconds; a look by `holder` keeps the lock for a moment


def utc_now() -> datetime:
    """The real clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, eq=False)
class Context:
    """Everything a service needs, and on whose behalf it acts."""

    settings: Settings
    metrics: MetricStore
    records: Records
    registry: Registry
    serve: Serve
    scorer: RowScorer
    clock: Clock
    actor: str
    _opened: ExitStack = field(repr=False)

    def acting_as(self, actor: str) -> Context:
        """The same stores in another person's name."""
        return dataclasses.replace(self, actor=actor)

    def holdings(self) -> list[tuple[str, str]]:
        """(tenant, domain) of everybody who has data here, of figures by day or of measurements."""
        return sorted({*self.metrics.holdings(), *self.metrics.samples.holdings()})

    def close(self) -> None:
        """Close the stores and let go of the home; safe to call twice."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_context(settings: Settings | None = None, *, clock: Clock = utc_now) -> Context:
    """Open the home's stores; StoreError names the process that holds them when it is another one."""
    # imported only here: a command that a server answers opens no store
    from data import run_store
    from data.metrics import MetricStore
    from data.record_store import Records
    from data.version_store import Versions
    from models.registry import Registry
    from models.scoring import RowScorer
    from models.serve import Serve
    from models.signing import Keys

    settings = settings or Settings()
    with ExitStack() as opening:
        opening.enter_context(_owned(settings.home, stores=True))
        records = opening.enter_context(Records(settings.records_url))
        metrics = MetricStore(settings.home / "metrics.duckdb")
        opening.callback(metrics.close)
        keys = Keys(settings.home / "keys")
        registry = Registry(settings.home / "registry", Versions(records), keys, clock)
        registry.sweep()
        # nobody else holds the home, so whatever still counts as running died with its process
        for tenant in {tenant for tenant, _ in (*metrics.holdings(), *metrics.samples.holdings())}:
            records.write(tenant, partial(run_store.heal, tenant=tenant, now=clock()))
        serve = Serve(registry, settings.loaded_models)
        scorer = RowScorer(serve)
        opening.callback(scorer.close)
        return Context(
            settings=settings,
            metrics=metrics,
            records=records,
            registry=registry,
            serve=serve,
            scorer=scorer,
            clock=clock,
            actor=settings.user,
            _opened=opening.pop_all(),
        )


# ── the context of a process with many threads ───────────────────────────────────────────────────

_door = threading.Lock()
_shared: list[Context] = []


@contextmanager
def shared(settings: Settings, *, clock: Clock = utc_now) -> Iterator[Context]:
    """Open the context that `current` gives to every thread of this process, and close it at the end."""
    with open_context(settings, clock=clock) as context:
        with _door:
            _shared.append(context)
        try:
            yield context
        finally:
            with _door:
                _shared.remove(context)


def current() -> Context:
    """The process's context; opened with the environment's settings when nobody has (`streamlit run`)."""
    with _door:
        if not _shared:
            _shared.append(open_context())
        return _shared[-1]


# ── who owns the home ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Holder:
    """The process that holds a home and what it was asked; `address` is where it serves, "" when it is no server."""

    pid: int = 0
    address: str = ""
    since: str = ""
    command: str = ""


@contextmanager
def announce(settings: Settings) -> Iterator[None]:
    """Hold the home and say where this process will serve it, before anything is opened.

    Refuses (PermissionDeniedError) an address that others can reach while nobody could log in.
    """
    with _owned(settings.home, settings.address):
        if not settings.on_loopback:
            _check_login(settings)
        yield


def holder(home: Path) -> Holder | None:
    """The process that holds the home now, or None."""
    try:
        file = (home / "owner.lock").open()
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read_holder(file)
    return None


def server_address(settings: Settings) -> str:
    """Where a server that holds the home listens; "" when none does."""
    found = holder(settings.home)
    return found.address if found else ""


@dataclass
class _Home:
    file: IO[str]
    users: int = 0
    stores_open: bool = False


_homes: dict[Path, _Home] = {}
_homes_door = threading.Lock()


@contextmanager
def _owned(folder: Path, address: str = "", *, stores: bool = False) -> Iterator[None]:
    """Hold the home's lock; it nests within one process, but the stores open once."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = folder.resolve()
    with _homes_door:
        if folder not in _homes:
            _homes[folder] = _Home(_lock(folder, address))
        home = _homes[folder]
        if stores and home.stores_open:
            hint = "Use the context that is open."
            raise StoreError.of("headwater", str(folder), "opened once", "opened again", hint)
        home.users += 1
        home.stores_open |= stores
    try:
        yield
    finally:
        with _homes_door:
            home.users -= 1
            home.stores_open &= not stores
            if not home.users:
                del _homes[folder]
                home.file.close()


def _lock(folder: Path, address: str) -> IO[str]:
    file = (folder / "owner.lock").open("a+")
    for patience in _TRIES:
        threading.Event().wait(patience)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        file.truncate(0)
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:3]])
        ours = Holder(os.getpid(), address, f"{utc_now():%FT%TZ}", command)
        file.write(json.dumps(dataclasses.asdict(ours)))
        file.flush()
        return file
    found = _read_holder(file)
    file.close()
    raise StoreError.of(
        "headwater",
        str(folder),
        "held by one process at a time",
        f"process {found.pid} ({found.command}), since {found.since}",
        f"A server runs at {found.address}: use it or stop it, or choose another HEADWATER_HOME."
        if found.address
        else "Wait until it ends, stop it with Ctrl+C where it runs, or choose another HEADWATER_HOME. Commands that "
        "are to run beside each other go through a server: start `headwater serve` first.",
    )


def _read_holder(file: IO[str]) -> Holder:
    file.seek(0)
    try:
        return Holder(**json.loads(file.read()))
    except (ValueError, TypeError):  # the owner is just writing it
        return Holder()


def _check_login(settings: Settings) -> None:
    from data import token_store
    from data.record_store import Records

    with Records(settings.records_url) as records:
        possible = records.read(
            settings.tenant,
            lambda session: token_store.any_current(session, tenant=settings.tenant, now=utc_now()),
        )
    if not possible:
        raise PermissionDeniedError.of(
            "headwater",
            "the address",
            "on loopback while no login is configured",
            settings.host,
            f"Make a token first: headwater tokens create {settings.user}",
        )
