from __future__ import annotations

import numpy as np
import pytest

from core.contracts import Panel, Periods
from core.domains.ads import ADS
from core.severity import SEVERITIES, severity, spend_at_risk


@pytest.mark.parametrize(
    ("p", "exposed", "word"),
    [
        (1e-9, 0.2, "critical"),
        (1e-9, 0.02, "high"),
        (1e-9, 0.0001, "low"),
        (1e-4, 0.2, "high"),
        (1e-4, 0.005, "medium"),
        (5e-3, 0.2, "medium"),
        (5e-3, 0.005, "low"),
        (1e-9, float("nan"), "low"),
    ],
)
def test_certainty_and_money_make_the_word(p, exposed, word):
    assert SEVERITIES[severity(p, exposed)] == word


def test_whole_arrays_at_once_and_never_less_severe_with_more_money_or_less_doubt():
    p = np.logspace(-9, -1, 30)
    exposed = np.linspace(0, 0.2, 40)
    grades = severity(p[:, None], exposed[None, :])
    assert grades.shape == (30, 40)
    assert (np.diff(grades, axis=1) >= 0).all()
    assert (np.diff(grades, axis=0) <= 0).all()


def panel(cost: list[float], sales: list[float]) -> Panel:
    days = (np.datetime64("2026-01-01") + np.arange(len(cost))).astype("datetime64[s]")
    values = np.array([list(zip(cost, sales, strict=True))])
    return Panel(values, ("campaign:1",), ("cost", "sales"), Periods(days, np.timedelta64(1, "D")))


def test_spend_at_risk_counts_missing_excess_and_fruitless_spend():
    expected = panel([100.0] * 5, [400.0] * 5)
    observed = panel([100.0, 40.0, 160.0, 100.0, np.nan], [400.0, 160.0, 640.0, 0.0, np.nan])
    assert spend_at_risk(observed, expected, ADS).tolist() == [[0.0, 60.0, 60.0, 100.0, 0.0]]
