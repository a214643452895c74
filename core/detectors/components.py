"""Principal components of windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.contracts import Floats, State, param
from core.detectors.rows import RowDetector, RowParams

LEAST = 1e-10
"""Share of the variance below which a direction is rounding, not data."""


@dataclass(frozen=True)
class PrincipalComponentsParams(RowParams):
    pool: int = param(
        100_000, help="Rows that it learns from at most, drawn at random", low=8, high=5_000_000
    )


class PrincipalComponents(RowDetector):
    """How far a window lies from the principal directions of all windows, rare directions weighing most.

    Rows are standardised and turned by a principal component analysis. The score is the sum over the
    components of the distance between row and unit direction, divided by the direction's share of the
    variance: a move where the data hardly ever move counts for much.

    With `align` "centre" it is the published Sub-PCA of TSB-AD: window from the autocorrelation, all
    components kept. Directions without variance, by which that one divides by zero, are left out.

    Good for: broken cycles and broken relations between metrics; fast on long series.
    Bad for: rows from several different regimes; training data in which the anomalies are many.
    Score: unitless, 0 and up; it grows with the length of the window. Cost: rows · columns².

    Source: Shyu et al., A Novel Anomaly Detection Scheme Based on Principal Component Classifier (2003),
    section 2, in the form of PyOD's PCA; on windows as in Liu & Paparrizos, TSB-AD (NeurIPS 2024).
    """

    name = "pca"
    source = (
        "Shyu et al., A Novel Anomaly Detection Scheme Based on Principal Component Classifier "
        "(2003), section 2; Liu & Paparrizos, TSB-AD (NeurIPS 2024), Sub-PCA"
    )
    Params = PrincipalComponentsParams
    reach = np.inf

    def _learn(self, rows: Floats) -> State:
        from sklearn.decomposition import PCA
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(rows)
        turned = scaler.transform(rows)
        directions, shares = np.zeros((0, rows.shape[1])), np.zeros(0)
        if turned.any():
            analysis = PCA(random_state=self.params.seed).fit(turned)
            kept = analysis.explained_variance_ratio_ > LEAST
            directions = analysis.components_[kept]
            shares = analysis.explained_variance_ratio_[kept]
        return {
            "mean": scaler.mean_,
            "deviation": scaler.scale_,
            "directions": directions,
            "shares": shares,
        }

    def _judge(self, scorer: Any, rows: Floats) -> Floats:
        from scipy.spatial.distance import cdist

        turned = (rows - scorer["mean"]) / scorer["deviation"]
        distance = cdist(turned, scorer["directions"]) / scorer["shares"]
        return np.asarray(distance.sum(axis=1))
