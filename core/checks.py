"""What every algorithm of the catalogue must keep, as functions that run by themselves.

`yield_checks(algorithm)` gives the checks that its kind and tags call for; each takes the class and
raises AssertionError with the rule it breaks. `tests/test_contract.py` runs them over the catalogue,
`tests/test_checks.py` shows each of them an algorithm broken in just that way. A check that an algorithm
cannot pass is named in `tags.skip` with the reason.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import re
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import networkx as nx
import numpy as np

from core.artifact import pack, unpack
from core.contracts import Algorithm, Blob, Cause, Params
from core.errors import (
    CancelledError,
    HeadwaterError,
    InvalidInputError,
    NotEnoughDataError,
    NotFittedError,
    PersistenceError,
    UnknownNameError,
)
from core.samples import SPIKE, planted_case, sample, spiked

Subject = type[Algorithm]
Check = Callable[[Any], None]

MEMORY = 256 * 2**20
"""Bytes that scoring 10,000 entity-days may take."""

ERROR = re.compile(r"[^:]+: .+ must be .+\. Got .+\.", re.DOTALL)


# ── What the checks work on ──────────────────────────────────────────────────────────────────────


def make(subject: Subject, **params: Any) -> Any:
    """An unfitted instance with cheap parameters."""
    return subject(subject.Params.of({**subject.cheap, **params}))


@functools.cache
def fitted(subject: Subject) -> Any:
    """One instance learned on the sample, shared by the checks, which never change it."""
    algorithm = make(subject)
    return algorithm.fit(sample()) if subject.tags.trained else algorithm


ANSWER: dict[str, Callable[[Any, Any], Any]] = {
    "detector": lambda algorithm, panel: algorithm.score(panel),
    "ensemble": lambda algorithm, panel: algorithm.score(panel),
    "forecaster": lambda algorithm, panel: algorithm.predict(panel),
    "localizer": lambda algorithm, case: algorithm.find(case),
}
"""What an algorithm of each kind is asked for."""


def answer(algorithm: Any, subject: Any) -> Any:
    return ANSWER[algorithm.kind](algorithm, subject)


def question(subject: Subject, number: int = 0) -> Any:
    """What an algorithm of this kind answers to; every number another one."""
    if subject.kind == "localizer":
        return planted_case(alarm=f"keyword:1.{number % 2}.{number // 2 % 2}")
    return spiked(seed=number)


def same(subject: Subject, left: Any, right: Any) -> bool:
    """Equal answers: bit for bit from rules and streams, else within the rounding of a batched product."""
    if isinstance(left, list) or subject.tags.streaming:
        return bool(left == right) if isinstance(left, list) else np.array_equal(left, right)
    return bool(np.allclose(left, right, rtol=1e-4, atol=1e-5, equal_nan=True))


def require(holds: Any, subject: Subject, what: str) -> None:
    if not holds:
        raise AssertionError(f"{subject.name}: {what}")


def refusal(subject: Subject, error: type[HeadwaterError], act: Callable[[], Any]) -> str:
    """The message of the error that `act` must raise, in the one sentence shape."""
    try:
        act()
    except error as refused:
        require(
            ERROR.match(str(refused)), subject, f"an error must name who, rule, value: {refused}"
        )
        return str(refused)
    raise AssertionError(f"{subject.name}: {error.__name__} must be raised")


# ── Every algorithm ──────────────────────────────────────────────────────────────────────────────


def check_documented(subject: Subject) -> None:
    """The docstring opens with one sentence, says good and bad for, and the source is named."""
    text = inspect.cleandoc(subject.__doc__ or "")
    require(re.match(r"[A-Z].+\.\n\n", text), subject, "docstring must open with one sentence")
    require("ood" in text and "ad for" in text, subject, "docstring must say good and bad for")
    require(len(subject.source) > 10, subject, "source must name paper and section")
    require(
        re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", subject.name), subject, "name must be kebab-case"
    )


def check_params_described(subject: Subject) -> None:
    """Every parameter has a help text, and bounds or choices where it is a number."""
    for spec in dataclasses.fields(subject.Params):
        rules = spec.metadata
        require(rules.get("help"), subject, f"{spec.name} must have a help text")
        number = isinstance(spec.default, int | float) and not isinstance(spec.default, bool)
        bounded = rules["choices"] or (rules["low"] is not None and rules["high"] is not None)
        require(bounded or not number, subject, f"{spec.name} must be bounded")


def check_params_refuse(subject: Subject) -> None:
    """A parameter out of its bounds or choices is refused when the parameters are made."""
    for spec in dataclasses.fields(subject.Params):
        rules = spec.metadata
        if rules["choices"] or rules["low"] is not None:
            wrong = "no such choice" if rules["choices"] else rules["low"] - 1
            refusal(
                subject, InvalidInputError, functools.partial(subject.Params.of, {spec.name: wrong})
            )


def check_made_by_default(subject: Subject) -> None:
    """It can be made without arguments, knows its seed, and has learned nothing yet."""
    algorithm = subject()
    require(isinstance(algorithm.params, Params), subject, "default params must be Params")
    require(algorithm.fitted is not subject.tags.trained, subject, "making must not learn")


def check_pure(subject: Subject) -> None:
    """Asking twice gives the same, and neither what was asked nor the state has changed."""
    algorithm, asked, untouched = fitted(subject), question(subject), question(subject)
    before = pack(algorithm.state)
    first = answer(algorithm, asked)
    require(same(subject, first, answer(algorithm, asked)), subject, "asking must not learn")
    require(pack(algorithm.state) == before, subject, "asking must leave the state unchanged")
    values, kept = (getattr(q, "panel", q).values for q in (asked, untouched))
    require(np.array_equal(values, kept), subject, "asking must leave the question unchanged")


def check_threads(subject: Subject) -> None:
    """Four threads that ask one instance different things each get what one alone gets."""
    algorithm = fitted(subject)
    asked = [question(subject, number) for number in range(4)]
    alone = [answer(algorithm, one) for one in asked]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: answer(algorithm, one), asked))
    require(
        all(map(functools.partial(same, subject), alone, together)), subject, "threads must agree"
    )


def check_same_seed(subject: Subject) -> None:
    """The same seed on the same data gives the same answer."""
    first = fitted(subject)
    second = make(subject).fit(sample()) if subject.tags.trained else make(subject)
    asked = question(subject)
    require(same(subject, answer(first, asked), answer(second, asked)), subject, "seed must decide")


# ── Whatever learns ──────────────────────────────────────────────────────────────────────────────


def check_fit_returns_self(subject: Subject) -> None:
    """`fit` returns the instance itself and leaves the panel as it was."""
    panel, algorithm = sample(), make(subject)
    require(algorithm.fit(panel) is algorithm, subject, "fit must return self")
    require(np.array_equal(panel.values, sample().values), subject, "fit must not change the panel")


def check_unfitted_refuses(subject: Subject) -> None:
    """An unfitted instance refuses to answer."""
    refusal(subject, NotFittedError, lambda: answer(make(subject), sample()))


def check_too_short_refuses(subject: Subject) -> None:
    """A panel shorter than `min_times` is refused with both numbers."""
    n_time = subject.tags.min_times - 1
    text = refusal(
        subject, NotEnoughDataError, lambda: make(subject).fit(sample(n_time=max(n_time, 0)))
    )
    require(
        f"{n_time + 1}" in text and f"Got {n_time}" in text, subject, "both numbers must be told"
    )


def check_shortest_fits(subject: Subject) -> None:
    """A panel of exactly `min_times` periods is enough."""
    panel = sample(n_time=subject.tags.min_times)
    require(make(subject).fit(panel).fitted, subject, "min_times periods must be enough")


def check_other_metrics_refused(subject: Subject) -> None:
    """Metrics other than those of training, or in another order, are refused by name."""
    panel = sample()
    for metrics in (("a", "b", "c", "d", "e"), panel.metrics[::-1]):
        other = panel.with_values(panel.values, metrics)
        text = refusal(
            subject, InvalidInputError, functools.partial(answer, fitted(subject), other)
        )
        require(metrics[0] in text, subject, "the refusal must name the metrics")


def check_learns(subject: Subject) -> None:
    """Other data leave another state."""
    other = sample(seed=1)
    state = make(subject).fit(other.with_values(3 * other.values)).state
    require(
        pack(state) != pack(fitted(subject).state), subject, "what is learned must depend on data"
    )


def check_other_seed(subject: Subject) -> None:
    """Another seed gives another answer where the tags say stochastic."""
    asked = question(subject)
    other = answer(make(subject, seed=1).fit(sample()), asked)
    require(not same(subject, answer(fitted(subject), asked), other), subject, "seed must matter")


def check_cancel(subject: Subject) -> None:
    """A run that is asked to stop raises CancelledError, keeps nothing, and can be run again."""
    algorithm, asked = make(subject), list[str]()

    def stop(stage: str, *_: Any) -> bool:
        asked.append(stage)
        return False

    try:
        algorithm.fit(sample(), on_step=stop)
    except CancelledError:
        require(not algorithm.fitted, subject, "a cancelled run must keep nothing")
    else:
        require(not asked, subject, "a run must stop when it is told to")
    again = answer(algorithm.fit(sample()), spiked())
    require(
        same(subject, again, answer(fitted(subject), spiked())), subject, "cancel must not linger"
    )


def check_packs(subject: Subject) -> None:
    """The state becomes files of data-only formats and comes back equal; no pickle hides in it."""
    state = fitted(subject).state
    files = pack(state)
    for role, value in state.items():
        data = value.data if isinstance(value, Blob) else np.asarray(value).tobytes()
        require(
            not re.match(rb"\x80[\x02-\x05].*\.\Z", data, re.DOTALL), subject, f"{role} is a pickle"
        )
    require(pack(unpack(files)) == files, subject, "unpacking must give back what was packed")
    require(set(unpack(files)) == set(state), subject, "every role must come back")


def check_damage_refused(subject: Subject) -> None:
    """A file cut short, or of a format that is not listed, is refused."""
    files = pack(fitted(subject).state)
    for file, data in files.items():
        refusal(subject, PersistenceError, functools.partial(_reopen, subject, {file: data[:-1]}))
    refusal(subject, PersistenceError, lambda: unpack({**files, "model.pkl": b"\x80\x04."}))


def check_fresh_process(subject: Subject) -> None:
    """Saved and opened in another process without an accelerator, it answers the same."""
    algorithm = fitted(subject)
    target = f"{subject.__module__}:{subject.__qualname__}"
    params, files = dataclasses.asdict(algorithm.params), pack(algorithm.state)
    fresh = _other_process().submit(_answer_fresh, target, params, files).result(timeout=120)
    require(
        same(subject, fresh, answer(algorithm, spiked())), subject, "saving must change nothing"
    )


def _reopen(subject: Subject, files: dict[str, bytes]) -> Any:
    return subject(make(subject).params, state=unpack(files)).scorer


@functools.cache
def _other_process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_hide_accelerator)


def _hide_accelerator() -> None:
    import os

    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def _answer_fresh(target: str, params: dict[str, Any], files: dict[str, bytes]) -> Any:
    module, _, name = target.partition(":")
    subject = getattr(importlib.import_module(module), name)
    return answer(subject(subject.Params(**params), state=unpack(files)), spiked())


# ── Whatever answers panel by panel: detectors, ensembles, forecasters ───────────────────────────


def check_no_peek(subject: Subject) -> None:
    """Cutting off the future changes nothing before the cut, however wild that future was."""
    panel = spiked()
    values = panel.values.copy()
    values[:, 30:] *= 5.0
    whole = answer(fitted(subject), panel.with_values(values))[:, :30]
    cut = answer(fitted(subject), panel.select(times=slice(0, 30)))
    require(same(subject, whole, cut), subject, "the future must not be looked at")


def check_entities_apart(subject: Subject) -> None:
    """Some entities alone get the answers that they get among all."""
    panel = spiked()
    some = answer(fitted(subject), panel.select(entities=panel.entities[3:9]))
    among = answer(fitted(subject), panel)[3:9]
    require(same(subject, some, among), subject, "entities must not look at each other")


def check_entity_order(subject: Subject) -> None:
    """The order of the entities does not matter."""
    panel = spiked()
    turned = answer(fitted(subject), panel.select(entities=panel.entities[::-1]))[::-1]
    require(same(subject, turned, answer(fitted(subject), panel)), subject, "order must not matter")


def check_unseen_entity(subject: Subject) -> None:
    """An entity that was not there in training is answered by the pooled state or refused by name."""
    panel = dataclasses.replace(sample(n_entity=1), entities=("keyword:new",))
    try:
        unseen = answer(fitted(subject), panel)
    except UnknownNameError as error:
        require("keyword:new" in str(error), subject, "the refusal must name the entity")
    else:
        known = answer(fitted(subject), sample(n_entity=1))
        require(subject.tags.pooled, subject, "one model per entity must refuse an unseen one")
        require(
            np.isfinite(unseen[:, -1]).all() and unseen.shape == known.shape, subject, "no answer"
        )


def check_constant(subject: Subject) -> None:
    """Metrics that never move get finite answers, in training and in scoring."""
    flat = sample().with_values(np.full_like(sample().values, 3.0))
    for algorithm in (fitted(subject), make(subject).fit(flat)):
        require(np.isfinite(answer(algorithm, flat)[:, -1]).all(), subject, "flat must be finite")


def check_gaps(subject: Subject) -> None:
    """Missing cells, days, metrics and whole entities are lived with; the spike stays visible."""
    values = spiked().values.copy()
    values[np.random.default_rng(3).random(values.shape) < 0.1] = np.nan
    values[2], values[4, :20], values[6, :, 1] = np.nan, np.nan, np.nan
    values[SPIKE] = spiked().values[SPIKE]
    panel = sample().with_values(values)
    for algorithm in (fitted(subject), make(subject).fit(panel)):
        got = answer(algorithm, panel)
        require(got.shape[:2] == values.shape[:2], subject, "gaps must not change the shape")
        if subject.kind in ("detector", "ensemble"):
            require(got[:, SPIKE[1]].argmax() == SPIKE[0], subject, "gaps must not hide the spike")


def check_one_series(subject: Subject) -> None:
    """A panel of one entity is enough to learn from and to answer."""
    panel = sample(n_entity=1, n_time=84)
    got = answer(make(subject).fit(panel), panel)
    require(got.shape[:2] == (1, len(panel.periods)), subject, "one series must be answered")


def check_ten_thousand_rows(subject: Subject) -> None:
    """10,000 entity-days are one call within the memory budget."""
    panel, algorithm = sample(n_entity=250, n_time=40), fitted(subject)
    answer(algorithm, panel)
    tracemalloc.start()
    try:
        answer(algorithm, panel)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    require(peak < MEMORY, subject, f"10,000 rows must take less than {MEMORY} bytes, took {peak}")


# ── Detectors and ensembles ──────────────────────────────────────────────────────────────────────


def check_scores_shaped(subject: Subject) -> None:
    """Scores are float64 of shape (n_entity, n_time), finite."""
    scores = fitted(subject).score(spiked())
    require(scores.shape == (24, 42), subject, "one score per entity and time")
    require(scores.dtype == np.float64, subject, "scores must be float64")
    require(np.isfinite(scores).all(), subject, "scores must be finite")


def check_scores_vary(subject: Subject) -> None:
    """Different ordinary days get different scores."""
    scores = fitted(subject).score(sample())
    require(len(np.unique(scores[:, 20:])) > 100, subject, "scores must tell days apart")


def check_last_is_last(subject: Subject) -> None:
    """`score_last` is the last column of `score`."""
    scores, last = fitted(subject).score(spiked()), fitted(subject).score_last(spiked())
    require(last.shape == (24,), subject, "one last score per entity")
    require(same(subject, last, scores[:, -1]), subject, "score_last must be the last of score")


def check_spike_on_top(subject: Subject) -> None:
    """A planted spike scores higher than every other day up to then: higher = more anomalous."""
    scores = fitted(subject).score(spiked())[:, : SPIKE[1] + 1]
    require(
        scores.argmax() == np.ravel_multi_index(SPIKE, scores.shape), subject, "spike must be top"
    )


def check_offset_and_scale(subject: Subject) -> None:
    """Metrics in the billions, moving in millions, give finite scores with the spike on top."""
    big = sample().with_values(1e9 + 1e6 * sample().values)
    scores = make(subject).fit(big).score(big.with_values(1e9 + 1e6 * spiked().values))
    require(scores[:, SPIKE[1]].argmax() == SPIKE[0], subject, "units must not hide the spike")


def check_stream_is_batch(subject: Subject) -> None:
    """Point by point, with the running state saved and opened in between, is the batch bit for bit."""
    algorithm, panel = fitted(subject), spiked()
    running = algorithm.begin(panel.entities)
    scores = np.empty(panel.values.shape[:2])
    for time in range(len(panel.periods)):
        saved = pack(running)
        later, scores[:, time] = algorithm.update(unpack(saved), panel.values[:, time])
        require(pack(running) == saved, subject, "update must not change the state it was given")
        running = later
    require(np.array_equal(scores, algorithm.score(panel)), subject, "stream must equal batch")


# ── Forecasters ──────────────────────────────────────────────────────────────────────────────────


def check_forecast_shaped(subject: Subject) -> None:
    """Forecasts are (n_entity, horizon, n_metric, 3), finite, low ≤ middle ≤ high."""
    forecast = fitted(subject).forecast(sample(), 10)
    require(forecast.shape == (24, 10, 5, 3), subject, "one interval per entity, period and metric")
    require(np.isfinite(forecast).all(), subject, "forecasts must be finite")
    require((np.diff(forecast, axis=-1) >= 0).all(), subject, "low ≤ middle ≤ high must hold")


def check_horizon_refused(subject: Subject) -> None:
    """A horizon below one period is refused."""
    refusal(subject, InvalidInputError, lambda: fitted(subject).forecast(sample(), 0))


def check_prediction_is_forecast(subject: Subject) -> None:
    """One step ahead of a panel is the first period of its forecast."""
    panel = sample()
    ahead = fitted(subject).forecast(panel.select(times=slice(0, 40)), 1)[:, 0]
    require(
        same(subject, fitted(subject).predict(panel)[:, 40], ahead), subject, "predict must agree"
    )


def check_interval_holds(subject: Subject) -> None:
    """On fresh data of the same kind the interval holds between half and nearly all of the values."""
    panel = sample(n_entity=60, n_time=60, seed=2)
    low, _, high = np.moveaxis(fitted(subject).predict(panel)[:, 30:], -1, 0)
    inside = np.mean((low <= panel.values[:, 30:]) & (panel.values[:, 30:] <= high))
    require(0.5 < inside < 0.999, subject, f"interval must hold most values, holds {inside:.0%}")


# ── Localizers ───────────────────────────────────────────────────────────────────────────────────


def check_root_first(subject: Subject) -> None:
    """The planted campaign comes first among the causes of its keyword's alarm."""
    causes = fitted(subject).find(planted_case())
    require(causes and causes[0].node == "campaign:1", subject, "the planted root must come first")


def check_quiet_case(subject: Subject) -> None:
    """Where nothing happened no cause is found."""
    quiet = planted_case(effect=1.0)
    require(fitted(subject).find(quiet) == [], subject, "nothing must be found in a quiet case")


def check_unknown_alarm_refused(subject: Subject) -> None:
    """An alarm on a node that is not in the graph is refused by name."""
    case = planted_case(alarm="keyword:gone")
    text = refusal(subject, UnknownNameError, lambda: fitted(subject).find(case))
    require("keyword:gone" in text, subject, "the refusal must name the node")


def check_causes_well_formed(subject: Subject) -> None:
    """Causes lie on paths of the graph to the alarm, best first, with finite terms and 0 ≤ confidence ≤ 1."""
    case = planted_case()
    causes: list[Cause] = fitted(subject).find(case)
    for cause in causes:
        ends = (cause.path[0], cause.path[-1])
        require(
            ends == (cause.node, case.alarm.node), subject, "a path must run from cause to alarm"
        )
        require(nx.is_path(case.graph.net, list(cause.path)), subject, "a path must follow edges")
        require(cause.hops == len(cause.path) - 1, subject, "hops must count the path's edges")
        require(0 <= cause.confidence <= 1, subject, "confidence must be in 0…1")
        require(
            np.isfinite([cause.score, *cause.terms.values()]).all(), subject, "terms must be finite"
        )
        require(cause.onset in case.panel.periods.labels, subject, "onset must be a period")  # type: ignore[union-attr]
    require(
        sum(cause.confidence for cause in causes) <= 1 + 1e-9, subject, "belief must not exceed 1"
    )


# ── Which check is for whom ──────────────────────────────────────────────────────────────────────

UNIVERSAL: tuple[Check, ...] = (
    check_documented,
    check_params_described,
    check_params_refuse,
    check_made_by_default,
    check_pure,
    check_threads,
    check_same_seed,
)
TRAINED: tuple[Check, ...] = (
    check_fit_returns_self,
    check_unfitted_refuses,
    check_too_short_refuses,
    check_shortest_fits,
    check_other_metrics_refused,
    check_learns,
    check_cancel,
    check_packs,
    check_damage_refused,
    check_fresh_process,
)
PANELS: tuple[Check, ...] = (
    check_entities_apart,
    check_entity_order,
    check_unseen_entity,
    check_constant,
    check_gaps,
    check_one_series,
    check_ten_thousand_rows,
)
SCORES: tuple[Check, ...] = (
    check_scores_shaped,
    check_scores_vary,
    check_last_is_last,
    check_spike_on_top,
    check_offset_and_scale,
)
KINDS: dict[str, tuple[Check, ...]] = {
    "detector": (*PANELS, *SCORES),
    "ensemble": (*PANELS, *SCORES),
    "forecaster": (
        *PANELS,
        check_forecast_shaped,
        check_horizon_refused,
        check_prediction_is_forecast,
        check_interval_holds,
    ),
    "localizer": (
        check_root_first,
        check_quiet_case,
        check_unknown_alarm_refused,
        check_causes_well_formed,
    ),
}
TAGGED: tuple[tuple[Callable[[Subject], bool], Check], ...] = (
    (lambda subject: subject.tags.causal and subject.kind != "localizer", check_no_peek),
    (lambda subject: subject.tags.stochastic and subject.tags.trained, check_other_seed),
    (lambda subject: subject.tags.streaming, check_stream_is_batch),
)


def yield_checks(subject: Subject) -> Iterator[tuple[str, Check]]:
    """(name, check) of everything that this algorithm's kind and tags call for."""
    trained = TRAINED if subject.tags.trained else ()
    tagged = tuple(check for applies, check in TAGGED if applies(subject))
    for check in (*UNIVERSAL, *trained, *KINDS[subject.kind], *tagged):
        yield check.__name__.removeprefix("check_"), check
