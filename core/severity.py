"""How bad an alarm is: how sure we are, times how much money is exposed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.contracts import Floats, Panel
from core.domain import Domain

SEVERITIES = ("low", "medium", "high", "critical")
DOUBT = (1e-6, 1e-3)
"""p-values that part sure | likely | possible."""
EXPOSURE = (0.002, 0.01, 0.05)
"""Shares of the tenant's daily spend that part negligible | small | large | grave."""
GRADES = np.array(
    [
        # negligible, small, large, grave
        (0, 1, 2, 3),  # sure
        (0, 1, 1, 2),  # likely
        (0, 0, 1, 1),  # possible
    ]
)
"""Index into `SEVERITIES` by doubt and exposure: certainty without money is not urgent, nor is a doubtful fortune."""


def severity(p_values: ArrayLike, exposed: ArrayLike) -> NDArray[np.int64]:
    """Index into `SEVERITIES`, shaped like the arguments.

    p_values : calibrated; exposed : spend at risk per day as a share of the tenant's daily spend
    """
    doubt = np.searchsorted(DOUBT, np.asarray(p_values), side="right")
    money = np.searchsorted(
        EXPOSURE, np.nan_to_num(np.asarray(exposed, dtype=np.float64)), side="right"
    )
    return np.asarray(GRADES[doubt, money])


def spend_at_risk(observed: Panel, expected: Panel, domain: Domain) -> Floats:
    """Money per day that goes elsewhere than it should, (n_entity, n_time), 0 where nothing is known.

    What is spent too much or not at all, |spend − expected|, plus the spend that brings nothing: spend
    times the missing share of the revenue that was to be expected of it.
    """
    spend, revenue = observed.metric(domain.spend), observed.metric(domain.revenue)
    usual_spend, usual_revenue = expected.metric(domain.spend), expected.metric(domain.revenue)
    with np.errstate(divide="ignore", invalid="ignore"):
        returned = (revenue / spend) / (usual_revenue / usual_spend)
    wasted = spend * np.clip(1.0 - np.nan_to_num(returned, nan=1.0, posinf=1.0), 0.0, 1.0)
    return np.nan_to_num(np.abs(spend - usual_spend)) + np.nan_to_num(wasted)
