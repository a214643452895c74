from __future__ import annotations

import numpy as np
import pytest

from core.forecasters.decomposition import is_seasonal, seasonal_indices


@pytest.mark.parametrize("period", [7, 12])
@pytest.mark.parametrize("model", ["additive", "multiplicative"])
def test_the_indices_are_those_of_statsmodels(period, model):
    from statsmodels.tsa.seasonal import seasonal_decompose

    rng = np.random.default_rng(0)
    values = 50 + np.arange(100) + 10 * np.sin(2 * np.pi * np.arange(100) / period)
    values += rng.normal(size=100)
    peer = seasonal_decompose(values, model=model, period=period).seasonal[:period]
    assert seasonal_indices(values, period, model == "multiplicative") == pytest.approx(peer)


def test_a_wave_is_a_season_and_noise_is_none():
    noise = np.random.default_rng(0).normal(size=200)
    wave = np.sin(2 * np.pi * np.arange(200) / 12)
    assert is_seasonal(wave + 0.3 * noise, 12)
    assert not is_seasonal(noise, 12)
    assert not is_seasonal(wave[:35], 12)
    assert not is_seasonal(np.ones(200), 12)
