"""From a panel to the version that scores it."""

from __future__ import annotations

import numpy as np
import pytest

from core.contracts import Detector, Panel, Periods
from core.errors import CancelledError, NotEnoughDataError, UnknownNameError
from tests.workbench.conftest import Clock
from workbench.context import Context
from workbench.services import training


@pytest.fixture
def panel() -> Panel:
    days = np.datetime64("2026-01-01", "s") + np.arange(40) * np.timedelta64(86400, "s")
    return Panel(
        np.random.default_rng(3).standard_normal((30, 40, 5)),
        tuple(f"campaign:{row}" for row in range(30)),
        ("impressions", "ctr", "cpc", "cvr", "aov"),
        Periods(days, np.timedelta64(1, "D")),
    )


def test_the_fitted_version_becomes_champion_and_serves(
    ctx: Context, clock: Clock, panel: Panel
) -> None:
    first = training.fit_champion(
        ctx, "acme", panel, domain="ads", detector="robust-z", actor="ana"
    )
    clock.advance(minutes=1)
    second = training.fit_champion(
        ctx,
        "acme",
        panel,
        domain="ads",
        detector="robust-z",
        params={"largest": 2},
        actor="bob",
        reason="fewer false alarms",
    )
    assert (second.state, second.parent) == ("champion", first.id)
    served = ctx.serve.champion("acme", "ads")
    assert served.version.id == second.id
    assert isinstance(served.algorithm, Detector)
    assert served.algorithm.score(panel).shape == (30, 40)
    assert second.metrics["fit_seconds"] > 0


def test_what_cannot_be_fitted_leaves_nothing(ctx: Context, panel: Panel) -> None:
    ask = {"domain": "ads", "actor": "ana"}
    with pytest.raises(UnknownNameError, match="the algorithm"):
        training.fit_champion(ctx, "acme", panel, detector="oracle", **ask)
    with pytest.raises(NotEnoughDataError):
        short = panel.select(times=slice(0, 1))
        training.fit_champion(ctx, "acme", short, detector="ensemble", **ask)
    with pytest.raises(CancelledError):
        training.fit_champion(
            ctx, "acme", panel, detector="lstm-autoencoder", on_step=lambda *_: False, **ask
        )
    assert ctx.registry.store.versions("acme") == []
