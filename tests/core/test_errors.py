"""What went wrong is said so that somebody can act on it."""

from __future__ import annotations

import pytest

from core import errors
from core.errors import HeadwaterError, PersistenceError, PredictionError, TrainingError


def everything_under(kind: type[HeadwaterError]) -> list[type[HeadwaterError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in everything_under(child))]


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for top in (TrainingError, PredictionError, PersistenceError)
        for kind in everything_under(top)
    ],
)
def test_what_fails_in_training_asking_or_saving_always_has_a_cure(kind):
    assert kind.of("who", "thing", "rule", 3).hint
    assert kind.of("who", "thing", "rule", 3, "Another cure.").hint == "Another cure."


@pytest.mark.parametrize(
    ("got", "said"),
    [
        (("a", "b", "c"), []),
        (("a", "c"), ["b missing"]),
        (("a", "b", "c", "d"), ["d extra"]),
        (("a", "b", "b", "c"), ["b extra"]),
        (("a", "x", "c"), ["b renamed to x"]),
        (("b", "a", "c"), ["a, b reordered"]),
        (("x", "a", "c"), ["b missing", "x extra"]),
    ],
)
def test_names_that_differ_are_told_one_by_one(got, said):
    assert errors.differences(("a", "b", "c"), got) == said
