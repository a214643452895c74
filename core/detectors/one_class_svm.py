"""One-class support vector machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.contracts import Floats, State, param
from core.detectors.rows import RowDetector, RowParams


@dataclass(frozen=True)
class OneClassSvmParams(RowParams):
    pool: int = param(
        4_000,
        help="Rows that it learns from at most, drawn at random; learning grows with their square",
        low=8,
        high=100_000,
    )
    nu: float = param(
        0.5,
        help="Most of the learned rows outside the border, and fewest that the border rests on",
        low=0.001,
        high=1.0,
        unit="share",
    )
    gamma: float = param(
        0.0,
        help="How fast likeness falls with squared distance; 0 = 1 / (columns · their variance)",
        low=0.0,
        high=1e6,
    )


class OneClassSvm(RowDetector):
    """How far outside a smooth border around the usual rows a row lies.

    A support vector machine with a Gaussian kernel finds the smallest region that holds all but a share
    `nu` of the rows; the score is the distance to its border, positive outside.

    Good for: usual rows in one or several bounded regions; `nu` = 0.5 ranks well, a small one draws a border.
    Bad for: many anomalies among the rows learned from; columns of very different meaning; long windows.
    Score: unitless, 0 on the border, bounded above far away, where all is equally odd.
    Cost: learning pool², judging rows · nu · pool · columns.

    Source: Schölkopf et al., Estimating the Support of a High-Dimensional Distribution (Neural Computation
    2001), section 3; the numbers are those of scikit-learn's OneClassSVM.
    """

    name = "one-class-svm"
    source = (
        "Schölkopf et al., Estimating the Support of a High-Dimensional Distribution "
        "(Neural Computation 2001), section 3"
    )
    Params = OneClassSvmParams

    def _learn(self, rows: Floats) -> State:
        from sklearn.svm import OneClassSVM

        gamma = self.params.gamma or 1.0 / (rows.shape[1] * (float(rows.var()) or 1.0))
        machine = OneClassSVM(nu=self.params.nu, gamma=gamma).fit(rows)
        return {
            "rows": machine.support_vectors_,
            "weights": machine.dual_coef_[0],
            "border": -machine.intercept_,
            "gamma": np.array(gamma),
        }

    def _judge(self, scorer: Any, rows: Floats) -> Floats:
        from scipy.spatial.distance import cdist

        likeness = cdist(rows, scorer["rows"], "sqeuclidean")
        likeness *= -scorer["gamma"]
        np.exp(likeness, out=likeness)
        likeness *= scorer["weights"]
        return np.asarray(scorer["border"] - likeness.sum(axis=1))
