"""Is the drift check calm where nothing drifts, and awake where something does? Beside the specification's rule.

A tenant has 700 metrics, 100 of each of seven levels; each is one stationary series with a weekly season and a
lag-one memory of 0.95 from day to day. A year of it is checked against the year before. The check is told
neither the memory nor that there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from scipy.signal import lfilter

from core.contracts import Floats, OnStep
from core.drift.check import SHIFT, Cell, Findings, Reference, Watched
from core.drift.windows import MONDAY, PERSISTENCE, Schedule

Row = dict[str, Any]

LEVELS, METRICS = 7, 100
HISTORY, YEAR = 364, 365
MEMORY = 0.95
WINDOWS = (7, 14, 28)
ALPHA = 0.05
"""Of the specification's rule: Kolmogorov–Smirnov, each feature, each check."""
AIM_FALSE, AIM_FOUND = 1.0, 0.95
SERIES = 100
"""Series of a cell where a metric is that of many entities."""


def run(on_step: OnStep, *, years: int = 8, trials: int = 20) -> list[Row]:
    """For each window length: false drifts in calm years beside the rule, and which shifts of 0.5 sd are found."""
    rows: list[Row] = []
    for place, length in enumerate(WINDOWS):

        def told(what: str, share: float, place: int = place, length: int = length) -> None:
            on_step(f"windows of {length} days: {what}", (place + share) / len(WINDOWS), {})

        calm = []
        for year in range(years):
            told(f"calm year {year + 1}", 0.5 * year / years)
            calm.append(calm_year(length, seed=year))
        rows.append(_calm_row(length, calm))
        found = []
        for trial in range(trials):
            told(f"shift {trial + 1}", 0.5 + 0.4 * trial / trials)
            found.append(shifted(length, seed=1_000 + trial))
        rows += [_found_row(length, what, [one[what] for one in found]) for what in found[0]]
        told("many series", 0.95)
        rows += [many_series(length), one_metric(length)]
    return rows


# ── Calm years ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Calm:
    """What a calm year saw: checks, those that told of drift, episodes of them, and checks in which the rule fired."""

    checks: int
    drifting: int
    episodes: int
    rule: int
    rule_features: float
    slow: float


def calm_year(length: int, seed: int) -> Calm:
    """Every check of a year in which nothing drifts."""
    ends = range(PERSISTENCE * length, YEAR + 1, length)
    watched = _tenant(HISTORY + YEAR, seed)
    reference = None
    drifting, fired, features = [], [], []
    for end in ends:
        schedule = Schedule(0, HISTORY, HISTORY + end - PERSISTENCE * length, length)
        reference = reference or Reference.learn(watched, schedule, seed=seed)
        drifting.append(_any(reference.check(watched, schedule)))
        window = watched.values[:, schedule.end - length : schedule.end]
        flagged = rule(watched.values[:, :HISTORY], window)
        fired.append(bool(flagged.any()))
        features.append(float(flagged.mean()))
    starts = np.diff(np.concatenate([[0], np.array(drifting, dtype=int)])) == 1
    memory = float(reference.memory.slow.mean()) if reference else float("nan")
    return Calm(
        len(drifting),
        sum(drifting),
        int(starts.sum()),
        sum(fired),
        float(np.mean(features)),
        memory,
    )


def rule(reference: Floats, window: Floats) -> np.ndarray:
    """The specification's: (n_feature,) whether KS rejects at 5 %, each feature for itself, days as if independent."""
    p: Floats = stats.ks_2samp(reference, window, axis=1, method="asymp").pvalue
    return np.asarray(p < ALPHA)


def _calm_row(length: int, years: list[Calm]) -> Row:
    false = float(np.mean([year.episodes for year in years]))
    return {
        "name": "calm year",
        "window_days": length,
        "false_drifts_a_year": round(false, 2),
        "aim": f"≤ {AIM_FALSE:g}",
        "met": false <= AIM_FALSE,
        "years": len(years),
        "checks_a_year": years[0].checks,
        "checks_that_told_of_drift": round(float(np.mean([year.drifting for year in years])), 2),
        "memory_estimated": round(float(np.mean([year.slow for year in years])), 3),
        "peer": "KS per feature at .05, each check",
        "peer_checks_with_a_false_alarm": round(
            float(np.mean([year.rule / year.checks for year in years])), 3
        ),
        "peer_features_flagged": round(float(np.mean([year.rule_features for year in years])), 3),
    }


# ── Shifts ───────────────────────────────────────────────────────────────────────────────────────


def shifted(length: int, seed: int) -> dict[str, bool]:
    """Which shifts of half a standard deviation are told three windows after they began."""
    days = HISTORY + PERSISTENCE * length
    watched = _tenant(days, seed)
    schedule = Schedule(0, HISTORY, HISTORY, length)
    reference = Reference.learn(watched, schedule, seed=seed)
    either = np.random.default_rng(seed).choice([-1.0, 1.0], LEVELS * METRICS)
    level = np.repeat(np.arange(LEVELS) == 0, METRICS)
    moves = {
        "every metric up": np.ones(LEVELS * METRICS),
        "one level up": level * 1.0,
        "every metric up or down": either,
    }
    found = {}
    for what, sign in moves.items():
        values = watched.values.copy()
        values[:, HISTORY:] += SHIFT * sign[:, None]
        moved = Watched(values, watched.member, watched.cells, watched.times)
        found[what] = _any(reference.check(moved, schedule))
    return found


def many_series(length: int, cells: int = 35) -> Row:
    """A shift of one cell of a hundred series, told as one of 700 cells would be."""
    days = HISTORY + PERSISTENCE * length
    values = _series(cells * SERIES, days, np.random.default_rng(length))
    values[:, HISTORY:] += SHIFT
    named = tuple(Cell("level", f"metric {cell}") for cell in range(cells))
    watched = Watched(values, np.repeat(np.arange(cells), SERIES), named, _days(days))
    schedule = Schedule(0, HISTORY, HISTORY, length)
    findings = Reference.learn(watched, schedule).check(watched, schedule)
    alone = findings.p <= findings.rate / (LEVELS * METRICS)
    told = alone & findings.large & findings.lasting
    return _found_row(length, f"one metric of {SERIES} entities", [bool(one) for one in told])


def one_metric(length: int) -> Row:
    """One of 700 single series: what we find, and what the best test could that knew the law and the day.

    The bound is that of Neyman and Pearson: generalised least squares with the true covariance.
    """
    days = HISTORY + PERSISTENCE * length
    watched = _tenant(days, length)
    values = watched.values.copy()
    values[:, HISTORY:] += SHIFT
    schedule = Schedule(0, HISTORY, HISTORY, length)
    reference = Reference.learn(watched, schedule)
    findings = reference.check(
        Watched(values, watched.member, watched.cells, watched.times), schedule
    )
    level = findings.rate / (LEVELS * METRICS)
    told = (findings.p <= level) & findings.large & findings.lasting
    row = _found_row(length, "one metric of one series", [bool(one) for one in told])
    return row | {
        "best_possible": round(bound(length, level), 4),
        "best_possible_if_looked_at_alone_at_.05": round(bound(length, ALPHA), 3),
    }


def bound(length: int, level: float) -> float:
    """Power of the most powerful two-sided test at `level` for a step of 0.5 sd at a known day, law known."""
    days = np.arange(HISTORY + PERSISTENCE * length)
    inverse = np.linalg.inv(MEMORY ** np.abs(np.subtract.outer(days, days)))
    step, one = SHIFT * (days >= HISTORY), np.ones(len(days))
    told = step @ inverse @ step - (step @ inverse @ one) ** 2 / (one @ inverse @ one)
    reach = stats.norm.isf(level / 2.0)
    return float(stats.norm.sf(reach - np.sqrt(told)) + stats.norm.cdf(-reach - np.sqrt(told)))


def _found_row(length: int, what: str, found: list[bool]) -> Row:
    share = float(np.mean(found))
    return {
        "name": f"{SHIFT:g} sd: {what}",
        "window_days": length,
        "found_within_3_windows": round(share, 3),
        "aim": f"≥ {AIM_FOUND:.0%}",
        "met": share >= AIM_FOUND,
        "trials": len(found),
    }


# ── The tenant ───────────────────────────────────────────────────────────────────────────────────


def _tenant(days: int, seed: int) -> Watched:
    values = _series(LEVELS * METRICS, days, np.random.default_rng(seed))
    cells = tuple(
        Cell(f"level {level}", f"metric {metric}")
        for level in range(LEVELS)
        for metric in range(METRICS)
    )
    return Watched(values, np.arange(len(cells)), cells, _days(days))


def _series(many: int, days: int, generator: np.random.Generator) -> Floats:
    """(many, days) stationary autoregressions of variance 1 on a weekly season."""
    noise = generator.standard_normal((many, days + 200)) * np.sqrt(1 - MEMORY**2)
    week = 0.5 * np.sin(2 * np.pi * np.arange(days) / 7)
    return np.asarray(lfilter([1.0], [1.0, -MEMORY], noise, axis=1)[:, 200:] + week)


def _days(many: int) -> np.ndarray:
    return MONDAY + np.arange(many)


def _any(findings: Findings) -> bool:
    return bool(findings.drifts.any() or any(whole.drifts for whole in findings.whole))
