from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from core.contracts import Panel, Periods
from core.forecasters.prophet import Prophet, ProphetParams, ProphetXgBoost, _quiet

library = pytest.importorskip("prophet", reason="the extra prophet is not installed")


def panel(values):
    periods = Periods(
        np.datetime64("2026-01-05T00:00:00", "s") + np.arange(len(values)) * np.timedelta64(1, "D"),
        np.timedelta64(1, "D"),
    )
    return Panel(np.asarray(values, dtype=float)[None, :, None], ("a",), ("value",), periods)


def weeks(n=120, seed=0):
    rng = np.random.default_rng(seed)
    return np.tile([10.0, 12, 11, 13, 20, 30, 25], n)[:n] + 0.1 * np.arange(n) + rng.normal(size=n)


def test_it_forecasts_what_the_library_does():
    values = weeks()
    values[[20, 21, 50]] = np.nan
    ahead = Prophet().fit(panel(values)).forecast(panel(values), 14)[0, :, 0, 1]
    peer = library.Prophet(
        yearly_seasonality=False, weekly_seasonality=False, daily_seasonality=False
    )
    # a wave's phase is free, so that the date of the first period makes no difference
    peer.add_seasonality("weekly", 7, 3)
    days = pd.date_range("1970-01-01", periods=134)
    with _quiet():
        peer.fit(pd.DataFrame({"ds": days[:120], "y": values}), seed=0)
        told = peer.predict(pd.DataFrame({"ds": days[120:]}))["yhat"].to_numpy()
    assert ahead == pytest.approx(told, rel=1e-9)


def test_it_says_nothing_while_it_learns():
    code = (
        "from core.forecasters.prophet import Prophet; from core.samples import sample\n"
        "Prophet(Prophet.Params(models=1, bends=2)).fit(sample())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (said.stdout, said.stderr) == ("", "")


def test_the_state_is_numbers_alone():
    state = Prophet(ProphetParams(bends=2)).fit(panel(weeks(40))).state
    assert {role for role, value in state.items() if isinstance(value, str)} == {
        "entities",
        "metrics",
    }


def test_a_level_that_wanders_is_followed_by_the_trees_and_not_by_the_curve():
    rng = np.random.default_rng(1)
    wander = np.zeros(400)
    for time in range(1, 400):
        wander[time] = 0.95 * wander[time - 1] + rng.normal()
    values = weeks(400) + 3 * wander
    fitted = ProphetXgBoost().fit(panel(values))
    curve = Prophet().fit(panel(values))
    late = slice(330, None)
    error, plain = (
        np.abs(values[late] - model.predict(panel(values))[0, late, 0, 1]).mean()
        for model in (fitted, curve)
    )
    assert error < 0.8 * plain
