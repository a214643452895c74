"""Detectors that look at a row's nearest neighbours: k-nearest-neighbours, local outlier factor, DBSCAN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.contracts import Bools, Floats, State, param
from core.detectors.rows import RowDetector, RowParams
from core.errors import NotEnoughDataError

SPARE = 8
"""Candidates looked at beyond those asked for: fast distances are rounded, and the last ones may swap."""
TINY = 1e-10
"""Added to a mean distance before it divides, as scikit-learn does: many equal rows lie 0 apart."""


@dataclass(frozen=True)
class NeighbourParams(RowParams):
    pool: int = param(
        5_000,
        help="Rows that it learns from at most, drawn at random; cost grows with them",
        low=8,
        high=1_000_000,
    )


class Nearest(NamedTuple):
    """The nearest learned rows of each row, nearest first.

    distance, place : (n_row, count), Euclidean distance, and which of the learned rows it is
    learned         : (n_row,), the row is one of the learned ones
    """

    distance: Floats
    place: NDArray[np.intp]
    learned: Bools


def nearest(known: Floats, rows: Floats, count: int) -> Nearest:
    """The `count` nearest of `known` (all but one of them where they are fewer).

    A learned row equal to the row to the last bit is taken for the row itself and left out, once: a row
    then scores the same whether or not it was learned from, and equal rows still see each other.

    Candidates come from a fast search by matrix product; their distances are then worked out one by one,
    so neither rounding nor the number of threads decides.
    """
    from sklearn.neighbors import NearestNeighbors

    count = min(count, len(known) - 1)
    asked = min(count + 1 + SPARE, len(known))
    search = NearestNeighbors(algorithm="brute").fit(known)
    place = np.sort(search.kneighbors(rows, asked, return_distance=False), axis=1)
    distance = np.empty(place.shape)
    for candidate in range(asked):
        apart = known[place[:, candidate]] - rows
        distance[:, candidate] = np.sqrt(np.einsum("ij,ij->i", apart, apart))
    order = np.argsort(distance, axis=1, kind="stable")
    learned = distance.min(axis=1) == 0.0
    order = np.take_along_axis(order, learned[:, None] + np.arange(count), axis=1)
    return Nearest(
        np.take_along_axis(distance, order, axis=1),
        np.take_along_axis(place, order, axis=1),
        learned,
    )


# ── k nearest neighbours ─────────────────────────────────────────────────────────────────────────

SUMMARIES: dict[str, Callable[..., Any]] = {"largest": np.max, "mean": np.mean, "median": np.median}


@dataclass(frozen=True)
class NearestNeighboursParams(NeighbourParams):
    neighbours: int = param(5, help="Nearest rows that are looked at", low=1, high=1_000)
    distance: str = param(
        "largest", help="Which of their distances is the score", choices=tuple(SUMMARIES)
    )


class NearestNeighbours(RowDetector):
    """How far a row's nearest neighbours are.

    The distance to the k-th nearest of the learned rows, or the mean or median of the k. A row that was
    learned from does not find itself.

    Good for: odd rows far from all others, whatever the shape of the normal ones; windows of one metric.
    Bad for: data of very different densities; anomalies that come in groups of more than k; thousands of
    columns, in which everything is equally far. Neighbouring windows overlap, so a slow anomaly has
    near neighbours in itself.
    Score: robust standard deviations, 0 and up. Cost: rows · pool · columns.

    Source: Ramaswamy, Rastogi & Shim, Efficient Algorithms for Mining Outliers from Large Data Sets
    (SIGMOD 2000), section 2; Angiulli & Pizzuti (PKDD 2002) for the mean.
    """

    name = "knn"
    source = (
        "Ramaswamy, Rastogi & Shim, Efficient Algorithms for Mining Outliers from Large Data Sets "
        "(SIGMOD 2000), section 2"
    )
    Params = NearestNeighboursParams

    def _learn(self, rows: Floats) -> State:
        return {"rows": rows}

    def _judge(self, scorer: Any, rows: Floats) -> Floats:
        distance = nearest(scorer["rows"], rows, self.params.neighbours).distance
        return np.asarray(SUMMARIES[self.params.distance](distance, axis=1))


# ── Local outlier factor ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class LocalOutlierFactorParams(NeighbourParams):
    neighbours: int = param(20, help="Nearest rows that are looked at", low=1, high=1_000)


class LocalOutlierFactor(RowDetector):
    """How much thinner the data are around a row than around its neighbours.

    Local density is one over the mean distance to the k nearest learned rows, none counted as nearer than
    that neighbour's own k-th neighbour. The score is the neighbours' mean density over the row's own. A
    row that was learned from does not find itself.

    Good for: rows odd for where they are, in data of several densities.
    Bad for: groups of more than k anomalies; many equal rows, between which density is infinite and next
    to which everything is odd.
    Score: a ratio, about 1 on normal rows. Cost: rows · pool · columns.

    Source: Breunig et al., LOF: Identifying Density-Based Local Outliers (SIGMOD 2000), definitions 5–7;
    the numbers are those of scikit-learn's LocalOutlierFactor.
    """

    name = "lof"
    source = "Breunig et al., LOF: Identifying Density-Based Local Outliers (SIGMOD 2000), definitions 5–7"
    Params = LocalOutlierFactorParams

    def _learn(self, rows: Floats) -> State:
        found = nearest(rows, rows, self.params.neighbours)
        reach = found.distance[:, -1]
        return {"rows": rows, "reach": reach, "density": _density(found, reach)}

    def _judge(self, scorer: Any, rows: Floats) -> Floats:
        found = nearest(scorer["rows"], rows, self.params.neighbours)
        around: Floats = scorer["density"][found.place].mean(axis=1)
        return around / _density(found, scorer["reach"])


def _density(found: Nearest, reach: Floats) -> Floats:
    """One over the mean distance to the neighbours, none nearer than its own reach."""
    return np.asarray(1.0 / (np.maximum(found.distance, reach[found.place]).mean(axis=1) + TINY))


# ── DBSCAN ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class DbscanParams(NeighbourParams):
    neighbours: int = param(
        5, help="Rows within `eps`, itself counted, that make a row a core row", low=2, high=1_000
    )
    eps: float = param(
        0.0,
        help="Distance within which rows belong together; 0 = taken from the data by `share`",
        low=0.0,
        high=1e9,
        unit="robust standard deviations",
    )
    share: float = param(
        0.95, help="Share of the learned rows that `eps` makes core rows", low=0.01, high=1.0
    )


class Dbscan(RowDetector):
    """How far a row is from the nearest cluster, in units of what a cluster bridges.

    A core row has at least `neighbours` rows within `eps`; clusters are the core rows and what lies within
    `eps` of one. The score is the distance to the nearest other core row over `eps`, for a core row at
    most 1: above 1 is exactly what DBSCAN calls noise. Without an `eps` it is the distance to the last of
    the neighbours that `share` of the rows stay below (the sorted k-distance graph of the paper).

    Good for: clusters of any shape; a score with a natural cut at 1.
    Bad for: clusters of different densities; more noise than 1 − `share`; thousands of columns.
    Score: a ratio, 0 and up. Cost: rows · pool · columns.

    Source: Ester et al., A Density-Based Algorithm for Discovering Clusters (KDD 1996), definitions 1–6 and
    section 4.2; core rows and noise are those of scikit-learn's DBSCAN.
    """

    name = "dbscan"
    source = (
        "Ester et al., A Density-Based Algorithm for Discovering Clusters (KDD 1996), "
        "definitions 1–6 and section 4.2"
    )
    Params = DbscanParams

    def _learn(self, rows: Floats) -> State:
        last = nearest(rows, rows, self.params.neighbours - 1).distance[:, -1]
        # an observed distance, so that there are core rows; 1 where most rows are equal
        observed = float(np.quantile(last, self.params.share, method="higher"))
        eps = self.params.eps or observed or 1.0
        core = rows[last <= eps]
        if len(core) < 2:
            rule = f"at least 2 with {self.params.neighbours} rows within {eps}"
            raise NotEnoughDataError.of(self.name, "core rows", rule, len(core), "Raise eps.")
        return {"rows": core, "eps": np.array(eps)}

    def _judge(self, scorer: Any, rows: Floats) -> Floats:
        found = nearest(scorer["rows"], rows, 1)
        score: Floats = found.distance[:, 0] / scorer["eps"]
        return np.where(found.learned, np.minimum(score, 1.0), score)
