"""Seasonal ARIMA with one or two periods, its orders chosen for each series."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.contracts import Bools, Floats, Tags, param
from core.forecasters.series import (
    Cycles,
    Integers,
    Model,
    SeriesForecaster,
    SeriesParams,
)
from core.kernel import kernel

MOST = (4, 3, 2, 2, 1, 1, 1)
"""Highest order of each block of coefficients: p, q, P, Q, P′, Q′ and the constant."""
PLACES = np.concatenate([[0], np.cumsum(MOST)])
N_COEFFICIENT = sum(MOST)
STRICT = 1.01
"""Least modulus of a root: closer to the unit circle a forecast may run away."""
NUDGE = 1e-4
DAMPINGS = (1e-6, 1e-2, 1.0)
SETTLED = 1e-4
"""Share of the squared error that a further step must save."""
ROUGH = 2
"""Steps of a form on trial."""
SETTLING = 8
TINY = 1e-12
ROUNDING = 1e-12
LOWEST = 4.0
"""Spreads below its centre where the logarithm of a value that is not above 0 is put."""
FEW = 12
"""Periods below which a series is a random walk for lack of anything better."""


class Form(NamedTuple):
    """φ(B) Φ(Bˢ) Φ′(Bˡ) (1 − B)ᵈ (1 − Bˢ)ᴰ y = c + θ(B) Θ(Bˢ) Θ′(Bˡ) e, of y or of log y.

    ar, ma, … : orders of the six polynomials; short, long: the periods s and l, 1 where there is none
    """

    d: int
    seasonal_d: int
    ar: int
    ma: int
    short_ar: int
    short_ma: int
    long_ar: int
    long_ma: int
    constant: int
    short: int
    long: int
    log: int

    @property
    def sizes(self) -> tuple[int, ...]:
        return self[2:9]

    @property
    def free(self) -> Bools:
        """(N_COEFFICIENT,) which coefficients the form has."""
        blocks = zip(self.sizes, MOST, strict=True)
        return np.concatenate([np.arange(most) < size for size, most in blocks])

    def predict(self, coefficients: Floats, values: Floats) -> Floats:
        """Predictions (n_time, n) of values (n_time, n) with coefficients (n, N_COEFFICIENT)."""
        ar, ma, short_ar, short_ma, long_ar, long_ma, constant = (
            coefficients[:, place : place + size]
            for place, size in zip(PLACES, self.sizes, strict=False)
        )
        one = np.ones((len(coefficients), 1))
        differences = [(1, -one)] * self.d + [(self.short, -one)] * self.seasonal_d
        ar_lags, past = _product(
            [(1, -ar), (self.short, -short_ar), (self.long, -long_ar), *differences]
        )
        ma_lags, errors = _product([(1, ma), (self.short, short_ma), (self.long, long_ma)])
        level = constant[:, 0] if self.constant else np.zeros(len(coefficients))
        predictions = np.empty_like(values)
        with np.errstate(over="ignore", invalid="ignore"):
            kernel(_run)(values, ar_lags, -past, ma_lags, errors, level, predictions)
        return predictions

    def stable(self, coefficients: Floats) -> bool:
        """Whether no polynomial has a root within STRICT of 0."""
        signs = (-1.0, 1.0) * 3
        for place, size, sign in zip(PLACES, self.sizes, signs, strict=False):
            block = coefficients[place : place + size]
            if np.abs(block).sum() * STRICT**size >= 1.0:
                roots = np.roots(np.append(sign * block[::-1], 1.0))
                if np.abs(roots).min() < STRICT:
                    return False
        return True

    def neighbours(self) -> Iterator[Form]:
        """Forms with one order one up or one down."""
        names = ("ar", "ma", "short_ar", "short_ma", "long_ar", "long_ma", "constant")
        for name, most in zip(names, MOST, strict=True):
            period = {"short": self.short, "long": self.long}.get(name[:-3], 2)
            drifts = name != "constant" or self.d + self.seasonal_d == 1
            for order in (getattr(self, name) + 1, getattr(self, name) - 1):
                if 0 <= order <= most and period > 1 and drifts:
                    yield self._replace(**{name: order})


@dataclass(frozen=True)
class ArimaParams(SeriesParams):
    trials: int = param(60, help="Most forms tried for one series", low=1, high=1_000)


class Fit(NamedTuple):
    """A form with its coefficients: the AICc, and what it was made from."""

    aicc: float
    form: Form
    coefficients: Floats


class Arima(SeriesForecaster):
    """Seasonal ARIMA per series with orders by AICc, and a second period where a week follows the day.

    Orders are climbed step by step as by Hyndman & Khandakar from four starts: d and D are among what is
    chosen, as every form predicts the same values and their likelihoods compare. A series of hours has a
    day and a week as periods, the double seasonal ARIMA of Taylor. A series above 0 is taken in logarithms
    where its likelihood is higher so. Coefficients minimise the conditional sum of squares.

    Good for: hourly and daily series with stable patterns; short memory. Bad for: a handful of periods,
    patterns that change their shape.
    Units: those of the panel. Cost: some 30 ms a series of 1,000 periods to learn, 0.1 ms to follow.

    Source: Hyndman & Khandakar, Automatic Time Series Forecasting (Journal of Statistical Software 2008),
    section 3; Taylor, Short-term electricity demand forecasting using double seasonal exponential smoothing
    (JORS 2003), section 2.
    """

    name = "arima"
    source = (
        "Hyndman & Khandakar, Automatic Time Series Forecasting (Journal of Statistical Software 2008), "
        "section 3"
    )
    tags = Tags(min_times=15, modules=("numba",))
    Params = ArimaParams
    cheap = {"trials": 1, "models": 6}

    def _learn(self, values: Floats, phases: Integers, cycles: Cycles) -> Model:
        if len(values) < FEW:
            walk = Form(1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0)
            return Model(walk, np.concatenate([np.zeros(N_COEFFICIENT), _standard(values)]))
        short, long = cycles
        n_time = len(values)
        skip = min(2 * short + long + 6, n_time // 2) if short > 1 else min(8, n_time // 3)
        scales = (0, 1) if np.nanmin(values) > 0 else (0,)
        climbs = [_Climb(values, cycles, log, skip) for log in scales]
        climb = min(climbs, key=lambda climb: climb.best.aicc)
        fit = climb.top(self.params.trials)
        form = fit.form
        if not (form.seasonal_d or form.short_ar or form.short_ma):
            form = form._replace(short=1)
        if not (form.long_ar or form.long_ma):
            form = form._replace(long=1)
        return Model(form, np.concatenate([fit.coefficients, climb.standard]))

    def _follow(
        self, orders: tuple[int, ...], weights: Floats, values: Floats, phases: Integers
    ) -> Floats:
        form = Form(*orders)
        centre, spread = weights[:, -2], weights[:, -1]
        if form.log:
            # a value at or below 0 is as low as any, not a missing one
            values = np.log(np.maximum(values, np.exp(centre - LOWEST * spread)[:, None]))
        standard = (values.T - centre) / spread
        told = form.predict(weights[:, :N_COEFFICIENT], standard) * spread + centre
        return np.asarray((np.exp(told) if form.log else told).T)

    def _warm(self, orders: tuple[int, ...]) -> int:
        form = Form(*orders)
        short = form.short * (form.seasonal_d + form.short_ar)
        return max(1, form.d + form.ar + short + form.long * form.long_ar)

    def _lent(self, orders: Integers, weights: Floats, early: Floats) -> Floats:
        logs = orders[:, -1] == 1
        own = [
            _standard(np.log(np.where(row > 0, row, np.nan)) if log else row)
            for row, log in zip(early, logs, strict=True)
        ]
        return np.concatenate([weights[:, :N_COEFFICIENT], own], axis=1)


class _Climb:
    """The search for the orders of one series on one scale."""

    def __init__(self, values: Floats, cycles: Cycles, log: int, skip: int) -> None:
        series = np.log(values) if log else values
        self.standard = _standard(series)
        self.values = (series - self.standard[0]) / self.standard[1]
        self.skip = skip
        self.known = ~np.isnan(series[skip:])
        self.count = int(self.known.sum())
        # likelihoods of y and of log y compare once the change of scale is counted in
        self.change = 2 * self.count * np.log(self.standard[1])
        self.change += 2 * float(np.nansum(series[skip:])) if log else 0.0
        self.fits: dict[Form, Fit] = {}
        nothing = Fit(np.inf, next(_starts(cycles, log)), np.zeros(N_COEFFICIENT))
        self.best = min(
            (self.fit(form, nothing) for form in _starts(cycles, log)), key=lambda fit: fit.aicc
        )

    def top(self, trials: int) -> Fit:
        """The best form, which no neighbour beats, with its coefficients settled."""
        better = True
        while better:
            better = False
            for form in self.best.form.neighbours():
                if form not in self.fits and len(self.fits) < trials:
                    fit = self.fit(form, self.best)
                    if fit.aicc < self.best.aicc:
                        self.best, better = fit, True
                        break
        return self.settled(self.best.form, self.best.coefficients, SETTLING)

    def fit(self, form: Form, near: Fit) -> Fit:
        """The form fitted roughly, from the coefficients of a near one."""
        start = np.where(form.free, near.coefficients, 0.0)
        self.fits[form] = self.settled(form, start, ROUGH)
        return self.fits[form]

    def settled(self, form: Form, coefficients: Floats, steps: int) -> Fit:
        """Levenberg–Marquardt on the sum of squares, three dampings at once."""
        nudges = NUDGE * np.eye(N_COEFFICIENT)[form.free]
        found = coefficients if form.stable(coefficients) else np.zeros(N_COEFFICIENT)
        for _ in range(steps):
            errors = self.errors(form, found + np.concatenate([np.zeros_like(found)[None], nudges]))
            loss = float(errors[0] @ errors[0])
            slopes = (errors[1:] - errors[0]) / NUDGE
            gram, pull = slopes @ slopes.T, slopes @ errors[0]
            size = np.diag(gram)
            if not len(nudges) or not (np.isfinite(loss) and np.isfinite(gram).all()):
                break
            tried = []
            for damping in DAMPINGS:
                ridge = np.diag(damping * size + TINY * (1.0 + size.max()))
                moved = found.copy()
                moved[form.free] -= np.linalg.solve(gram + ridge, pull)
                if form.stable(moved):
                    tried.append(moved)
            if not tried:
                break
            errors = self.errors(form, np.array(tried))
            losses = np.nan_to_num((errors * errors).sum(axis=1), nan=np.inf)
            if not losses.min() < loss * (1.0 - SETTLED):
                break
            loss, found = float(losses.min()), tried[int(losses.argmin())]
        return Fit(self.aicc(form, loss), form, found)

    def errors(self, form: Form, coefficients: Floats) -> Floats:
        """Errors one step ahead (n, n_time − skip), 0 where nothing is known."""
        values = np.repeat(self.values[:, None], len(coefficients), axis=1)
        told = form.predict(coefficients, values)[self.skip :].T
        return np.where(self.known, self.values[self.skip :] - told, 0.0)

    def aicc(self, form: Form, loss: float) -> float:
        n_free = sum(form.sizes) + 1
        if not np.isfinite(loss) or self.count <= n_free + 1:
            return np.inf
        likelihood = self.count * np.log(loss / self.count + TINY) + self.change
        return float(likelihood + 2.0 * n_free * self.count / (self.count - n_free - 1))


def _product(factors: list[tuple[int, Floats]]) -> tuple[Integers, Floats]:
    """Lags and coefficients (n_lag, n) of ∏ (1 + Σ cᵢ B^(i·step)), without the leading 1; c is (n, order)."""
    n = len(factors[0][1])
    used = [(step, coefficients) for step, coefficients in factors if coefficients.shape[1]]
    lags, places = _lags(tuple((step, coefficients.shape[1]) for step, coefficients in used))
    product = np.ones((1, n))
    for (_, coefficients), place in zip(used, places, strict=True):
        factor = np.concatenate([np.ones((1, n)), coefficients.T])
        product = place @ (product[:, None] * factor).reshape(-1, n)
    return lags, product[1:]


@functools.lru_cache(1_000)
def _lags(factors: tuple[tuple[int, int], ...]) -> tuple[Integers, list[Floats]]:
    """Lags above 0 of a product of polynomials (step, order), and which terms of each stage make up which lag."""
    lags, places = np.zeros(1, dtype=np.int64), []
    for step, order in factors:
        sums = lags[:, None] + step * np.arange(order + 1)
        lags, place = np.unique(sums, return_inverse=True)
        places.append((np.arange(len(lags))[:, None] == place.ravel()).astype(np.float64))
    return lags[1:], places


def _starts(cycles: Cycles, log: int) -> Iterator[Form]:
    """Where the climb begins, as a person would: with and without differences."""
    short, long = int(cycles.short > 1), int(cycles.long > 1)
    for d in (1, 0):
        for seasonal_d in (0, 1)[: 1 + short]:
            constant = int(d + seasonal_d == 0)
            tail = (constant, *cycles, log)
            yield Form(d, seasonal_d, 2, d, short - seasonal_d, short, long, 0, *tail)
            yield Form(d, seasonal_d, 1, d, short, short, long, long, *tail)
            if not short:
                yield Form(d, seasonal_d, 0, 0, 0, 0, 0, 0, *tail)


def _standard(values: Floats) -> Floats:
    """Centre and spread of a series; spread 1 where it never moves."""
    known = values[~np.isnan(values)]
    centre = float(known.mean()) if len(known) else 0.0
    spread = float(known.std()) if len(known) else 0.0
    return np.array([centre, spread if spread > ROUNDING * abs(centre) else 1.0])


def _run(
    values: Floats,
    ar_lags: Integers,
    ar: Floats,
    ma_lags: Integers,
    ma: Floats,
    constant: Floats,
    predictions: Floats,
) -> None:
    """Fill `predictions` (n_time, n): constant + Σ ar · past values + Σ ma · past errors.

    values (n_time, n), ar and ma (n_lag, n), constant (n,). Before its first known value a series is taken
    to have stood there, without errors.
    """
    n_time, n = values.shape
    lead = 0
    for lag in ar_lags:
        lead = max(lead, lag)
    for lag in ma_lags:
        lead = max(lead, lag)
    past, errors = np.zeros((lead + n_time, n)), np.zeros((lead + n_time, n))
    begun = np.zeros(n, dtype=np.bool_)
    for column in range(n):
        for time in range(n_time):
            if not np.isnan(values[time, column]):
                past[: lead + time, column] = values[time, column]
                break
    for time in range(n_time):
        told, here = predictions[time], lead + time
        told[:] = constant
        for i in range(len(ar_lags)):
            before = past[here - ar_lags[i]]
            for column in range(n):
                told[column] += ar[i, column] * before[column]
        for i in range(len(ma_lags)):
            before = errors[here - ma_lags[i]]
            for column in range(n):
                told[column] += ma[i, column] * before[column]
        for column in range(n):
            value = values[time, column]
            if not np.isnan(value):
                begun[column] = True
                past[here, column] = value
                errors[here, column] = value - told[column]
            elif begun[column]:
                past[here, column] = told[column]
