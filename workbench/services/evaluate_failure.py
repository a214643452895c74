"""Scoring what foretells failures on labelled series: learned on their early part, judged on their late one.

The unlabelled `train` of each series says what is normal. Its labelled part is cut in time: classifiers learn from the
first 40 %, the alarm threshold of every method is set on the next 20 %, and the last 40 % is judged. No period of one
part looks ahead into the next. One model serves all series of a suite.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core import catalog
from core.contracts import DAY, Bools, Floats, OnStep, Panel
from core.errors import HeadwaterError, InvalidInputError, NotEnoughDataError, UnknownNameError
from core.evaluate.failures import Part, Told, difference, judged
from core.features.precursors import MOST, precursors
from core.features.scaling import Scale
from core.foresight import BUDGET, GAP, LEFT_OUT, Codes, chances, coming, learned, onsets, threshold
from data.labelled import Case, Suite, suites
from workbench.services.evaluate import Outcome, Task, parameters, run

HORIZONS = (30, 60, 120)
DEFAULTS = ("extra-trees", "logistic", "failure-40-40-20")
AGAINST = "logistic"
"""What every other method is compared with."""
ALL = "all"
LEARN, JUDGE = 0.4, 0.6
"""Where the labelled part is cut."""
ALIKE = 0.8
STEPS = (1440, 288, 144, 96, 48, 24)
"""Periods of a day at usual steps: the one at which metrics are much more like a day than like half a day before."""


@dataclass(frozen=True, eq=False)
class Series:
    """One labelled series: deviations from what its `train` says is normal (1, n, n_metric)."""

    case: Case
    day: int

    @cached_property
    def deviations(self) -> Panel:
        values = self.case.panel.values
        return self.case.panel.with_values(
            Scale.learn(values[:, : self.case.train]).apply(values, MOST)
        )

    @property
    def failing(self) -> Bools:
        return self.case.labels[None]

    def split(self, horizon: int) -> tuple[slice, slice, slice]:
        """What is learned from, what sets the threshold, and what is judged."""
        start, end = self.case.train, len(self.case.labels)
        cuts = [start + round(share * (end - start)) for share in (LEARN, JUDGE)]
        return (
            slice(start, cuts[0] - horizon),
            slice(cuts[0], cuts[1] - horizon),
            slice(cuts[1], end),
        )

    def part(self, horizon: int, gap: int) -> Part:
        """What is judged."""
        late = self.split(horizon)[2]
        codes = coming(self.failing, horizon, gap)[0, late]
        return Part(self.case.name, codes, onsets(self.failing, gap)[0, late])


# ── What is asked ────────────────────────────────────────────────────────────────────────────────


def evaluate_failure(
    path: Path,
    *,
    algorithms: Sequence[str] = (),
    params: Mapping[str, str] | None = None,
    horizons: Sequence[int] = HORIZONS,
    budget: float = BUDGET,
    gap: int = GAP,
    jobs: int | None = None,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Score what foretells events within the next periods, on the suite in a folder or those in the folders within it.

    algorithms : classifiers of the catalogue, which learn from signs (`core.features.precursors`), and detectors,
                 whose score is taken as it is; extra-trees, logistic and failure-40-40-20 where empty
    params     : set in each algorithm that has a parameter of the name
    horizons   : periods ahead       gap : periods after an event that are left out
    budget     : false alarms per 1,000 quiet periods that the threshold may raise, on validation data

    Returns {"results": one per suite, horizon and algorithm, "skipped": [{suite, algorithm, reason}]}.
    """
    if not horizons or min(horizons) < 1:
        rule = "at least one, of 1 period or more"
        raise InvalidInputError.of("evaluate", "the horizons", rule, list(horizons))
    if budget <= 0:
        raise InvalidInputError.of("evaluate", "the alarm budget", "above 0", budget)
    if gap < 0:
        raise InvalidInputError.of("evaluate", "the gap", "at least 0 periods", gap)
    asked, found = _named(algorithms), suites(path)
    chosen = parameters(asked, params or {})
    skipped, results = [], []
    for suite in found:
        if suite.layout != "split":
            reason = "it has no train, test and test_y, so nothing is known to be normal"
            skipped += [
                {"suite": suite.name, "algorithm": name, "reason": reason} for name in asked
            ]
            continue
        results += _suite(suite, chosen, tuple(horizons), budget, gap, jobs, on_step)
    if not results:
        rule = "npz files of train, test and test_y"
        held = ", ".join(f"{suite.name}: {suite.layout}" for suite in found)
        raise InvalidInputError.of("evaluate", str(path), rule, held)
    return {"results": results, "skipped": skipped}


def _named(algorithms: Sequence[str]) -> list[str]:
    """The algorithms asked for that can foretell: everything that scores a period or a row."""
    known = {
        name: kind
        for name, kind in catalog.entries()
        if kind.kind in ("detector", "ensemble", "classifier")
    }
    if not algorithms:
        return list(DEFAULTS)
    for name in algorithms:
        if name not in (*known, ALL):
            rule = f"{ALL} or one of {', '.join(known)}"
            raise UnknownNameError.of("evaluate", "the algorithm", rule, name)
    return list(known) if ALL in algorithms else list(dict.fromkeys(algorithms))


def _suite(
    suite: Suite,
    chosen: Mapping[str, Mapping[str, str]],
    horizons: Sequence[int],
    budget: float,
    gap: int,
    jobs: int | None,
    on_step: OnStep | None,
) -> list[dict[str, Any]]:
    """All methods at all horizons on one suite."""
    cases = [suite.case(name) for name in suite.series]
    day = _day(cases)
    series = [Series(case, day) for case in cases]
    classifiers = {name for name in chosen if catalog.get(name).kind == "classifier"}
    oddness = _oddness(
        suite, {n: p for n, p in chosen.items() if n not in classifiers}, jobs, on_step
    )
    results = []
    for horizon in horizons:
        parts = [one.part(horizon, gap) for one in series]
        rows = _signs(series, horizon, gap) if classifiers else []
        told: dict[str, Told] = {}
        told_seconds: dict[str, float] = {}
        failed: dict[str, str] = {}
        for name, params in chosen.items():
            began = time.perf_counter()
            try:
                if name in classifiers:
                    scores = _foretold(name, params, series, rows, horizon, gap)
                else:
                    scores, spent = oddness[name]
                    began -= spent
                told[name] = _judged(series, parts, scores, horizon, gap, budget)
            except HeadwaterError as error:
                failed[name] = error.message
            told_seconds[name] = time.perf_counter() - began
            if on_step is not None:
                on_step(f"{name} on {suite.name}, {horizon} ahead", 1.0, {})
        for name in chosen:
            beside = told.get(AGAINST) if name != AGAINST else None
            figures = told[name].figures if name in told else {}
            results.append(
                {
                    "suite": suite.name,
                    "algorithm": name,
                    "horizon": horizon,
                    "budget_per_1000": budget,
                    "gap": gap,
                    "day": day,
                    "series": len(series),
                    **figures,
                    "over_logistic": difference(told[name], beside)
                    if beside is not None and name in told
                    else None,
                    "seconds": told_seconds[name],
                    "error": failed.get(name, ""),
                }
            )
    return results


def _day(cases: Sequence[Case]) -> int:
    """Periods of a day: by the steps where a file tells them, else where the metrics are most like the day before."""
    told = {float(DAY / case.panel.periods.step) for case in cases}
    if told != {1440.0}:
        return round(max(told))

    def alike(known: Floats, lag: int) -> Floats:
        power = np.square(known).mean(axis=0)
        product = (known[lag:] * known[:-lag]).mean(axis=0)
        return np.divide(product, power, out=np.zeros_like(power), where=power > 0)

    def daily(lag: int) -> float:
        found = []
        for case in cases:
            known = case.panel.values[0, : case.train]
            if len(known) < 2 * lag:
                return -1.0
            known = np.nan_to_num(known - np.nanmean(known, axis=0))
            found.append((alike(known, lag) - alike(known, lag // 2)).mean())
        return float(np.mean(found))

    told = {lag: daily(lag) for lag in STEPS}
    # several days later things are as alike as after one
    return min(lag for lag in STEPS if told[lag] >= ALIKE * max(told.values()))


# ── Scores ───────────────────────────────────────────────────────────────────────────────────────


def _signs(series: Sequence[Series], horizon: int, gap: int) -> list[Floats]:
    """(n_time, n_sign) of each series."""
    return [
        precursors(one.deviations, onsets(one.failing, gap), day=one.day, horizon=horizon).values[0]
        for one in series
    ]


def _foretold(
    name: str,
    params: Mapping[str, str],
    series: Sequence[Series],
    rows: Sequence[Floats],
    horizon: int,
    gap: int,
) -> list[Floats]:
    """A classifier's chances at every period of every series, learned from the early part of all of them."""
    taught, answers = [], []
    for one, signs in zip(series, rows, strict=True):
        early = one.split(horizon)[0]
        codes = coming(one.failing, horizon, gap)[0, early]
        taught.append(signs[early][codes != LEFT_OUT])
        answers.append(codes[codes != LEFT_OUT])
    model = learned(name, np.concatenate(taught), np.concatenate(answers), **params)
    return [chances(model, signs) for signs in rows]


def _judged(
    series: Sequence[Series],
    parts: Sequence[Part],
    scores: Sequence[Floats],
    horizon: int,
    gap: int,
    budget: float,
) -> Told:
    """The threshold set on the middle part, and the figures of the late one."""
    middle: list[Floats] = []
    known: list[Codes] = []
    for one, told in zip(series, scores, strict=True):
        span = one.split(horizon)[1]
        middle.append(told[span])
        known.append(coming(one.failing, horizon, gap)[0, span])
    cut = threshold(middle, known, horizon, budget)
    late = [told[one.split(horizon)[2]] for one, told in zip(series, scores, strict=True)]
    return judged(parts, late, cut, horizon)


def _oddness(
    suite: Suite,
    detectors: Mapping[str, Mapping[str, str]],
    jobs: int | None,
    on_step: OnStep | None,
) -> dict[str, tuple[list[Floats], float]]:
    """Each detector's scores of every series, fitted on its `train`, and the seconds it took."""
    tasks = [
        Task(suite, name, algorithm, params)
        for algorithm, params in detectors.items()
        for name in suite.series
    ]
    if not tasks:
        return {}
    outcomes = run(scored, tasks, jobs, on_step)
    found: dict[str, tuple[list[Floats], float]] = {}
    for task, outcome in zip(tasks, outcomes, strict=True):
        if outcome.error or outcome.stream is None:
            raise NotEnoughDataError.of(
                task.algorithm, task.series, "one that it can score", outcome.error
            )
        scores, seconds = found.get(task.algorithm, ([], 0.0))
        found[task.algorithm] = [*scores, outcome.stream[0]], seconds + outcome.row["seconds"]
    return found


def scored(task: Task) -> Outcome:
    """How odd each period of one series is, whatever the horizon; whatever goes wrong is its outcome."""
    try:
        case = task.suite.case(task.series)
        began = time.perf_counter()
        detector: Any = catalog.make(task.algorithm, **task.params)
        scores = detector.fit(case.panel.select(times=slice(case.train))).score(case.panel).ravel()
        return Outcome({"seconds": time.perf_counter() - began}, stream=(scores, ()))
    except HeadwaterError as error:
        return Outcome(error=error.message)
