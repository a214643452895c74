"""What every algorithm of the catalogue must keep, as functions that run by themselves.

`yield_checks(algorithm)` gives the checks that its kind and tags call for; each takes the class and
raises AssertionError with the rule it breaks. `tests/test_contract.py` runs them over the catalogue,
`tests/test_checks.py` shows each of them an algorithm broken in just that way. A check that an algorithm
cannot pass is named in `tags.skip` with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core.checks.causes import CAUSES
from core.checks.classes import CLASSES
from core.checks.every import EVERY
from core.checks.forecasts import FORECASTS
from core.checks.learning import LEARNING, check_other_seed
from core.checks.panels import PANELS, check_no_peek
from core.checks.saving import SAVING
from core.checks.scores import SCORES, check_stream_is_batch
from core.checks.subject import Check, Subject, answer, fitted, learn, make, question

__all__ = ["Check", "Subject", "answer", "fitted", "learn", "make", "question", "yield_checks"]

KINDS: dict[str, tuple[Check, ...]] = {
    "detector": (*PANELS, *SCORES),
    "ensemble": (*PANELS, *SCORES),
    "forecaster": (*PANELS, *FORECASTS),
    "classifier": (*PANELS, *CLASSES),
    "localizer": CAUSES,
}
TAGGED: tuple[tuple[Callable[[Subject], bool], Check], ...] = (
    (lambda subject: subject.tags.causal and subject.kind != "localizer", check_no_peek),
    (lambda subject: subject.tags.stochastic and subject.tags.trained, check_other_seed),
    (lambda subject: subject.tags.streaming, check_stream_is_batch),
)


def yield_checks(subject: Subject) -> Iterator[tuple[str, Check]]:
    """(name, check) of everything that this algorithm's kind and tags call for."""
    trained = (*LEARNING, *SAVING) if subject.tags.trained else ()
    tagged = tuple(check for applies, check in TAGGED if applies(subject))
    for check in (*EVERY, *trained, *KINDS[subject.kind], *tagged):
        yield check.__name__.removeprefix("check_"), check
