from __future__ import annotations

import numpy as np
import pytest

from core.features.rarity import Level, Rarity, counted


def test_a_rarity_is_the_share_it_was_seen_with() -> None:
    context = np.repeat([0, 1], [1000, 1000])
    value = np.concatenate([np.zeros(990), np.ones(10), np.ones(1000)]).astype(int)
    rarity = Rarity.learn(context, value, 3)
    expected = -np.log(10 / 1000) + 0.99 * np.log(0.99) + 0.01 * np.log(0.01) - 1.0
    assert rarity.surprise(np.array([0]), np.array([1]))[0] == pytest.approx(expected, abs=0.1)
    assert rarity.surprise(np.array([0, 1]), np.array([0, 1])).tolist() == [0.0, 0.0]
    assert np.isnan(rarity.surprise(np.array([0]), np.array([-1]))[0])


def test_an_unknown_value_is_as_rare_as_new_values_were_in_the_later_half_of_training() -> None:
    value = np.array([0] * 50 + [1] * 10 + [0] * 40)
    rarity = Rarity.learn(np.zeros(100, dtype=int), value, 3)
    assert rarity.share[-1] == pytest.approx(10.5 / 51)
    never = Rarity.learn(np.zeros(100, dtype=int), np.zeros(100, dtype=int), 3)
    unknown = np.array([2])
    assert never.surprise(np.array([0]), unknown) > rarity.surprise(np.array([0]), unknown)


def test_avoidance_is_the_ratio_to_chance_and_nothing_for_who_is_seldom_seen() -> None:
    context = np.repeat([0, 0, 1, 1], [400, 100, 100, 2])
    value = np.repeat([0, 1, 1, 2], [400, 100, 100, 2])
    rarity = Rarity.learn(context, value, 4)
    expected = 102 * 400 / 602
    found = rarity.avoidance(np.array([1, 0, 0, 0]), np.array([0, 0, 2, 3]))
    assert found[0] == pytest.approx(np.log(expected + 1))
    assert found[1] == 0
    assert found[2] == pytest.approx(np.log(500 * 2 / 602 + 1))
    assert found[3] == 0


def test_an_amount_is_measured_in_the_spread_of_its_group_and_an_unknown_group_in_that_of_all() -> (
    None
):
    rng = np.random.default_rng(3)
    group = np.repeat([4, 9], 5000)
    amount = np.where(group == 4, 10.0, 1000.0) * np.exp(0.2 * rng.normal(size=10_000))
    level = Level.learn(group, amount)
    far = 10.0 * np.exp(0.2 * 4.0)
    assert level.deviation(np.array([4]), np.array([far]))[0] == pytest.approx(4.0, abs=0.3)
    assert level.deviation(np.array([4, 9]), np.array([10.0, 1000.0])) == pytest.approx(
        [0.0, 0.0], abs=0.05
    )
    assert abs(level.deviation(np.array([7]), np.array([100.0]))[0]) < 1.0
    assert np.isnan(level.deviation(np.array([4]), np.array([np.nan]))[0])


def test_a_group_of_one_value_or_of_none_still_has_a_scale() -> None:
    level = Level.learn(np.zeros(50, dtype=int), np.full(50, 3.0))
    assert level.deviation(np.array([0]), np.array([3.0])).tolist() == [0.0]
    none = Level.learn(np.zeros(50, dtype=int), np.full(50, np.nan))
    assert np.isfinite(none.deviation(np.array([0]), np.array([3.0]))).all()


def test_a_key_that_is_not_there_counts_nothing() -> None:
    keys, counts = np.array([2, 5]), np.array([7.0, 1.0])
    assert counted(keys, counts, np.array([1, 2, 5, 9])).tolist() == [0.0, 7.0, 1.0, 0.0]
    assert counted(keys[:0], counts[:0], np.array([1])).tolist() == [0.0]
