"""A home whose jobs learn from a panel of a moment: what the tests of jobs, and the processes they kill, share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core.contracts import Panel, Periods
from data import snapshots
from data.model_records import Job
from workbench.context import Context
from workbench.services import job_kinds, jobs, training_jobs
from workbench.services.job_kinds import Kind
from workbench.services.jobs import Prepared
from workbench.settings import Settings

TENANT = "acme"


def settings(home: Path, **more: Any) -> Settings:
    """A home of its own, on SQLite."""
    return Settings(home=home, tenant=TENANT, user="ana", **more)


def panel() -> Panel:
    """12 entities over 60 days, normal noise."""
    days = np.datetime64("2026-01-01", "s") + np.arange(60) * np.timedelta64(86_400, "s")
    return Panel(
        np.random.default_rng(5).standard_normal((12, 60, 3)),
        tuple(f"campaign:{row}" for row in range(12)),
        ("impressions", "ctr", "cpc"),
        Periods(days, np.timedelta64(1, "D")),
    )


def prepare(ctx: Context, tenant: str, job: Job) -> Prepared:
    """What a training is handed, from the panel above instead of the metrics file."""
    name, params = training_jobs.as_ensemble(job.payload["algorithm"], job.payload["params"])
    kept = snapshots.write(ctx.settings.home / "snapshots", panel())
    return Prepared(kept, {"name": name, "params": params, "part": ""})


def use_small_panels() -> None:
    """From now on, trainings of this process learn from `panel`."""
    job_kinds.KINDS["train"] = Kind(prepare, training_jobs.publish)


def submit(ctx: Context, algorithm: str = "robust-z", **more: Any) -> Job:
    """A training of a second."""
    fields: dict[str, Any] = {
        "kind": "train",
        "domain": "ads",
        "payload": {"algorithm": algorithm, "params": {}},
        "actor": "ana",
        "device": "cpu",
    }
    return jobs.submit(ctx, TENANT, **fields | more)
