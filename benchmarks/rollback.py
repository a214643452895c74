"""How long a rollback takes and what it breaks while scoring goes on without pause, beside models read anew each time."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.contracts import Detector, OnStep, Panel, Periods
from models.ports import CHAMPION
from models.serve import Served
from models.train import publish, train
from workbench.context import Context, open_context
from workbench.settings import Settings

TENANT, DOMAIN = "bench", "ads"
ENTITIES, DAYS, METRICS = 50, 60, 5
PARTS = "isolation-forest=0.6, half-space-trees=0.4"
ROUNDS, THREADS = 100, 2
SWITCH = 1e-4
"""Seconds after which threads change places: more interleavings, and none waits long for another."""

Champion = Callable[[], Served]
"""Who scores now."""


@dataclass(frozen=True)
class Load:
    """What threads that score without pause saw of promotions and rollbacks beside them.

    scores    : scores by the version that gave them
    failed    : what went wrong, in words; a score that is not its version's own counts too
    rollbacks : seconds from the wish to the first score that the version before could give
    """

    scores: Counter[str]
    failed: list[str]
    rollbacks: list[float]


def run(on_step: OnStep) -> list[dict[str, Any]]:
    """A row for the cache of loaded models, and one for reading the champion from disk for each score."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        home = Settings(home=Path(folder) / "home", tenant=TENANT)
        with open_context(home) as context:
            panel = noise(ENTITIES)
            pair = [published(context, panel, seed) for seed in (0, 1)]
            context.registry.promote(TENANT, DOMAIN, pair[0], actor="bench", reason="first")
            ways: dict[str, Champion] = {
                "headwater": lambda: context.serve.champion(TENANT, DOMAIN),
                "read anew": lambda: read_anew(context),
            }
            for place, (way, champion) in enumerate(ways.items()):
                on_step(f"rollback under load: {way}", place / len(ways), {})
                began = time.perf_counter()
                load = under_load(context, TENANT, panel, pair, ROUNDS, champion)
                seconds = time.perf_counter() - began
                rows.append({"way": way, **figures(load, seconds)})
    return rows


def figures(load: Load, seconds: float) -> dict[str, Any]:
    """What a run says: how many scores, how many failed, and how long rollbacks took."""
    middle, late, latest = np.quantile(load.rollbacks, (0.5, 0.99, 1.0))
    return {
        "rollbacks": len(load.rollbacks),
        "scores": load.scores.total(),
        "failed": len(load.failed),
        "scores_per_second": load.scores.total() / seconds,
        "rollback_ms_median": 1000 * float(middle),
        "rollback_ms_p99": 1000 * float(late),
        "rollback_ms_max": 1000 * float(latest),
    }


def under_load(
    context: Context,
    tenant: str,
    panel: Panel,
    pair: list[str],
    rounds: int,
    champion: Champion,
) -> Load:
    """Let the champion go to and fro between two versions, of which the first serves, while threads score."""
    registry, load = context.registry, context.serve.load
    expected = {version: _score(context.registry.load(tenant, version), panel) for version in pair}
    scores: Counter[str] = Counter()
    failed: list[str] = []
    rollbacks: list[float] = []
    done = threading.Event()

    def score() -> None:
        while not done.is_set():
            try:
                served = champion()
                got = _score(served.algorithm, panel)
                if not np.array_equal(got, expected[served.version.id]) or served.notice:
                    failed.append(f"{served.version.id}: {served.notice or 'other scores'}")
            except Exception as error:  # noqa: BLE001 - counted
                failed.append(repr(error))
            else:
                scores[served.version.id] += 1

    with often_interrupted(), ThreadPoolExecutor(THREADS) as pool:
        for _ in range(THREADS):
            pool.submit(score)
        try:
            for _ in range(rounds):
                registry.promote(tenant, DOMAIN, pair[1], actor="bench", reason="to")
                began = time.perf_counter()
                registry.rollback(tenant, DOMAIN, actor="bench", reason="fro", load=load)
                champion()
                rollbacks.append(time.perf_counter() - began)
        finally:
            done.set()
    return Load(scores, failed, rollbacks)


def read_anew(context: Context) -> Served:
    """The champion, read from its files for this one score: what a script without a server does."""
    found = context.registry.store.served(TENANT, DOMAIN, CHAMPION)
    assert found is not None
    return Served(found[1], context.registry.load(TENANT, found[1].id))


def noise(n_entity: int) -> Panel:
    """Standard normal residuals."""
    days = np.datetime64("2026-01-01", "s") + np.arange(DAYS) * np.timedelta64(86_400, "s")
    values = np.random.default_rng(7).standard_normal((n_entity, DAYS, METRICS))
    names = tuple(f"campaign:{row}" for row in range(n_entity))
    channels = ("impressions", "ctr", "cpc", "cvr", "aov")
    return Panel(values, names, channels, Periods(days, np.timedelta64(1, "D")))


def published(context: Context, panel: Panel, seed: int) -> str:
    """A version of the ensemble."""
    params = {"parts": PARTS, "seed": seed}
    trained = train(panel, params=params, held_out=0.0)
    return publish(context.registry, TENANT, DOMAIN, trained, panel, actor="bench").id


@contextmanager
def often_interrupted() -> Iterator[None]:
    """Let threads change places often while the block runs."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def _score(algorithm: Any, panel: Panel) -> Any:
    assert isinstance(algorithm, Detector)
    return algorithm.score(panel)
