"""Block bootstrap: the same as the reference where rows are independent, and honest where they are not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from scipy import stats

from core.contracts import Floats
from core.errors import InvalidInputError
from core.evaluate.bootstrap import Weights, block_days, intervals


def mean_of(values: Floats):  # type: ignore[no-untyped-def]
    ones = np.ones(values.shape)

    def figures(weights: Weights) -> Mapping[str, Floats]:
        return {"mean": weights.sums(values) / weights.sums(ones)}

    return figures


def autocorrelated(rng: np.random.Generator, days: int, rho: float) -> Floats:
    """A stationary AR(1) of unit variance."""
    shocks = rng.standard_normal(days + 100)
    series = np.empty(days + 100)
    series[0] = shocks[0]
    for day in range(1, len(series)):
        series[day] = rho * series[day - 1] + np.sqrt(1 - rho**2) * shocks[day]
    return series[100:]


def ratio_of(values: Floats, others: Floats):  # type: ignore[no-untyped-def]
    return lambda weights: {"ratio": weights.sums(values) / weights.sums(others)}


def test_independent_entities_give_the_interval_of_scipy() -> None:
    values = np.random.default_rng(5).exponential(size=(300, 1))
    ours = intervals(mean_of(values), np.arange(300), 1, replicates=9999, seed=1)["mean"]
    theirs = stats.bootstrap(
        (values[:, 0],), np.mean, n_resamples=9999, rng=np.random.default_rng(2), method="BCa"
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.value == pytest.approx(values.mean())
    # ours is wider by t of 299 over the normal, half a per cent; the rest is the draw
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)
    assert ours.se == pytest.approx(stats.sem(values[:, 0]), rel=0.03)
    assert ours.df == pytest.approx(299)


def test_an_exponential_mean_leans_to_the_right_only_with_bca() -> None:
    values = np.random.default_rng(5).exponential(size=(40, 1))
    lean = {}
    for method in ("bca", "percentile"):
        found = intervals(mean_of(values), np.arange(40), 1, replicates=4000, method=method)["mean"]
        lean[method] = (found.high - found.value) / (found.value - found.low)
    assert lean["bca"] > lean["percentile"] > 1.0


def test_entities_of_one_cluster_are_one_event() -> None:
    rng = np.random.default_rng(8)
    campaign = rng.standard_normal(40)
    values = np.repeat(campaign, 25)[:, None] + 0.01 * rng.standard_normal((1000, 1))
    cluster = np.repeat(np.arange(40), 25)
    apart = intervals(mean_of(values), np.arange(1000), 1)["mean"]
    together = intervals(mean_of(values), cluster, 1)["mean"]
    assert together.se == pytest.approx(stats.sem(campaign), rel=0.1)
    assert apart.se < together.se / 4


def test_p_is_the_level_at_which_the_interval_touches_zero() -> None:
    values = np.random.default_rng(3).exponential(size=(60, 1)) - 0.8
    figures = mean_of(values)
    p = intervals(figures, np.arange(60), 1, replicates=5000)["mean"].p
    assert 0.005 < p < 0.5
    touching = intervals(figures, np.arange(60), 1, replicates=5000, level=1 - p)["mean"]
    assert min(abs(touching.low), abs(touching.high)) < 0.02 * (touching.high - touching.low)


def test_what_too_few_clusters_hold_gets_no_interval() -> None:
    values, others = np.zeros((50, 1)), np.zeros((50, 1))
    values[:2] = others[:2] = 1.0
    figures = ratio_of(values, others)
    with np.errstate(invalid="ignore"):
        few = intervals(figures, np.arange(50), 1)["ratio"]
        others[:10] = values[:10] = 1.0
        more = intervals(figures, np.arange(50), 1)["ratio"]
    assert few.value == 1.0 and np.isnan([few.low, few.high, few.p]).all()
    assert (more.low, more.high) == (1.0, 1.0)


@pytest.mark.parametrize(("days", "block"), [(3, 3), (14, 4), (28, 6), (60, 12), (365, 73)])
def test_a_block_holds_an_episode_and_a_fifth_of_the_days(days: int, block: int) -> None:
    assert block_days(days) == block


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"level": 1.0}, "the level must be in"),
        ({"replicates": 50}, "replicates must be at least 100"),
        ({"block": 9}, "a block must be in"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options: dict[str, float], rule: str) -> None:
    with pytest.raises(InvalidInputError, match=rule):
        intervals(mean_of(np.ones((5, 8))), np.arange(5), 8, **options)  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(1).standard_normal((20, 30))
    first, second, other = (
        intervals(mean_of(values), np.arange(20), 30, seed=seed)["mean"] for seed in (4, 4, 5)
    )
    assert first == second != other


# ── Coverage, simulated ──────────────────────────────────────────────────────────────────────────


def covered(trials: int, days: int, rho: float, *, block: int | None = None) -> float:
    """Share of worlds whose interval holds the true mean, 0: odd days strike all 30 entities at once."""
    rng = np.random.default_rng(20)
    hits = 0
    for trial in range(trials):
        shared = autocorrelated(rng, days, rho)
        own = 0.5 * rng.standard_normal((30, 1)) + rng.standard_normal((30, days))
        found = intervals(
            mean_of(shared + own), np.arange(30), days, replicates=400, block=block, seed=trial
        )["mean"]
        hits += found.low <= 0.0 <= found.high
    return hits / trials


def test_the_interval_covers_although_days_depend_on_each_other() -> None:
    """200 worlds of 60 days, AR(.5): 95 % promised; single days as blocks would cover far fewer."""
    assert covered(200, 60, 0.5) >= 0.91
    assert covered(200, 60, 0.5, block=1) <= 0.85


@pytest.mark.slow
@pytest.mark.parametrize(
    ("days", "rho", "least"), [(14, 0.0, 0.93), (28, 0.5, 0.90), (60, 0.8, 0.87), (120, 0.8, 0.90)]
)
def test_the_interval_covers_in_many_worlds(days: int, rho: float, least: float) -> None:
    assert covered(1000, days, rho) >= least
