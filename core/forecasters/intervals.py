"""Intervals by split conformal prediction: what went wrong on a held-out latest part, per step ahead.

Source: Lei et al., Distribution-free Predictive Inference for Regression (JASA 2018), section 2.2; signed and
per step ahead as in Stankevičiūtė et al., Conformal Time-series Forecasting (NeurIPS 2021), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.contracts import Floats, Params, param

SHARE = 0.2
"""Latest share of the periods that the intervals are learned on."""
LEAST = 4.0
"""Errors wanted beyond each end of an interval; a step with fewer borrows those of its neighbours."""


@dataclass(frozen=True)
class IntervalParams(Params):
    coverage: float = param(
        0.9, help="Share of the values that the interval should hold", low=0.5, high=0.999
    )


def held_out(n_time: int) -> int:
    """Latest periods of so many that are held out."""
    return max(1, round(SHARE * n_time))


def learned(ratios: Floats, coverage: float) -> Floats:
    """Held-out errors over their scale (n, n_step, n_metric) → quantiles (n_step, n_metric, 2), low ≤ 0 ≤ high.

    Of n errors the ⌈(n + 1)(1 + coverage) / 2⌉-th largest on each side, so that a new error, exchangeable
    with these, lies inside with at least the coverage. NaN is left out; nothing at all gives ±1.
    """
    _, n_step, n_metric = ratios.shape
    tail = (1.0 - coverage) / 2.0
    quantiles = np.empty((n_step, n_metric, 2))
    for metric in range(n_metric):
        per_step = [column[~np.isnan(column)] for column in ratios[:, :, metric].T]
        for step in range(n_step):
            quantiles[step, metric] = _ends(_enough(per_step, step, LEAST / tail), tail)
    return quantiles


def interval(middle: Floats, scale: Floats, quantiles: Floats, steps: NDArray[Any]) -> Floats:
    """Low, middle and high (n_entity, n_time, n_metric, 3); the middle is never outside.

    middle : (n_entity, n_time, n_metric)        scale : the same, or broadcast to it
    steps  : (n_time,) how many periods ahead each was forecast, from 1

    Steps beyond the last learned one widen with the root of the steps ahead, as a random walk does.
    """
    known = len(quantiles)
    widening = np.sqrt(np.maximum(1.0, steps / known))[:, None]
    low, high = np.moveaxis(quantiles[np.minimum(steps, known).astype(int) - 1], -1, 0)
    return np.stack(
        [middle + low * widening * scale, middle, middle + high * widening * scale], axis=-1
    )


def _enough(per_step: list[Floats], step: int, wanted: float) -> Floats:
    """The errors of a step, and of as many steps around it as are needed."""
    for reach in range(len(per_step)):
        errors = np.concatenate(per_step[max(0, step - reach) : step + reach + 1])
        if len(errors) >= wanted:
            break
    return errors


def _ends(errors: Floats, tail: float) -> Floats:
    if not len(errors):
        return np.array([-1.0, 1.0])
    rank = min(len(errors), int(np.ceil((len(errors) + 1) * (1.0 - tail))))
    ranked = np.sort(errors)
    return np.array([min(0.0, ranked[-rank]), max(0.0, ranked[rank - 1])])
