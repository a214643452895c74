from __future__ import annotations

import numpy as np
import pytest

from core.forecasters.intervals import held_out, interval, learned


def test_ends_are_the_ranked_errors_that_hold_the_coverage():
    errors = np.arange(-9.0, 10.0)[:, None, None]
    # of 19 errors the ⌈20 · 0.75⌉ = 15th from either side
    assert learned(errors, 0.5).tolist() == [[[-5.0, 5.0]]]


def test_a_step_with_few_errors_borrows_those_of_its_neighbours():
    errors = np.full((8, 3, 1), np.nan)
    errors[:, 0, 0], errors[:, 1, 0] = 1.0, 2.0
    low_high = learned(errors, 0.5)
    assert low_high[:, 0, 1].tolist() == [2.0, 2.0, 2.0]
    assert low_high[:, 0, 0].tolist() == [0.0, 0.0, 0.0]


def test_no_error_at_all_gives_one_scale():
    assert learned(np.full((5, 2, 1), np.nan), 0.9)[0, 0].tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.95])
def test_new_errors_lie_inside_as_often_as_promised(coverage):
    rng = np.random.default_rng(0)
    low, high = learned(rng.standard_t(3, (4_000, 1, 1)), coverage)[0, 0]
    fresh = rng.standard_t(3, 20_000)
    assert np.mean((low <= fresh) & (fresh <= high)) == pytest.approx(coverage, abs=0.015)


def test_steps_beyond_the_last_learned_widen_with_their_root():
    quantiles = np.array([[[-1.0, 2.0]], [[-2.0, 4.0]]])
    got = interval(np.zeros((1, 3, 1)), np.array([[[10.0]]]), quantiles, np.array([1, 2, 8]))
    assert got[0, :, 0].tolist() == [[-10, 0, 20], [-20, 0, 40], [-40, 0, 80]]


def test_a_fifth_is_held_out_and_never_nothing():
    assert [held_out(n_time) for n_time in (100, 15, 1)] == [20, 3, 1]
