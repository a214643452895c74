"""The distances against SciPy, and the stability index against the sum written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from core.contracts import Floats
from core.drift import distances

SAMPLES = {
    "shifted": lambda rng, n: (rng.normal(size=n), rng.normal(0.4, 1.3, size=n // 3)),
    "tied": lambda rng, n: (rng.poisson(1.5, n) * 1.0, rng.poisson(2.1, n // 2) * 1.0),
    "heavy": lambda rng, n: (rng.standard_t(2, n), rng.standard_t(3, n)),
    "one value": lambda rng, n: (np.zeros(n), np.full(n, 3.0)),
}


def on_all_values(first: Floats, second: Floats) -> tuple[Floats, Floats, Floats]:
    """Cumulative shares of two samples at every observed value, and the widths between them."""
    grid = np.unique(np.concatenate([first, second]))
    widths = np.append(np.diff(grid), 0.0)
    return distances.cumulative(first, grid), distances.cumulative(second, grid), widths


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("n", [3, 40, 1000])
def test_on_all_values_ks_and_wasserstein_are_those_of_scipy(kind: str, n: int) -> None:
    first, second = SAMPLES[kind](np.random.default_rng(n), n)
    one, other, widths = on_all_values(first, second)
    assert distances.kolmogorov_smirnov(one, other) == pytest.approx(
        stats.ks_2samp(first, second, method="asymp").statistic
    )
    assert distances.wasserstein(one, other, widths) == pytest.approx(
        stats.wasserstein_distance(first, second)
    )


def test_a_coarser_grid_costs_at_most_one_width() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=500), rng.normal(0.5, 1.0, size=80)
    grid = np.arange(-4.0, 4.0, 0.125)
    one, other = (distances.cumulative(sample, grid) for sample in (first, second))
    assert distances.wasserstein(one, other, 0.125) == pytest.approx(
        stats.wasserstein_distance(first, second), abs=0.125
    )
    exact = stats.ks_2samp(first, second).statistic
    assert exact - 0.06 < distances.kolmogorov_smirnov(one, other) <= exact + 1e-12


def test_the_lean_is_the_difference_of_the_means() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=300), rng.normal(-0.7, 2.0, size=200)
    one, other, widths = on_all_values(first, second)
    assert distances.lean(one, other, widths) == pytest.approx(second.mean() - first.mean())


def test_many_cells_at_once_are_each_alone() -> None:
    rng = np.random.default_rng(2)
    reference, window = rng.normal(size=(6, 90)), rng.normal(0.3, 1.0, size=(6, 40))
    grid = np.linspace(-4, 4, 65)
    one, other = distances.cumulative(reference, grid), distances.cumulative(window, grid)
    for measure in (distances.kolmogorov_smirnov, distances.stability_index):
        alone = [float(measure(one[row], other[row])) for row in range(6)]
        assert measure(one, other) == pytest.approx(alone)


def test_what_is_missing_counts_for_nothing() -> None:
    values = np.array([[1.0, np.nan, 2.0, 3.0], [1.0, 2.0, np.nan, np.nan]])
    shares = distances.cumulative(values, np.array([1.0, 2.0, 3.0]))
    assert shares == pytest.approx(np.array([[1 / 3, 2 / 3, 1.0], [0.5, 1.0, 1.0]]))


def test_the_stability_index_is_the_sum_over_bins_of_a_tenth_each() -> None:
    reference = np.linspace(0.1, 1.0, 10)  # a grid of ten points that holds a tenth each
    other = np.cumsum([0.05, 0.05, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.2])
    moved = ((0.05, 0.1), (0.05, 0.1), (0.2, 0.1))
    expected = sum((after - before) * np.log(after / before) for after, before in moved)
    assert distances.stability_index(reference, other) == pytest.approx(expected)
    assert distances.stability_index(reference, reference) == pytest.approx(0.0)


def test_the_stability_index_of_a_bin_that_empties_is_finite_and_large() -> None:
    reference, other = np.linspace(0.1, 1.0, 10), np.repeat([0.0, 1.0], 5)
    assert 2.0 < distances.stability_index(reference, other) < 5.0
