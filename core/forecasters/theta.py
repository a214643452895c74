"""The dynamic optimised theta method: between a straight line and an exponentially smoothed curve."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.contracts import Floats, Tags
from core.forecasters.decomposition import is_seasonal, seasonal_indices
from core.forecasters.search import least
from core.forecasters.series import Cycles, Integers, Model, SeriesForecaster, SeriesParams
from core.kernel import kernel

LOW = (0.01, 1.0)
HIGH = (0.99, 10.0)
"""Bounds of α and θ."""
FEW = 12
"""Periods below which α and θ are not chosen but usual."""
USUAL = (0.5, 2.0)
WARM = 3


class Form(NamedTuple):
    """The season taken out: its period, 1 for none, and whether values are divided by it."""

    period: int
    divides: int

    def without_season(self, values: Floats, indices: Floats, phases: Integers) -> Floats:
        """Values (n, n_time) with their season, indices (n, period), taken out."""
        season = indices[:, phases % self.period]
        return values / season if self.divides else values - season


class Theta(SeriesForecaster):
    """The dynamic optimised theta method on each series, seasons taken out first.

    A series is seasonal where its autocorrelation at the period passes the M4 competition's test; then it
    is divided by the indices of the classical decomposition (or they are subtracted, where a value is not
    above 0), kept by the phase of the calendar. What is left is forecast between its running trend line
    and a smoothed curve; θ and the smoothing α minimise the squared errors one step ahead.

    Good for: trends that flatten; few values. Bad for: seasons that change, several of them.
    Units: those of the panel. Cost: some 5 ms a series of 1,000 periods to learn, 0.1 ms to follow.

    Source: Fiorucci, Pellegrini, Louzada, Petropoulos & Koehler, Models for optimising the theta method
    (International Journal of Forecasting 2016), section 3.3.
    """

    name = "theta"
    source = (
        "Fiorucci et al., Models for optimising the theta method "
        "(International Journal of Forecasting 2016), section 3.3"
    )
    tags = Tags(min_times=15, modules=("numba",))
    Params = SeriesParams

    def _learn(self, values: Floats, phases: Integers, cycles: Cycles) -> Model:
        period = max(cycles)
        divides = bool(np.nanmin(values) > 0)
        times, known = np.arange(len(values)), ~np.isnan(values)
        whole = np.interp(times, times[known], values[known])
        form = Form(period if is_seasonal(whole, cycles.short) else 1, int(divides))
        indices = np.full(form.period, float(divides))
        if form.period > 1:
            places = (np.arange(form.period) - phases[0]) % form.period
            indices = seasonal_indices(whole, form.period, divides)[places]
        if len(values) < FEW:
            return Model(form, np.concatenate([USUAL, indices]))
        plain = form.without_season(values, indices[None], phases)
        skip = min(WARM, len(values) // 2)

        def loss(chosen: Floats) -> Floats:
            told = _predictions(chosen, np.repeat(plain.T, len(chosen), axis=1))
            errors = np.where(known[skip:, None], plain.T[skip:] - told[skip:], 0.0)
            return np.asarray((errors * errors).sum(axis=0))

        chosen, _ = least(loss, np.array(LOW), np.array(HIGH))
        return Model(form, np.concatenate([chosen, indices]))

    def _follow(
        self, orders: tuple[int, ...], weights: Floats, values: Floats, phases: Integers
    ) -> Floats:
        form = Form(*orders)
        indices = weights[:, 2 : 2 + form.period]
        plain = form.without_season(values, indices, phases)
        told = _predictions(weights[:, :2], plain.T.copy()).T
        season = indices[:, phases % form.period]
        return told * season if form.divides else told + season

    def _warm(self, orders: tuple[int, ...]) -> int:
        return WARM


def _predictions(chosen: Floats, values: Floats) -> Floats:
    """(n_time, n) predictions of values (n_time, n) with α and θ (n, 2)."""
    predictions = np.empty_like(values)
    alpha, theta = np.ascontiguousarray(chosen.T)
    kernel(_run)(values, alpha, theta, predictions)
    return predictions


def _run(values: Floats, alpha: Floats, theta: Floats, predictions: Floats) -> None:
    """Equations 18 to 23 of the source, side by side for n series; (n_time, n) arrays."""
    n_time, n = values.shape
    level, start, slope, mean = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    faded, seen = np.ones(n), np.zeros(n)
    for time in range(n_time):
        for column in range(n):
            value, t = values[time, column], seen[column]
            if t == 0:
                predictions[time, column] = value
                if np.isnan(value):
                    continue
                level[column] = value / theta[column]
            else:
                # start and slope of the line through all values so far, seen from the smoothed curve
                rest = 1.0 - 1.0 / theta[column]
                reach = (1.0 - faded[column] * (1.0 - alpha[column])) / alpha[column]
                line = faded[column] * start[column] + reach * slope[column]
                predictions[time, column] = level[column] + rest * line
                if np.isnan(value):
                    value = predictions[time, column]
            t += 1.0
            before = mean[column]
            mean[column] += (value - before) / t
            if t > 1:
                fall = (t - 2.0) * slope[column] + 6.0 / t * (value - before)
                slope[column] = fall / (t + 1.0)
            start[column] = mean[column] - (t + 1.0) / 2.0 * slope[column]
            level[column] += alpha[column] * (value - level[column])
            faded[column] *= 1.0 - alpha[column]
            seen[column] = t
