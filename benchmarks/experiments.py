"""How often a test of nothing says something: the specification's rules beside ours on the same made-up figures.

Needs `core` alone: python -m benchmarks.experiments
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from core.contracts import Bools, Floats, OnStep
from core.evaluate import experiment
from core.evaluate.experiment import Arm, Difference

RUNS = 10_000
HOURS = 14 * 24
ALPHA, POWER, ICC = 0.05, 0.8, 0.2
LOOKS = (14, 100, 336, 1000)
ROWS = 25
"""Rows of a unit where rows are taken for units."""
CHUNK = 40
"""Experiments that are drawn at once."""
Rows = list[dict[str, Any]]
Draw = Callable[[np.random.Generator, int], "Figures"]


def run(on_step: OnStep, runs: int = RUNS) -> Rows:
    """The anchors, then hourly looks at clustered units under every rule, then the split check."""
    on_step("anchors", 0.0, {})
    rows = [*peeking(runs), *clusters(runs), *canary(runs)]
    for index, (what, draw) in enumerate(DESIGNS.items()):

        def told(share: float, what: str = what, index: int = index) -> None:
            on_step(f"hourly looks, {what}", 0.05 + 0.9 * (index + share) / len(DESIGNS), {})

        rows += hourly(what, draw, runs, told)
    return [*rows, *splits(runs)]


# ── The specification's rules, where nothing differs ─────────────────────────────────────────────


def peeking(runs: int) -> Rows:
    """A t-test at every look at independent rows: the more looks, the more often something is found in nothing."""
    draws, rows = np.random.default_rng(1), 20
    found = []
    for looks in LOOKS:
        # mean and squares of each look's rows by arm, without drawing the rows
        sums = draws.standard_normal((2, runs, looks)) * np.sqrt(rows)
        squares = draws.chisquare(rows - 1, (2, runs, looks)) + sums**2 / rows
        n = rows * np.arange(1, looks + 1)
        mean, square = np.cumsum(sums, axis=2) / n, np.cumsum(squares, axis=2)
        variance = (square - n * mean**2) / (n - 1)
        p = _student(mean, variance, np.broadcast_to(n, (2, looks))[:, None])
        found.append(_row("t-test at every look", f"{looks} looks", (p < ALPHA).any(axis=1)))
    return found


def clusters(runs: int) -> Rows:
    """One t-test of rows whose arm was drawn by unit."""
    draws, found = np.random.default_rng(2), []
    for icc in (0.05, 0.2, 0.5):
        units = draws.standard_normal((2, runs, 40, 1)) * np.sqrt(icc)
        values = units + draws.standard_normal((2, runs, 40, ROWS)) * np.sqrt(1.0 - icc)
        values = values.reshape(2, runs, -1)
        n = np.full((2, 1), values.shape[2])
        p = _student(values.mean(axis=2), values.var(axis=2, ddof=1), n)
        found.append(_row("t-test of rows, arms drawn by unit", f"ICC {icc:g}", p < ALPHA))
    return found


def canary(runs: int) -> Rows:
    """One test of an arm of 5 % with twice the spread, by Student and by Welch."""
    draws = np.random.default_rng(3)
    n, spread = np.array([[1900], [100]]), np.array([[1.0], [2.0]])
    mean = draws.standard_normal((2, runs)) * spread / np.sqrt(n)
    variance = draws.chisquare(n - 1, (2, runs)) * spread**2 / (n - 1)
    arms = [Arm(*each) for each in zip(mean, variance, np.broadcast_to(n, mean.shape), strict=True)]
    what = "5 % canary with twice the spread"
    return [
        _row("Student's t, one look", what, _student(mean, variance, n) < ALPHA),
        _row("Welch, one look", what, experiment.welch(*arms).p < ALPHA),
    ]


def _student(mean: Floats, variance: Floats, n: Any) -> Floats:
    """p-values of the t-test with one variance for both arms (axis 0)."""
    df = n.sum(axis=0) - 2
    pooled = ((n - 1) * variance).sum(axis=0) / df
    t = (mean[1] - mean[0]) / np.sqrt(pooled * (1.0 / n).sum(axis=0))
    return np.asarray(2.0 * stats.t.sf(np.abs(t), df))


def _row(rule: str, what: str, wrong: Any) -> dict[str, Any]:
    return {"rule": rule, "data": what, "runs": len(wrong), "false_percent": _percent(wrong)}


# ── Hourly looks for two weeks at units drawn into arms ──────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Figures:
    """Some experiments without an effect, (n_run, HOURS).

    units   : the difference over units, as ours takes it
    rows    : the same with every row counted for itself
    planned : the standard error that the plan aims at
    """

    units: Difference
    rows: Difference
    planned: float


def normal(control: int, treatment: int, spread: float = 1.0) -> Draw:
    """Units with a normal row every hour, ICC `ICC`; `spread`: the treatment's standard deviation."""
    final = ICC + (1.0 - ICC) / HOURS
    planned = float(np.sqrt(final / control + final * spread**2 / treatment))

    def draw(draws: np.random.Generator, runs: int) -> Figures:
        arms, singles = [], []
        for count, width in ((control, 1.0), (treatment, spread)):
            rows = draws.standard_normal((runs, count, HOURS), dtype=np.float32)
            rows *= np.float32(width * np.sqrt(1.0 - ICC))
            rows += draws.standard_normal((runs, count, 1), dtype=np.float32) * np.float32(
                width * np.sqrt(ICC)
            )
            arm, single = _arms(rows)
            arms.append(arm)
            singles.append(single)
        return Figures(experiment.welch(*arms), experiment.welch(*singles), planned)

    return draw


def alerts(units: int, rate: float) -> Draw:
    """Two arms of units that alert in an hour or not, each at a rate of its own (beta-binomial with `ICC`)."""
    final = rate * (1.0 - rate) * (ICC + (1.0 - ICC) / HOURS)
    planned = float(np.sqrt(2.0 * final / units))
    strength = 1.0 / ICC - 1.0

    def draw(draws: np.random.Generator, runs: int) -> Figures:
        arms, singles = [], []
        for _ in range(2):
            own = draws.beta(rate * strength, (1.0 - rate) * strength, (runs, units, 1))
            rows = draws.random((runs, units, HOURS), dtype=np.float32) < own.astype(np.float32)
            arm, single = _arms(rows.astype(np.float32))
            arms.append(arm)
            singles.append(single)
        return Figures(experiment.welch(*arms), experiment.welch(*singles), planned)

    return draw


def shadow(units: int, rate: float) -> Draw:
    """Two models on the same rows that disagree at `rate`, each unit leaning to one of them (`ICC`)."""
    final = rate / HOURS + rate**2 * ICC * (1.0 - 1.0 / HOURS)
    planned = float(np.sqrt(final / units))
    strength = (1.0 / ICC - 1.0) / 2.0

    def draw(draws: np.random.Generator, runs: int) -> Figures:
        lean = draws.beta(strength, strength, (runs, units, 1)).astype(np.float32)
        disagree = draws.random((runs, units, HOURS), dtype=np.float32) < rate
        first = draws.random((runs, units, HOURS), dtype=np.float32) < lean
        signs = np.where(disagree, np.where(first, 1.0, -1.0), 0.0)
        sums = np.cumsum(signs, axis=2).swapaxes(1, 2)
        rows = np.broadcast_to(np.arange(1.0, HOURS + 1)[:, None], sums.shape)
        every = np.arange(1.0, HOURS + 1) * units
        single = np.sqrt(np.cumsum(disagree.sum(axis=1), axis=1)) / every
        paired = experiment.paired(sums, rows)
        return Figures(paired, Difference(paired.value, single, paired.df), planned)

    return draw


DESIGNS: Mapping[str, Draw] = {
    "two arms of 100 units": normal(100, 100),
    "a canary of 50 among 200 units, twice the spread": normal(150, 50, 2.0),
    "alerts in 3 of 100 hours, two arms of 200 units": alerts(200, 0.03),
    "shadow, 150 units, disagreement in 3 of 100 hours": shadow(150, 0.03),
}


def _arms(rows: NDArray[np.float32]) -> tuple[Arm, Arm]:
    """(n_run, n_unit, HOURS) rows → the arm at every hour over units' means so far, and over rows."""
    n_unit = rows.shape[1]
    hours = np.arange(1, HOURS + 1)
    squares = np.cumsum(np.einsum("ruh,ruh->rh", rows, rows), axis=1, dtype=np.float64)
    means = np.cumsum(rows, axis=2)
    means /= hours.astype(np.float32)
    mean = means.mean(axis=1, dtype=np.float64)
    means -= mean[:, None].astype(np.float32)
    spread = np.einsum("ruh,ruh->rh", means, means).astype(np.float64) / (n_unit - 1)
    count = (hours * n_unit).astype(np.float64)
    variance = (squares - count * mean**2) / (count - 1)
    return (
        Arm(mean, spread, np.full(mean.shape, float(n_unit))),
        Arm(mean, variance, np.broadcast_to(count, mean.shape)),
    )


RULES: Mapping[str, Callable[[Figures, float], Bools]] = {
    "t-test of rows at every look": lambda seen, shift: _shifted(seen.rows, shift).p < ALPHA,
    "Welch of units at every look": lambda seen, shift: _shifted(seen.units, shift).p < ALPHA,
    "mSPRT, the confidence sequence without end": lambda seen, shift: _mixture(seen, shift),
    "headwater, the planned information in view": lambda seen, shift: _ours(seen, shift),
}


def hourly(what: str, draw: Draw, runs: int, told: Callable[[float], None]) -> Rows:
    """Each rule at every hour: how often it ever finds something in nothing, and the effect that was planned for."""
    draws = np.random.default_rng(4)
    false: dict[str, list[Bools]] = {rule: [] for rule in RULES}
    found: dict[str, list[Bools]] = {rule: [] for rule in RULES}
    for start in range(0, runs, CHUNK):
        told(start / runs)
        seen = draw(draws, min(CHUNK, runs - start))
        effect = seen.planned / experiment.planned_error(1.0, ALPHA, POWER)
        for rule, says in RULES.items():
            false[rule].append(says(seen, 0.0))
            found[rule].append(says(seen, effect))
    rows = []
    for rule in RULES:
        ever = np.concatenate([said.any(axis=1) for said in false[rule]])
        hits = np.concatenate(found[rule])
        hour = 1 + hits[hits.any(axis=1)].argmax(axis=1)
        rows.append(
            _row(rule, f"{what}, hourly looks for 14 days, ICC {ICC:g}", ever)
            | {
                "power_percent_at_the_planned_effect": _percent(hits.any(axis=1)),
                "median_hour_found": float(np.median(hour)),
            }
        )
    return rows


def _shifted(seen: Difference, shift: float) -> Difference:
    return Difference(seen.value + shift, seen.error, seen.df)


def _ours(seen: Figures, shift: float) -> Bools:
    """Looks until one is significant or the planned information is in."""
    looks = experiment.look(_shifted(seen.units, shift), seen.planned, ALPHA)
    over = np.cumsum(looks.complete, axis=1) > 1
    return looks.significant & ~over


def _mixture(seen: Figures, shift: float) -> Bools:
    """Johari et al. (KDD 2017), mixing over effects as large as the planned one; Waudby-Smith et al. (2024), theorem 2.2."""
    effect = seen.planned / experiment.planned_error(1.0, ALPHA, POWER)
    error = np.where(seen.units.error > 0, seen.units.error, np.inf)
    # never a p-value where nothing was seen: the weight is then 0 and the height without end
    weight = np.maximum((effect / error) ** 2, 1e-300)
    height = (1.0 + 1.0 / weight) * np.log((1.0 + weight) / ALPHA**2)
    return np.asarray(((seen.units.value + shift) / error) ** 2 >= height)


# ── The split ────────────────────────────────────────────────────────────────────────────────────


def splits(runs: int) -> Rows:
    """How often an uneven split is told, as it was drawn and when the treatment loses some of its units."""
    draws, rows = np.random.default_rng(5), []
    for share, lost in ((0.5, 0.0), (0.05, 0.0), (0.01, 0.0), (0.5, 0.1), (0.5, 0.2), (0.05, 0.5)):
        drawn = draws.binomial(5000, share, runs)
        kept = draws.binomial(drawn, 1.0 - lost)
        pairs, times = np.unique([5000 - drawn, kept], axis=1, return_counts=True)
        told = [
            experiment.split_p_value(int(control), int(treatment), share) < experiment.SRM
            for control, treatment in pairs.T
        ]
        rows.append(
            {
                "rule": f"chi-square, p < {experiment.SRM:g}",
                "data": f"5,000 units, {share:.0%} treated, {lost:.0%} of these lost",
                "runs": runs,
                "told_percent": _percent(np.repeat(told, times)),
            }
        )
    return rows


def _percent(flags: Any) -> float:
    return round(100.0 * float(np.mean(flags)), 2)


if __name__ == "__main__":
    for row in run(lambda what, share, _: print(f"{share:.0%} {what}", file=sys.stderr) or True):
        print(json.dumps(row))
