"""K-means on windows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.contracts import Floats, State, param
from core.detectors.rows import RowDetector, RowParams


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
        from sklearn.exceptions import ConvergenceWarning

        means = KMeans(min(self.params.clusters, len(rows)), random_state=self.params.seed)
        with warnings.catch_warnings():
            # fewer different rows than clusters: some centres are equal, which does no harm
            warnings.simplefilter("ignore", ConvergenceWarning)
            return {"centres": means.fit(rows).cluster_centers_}

    def _judge(self, scorer: Any, rows: Floats) -> Floats:
        from scipy.spatial.distance import cdist

        return np.asarray(cdist(rows, scorer["centres"]).min(axis=1))
