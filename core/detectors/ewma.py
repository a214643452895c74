"""EWMA control chart: small lasting shifts, summed up until they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.contracts import (
    Bools,
    Floats,
    OnStep,
    Panel,
    Params,
    State,
    StreamingDetector,
    Tags,
    param,
)
from core.errors import InvalidInputError
from core.features.scaling import Scale

REACH = 6.0
"""Standard deviations of one value that the average remembers; beyond, one wild day would last for weeks."""


@dataclass(frozen=True)
class EwmaParams(Params):
    weight: float = param(
        0.3,
        help="Weight of the newest value; smaller sees smaller, slower shifts",
        low=0.01,
        high=1.0,
    )


class Ewma(StreamingDetector):
    """How far an exponentially weighted average has left its usual band.

    Every metric of every entity keeps z ← λ·x + (1 − λ)·z of its robustly standardised values, and a chart
    with the exact limits σ·√(λ / (2 − λ) · (1 − (1 − λ)^2n)) after n values; the score is |z| in these, of
    the worst metric. A missing value leaves z as it is. The value of the day counts in full, but what is
    remembered of it ends at 6 standard deviations.

    Good for: shifts of half a standard deviation or more that last; one cheap chart for each of many metrics.
    Bad for: seasons and trends, which leave the band by themselves: feed it residuals. Shapes.
    Score: standard deviations of the average, 0 and up; 3 is the usual limit. Cost: linear, point by point.

    Source: Roberts, Control Chart Tests Based on Geometric Moving Averages (Technometrics 1959); exact
    limits as in Lucas & Saccucci, Exponentially Weighted Moving Average Control Schemes (Technometrics
    1990), section 2.
    """

    name = "ewma"
    source = "Roberts, Control Chart Tests Based on Geometric Moving Averages (Technometrics 1959)"
    tags = Tags(streaming=True, min_times=3)
    Params = EwmaParams

    def _fit(self, panel: Panel, labels: Bools | None, on_step: OnStep | None) -> State:
        return Scale.learn(panel.values).state

    def _open(self, state: State) -> Scale:
        return Scale.of(state)

    def begin(self, entities: Sequence[str]) -> State:
        shape = (len(entities), len(self.scorer.centre))
        return {"average": np.zeros(shape), "old": np.ones(shape)}

    def _update(self, running: State, points: Floats) -> tuple[State, Floats]:
        average, old = np.asarray(running["average"]), np.asarray(running["old"])
        if points.shape != average.shape:
            rule = f"of shape {average.shape}, one row per entity begun"
            raise InvalidInputError.of(self.name, "points", rule, points.shape)
        later, scores = self._step(self.scorer, average, old, points)
        return {"average": later[0], "old": later[1]}, scores

    def _score(self, scorer: Any, panel: Panel) -> Floats:
        n_entity, n_time, n_metric = panel.values.shape
        average, old = np.zeros((n_entity, n_metric)), np.ones((n_entity, n_metric))
        scores = np.empty((n_entity, n_time))
        for time in range(n_time):
            (average, old), scores[:, time] = self._step(
                scorer, average, old, panel.values[:, time]
            )
        return scores

    def _step(
        self, scale: Scale, average: Floats, old: Floats, points: Floats
    ) -> tuple[tuple[Floats, Floats], Floats]:
        """Averages and the share of them that is still the start, (n_entity, n_metric), one period on."""
        weight = self.params.weight
        seen = ~np.isnan(points)
        values = np.where(seen, (points - scale.centre) / scale.spread, 0.0)
        now = np.where(seen, weight * values + (1 - weight) * average, 0.0)
        old = np.where(seen, (1 - weight) * old, old)
        limit = np.sqrt(weight / (2 - weight) * (1 - old**2))
        kept = weight * np.clip(values, -REACH, REACH) + (1 - weight) * average
        average = np.where(seen, kept, average)
        distance = np.where(seen, np.abs(now) / np.where(seen, limit, 1.0), 0.0)
        return (average, old), np.asarray(distance.max(axis=1))
