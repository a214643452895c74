"""Whoever listens hears what was learned and scored, and can harm none of it."""

from __future__ import annotations

import pytest

from core import catalog, lifecycle
from core.errors import TrainingError
from core.samples import planted_case, sample


def test_a_listener_hears_of_fit_and_score_before_and_after() -> None:
    heard: list[lifecycle.Event] = []
    panel, detector = sample(n_entity=5), catalog.make("robust-z")
    with lifecycle.listening(heard.append):
        detector.fit(panel).score(panel)
    told = [(event.operation, event.phase, event.samples, event.error) for event in heard]
    assert told == [
        ("fit", "before", 5, ""),
        ("fit", "after", 5, ""),
        ("score", "before", 5, ""),
        ("score", "after", 5, ""),
    ]
    assert {event.algorithm for event in heard} == {"robust-z"}
    assert {event.model_id for event in heard} == {detector.model_id}
    assert all((event.seconds is None) == (event.phase == "before") for event in heard)
    detector.score(panel)
    assert len(heard) == 4, "after the block nobody listens"


def test_a_search_for_a_cause_is_told_too() -> None:
    heard: list[lifecycle.Event] = []
    case = planted_case()
    with lifecycle.listening(heard.append):
        catalog.make("tree-scan").find(case)
    nodes = case.graph.net.number_of_nodes()
    assert [(event.operation, event.samples) for event in heard] == [("find", nodes)] * 2


def test_a_failure_is_told_and_passes_through() -> None:
    heard: list[lifecycle.Event] = []
    with (
        lifecycle.listening(heard.append),
        pytest.raises(TrainingError, match="loss"),
        lifecycle.operation("some", "some-1", "fit", 3),
    ):
        raise TrainingError.of("some", "the loss", "finite", "inf")
    assert [event.error for event in heard] == [
        "",
        "TrainingError: some: the loss must be finite. Got 'inf'.",
    ]


def test_a_listener_that_fails_is_logged_and_harms_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(event: lifecycle.Event) -> None:
        raise RuntimeError(event.phase)

    panel = sample(n_entity=5)
    with lifecycle.listening(fail):
        assert catalog.make("robust-z").fit(panel).fitted
    assert len(caplog.records) == 2 and "listener failed" in caplog.text
