"""Exponential smoothing: level, damped trend, one or two seasons."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from core.contracts import Floats, Tags
from core.forecasters.search import least
from core.forecasters.series import Cycles, Integers, Model, SeriesForecaster, SeriesParams
from core.kernel import kernel

LOW = (1e-3, 1e-4, 1e-3, 1e-3, 0.8, -0.3)
HIGH = (0.9999, 0.999, 0.999, 0.999, 0.98, 0.95)
"""Bounds of α, β / α, γ / (1 − α), γ′ / (1 − α), φ and ρ."""
START = 5
"""Periods of each of the two stretches that a series without seasons starts from."""
SHORT = 0.3
"""α of a series too short to tell."""
FEW = 12
TINY = 1e-12
LOWEST = 1e-6
"""Share of its smallest value above 0 that stands for a value that is not, in logarithms."""
TRENDS = ("none", "damped", "linear")


class Form(NamedTuple):
    """y = level + trend + season + longer season + ρ · last error, of y or of log y.

    trend : index in TRENDS; short, long : the periods of the seasons, 1 where there is none
    carry : 1 where the last error carries on, 0 where ρ = 0
    """

    trend: int
    short: int
    long: int
    carry: int
    log: int

    @property
    def box(self) -> tuple[Floats, Floats]:
        """Least and greatest of each weight; what the form has not stands still."""
        low, high = np.array(LOW), np.array(HIGH)
        has = np.array(
            [1, self.trend > 0, self.short > 1, self.long > 1, self.trend == 1, self.carry], bool
        )
        still = np.array([0, 0, 0, 0, float(self.trend == 2), 0])
        return np.where(has, low, still), np.where(has, high, still)

    @property
    def start(self) -> int:
        """Periods that the first level, trend and seasons are taken from."""
        longest = max(self.short, self.long)
        return 2 * (longest if longest > 1 else START)

    def taken(self, values: Floats, floor: Any) -> Floats:
        """The values, or their logarithms, on which the recursion runs."""
        return np.log(np.maximum(values, floor)) if self.log else values

    def predict(self, weights: Floats, values: Floats) -> Floats:
        """Predictions (n_time, n) of values (n_time, n) with weights (n, 6)."""
        alpha, beta, gamma, longer, damping, carry = np.ascontiguousarray(weights.T)
        steps = np.array([alpha, alpha * beta, (1 - alpha) * gamma, (1 - alpha) * longer])
        predictions = np.empty_like(values)
        kernel(_run)(values, self.short, self.long, steps, damping, carry, predictions)
        return predictions


class Ets(SeriesForecaster):
    """Exponential smoothing per series: level, trend and seasons that each learn from the last error.

    Trend (none, damped, linear), season (none, short, short and long), logarithms or not and whether an
    error carries on to the next period are chosen by the AICc of the errors one step ahead, in that order.
    The first two cycles give the first states and count neither for the choice nor as predictions.

    Good for: levels that wander, slow trends, one clear season. Bad for: long memory, many seasons.
    Units: those of the panel. Cost: some 20 ms a series of 1,000 periods to learn, 0.1 ms to follow.

    Source: Hyndman, Koehler, Ord & Snyder, Forecasting with Exponential Smoothing (2008), chapters 2 and 7;
    Taylor, Short-term electricity demand forecasting using double seasonal exponential smoothing (JORS
    2003), section 4, for the longer season and ρ.
    """

    name = "ets"
    source = (
        "Hyndman, Koehler, Ord & Snyder, Forecasting with Exponential Smoothing (2008), "
        "chapters 2 and 7"
    )
    tags = Tags(min_times=15, modules=("numba",))
    Params = SeriesParams

    def _learn(self, values: Floats, phases: Integers, cycles: Cycles) -> Model:
        floor = _floor(values)
        if len(values) < FEW:
            return Model(Form(0, 1, 1, 0, 0), np.array([SHORT, 0, 0, 0, 0, 0, floor]))
        seasons = [(1, 1), (cycles.short, 1), (cycles.short, cycles.long)]
        scales = (0, 1) if np.nanmin(values) > 0 else (0,)
        skip = min(Form(0, *cycles, 0, 0).start, len(values) // 2)
        fits: dict[Form, tuple[float, Floats]] = {}
        stages: tuple[Callable[[Form], Iterator[Form]], ...] = (
            lambda form: (
                form._replace(short=short, long=long, log=log)
                for short, long in seasons
                for log in scales
            ),
            lambda form: (form._replace(trend=trend) for trend in range(len(TRENDS))),
            lambda form: (form._replace(carry=carry) for carry in (0, 1)),
        )
        best = Form(1, 1, 1, 1, 0)
        for stage in stages:
            for form in stage(best):
                if form not in fits:
                    fits[form] = _fit(form, values, skip)
            best = min(fits, key=lambda form: fits[form][0])
        return Model(best, np.append(fits[best][1], floor))

    def _follow(
        self, orders: tuple[int, ...], weights: Floats, values: Floats, phases: Integers
    ) -> Floats:
        form = Form(*orders)
        told = form.predict(weights[:, :-1], form.taken(values, weights[:, -1:]).T).T
        return np.exp(told) if form.log else told

    def _warm(self, orders: tuple[int, ...]) -> int:
        return Form(*orders).start

    def _lent(self, orders: Integers, weights: Floats, early: Floats) -> Floats:
        return np.column_stack([weights[:, :-1], [_floor(row) for row in early]])


def _fit(form: Form, values: Floats, skip: int) -> tuple[float, Floats]:
    """AICc of the form and the weights that make it least."""
    series = form.taken(values, _floor(values))
    known = ~np.isnan(series[skip:])
    count, n_free = int(known.sum()), int(np.sum(form.box[0] < form.box[1])) + 1

    def loss(weights: Floats) -> Floats:
        told = form.predict(weights, np.repeat(series[:, None], len(weights), axis=1))
        errors = np.where(known, series[skip:] - told[skip:].T, 0.0)
        return np.asarray((errors * errors).sum(axis=1))

    weights, found = least(loss, *form.box)
    if not np.isfinite(found) or count <= n_free + 1:
        return np.inf, weights
    scale = TINY * max(1.0, float(np.nanvar(series)))
    likelihood = count * np.log(found / count + scale)
    if form.log:
        # the likelihood of log y beside that of y
        likelihood += 2.0 * float(np.nansum(series[skip:]))
    return float(likelihood + 2.0 * n_free * count / (count - n_free - 1)), weights


def _floor(values: Floats) -> float:
    """What stands for a value that is not above 0 where logarithms are taken."""
    positive = values[values > 0]
    return LOWEST * float(positive.min()) if len(positive) else 1.0


def _run(
    values: Floats,
    short: int,
    long: int,
    steps: Floats,
    damping: Floats,
    carry: Floats,
    predictions: Floats,
) -> None:
    """Fill `predictions` (n_time, n) from values (n_time, n); steps (4, n) of level, trend and seasons."""
    n_time, n = values.shape
    level, trend, error = np.zeros(n), np.zeros(n), np.zeros(n)
    season, longer = np.zeros((short, n)), np.zeros((long, n))
    first = np.full(n, n_time)
    width = max(short, long)
    if width == 1:
        width = START
    total, count = np.zeros(2), np.zeros(2)
    for column in range(n):
        for time in range(n_time):
            if not np.isnan(values[time, column]):
                first[column] = time
                break
        begin = first[column]
        end = min(n_time, begin + 2 * width)
        # the line through the means of two stretches
        total[:], count[:] = 0.0, 0.0
        for time in range(begin, end):
            value = values[time, column]
            if not np.isnan(value):
                half = (time - begin) // width
                total[half] += value
                count[half] += 1
        if count[0] > 0:
            level[column] = total[0] / count[0]
        if min(count[0], count[1]) > width / 2:
            trend[column] = (total[1] / count[1] - level[column]) / width
        level[column] -= trend[column] * (width + 1) / 2
        # what is left of the line, by phase; then what is left of that, by the longer one
        for cycle, states in ((short, season), (long, longer)):
            if cycle > 1:
                sums, seen = np.zeros(cycle), np.zeros(cycle)
                for time in range(begin, end):
                    value = values[time, column]
                    if not np.isnan(value):
                        line = level[column] + trend[column] * (time - begin + 1)
                        rest = value - line - season[time % short, column]
                        sums[time % cycle] += rest
                        seen[time % cycle] += 1
                for phase in range(cycle):
                    if seen[phase] > 0:
                        states[phase, column] = sums[phase] / seen[phase]
    for time in range(n_time):
        now, later = time % short, time % long
        for column in range(n):
            if time < first[column]:
                predictions[time, column] = level[column]
                continue
            base = level[column] + damping[column] * trend[column]
            told = base + season[now, column] + longer[later, column]
            predictions[time, column] = told + carry[column] * error[column]
            value = values[time, column]
            if np.isnan(value):
                miss = 0.0
                error[column] *= carry[column]
            else:
                miss = value - predictions[time, column]
                error[column] = value - told
            level[column] = base + steps[0, column] * miss
            trend[column] = damping[column] * trend[column] + steps[1, column] * miss
            season[now, column] += steps[2, column] * miss
            longer[later, column] += steps[3, column] * miss
