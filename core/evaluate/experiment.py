"""Experiments between two models: how much is needed, what was seen, and when one may stop.

The unit is what an arm is drawn for, a cluster of rows; every figure is taken over units, so rows that belong
together are never counted as if they were independent. Tests are two-sided. Differences are treatment − control.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from scipy import optimize, stats

from core.contracts import Bools, Floats
from core.errors import InvalidInputError

SRM = 0.001
"""The p-value below which a split is not the one that was asked for."""
FEW = 5.0
"""Expected units of an arm below which the binomial stands in for chi-square (Cochran, Biometrics 1954)."""
Word = Literal["deploy", "reject", "inconclusive: small effect", "inconclusive: need more data"]

# ── Before: power, the needed n, the smallest effect that can be found ───────────────────────────


@dataclass(frozen=True)
class Target:
    """A target metric before the experiment.

    value  : what it usually is, per row
    sd     : standard deviation of one row; NaN says that the metric is a share in (0, 1)
    design : design effect: how many rows of a cluster tell as much as one row that stands alone
    """

    value: float
    sd: float = math.nan
    design: float = 1.0

    def __post_init__(self) -> None:
        if math.isnan(self.sd) and not 0 < self.value < 1:
            raise InvalidInputError.of("experiment", "a share", "in (0, 1)", self.value)
        if self.sd <= 0:
            raise InvalidInputError.of("experiment", "the standard deviation", "above 0", self.sd)

    def variances(self, difference: float, ratio: float) -> tuple[float, float]:
        """n·Var of the estimated difference, without an effect (shares pooled) and with it."""
        if not math.isnan(self.sd):
            both = self.design * self.sd**2 * (1.0 + 1.0 / ratio)
            return both, both
        other = self.value + difference
        if not 0 < other < 1:
            rule = f"one that leaves {self.value:g} a share in (0, 1)"
            raise InvalidInputError.of("experiment", "the effect", rule, difference)
        pooled = (self.value + ratio * other) / (1.0 + ratio)
        null = pooled * (1.0 - pooled) * (1.0 + 1.0 / ratio)
        real = self.value * (1.0 - self.value) + other * (1.0 - other) / ratio
        return self.design * null, self.design * real


def design_effect(size: float, icc: float) -> float:
    """1 + (m − 1)·ICC, the price of m rows to a cluster with intraclass correlation ICC (Kish 1965, 5.4)."""
    return 1.0 + (size - 1.0) * icc


def chance(
    target: Target,
    difference: float,
    n: float,
    *,
    ratio: float = 1.0,
    alpha: float = 0.05,
    sequential: bool = True,
) -> float:
    """The power: how likely n control rows and ratio·n treatment rows show a `difference` that is there.

    sequential : by `look`, as often as one likes, of which the last alone is counted here; else by one test at the
    end. Normal theory; shares as in Fleiss, Levin & Paik (Statistical Methods for Rates and Proportions, 2003, 4.14).
    """
    null, real = target.variances(difference, ratio)
    drift = abs(difference) * math.sqrt(n / real)
    cut = boundary(alpha) if sequential else float(stats.norm.isf(alpha / 2))
    cut *= math.sqrt(null / real)
    return float(stats.norm.sf(cut - drift) + stats.norm.sf(cut + drift))


def needed(
    target: Target,
    difference: float,
    *,
    ratio: float = 1.0,
    alpha: float = 0.05,
    power: float = 0.8,
    sequential: bool = True,
) -> int:
    """Control rows that show a `difference` with chance `power`, beside ratio times as many treatment rows."""
    if not math.isfinite(difference) or difference == 0:
        raise InvalidInputError.of("experiment", "the effect", "finite and not 0", difference)
    _check_power(alpha, power)

    def missing(n: float) -> float:
        reached = chance(target, difference, n, ratio=ratio, alpha=alpha, sequential=sequential)
        return reached - power

    high = 1.0
    while missing(high) < 0:
        high *= 2.0
    return math.ceil(float(optimize.brentq(missing, 0.0, high, xtol=1e-6)))


def detectable(
    target: Target,
    n: float,
    *,
    sign: int = 1,
    ratio: float = 1.0,
    alpha: float = 0.05,
    power: float = 0.8,
    sequential: bool = True,
) -> float:
    """The smallest difference above (sign 1) or below (−1) the usual value that n control rows show; NaN where none."""
    _check_power(alpha, power)

    def missing(size: float) -> float:
        reached = chance(target, sign * size, n, ratio=ratio, alpha=alpha, sequential=sequential)
        return reached - power

    if math.isnan(target.sd):
        high = (1.0 - target.value if sign > 0 else target.value) * (1.0 - 1e-9)
        if missing(high) < 0:
            return math.nan
    else:
        high = target.sd
        while missing(high) < 0:
            high *= 2.0
    return sign * float(optimize.brentq(missing, 0.0, high, xtol=1e-12))


def _check_power(alpha: float, power: float) -> None:
    if not 0 < alpha < power < 1:
        rule = "with 0 < alpha < power < 1"
        raise InvalidInputError.of("experiment", "the plan", rule, (alpha, power))


# ── What was seen: arms, their difference, its size ──────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Arm:
    """Mean and variance (n − 1) of the values of n units; numbers, or arrays of one shape for many experiments."""

    mean: Floats
    variance: Floats
    n: Floats

    @classmethod
    def of(cls, values: Floats) -> Self:
        """An arm from the values of its units, along the last axis."""
        values = np.asarray(values, dtype=np.float64)
        n = values.shape[-1]
        if n < 2:
            raise InvalidInputError.of("experiment", "units of an arm", "at least 2", n)
        return cls(values.mean(axis=-1), values.var(axis=-1, ddof=1), np.asarray(float(n)))


@dataclass(frozen=True, eq=False)
class Difference:
    """An estimated difference with its standard error and degrees of freedom."""

    value: Floats
    error: Floats
    df: Floats

    @property
    def t(self) -> Floats:
        """value / error; 0 where both are 0."""
        return np.divide(
            self.value, self.error, out=np.zeros_like(self.value), where=self.error > 0
        )

    @property
    def p(self) -> Floats:
        """Two-sided p-value of one look; it means nothing where one looks again and again."""
        return np.asarray(2.0 * stats.t.sf(np.abs(self.t), self.df))

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Confidence interval of one look."""
        reach = stats.t.isf((1.0 - level) / 2, self.df) * self.error
        return self.value - reach, self.value + reach


def per_unit(numerator: Floats, denominator: Floats) -> Floats:
    """A ratio of sums as one value a unit, (…, n_unit), whose mean is the ratio: its linearisation.

    Σ num / Σ den is not the mean of the units' own ratios; R + (num − R·den) / mean(den) has the same mean and, to
    first order, the same variance (Deng, Knoblich & Lu, Applying the Delta Method in Metric Analytics, KDD 2018).
    """
    rows = denominator.mean(axis=-1, keepdims=True)
    if not np.all(rows > 0):
        raise InvalidInputError.of("experiment", "rows", "at least one in every arm", 0)
    whole = numerator.mean(axis=-1, keepdims=True) / rows
    return np.asarray(whole + (numerator - whole * denominator) / rows)


def welch(control: Arm, treatment: Arm) -> Difference:
    """The difference of two arms whose variances and sizes may differ (Welch, Biometrika 1947)."""
    shares = control.variance / control.n, treatment.variance / treatment.n
    total = np.asarray(shares[0] + shares[1], dtype=np.float64)
    spread = shares[0] ** 2 / (control.n - 1) + shares[1] ** 2 / (treatment.n - 1)
    least = np.minimum(control.n, treatment.n) - 1.0
    df = np.where(spread > 0, total**2 / np.where(spread > 0, spread, 1.0), least)
    return Difference(np.asarray(treatment.mean - control.mean), np.sqrt(total), df)


def paired(differences: Floats, rows: Floats) -> Difference:
    """The difference of two models that judged the same rows, from its sums and the rows by unit, (…, n_unit).

    The error is that without an effect, √Σd² / Σrows: with one disagreement a unit the test is McNemar's,
    (c − b) / √(b + c), with more of them that of Durkalski et al. for clusters (Statistics in Medicine 2003).
    """
    total = np.asarray(rows.sum(axis=-1), dtype=np.float64)
    if not np.all(total > 0):
        raise InvalidInputError.of("experiment", "rows", "at least one", 0)
    error = np.sqrt(np.sum(differences**2, axis=-1)) / total
    return Difference(differences.sum(axis=-1) / total, error, np.full(total.shape, np.inf))


def cohens_d(control: Arm, treatment: Arm, level: float = 0.95) -> tuple[float, float, float]:
    """Cohen's d, the difference in standard deviations of a unit, with its interval.

    The standard deviation is √((s₁² + s₂²) / 2) and the interval allows for unequal ones (Bonett, Psychological
    Methods 2008, equations 6 and 7). All NaN where no unit varies.
    """
    first, second = float(control.variance), float(treatment.variance)
    square = (first + second) / 2.0
    if square <= 0:
        return math.nan, math.nan, math.nan
    d = float(treatment.mean - control.mean) / math.sqrt(square)
    degrees = float(control.n) - 1.0, float(treatment.n) - 1.0
    spread = d**2 * (first**2 / degrees[0] + second**2 / degrees[1]) / (8.0 * square**2)
    spread += (first / degrees[0] + second / degrees[1]) / square
    reach = float(stats.norm.isf((1.0 - level) / 2)) * math.sqrt(spread)
    return d, d - reach, d + reach


def cohens_d_paired(differences: Arm, level: float = 0.95) -> tuple[float, float, float]:
    """Cohen's d of units that are their own control: the mean of their differences in standard deviations of these.

    With its large-sample interval (Borenstein et al., Introduction to Meta-Analysis, 2009, equation 4.28 with r = ½).
    All NaN where they do not vary.
    """
    if float(differences.variance) <= 0:
        return math.nan, math.nan, math.nan
    d = float(differences.mean) / math.sqrt(float(differences.variance))
    n = float(differences.n)
    reach = float(stats.norm.isf((1.0 - level) / 2)) * math.sqrt(1.0 / n + d**2 / (2.0 * n))
    return d, d - reach, d + reach


def intraclass(numerator: Floats, denominator: Floats) -> float:
    """ICC of a share from successes and rows by unit, by analysis of variance, in [0, 1].

    Ridout, Demétrio & Firth, Estimating intraclass correlation for binary data (Biometrics 1999), section 2.1.
    """
    kept = denominator > 0
    hits, rows = numerator[kept], denominator[kept]
    units, total = len(rows), float(rows.sum())
    if units < 2 or total <= units:
        raise InvalidInputError.of(
            "experiment", "rows", "more than units, of 2 units or more", total
        )
    within = float((hits - hits**2 / rows).sum()) / (total - units)
    between = float((hits**2 / rows).sum() - hits.sum() ** 2 / total) / (units - 1)
    size = (total - float((rows**2).sum()) / total) / (units - 1)
    spread = between + (size - 1.0) * within
    return float(np.clip((between - within) / spread, 0.0, 1.0)) if spread > 0 else 0.0


# ── When one may stop ────────────────────────────────────────────────────────────────────────────


def boundary(alpha: float) -> float:
    """The height that the path of a fair comparison leaves with chance `alpha` at most, however often one looks."""
    return float(stats.norm.isf(alpha / 4.0))


def planned_error(effect: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The standard error that fulfils a plan: at it a look shows an `effect` with chance `power`."""
    _check_power(alpha, power)
    return abs(effect) / (boundary(alpha) + float(stats.norm.ppf(power)))


@dataclass(frozen=True, eq=False)
class Look:
    """One look at an experiment under way; numbers, or arrays of one shape.

    fraction    : share of the planned information that is in, (planned error / error)², at most 1
    low, high   : all looks' intervals together hold the true difference with chance 1 − alpha
    significant : whether 0 lies outside
    """

    value: Floats
    low: Floats
    high: Floats
    fraction: Floats
    significant: Bools

    @property
    def complete(self) -> Bools:
        """Whether the planned information is in: the next look would be one too many."""
        return self.fraction >= 1.0


def look(difference: Difference, planned: float, alpha: float = 0.05) -> Look:
    """Look at a difference as often as one likes, until its error is down to the `planned` one.

    The estimate times the information that is in runs, without an effect, like a Brownian motion in the share t of
    the planned information (Jennison & Turnbull, Group Sequential Methods, 2000, chapter 11), whatever the clusters.
    By the reflection principle it leaves (−c, c) before t = 1 with chance alpha at most for c = Φ⁻¹(1 − alpha/4):
    significant is |z| ≥ c/√t. That is the boundary of O'Brien & Fleming (Biometrics 1979) for looks without number;
    the intervals are the repeated ones of Jennison & Turnbull (JRSS B 1989). A plan for it
    takes 21 % more rows than one for a single test at the end (alpha 0.05, power 0.8), one for a confidence sequence
    without end (mSPRT; Waudby-Smith et al., Annals of Statistics 2024) 91 % more: `headwater bench experiments`.
    """
    error = np.asarray(difference.error, dtype=np.float64)
    share = np.divide(planned**2, error**2, out=np.zeros_like(error), where=error > 0)
    fraction = np.minimum(share, 1.0)
    height = boundary(alpha) / np.sqrt(np.maximum(fraction, 1e-9))
    # few units: the height as a quantile of t in place of the normal one
    reach = stats.t.isf(stats.norm.sf(height), difference.df)
    reach = np.where(error > 0, reach * np.where(error > 0, error, 1.0), np.inf)
    low, high = difference.value - reach, difference.value + reach
    return Look(difference.value, low, high, fraction, (low > 0) | (high < 0))


def recommend(seen: Look, *, better: int, enough: bool = False) -> Word:
    """The specification's word for one look.

    better : 1 where more is better, −1 where less is
    enough : whether it is the last look, and what is in would show the effect that was looked for
    """
    if seen.significant:
        return "deploy" if float(seen.value) * better > 0 else "reject"
    done = seen.complete or enough
    return "inconclusive: small effect" if done else "inconclusive: need more data"


def split_p_value(control: int, treatment: int, share: float) -> float:
    """How seldom a sound assignment splits units as unevenly (chi-square; exactly where an arm expects few).

    share : the treatment's; below `SRM` the arms are not those that were drawn and nothing else can be believed
    """
    total = control + treatment
    if total < 1 or not 0 < share < 1:
        rule = "of 1 or more units, with a share in (0, 1)"
        raise InvalidInputError.of("experiment", "the split", rule, (control, treatment, share))
    if total * min(share, 1.0 - share) < FEW:
        return float(stats.binomtest(treatment, total, share).pvalue)
    return float(stats.chisquare([control, treatment], [total * (1 - share), total * share]).pvalue)
