"""What a model may learn from, and what a short history is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.contracts import Panel, Periods
from workbench.services.scorer import knows, shortness, training_part

WINDOW = 14


def residual(days: int, without: int) -> Panel:
    """Residuals of `days` days, the first `without` of which have no expectation yet."""
    labels = np.datetime64("2026-01-01", "s") + np.arange(days) * np.timedelta64(1, "D")
    values = np.ones((3, days, 2))
    values[:, :without] = np.nan
    return Panel(values, ("a", "b", "c"), ("x", "y"), Periods(labels, np.timedelta64(1, "D")))


@pytest.mark.parametrize(
    ("days", "without", "learned"),
    [(75, 30, 31), (56, 22, 20), (40, 14, 12), (39, 14, 25), (20, 10, 10)],
)
def test_the_newest_window_is_kept_apart_where_enough_is_left(
    days: int, without: int, learned: int
) -> None:
    history = training_part(residual(days, without), WINDOW)
    assert len(history.periods) == learned
    assert history.periods.labels[0] == residual(days, without).periods.labels[without]


def test_a_history_too_short_for_that_says_what_is_missing() -> None:
    assert shortness(residual(40, 14), WINDOW) == ""
    told = shortness(residual(39, 14), WINDOW)
    assert "Only 25 days" in told and "26 are needed" in told and "import more" in told


@pytest.mark.parametrize(("learned", "fits"), [("x\ny", True), ("x", False), ("y\nx", False)])
def test_a_version_scores_only_the_metrics_that_it_learned(learned: str, fits: bool) -> None:
    served: Any = SimpleNamespace(algorithm=SimpleNamespace(state={"metrics": learned}))
    scene: Any = SimpleNamespace(residual=residual(20, 10))
    assert knows(served, scene) is fits
