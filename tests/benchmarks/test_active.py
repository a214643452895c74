"""The benchmark of the queue in small: on a table whose answer the hard rows tell, it needs fewer labels than chance."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import active as bench
from core.errors import InvalidInputError


def rare(rng: np.random.Generator) -> bench.World:
    """Three in a hundred are off in two of six columns; detectors see them among the odd ones."""
    answers = (rng.random(900) < 0.03).astype(np.intp)
    values = rng.normal(size=(900, 6))
    values[:, :2] += 2.5 * answers[:, None]
    p_values = bench._detected(values, 0)
    return bench.World(
        "rare", np.column_stack([values, -np.log10(p_values.T)]), answers, p_values, 400
    )


def test_the_queue_needs_at_most_half_the_labels_and_tells_the_share_better_than_all_answers() -> (
    None
):
    plan = bench.Plan(labels=80, batch=20, deal=rare)
    runs = [bench.Run.of(plan, seed) for seed in range(3)]
    found = bench._against(plan, runs)
    assert found["share_of_labels"] <= 0.5
    assert found["queue_at_40"] >= found["random_at_80"]
    told = bench._estimated(runs)
    # the hard ones are asked first, so that all answers together promise too much
    assert told["all_answers_off"] > 0.05 > abs(told["estimate_off"])
    assert told["estimate_held"] == 1.0


def test_a_labeler_errs_as_often_as_said_and_a_second_thought_can_mend_it() -> None:
    labeler = bench.Labeler(np.repeat([0, 1, 2], 2000), 3, np.random.default_rng(0))
    wrong = np.mean([labeler.says(row) != labeler.truth[row] for row in range(6000)])
    assert wrong == pytest.approx(bench.ERRS, abs=0.01)
    labeler.said = {7: [1, 0, 0], 9: [2, 0]}
    rows, codes = labeler.verdicts()
    assert list(rows) == [7, 9] and list(codes) == [0, 0]


def test_labels_needed_are_those_up_to_the_first_batch_that_gets_there() -> None:
    plan = bench.Plan(labels=200, batch=20, deal=rare)
    assert bench._needed(plan, 0.8, np.array([0.5, 0.7, 0.81, 0.79, 0.9])) == 0.3
    assert bench._needed(plan, 0.95, np.array([0.5, 0.7, 0.81])) == 1.0


def test_a_missing_folder_is_named_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("HEADWATER_LABELLED", f"{tmp_path}/nowhere")
    with pytest.raises(InvalidInputError, match="HEADWATER_LABELLED"):
        bench.run(lambda *_: True)
