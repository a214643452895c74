from __future__ import annotations

import numpy as np
import pytest
import torch

from core import catalog
from core.forecasters.networks import ASKED, Gru, Lstm, Tcn, _inputs
from core.forecasters.pooled import Series
from core.samples import sample
from core.training import blank, initialise

NETWORKS = (Lstm, Gru, Tcn)


def layers(network):
    made = blank(lambda: network.reader.layers(4))
    initialise(made, 0.5, seed=0)
    return made


@pytest.mark.parametrize(("network", "kind"), [(Lstm, torch.nn.LSTM), (Gru, torch.nn.GRU)])
def test_a_recurrent_reader_gives_what_its_cell_remembers_last(network, kind):
    cell, lags = layers(network), torch.randn(5, 9, 2, generator=torch.Generator().manual_seed(0))
    assert isinstance(cell, kind)
    final = cell(lags)[1]
    final = final[0] if kind is torch.nn.LSTM else final
    assert torch.equal(network.reader.read(cell, lags), final[-1])


def test_the_convolutions_look_61_lags_back_and_no_further():
    # far from 0 no unit is silent, so every input that is looked at shows
    lags = 50.0 + torch.zeros(1, 80, 2)
    lags.requires_grad_()
    blocks = layers(Tcn)
    with torch.no_grad():
        for weights in blocks.parameters():
            weights.abs_()
    Tcn.reader.read(blocks, lags).sum().backward()
    seen = lags.grad.abs().sum(dim=(0, 2)).numpy() > 0
    assert seen.tolist() == [False] * (80 - 61) + [True] * 61


def test_lags_enter_oldest_first_with_gaps_at_the_level_and_marked():
    panel = sample(n_entity=1, n_time=4).select(metrics=["ctr"])
    panel = panel.with_values(np.array([1.0, 3.0, np.nan, 5.0])[None, :, None])
    series = Series.of(panel, np.ones(1), 2, 4, 1, anchored=True)
    lags, asked = _inputs(series.ask(np.array([0]), np.array([4]), np.array([1])))
    # 5 is the level, 2 the only change that is known
    assert lags[0, :, 0].numpy() == pytest.approx(np.arcsinh([-2.0, -1.0, 0.0, 0.0]))
    assert lags[0, :, 1].tolist() == [1, 1, 0, 1]
    assert asked.shape == (1, 1, ASKED)


@pytest.mark.parametrize("name", ["lstm", "gru", "tcn"])
def test_the_pattern_of_each_entity_is_forecast(name):
    rng = np.random.default_rng(0)
    week = 100.0 + 10.0 * rng.standard_normal((12, 7, 1))
    values = np.tile(week, (1, 18, 1))[:, :120] + rng.standard_normal((12, 120, 1))
    panel = sample(12, 120).with_values(values, ("clicks",))
    past, later = panel.select(times=slice(0, 106)), values[:, 106:]
    quick = {"hidden": 16, "windows": 800, "epochs": 8, "lags": 14, "rate": 0.02, "batch": 64}
    middle = catalog.make(name, **quick).fit(past).forecast(past, 14)[..., 1]
    last = np.repeat(past.values[:, -1:], 14, axis=1)
    assert np.abs(later - middle).mean() < 0.5 * np.abs(later - last).mean()
