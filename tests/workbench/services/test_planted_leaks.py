"""Before a training starts, what would make its figures a lie is found in the data and named with its cure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.contracts import Bools, Panel, Periods
from tests.workbench import versions
from workbench.context import Context
from workbench.services import preflight
from workbench.services.preflight import Check


def marked(panel: Panel) -> Bools:
    odd = np.zeros(panel.values.shape[:2], bool)
    odd[3, 40:44] = odd[11, 50:55] = True
    return odd


def with_metric(panel: Panel, name: str, values: np.ndarray) -> Panel:
    together = np.concatenate([panel.values, values[:, :, None]], axis=2)
    return panel.with_values(together, (*panel.metrics, name))


def asked(ctx: Context, panel: Panel, odd: Bools) -> dict[str, Check]:
    found = preflight.preflight(
        ctx,
        "acme",
        domain="ads",
        algorithm="robust-z",
        params={},
        start=None,
        end=None,
        learnable=(panel, odd),
    )
    return {check.name: check for check in found}


def refused(checks: dict[str, Check]) -> dict[str, str]:
    return {name: check.message for name, check in checks.items() if check.status == "refused"}


def test_honest_data_pass(ctx: Context) -> None:
    panel = versions.panel()
    checks = asked(ctx, panel, marked(panel))
    assert refused(checks) == {}
    assert {name for name in checks if name.startswith("leakage")} == {
        "leakage: entities",
        "leakage: time order",
        "leakage: labels",
        "leakage: future",
    }


def test_a_metric_that_is_the_label_is_refused(ctx: Context) -> None:
    panel = versions.panel()
    odd = marked(panel)
    ticket = odd + 0.1 * np.random.default_rng(2).random(odd.shape)
    checks = asked(ctx, with_metric(panel, "ticket", ticket), odd)
    assert list(refused(checks)) == ["leakage: labels"]
    assert checks["leakage: labels"].message.startswith("ticket tells every labelled row")
    assert checks["leakage: labels"].cure.startswith("Leave ticket out")


def test_a_metric_that_knows_tomorrow_is_refused(ctx: Context) -> None:
    panel = versions.panel()
    tomorrow = np.roll(panel.metric("impressions"), -1, axis=1)
    tomorrow[:, -1] = np.nan
    checks = asked(ctx, with_metric(panel, "pacing", tomorrow), marked(panel))
    assert list(refused(checks)) == ["leakage: future"]
    assert checks["leakage: future"].message.startswith("pacing follows from the 7 days")


def test_an_entity_day_on_both_sides_is_refused(ctx: Context) -> None:
    panel = versions.panel(4)
    # the last week came twice, once more among the days that are learned
    labels = panel.periods.labels.copy()
    labels[20:27] = labels[-7:]
    periods = Periods(labels, panel.periods.step)
    checks = asked(ctx, replace(panel, periods=periods), np.zeros(panel.values.shape[:2], bool))
    assert set(refused(checks)) == {"leakage: entities", "leakage: time order"}
    assert checks["leakage: entities"].message.startswith("28 entities are both learned from")
    assert "campaign:0 on 2026-02-23" in checks["leakage: entities"].message
