"""What detectors and ensembles keep: a score is finite, tells days apart, and is high on a spike."""

from __future__ import annotations

import numpy as np

from core.artifact import pack, unpack
from core.checks.subject import Check, Subject, fitted, make, require, same
from core.samples import SPIKE, sample, spiked


def check_scores_shaped(subject: Subject) -> None:
    """Scores are float64 of shape (n_entity, n_time), finite."""
    scores = fitted(subject).score(spiked())
    require(scores.shape == (24, 42), subject, "one score per entity and time")
    require(scores.dtype == np.float64, subject, "scores must be float64")
    require(np.isfinite(scores).all(), subject, "scores must be finite")


def check_scores_vary(subject: Subject) -> None:
    """Different ordinary days get different scores."""
    scores = fitted(subject).score(sample())
    require(len(np.unique(scores[:, 20:])) > 100, subject, "scores must tell days apart")


def check_last_is_last(subject: Subject) -> None:
    """`score_last` is the last column of `score`."""
    scores, last = fitted(subject).score(spiked()), fitted(subject).score_last(spiked())
    require(last.shape == (24,), subject, "one last score per entity")
    require(same(subject, last, scores[:, -1]), subject, "score_last must be the last of score")


def check_spike_on_top(subject: Subject) -> None:
    """A planted spike scores higher than every other day up to then: higher = more anomalous."""
    scores = fitted(subject).score(spiked())[:, : SPIKE[1] + 1]
    require(
        scores.argmax() == np.ravel_multi_index(SPIKE, scores.shape), subject, "spike must be top"
    )


def check_offset_and_scale(subject: Subject) -> None:
    """Metrics in the billions, moving in millions, give finite scores with the spike on top."""
    big = sample().with_values(1e9 + 1e6 * sample().values)
    scores = make(subject).fit(big).score(big.with_values(1e9 + 1e6 * spiked().values))
    require(scores[:, SPIKE[1]].argmax() == SPIKE[0], subject, "units must not hide the spike")


def check_stream_is_batch(subject: Subject) -> None:
    """Point by point, with the running state saved and opened in between, is the batch bit for bit."""
    algorithm, panel = fitted(subject), spiked()
    running = algorithm.begin(panel.entities)
    scores = np.empty(panel.values.shape[:2])
    for time in range(len(panel.periods)):
        saved = pack(running)
        later, scores[:, time] = algorithm.update(unpack(saved), panel.values[:, time])
        require(pack(running) == saved, subject, "update must not change the state it was given")
        running = later
    require(np.array_equal(scores, algorithm.score(panel)), subject, "stream must equal batch")


SCORES: tuple[Check, ...] = (
    check_scores_shaped,
    check_scores_vary,
    check_last_is_last,
    check_spike_on_top,
    check_offset_and_scale,
)
