"""A drop of the AUC: how sure it is, and what it asks for."""

from __future__ import annotations

import numpy as np
import pytest

from core.contracts import Bools, Floats
from core.drift import performance as drift
from core.drift.performance import performance


def labelled(shift: float, n: int = 200, seed: int = 0) -> tuple[Floats, Bools]:
    rng = np.random.default_rng(seed)
    real = np.arange(n) % 2 == 0
    return rng.normal(size=n) + shift * real, real


@pytest.mark.parametrize(
    ("after", "advice"), [(2.0, "fine"), (1.2, "retrain"), (0.2, "fall back"), (0.0, "fall back")]
)
def test_the_larger_the_drop_the_more_it_asks_for(after: float, advice: str) -> None:
    found = performance(*labelled(2.0, 400), *labelled(after, 400, 1))
    assert found.advice == advice
    assert found.before is not None and found.before == pytest.approx(0.92, abs=0.03)


def test_a_drop_that_few_labels_show_is_watched_and_asks_for_more() -> None:
    found = performance(*labelled(2.0, 30), *labelled(1.4, 30, 3))
    assert found.drop is not None and found.drop > drift.RETRAIN
    assert found.advice == "monitor" and found.labels > 0


def test_too_few_labels_say_nothing_and_how_many_are_missing() -> None:
    found = performance(*labelled(2.0, 40), *labelled(2.0, 6))
    assert found.advice == "unknown" and found.drop is None
    assert found.labels == 14 and found.real == (20, 3)


def test_the_standard_error_is_that_of_hanley_and_mcneil() -> None:
    # Radiology 143, 1982, table II: AUC 0.893, 58 normal and 51 abnormal images, standard error 0.032
    assert drift._error(0.893, 51, 58) == pytest.approx(0.032, abs=0.001)
