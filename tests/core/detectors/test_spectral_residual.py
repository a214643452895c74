from __future__ import annotations

import numpy as np

from core.contracts import Panel, Periods
from core.detectors.spectral_residual import SpectralResidual, _saliency

MINUTE = np.timedelta64(60, "s")


def series(values):
    values = np.atleast_2d(np.asarray(values, dtype=float))
    labels = np.datetime64("2026-01-01", "s") + np.arange(values.shape[1]) * MINUTE
    names = tuple(f"service:{number}" for number in range(len(values)))
    return Panel(values[:, :, None], names, ("calls",), Periods(labels, MINUTE))


def waves(n_time, seed=0):
    time = np.arange(n_time)
    noise = 0.2 * np.random.default_rng(seed).normal(size=n_time)
    return 5 * np.sin(time * 2 * np.pi / 48) + 2 * np.sin(time * 2 * np.pi / 24) + noise


def test_saliency_worked_by_hand():
    """An impulse has the same amplitude at every frequency: nothing but the average, so it stays an impulse."""
    impulse = np.zeros(64)
    impulse[20] = 4.0
    height = 4.0 / (4.0 + 0.3 * 8.0)
    assert np.allclose(_saliency(impulse), np.where(np.arange(64) == 20, height, 0.0))


def test_a_dip_inside_the_waves_stands_out_though_its_value_is_usual():
    for align in ("trailing", "centre"):
        params = SpectralResidual.Params(align=align)
        values = waves(1_000, seed=1)
        values[612] = -values[612]
        fitted = SpectralResidual(params).fit(series(waves(1_000)))
        scores = fitted.score(series(values))[0]
        assert scores.argmax() == 612


def test_a_spike_does_not_darken_what_follows():
    values = waves(1_000, seed=1)
    values[600] += 40
    fitted = SpectralResidual().fit(series(waves(1_000)))
    scores = fitted.score(series(values))[0]
    assert scores.argmax() == 600
    assert scores[601:].max() < scores[600] / 3


def test_a_quiet_stretch_stays_quiet():
    values = np.concatenate([np.random.default_rng(2).normal(size=500), np.full(300, 0.1)])
    values[500:] += 1e-3 * np.random.default_rng(3).normal(size=300)
    scores = SpectralResidual().fit(series(values)).score(series(values))[0]
    assert scores[560:].max() < np.quantile(scores[:500], 0.9)


def test_long_panels_are_judged_in_parts_that_do_not_show():
    values = np.stack([waves(700, seed) for seed in range(40)])
    fitted = SpectralResidual().fit(series(values))
    alone = np.concatenate([fitted.score(series(row)) for row in values])
    assert np.allclose(fitted.score(series(values)), alone)
