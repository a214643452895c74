"""P-values of a stream of scores that keep their promise while the stream drifts."""

from __future__ import annotations

import math

import numpy as np

from core.contracts import Floats, State
from core.kernel import kernel
from core.threshold import pareto, survival

BUFFER = 1_000
"""Latest scores of an entity that a new one is compared with."""
TAIL = 0.1
"""Share of the buffer that the tail is fitted to."""
LEAST_TAIL = 20
"""Excesses below which a tail is not fitted; the p-value then ends at 1 / (n + 1)."""
LEVELS = np.array([0.5, 0.2, 0.05, 0.01, 0.001])
"""Alarm rates that are held; between them the correction is interpolated."""
RATES = np.array([0.05, 0.1, 0.1, 0.25, 0.5])
"""How far one alarm moves the correction of each level, as a share: rare ones must teach more each."""
REACH = 3.0
"""Largest correction, as a logarithm: a factor of 20 either way."""
EXTREME = 1e-4
"""A p-value at or below it is an anomaly until it has lasted."""
PATIENCE = 20
"""Extreme scores of one bout that are kept out of the buffer; one that lasts longer is a new normal."""


def begin(n_entity: int) -> State:
    """The running state of entities that no score was seen of yet.

    recent  : (n_entity, BUFFER) accepted scores, oldest first, NaN where there are none yet
    working : (n_entity, n_level) logarithm of the buffer's p-value at which each level's alarm is raised
    bout    : (n_entity,) extreme scores in a row, falling by half for every other one
    """
    return {
        "recent": np.full((n_entity, BUFFER), np.nan),
        "working": np.tile(np.log(LEVELS), (n_entity, 1)),
        "bout": np.zeros(n_entity),
    }


def adaptive_p(scores: Floats) -> Floats:
    """(n_entity, n_time) scores → p-values in (0, 1], each from the scores up to its own only."""
    return adapt(begin(len(scores)), scores)[1]


def adapt(running: State, scores: Floats) -> tuple[State, Floats]:
    """Next scores (n_entity, n_time), in order → (new running state, their p-values); pure.

    Each score is ranked among the latest 1,000 of its entity, with a generalised Pareto tail over the
    top tenth, so that p goes below 1/1,000. That follows drift but lags behind it. So each of five alarm
    rates has a working level beside its nominal one: every alarm lowers it, every quiet score raises it
    a little, until alarms come as often as they should, whatever the drift (adaptive conformal
    inference, here in logarithms, so that a rate of 0.1 % is held like one of 5 %; a step per level
    stands for the several experts of DtACI).

    A bout of extreme scores counts as one alarm and stays out of the buffer, so an anomaly neither
    becomes usual nor silences the next; after 20 of them it is a new normal and is let in. A NaN is
    given p = 1 and changes nothing. Scores in parts give what they give at once.

    Source: Gibbs & Candès, Adaptive Conformal Inference Under Distribution Shift (NeurIPS 2021),
    section 2, and Conformal Inference for Online Prediction with Arbitrary Distribution Shifts (JMLR
    2024), section 3; tail after Siffer et al., Anomaly Detection in Streams with Extreme Value Theory
    (KDD 2017), section 4.
    """
    recent, working, bout = (
        np.array(running[role], dtype=np.float64) for role in ("recent", "working", "bout")
    )
    p = np.ones(scores.shape)
    compiled = kernel(_run, (pareto, survival, _rank_p, _corrected))
    compiled(np.ascontiguousarray(scores, dtype=np.float64), recent, working, bout, p)
    return {"recent": recent, "working": working, "bout": bout}, p


def _run(scores: Floats, recent: Floats, working: Floats, bout: Floats, p: Floats) -> None:
    """Fill `p` and bring the state on, in place."""
    nominal = np.log(LEVELS)
    for entity in range(len(scores)):
        ring, level = recent[entity], working[entity]
        ranked = np.empty(BUFFER)
        n = BUFFER - int(np.isnan(ring).sum())
        ranked[:n] = np.sort(ring[BUFFER - n :])
        oldest = 0
        for time in range(scores.shape[1]):
            score = scores[entity, time]
            if np.isnan(score):
                continue
            raw = math.log(_rank_p(ranked[:n], score))
            log_p = _corrected(raw, level, nominal)
            p[entity, time] = math.exp(log_p)

            extreme = log_p <= math.log(EXTREME)
            bout[entity] = bout[entity] + 1.0 if extreme else max(0.0, bout[entity] - 0.5)
            held = extreme and bout[entity] <= PATIENCE
            for at in range(len(level)):
                counts = raw <= level[at] and not (held and bout[entity] > 1.0)
                moved = level[at] + RATES[at] * (LEVELS[at] - (1.0 if counts else 0.0))
                level[at] = min(max(moved, nominal[at] - REACH), nominal[at] + REACH)
                # a rarer level never alarms before a more frequent one
                level[at] = min(level[at], (level[at - 1] if at else 0.0) - 1e-3)
            if held:
                continue

            out = ring[oldest]
            if not np.isnan(out):
                place = np.searchsorted(ranked[:n], out)
                ranked[place : n - 1] = ranked[place + 1 : n].copy()
                n -= 1
            place = np.searchsorted(ranked[:n], score)
            ranked[place + 1 : n + 1] = ranked[place:n].copy()
            ranked[place] = score
            n += 1
            ring[oldest] = score
            oldest = (oldest + 1) % BUFFER
        ring[:] = np.concatenate((ring[oldest:], ring[:oldest]))


def _rank_p(ranked: Floats, score: float) -> float:
    """How seldom the buffer, ascending, reaches a score."""
    n = len(ranked)
    n_tail = int(TAIL * n)
    if n_tail >= LEAST_TAIL:
        start = ranked[n - n_tail - 1]
        if start < score and start < ranked[n - 1]:
            scale, shape = pareto(ranked[n - n_tail :] - start)
            beyond = survival((score - start) / scale, shape)
            return float(max((n_tail + 1.0) / (n + 1.0) * beyond, 1e-300))
    return float((n - np.searchsorted(ranked, score) + 1.0) / (n + 1.0))


def _corrected(raw: float, level: Floats, nominal: Floats) -> float:
    """A raw log p through the line that leads from each working level to its nominal one, (0, 0) first."""
    right, right_nominal = 0.0, 0.0
    for at in range(len(level)):
        if raw > level[at]:
            share = (raw - level[at]) / (right - level[at])
            return float(min(nominal[at] + share * (right_nominal - nominal[at]), 0.0))
        right, right_nominal = level[at], nominal[at]
    return float(raw - right + right_nominal)
