"""What forecasters keep: an interval that is ordered, agrees with itself and holds."""

from __future__ import annotations

import numpy as np

from core.checks.subject import Check, Subject, fitted, refusal, require, same
from core.errors import InvalidInputError
from core.samples import sample


def check_forecast_shaped(subject: Subject) -> None:
    """Forecasts are (n_entity, horizon, n_metric, 3), finite, low ≤ middle ≤ high."""
    forecast = fitted(subject).forecast(sample(), 10)
    require(forecast.shape == (24, 10, 5, 3), subject, "one interval per entity, period and metric")
    require(np.isfinite(forecast).all(), subject, "forecasts must be finite")
    require((np.diff(forecast, axis=-1) >= 0).all(), subject, "low ≤ middle ≤ high must hold")


def check_horizon_refused(subject: Subject) -> None:
    """A horizon below one period is refused."""
    refusal(subject, InvalidInputError, lambda: fitted(subject).forecast(sample(), 0))


def check_prediction_is_forecast(subject: Subject) -> None:
    """One step ahead of a panel is the first period of its forecast."""
    panel = sample()
    ahead = fitted(subject).forecast(panel.select(times=slice(0, 40)), 1)[:, 0]
    require(
        same(subject, fitted(subject).predict(panel)[:, 40], ahead), subject, "predict must agree"
    )


def check_interval_holds(subject: Subject) -> None:
    """On fresh data of the same kind the interval holds between half and nearly all of the values."""
    panel = sample(n_entity=60, n_time=60, seed=2)
    low, _, high = np.moveaxis(fitted(subject).predict(panel)[:, 30:], -1, 0)
    inside = np.mean((low <= panel.values[:, 30:]) & (panel.values[:, 30:] <= high))
    require(0.5 < inside < 0.999, subject, f"interval must hold most values, holds {inside:.0%}")


FORECASTS: tuple[Check, ...] = (
    check_forecast_shaped,
    check_horizon_refused,
    check_prediction_is_forecast,
    check_interval_holds,
)
