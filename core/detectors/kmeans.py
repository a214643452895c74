"""K-means on windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.contracts import Floats, State, param
from core.detectors.rows import RowDetector, RowParams

DIGITS = 6
"""Decimals of a robust standard deviation in which rows must differ to be centres of their own."""


@dataclass(frozen=True)
class KMeansWindowsParams(RowParams):
    clusters: int = param(20, help="Number of usual shapes", low=1, high=10_000)


class KMeansWindows(RowDetector):
    """How far a window is from the nearest of a few usual shapes.

    K-means finds `clusters` centres among the windows; the score is the distance to the nearest one.

    Good for: series that repeat a few shapes; the cheapest of the detectors by distance.
    Bad for: shapes that change slowly for ever; an anomaly that is frequent enough gets a centre of its own.
    Score: robust standard deviations, 0 and up. Cost: rows · clusters · columns.

    Source: Yairi, Kato & Hori, Fault Detection by Mining Association Rules from House-keeping Data (i-SAIRAS
    2001), in the form of KMeansAD in Schmidl, Wenig & Papenbrock (PVLDB 2022), without averaging over
    windows; the centres are those of scikit-learn's KMeans.
    """

    name = "kmeans-windows"
    source = (
        "Yairi, Kato & Hori, Fault Detection by Mining Association Rules from House-keeping Data "
        "(i-SAIRAS 2001); KMeansAD in Schmidl, Wenig & Papenbrock (PVLDB 2022)"
    )
    Params = KMeansWindowsParams

    def _learn(self, rows: Floats) -> State:
        from sklearn.cluster import KMeans

        # rows nearer to each other are one and the same once their distances are multiplied out
        different = len(np.unique(np.round(rows, DIGITS), axis=0))
        clusters = min(self.params.clusters, different)
        means = KMeans(clusters, random_state=self.params.seed).fit(rows)
        return {"centres": means.cluster_centers_}

    def _judge(self, scorer: Any, rows: Floats) -> Floats:
        from scipy.spatial.distance import cdist

        return np.asarray(cdist(rows, scorer["centres"]).min(axis=1))
