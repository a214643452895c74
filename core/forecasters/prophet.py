"""Prophet: a trend that bends and waves of the calendar; and boosted trees on what it leaves over."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
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


class Prophet(SeriesForecaster):
    """Prophet per series: a trend that bends at a few points, and waves of the calendar.

    Fitted by the library's Stan model; kept as plain numbers, so that it is followed without Stan. It tells
    every period by its date alone, whatever came just before.

    Good for: years of daily data with a calendar; gaps. Bad for: levels that wander, short memory; many
    series, as each takes a process of its own to fit.
    Units: those of the panel. Cost: some 100 ms a series to learn, 0.1 ms to follow.

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
        with _quiet():
            model.fit(library.pd.DataFrame({"ds": days, "y": values}), seed=self.params.seed)
            model.stan_backend.cleanup()
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
