"""Forecasters that each say low, middle and high, and the median of what they say."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.contracts import (
    Floats,
    Forecaster,
    Labels,
    OnStep,
    Panel,
    State,
    Tags,
    param,
)
from core.errors import MissingExtraError, NotEnoughDataError
from core.forecasters.intervals import IntervalParams
from core.parts import above, from_catalog, progress, settings, under


@dataclass(frozen=True)
class MedianEnsembleParams(IntervalParams):
    parts: str = param("arima, ets, theta, lightgbm, xgboost", help="Forecasters by catalogue name")
    settings: str = param("", help="Parameters of the parts, e.g. arima.trials=20, ets.period=7")


class MedianEnsemble(Forecaster):
    """The median of several forecasters: one that goes astray moves nothing.

    Low, middle and high are each the median over the parts, whose intervals all hold the same share. A part
    that cannot learn yet or is not installed is left out, and `left_out` says why.

    Good for: many unlike series of which nobody knows what suits them. Bad for: haste; a series that only
    one part understands.
    Units: those of the panel. Cost: that of the parts.

    Source: Petropoulos & Svetunkov, A simple combination of univariate models (International Journal of
    Forecasting 2020), section 2.
    """

    name = "median-ensemble"
    source = (
        "Petropoulos & Svetunkov, A simple combination of univariate models "
        "(International Journal of Forecasting 2020), section 2"
    )
    tags = Tags(stochastic=True, min_times=15)
    Params = MedianEnsembleParams
    cheap = {
        "parts": "ets, theta, lightgbm",
        "settings": "lightgbm.rounds=30, lightgbm.leaves=8, lightgbm.windows=500, lightgbm.rate=0.2",
    }

    @property
    def left_out(self) -> dict[str, str]:
        """Parts that say nothing, each with the reason."""
        reasons: dict[str, str] = json.loads(str(self.state["left_out"]))
        return reasons

    def _fit(self, panel: Panel, labels: Labels | None, on_step: OnStep | None) -> State:
        names = [name.strip() for name in self.params.parts.split(",") if name.strip()]
        members: dict[str, Forecaster] = {}
        left_out: dict[str, str] = {}
        for index, name in enumerate(names):
            step = progress(self.name, on_step, name, index, len(names))
            try:
                members[name] = self._part(name).fit(panel, labels, step)
            except (NotEnoughDataError, MissingExtraError) as error:
                left_out[name] = f"{error.message} {error.hint}".strip()
        if not members:
            reasons = "; ".join(left_out.values())
            raise NotEnoughDataError.of(self.name, "parts able to learn", "at least 1", 0, reasons)
        state: dict[str, Any] = {"left_out": json.dumps(left_out, sort_keys=True)}
        described = {name: dataclasses.asdict(member.params) for name, member in members.items()}
        for name, member in members.items():
            state |= above(member.state, name)
        return {**state, "parts": json.dumps(described)}

    def _open(self, state: State) -> list[Forecaster]:
        described: dict[str, dict[str, Any]] = json.loads(str(state["parts"]))
        return [
            from_catalog(self.name, "forecaster", name, chosen, under(state, name))
            for name, chosen in described.items()
        ]

    def _forecast(self, scorer: Any, panel: Panel, horizon: int) -> Floats:
        return _median([member.forecast(panel, horizon) for member in scorer])

    def _predict(self, scorer: Any, panel: Panel) -> Floats:
        return _median([member.predict(panel) for member in scorer])

    def _part(self, name: str) -> Forecaster:
        chosen: dict[str, Any] = {"seed": self.params.seed, "coverage": self.params.coverage}
        own = settings(self.name, "settings", self.params.settings)
        chosen |= under(own, name)
        made: Forecaster = from_catalog(self.name, "forecaster", name, chosen)
        return made


def _median(said: list[Floats]) -> Floats:
    """The median of what was said; NaN where no part says anything."""
    # not numpy's, whose warning of that cannot be silenced in one thread alone
    ranked = np.sort(said, axis=0)
    count = (~np.isnan(ranked)).sum(axis=0, keepdims=True)
    low, high = (
        np.take_along_axis(ranked, place, axis=0)[0]
        for place in (np.maximum(count - 1, 0) // 2, count // 2)
    )
    return np.asarray((low + high) / 2)
