"""Why an entity's day scored high: shares by day and metric, taken from the real ensemble."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from math import factorial

import numpy as np
from numpy.typing import NDArray

from core import lifecycle
from core.contracts import (
    Attribution,
    Bools,
    Detector,
    Floats,
    Panel,
    Periods,
    StreamingDetector,
    Times,
)
from core.ensembles.calibrated import CalibratedEnsemble, Votes
from core.errors import InvalidInputError
from core.features.windows import windows

LENGTH = 14
"""Days that share a score."""
CELLS = 12
"""Largest residuals of a window whose days are told apart; smaller ones decide nothing."""
MOST_METRICS = 8
"""Exact Shapley values need 2^metrics rescorings; of more metrics those furthest off play, the others stay as seen."""
NUMBERS = 30_000_000
"""Numbers asked about at once; more alarms than that take turns."""
TOTAL = ""
Judgement = tuple[Floats, Mapping[str, Floats]]
"""p-values (n_entity, n_time) of an ensemble and of its parts."""


class EnsembleAttribution:
    """Exact Shapley shares of the metrics, split over days by what each day's return to normal takes away.

    Players are the metrics of the last 14 days (periods, where those are shorter), of more than 8 those that
    are furthest off; the others stay as they were seen. A player that does not play stands at its expectation,
    residual 0. All 2^d coalitions are scored by the very parts, thresholds and combination that raised
    the alarm, so a metric's share is its exact Shapley value of −log10 p, for every part and for the
    total. Within a metric the share goes to days in proportion to how far the score falls when that
    one cell alone is put back to its expectation.

    base : the score of a window in which everything is as expected
    gap  : what a window of 14 days does not show: older days, and what a streaming part learned since
           it was fitted (it is asked as a frozen copy: explaining never teaches)

    Any other detector is explained in its own score. Cost: 2^d + 12 rescorings of one window per alarm, of
    its last day alone.

    Source: Shapley, A Value for n-Person Games (1953); Strumbelj & Kononenko (JMLR 2010) for its use here.
    """

    def explain(
        self,
        detector: Detector,
        panel: Panel,
        at: Sequence[tuple[str, int]],
        judged: Judgement | None = None,
    ) -> list[Attribution]:
        """One attribution per (entity, time index) of `at`; shares.sum() + base + gap == score.

        judged : what `judge` of the ensemble said of this panel; it is asked again where this is absent
        """
        with lifecycle.operation(
            detector.name, detector.model_id, "explain", len(at), LENGTH, detector.tags.extra
        ):
            questions = 2 ** min(len(panel.metrics), MOST_METRICS) + CELLS
            many = max(1, NUMBERS // (questions * LENGTH * len(panel.metrics)))
            return [
                told
                for start in range(0, len(at), many)
                for told in _explained(detector, panel, at[start : start + many], judged)
            ]


def _explained(
    detector: Detector, panel: Panel, at: Sequence[tuple[str, int]], judged: Judgement | None
) -> list[Attribution]:
    rows = panel.rows(entity for entity, _ in at)
    times = np.array([time for _, time in at], dtype=np.intp)
    # negative times would silently explain another day
    if times.min() < 0 or times.max() >= len(panel.periods):
        rule = f"in [0, {len(panel.periods) - 1}]"
        raise InvalidInputError.of("ensemble-attribution", "a time", rule, times.tolist())

    values, padded = windows(panel, LENGTH)
    cells = np.where(padded[rows, times, :, None], np.nan, values[rows, times])
    players = _players(cells)
    plays = _coalitions(players.shape[1])
    asked, where = _questions(cells, players, plays)
    answers = _answers(detector, panel, asked)
    scores = _scores(detector, panel, rows, times, judged)
    days = [
        panel.periods.labels[time] + panel.periods.step * np.arange(1 - LENGTH, 1) for time in times
    ]

    shared = {
        name: _attributions(
            at, days, panel.metrics, answers[name], scores[name], (players, plays), where
        )
        for name in scores
    }
    parts = [name for name in shared if name != TOTAL]
    return [
        dataclasses.replace(total, parts={name: shared[name][index] for name in parts})
        for index, total in enumerate(shared[TOTAL])
    ]


def _coalitions(players: int) -> Bools:
    """(2^players, players): who plays; the first row is nobody, the last is everybody."""
    return np.asarray((np.arange(2**players)[:, None] >> np.arange(players)) & 1, dtype=bool)


def _players(cells: Floats) -> NDArray[np.intp]:
    """(n, n_player) metrics that play, ascending: all, or those furthest off in each window."""
    metrics = cells.shape[2]
    if metrics <= MOST_METRICS:
        return np.broadcast_to(np.arange(metrics), (len(cells), metrics))
    far = np.nan_to_num(np.abs(cells)).max(axis=1)
    return np.sort(np.argsort(-far, axis=1, kind="stable")[:, :MOST_METRICS], axis=1)


def _questions(
    cells: Floats, players: NDArray[np.intp], plays: Bools
) -> tuple[Floats, tuple[NDArray[np.intp], ...]]:
    """Windows to be scored, (n, 2^d + CELLS, 14, d), and (alarm, day, metric) of the single cells put back."""
    n, _, metrics = cells.shape
    kept = np.ones((n, len(plays), metrics), dtype=bool)
    kept[np.arange(n)[:, None], :, players] = plays.T
    # NaN · 0 stays NaN: what was missing stays missing in every coalition
    coalitions = cells[:, None] * kept[:, :, None, :]
    size = np.abs(np.nan_to_num(cells)).reshape(n, -1)
    largest = np.argsort(-size, axis=1, kind="stable")[:, :CELLS]
    day, metric = np.divmod(largest, metrics)
    alarm = np.broadcast_to(np.arange(n)[:, None], day.shape)
    put_back = np.repeat(cells[:, None], largest.shape[1], axis=1)
    put_back[alarm, np.arange(largest.shape[1]), day, metric] *= 0.0
    return np.concatenate([coalitions, put_back], axis=1), (alarm, day, metric)


def _answers(detector: Detector, panel: Panel, asked: Floats) -> Mapping[str, Floats]:
    """Scores (n, 2^d + CELLS) of every part, and of the whole under `TOTAL`, by frozen copies."""
    n, questions, length, _ = asked.shape
    labels = panel.periods.labels[-1] + panel.periods.step * np.arange(1 - length, 1)
    worlds = Panel(
        asked.reshape(n * questions, length, -1),
        tuple(map(str, range(n * questions))),
        panel.metrics,
        Periods(labels, panel.periods.step),
    )
    if not isinstance(detector, CalibratedEnsemble):
        return {TOTAL: _frozen(detector).score_last(worlds).reshape(n, questions)}
    votes: Votes = detector.scorer
    members = {name: _frozen(member) for name, member in votes.members.items()}
    part_p = dataclasses.replace(votes, members=members).part_p(worlds, 1)
    p_values = {**dict(zip(members, part_p, strict=True)), TOTAL: votes.p(part_p)}
    return {name: _surprise(p).reshape(n, questions) for name, p in p_values.items()}


def _scores(
    detector: Detector,
    panel: Panel,
    rows: NDArray[np.intp],
    times: NDArray[np.intp],
    judged: Judgement | None,
) -> Mapping[str, Floats]:
    """The scores that were really given, (n,), of every part and of the whole."""
    last = len(panel.periods) - int(times.min())
    if not isinstance(detector, CalibratedEnsemble):
        return {TOTAL: detector.score(panel, last=last)[rows, times - len(panel.periods)]}
    whole, parts = judged or detector.judge(panel, last=last)
    return {name: _surprise(p[rows, times]) for name, p in {**parts, TOTAL: whole}.items()}


def _surprise(p_values: Floats) -> Floats:
    return np.asarray(-np.log10(p_values) + 0.0)


def _frozen(detector: Detector) -> Detector:
    """A copy that never learns while it scores: asking must not change what is asked."""
    return detector.frozen() if isinstance(detector, StreamingDetector) else detector


def _attributions(
    at: Sequence[tuple[str, int]],
    days: Sequence[Times],
    metrics: tuple[str, ...],
    answers: Floats,
    scores: Floats,
    game: tuple[NDArray[np.intp], Bools],
    where: tuple[NDArray[np.intp], ...],
) -> list[Attribution]:
    players, plays = game
    coalitions, without = answers[:, : len(plays)], answers[:, len(plays) :]
    shapley = np.zeros((len(at), len(metrics)))
    np.put_along_axis(shapley, players, coalitions @ _shapley_weights(plays).T, axis=1)
    base, whole = coalitions[:, 0], coalitions[:, -1]
    fall = np.zeros((len(at), LENGTH, len(metrics)))
    fall[where] = np.maximum(whole[:, None] - without, 0.0)
    # where no day alone matters, the last one stands for all
    fall[:, -1] += np.where(fall.sum(axis=1) > 0, 0.0, 1.0)
    shares = shapley[:, None, :] * fall / fall.sum(axis=1, keepdims=True)
    return [
        Attribution(
            entity,
            days[index],
            metrics,
            shares[index],
            float(scores[index]),
            float(base[index]),
            float(scores[index] - base[index] - shares[index].sum()),
        )
        for index, (entity, _) in enumerate(at)
    ]


def _shapley_weights(plays: Bools) -> Floats:
    """(d, 2^d): a player's Shapley value is this row times the values of the coalitions."""
    players = plays.shape[1]
    size = plays.sum(axis=1)
    orders = np.array([factorial(s) * factorial(players - 1 - s) for s in range(players)])
    joining = orders / factorial(players)
    with_it = joining[np.maximum(size - 1, 0)]
    without_it = joining[np.minimum(size, players - 1)]
    return np.asarray(np.where(plays.T, with_it, -without_it))
