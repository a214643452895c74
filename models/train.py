"""One training run: a panel goes in, a fitted, measured, published version comes out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core import catalog
from core.contracts import Algorithm, Bools, Detector, OnStep, Panel
from models.manifest import Training
from models.ports import VersionRow
from models.registry import Registry, digest_of

HELD_OUT = 0.2  # share of the latest periods that the reported figures are taken from
CONTEXT = 14  # periods before them that a score may look back on
ALPHA = 0.01


@dataclass(frozen=True, eq=False)
class Trained:
    """A fitted algorithm and how it fared; `members` are an ensemble's parts, name → digest."""

    algorithm: Algorithm
    training: Training
    metrics: Mapping[str, float]
    members: Mapping[str, str]


def train(
    panel: Panel,
    *,
    name: str = "ensemble",
    params: Mapping[str, Any] | None = None,
    labels: Bools | None = None,
    on_step: OnStep | None = None,
) -> Trained:
    """Fit the named algorithm of the catalogue to a panel and measure it on the latest fifth.

    Raises UnknownNameError, MissingExtraError, NotEnoughDataError, or TrainingError (CancelledError when
    `on_step` returned False).
    """
    algorithm = catalog.make(name, **(params or {}))
    started = time.perf_counter()
    algorithm.fit(panel, labels, on_step)
    seconds = time.perf_counter() - started
    step = panel.periods.step / np.timedelta64(1, "s")
    training = Training(
        start=str(panel.periods.labels[0]),
        end=str(panel.periods.labels[-1]),
        step_seconds=int(step),
        entities=len(panel.entities),
        periods=len(panel.periods),
        snapshot_digest=panel_digest(panel),
        seed=algorithm.params.seed,
    )
    parts = getattr(algorithm.scorer, "members", {})
    members = {part: digest_of(detector) for part, detector in parts.items()}
    return Trained(
        algorithm, training, {"fit_seconds": seconds} | _figures(algorithm, panel), members
    )


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


def _figures(algorithm: Algorithm, panel: Panel) -> dict[str, float]:
    """What can be said without labels, on the held-out periods: the share of alarms, or the score's spread."""
    if not isinstance(algorithm, Detector):
        return {}
    held_out = max(1, int(len(panel.periods) * HELD_OUT))
    late = panel.select(times=slice(-held_out - CONTEXT, None))
    p_values = getattr(algorithm, "p_values", None)
    if p_values is not None:
        return {"alarm_share": float(np.mean(p_values(late)[:, -held_out:] < ALPHA))}
    scores = algorithm.score(late)[:, -held_out:]
    return {
        "score_median": float(np.median(scores)),
        "score_99": float(np.quantile(scores, 0.99)),
    }
