from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from core.contracts import Panel, Periods
from core.forecasters.prophet import Mode, Prophet, ProphetParams, ProphetXgBoost, _quiet

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


def bent(n=400, seed=0):
    """A trend that bends twice, and weeks."""
    time = np.arange(n)
    return weeks(n, seed) + np.interp(time, [0, n // 3, n // 2, n], [0.0, 0.0, 40.0, 10.0])


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
    # its search stops a little short of the likeliest curve
    assert ahead == pytest.approx(told, rel=3e-3)


@pytest.mark.parametrize("values", [weeks(60), weeks(), bent(), bent(90, seed=3) ** 2])
def test_the_curve_is_at_least_as_likely_as_the_library_finds_and_no_step_away_is_likelier(values):
    model = library.Prophet(
        yearly_seasonality=False, weekly_seasonality=False, daily_seasonality=False
    )
    model.add_seasonality("weekly", 7, 3)
    with _quiet():
        given = dataclasses.asdict(
            model.preprocess(
                pd.DataFrame({"ds": pd.date_range("1970-01-01", periods=len(values)), "y": values})
            )
        )
        start = dataclasses.asdict(model.calculate_initial_params(given["K"]))
        theirs = model.stan_backend.fit(start, given, seed=0)
    ours = Mode().fit(start, given)
    best = unlikely(given, ours)
    assert best <= unlikely(given, {name: theirs[name] for name in ours}) + 1e-9
    rng = np.random.default_rng(0)
    for name, value in ours.items():
        for size in (1e-4, 1e-2):
            moved = {**ours, name: value + size * rng.normal(size=value.shape) * ours["sigma_obs"]}
            assert unlikely(given, moved) >= best - 1e-9


def unlikely(given, numbers):
    """−log of the posterior density, written out from the paper."""
    time, values = np.asarray(given["t"]), np.asarray(given["y"])
    k, m, delta, beta, sigma = (
        numbers[name].ravel() for name in ("k", "m", "delta", "beta", "sigma_obs")
    )
    trend = k * time + m
    for bend, change in zip(given["t_change"], delta, strict=True):
        trend = trend + np.where(time >= bend, change * (time - bend), 0.0)
    left = values - trend - np.asarray(given["X"]) @ beta
    prior = ((k / 5) ** 2 + (m / 5) ** 2 + (sigma / 0.5) ** 2).sum() / 2
    prior += np.abs(delta).sum() / given["tau"]
    prior += np.square(beta / np.asarray(given["sigmas"])).sum() / 2
    return float(np.sum(len(time) * np.log(sigma) + np.square(left).sum() / sigma**2 / 2 + prior))


def test_a_curve_through_every_value_keeps_its_noise_above_nothing():
    told = Prophet().fit(panel(np.arange(40.0) * 2.5 + 3.0)).forecast(panel(np.arange(40.0)), 3)
    assert np.isfinite(told).all()


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
