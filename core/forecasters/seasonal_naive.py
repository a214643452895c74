"""Seasonal naive: the next Monday is like the last one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.contracts import Bools, Floats, Forecaster, OnStep, Panel, State, Tags, param
from core.errors import NotEnoughDataError
from core.forecasters.intervals import IntervalParams
from core.forecasters.series import trailing

FLOOR = 0.05
"""Least error scale of an entity, as a share of the pooled one: a series flat so far may still move."""


@dataclass(frozen=True)
class SeasonalNaiveParams(IntervalParams):
    season: int = param(7, help="Periods after which the pattern repeats", low=1, high=400)
    memory: int = param(
        56,
        help="Latest periods whose errors tell an entity's spread",
        low=2,
        high=1_000,
        unit="periods",
    )


class SeasonalNaive(Forecaster):
    """The last known value of the same weekday, with an interval from past errors.

    middle = the newest value a whole number of seasons earlier. The interval is middle + q · scale:
    `scale` is the entity's own mean absolute error over its latest `memory` periods, `q` the pooled
    quantiles of error / scale learned by `fit`, widening with √seasons ahead.

    Good for: a yardstick that every forecaster must beat; strong weekly patterns.
    Bad for: trends; after a spike it expects the spike again one season later.
    An entity never seen in training is forecast from its own history, with the pooled quantiles.
    Units: those of the panel. Cost: linear in the panel.

    Source: Hyndman & Athanasopoulos, Forecasting: Principles and Practice (3rd ed., 2021), sections 5.2
    and 5.5.
    """

    name = "seasonal-naive"
    source = (
        "Hyndman & Athanasopoulos, Forecasting: Principles and Practice (2021), sections 5.2, 5.5"
    )
    tags = Tags(min_times=15)
    Params = SeasonalNaiveParams

    def _fit(self, panel: Panel, labels: Bools | None, on_step: OnStep | None) -> State:
        needed = 2 * self.params.season + 1
        if len(panel.periods) < needed:
            rule = f"at least {needed}, two seasons and one"
            raise NotEnoughDataError.of(self.name, "periods", rule, len(panel.periods))
        error = panel.values - self._middle(panel.values)[:, :-1]
        pooled = np.array([_mean(np.abs(error[..., metric])) for metric in range(error.shape[-1])])
        pooled = np.where(pooled > 0, pooled, 1.0)
        ratio = error / self._scale(error, pooled)[:, :-1]
        tail = (1 - self.params.coverage) / 2
        known = [column[~np.isnan(column)] for column in ratio.reshape(-1, ratio.shape[-1]).T]
        quantiles = [
            np.quantile(column, [tail, 1 - tail]) if column.size else np.array([-1.0, 1.0])
            for column in known
        ]
        return {"pooled": pooled, "quantiles": np.array(quantiles)}

    def _predict(self, scorer: Any, panel: Panel) -> Floats:
        middle = self._middle(panel.values)[:, :-1]
        scale = self._scale(panel.values - middle, scorer["pooled"])[:, :-1]
        return _interval(middle, scale, scorer["quantiles"])

    def _forecast(self, scorer: Any, panel: Panel, horizon: int) -> Floats:
        season = self.params.season
        errors = panel.values - self._middle(panel.values)[:, :-1]
        scale = self._scale(errors, scorer["pooled"])[:, -1:]
        ahead = np.arange(horizon)
        last = self._last_season(panel.values)[:, -season:]
        widening = np.sqrt(1.0 + ahead // season)[:, None]
        return _interval(last[:, ahead % season], scale * widening, scorer["quantiles"])

    def _middle(self, values: Floats) -> Floats:
        """(n_entity, n_time + 1, n_metric): for each period and the next one, the value to expect."""
        lead = np.full_like(values[:, :1], np.nan)
        season = self.params.season
        held = self._last_season(values)
        moved = np.concatenate([np.repeat(lead, season, axis=1), held], axis=1)
        return moved[:, : values.shape[1] + 1]

    def _last_season(self, values: Floats) -> Floats:
        """Values with a gap filled by the newest value of the same phase."""
        held = values.copy()
        season = self.params.season
        for start in range(season, values.shape[1], season):
            block = held[:, start : start + season]
            before = held[:, start - season : start][:, : block.shape[1]]
            np.copyto(block, before, where=np.isnan(block))
        return held

    def _scale(self, errors: Floats, pooled: Floats) -> Floats:
        """(n_entity, n_time + 1, n_metric): mean |error| of the periods before each.

        Until an entity has a season of errors of its own, the pooled scale stands in for the rest.
        """
        season = self.params.season
        total, count = trailing(np.abs(errors), max(season, self.params.memory))
        borrowed = np.maximum(season - count, 0)
        mean = (total + borrowed * pooled) / (count + borrowed)
        return np.asarray(np.maximum(mean, FLOOR * pooled))


def _interval(middle: Floats, scale: Floats, quantiles: Floats) -> Floats:
    """middle and scale (…, n_metric) → (…, n_metric, 3); the middle is never outside."""
    low = middle + np.minimum(quantiles[:, 0], 0.0) * scale
    high = middle + np.maximum(quantiles[:, 1], 0.0) * scale
    return np.stack([low, middle, high], axis=-1)


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else 0.0
