from __future__ import annotations

import numpy as np
import pytest

from benchmarks import algorithms


def test_half_space_trees_score_as_river_does_with_the_same_trees():
    twins = algorithms.Twins(entities=30, trees=5)
    ours, theirs = (scores[twins.full + 1 :] for scores in twins.stream(times=8))
    # river gives 1 − Σ density / the largest, ours −log2 of the mean density, a tiny one added
    assert np.allclose(2.0**-ours, (1 - theirs) * (2**9 - 1), atol=1e-6)


def test_one_row_is_scored_as_scikit_learn_does():
    row = algorithms.one_row(trees=5)
    assert row["largest_difference"] < 1e-12


def test_every_measurement_names_its_unit(monkeypatch):
    monkeypatch.setattr(
        algorithms,
        "MEASUREMENTS",
        {
            "windows": lambda: algorithms.windows_a_second(entities=5),
            "points": lambda: algorithms.points_a_second(entities=20, times=6, trees=3),
        },
    )
    told = []
    rows = algorithms.run(lambda stage, share, numbers: told.append(stage))
    assert told == ["windows", "points"]
    assert [row["unit"] for row in rows] == ["windows/s", "points/s and core"]
    assert rows[1]["rank_correlation"] == pytest.approx(1.0, abs=1e-3)
