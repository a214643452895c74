"""Prophet: a trend that bends and waves of the calendar; and boosted trees on what it leaves over."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from core.contracts import Floats, Forecaster, Labels, OnStep, Panel, State, Tags, param
from core.forecasters.boosted import BoostedParams, XgBoost
from core.forecasters.series import Cycles, Integers, Model, SeriesForecaster, SeriesParams
from core.parts import above, under

WAVES = 10
"""Most sine and cosine pairs of a season."""
TAU = 2.0 * np.pi
SLOPE = 5.0
"""Scale of the library's priors of slope and offset."""
NOISE = 0.5
"""That of its prior of the noise, in sizes of the series."""
LEAST = 1e-4
"""Least noise, in sizes of the series: a curve through every value would have none."""
EXACT, ROUNDS = 1e-9, 200
"""Relative change of the noise at which the likeliest curve is found, and how often it is looked for at most."""
HEAD = 5
"""Weights before those of bends and waves: first period, length, size, slope and offset."""
SIZE = 2


@dataclass(frozen=True)
class ProphetParams(SeriesParams):
    bends: int = param(25, help="Most points where the trend may bend", low=0, high=200)
    flexibility: float = param(
        0.05, help="How readily it bends; the scale of its prior", low=1e-4, high=10.0
    )


class Form(NamedTuple):
    """The periods of the two seasons, 1 for none, and how many bends the trend has."""

    short: int
    long: int
    bends: int

    @property
    def waves(self) -> list[tuple[int, int]]:
        """Period and number of waves of each season."""
        periods = (self.short, self.long)
        return [(period, min(WAVES, period // 2)) for period in periods if period > 1]

    def curve(self, weights: Floats, phases: Integers) -> Floats:
        """(n, n_time): trend and seasons of weights (n, n_weight) at these periods."""
        first, length, size, slope, offset = weights[:, :HEAD].T[:, :, None]
        after = phases - first
        share = after / length
        bends, changes, waves = np.split(weights[:, HEAD:], [self.bends, 2 * self.bends], axis=1)
        told = slope * share + offset
        for bend, change in zip(bends.T[:, :, None], changes.T[:, :, None], strict=True):
            told = told + np.where(share >= bend, change * (share - bend), 0.0)
        column = 0
        for period, count in self.waves:
            for wave in range(1, count + 1):
                angle = TAU * wave * after / period
                told = told + waves[:, column, None] * np.sin(angle)
                told = told + waves[:, column + 1, None] * np.cos(angle)
                column += 2
        return np.asarray(told * size)


class Mode:
    """The numbers that the library's optimiser looks for, found from sums over the periods: a back end in its place.

    With the noise σ known they are the answer to a least-squares problem with a quadratic penalty on slope, offset
    and waves and an absolute one on the bends, which least angle regression solves exactly; with them known, σ² is
    the root of 4 σ⁴ + T σ² = Σ residual². Both in turn until σ stands still. Stan's search of 10,000 steps passes over
    all periods at each, and ends a little short of this.

    Source: Taylor & Letham (2018), section 3, as the library's `prophet.stan` writes it; Efron et al., Least Angle
    Regression (Annals of Statistics 2004), section 3.1.
    """

    stan_fit = None

    def fit(self, start: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Floats]:
        """Parameters by name, (1, n) each, from what the library hands to Stan; `start` is not needed."""
        from sklearn.linear_model import lars_path_gram

        time, values = (np.asarray(given[name], dtype=np.float64) for name in ("t", "y"))
        bends = np.maximum(time[:, None] - np.asarray(given["t_change"]), 0.0)
        plain = np.column_stack([time, np.ones_like(time), given["X"]])
        held = np.diag(np.array([SLOPE, SLOPE, *given["sigmas"]]) ** -2.0)
        square, cross, own = plain.T @ plain, plain.T @ bends, bends.T @ bends
        aims = np.column_stack([cross, plain.T @ values])
        noise = 1.0
        for _ in range(ROUNDS):
            answer = np.linalg.solve(square + noise**2 * held, aims)
            change = lars_path_gram(
                bends.T @ values - cross.T @ answer[:, -1],
                own - cross.T @ answer[:, :-1],
                n_samples=1,
                alpha_min=noise**2 / given["tau"],
                method="lasso",
                return_path=False,
            )[2]
            level = answer[:, -1] - answer[:, :-1] @ change
            left = float(np.square(values - plain @ level - bends @ change).sum())
            spread = 1.0 / NOISE**2
            root = np.sqrt(len(time) ** 2 + 4.0 * spread * left)
            before, noise = noise, max(LEAST, float(np.sqrt(2.0 * left / (len(time) + root))))
            if abs(noise - before) <= EXACT * before:
                break
        found = {"k": level[:1], "m": level[1:2], "delta": change, "beta": level[2:]}
        return {
            name: value[None] for name, value in {**found, "sigma_obs": np.array([noise])}.items()
        }


class Prophet(SeriesForecaster):
    """Prophet per series: a trend that bends at a few points, and waves of the calendar.

    The library's model, of which `Mode` finds the likeliest numbers; they are kept plain, so that it is followed
    without the library. It tells every period by its date alone, whatever came just before.

    Good for: years of daily data with a calendar; gaps. Bad for: levels that wander, short memory.
    Units: those of the panel. Cost: some 50 ms a series to learn, 0.1 ms to follow.

    Source: Taylor & Letham, Forecasting at Scale (The American Statistician 2018), section 3.
    """

    name = "prophet"
    source = "Taylor & Letham, Forecasting at Scale (The American Statistician 2018), section 3"
    tags = Tags(min_times=15, extra="prophet", modules=("prophet",))
    Params = ProphetParams
    cheap = {"models": 1}

    def _learn(self, values: Floats, phases: Integers, cycles: Cycles) -> Model:
        known = ~np.isnan(values)
        if known.sum() < 2:
            level = np.nansum(values)
            return Model(Form(1, 1, 0), np.array([phases[0], 1.0, 1.0, 0.0, level]))
        after = np.flatnonzero(known)
        fitted = self._fitted(values[known], after, Form(*cycles, 0))
        numbers = {name: np.ravel(found) for name, found in fitted.params.items()}
        head = [phases[0], after[-1], fitted.y_scale, *numbers["k"], *numbers["m"]]
        bends = np.asarray(fitted.changepoints_t, dtype=np.float64)
        # without a season the library still has a wave, of nothing
        waves = numbers["beta"][: 2 * sum(count for _, count in Form(*cycles, 0).waves)]
        form = Form(*cycles, len(bends))
        return Model(form, np.concatenate([head, bends, numbers["delta"], waves]))

    def _fitted(self, values: Floats, after: Integers, form: Form) -> Any:
        """The library's model; a period counts as a day, for only their number matters."""
        library: Any = importlib.import_module("prophet.forecaster")
        model = library.Prophet(
            n_changepoints=self.params.bends,
            changepoint_prior_scale=self.params.flexibility,
            yearly_seasonality=False,
            weekly_seasonality=False,
            daily_seasonality=False,
            uncertainty_samples=0,
        )
        for period, count in form.waves:
            model.add_seasonality(f"every {period}", period, count)
        days = np.datetime64("1970-01-01") + after
        model.stan_backend = Mode()
        with _quiet():
            model.fit(library.pd.DataFrame({"ds": days, "y": values}))
        return model

    def _follow(
        self, orders: tuple[int, ...], weights: Floats, values: Floats, phases: Integers
    ) -> Floats:
        return Form(*orders).curve(weights, phases)

    def _warm(self, orders: tuple[int, ...]) -> int:
        return 0

    def _lent(self, orders: Integers, weights: Floats, early: Floats) -> Floats:
        # the size is the greatest value of the series that the weights were learned on
        weights[:, SIZE] = np.nan_to_num(np.abs(early)).max(axis=1)
        return weights


class ResidualXgBoost(XgBoost):
    """An `xgboost` of residuals, which return to 0 and not to their newest value."""

    anchored = False


@dataclass(frozen=True)
class ProphetXgBoostParams(BoostedParams, ProphetParams):
    pass


class ProphetXgBoost(Forecaster):
    """Prophet for trend and calendar, boosted trees over all series for what Prophet leaves over.

    The trees learn the distances from Prophet's curve, of which they see the latest ones and those a season
    ago; forecast and interval are the curve plus what they say.

    Good for: calendar series with a memory, e.g. levels that wander about a yearly course. Bad for: short
    histories, many series.
    Units: those of the panel. Cost: that of `prophet` and `xgboost` together.

    Source: Taylor & Letham, Forecasting at Scale (The American Statistician 2018), section 3; Chen &
    Guestrin, XGBoost (KDD 2016), section 2; combined as by Zhang (Neurocomputing 2003), section 3.
    """

    name = "prophet-xgboost"
    source = (
        "Taylor & Letham, Forecasting at Scale (The American Statistician 2018), section 3; "
        "Chen & Guestrin, XGBoost (KDD 2016), section 2"
    )
    tags = Tags(stochastic=True, min_times=15, extra="algorithms", modules=("prophet", "xgboost"))
    Params = ProphetXgBoostParams
    cheap = {**XgBoost.cheap, **Prophet.cheap}

    def _fit(self, panel: Panel, labels: Labels | None, on_step: OnStep | None) -> State:
        prophet = Prophet(self.params).fit(panel, labels, on_step)
        rest = ResidualXgBoost(self.params).fit(_rest(panel, prophet), labels, on_step)
        return {**above(prophet.state, "prophet"), **above(rest.state, "rest")}

    def _open(self, state: State) -> tuple[Prophet, ResidualXgBoost]:
        rest = ResidualXgBoost(self.params, state=under(state, "rest"))
        # opened here, so that damaged trees are refused now and not at the first forecast
        rest.scorer  # noqa: B018
        return Prophet(self.params, state=under(state, "prophet")), rest

    def _forecast(self, scorer: Any, panel: Panel, horizon: int) -> Floats:
        prophet, rest = scorer
        ahead = rest.forecast(_rest(panel, prophet), horizon)
        return _moved(prophet.forecast(panel, horizon), ahead)

    def _predict(self, scorer: Any, panel: Panel) -> Floats:
        prophet, rest = scorer
        return _moved(prophet.predict(panel), rest.predict(_rest(panel, prophet)))


def _rest(panel: Panel, prophet: Prophet) -> Panel:
    """What the curve leaves over."""
    return panel.with_values(panel.values - prophet.predict(panel)[..., 1])


def _moved(said: Floats, rest: Floats) -> Floats:
    """The curve plus low, middle and high of the rest; the curve with its own interval where there is none."""
    moved = said[..., 1:2] + rest
    return np.where(np.isnan(moved), said, moved)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the logs of Prophet and Stan and what the library is told of its own use of others."""
    loggers = [logging.getLogger(name) for name in ("prophet", "cmdstanpy")]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        # not its level, which the library sets itself when it first speaks
        logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, was in zip(loggers, before, strict=True):
            logger.disabled = was
