"""Least similar nearest neighbours: how far a row is from its nearest in many tiny samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.contracts import Floats, State, Tags, param
from core.detectors.rows import RowDetector, RowParams


@dataclass(frozen=True)
class LesinnParams(RowParams):
    samples: int = param(60, help="Samples that each row is compared with", low=1, high=1_000)
    size: int = param(16, help="Rows in one sample", low=2, high=10_000)


class Lesinn(RowDetector):
    """How far a row is from its nearest neighbour, averaged over many tiny samples.

    A sample of 16 rows seldom holds an anomaly, so a group of anomalies does not vouch for itself as it
    does among all rows, and the average over the samples smooths what one of them missed.

    Good for: tables with many anomalies, also in groups; large tables, as nothing grows with them.
    Bad for: anomalies within the distances of normal rows from each other.
    Score: robust standard deviations, 0 and up. Cost: samples · size · columns per row.

    Source: Pang, Ting & Albrecht, LeSiNN: Detecting Anomalies by Identifying Least Similar Nearest
    Neighbours (ICDM Workshops 2015), section III.
    """

    name = "lesinn"
    source = "Pang, Ting & Albrecht, LeSiNN (ICDM Workshops 2015), section III"
    tags = Tags(stochastic=True, min_times=1)
    Params = LesinnParams
    cheap = {"pool": 500, "samples": 20}
    reach = 12.0

    def _learn(self, rows: Floats) -> State:
        rng = np.random.default_rng(self.params.seed)
        size = min(self.params.size, len(rows))
        drawn = [rng.choice(len(rows), size, replace=False) for _ in range(self.params.samples)]
        return {"samples": rows[np.stack(drawn)]}

    def _judge(self, scorer: Any, rows: Floats) -> Floats:
        total = np.zeros(len(rows))
        for sample in np.asarray(scorer["samples"]):
            nearest = np.full(len(rows), np.inf)
            for known in sample:
                # one row at a time, so that neither threads nor the company of a row decide its last bit
                apart = rows - known
                np.minimum(nearest, np.einsum("ij,ij->i", apart, apart), out=nearest)
            total += np.sqrt(nearest)
        return total / len(scorer["samples"])
