"""A home with a champion that detection fitted, and a quick challenger beside it."""

from __future__ import annotations

from typing import Any

from models import train
from models.ports import CHALLENGER, VersionRow
from workbench.context import Context
from workbench.services import labelled, scorer
from workbench.services import scene as scenes

TENANT = "local"


def challenge(context: Context, parts: str = "robust-z=1", **params: Any) -> VersionRow:
    """Fit an ensemble of these parts on what the champion learned from, and let it wait as the challenger."""
    scene = scenes.look(context, TENANT)
    history = scorer.training_part(scene.residual, scene.domain.window)
    trained = train.train(
        history,
        params={"parts": parts, **params},
        labels=labelled.mask(context, TENANT, "ads", history),
        held_out=0.0,
    )
    version = train.publish(context.registry, TENANT, "ads", trained, history, actor="ana")
    context.registry.promote(
        TENANT, "ads", version.id, alias=CHALLENGER, actor="ana", reason="to compare"
    )
    return context.registry.store.get(TENANT, version.id)
