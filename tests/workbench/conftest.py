"""An open context in a temporary home, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.findings import NOW
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
