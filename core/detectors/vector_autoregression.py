"""Vector autoregression: all metrics of an entity forecast from the recent past of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.contracts import Bools, Detector, Floats, OnStep, Panel, Params, State, Tags, param

REACH = 12.0
"""Standard deviations at which a value is clipped before it forecasts others."""
FAR = 50.0
"""Residual standard deviations beyond which one residual is as odd as another."""
LEAST = 1e-3
"""Smallest standard deviation of a residual; a metric that never moved is forecast without any."""
CHUNK = 4_096
"""Rows whose design is held at once."""


@dataclass(frozen=True)
class VectorAutoregressionParams(Params):
    lags: int = param(3, help="Latest periods that forecast", low=1, high=100, unit="periods")
    short: int = param(
        0, help="Length of a trailing mean that forecasts too; 0 = none", low=0, high=10_000
    )
    long: int = param(
        0, help="Length of a longer trailing mean that forecasts too; 0 = none", low=0, high=10_000
    )
    ridge: float = param(
        0.1, help="Penalty on the weights, as a share of a metric's variance", low=1e-6, high=100.0
    )
    smooth: int = param(
        1, help="Periods over which the score is averaged, ending with its own", low=1, high=10_000
    )


class VectorAutoregression(Detector):
    """How far the metrics of a period are from their joint forecast one step ahead.

    Ridge regression of every metric on the last few periods of all metrics, one model for all entities;
    the residuals in their own standard deviations (of training), up to 50, as their root mean square. What
    breaks the interplay of the metrics stands out although each of them stays in its range.

    Good for: many metrics of one system; breaks, spikes and metrics that part company; says which metric.
    Bad for: a slow drift, which it forecasts; entities of very unlike dynamics in one panel.
    Score: residual standard deviations, 0 and up. Cost: metrics² · lags per period.

    Source: Lütkepohl, New Introduction to Multiple Time Series Analysis (2005), sections 3.2 and 4.6; ridge
    after Hoerl & Kennard, Ridge Regression (Technometrics 1970).
    """

    name = "vector-autoregression"
    source = (
        "Lütkepohl, New Introduction to Multiple Time Series Analysis (2005), sections 3.2, 4.6"
    )
    # matrix products of other shapes add up in another order
    tags = Tags(min_times=8, tolerance=1e-9)
    Params = VectorAutoregressionParams

    def _fit(self, panel: Panel, labels: Bools | None, on_step: OnStep | None) -> State:
        flat = panel.values.reshape(-1, panel.values.shape[-1])
        known = ~np.isnan(flat)
        count = np.maximum(known.sum(axis=0), 1)
        centre = np.where(known, flat, 0.0).sum(axis=0) / count
        spread = np.sqrt((np.where(known, flat - centre, 0.0) ** 2).sum(axis=0) / count)
        scale = {"centre": centre, "spread": np.where(spread > 1e-6, spread, 1.0)}
        values = standardised(panel.values, scale)

        n_column = len(panel.metrics) * (self.params.lags + len(self._means)) + 1
        gram, moment = np.zeros((n_column, n_column)), np.zeros((n_column, len(panel.metrics)))
        rows = 0
        for design, target, seen in self._rows(values, np.isnan(panel.values)):
            gram += design[seen].T @ design[seen]
            moment += design[seen].T @ target[seen]
            rows += int(seen.sum())
        penalty = self.params.ridge * max(rows, 1) * np.eye(n_column)
        weights = np.linalg.solve(gram + penalty, moment)
        square = sum(
            ((target - design @ weights)[seen] ** 2).sum(axis=0)
            for design, target, seen in self._rows(values, np.isnan(panel.values))
        )
        residual = np.maximum(np.sqrt(square / max(rows, 1)), LEAST)
        return {**scale, "weights": weights, "residual": residual}

    def _score(self, scorer: Any, panel: Panel) -> Floats:
        squares = np.mean(self._squares(scorer, panel), axis=-1)
        return trailing_mean(np.sqrt(squares), self.params.smooth)

    def attribute(self, panel: Panel) -> Floats:
        """Squared residual of every metric, (n_entity, n_time, n_metric), smoothed like the score."""
        self._check_metrics(panel)
        squares = self._squares(self.scorer, panel)
        return np.stack(
            [trailing_mean(metric, self.params.smooth) for metric in np.moveaxis(squares, -1, 0)],
            axis=-1,
        )

    @property
    def _means(self) -> tuple[int, ...]:
        return tuple(filter(None, (self.params.short, self.params.long)))

    def _squares(self, scorer: Any, panel: Panel) -> Floats:
        values = standardised(panel.values, scorer)
        squares = np.zeros(values.shape)
        flat = squares.reshape(-1, values.shape[-1])
        start = 0
        for design, target, _ in self._rows(values, np.isnan(panel.values)):
            apart = np.abs(target - design @ scorer["weights"]) / scorer["residual"]
            flat[start : start + len(target)] = np.minimum(apart, FAR) ** 2
            start += len(target)
        return np.where(np.isnan(panel.values), 0.0, squares)

    def _rows(self, values: Floats, missing: Bools) -> Iterator[tuple[Floats, Floats, Bools]]:
        """Design, target, and whether the row may teach, of the periods of each entity in turn.

        Before its first period an entity is taken to have stood still.
        """
        lags = self.params.lags
        observed = np.asarray(~missing.all(axis=-1))
        for entity, own in enumerate(values):
            before = np.concatenate([np.repeat(own[:1], lags, axis=0), own])
            past = [before[lags - lag : len(before) - lag] for lag in range(1, lags + 1)]
            past += [trailing_mean(before[lags - 1 : -1].T, span).T for span in self._means]
            for start in range(0, len(own), CHUNK):
                cut = slice(start, start + CHUNK)
                parts = [block[cut] for block in past]
                design = np.column_stack([*parts, np.ones(len(parts[0]))])
                seen = observed[entity, cut] & (np.arange(start, start + len(design)) >= lags)
                yield design, own[cut], seen


def standardised(values: Floats, scale: Any) -> Floats:
    """Values in standard deviations from the mean, within ±12; a missing one is as expected."""
    away = (values - np.asarray(scale["centre"])) / np.asarray(scale["spread"])
    return np.asarray(np.nan_to_num(np.clip(away, -REACH, REACH)))


def trailing_mean(values: Floats, span: int) -> Floats:
    """Mean of the last `span` values along the last axis, of those there are near its start."""
    if span == 1:
        return values
    n = values.shape[-1]
    total = np.zeros((*values.shape[:-1], n + 1))
    np.cumsum(values, axis=-1, out=total[..., 1:])
    ends = np.arange(1, n + 1)
    starts = np.maximum(ends - span, 0)
    return np.asarray((total[..., ends] - total[..., starts]) / (ends - starts))
