"""Any forecaster as a detector: how far from its forecast a day came out."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.contracts import Bools, Detector, Floats, Forecaster, OnStep, Panel, State
from core.forecasters.seasonal_naive import SeasonalNaive

CEILING = 1e6
"""Half-widths beyond which a value is simply not forecast at all."""


def residuals(forecaster: Forecaster, panel: Panel) -> Floats:
    """(n_entity, n_time) |x − middle| / half-width of the worst metric, on the side where x lies.

    Each period is forecast one step ahead; NaN where nothing was forecast or observed.
    """
    low, middle, high = np.moveaxis(forecaster.predict(panel), -1, 0)
    distance = panel.values - middle
    half = np.where(distance < 0, middle - low, high - middle)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(distance) / half
    # 0 / 0 is a flat series forecast exactly
    ratio = np.where(distance == 0, 0.0, np.minimum(ratio, CEILING))
    worst = np.where(np.isnan(ratio), -np.inf, ratio).max(axis=-1)
    return np.where(np.isneginf(worst), np.nan, worst)


def residual_detector(forecaster: type[Forecaster]) -> type[Detector]:
    """The detector `<forecaster>-residual` with the forecaster's own parameters and state.

    Score: the worst metric's |x − middle| / half-width on the side where x lies. At 1 the value sits on
    the edge of the interval; 0 where there is no forecast or no value.
    """

    class Residual(Detector):
        name = f"{forecaster.name}-residual"
        source = forecaster.source
        tags = forecaster.tags
        Params = forecaster.Params

        def _fit(self, panel: Panel, labels: Bools | None, on_step: OnStep | None) -> State:
            return forecaster(self.params).fit(panel, labels, on_step).state

        def _open(self, state: State) -> Forecaster:
            return forecaster(self.params, state=state)

        def _score(self, scorer: Any, panel: Panel) -> Floats:
            return np.nan_to_num(residuals(scorer, panel))

    Residual.__name__ = Residual.__qualname__ = f"{forecaster.__name__}Residual"
    Residual.__doc__ = f"""Distance from the forecast of `{forecaster.name}`, in half-widths of its interval.

    Each day is forecast one step ahead from the days before it; the score is the worst metric's
    |x − middle| / half-width on the side where x lies: 1 is the edge of the interval, 0 stands where
    nothing was forecast or observed.

    Good and bad for: as the forecaster.

    Source: {forecaster.source}.
    """
    return Residual


SeasonalNaiveResidual = residual_detector(SeasonalNaive)
