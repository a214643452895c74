"""What detectors of single series share: every metric is judged by itself, and the worst one counts."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.contracts import Bools, Detector, Floats, OnStep, Panel, Params, State, Tags, param
from core.features.period import usual_window
from core.features.rolling import filled
from core.features.scaling import Scale, robust_scale

LEAST = 4
"""Periods below which a window has no shape."""
LATEST = 10_000
"""Latest periods of the training that tell what is usual."""


@dataclass(frozen=True)
class SeriesParams(Params):
    window: int = param(
        0,
        help="Periods in a window; 0 = the period found in each metric",
        low=0,
        high=10_000,
        unit="periods",
    )
    align: str = param(
        "trailing",
        help="Judge a period by what came up to it (causal), or by the whole panel (looks ahead)",
        choices=("trailing", "centre"),
    )


class SeriesDetector(Detector):
    """Base of the detectors that follow one metric of one entity at a time.

    A metric's values are put into robust standard deviations over all entities; a missing one repeats the
    last before it and is given no score. A judgement is standardised by the median and spread that it had
    in training, metric by metric; the score of a period is that of its worst metric.

    A subclass writes `_judge`.
    """

    tags = Tags(min_times=LEAST)
    Params = SeriesParams

    @abstractmethod
    def _judge(self, series: Floats, window: int) -> Floats:
        """(n_entity, n_time) values of one metric → as many judgements, NaN where none can be given."""

    def _fit(self, panel: Panel, labels: Bools | None, on_step: OnStep | None) -> State:
        scale = Scale.learn(panel.values)
        values = np.moveaxis(panel.values, 2, 0)
        found = [self.params.window or max(usual_window(series), LEAST) for series in values]
        state = {**scale.state, "window": np.array(found)}
        latest = panel.select(times=slice(max(0, len(panel.periods) - LATEST), None))
        usual, spread = robust_scale(self._judged(state, latest), axis=(0, 1))
        return {**state, "usual": usual, "usual_spread": spread}

    def _score(self, scorer: Any, panel: Panel) -> Floats:
        judged = (self._judged(scorer, panel) - scorer["usual"]) / scorer["usual_spread"]
        worst = np.where(np.isnan(judged), -np.inf, judged).max(axis=2)
        return np.where(np.isneginf(worst), 0.0, worst)

    def _judged(self, state: Any, panel: Panel) -> Floats:
        """(n_entity, n_time, n_metric), NaN where a value is missing."""
        values = (panel.values - state["centre"]) / state["spread"]
        return np.stack(
            [
                np.where(
                    np.isnan(series), np.nan, self._judge(filled(series, "forward")[0], int(window))
                )
                for series, window in zip(np.moveaxis(values, 2, 0), state["window"], strict=True)
            ],
            axis=2,
        )
