"""Agreement between raters: equal to the reference libraries, with raters missing and several answers at once."""

from __future__ import annotations

import krippendorff
import networkx as nx
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from core.cases import Graph
from core.errors import NotEnoughDataError
from core.evaluate import agreement
from core.evaluate.agreement import MISSING, Ratings

SAME = 1e-9
# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C: 12 units, 4 observers
PUBLISHED = [
    "1  2  3  3  2  1  4  1  2  .  .  .",
    "1  2  3  3  2  2  4  1  2  5  .  3",
    ".  3  3  3  2  3  4  2  2  5  1  .",
    "1  2  3  3  2  4  4  1  2  5  1  .",
]


def ratings(codes: np.ndarray) -> Ratings:
    """Codes (n_rater, n_unit) as they stand."""
    units, raters = tuple(range(codes.shape[1])), tuple(f"r{n}" for n in range(len(codes)))
    return Ratings(units, raters, tuple(range(codes.max() + 1)), codes.T.astype(np.intp))


def drawn(seed: int, raters: int, units: int, values: int, missing: float = 0.0) -> np.ndarray:
    """Raters who say the truth seven times of ten, and anything otherwise."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(values, units, p=(weights := rng.dirichlet(np.ones(values))))
    codes = np.where(
        rng.random((raters, units)) < 0.7, truth, rng.choice(values, (raters, units), p=weights)
    )
    codes[:, :values] = np.arange(values)
    return np.where(rng.random((raters, units)) < missing, MISSING, codes)


def published() -> np.ndarray:
    return np.array(
        [[int(c) - 1 if c != "." else MISSING for c in row.split()] for row in PUBLISHED]
    )


# ── Equal to the references ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(6))
def test_cohens_kappa_is_scikit_learns(seed: int) -> None:
    codes = drawn(seed, 2, 150, 2 + seed)
    theirs = cohen_kappa_score(codes[0], codes[1])
    assert abs(agreement.cohen(codes[0], codes[1], codes.max() + 1)[0] - theirs) < SAME
    assert abs(agreement.light(ratings(codes))[0] - theirs) < SAME
    assert abs(agreement.percent(ratings(codes))[0] - (codes[0] == codes[1]).mean()) < SAME


@pytest.mark.parametrize("seed", range(6))
def test_fleiss_kappa_is_statsmodels(seed: int) -> None:
    codes = drawn(seed, 3 + seed, 120, 2 + seed)
    table, _ = aggregate_raters(codes.T)
    assert abs(agreement.fleiss(ratings(codes))[0] - fleiss_kappa(table)) < SAME


def test_fleiss_kappa_of_the_published_table() -> None:
    """Fleiss 1971, as tabled in his article's example of 14 raters and 10 subjects: κ = .210."""
    counts = np.array(
        [
            [0, 0, 0, 0, 14],
            [0, 2, 6, 4, 2],
            [0, 0, 3, 5, 6],
            [0, 3, 9, 2, 0],
            [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0],
            [3, 2, 6, 3, 0],
            [2, 5, 3, 2, 2],
            [6, 5, 2, 1, 0],
            [0, 2, 2, 3, 7],
        ]
    )
    codes = np.array([np.repeat(np.arange(5), row) for row in counts]).T
    assert agreement.fleiss(ratings(codes))[0] == pytest.approx(0.210, abs=5e-4)


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("seed", range(4))
def test_krippendorffs_alpha_is_the_librarys_with_raters_missing(seed: int, missing: float) -> None:
    codes = drawn(seed, 4, 90, 3 + seed, missing)
    told = np.where(codes == MISSING, np.nan, codes)
    theirs = krippendorff.alpha(told, level_of_measurement="nominal")
    assert abs(agreement.alpha(ratings(codes))[0] - theirs) < SAME


def test_krippendorffs_alpha_of_his_own_example() -> None:
    assert agreement.alpha(ratings(published()))[0] == pytest.approx(0.743, abs=5e-4)


@pytest.mark.parametrize("distance", [agreement.jaccard, agreement.masi])
def test_alpha_of_several_answers_at_once_is_the_librarys_with_that_distance(distance) -> None:  # type: ignore[no-untyped-def]
    values = [frozenset(part) for part in ("", "a", "b", "ab", "abc", "cd")]
    codes = drawn(1, 3, 60, len(values), 0.25)
    apart = distance(values)
    theirs = krippendorff.alpha(
        np.where(codes == MISSING, np.nan, codes),
        value_domain=np.arange(len(values)),
        level_of_measurement=lambda one, other, **_: apart[
            np.asarray(one, int), np.asarray(other, int)
        ],
    )
    assert abs(agreement.alpha(ratings(codes), apart)[0] - theirs) < SAME


# ── Distances ────────────────────────────────────────────────────────────────────────────────────


def test_sets_that_share_more_are_nearer() -> None:
    """Passonneau 2006: {a, b} within {a, b, c, d} gives overlap ½ × 2/3."""
    values = [frozenset("ab"), frozenset("abcd"), frozenset("be"), frozenset("x"), frozenset()]
    assert agreement.masi(values)[0] == pytest.approx([0, 1 - 0.5 * 2 / 3, 1 - 1 / 9, 1, 1])
    assert agreement.jaccard(values)[0] == pytest.approx([0, 0.5, 2 / 3, 1, 1])
    assert agreement.jaccard(values)[4, 4] == 0


def test_neighbours_in_the_graph_are_nearer_than_strangers() -> None:
    graph = Graph(nx.DiGraph([("db", "api"), ("api", "web"), ("web", "app"), ("app", "cdn")]))
    found = agreement.hops(["db", "api", "web", "cdn", "not there"], graph)
    assert found[0] == pytest.approx([0, 0.25, 0.5, 1, 1])
    assert (found == found.T).all()
    codes = np.array([[0, 1, 2, 3, 4], [0, 0, 2, 3, 4]])
    nearly = agreement.alpha(ratings(codes), found)[0]
    assert nearly > agreement.alpha(ratings(codes))[0]


# ── What a percentage hides ──────────────────────────────────────────────────────────────────────


def test_96_percent_agreement_on_a_common_answer_is_hardly_better_than_chance() -> None:
    codes = np.zeros((2, 100), dtype=int)
    codes[0, :2] = codes[1, 2:4] = 1
    judged = ratings(codes)
    assert agreement.percent(judged)[0] == 0.96
    assert agreement.chance(judged) == pytest.approx(0.98**2 + 0.02**2)
    assert agreement.alpha(judged)[0] < 0.0
    assert agreement.light(judged)[0] == pytest.approx(-1 / 49)
    common, rare = agreement.answers(judged)
    assert (common.share, rare.share) == pytest.approx((0.98, 0.02))
    assert (common.agreement, rare.agreement) == pytest.approx((192 / 196, 0.0))


def test_one_answer_alone_says_nothing_and_is_not_called_perfect() -> None:
    judged = ratings(np.zeros((3, 20), dtype=int))
    assert agreement.percent(judged)[0] == 1.0
    assert np.isnan(agreement.alpha(judged)[0]) and np.isnan(agreement.fleiss(judged)[0])
    assert np.isnan(agreement.light(judged)[0])
    found = agreement.intervals(judged)
    assert np.isnan(found["alpha"].low) and found["percent"].value == 1.0


def test_so_few_that_all_agree_are_not_called_certain() -> None:
    told = agreement.intervals(ratings(np.array([[0, 1, 0, 1, 2]] * 2)))
    percent, alpha = told["percent"], told["alpha"]
    assert (percent.value, percent.high) == (1.0, 1.0)
    assert percent.low == pytest.approx(0.025 ** (1 / 5))
    # beyond the .36 that chance would give at these base rates
    assert (alpha.value, alpha.high) == (1.0, 1.0)
    assert alpha.low == pytest.approx((percent.low - 0.36) / 0.64)
    together = agreement.intervals(
        ratings(np.array([[0, 1, 0, 1, 2]] * 2)), groups=np.array([0, 0, 0, 1, 1])
    )
    assert together["percent"].low == pytest.approx(0.025 ** (1 / 2))


def test_things_that_all_belong_together_have_no_interval() -> None:
    found = agreement.intervals(
        ratings(np.array([[0, 1, 0], [0, 1, 1]])), groups=np.zeros(3, dtype=int)
    )
    assert found["percent"].value == pytest.approx(2 / 3)
    assert np.isnan([found["percent"].low, found["alpha"].high]).all()


def test_pairs_and_confusions_name_who_and_what() -> None:
    judged = Ratings.of(
        [
            (1, "ana", "memory"),
            (1, "ben", "cpu"),
            (2, "ana", "memory"),
            (2, "ben", "memory"),
            (3, "ana", "cpu"),
            (3, "eva", "cpu"),
            (4, "eva", "disk"),
            (5, "ana", "disk"),
            (5, "ana", "cpu"),
            (5, "ben", "memory"),
        ]
    )
    assert judged.raters == ("ana", "ben", "eva") and judged.values == ("cpu", "disk", "memory")
    first, second = agreement.pairs(judged)
    assert (first.first, first.second, first.units) == ("ana", "ben", 3)
    assert first.percent == pytest.approx(1 / 3)
    assert (second.first, second.second, second.units, second.percent) == ("ana", "eva", 1, 1.0)
    (confused,) = agreement.confusions(judged)
    assert (confused.first, confused.second, confused.times) == ("cpu", "memory", 2)


# ── Intervals ────────────────────────────────────────────────────────────────────────────────────


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Two raters of two even answers, each right 8 times of 10: they agree on .68, κ = .36."""
    inside = dict.fromkeys(("percent", "cohen", "alpha"), 0)
    for seed in range(120):
        rng = np.random.default_rng(seed)
        truth = rng.integers(2, size=80)
        judged = ratings(np.where(rng.random((2, 80)) < 0.8, truth, 1 - truth))
        found = agreement.intervals(judged, replicates=400, seed=seed)
        for name, true in (("percent", 0.68), ("cohen", 0.36), ("alpha", 0.36)):
            inside[name] += found[name].low <= true <= found[name].high
    assert all(0.88 <= hits / 120 <= 1.0 for hits in inside.values())


def test_units_that_belong_together_widen_the_interval() -> None:
    codes = np.repeat(drawn(2, 2, 30, 3), 6, axis=1)
    alone = agreement.intervals(ratings(codes), replicates=500)["alpha"]
    together = agreement.intervals(
        ratings(codes), groups=np.repeat(np.arange(30), 6), replicates=500
    )
    assert together["alpha"].high - together["alpha"].low > 1.8 * (alone.high - alone.low)
    assert together["alpha"].value == alone.value


def test_nothing_judged_twice_is_said_so() -> None:
    alone = Ratings.of([(1, "ana", "x"), (2, "ben", "y")])
    with pytest.raises(NotEnoughDataError, match="two people judged"):
        agreement.intervals(alone)
    assert agreement.pairs(alone) == agreement.confusions(alone) == agreement.answers(alone) == []
    assert np.isnan(agreement.chance(alone))
