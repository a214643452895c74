"""What the checks work on: an algorithm made cheaply, taught once, asked one thing, and held to an answer."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.cases import Case
from core.contracts import Algorithm, Floats, Labels, OnStep, Panel
from core.errors import HeadwaterError
from core.samples import (
    CUBE_ROOT,
    SERVICE_ROOT,
    planted_case,
    planted_classes,
    planted_cube_case,
    planted_service_case,
    sample,
    spiked,
)

Subject = type[Algorithm]
Check = Callable[[Any], None]

ERROR = re.compile(r"[^:]+: .+ must be .+\. Got .+\.", re.DOTALL)


def make(subject: Subject, **params: Any) -> Any:
    """An unfitted instance with cheap parameters."""
    return subject(subject.Params.of({**subject.cheap, **params}))


def learn(
    algorithm: Any, panel: Panel, labels: Labels | None = None, on_step: OnStep | None = None
) -> Any:
    """The algorithm fitted to a panel; labels, the planted classes by default, go to whatever needs them."""
    if not algorithm.tags.needs_labels:
        return algorithm.fit(panel, on_step=on_step)
    return algorithm.fit(panel, planted_classes(panel) if labels is None else labels, on_step)


@functools.cache
def fitted(subject: Subject) -> Any:
    """One instance learned on the sample, shared by the checks, which never change it."""
    algorithm = make(subject)
    return learn(algorithm, sample()) if subject.tags.trained else algorithm


ANSWER: dict[str, Callable[[Any, Any], Any]] = {
    "detector": lambda algorithm, panel: algorithm.score(panel),
    "ensemble": lambda algorithm, panel: algorithm.score(panel),
    "forecaster": lambda algorithm, panel: algorithm.predict(panel),
    "classifier": lambda algorithm, panel: algorithm.predict_proba(panel),
    "localizer": lambda algorithm, case: algorithm.find(case),
}
"""What an algorithm of each kind is asked for."""


@dataclass(frozen=True)
class World:
    """Cases of one kind with a planted root.

    planted  : the case in which it happened       quiet : the same without it
    question : a case for every number             root  : the node that is right
    """

    planted: Callable[[], Case]
    quiet: Callable[[], Case]
    question: Callable[[int], Case]
    root: str


WORLDS = {
    "expected": World(
        planted_case,
        lambda: planted_case(effect=1.0),
        lambda number: planted_case(alarm=f"keyword:1.{number % 2}.{number // 2 % 2}"),
        "campaign:1",
    ),
    "metrics": World(
        planted_service_case,
        lambda: planted_service_case(effect=0.0),
        lambda number: planted_service_case(seed=number),
        SERVICE_ROOT,
    ),
    "dimensions": World(
        planted_cube_case,
        lambda: planted_cube_case(effect=0.0),
        lambda number: planted_cube_case(seed=number),
        CUBE_ROOT,
    ),
}
"""What localizers are asked about, by the kind of case that they look at."""


def world(subject: Any) -> World:
    """Cases of the first kind that a localizer works on."""
    return WORLDS[subject.works_on[0]]


def numbers(asked: Panel | Case) -> Floats:
    """The numbers that a question holds."""
    if isinstance(asked, Panel):
        return asked.values
    if asked.cube is not None:
        return asked.cube.value
    if asked.events is not None:
        return asked.events.numbers["value"]
    panel: Panel = asked.panel  # type: ignore[assignment]
    return panel.values


def answer(algorithm: Any, subject: Any) -> Any:
    return ANSWER[algorithm.kind](algorithm, subject)


def question(subject: Subject, number: int = 0) -> Any:
    """What an algorithm of this kind answers to; every number another one."""
    if subject.kind == "localizer":
        return world(subject).question(number)
    return spiked(seed=number)


def same(subject: Subject, left: Any, right: Any) -> bool:
    """Equal answers: bit for bit from rules and streams, else within the rounding of a batched product."""
    if isinstance(left, list) or subject.tags.streaming:
        return identical(left, right)
    return bool(np.allclose(left, right, rtol=1e-4, atol=1e-5, equal_nan=True))


def identical(left: Any, right: Any, tolerance: float = 0.0) -> bool:
    """Equal answers to the last bit, or apart by at most `tolerance` of the larger of the value and 1."""
    if isinstance(left, list) or tolerance == 0.0:
        exact = left == right if isinstance(left, list) else np.array_equal(left, right, True)
        return bool(exact)
    return bool(np.allclose(left, right, rtol=tolerance, atol=tolerance, equal_nan=True))


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
