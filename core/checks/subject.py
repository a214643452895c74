"""What the checks work on: an algorithm made cheaply, taught once, asked one thing, and held to an answer."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from core.contracts import Algorithm, Labels, OnStep, Panel
from core.errors import HeadwaterError
from core.samples import planted_case, planted_classes, sample, spiked

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
