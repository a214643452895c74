"""One training run: a panel goes in, a fitted, measured, published version comes out."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from core import artifact, catalog, devices
from core.contracts import Algorithm, Bools, Detector, OnStep, Panel
from core.ensembles.calibrated import CalibratedEnsemble
from core.errors import InvalidInputError
from core.evaluate.held_out import ALPHA, Predictions, figures
from core.evaluate.splits import Split, time_split
from models.manifest import Training
from models.ports import VersionRow
from models.progress import OUT_OF_MEMORY
from models.registry import Registry, digest_of, revived

if TYPE_CHECKING:
    from core.devices import Checkpoints
    from models.jobs import Outcome, Task

HELD_OUT = 0.2
"""Share of the latest periods that teach nothing: the reported figures are taken from them."""
CONTEXT = 14
"""Periods that a score may look back on; as many are left out between what teaches and what is held out."""
PLANTED, LASTING = 8.0, 4
"""Standard deviations of a planted deviation, and days that it lasts."""
IQR = 1.349
"""Standard deviations between the quartiles of a normal distribution."""
PARENT = "parent"
"""Folder of a job that holds the packed state of the version whose part is learned anew."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A fitted algorithm and how it fared; `members` are an ensemble's parts, name → digest.

    predictions : what the metrics were taken from; None where nothing was held out
    """

    algorithm: Algorithm
    training: Training
    metrics: Mapping[str, float]
    members: Mapping[str, str]
    predictions: Predictions | None = None


def train(
    panel: Panel,
    *,
    name: str = "ensemble",
    params: Mapping[str, Any] | None = None,
    labels: Bools | None = None,
    on_step: OnStep | None = None,
    parent: CalibratedEnsemble | None = None,
    snapshot_digest: str = "",
    held_out: float = HELD_OUT,
) -> Trained:
    """Fit the named algorithm of the catalogue to a panel, and measure it on the latest periods, unseen by it.

    parent          : an ensemble of which only the part `name` is learned anew
    labels          : known anomalies, which are kept out of what is learned as normal
    snapshot_digest : of the file that the panel was read from; the panel's own where there is none
    held_out        : share of the periods, the latest, that a detector does not learn from; 0 = it learns from
                      all and nothing is measured

    Raises UnknownNameError, MissingExtraError, NotEnoughDataError, or TrainingError (CancelledError when
    `on_step` returned False).
    """
    algorithm: Algorithm = catalog.make(name, **(params or {})) if parent is None else parent
    split = split_of(panel, algorithm, held_out)
    past = panel.select(times=split.train)
    odd = None if labels is None else labels[:, split.train]
    started = time.perf_counter()
    if parent is None:
        algorithm.fit(past, odd, on_step)
    else:
        algorithm = parent.refitted(name, params or {}, past, odd, on_step)
    seconds = time.perf_counter() - started
    training = Training(
        start=str(past.periods.labels[0]),
        end=str(past.periods.labels[-1]),
        step_seconds=int(panel.periods.step / np.timedelta64(1, "s")),
        entities=len(panel.entities),
        periods=len(past.periods),
        snapshot_digest=snapshot_digest or panel_digest(panel),
        seed=algorithm.params.seed,
    )
    parts = getattr(algorithm.scorer, "members", {})
    members = {part: digest_of(detector) for part, detector in parts.items()}
    metrics = {"fit_seconds": seconds}
    if not isinstance(algorithm, Detector) or split.test.start == split.test.stop:
        return Trained(algorithm, training, metrics, members)
    predictions = judged(algorithm, panel, split.test)
    metrics |= figures(predictions)
    if predictions.p_value is not None:
        metrics |= planted(algorithm, panel, split, labels)
    return Trained(algorithm, training, metrics, members, predictions)


def publish(
    registry: Registry,
    tenant: str,
    domain: str,
    trained: Trained,
    panel: Panel,
    *,
    parent: str = "",
    predictions: bytes | None = None,
    actor: str,
) -> VersionRow:
    """Record a training run's result as an immutable version, with its packed predictions where given."""
    return registry.publish(
        tenant,
        domain=domain,
        algorithm=trained.algorithm,
        probes=panel,
        training=trained.training,
        metrics=trained.metrics,
        parent=parent,
        members=trained.members,
        predictions=predictions,
        actor=actor,
    )


def panel_digest(panel: Panel) -> str:
    """SHA-256 of a panel's values, names and periods: the data a model was fitted on."""
    digest = hashlib.sha256(np.ascontiguousarray(panel.values).tobytes())
    for names in (panel.entities, panel.metrics, panel.periods.labels.astype(str)):
        digest.update("\0".join(names).encode() + b"\1")
    return digest.hexdigest()


def judged(detector: Detector, panel: Panel, periods: slice) -> Predictions:
    """What a detector says of some periods of a panel, of which it may look at no later one.

    What kept rows from teaching says nothing of their truth: that comes from people's labels, where it is known.
    """
    late = panel.select(times=slice(max(0, periods.start - CONTEXT), periods.stop))
    length = periods.stop - periods.start
    p_values = getattr(detector, "p_values", None)
    p_value = None if p_values is None else p_values(late)[:, -length:]
    return Predictions(
        entities=panel.entities,
        periods=panel.periods.labels[periods],
        # the score of what gives p-values is −log10 p
        score=detector.score(late)[:, -length:] if p_value is None else 0.0 - np.log10(p_value),
        p_value=p_value,
        seen=np.isfinite(panel.values[:, periods]).any(axis=2),
    )


def planted(
    detector: Detector, panel: Panel, split: Split, labels: Bools | None = None
) -> dict[str, float]:
    """How often a deviation raises an alarm that was planted into the newest days, one metric an entity by turns.

    planted_first : share of the entities that raise one on its first day
    planted_last  : on the `LASTING`th, the newest

    It is `PLANTED` standard deviations (robust, of what taught) up or down. A model may keep its promise of few alarms
    and see little: a score that ends where its values do, an expectation that follows what lasts. Entities count that
    are whole and unlabelled on those days; empty where none is.
    """
    days = slice(max(split.test.start, split.test.stop - LASTING), split.test.stop)
    late = panel.select(times=slice(max(0, days.start - CONTEXT), days.stop))
    length = days.stop - days.start
    fine = np.isfinite(panel.values[:, days]).all(axis=(1, 2))
    if labels is not None:
        fine &= ~labels[:, days].any(axis=1)
    rows = np.flatnonzero(fine)
    if not len(rows):
        return {}
    low, high = np.nanpercentile(panel.values[:, split.train], (25, 75), axis=(0, 1))
    turn = np.arange(len(rows))
    metric, sign = turn % len(panel.metrics), np.where(turn // len(panel.metrics) % 2, -1.0, 1.0)
    values = late.values.copy()
    values[rows, -length:, metric] += (sign * PLANTED * ((high - low) / IQR)[metric])[:, None]
    said = detector.p_values(late.with_values(values))  # type: ignore[attr-defined]
    alarms = said[rows, -length:] <= ALPHA
    return {
        "planted_first": float(alarms[:, 0].mean()),
        "planted_last": float(alarms[:, -1].mean()),
    }


def split_of(panel: Panel, algorithm: Algorithm, held_out: float) -> Split:
    """What teaches and what is held out, of the periods from the first on in which anything was observed."""
    share = held_out if isinstance(algorithm, Detector) else 0.0
    first = int(np.isfinite(panel.values).any(axis=(0, 2)).argmax())
    split = time_split(
        len(panel.periods) - first,
        validation=0.0,
        test=share,
        purge=CONTEXT,
        least=algorithm.tags.min_times,
    )
    train, test = (
        slice(part.start + first, part.stop + first) for part in (split.train, split.test)
    )
    return dataclasses.replace(split, train=train, test=test)


# ── As a job ─────────────────────────────────────────────────────────────────────────────────────


def work(
    task: Task,
    folder: Path,
    panel: Panel,
    labels: Bools | None,
    on_step: OnStep,
    checkpoints: Checkpoints,
    pack: Callable[[Predictions], bytes],
) -> Outcome:
    """Train as a task says, in the worker's process.

    payload: {"name", "params", "part"}: with `part`, that detector is learned anew inside the version whose
    packed state lies in the folder's `parent/`, with "parent" = {"name", "params"}.
    """
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
    with devices.running(device=task.device, checkpoints=checkpoints):
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
    learned = float(trained.training.entities * trained.training.periods)
    speed = median(speeds) if speeds else learned / trained.metrics["fit_seconds"]
    return Outcome(
        files=artifact.pack(trained.algorithm.state),
        facts={
            "name": trained.algorithm.name,
            "params": dataclasses.asdict(trained.algorithm.params),
            "training": dataclasses.asdict(trained.training),
            "metrics": {
                **trained.metrics,
                "rows_learned": learned,
                "sequences_per_second": speed,
            },
            "members": dict(trained.members),
            "history": history,
            "device": device[0],
            "seconds": seconds,
            "sequences_per_second": speed,
        },
        predictions=b"" if trained.predictions is None else pack(trained.predictions),
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
