"""Whoever listens hears what was learned and asked, and can harm none of it; errors say where they happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from core import catalog, lifecycle
from core.contracts import Algorithm, Bools, Detector, Floats, OnStep, Panel, State, Tags
from core.errors import (
    MissingExtraError,
    NotEnoughDataError,
    NotFittedError,
    PredictionError,
    TrainingError,
)
from core.explainers.ensemble_attribution import EnsembleAttribution
from core.samples import planted_case, planted_classes, sample


@pytest.fixture
def heard() -> Iterator[list[lifecycle.Event]]:
    events: list[lifecycle.Event] = []
    with lifecycle.listening(events.append):
        yield events


class Clumsy(Detector):
    """Fails wherever it is told to."""

    name = "clumsy"
    source = "made for this test"
    tags = Tags(extra="forecasters")
    fails_in = ""
    error: BaseException = ValueError("odd")

    def _fit(self, panel: Panel, labels: Bools | None, on_step: OnStep | None) -> State:
        self._stumble("fit")
        return {}

    def _score(self, scorer: Any, panel: Panel) -> Floats:
        self._stumble("score")
        return np.zeros(panel.values.shape[:2])

    def _stumble(self, where: str) -> None:
        if where == self.fails_in:
            raise self.error


def clumsy(fails_in: str, error: BaseException) -> Clumsy:
    made = Clumsy()
    made.fails_in, made.error = fails_in, error
    return made


# ── Events ───────────────────────────────────────────────────────────────────────────────────────


def test_a_listener_hears_of_fit_and_score_before_and_after() -> None:
    events: list[lifecycle.Event] = []
    panel, detector = sample(n_entity=5), catalog.make("robust-z")
    with lifecycle.listening(events.append):
        detector.fit(panel).score(panel)
    told = [(event.operation, event.phase, event.samples, event.error) for event in events]
    assert told == [
        ("fit", "before", 5 * 42, ""),
        ("fit", "after", 5 * 42, ""),
        ("score", "before", 5 * 42, ""),
        ("score", "after", 5 * 42, ""),
    ]
    assert {(event.algorithm, event.entities, event.times) for event in events} == {
        ("robust-z", 5, 42)
    }
    assert {event.model_id for event in events} == {detector.model_id}
    assert all((event.seconds is None) == (event.phase == "before") for event in events)
    detector.score(panel)
    assert len(events) == 4, "after the block nobody listens"


def test_two_models_of_one_kind_are_told_apart() -> None:
    assert catalog.make("robust-z").model_id != catalog.make("robust-z").model_id


CALLS: dict[str, tuple[str, Callable[[Any, Panel], Any]]] = {
    "forecast": ("seasonal-naive", lambda model, panel: model.forecast(panel, 3)),
    "predict": ("seasonal-naive", lambda model, panel: model.predict(panel)),
    "classify": ("logistic", lambda model, panel: model.predict_proba(panel)),
}


@pytest.mark.parametrize("operation", CALLS)
def test_every_question_is_told_by_its_own_name(
    operation: str, heard: list[lifecycle.Event]
) -> None:
    name, ask = CALLS[operation]
    panel, model = sample(n_entity=5), catalog.make(name)
    ask(model.fit(panel, planted_classes(panel)), panel)
    assert [event.operation for event in heard] == ["fit", "fit", operation, operation]


def test_a_point_that_streams_in_is_told_with_its_entities(heard: list[lifecycle.Event]) -> None:
    panel, model = sample(n_entity=5), catalog.make("ewma")
    running = model.fit(panel).begin(panel.entities)
    model.update(running, panel.values[:, 0])
    told = [(event.operation, event.phase, event.entities, event.times) for event in heard]
    assert told[2:] == [("update", "before", 5, 1), ("update", "after", 5, 1)]


def test_an_explanation_is_told_too(heard: list[lifecycle.Event]) -> None:
    panel, detector = sample(n_entity=5), catalog.make("robust-z")
    detector.fit(panel)
    EnsembleAttribution().explain(detector, panel, [("keyword:1", 41)])
    told = [(event.operation, event.phase, event.entities, event.times) for event in heard]
    assert told[2] == ("explain", "before", 1, 14)
    assert told[-1] == ("explain", "after", 1, 14)
    assert {event.model_id for event in heard} == {detector.model_id}


def test_a_search_for_a_cause_is_told_too(heard: list[lifecycle.Event]) -> None:
    case = planted_case()
    catalog.make("tree-scan").find(case)
    nodes = case.graph.net.number_of_nodes()
    told = [(event.operation, event.entities, event.times) for event in heard]
    assert told == [("find", nodes, 14)] * 2


def test_a_failure_is_told_and_passes_through(heard: list[lifecycle.Event]) -> None:
    with (
        pytest.raises(TrainingError, match="loss") as raised,
        lifecycle.operation("some", "some-1", "fit", 3, 4),
    ):
        raise TrainingError.of("some", "the loss", "finite", "inf", "Lower the rate.")
    shape = "TrainingError: some: the loss must be finite. Got 'inf'.\nHint: Lower the rate."
    assert [event.error for event in heard] == ["", shape]
    assert raised.value.context == {
        "who": "some",
        "thing": "the loss",
        "needed": "finite",
        "got": "inf",
        "model_id": "some-1",
        "operation": "fit",
        "entities": 3,
        "times": 4,
        "samples": 12,
    }


def test_a_refusal_is_told_like_any_failure(heard: list[lifecycle.Event]) -> None:
    with pytest.raises(NotEnoughDataError) as raised:
        catalog.make("seasonal-naive").fit(sample(n_time=2))
    assert [event.error.partition(":")[0] for event in heard] == ["", "NotEnoughDataError"]
    told = raised.value.context
    assert (told["needed"], told["got"], told["samples"]) == ("at least 15", 2, 48)


def test_a_listener_that_fails_is_logged_and_harms_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(event: lifecycle.Event) -> None:
        raise RuntimeError(event.phase)

    panel = sample(n_entity=5)
    with lifecycle.listening(fail):
        assert catalog.make("robust-z").fit(panel).fitted
    assert len(caplog.records) == 2 and "listener failed" in caplog.text


# ── Errors ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("where", "kind"), [("fit", TrainingError), ("score", PredictionError)])
def test_a_foreign_error_becomes_one_of_ours_with_its_cause_and_its_place(
    where: str, kind: type[Exception]
) -> None:
    panel, odd = sample(n_entity=5), ValueError("odd")
    with pytest.raises(kind, match=f"clumsy: every step of its {where} on 5 × 42 cells") as raised:
        clumsy(where, odd).fit(panel).score(panel)
    error: Any = raised.value
    assert error.__cause__ is odd
    assert error.hint
    assert error.context["got"] == "ValueError: odd"
    assert error.context["samples"] == 210


def test_the_library_in_which_it_broke_is_named() -> None:
    class Solver(Clumsy):
        def _stumble(self, where: str) -> None:
            np.linalg.inv(np.zeros((2, 2)))

    with pytest.raises(TrainingError, match="Singular") as raised:
        Solver().fit(sample())
    assert raised.value.context["dependency"] == "numpy"


def test_a_missing_library_is_named_with_the_command_that_installs_it() -> None:
    class Bare(Clumsy):
        def _stumble(self, where: str) -> None:
            import no_such_library  # noqa: F401

    with pytest.raises(MissingExtraError, match="no_such_library must be installed") as raised:
        Bare().fit(sample())
    assert raised.value.context["dependency"] == "no_such_library"
    assert raised.value.hint == 'pip install -e ".[forecasters]"'


def test_too_little_memory_hints_at_less_data() -> None:
    with pytest.raises(TrainingError, match="fewer entities"):
        clumsy("fit", MemoryError("64 GiB")).fit(sample())


# ── Status ───────────────────────────────────────────────────────────────────────────────────────


def test_the_status_follows_the_training() -> None:
    class Watched(Clumsy):
        def _stumble(self, where: str) -> None:
            seen.append(self.status)

    seen: list[str] = []
    detector = Watched()
    assert detector.status == "new"
    assert detector.fit(sample()).status == "trained"
    assert seen == ["training"]
    assert Watched(state=detector.state).status == "trained"
    rules: Algorithm = catalog.make("tree-scan")
    assert rules.status == "trained", "rules have nothing to learn"


@pytest.mark.parametrize("end", [ValueError("odd"), KeyboardInterrupt()])
def test_a_training_that_breaks_off_has_failed_and_leaves_nothing_to_score_with(
    end: BaseException,
) -> None:
    panel, detector = sample(), clumsy("", end)
    detector.fit(panel).score(panel)
    detector.fails_in = "fit"
    with pytest.raises((TrainingError, KeyboardInterrupt)):
        detector.fit(panel)
    assert (detector.status, detector.fitted) == ("failed", False)
    with pytest.raises(NotFittedError):
        detector.score(panel)
    detector.fails_in = ""
    assert detector.fit(panel).status == "trained"
