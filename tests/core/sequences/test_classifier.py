from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.artifact import pack, unpack
from core.errors import InvalidInputError, NotEnoughDataError
from core.sequences.classifier import NETS, SequenceParams, learn, probabilities
from core.training import running

QUICK = SequenceParams(hidden=16, epochs=5, patience=5, batch=64, rate=0.01)


def planted(n=1_200, length=8, seed=0):
    """A high first number at any event is the first label; a rise of the second at the end is the other."""
    rng = np.random.default_rng(seed)
    events = rng.standard_normal((n, length, 3))
    labels = rng.random((n, 2)) < 0.3
    rows = np.flatnonzero(labels[:, 0])
    events[rows, rng.integers(0, length, len(rows)), 0] += 5.0
    events[labels[:, 1], -2, 1] -= 3.0
    events[labels[:, 1], -1, 1] += 3.0
    return events, labels


@pytest.mark.parametrize("net", NETS)
def test_planted_labels_are_found_each_by_itself(net):
    params = replace(QUICK, net=net)
    state = learn(*planted(), params)
    events, labels = planted(seed=1)
    shares = probabilities(events, state, params)
    assert shares.shape == labels.shape
    assert ((shares > 0.5) == labels).mean(axis=0) == pytest.approx([1.0, 1.0], abs=0.08)
    # the chance that a labelled sequence is rated above one that is not
    for share, label in zip(shares.T, labels.T, strict=True):
        assert (share[label][:, None] > share[~label]).mean() > 0.95


@pytest.mark.parametrize("net", NETS)
def test_what_was_learned_becomes_data_only_files_and_answers_the_same(net):
    params = replace(QUICK, net=net, epochs=1)
    state = learn(*planted(300), params)
    events, _ = planted(50, seed=1)
    again = probabilities(events, unpack(pack(state)), params)
    assert np.array_equal(again, probabilities(events, state, params))


def test_the_same_seed_learns_the_same_and_another_something_else():
    events, _ = planted(50, seed=1)
    first, again, other = (
        probabilities(events, learn(*planted(300), params), params)
        for params in (QUICK, QUICK, replace(QUICK, seed=1))
    )
    assert np.array_equal(first, again)
    assert not np.allclose(first, other, atol=1e-3)


def test_missing_events_before_a_short_sequence_change_nothing():
    params = replace(QUICK, net="convolution", epochs=1)
    events, labels = planted(300)
    state = learn(events, labels, params)
    short = events[:, 3:]
    longer = events.copy()
    longer[:, :3] = np.nan
    assert probabilities(longer, state, params) == pytest.approx(
        probabilities(short, state, params), abs=1e-6
    )


@pytest.mark.parametrize("net", NETS)
def test_a_net_judges_wherever_it_is_sent_and_in_half_precision(net):
    made = NETS[net].layers(3, 2, 16).to("meta", torch.float16)
    events = torch.zeros(5, 8, 3, device="meta", dtype=torch.float16)
    logits = NETS[net].logits(made, events, torch.ones(5, 8, device="meta", dtype=torch.bool))
    assert (logits.shape, logits.device.type, logits.dtype) == ((5, 2), "meta", torch.float16)


def test_units_do_not_matter():
    events, labels = planted(300)
    unit = np.array([1.0, 1_000.0, 0.001])
    plain, other = (learn(part, labels, QUICK) for part in (events, events * unit + 7.0))
    assert probabilities(events * unit + 7.0, other, QUICK) == pytest.approx(
        probabilities(events, plain, QUICK), abs=1e-3
    )


def test_the_latest_fifth_stops_the_learning():
    told = []
    events, labels = planted(500)
    # in the latest fifth the labels say the opposite, so the first epoch stays the best
    labels[400:] = ~labels[400:]
    with running("cpu"):
        state = learn(
            events, labels, replace(QUICK, patience=2, epochs=20), lambda *step: told.append(step)
        )
    history = json.loads(state["history"])
    assert len(history["validation"]) == history["best"] + 3 < 20
    assert len(told) == len(history["validation"])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            lambda events, labels: (events[:, :, 0], labels),
            InvalidInputError,
            "one row per sequence",
        ),
        (lambda events, labels: (events, labels[:-1]), InvalidInputError, "one row per sequence"),
        (lambda events, labels: (events[:1], labels[:1]), NotEnoughDataError, "at least 2"),
    ],
)
def test_other_shapes_and_too_few_rows_are_refused(change, error, words):
    with pytest.raises(error, match=words):
        learn(*change(*planted(20)), QUICK)


def test_a_sequence_without_its_newest_event_is_refused():
    events, labels = planted(20)
    events[:2, -1] = np.nan
    with pytest.raises(InvalidInputError, match=r"newest event must be there\. Got '2 sequences"):
        learn(events, labels, QUICK)
