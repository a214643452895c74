"""What whatever learns keeps: it refuses what it cannot learn from, and learns the same twice."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from core.artifact import pack
from core.checks.subject import (
    Check,
    Subject,
    answer,
    fitted,
    learn,
    make,
    question,
    refusal,
    require,
    same,
)
from core.errors import CancelledError, InvalidInputError, NotEnoughDataError, NotFittedError
from core.samples import sample, spiked


def check_fit_returns_self(subject: Subject) -> None:
    """`fit` returns the instance itself and leaves the panel as it was."""
    panel, algorithm = sample(), make(subject)
    require(learn(algorithm, panel) is algorithm, subject, "fit must return self")
    require(np.array_equal(panel.values, sample().values), subject, "fit must not change the panel")


def check_unfitted_refuses(subject: Subject) -> None:
    """An unfitted instance refuses to answer."""
    refusal(subject, NotFittedError, lambda: answer(make(subject), sample()))


def check_too_short_refuses(subject: Subject) -> None:
    """A panel shorter than `min_times` is refused with both numbers."""
    n_time = subject.tags.min_times - 1
    text = refusal(
        subject, NotEnoughDataError, lambda: learn(make(subject), sample(n_time=max(n_time, 0)))
    )
    require(
        f"{n_time + 1}" in text and f"Got {n_time}" in text, subject, "both numbers must be told"
    )


def check_shortest_fits(subject: Subject) -> None:
    """A panel of exactly `min_times` periods is enough."""
    panel = sample(n_time=subject.tags.min_times)
    require(learn(make(subject), panel).fitted, subject, "min_times periods must be enough")


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
    state = learn(make(subject), other.with_values(3 * other.values)).state
    require(
        pack(state) != pack(fitted(subject).state), subject, "what is learned must depend on data"
    )


def check_other_seed(subject: Subject) -> None:
    """Another seed gives another answer where the tags say stochastic."""
    asked = question(subject)
    other = answer(learn(make(subject, seed=1), sample()), asked)
    require(not same(subject, answer(fitted(subject), asked), other), subject, "seed must matter")


def check_cancel(subject: Subject) -> None:
    """A run that is asked to stop raises CancelledError, keeps nothing, and can be run again."""
    algorithm, asked = make(subject), list[str]()

    def stop(stage: str, *_: Any) -> bool:
        asked.append(stage)
        return False

    try:
        learn(algorithm, sample(), on_step=stop)
    except CancelledError:
        require(not algorithm.fitted, subject, "a cancelled run must keep nothing")
    else:
        require(not asked, subject, "a run must stop when it is told to")
    again = answer(learn(algorithm, sample()), spiked())
    require(
        same(subject, again, answer(fitted(subject), spiked())), subject, "cancel must not linger"
    )


LEARNING: tuple[Check, ...] = (
    check_fit_returns_self,
    check_unfitted_refuses,
    check_too_short_refuses,
    check_shortest_fits,
    check_other_metrics_refused,
    check_learns,
    check_cancel,
)
