"""A small simulated account, and a home in which it was imported and checked: made once, copied by who changes it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from data.simulate.ads import account, simulate_ads
from workbench.context import Context, open_context
from workbench.services import detect, ingest
from workbench.settings import Settings

TENANT = "local"
SIZE = account.Size(profiles=1, portfolios=2, campaigns=3, days=75)
SEED = 7
MORNING = datetime(2026, 3, 15, 18, tzinfo=UTC)
"""Some hours after the world's last download."""


@pytest.fixture(autouse=True)
def own_main() -> Iterator[None]:
    """Streamlit's AppTest leaves its script as `__main__`, which every spawned process would then run anew."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of an account of 120 keywords and 75 days, with three planted incidents in `truth/`."""

    def build(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(account.SIZES, "75 days", SIZE)
            simulate_ads(folder, size="75 days", seed=SEED)

    return _once(tmp_path_factory, "world", build)


@pytest.fixture(scope="session")
def truth(world: Path) -> list[dict[str, Any]]:
    """What was planted."""
    found: list[dict[str, Any]] = json.loads((world / "truth" / "incidents.json").read_text())
    return found


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """A home with the world's files; never change it, copy it."""

    def build(folder: Path) -> None:
        with _opened(folder) as context:
            ingest.import_paths(context, TENANT, [world])

    return _once(tmp_path_factory, "imported", build)


@pytest.fixture(scope="session")
def detected(tmp_path_factory: pytest.TempPathFactory, imported: Path) -> Path:
    """A home in which detection ran once; never change it, copy it."""

    def build(folder: Path) -> None:
        shutil.copytree(imported, folder)
        with _opened(folder) as context:
            detect.detect(context, TENANT, actor="ana")

    return _once(tmp_path_factory, "detected", build)


@pytest.fixture
def open_home(tmp_path: Path) -> Iterator[Callable[..., Context]]:
    """Open a copy of a home; a second call with the same one goes on where the first ended."""
    opened: list[Context] = []

    def open_copy(home: Path, *, now: datetime = MORNING) -> Context:
        for context in opened:
            context.close()
        copy = tmp_path / home.name
        if not copy.exists():
            shutil.copytree(home, copy)
        opened.append(_opened(copy, now))
        return opened[-1]

    yield open_copy
    for context in opened:
        context.close()


def _opened(home: Path, now: datetime = MORNING) -> Context:
    return open_context(Settings(home=home, tenant=TENANT, user="ana"), clock=lambda: now)


def _once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], None]) -> Path:
    """`build` a folder once for all worker processes of a test run."""
    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            partial = shared.with_suffix(".partial")
            build(partial)
            partial.rename(shared)
    return shared
