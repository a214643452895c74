"""From a panel to the version that scores it."""

from __future__ import annotations

import numpy as np
import pytest

from core.contracts import Detector, Panel, Periods
from core.errors import CancelledError, NotEnoughDataError, UnknownNameError
from tests.workbench.conftest import Clock
from workbench.context import Context
from workbench.services import train


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
    first = train.fit_champion(ctx, "acme", panel, domain="ads", detector="robust-z", actor="ana")
    clock.advance(minutes=1)
    second = train.fit_champion(
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


def test_a_challenger_is_published_beside(ctx: Context, clock: Clock, panel: Panel) -> None:
    champion = train.fit_champion(
        ctx, "acme", panel, domain="ads", detector="robust-z", actor="ana"
    )
    clock.advance(minutes=1)
    challenger = train.fit_challenger(
        ctx, "acme", panel, domain="ads", detector="isolation-forest", actor="ana", reason="compare"
    )
    assert challenger.parent == champion.id
    assert ctx.serve.champion("acme", "ads").version.id == champion.id
    alias = ctx.registry.store.alias("acme", "ads", "challenger")
    assert alias is not None
    assert alias.version_id == challenger.id


def test_what_cannot_be_fitted_leaves_nothing(ctx: Context, panel: Panel) -> None:
    ask = {"domain": "ads", "actor": "ana"}
    with pytest.raises(UnknownNameError, match="the algorithm"):
        train.fit_champion(ctx, "acme", panel, detector="oracle", **ask)
    with pytest.raises(NotEnoughDataError):
        short = panel.select(times=slice(0, 1))
        train.fit_champion(ctx, "acme", short, detector="ensemble", **ask)
    with pytest.raises(CancelledError):
        train.fit_champion(
            ctx, "acme", panel, detector="lstm-autoencoder", on_step=lambda *_: False, **ask
        )
    assert ctx.registry.store.versions("acme") == []
