"""Versions to experiment with: the champion again, one that keeps silent, one that cries at everything."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.ensembles.calibrated import CalibratedEnsemble
from core.threshold import Threshold
from models.manifest import Training
from workbench.context import Context
from workbench.services import scene as scenes

TENANT = "local"
FACTORS = {"twin": 1.0, "quiet": 20.0, "loud": 0.05}
"""By how much more evidence a version wants for the same p-value."""


def publish(context: Context) -> dict[str, str]:
    """Publish one version of each kind, made from the champion's parts; their ids by kind."""
    scene = scenes.look(context, TENANT)
    champion = context.serve.champion(TENANT, "ads")
    told = context.registry.manifest(TENANT, champion.version.id).training
    training = Training(**told) if isinstance(told, dict) else told
    return {
        kind: context.registry.publish(
            TENANT,
            domain="ads",
            algorithm=_scaled(champion.algorithm, factor),
            probes=scene.residual,
            training=training,
            metrics={},
            parent=champion.version.id,
            actor="ana",
        ).id
        for kind, factor in FACTORS.items()
    }


def _scaled(ensemble: Any, factor: float) -> CalibratedEnsemble:
    votes = ensemble.scorer
    known = votes.threshold
    threshold = Threshold(
        known.scores * factor,
        known.p,
        known.tail * np.array([factor, 1.0, factor, 1.0]),
        known.alpha,
    )
    return CalibratedEnsemble.of(
        votes.members, votes.thresholds, threshold, ensemble.weights, ensemble.params
    )
