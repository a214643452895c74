"""Robust pooled standardising: what the detectors share before they look at numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.contracts import Floats, State

MAD_TO_SD = 1.4826
"""The standard deviation of a normal distribution over its median absolute deviation."""


def robust_scale(values: Floats, axis: int | tuple[int, ...]) -> tuple[Floats, Floats]:
    """Median and 1.4826 × MAD along `axis`, NaN left out.

    Where more than half of the values are equal the MAD is 0; the standard deviation takes over, and
    1 where that is 0 too. No value at all gives centre 0 and spread 1.
    """
    # a metric that nobody delivered is no fault, and numpy's warning of it cannot be silenced in one thread alone
    values = np.where(np.isnan(values).all(axis=axis, keepdims=True), 0.0, values)
    centre = np.nanmedian(values, axis=axis, keepdims=True)
    spread = MAD_TO_SD * np.nanmedian(np.abs(values - centre), axis=axis)
    deviation = np.nanstd(values, axis=axis)
    spread = np.where(spread > 0, spread, deviation)
    # below the rounding of the values themselves a spread is noise, not scale
    rounding = 1e-12 * np.abs(np.squeeze(centre, axis=axis))
    spread = np.where(spread > rounding, spread, 1.0)
    return np.asarray(np.squeeze(centre, axis=axis)), spread


@dataclass(frozen=True, eq=False)
class Scale:
    """Centre and spread per metric, (n_metric,), learned over all entities and times."""

    centre: Floats
    spread: Floats

    @classmethod
    def learn(cls, values: Floats) -> Scale:
        """From (…, n_metric), NaN left out."""
        return cls(*robust_scale(values.reshape(-1, values.shape[-1]), axis=0))

    @classmethod
    def of(cls, state: State) -> Scale:
        """From the roles that `state` gave."""
        return cls(np.asarray(state["centre"]), np.asarray(state["spread"]))

    @property
    def state(self) -> dict[str, Floats]:
        return {"centre": self.centre, "spread": self.spread}

    def apply(self, values: Floats, reach: float) -> Floats:
        """Standardised values within ±`reach`; a missing one becomes 0, i.e. as expected."""
        return np.nan_to_num(np.clip((values - self.centre) / self.spread, -reach, reach))
