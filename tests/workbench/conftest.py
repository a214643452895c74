"""An open context in a temporary home, with a clock that the test moves; and the command line in this process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import _opened
from tests.findings import NOW
from tests.server import environment
from tests.workbench import trials
from workbench import cli
from workbench.context import Context, open_context
from workbench.settings import Settings


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", user="ana", tenant="acme")


@pytest.fixture
def ctx(settings: Settings, clock: Clock) -> Iterator[Context]:
    with open_context(settings, clock=clock) as context:
        yield context


class Tried(NamedTuple):
    """A detected home and, by kind, the versions in it that can be tried beside its champion."""

    home: Path
    versions: dict[str, str]


@pytest.fixture(scope="session")
def tried(tmp_path_factory: pytest.TempPathFactory, detected: Path) -> Tried:
    """A detected home with three more versions; never change it, copy it."""
    home = tmp_path_factory.mktemp("trials") / "tried"
    shutil.copytree(detected, home)
    with _opened(home) as context:
        return Tried(home, trials.publish(context))


class Said(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout."""
        assert self.out.count("\n") == 1
        return json.loads(self.out)


Headwater = Callable[..., Said]


@pytest.fixture
def headwater(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Headwater:
    """Run a command in this process; `home` is copied at its first use, an empty one when absent."""

    def run(*arguments: object, home: Path | None = None) -> Said:
        place = tmp_path / (home.name if home else "empty")
        if home and not place.exists():
            shutil.copytree(home, place)
        for name, value in environment(place, COLUMNS="200").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.argv", ["headwater", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run
