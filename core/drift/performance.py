"""Does a model still rank what people call real above what they call a false alarm, and what to do if not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from core.contracts import Bools, Floats
from core.evaluate.ranking import auc_roc

Advice = Literal["unknown", "fine", "monitor", "retrain", "fall back"]

LEAST = 10
"""Labels of each kind that a figure needs, before and after."""
RETRAIN, EMERGENCY = 0.05, 0.15
"""Drops of the AUC from which to train anew, and from which not to wait for that."""
USELESS = 0.6
"""An AUC that is hardly better than a coin."""
SURE = 0.95


@dataclass(frozen=True)
class Performance:
    """AUC on labels of the reference and on those of the windows; None where there are too few.

    drop      : before − after, with its `SURE` one-sided lower bound `at_least`
    real, normal : labels of each kind, before and after
    labels    : how many more labels would tell; 0 where there are enough
    """

    before: float | None
    after: float | None
    drop: float | None
    at_least: float | None
    real: tuple[int, int]
    normal: tuple[int, int]
    labels: int
    advice: Advice


def performance(
    scores_before: Floats, real_before: Bools, scores_after: Floats, real_after: Bools
) -> Performance:
    """Compare how well scores rank labelled cases, (n,) each, higher = more anomalous.

    A drop counts once its lower bound is above 0. Source of the standard error: Hanley and McNeil, Radiology
    143, 1982, equation 1; of the 0.05: the specification.
    """
    real = int(real_before.sum()), int(real_after.sum())
    normal = len(real_before) - real[0], len(real_after) - real[1]
    missing = sum(max(LEAST - count, 0) for count in (*real, *normal))
    if missing:
        return Performance(None, None, None, None, real, normal, missing, "unknown")
    before, after = auc_roc(scores_before, real_before), auc_roc(scores_after, real_after)
    errors = [
        _error(auc, *kinds)
        for auc, kinds in zip((before, after), zip(real, normal, strict=True), strict=True)
    ]
    drop, error = before - after, math.hypot(*errors)
    at_least = drop - float(stats.norm.ppf(SURE)) * error
    advice: Advice = "fine"
    if drop > RETRAIN:
        advice = "monitor"
        if at_least > 0:
            advice = "fall back" if drop > EMERGENCY or after < USELESS else "retrain"
    more = 0
    if advice == "monitor":
        times = (float(stats.norm.ppf(SURE)) * error / drop) ** 2
        more = int(np.ceil((times - 1.0) * len(real_after)))
    return Performance(before, after, drop, at_least, real, normal, more, advice)


def _error(auc: float, real: int, normal: int) -> float:
    """Standard error of an AUC."""
    first, second = auc / (2.0 - auc), 2.0 * auc**2 / (1.0 + auc)
    spread = (real - 1) * (first - auc**2) + (normal - 1) * (second - auc**2)
    return float(np.sqrt((auc * (1.0 - auc) + spread) / (real * normal)))
