"""How good forecasts are, measured as the M4 competition did.

Source: Makridakis, Spiliotis & Assimakopoulos, The M4 Competition: 100,000 time series and 61 forecasting methods
(International Journal of Forecasting 2020), sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.contracts import Floats
from core.forecasters.decomposition import is_seasonal, seasonal_indices

COVERAGES = (0.8, 0.95)
"""Shares of the values that the judged intervals promise to hold."""


def smape(actual: Floats, forecast: Floats) -> float:
    """Symmetric mean absolute percentage error, 0 … 200."""
    size = np.abs(actual) + np.abs(forecast)
    share = np.divide(np.abs(actual - forecast), size, out=np.zeros_like(size), where=size > 0)
    return float(200.0 * share.mean())


def mase(actual: Floats, forecast: Floats, history: Floats, period: int) -> float:
    """Mean absolute error over that of the seasonal naive forecast within the history."""
    steps = np.abs(history[period:] - history[:-period])
    return float(np.abs(actual - forecast).mean() / steps.mean())


def naive2(history: Floats, period: int, horizon: int) -> Floats:
    """The last value, its season taken out before and put back after where the history has one."""
    n_time = len(history)
    if not is_seasonal(history, period):
        return np.full(horizon, history[-1])
    indices = seasonal_indices(history, period, divides=True)
    later = indices[(n_time + np.arange(horizon)) % period]
    return np.asarray(history[-1] / indices[(n_time - 1) % period] * later)


def judge(
    actual: Floats, history: Floats, period: int, forecasts: Mapping[float, Floats]
) -> dict[str, Any]:
    """The errors of one series' forecasts and of Naive2, and the share of values in each interval.

    actual : (horizon,)        history : (n_time,) without gaps
    forecasts : coverage → (horizon, 3) low, middle, high; the middle of the first is judged
    """
    middle = next(iter(forecasts.values()))[:, 1]
    plain = naive2(history, period, len(actual))
    return {
        "smape": smape(actual, middle),
        "mase": mase(actual, middle, history, period),
        "naive2": {"smape": smape(actual, plain), "mase": mase(actual, plain, history, period)},
        "coverage": {
            f"{coverage:g}": float(np.mean((said[:, 0] <= actual) & (actual <= said[:, 2])))
            for coverage, said in forecasts.items()
        },
    }


def together(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over judged series; OWA is the mean of the two errors, each over that of Naive2."""
    errors = {name: float(np.mean([row[name] for row in rows])) for name in ("smape", "mase")}
    plain = {
        name: float(np.mean([row["naive2"][name] for row in rows])) for name in ("smape", "mase")
    }
    return {
        "series": len(rows),
        **errors,
        "owa": float(np.mean([errors[name] / plain[name] for name in errors])),
        "coverage": {
            name: float(np.mean([row["coverage"][name] for row in rows]))
            for name in rows[0]["coverage"]
        },
        "naive2": plain,
    }
