"""A training as a job: what it learns from, and how what comes back becomes a version.

Whatever is trained becomes an ensemble of calibrated parts, since that is what scores a domain: a detector or a
forecaster that is none votes alone in one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from core import artifact, catalog
from core.contracts import Bools, Panel
from core.ensembles.calibrated import CalibratedEnsemble
from core.errors import InvalidInputError, NotFoundError, PersistenceError
from core.evaluate import held_out
from core.evaluate.held_out import Predictions
from data import job_store, predictions, snapshots, version_store
from data.model_records import Job, ModelVersion
from models.jobs import Outcome, Task
from models.manifest import Training
from models.ports import CHALLENGER, CHAMPION
from models.registry import revived, version_id
from models.train import PARENT
from workbench.context import Context
from workbench.services import jobs, labelled, tracking
from workbench.services import scene as scenes
from workbench.services.jobs import Finish, Prepared

Learnable = tuple[Panel, Bools]
"""What can be learned from, and the cells in it that are no example of a normal day, (n_entity, n_time)."""


def everything(ctx: Context, tenant: str, domain: str) -> Learnable:
    """All that a model of a domain can learn from, from the first day on that has an expectation."""
    residual = scenes.look(ctx, tenant, domain=domain).lessons
    known = np.flatnonzero(np.isfinite(residual.values).any(axis=(0, 2)))
    panel = residual.select(times=slice(int(known[0]) if len(known) else 0, None))
    return panel, labelled.mask(ctx, tenant, domain, panel)


def material(learnable: Learnable, start: date | None, end: date | None) -> Learnable:
    """The days from `start` to `end`, both included; InvalidInputError where there are none."""
    panel, odd = learnable
    days = panel.periods.labels.astype("datetime64[D]")
    first = 0 if start is None else int(np.searchsorted(days, np.datetime64(start)))
    last = len(days) if end is None else int(np.searchsorted(days, np.datetime64(end), "right"))
    if first >= last:
        rule = f"days from {days[0]} to {days[-1]}, the first before the last"
        hint = "Choose a window within these days, or import more."
        raise InvalidInputError.of("training", "the window", rule, f"{start} to {end}", hint)
    return panel.select(times=slice(first, last)), odd[:, first:last]


def champion_of(ctx: Context, tenant: str, domain: str) -> CalibratedEnsemble | None:
    """The champion as an ensemble; None where there is none that can be loaded, or it is no ensemble."""
    try:
        champion = ctx.serve.champion(tenant, domain).algorithm
    except (NotFoundError, PersistenceError):
        return None
    return champion if isinstance(champion, CalibratedEnsemble) else None


def champion_parts(ctx: Context, tenant: str, domain: str) -> Sequence[str]:
    """Detectors that vote in the champion."""
    champion = champion_of(ctx, tenant, domain)
    return () if champion is None else tuple(champion.scorer.members)


def prepare(ctx: Context, tenant: str, job: Job) -> Prepared:
    """The snapshot of a training job, what its worker is to fit, and the champion whose part it learns anew."""
    asked = job.payload
    panel, odd = material(
        everything(ctx, tenant, job.domain),
        None if asked["from"] is None else date.fromisoformat(asked["from"]),
        None if asked["to"] is None else date.fromisoformat(asked["to"]),
    )
    where = ctx.settings.home / "snapshots"
    if not asked["part"]:
        name, params = as_ensemble(asked["algorithm"], asked["params"])
        kept = snapshots.write(where, panel, odd)
        return Prepared(kept, {"name": name, "params": params, "part": ""})
    served = ctx.serve.champion(tenant, job.domain)
    champion = served.algorithm
    # the other parts stay, so the new one learns what they learned
    kept = snapshots.write(where, scenes.heard(panel, champion), odd)
    told = {
        "name": champion.name,
        "params": dataclasses.asdict(champion.params),
        "version": served.version.id,
    }
    payload = {
        "name": champion.name,
        "params": asked["params"],
        "part": asked["algorithm"],
        "parent": told,
    }
    files = artifact.pack(champion.state)
    return Prepared(kept, payload, {f"{PARENT}/{file}": data for file, data in files.items()})


def as_ensemble(algorithm: str, params: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """An algorithm with its parameters as the ensemble that is trained for it."""
    if issubclass(catalog.get(algorithm), CalibratedEnsemble):
        return algorithm, dict(params)
    own = {name: value for name, value in params.items() if name != "seed"}
    chosen = ", ".join(f"{algorithm}.{name}={value}" for name, value in own.items())
    found: dict[str, Any] = {"parts": f"{algorithm}=1", "settings": chosen}
    return CalibratedEnsemble.name, found | {
        name: value for name, value in params.items() if name == "seed"
    }


def publish(ctx: Context, tenant: str, job: Job, outcome: Outcome, finish: Finish) -> None:
    """Version, alias, audit and the job's end, in one transaction.

    It becomes the champion where there is none yet, else the challenger.
    """
    task = Task.read(jobs.folder(ctx, job.id))
    panel, _ = snapshots.read(Path(task.snapshot), task.digest)
    facts = outcome.facts
    algorithm = revived(
        facts["name"], catalog.get(facts["name"]).Params(**facts["params"]), outcome.files
    )
    judged = _with_truth(ctx, tenant, job.domain, panel, outcome.predictions)
    champion = ctx.registry.store.alias(tenant, job.domain, CHAMPION)
    served = champion.version_id if champion else ""
    with ctx.registry.staged(
        tenant,
        domain=job.domain,
        algorithm=algorithm,
        probes=panel,
        training=Training(**facts["training"]),
        metrics=facts["metrics"] | ({} if judged is None else held_out.figures(judged)),
        parent=task.payload["parent"]["version"] if task.payload["part"] else served,
        members=facts["members"],
        version=version_id(job.claimed_at or job.created_at, f"{job.id}/{job.fence}"),
        predictions=None if judged is None else predictions.pack(judged),
    ) as row:
        commit = partial(_commit, tenant=tenant, job=job, row=row, finish=finish)
        version = ctx.records.write(tenant, commit)
    tracking.tell(ctx, version, facts["history"], jobs.folder(ctx, job.id))


def _with_truth(
    ctx: Context, tenant: str, domain: str, panel: Panel, packed: bytes
) -> Predictions | None:
    """What was said of the held-out rows, beside what people said of them."""
    if not packed:
        return None
    found = predictions.unpack(packed)
    times = np.searchsorted(panel.periods.labels, found.periods)
    late = panel.select(
        entities=found.entities, times=slice(int(times.min()), int(times.max()) + 1)
    )
    said = labelled.said(late, labelled.episodes(ctx, tenant, domain))
    columns = times - times.min()
    return held_out.with_truth(found, said.real[:, columns], said.doubtful[:, columns])


def _commit(
    session: Any, *, tenant: str, job: Job, row: Mapping[str, Any], finish: Finish
) -> ModelVersion:
    finish(session, row["id"])
    at = job_store.now(session)
    version = version_store.add(session, tenant=tenant, fields=row, actor=job.created_by, at=at)
    place = partial(version_store.alias_of, session, tenant=tenant, domain=job.domain)
    alias = CHALLENGER if place(alias=CHAMPION) else CHAMPION
    before = place(alias=alias)
    version_store.move_alias(
        session,
        tenant=tenant,
        domain=job.domain,
        alias=alias,
        version_id=row["id"],
        seen=before.version if before else 0,
        actor=job.created_by,
        reason=f"trained by job {job.id}",
        at=at,
    )
    return version
