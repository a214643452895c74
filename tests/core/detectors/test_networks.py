from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from core.contracts import Panel, Periods
from core.detectors.networks import DeepSvdd, DenseAutoencoder, NetParams, Vae
from core.errors import CancelledError

NETS = (DenseAutoencoder, Vae, DeepSvdd)
SMALL = NetParams(hidden=16, latent=2, epochs=30, batch=32, rate=0.02, patience=30)


def table(values):
    names = tuple(f"order:{number}" for number in range(len(values)))
    metrics = tuple(f"column {number}" for number in range(values.shape[1]))
    periods = Periods(np.array(["2026-01-01"], dtype="datetime64[s]"), np.timedelta64(1, "D"))
    return Panel(values[:, None], names, metrics, periods)


def related(n_row, seed=0):
    """Six columns that follow two causes."""
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(n_row, 2))
    mixing = np.random.default_rng(9).normal(size=(2, 6))
    return causes @ mixing + 0.1 * rng.normal(size=(n_row, 6))


@pytest.mark.parametrize("net", [DenseAutoencoder, Vae])
def test_a_broken_relation_between_ordinary_columns_stands_out(net):
    values = related(500, seed=1)
    values[7] = [values[row, column] for column, row in enumerate(range(20, 26))]
    fitted = net(SMALL).fit(table(related(600)))
    scores = fitted.score(table(values))[:, 0]
    assert scores.argmax() == 7
    assert np.abs(values[7]).max() < np.abs(values).max()


@pytest.mark.parametrize("net", NETS)
def test_rows_far_out_stand_out(net):
    values = related(300, seed=1)
    values[:5] *= 5
    scores = net(SMALL).fit(table(related(600))).score(table(values))[:, 0]
    assert np.median(scores[:5]) > np.quantile(scores[5:], 0.98)


def test_the_autoencoder_rebuilds_what_two_numbers_can_say():
    fitted = DenseAutoencoder(SMALL).fit(table(related(600)))
    spread = fitted.state["spread"]
    assert np.median(fitted.score(table(related(200, seed=1)))) < 0.1
    assert ((related(200, seed=1) / spread) ** 2).mean() > 0.9


def test_the_variational_score_is_in_nats():
    """Pure noise cannot be foretold: its surprise is the entropy of a normal column, 1.42 nats."""
    noise = np.random.default_rng(2).normal(size=(800, 4))
    scores = Vae(SMALL).fit(table(noise[:600])).score(table(noise[600:]))
    assert scores.mean() == pytest.approx(1.42, abs=0.25)


def test_the_sphere_does_not_collapse():
    fitted = DeepSvdd(SMALL).fit(table(related(600)))
    assert np.abs(fitted.state["middle"]).min() >= 0.1 - 1e-6
    assert not any("bias" in role for role in fitted.state)
    scores = fitted.score(table(related(200, seed=1)))
    assert scores.std() > 0.01 * scores.mean()


@pytest.mark.parametrize("net", NETS)
def test_training_tells_its_steps_and_can_be_stopped(net):
    seen = []
    net(SMALL).fit(table(related(100)), on_step=lambda *step: seen.append(step))
    assert {stage for stage, *_ in seen} == {"train"}
    assert [share for _, share, _ in seen] == sorted(share for _, share, _ in seen)
    with pytest.raises(CancelledError):
        net(SMALL).fit(table(related(100)), on_step=lambda *_: False)


@pytest.mark.parametrize("net", NETS)
def test_the_latent_numbers_never_outnumber_half_the_columns(net):
    params = dataclasses.replace(SMALL, latent=64, epochs=1)
    few = table(related(50)[:, :2])
    assert np.isfinite(net(params).fit(few).score(few)).all()
