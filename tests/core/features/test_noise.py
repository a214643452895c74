from __future__ import annotations

import numpy as np
import pytest

from core.features.noise import learn_noise


def world(seed: int = 1, days: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts of two kinds of entities: level 0 is Poisson, level 1 has 20 % day-to-day unrest on top."""
    rng = np.random.default_rng(seed)
    level = np.repeat([0, 1], 150)
    volume = np.tile(rng.lognormal(4, 1.2, (300, 1)), (1, days))
    unrest = np.where(level[:, None] == 1, rng.gamma(25.0, 1 / 25.0, volume.shape), 1.0)
    counts = rng.poisson(volume * unrest)
    return volume, (counts - volume) ** 2 / volume, level


def learned(
    volume: np.ndarray,
    square: np.ndarray,
    level: np.ndarray,
    extra: float = 0.0,
    least: float = 1.0,
):
    usable = np.ones(volume.shape, dtype=bool)
    return learn_noise(volume, square, np.full(volume.shape, extra), usable, level, least)


def test_chance_and_unrest_are_told_apart_by_volume():
    calm, restless = learned(*world())
    assert calm[0] == pytest.approx(1.0, abs=0.1)
    assert calm[1] < 0.001
    assert restless[1] == pytest.approx(0.04, rel=0.2)


def test_past_anomalies_do_not_pass_for_noise():
    volume, square, level = world()
    square[np.random.default_rng(2).random(square.shape) < 0.03] *= 400.0
    assert learned(volume, square, level)[1][1] == pytest.approx(0.04, rel=0.4)


def test_counts_are_never_steadier_than_chance():
    volume, square, level = world()
    assert (learned(volume, 0.2 * square, level)[:, 0] >= 1.0).all()


def test_a_level_with_few_cells_is_given_that_of_all():
    volume, square, level = world(days=20)
    level[:2] = 2
    found = learned(volume, square, level)
    usable = np.ones(volume.shape, dtype=bool)
    pooled = learn_noise(volume, square, np.zeros(volume.shape), usable, level * 0, 1.0)
    np.testing.assert_allclose(found[2], pooled[0])


def test_an_uncertain_expectation_is_not_blamed_on_the_days():
    volume, square, level = world()
    known = learned(volume, square + 0.01 * volume, level, extra=0.01)
    assert known[0][1] < 0.002
    assert learned(volume, square + 0.01 * volume, level)[0][1] == pytest.approx(0.01, rel=0.2)
