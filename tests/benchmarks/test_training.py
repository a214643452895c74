from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks import training
from core.sequences.classifier import SequenceParams


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(training, "HELD", 200)
    monkeypatch.setattr(training, "ROWS", {"cpu": 640})


def test_the_area_is_that_of_scikit_learn_ties_included():
    rng = np.random.default_rng(0)
    answers, truth = rng.integers(0, 20, (500, 3)) / 20, rng.random((500, 3)) < 0.3
    assert training.auc(answers, truth) == pytest.approx(roc_auc_score(truth, answers))


def test_the_journeys_of_a_seed_are_always_the_same_and_their_faults_can_be_seen():
    events, labels = training.journeys(4_000, 0)
    again, _ = training.journeys(4_000, 0)
    assert np.array_equal(events, again)
    assert events.shape == (4_000, training.LENGTH, training.FEATURES)
    assert labels.mean(axis=0) == pytest.approx(np.full(training.LABELS, 0.15), abs=0.02)
    # the least time between scans tells of duplicates and jumps, how much a product varies of forgery
    least = -events[:, :, 0].min(axis=1)
    varies = events[:, :, 4].std(axis=1) + events[:, :, 5].std(axis=1)
    assert roc_auc_score(labels[:, 1] | labels[:, 3], least) > 0.65
    assert roc_auc_score(labels[:, 0], varies) > 0.8


def test_every_contestant_is_set_beside_the_specification_in_learning_and_judging():
    told = []
    rows = training.run(
        lambda what, share, _: told.append((what, share)), {"cpu": 640}, epochs=2, repeats=1
    )
    names = ["convolution", "its net in our loop", "its net in our loop, bfloat16"]
    assert [row["name"] for row in rows] == [
        f"{what} on cpu: {name}" for name in names for what in ("training", "inference")
    ]
    assert told[0] == ("cpu: specification's loop", 0.0)
    for row in rows:
        assert row["unit"] == "sequences/s and core"
        assert row["ratio"] == pytest.approx(row["value"] / row["peer_value"], rel=0.05, abs=0.01)
        assert 0 < row["auc"] < 1 and 0 < row["peer_auc"] < 1


def test_our_loop_learns_what_is_planted():
    params = SequenceParams(hidden=32, epochs=6, patience=6, batch=32, rate=0.01)
    assert training.ours(training.made(1_500, 0), 0, "cpu", params).auc > 0.65


def test_the_module_prints_one_json_object(monkeypatch, capsys):
    row = {
        "name": "training on cpu: x", "value": 9, "unit": "sequences/s", "peer": "y",
        "peer_value": 3, "ratio": 3.0, "auc": 0.9, "peer_auc": 0.9,
    }  # fmt: skip
    monkeypatch.setattr(training, "run", lambda on_step: [row])
    training.main(["--json"])
    assert json.loads(capsys.readouterr().out) == {"results": [row]}
    training.main([])
    assert "ratio 3.0" in capsys.readouterr().out
