"""Scoring the forecasters of the catalogue on series with what came next, in parallel."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core import catalog
from core.contracts import OnStep
from core.errors import HeadwaterError, MissingExtraError, PredictionError
from core.evaluate import forecasts
from core.forecasters.series import SeriesForecaster
from data.m4 import Collection, collection, collections
from workbench.services.evaluate import HOW, Outcome, named, parameters, run

DEFAULT = "median-ensemble"
FIGURES = ("smape", "mase", "owa", "coverage", "naive2", "ms_per_series", "seconds")
PART = 30
"""Series of a task where each has a model of its own."""


@dataclass(frozen=True)
class Task:
    """One forecaster on some series of one file; those that learn from all series get them all."""

    file: Path
    group: str
    rows: slice
    algorithm: str
    params: Mapping[str, str]

    @property
    def series(self) -> str:
        return f"{self.group} {self.rows.start + 1}–{self.rows.stop}"

    @property
    def size(self) -> int:
        return len(range(self.rows.start, self.rows.stop))


def evaluate_forecast(
    path: Path,
    *,
    algorithms: Sequence[str] = (),
    params: Mapping[str, str] | None = None,
    jobs: int | None = None,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Score forecasters on the collections in a folder, or on that of one file.

    algorithms : catalogue names, or "all"; the median ensemble where empty
    params     : set in each algorithm that has a parameter of the name

    Returns {"results": one per algorithm, over all series and by group, "skipped": [{algorithm, reason}]}. What fails
    is told in its result and stops nothing.
    """
    asked = named(algorithms, ("forecaster",), (DEFAULT,))
    chosen, found = parameters(asked, params or {}), collections(path)
    present = [name for name in asked if catalog.installed(catalog.get(name))]
    if not present:
        raise MissingExtraError.of("evaluate", "the algorithm", "installed", ", ".join(asked), HOW)
    tasks = [
        Task(held.file, held.name, rows, name, chosen[name])
        for name in present
        for held in found
        for rows in _parts(name, len(held.actual))
    ]
    outcomes = run(judge, tasks, jobs, on_step)
    done = list(zip(tasks, outcomes, strict=True))
    return {
        "results": [
            _result(path, name, [pair for pair in done if pair[0].algorithm == name])
            for name in present
        ],
        "skipped": [
            {"algorithm": name, "reason": f"it is not installed; {HOW}"}
            for name in asked
            if name not in present
        ],
    }


def _parts(name: str, n_series: int) -> list[slice]:
    """The series at once: a few where each has its model, all where they share one."""
    size = PART if issubclass(catalog.get(name), SeriesForecaster) else n_series
    starts = range(0, n_series, size)
    return [slice(start, min(start + size, n_series)) for start in starts]


def judge(task: Task) -> Outcome:
    """Read, fit, forecast and measure; whatever goes wrong is the outcome."""
    try:
        return Outcome({"series": _judged(task, collection(task.file))})
    except HeadwaterError as error:
        return Outcome(error=error.message)
    except Exception as error:  # noqa: BLE001 the outermost door of this process
        return Outcome(error=f"{type(error).__name__}: {error}")


def _judged(task: Task, held: Collection) -> list[dict[str, Any]]:
    panel = held.panel.select(entities=held.panel.entities[task.rows])
    horizon = held.actual.shape[1]
    said, cost = {}, {}
    for coverage in forecasts.COVERAGES:
        began, worked = time.perf_counter(), time.process_time()
        forecaster = _forecaster(task, coverage, held.period).fit(panel)
        said[coverage] = forecaster.forecast(panel, horizon)[:, :, 0]
        cost[coverage] = (time.perf_counter() - began, time.process_time() - worked)
    if not np.isfinite(np.array(list(said.values()))).all():
        raise PredictionError.of(task.algorithm, "the forecast", "finite", "NaN or ∞")
    seconds, processor = (amount / task.size for amount in cost[forecasts.COVERAGES[0]])
    return [
        {
            "series": panel.entities[row],
            "group": held.name,
            **forecasts.judge(
                held.actual[at],
                held.history(at),
                held.period,
                {coverage: ahead[row] for coverage, ahead in said.items()},
            ),
            "seconds": seconds,
            "ms": 1e3 * processor,
        }
        for row, at in enumerate(range(task.rows.start, task.rows.stop))
    ]


def _forecaster(task: Task, coverage: float, period: int) -> Any:
    """As asked for; where the season has to be named it is the competition's."""
    fields = catalog.get(task.algorithm).Params.__dataclass_fields__
    season = {"season": period} if "season" in fields else {}
    return catalog.make(task.algorithm, **{**season, "coverage": coverage, **task.params})


def _result(path: Path, name: str, done: Sequence[tuple[Task, Outcome]]) -> dict[str, Any]:
    rows = [row for _, outcome in done for row in outcome.row.get("series", ())]
    groups = dict.fromkeys(task.group for task, _ in done)
    return {
        "suite": path.resolve().stem,
        "algorithm": name,
        **_figures(rows),
        "groups": {
            group: _figures([row for row in rows if row["group"] == group]) for group in groups
        },
        "per_series": rows,
        "failed": [
            {"series": task.series, "error": outcome.error}
            for task, outcome in done
            if outcome.error
        ],
    }


def _figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if not rows:
        return {"series": 0, **dict.fromkeys(FIGURES)}
    return {
        **forecasts.together(rows),
        "ms_per_series": float(np.mean([row["ms"] for row in rows])),
        "seconds": float(np.sum([row["seconds"] for row in rows])),
    }
