"""How long a whole detection run takes with fitted models, beside the specification's way: one entity at a time."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from core import catalog
from core.cases import Alarm
from core.contracts import OnStep
from data import alert_store
from data.record_store import Records
from data.simulate.ads import simulate_ads
from data.simulate.ads.account import Size
from workbench.context import Context, open_context
from workbench.services import detect as detection
from workbench.services import ingest, scorer
from workbench.services import scene as scenes
from workbench.services.findings import (
    chosen_entities,
    located,
    new_alerts,
    sightings_of,
    stakes_of,
)
from workbench.settings import Settings

SIZES = {
    1_000: Size(profiles=2, portfolios=5, campaigns=5, days=75),
    10_000: Size(profiles=2, portfolios=25, campaigns=10, days=75),
}
END = date(2026, 3, 15)
MORNINGS = 3
"""Downloads after the history that are imported; each repeats its last 14 days."""
RUNS = 3
SAMPLE = 100
"""Entities that the specification's way is timed on."""
TENANT = "bench"


def run(on_step: OnStep, sizes: Sequence[int] = tuple(SIZES)) -> list[dict[str, Any]]:
    """Two rows per size: the whole run, and one entity at a time over a sample, scaled to all."""
    rows = []
    for index, keywords in enumerate(sizes):

        def told(what: str, share: float, index: int = index, keywords: int = keywords) -> None:
            on_step(f"{keywords:,} keywords: {what}", (index + share) / len(sizes), {})

        with tempfile.TemporaryDirectory() as folder:
            told("simulating", 0.0)
            files = account(Path(folder) / "files", SIZES[keywords])
            settings = Settings(home=Path(folder) / "home", tenant=TENANT)
            with open_context(settings) as context:
                told("importing", 0.3)
                ingest.import_paths(context, TENANT, [files])
                rows += compare(context, keywords, told)
    return rows


def account(files: Path, size: Size) -> Path:
    """Report files of a simulated account: its settled history and the last mornings, without search terms."""
    simulate_ads(files, size=size, seed=11, end=END)
    kept = {"history", *(str(END - timedelta(days=ago)) for ago in range(MORNINGS))}
    for folder in files.iterdir():
        if folder.is_dir() and folder.name not in kept:
            shutil.rmtree(folder)
    for report in files.rglob("spSearchTerm_*"):
        report.unlink()
    return files


def compare(
    context: Context, keywords: int, told: Callable[[str, float], None]
) -> list[dict[str, Any]]:
    """The rows of one imported account; models are fitted and kernels compiled before the clock starts."""
    told("fitting", 0.7)
    for _ in range(2):
        detection.detect(context, TENANT, actor="bench")
    told("whole runs", 0.8)
    runs = []
    for _ in range(RUNS):
        clock = _Clock("begin")
        report = detection.detect(context, TENANT, actor="bench", on_step=clock)
        runs.append(clock.stages())
    wall, cpu = (
        {name: median(run[name][side] for run in runs) for name in runs[0]} for side in (0, 1)
    )
    ours: dict[str, Any] = {
        "what": "whole run, models fitted: read, features, three parts, explain, root cause, save",
        "keywords": keywords,
        "entities": report.total_entities_checked,
        "alerts": report.anomalies_detected,
        "runs": RUNS,
        "seconds": _rounded(wall),
        "cpu_seconds": _rounded(cpu),
    }
    told("one entity at a time", 0.9)
    theirs = one_by_one(context)
    entities = ours["entities"]
    for name in ("seconds", "cpu_seconds"):
        scaled = theirs[name] / theirs["sampled"] * entities
        theirs[f"scaled_{name}"] = round(scaled, 1)
        theirs[f"times_our_{name}"] = round(scaled / ours[name]["total"], 1)
    return [ours, {"keywords": keywords, "entities": entities, **theirs}]


def one_by_one(context: Context) -> dict[str, Any]:
    """Seconds to judge, locate and save a sample of entities one after the other.

    Each: its 14-day window through the same three fitted parts, `bfs-temporal` where the window has an
    anomaly, one transaction per alert. Reading, features and explanation come for free here.
    """
    upsert = partial(alert_store.upsert, tenant=TENANT, now=context.clock(), actor="bench")
    scene = scenes.look(context, TENANT)
    served = scorer.serve(context, TENANT, scene, domain="ads", detector="ensemble", actor="bench")
    ensemble: Any = served.algorithm
    judged = scenes.judge(scene, ensemble)
    sightings = sightings_of(scene, judged, chosen_entities(scene, None, None))
    stakes = stakes_of(scene, judged, sightings)
    causes = located(scene, judged, sightings, stakes)[1]
    alerts = new_alerts(scene, judged, sightings, stakes, (), causes, ensemble, served.version.id)
    found = {alert.entity: alert for alert in alerts}
    localizer: Any = catalog.make("bfs-temporal")
    votes = ensemble.scorer
    entities = scene.residual.entities
    places = np.linspace(0, len(entities) - 1, min(SAMPLE, len(entities))).astype(int)
    saved = 0
    with tempfile.TemporaryDirectory() as folder, Records(f"sqlite:///{folder}/peer.db") as records:
        clock = _Clock("sample")
        for entity in (entities[place] for place in places):
            window = scene.residual.select(
                entities=[entity], times=slice(-scene.domain.window, None)
            )
            for name, member in votes.members.items():
                votes.thresholds[name].p_values(member.score(window))
            if alert := found.get(entity):
                last = np.datetime64(alert.day)
                localizer.find(scene.case(judged, scenes.Question((Alarm(entity, last),))))
                saved += records.write(TENANT, partial(upsert, found=[alert])).created
        wall, cpu = clock.stages()["total"]
    return {
        "what": "one entity at a time: the same parts, bfs-temporal, one transaction per alert",
        "sampled": len(places),
        "sampled_alerts": saved,
        "seconds": round(wall, 3),
        "cpu_seconds": round(cpu, 3),
    }


class _Clock:
    """Hears the stages of a run and keeps when each began, on the wall and on the processors."""

    def __init__(self, first: str) -> None:
        self._marks: list[tuple[str, float, float]] = []
        self(first, 0.0, {})

    def __call__(self, stage: str, share: float, numbers: Any) -> None:
        self._marks.append((stage, time.perf_counter(), time.process_time()))

    def stages(self) -> dict[str, tuple[float, float]]:
        """(wall, cpu) seconds by stage and in "total", up to now."""
        self("", 1.0, {})
        spent: dict[str, tuple[float, float]] = {}
        for (stage, wall, cpu), (_, *until) in zip(self._marks, self._marks[1:], strict=False):
            before = spent.get(stage, (0.0, 0.0))
            spent[stage] = (before[0] + until[0] - wall, before[1] + until[1] - cpu)
        totals = np.sum(list(spent.values()), axis=0)
        return spent | {"total": (float(totals[0]), float(totals[1]))}


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in seconds.items()}
