"""Scoring the catalogue on labelled suites: the cases side by side in processes, and what they say together.

A case is scored with its history: the detector learns from the training part, scores the whole series, and what comes
after the training part counts. Where the suite's published figures learn from everything, so does this.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core import catalog
from core.contracts import Floats, OnStep
from core.errors import HeadwaterError, InvalidInputError, UnknownNameError
from core.evaluate import detection
from core.evaluate.nab import nab_scores
from data.labelled import Case, Suite, published, suites

KINDS = ("detector", "ensemble")
DEFAULTS = ("headwater", "ensemble")
"""What is scored where nobody says what: the first of them that the catalogue has."""
ALL = "all"
HOW = "`headwater algorithms` says how to"
RANKING = ("vus_pr", "auc_pr", "auc_roc", "best_f1")


@dataclass(frozen=True)
class Task:
    """One algorithm on one case."""

    suite: Suite
    series: str
    algorithm: str
    params: Mapping[str, str]

    @property
    def size(self) -> int:
        folder = self.suite.root / ("data" if self.suite.layout == "stream" else "")
        return (folder / self.series).stat().st_size


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one task gave: a row of figures, or why there is none.

    stream : scores and labelled windows, which NAB only scores together
    hits   : root metrics per labelled segment, where the detector says them
    """

    row: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    stream: tuple[Floats, Sequence[tuple[int, int]]] | None = None
    hits: Sequence[Mapping[str, float]] = ()


# ── What is asked ────────────────────────────────────────────────────────────────────────────────


def evaluate_detection(
    path: Path,
    *,
    algorithms: Sequence[str] = (),
    params: Mapping[str, str] | None = None,
    jobs: int | None = None,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Score detectors on the suite in a folder, or on every suite in the folders within it.

    algorithms : catalogue names, or "all" for all that apply; the product's default where empty
    params     : set in each algorithm that has a parameter of the name

    Returns {"results": one per suite and algorithm, "skipped": [{suite, algorithm, reason}], "published":
    {suite: [...]}}. A case that fails is told in its result and stops nothing.
    """
    asked, found = named(algorithms, KINDS, DEFAULTS), suites(path)
    chosen = parameters(asked, params or {})
    skipped = [
        {"suite": suite.name, "algorithm": name, "reason": reason}
        for suite in found
        for name in asked
        if (reason := unfit(name, chosen[name], suite.layout))
    ]
    left_out = {(row["suite"], row["algorithm"]) for row in skipped}
    pairs = [(suite, name) for suite in found for name in asked]
    pairs = [(suite, name) for suite, name in pairs if (suite.name, name) not in left_out]
    if not pairs:
        rule = "one that applies to the suite"
        reasons = "; ".join(f"{row['algorithm']}: {row['reason']}" for row in skipped)
        raise InvalidInputError.of("evaluate", "the algorithm", rule, reasons)
    tasks = [
        Task(suite, series, name, chosen[name]) for suite, name in pairs for series in suite.series
    ]
    outcomes = run(judge, tasks, jobs, on_step)
    return {
        "results": [
            _result(
                suite.name,
                name,
                {
                    task.series: outcomes[at]
                    for at, task in enumerate(tasks)
                    if task.suite == suite and task.algorithm == name
                },
            )
            for suite, name in pairs
        ],
        "skipped": skipped,
        "published": {suite.name: peers for suite in found if (peers := published(suite))},
    }


def unfit(name: str, params: Mapping[str, str], layout: str) -> str:
    """Why an algorithm does not apply to suites of a layout, "" where it does."""
    algorithm = catalog.get(name)
    tags, stream, table = algorithm.tags, layout == "stream", layout == "table"
    looks_ahead = not tags.causal or params.get("align") == "centre"
    reasons = {
        f"it is not installed; {HOW}": not catalog.installed(algorithm),
        "it needs labels, and these suites are learned from without": tags.needs_labels,
        "it looks ahead, and these series are scored as they come": stream and looks_ahead,
        f"it needs {tags.min_times} periods, and a row of a table has one": table
        and tags.min_times > 1,
        "it learns one model per entity, and a row of a table is alone": table and not tags.pooled,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def named(algorithms: Sequence[str], kinds: Sequence[str], defaults: Sequence[str]) -> list[str]:
    """The algorithms of these kinds that were asked for, the first default of the catalogue where none was."""
    scoring = [name for name, algorithm in catalog.entries() if algorithm.kind in kinds]
    if not algorithms:
        return [next(name for name in defaults if name in scoring)]
    for name in algorithms:
        if name not in (*scoring, ALL):
            rule = f"{ALL} or one of {', '.join(scoring)}"
            raise UnknownNameError.of("evaluate", "the algorithm", rule, name)
    return scoring if ALL in algorithms else list(dict.fromkeys(algorithms))


def parameters(names: Sequence[str], params: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The parameters that each algorithm has; one that none has, or a wrong value, is refused."""
    known = {name: catalog.get(name).Params.__dataclass_fields__ for name in names}
    for param in params:
        if not any(param in fields for fields in known.values()):
            rule = (
                f"one of {', '.join(dict.fromkeys(p for fields in known.values() for p in fields))}"
            )
            raise UnknownNameError.of("evaluate", "the parameter", rule, param)
    chosen = {
        name: {param: value for param, value in params.items() if param in known[name]}
        for name in names
    }
    for name in names:
        catalog.get(name).Params.of(chosen[name])
    return chosen


# ── One case ─────────────────────────────────────────────────────────────────────────────────────


def judge(task: Task) -> Outcome:
    """Read, fit, score and measure one case; whatever goes wrong is its outcome."""
    try:
        return _judged(task, task.suite.case(task.series))
    except HeadwaterError as error:
        return Outcome(error=error.message)
    except Exception as error:  # noqa: BLE001 the outermost door of this process
        return Outcome(error=f"{type(error).__name__}: {error}")


def _judged(task: Task, case: Case) -> Outcome:
    detector = _detector(task, case)
    known = case.panel if case.whole else case.panel.select(times=slice(case.train))
    began = time.perf_counter()
    scores = detector.fit(known).score(case.panel).ravel()
    seconds = time.perf_counter() - began

    scored = slice(0 if case.whole else case.train, None)
    source, p = _p_values(detector, case, scores)
    later = slice(case.train, None)
    alarms = {} if p is None else detection.false_alarms(p[later], case.labels[later])
    row = {
        "series": case.name,
        "rows": len(scores[scored]),
        "anomalies": int(case.labels[scored].sum()),
        **detection.figures(scores[scored], case.labels[scored], case.window),
        "fpr": alarms,
        "p_values": source,
        "seconds": seconds,
    }
    stream = None if case.windows is None else (scores, case.windows)
    hits = (
        detection.root_hits(detector.attribute(case.panel)[0], case.causes)
        if case.causes and hasattr(detector, "attribute")
        else []
    )
    return Outcome(row, stream=stream, hits=hits)


def _detector(task: Task, case: Case) -> Any:
    """As asked for; in a finished record a window lies around its period, in a stream (NAB) behind it."""
    fields = catalog.get(task.algorithm).Params.__dataclass_fields__
    ahead = {"align": "centre"} if case.windows is None and "align" in fields else {}
    return catalog.make(task.algorithm, **{**ahead, **task.params})


def _p_values(detector: Any, case: Case, scores: Floats) -> tuple[str | None, Floats | None]:
    """The detector's own, else those of a threshold on its scores of the training part, where there is one."""
    if hasattr(detector, "p_values"):
        return "detector", np.asarray(detector.p_values(case.panel)).ravel()
    if case.train:
        return "static threshold", detection.static_p(scores, case.train)
    return None, None


# ── All cases ────────────────────────────────────────────────────────────────────────────────────


def run(
    judge: Callable[[Any], Outcome], tasks: Sequence[Any], jobs: int | None, on_step: OnStep | None
) -> list[Outcome]:
    """The outcome of every task, the large ones first; a task whose process dies is tried once more by itself."""
    outcomes: dict[int, Outcome] = {}

    def keep(at: int, outcome: Outcome) -> None:
        outcomes[at] = outcome
        if on_step is not None:
            task = tasks[at]
            on_step(f"{task.algorithm} on {task.series}", len(outcomes) / len(tasks), {})

    waiting = sorted(range(len(tasks)), key=lambda at: -tasks[at].size)
    alone: list[int] = []
    with _processes(min(jobs or os.cpu_count() or 1, len(tasks))) as pool:
        futures = {pool.submit(judge, tasks[at]): at for at in waiting}
        for future in as_completed(futures):
            if isinstance(future.exception(), BrokenProcessPool):
                alone.append(futures[future])
            else:
                keep(futures[future], future.result())
    for at in alone:
        with _processes(1) as pool:
            died = (single := pool.submit(judge, tasks[at])).exception()
        keep(at, Outcome(error=f"its process died: {died}") if died else single.result())
    return [outcomes[at] for at in range(len(tasks))]


@contextmanager
def _processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes end at once when the block is left by an error or Ctrl-C."""
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _quietly)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    pool.shutdown()


def _quietly() -> None:
    """One thread per process, for the processes share the cores; Ctrl-C is the parent's to handle."""
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for pool in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[pool] = "1"
    threadpool_limits(1)


def _result(suite: str, algorithm: str, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    rows = [outcome.row for outcome in outcomes.values() if not outcome.error]
    streams = [outcome.stream for outcome in outcomes.values() if outcome.stream is not None]
    hits = [hit for outcome in outcomes.values() for hit in outcome.hits]
    nab = nab_scores(streams) if streams else dict.fromkeys(("standard", "low_fp", "low_fn"))
    promised = dict.fromkeys(f"{rate:g}" for rate in detection.NOMINAL)
    return {
        "suite": suite,
        "algorithm": algorithm,
        "series": len(rows),
        **dict.fromkeys(RANKING),
        **detection.mean([{name: row[name] for name in RANKING} for row in rows]),
        "nab": nab,
        "fpr": {**promised, **detection.mean([row["fpr"] for row in rows])},
        "p_values": rows[0]["p_values"] if rows else None,
        "seconds": sum(row["seconds"] for row in rows),
        "root_cause": {**detection.mean(hits), "segments": len(hits)} if hits else None,
        "per_series": rows,
        "failed": [
            {"series": series, "error": outcome.error}
            for series, outcome in outcomes.items()
            if outcome.error
        ],
    }
