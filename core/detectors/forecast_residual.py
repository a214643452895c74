"""Any forecaster as a detector: how far from its forecast a day came out."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.contracts import Bools, Detector, Floats, Forecaster, OnStep, Panel, State
from core.forecasters.seasonal_naive import SeasonalNaive

CEILING = 1e6
"""Half-widths beyond which a value is simply not forecast at all."""


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
            low, middle, high = np.moveaxis(scorer.predict(panel), -1, 0)
            distance = panel.values - middle
            half = np.where(distance < 0, middle - low, high - middle)
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.abs(distance) / half
            return np.asarray(np.nan_to_num(ratio, posinf=CEILING).clip(max=CEILING).max(axis=-1))

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
