"""One training run: a panel goes in, a fitted, measured, published version comes out."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core import artifact, catalog
from core.contracts import Algorithm, Bools, Detector, OnStep, Panel
from core.ensembles.calibrated import CalibratedEnsemble
from core.errors import InvalidInputError
from core.evaluate.ranking import auc_pr, auc_roc
from models.manifest import Training
from models.ports import VersionRow
from models.progress import OUT_OF_MEMORY
from models.registry import Registry, digest_of, revived

if TYPE_CHECKING:
    from core.training import Checkpoints
    from models.jobs import Outcome, Task

HELD_OUT = 0.2  # share of the latest periods that the reported figures are taken from
CONTEXT = 14  # periods before them that a score may look back on
ALPHA = 0.01
PARENT = "parent"
"""Folder of a job that holds the packed state of the version whose part is learned anew."""
Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Trained:
    """A fitted algorithm and how it fared; `members` are an ensemble's parts, name → digest.

    predictions : what the metrics were taken from, a row per entity and held-out period: entity, period,
                  score, p_value (of what gives one), label (where anything is known)
    """

    algorithm: Algorithm
    training: Training
    metrics: Mapping[str, float]
    members: Mapping[str, str]
    predictions: Columns = field(default_factory=dict)


def train(
    panel: Panel,
    *,
    name: str = "ensemble",
    params: Mapping[str, Any] | None = None,
    labels: Bools | None = None,
    on_step: OnStep | None = None,
    parent: CalibratedEnsemble | None = None,
    snapshot_digest: str = "",
) -> Trained:
    """Fit the named algorithm of the catalogue to a panel and measure it on the latest fifth.

    parent          : an ensemble of which only the part `name` is learned anew
    labels          : known anomalies, which are kept out of what is learned as normal
    snapshot_digest : of the file that the panel was read from; the panel's own where there is none

    Raises UnknownNameError, MissingExtraError, NotEnoughDataError, or TrainingError (CancelledError when
    `on_step` returned False).
    """
    started = time.perf_counter()
    if parent is None:
        algorithm: Algorithm = catalog.make(name, **(params or {}))
        algorithm.fit(panel, labels, on_step)
    else:
        algorithm = parent.refitted(name, params or {}, panel, labels, on_step)
    seconds = time.perf_counter() - started
    step = panel.periods.step / np.timedelta64(1, "s")
    training = Training(
        start=str(panel.periods.labels[0]),
        end=str(panel.periods.labels[-1]),
        step_seconds=int(step),
        entities=len(panel.entities),
        periods=len(panel.periods),
        snapshot_digest=snapshot_digest or panel_digest(panel),
        seed=algorithm.params.seed,
    )
    parts = getattr(algorithm.scorer, "members", {})
    members = {part: digest_of(detector) for part, detector in parts.items()}
    predictions = judged(algorithm, panel, labels)
    metrics = {"fit_seconds": seconds} | figures(predictions)
    return Trained(algorithm, training, metrics, members, predictions)


def publish(
    registry: Registry,
    tenant: str,
    domain: str,
    trained: Trained,
    panel: Panel,
    *,
    parent: str = "",
    actor: str,
) -> VersionRow:
    """Record a training run's result as an immutable version."""
    return registry.publish(
        tenant,
        domain=domain,
        algorithm=trained.algorithm,
        probes=panel,
        training=trained.training,
        metrics=trained.metrics,
        parent=parent,
        members=trained.members,
        actor=actor,
    )


def panel_digest(panel: Panel) -> str:
    """SHA-256 of a panel's values, names and periods: the data a model was fitted on."""
    digest = hashlib.sha256(np.ascontiguousarray(panel.values).tobytes())
    for names in (panel.entities, panel.metrics, panel.periods.labels.astype(str)):
        digest.update("\0".join(names).encode() + b"\1")
    return digest.hexdigest()


def judged(
    algorithm: Algorithm, panel: Panel, labels: Bools | None = None
) -> dict[str, NDArray[Any]]:
    """What a detector says of the held-out latest fifth, a row per observed entity and period."""
    if not isinstance(algorithm, Detector):
        return {}
    held_out = max(1, int(len(panel.periods) * HELD_OUT))
    late = panel.select(times=slice(-held_out - CONTEXT, None))
    seen = np.isfinite(late.values[:, -held_out:]).any(axis=2)
    rows, columns = np.nonzero(seen)
    found: dict[str, NDArray[Any]] = {
        "entity": np.array(late.entities)[rows],
        "period": late.periods.labels[-held_out:][columns],
        "score": algorithm.score(late)[:, -held_out:][seen],
    }
    p_values = getattr(algorithm, "p_values", None)
    if p_values is not None:
        found["p_value"] = p_values(late)[:, -held_out:][seen]
    if labels is not None:
        found["label"] = labels[:, -held_out:][seen]
    return found


def figures(predictions: Columns) -> dict[str, float]:
    """The metrics of a version, from nothing but its stored predictions.

    alarm_share : of the cells, those with p below 0.01; of a detector without p-values score_median and
                  score_99 instead
    auc_roc, auc_pr : where cells are labelled both ways
    """
    score = predictions.get("score", np.zeros(0))
    if not len(score):
        return {}
    if "p_value" in predictions:
        found = {"alarm_share": float(np.mean(predictions["p_value"] < ALPHA))}
    else:
        found = {
            "score_median": float(np.median(score)),
            "score_99": float(np.quantile(score, 0.99)),
        }
    label = predictions.get("label", np.zeros(0, dtype=bool))
    if label.any() and not label.all():
        found |= {"auc_roc": auc_roc(score, label), "auc_pr": auc_pr(score, label)}
    return found


# ── As a job ─────────────────────────────────────────────────────────────────────────────────────


def work(
    task: Task,
    folder: Path,
    panel: Panel,
    labels: Bools | None,
    on_step: OnStep,
    checkpoints: Checkpoints,
) -> Outcome:
    """Train as a task says, in the worker's process.

    payload: {"name", "params", "part"}: with `part`, that detector is learned anew inside the version whose
    packed state lies in the folder's `parent/`, with "parent" = {"name", "params"}.
    """
    from core import training
    from models.jobs import Outcome

    history: list[dict[str, Any]] = []
    device = [task.device]

    def listen(stage: str, share: float, numbers: Mapping[str, float]) -> bool | None:
        if OUT_OF_MEMORY in stage:
            device[0] = "cpu"
        if "validation" in numbers:
            history.append({"stage": stage, **{key: float(n) for key, n in numbers.items()}})
        return on_step(stage, share, numbers)

    started = time.perf_counter()
    with training.running(device=task.device, checkpoints=checkpoints):
        trained = train(
            panel,
            name=task.payload["part"] or task.payload["name"],
            params=task.payload["params"],
            labels=labels,
            on_step=listen,
            parent=_parent(task, folder) if task.payload["part"] else None,
            snapshot_digest=task.digest,
        )
    seconds = time.perf_counter() - started
    speeds = [row["rows_per_second"] for row in history if row.get("rows_per_second")]
    cells = panel.values.shape[0] * panel.values.shape[1]
    speed = median(speeds) if speeds else cells / trained.metrics["fit_seconds"]
    return Outcome(
        files=artifact.pack(trained.algorithm.state),
        facts={
            "name": trained.algorithm.name,
            "params": dataclasses.asdict(trained.algorithm.params),
            "training": dataclasses.asdict(trained.training),
            "metrics": {**trained.metrics, "sequences_per_second": speed},
            "members": dict(trained.members),
            "history": history,
            "device": device[0],
            "seconds": seconds,
            "sequences_per_second": speed,
        },
        predictions=trained.predictions,
    )


def _parent(task: Task, folder: Path) -> CalibratedEnsemble:
    """The ensemble whose part is learned anew, from what the job's owner put into the folder."""
    told = task.payload["parent"]
    files = {path.name: path.read_bytes() for path in sorted((folder / PARENT).iterdir())}
    params = catalog.get(told["name"]).Params.of(told["params"])
    parent = revived(told["name"], params, files)
    if not isinstance(parent, CalibratedEnsemble):
        rule = "an ensemble of calibrated parts"
        raise InvalidInputError.of("training", "the version to be changed", rule, parent.name)
    return parent
