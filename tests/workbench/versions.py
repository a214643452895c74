"""Cheap model versions in a home: what the tests of the registry's doors share."""

from __future__ import annotations

import numpy as np

from core.contracts import Panel, Periods
from data import predictions
from models.train import publish, train
from workbench.context import Context


def panel(n_entity: int = 30) -> Panel:
    """Entities over 60 days, standard normal noise in 5 channels."""
    days = np.datetime64("2026-01-01", "s") + np.arange(60) * np.timedelta64(86400, "s")
    return Panel(
        np.random.default_rng(3).standard_normal((n_entity, 60, 5)),
        tuple(f"campaign:{row}" for row in range(n_entity)),
        ("impressions", "ctr", "cpc", "cvr", "aov"),
        Periods(days, np.timedelta64(1, "D")),
    )


def published(context: Context, tenant: str, **params: object) -> str:
    """Publish a measured version with its predictions; other parameters make another one."""
    learned = panel()
    trained = train(learned, name="robust-z", params=params)
    assert trained.predictions is not None
    kept = predictions.pack(trained.predictions)
    row = publish(context.registry, tenant, "ads", trained, learned, predictions=kept, actor="ana")
    return row.id
