"""Scoring localizers on labelled suites of root causes; what learns never sees the cause it is asked for."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import catalog
from core.cases import Case, Localizer, Truth
from core.contracts import OnStep
from core.errors import HeadwaterError, InvalidInputError, UnknownNameError
from core.evaluate import diagnoses
from core.evaluate.localisation import (
    Answer,
    candidates,
    figures,
    leave_one_out,
    quiet,
    silence,
)
from data.cause_suites import CauseSuite, suites

ALL = "all"
DEFAULTS = ("headwater", "dimension-drilldown")
"""What is scored where nobody says what: the first of these that works on the suite's kind."""
CLASSES = ("class_accuracy", "macro_f1", "class_recurring", "class_few", "class_unseen")
FIGURES = (
    "cases",
    "ac@1",
    "ac@3",
    "ac@5",
    "avg@5",
    "map@3",
    "chance_ac@1",
    *CLASSES,
    "specificity",
    "abstained",
    "seconds_per_case",
    "ci",
    "per_group",
    "per_case",
)
"""What is told of a method on a suite, in this order; specificity is its silence on fault-free windows."""
PREFIXES = ("", "subsystem_")
"""What was never learned from: the group of a case, or its subsystem."""
UNCLASSIFIED = tuple(f"{before}{name}" for before in PREFIXES for name in CLASSES)


def evaluate_cause(
    path: Path,
    *,
    methods: Sequence[str] = (),
    params: Mapping[str, str] | None = None,
    classes: bool = True,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Score localizers on the suite in a folder, or on every suite in the folders within it.

    methods : localizers of the catalogue, or "all" that work on a suite; the product's own where empty
    params  : set in each localizer that has a parameter of the name
    classes : also how well the kind of a cause is told, which takes longer than the rest; null where not

    Returns {"results": one per suite and method, "skipped": [{suite, method, reason}]}. Whatever learns does so anew
    for every group (figures without prefix) and every subsystem (`subsystem_`, null where there is one) from the
    other cases of the suite. A case that fails counts as missed and is told in `per_case`.
    """
    told = on_step or (lambda *_: None)
    found = suites(path)
    pairs = [(suite, method) for suite in found for method in named(suite, methods)]
    localizers = made([method for _, method in pairs], params or {})
    reasons = [unfit(suite, localizers[method]) for suite, method in pairs]
    skipped = [
        {"suite": suite.name, "method": method, "reason": reason}
        for (suite, method), reason in zip(pairs, reasons, strict=True)
        if reason
    ]
    kept = [pair for pair, reason in zip(pairs, reasons, strict=True) if not reason]
    if not kept:
        why = "; ".join(f"{row['method']}: {row['reason']}" for row in skipped)
        raise InvalidInputError.of("evaluate", "the method", "one that works on the suite", why)
    results: list[dict[str, Any]] = []
    trials: dict[Path, tuple[Trial, dict[str, Any]]] = {}
    for number, (suite, method) in enumerate(kept):
        told(f"{method} on {suite.name}", number / len(kept), {})
        if suite.root not in trials:
            trial = Trial.of(suite)
            trials[suite.root] = trial, classified(trial) if classes else {}
        trial, kinds = trials[suite.root]
        figured = dict.fromkeys(UNCLASSIFIED) | judge(trial, localizers[method]) | kinds
        ordered = {
            f"{before}{name}": figured[f"{before}{name}"] for before in PREFIXES for name in FIGURES
        }
        results.append({"suite": suite.name, "method": method, **ordered})
    return {"results": results, "skipped": skipped}


def named(suite: CauseSuite, methods: Sequence[str]) -> list[str]:
    """The methods that were asked for; the product's own for the suite's kind where none was."""
    known = dict(catalog.localizers())
    if not methods:
        return [method for method in DEFAULTS if suite.kind in known[method].works_on]
    for method in methods:
        if method not in (*known, ALL):
            rule = f"{ALL} or one of {', '.join(known)}"
            raise UnknownNameError.of("evaluate", "the method", rule, method)
    if ALL in methods:
        return [method for method, localizer in known.items() if suite.kind in localizer.works_on]
    return list(dict.fromkeys(methods))


def made(methods: Sequence[str], params: Mapping[str, str]) -> dict[str, Localizer]:
    """The localizers, each with those of the parameters that it has; one that none has is refused."""
    known = dict(catalog.localizers())
    fields = {method: known[method].Params.__dataclass_fields__ for method in methods}
    for param in params:
        if not any(param in own for own in fields.values()):
            rule = f"one of {', '.join(dict.fromkeys(name for own in fields.values() for name in own))}"
            raise UnknownNameError.of("evaluate", "the parameter", rule, param)
    return {
        method: known[method](
            known[method].Params.of({name: text for name, text in params.items() if name in own})
        )
        for method, own in fields.items()
    }


def unfit(suite: CauseSuite, localizer: Localizer) -> str:
    """Why a localizer has no figures on a suite, "" where it has."""
    groups = {suite.truth(name).group for name in suite.cases}
    reasons = {
        f"it works on cases of {' or '.join(localizer.works_on)}, and these are of {suite.kind}": (
            suite.kind not in localizer.works_on
        ),
        "it learns from other groups of cases, and there is one": localizer.learns
        and len(groups) < 2,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


@dataclass(frozen=True, eq=False)
class Trial:
    """What every method is asked of a suite: its cases, and fault-free windows with the case that each is made of."""

    suite: CauseSuite
    cases: Mapping[str, Case]
    truths: Mapping[str, Truth]
    windows: Sequence[tuple[str, Case]]

    @classmethod
    def of(cls, suite: CauseSuite) -> Trial:
        cases = {name: suite.case(name) for name in suite.cases}
        return cls(suite, cases, {name: suite.truth(name) for name in cases}, quiet(cases))


def judge(trial: Trial, localizer: Localizer) -> dict[str, Any]:
    """Figures of one localizer on one suite, with and without prefix."""
    by_group = _measured(localizer, trial, lambda truth: truth.group)
    by_subsystem = dict.fromkeys(by_group)
    if len(trial.suite.subsystems) > 1:
        by_subsystem = _measured(localizer, trial, lambda truth: truth.subsystem)
    return by_group | {f"subsystem_{name}": value for name, value in by_subsystem.items()}


def _measured(localizer: Localizer, trial: Trial, key: Callable[[Truth], str]) -> dict[str, Any]:
    answers: dict[str, Answer] = {}
    calm: list[Answer] = []
    for held, taught in _taught(localizer, trial, key):
        answers |= {name: ask(taught, trial.cases[name]) for name in held}
        calm += [ask(taught, window) for name, window in trial.windows if name in held]
    ordered = {name: answers[name] for name in trial.cases}
    abstained = silence(list(ordered.values()))
    return {**figures(ordered, trial.truths), "specificity": silence(calm), "abstained": abstained}


def classified(trial: Trial) -> dict[str, Any]:
    """How well the kind of a cause is told, whatever the localizer; nothing where no two kinds are told of.

    Without prefix a kind recurs: cases of one group are on both sides. With it, a subsystem is told from the others.
    """
    if trial.suite.kind == "dimensions":
        return {}

    def by_group(truth: Truth) -> str:
        return truth.group

    def by_subsystem(truth: Truth) -> str:
        return truth.subsystem

    suspects = _suspects(trial, by_group)
    found = diagnoses.figures(trial.cases, trial.truths, by_group, suspects)
    if found and len(trial.suite.subsystems) > 1:
        suspects = _suspects(trial, by_subsystem)
        told = diagnoses.apart(trial.cases, trial.truths, by_subsystem, suspects)
        if told is not None:
            found["subsystem_class_accuracy"] = told["accuracy"]
            found["subsystem_macro_f1"] = told["macro_f1"]
            found["subsystem_class_unseen"] = told
    return found


def _suspects(trial: Trial, key: Callable[[Truth], str]) -> dict[str, str]:
    """Where each case of metrics started, as the product's own localizer says that learned from the others alone."""
    if trial.suite.kind != "metrics" or len({key(truth) for truth in trial.truths.values()}) < 2:
        return {}
    causes = {
        name: ask(taught, trial.cases[name]).causes
        for held, taught in _taught(catalog.localizer(DEFAULTS[0]), trial, key)
        for name in held
    }
    return {name: found[0].node for name, found in causes.items() if found}


def _taught(
    localizer: Localizer, trial: Trial, key: Callable[[Truth], str]
) -> Iterator[tuple[list[str], Localizer]]:
    if not localizer.learns:
        yield list(trial.cases), localizer
        return
    yield from leave_one_out(trial.cases, trial.truths, key, localizer.learned)


def ask(localizer: Localizer, case: Case) -> Answer:
    """What a localizer says of a case, timed; whatever goes wrong is its answer."""
    case = _anew(case)
    began = time.perf_counter()
    try:
        causes, error = localizer.find(case), ""
    except HeadwaterError as refused:
        causes, error = [], refused.message
    return Answer(causes, candidates(case), time.perf_counter() - began, error)


def _anew(case: Case) -> Case:
    """An equal case of other objects: what was remembered of it while others were judged must not make it look quick."""
    parts = {name: getattr(case, name) for name in ("panel", "edges", "events", "cube")}
    made = {name: dataclasses.replace(part) for name, part in parts.items() if part is not None}
    return dataclasses.replace(case, **made)
