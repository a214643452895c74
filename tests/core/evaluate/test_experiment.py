"""Experiments: planned as statsmodels would, tested as scipy would, and looked at without being fooled."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import power_proportions_2indep

from core.errors import InvalidInputError
from core.evaluate import experiment
from core.evaluate.experiment import Arm, Difference, Target


@pytest.mark.parametrize(
    ("value", "difference", "rows"),
    [(0.05, 0.0025, 122_123), (0.01, 0.0005, 637_009), (0.60, 0.05, 1470), (0.60, 0.10, 355)],
)
def test_a_single_test_needs_the_rows_of_the_tables(
    value: float, difference: float, rows: int
) -> None:
    """Fleiss, Levin & Paik 2003, formula 4.14: rounded down in the tables, up here."""
    assert experiment.needed(Target(value), difference, sequential=False) == rows + (value != 0.01)


@pytest.mark.parametrize("ratio", [0.05, 1.0, 3.0])
@pytest.mark.parametrize("difference", [-0.04, 0.03])
def test_power_is_that_of_statsmodels(ratio: float, difference: float) -> None:
    n = 900
    share = experiment.chance(Target(0.3), difference, n, ratio=ratio, sequential=False)
    reference = power_proportions_2indep(difference, 0.3, n * ratio, ratio=1 / ratio)
    assert share == pytest.approx(reference.power, rel=1e-9)
    mean = experiment.chance(Target(7.0, sd=2.0), difference, n, ratio=ratio, sequential=False)
    assert mean == pytest.approx(NormalIndPower().power(difference / 2.0, n, 0.05, ratio), rel=1e-9)


def test_looking_at_any_time_costs_a_fifth_more_rows() -> None:
    once = experiment.needed(Target(0.0, sd=1.0), 0.05, sequential=False)
    often = experiment.needed(Target(0.0, sd=1.0), 0.05)
    # (2.2414 + 0.8416)² / (1.9600 + 0.8416)²
    assert often / once == pytest.approx(1.211, abs=1e-3)


def test_rows_of_one_unit_count_for_less() -> None:
    assert experiment.design_effect(25, 0.2) == pytest.approx(5.8)
    alone = experiment.needed(Target(0.1), 0.02)
    assert experiment.needed(Target(0.1, design=5.8), 0.02) == pytest.approx(5.8 * alone, abs=6)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("target", [Target(0.2), Target(5.0, sd=3.0, design=2.0)])
def test_the_detectable_effect_is_the_one_that_the_rows_were_needed_for(
    target: Target, sign: int
) -> None:
    effect = experiment.detectable(target, 2000, sign=sign, ratio=0.25)
    assert math.copysign(1, effect) == sign
    assert experiment.needed(target, effect, ratio=0.25) == pytest.approx(2000, abs=1)


def test_a_share_cannot_fall_by_more_than_there_is() -> None:
    assert math.isnan(experiment.detectable(Target(0.01), 50, sign=-1))
    with pytest.raises(InvalidInputError, match=r"leaves 0\.01 a share"):
        experiment.needed(Target(0.01), -0.02)
    with pytest.raises(InvalidInputError, match="the effect must be finite and not 0"):
        experiment.needed(Target(0.5), 0.0)
    with pytest.raises(InvalidInputError, match="a share must be in"):
        Target(1.0)
    with pytest.raises(InvalidInputError, match="0 < alpha < power < 1"):
        experiment.planned_error(0.1, alpha=0.9, power=0.8)


def test_welch_is_scipys() -> None:
    draws = np.random.default_rng(0)
    control, treatment = draws.normal(0, 1, 40), draws.normal(0.5, 3, 12)
    found = experiment.welch(Arm.of(control), Arm.of(treatment))
    reference = stats.ttest_ind(treatment, control, equal_var=False)
    assert found.t == pytest.approx(reference.statistic)
    assert found.p == pytest.approx(reference.pvalue)
    assert found.interval(0.9) == pytest.approx(tuple(reference.confidence_interval(0.9)))


def test_arms_without_any_spread_differ_by_nothing_certain() -> None:
    flat = Arm.of(np.ones(5))
    assert experiment.welch(flat, flat).t == 0
    assert all(math.isnan(value) for value in experiment.cohens_d(flat, flat))
    with pytest.raises(InvalidInputError, match="units of an arm must be at least 2"):
        Arm.of(np.ones(1))


def test_cohens_d_is_that_of_the_published_example() -> None:
    """statpsych, ci.stdmean2(.05, 35.1, 26.7, 7.32, 6.98, 30, 30), unweighted standardizer."""
    treatment = Arm(np.array(35.1), np.array(7.32**2), np.array(30.0))
    control = Arm(np.array(26.7), np.array(6.98**2), np.array(30.0))
    found = experiment.cohens_d(control, treatment)
    assert found == pytest.approx((1.174493, 0.6170771, 1.731909), abs=1e-6)


def test_the_interval_of_d_holds_the_truth_where_the_arms_spread_differently() -> None:
    draws = np.random.default_rng(1)
    truth = 0.8 / math.sqrt((1.0 + 9.0) / 2)
    hits = 0
    for _ in range(400):
        arms = Arm.of(draws.normal(0, 1, 60)), Arm.of(draws.normal(0.8, 3, 25))
        _, low, high = experiment.cohens_d(*arms)
        hits += low <= truth <= high
    assert 0.92 <= hits / 400 <= 0.98


def test_the_paired_d_is_told_in_spreads_of_the_differences() -> None:
    draws = np.random.default_rng(5)
    hits = 0
    for _ in range(400):
        d, low, high = experiment.cohens_d_paired(Arm.of(draws.normal(0.3, 1.0, 80)))
        assert low < d < high
        hits += low <= 0.3 <= high
    assert 0.92 <= hits / 400 <= 0.98
    assert all(math.isnan(value) for value in experiment.cohens_d_paired(Arm.of(np.ones(5))))


def test_a_ratio_of_sums_has_a_value_for_every_unit() -> None:
    rows = np.array([10.0, 10.0, 40.0])
    alerts = np.array([1.0, 0.0, 8.0])
    values = experiment.per_unit(alerts, rows)
    assert values.mean() == pytest.approx(9 / 60)
    # equal units: each unit's own ratio
    assert experiment.per_unit(np.array([1.0, 3.0]), np.array([4.0, 4.0])) == pytest.approx(
        [0.25, 0.75]
    )
    with pytest.raises(InvalidInputError, match="rows must be at least one"):
        experiment.per_unit(np.zeros(3), np.zeros(3))


def test_its_spread_is_that_of_the_ratio_over_samples() -> None:
    draws = np.random.default_rng(2)
    rows = draws.integers(1, 30, (4000, 80)).astype(float)
    hits = draws.binomial(rows.astype(int), draws.beta(2, 6, (4000, 80))).astype(float)
    ratios = hits.sum(axis=1) / rows.sum(axis=1)
    arms = Arm.of(experiment.per_unit(hits, rows))
    assert np.sqrt(arms.variance / arms.n).mean() == pytest.approx(ratios.std(), rel=0.03)


def test_the_paired_test_is_mcnemars_where_each_disagreement_is_a_unit() -> None:
    won, lost, agreed = 40, 22, 500
    differences = np.repeat([1.0, -1.0, 0.0], [won, lost, agreed])
    found = experiment.paired(differences, np.ones(len(differences)))
    reference = mcnemar([[300, lost], [won, 200]], exact=False, correction=False)
    assert found.t**2 == pytest.approx(reference.statistic)
    assert found.p == pytest.approx(reference.pvalue)
    assert found.value == pytest.approx(18 / 562)


def test_what_belongs_together_is_not_counted_one_by_one() -> None:
    one_by_one = experiment.paired(np.repeat([1.0, -1.0], [40, 20]), np.ones(60))
    by_campaign = experiment.paired(np.repeat([10.0, -10.0], [4, 2]), np.full(6, 10.0))
    assert by_campaign.value == pytest.approx(float(one_by_one.value))
    assert abs(by_campaign.t) < 1 < abs(one_by_one.t)


@pytest.mark.parametrize("icc", [0.0, 0.2, 0.6])
def test_the_planted_intraclass_correlation_is_found(icc: float) -> None:
    draws = np.random.default_rng(3)
    rows = draws.integers(2, 30, 4000).astype(float)
    own = (
        np.full(4000, 0.3)
        if icc == 0
        else draws.beta(*(np.array([0.3, 0.7]) * (1 / icc - 1)), 4000)
    )
    hits = draws.binomial(rows.astype(int), own).astype(float)
    assert experiment.intraclass(hits, rows) == pytest.approx(icc, abs=0.02)
    with pytest.raises(InvalidInputError, match="more than units"):
        experiment.intraclass(np.ones(4), np.ones(4))


def _look(
    value: float, error: float, planned: float = 0.1, df: float = math.inf
) -> experiment.Look:
    seen = Difference(np.asarray(value), np.asarray(error), np.asarray(df))
    return experiment.look(seen, planned)


def test_the_bar_is_high_early_and_falls_as_the_plan_fills() -> None:
    """Φ⁻¹(1 − 0.05/4) = 2.2414: at the end, and twice as high with a quarter of the information."""
    early, late = _look(0.0, 0.2), _look(0.0, 0.1)
    assert float(early.fraction) == pytest.approx(0.25)
    assert float(early.high) / 0.2 == pytest.approx(4.4828, abs=1e-4)
    assert float(late.high) / 0.1 == pytest.approx(2.2414, abs=1e-4)
    assert not early.complete
    assert late.complete


def test_few_units_widen_the_interval() -> None:
    few, many = _look(0.0, 0.1, df=6.0), _look(0.0, 0.1)
    assert float(few.high) / 0.1 == pytest.approx(float(stats.t.isf(0.0125, 6)))
    assert few.high > many.high


def test_nothing_seen_says_nothing() -> None:
    seen = _look(0.0, 0.0)
    assert not seen.significant
    assert seen.fraction == 0
    assert (float(seen.low), float(seen.high)) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("value", "error", "better", "word"),
    [
        (0.3, 0.1, 1, "deploy"),
        (0.3, 0.1, -1, "reject"),
        (-0.3, 0.1, 1, "reject"),
        (-0.3, 0.1, -1, "deploy"),
        (0.1, 0.1, 1, "inconclusive: small effect"),
        (0.3, 0.2, 1, "inconclusive: need more data"),
    ],
)
def test_the_word_follows_from_interval_and_plan(
    value: float, error: float, better: int, word: str
) -> None:
    assert experiment.recommend(_look(value, error), better=better) == word


def test_a_path_without_drift_leaves_the_boundary_no_more_often_than_promised() -> None:
    """Brownian paths seen at 400 uneven moments: the closed form holds whenever one looks."""
    draws = np.random.default_rng(4)
    times = np.sort(draws.random(399))
    times = np.append(times, 1.0)
    steps = draws.standard_normal((10_000, 400)) * np.sqrt(np.diff(times, prepend=0.0))
    path = steps.cumsum(axis=1)
    planned = 0.1
    error = planned / np.sqrt(times)
    seen = Difference(
        path / times * planned, np.broadcast_to(error, path.shape), np.asarray(np.inf)
    )
    ever = experiment.look(seen, planned).significant.any(axis=1).mean()
    assert 0.04 <= ever <= 0.05


def test_an_uneven_split_is_told_and_a_fair_one_is_not() -> None:
    assert experiment.split_p_value(5100, 4900, 0.5) == pytest.approx(
        float(stats.chisquare([5100, 4900]).pvalue)
    )
    assert experiment.split_p_value(5300, 4700, 0.5) < experiment.SRM
    # 1 % of 200 units: chi-square would say 0.0002
    assert experiment.split_p_value(193, 7, 0.01) == pytest.approx(
        float(stats.binomtest(7, 200, 0.01).pvalue)
    )
    with pytest.raises(InvalidInputError, match="the split must be"):
        experiment.split_p_value(0, 0, 0.5)
