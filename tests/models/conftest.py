"""A registry over a real records store, in a temporary home."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from core.contracts import Panel, Periods
from data.record_store import Records
from data.version_store import Versions
from models.registry import Registry
from models.signing import Keys
from models.train import publish, train

NOW = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)
Publish = Callable[..., str]


def folder_of(registry: Registry, version: str) -> Path:
    """Where a version that `published` made lies."""
    return registry.root / "robust-z" / version


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def panel() -> Panel:
    """40 entities, 60 days, 5 channels of standard normal residuals, some missing."""
    draws = np.random.default_rng(5)
    values = draws.standard_normal((40, 60, 5))
    values[draws.random(values.shape) < 0.05] = np.nan
    days = np.datetime64("2026-01-01", "s") + np.arange(60) * np.timedelta64(86400, "s")
    return Panel(
        values,
        tuple(f"campaign:{row}" for row in range(40)),
        ("impressions", "ctr", "cpc", "cvr", "aov"),
        Periods(days, np.timedelta64(1, "D")),
    )


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with Records(f"sqlite:///{tmp_path}/records.db") as store:
        yield store


@pytest.fixture
def registry(tmp_path: Path, records: Records, clock: Clock) -> Registry:
    return Registry(tmp_path / "registry", Versions(records), Keys(tmp_path / "keys"), clock)


@pytest.fixture
def published(registry: Registry, panel: Panel, clock: Clock) -> Callable[..., str]:
    """Publish a robust-z version and give its id; other parameters make another version."""

    def make(tenant: str = "acme", **params: object) -> str:
        clock.advance(seconds=1)
        trained = train(panel, name="robust-z", params=params, held_out=0.0)
        return publish(registry, tenant, "ads", trained, panel, actor="ana").id

    return make
