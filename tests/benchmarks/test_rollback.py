"""The benchmark of rollbacks counts scores and failures truly."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks import rollback
from benchmarks.rollback import Load, figures
from core.contracts import OnStep


def test_both_ways_score_through_every_rollback(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    on_step: OnStep = lambda stage, *_: told.append(stage)  # noqa: E731
    monkeypatch.setattr(rollback, "ROUNDS", 5)
    monkeypatch.setattr(rollback, "ENTITIES", 10)
    ours, theirs = rollback.run(on_step)
    assert (ours["way"], theirs["way"]) == ("headwater", "read anew")
    assert ours["failed"] == theirs["failed"] == 0
    assert ours["rollbacks"] == theirs["rollbacks"] == 5
    assert min(ours["scores"], theirs["scores"]) > 0
    assert told == ["rollback under load: headwater", "rollback under load: read anew"]


def test_figures_are_those_of_the_load() -> None:
    load = Load(Counter(a=30, b=10), ["gone"], [0.01, 0.02, 0.03])
    assert figures(load, 4.0) == pytest.approx(
        {
            "rollbacks": 3,
            "scores": 40,
            "failed": 1,
            "scores_per_second": 10.0,
            "rollback_ms_median": 20.0,
            "rollback_ms_p99": 29.8,
            "rollback_ms_max": 30.0,
        }
    )
