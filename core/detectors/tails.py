"""Detectors that look at each column by itself and add up how rare its value is: ECOD, COPOD, HBOS."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.contracts import Floats, State, Tags, param
from core.detectors.rows import RowDetector, RowParams

# ── Empirical tails ──────────────────────────────────────────────────────────────────────────────


class TailDetector(RowDetector):
    """Base of the detectors that add up tail probabilities of the columns.

    The share of learned values at or below a value, and at or above it, each value counting itself once;
    minus their logarithms are the left and the right tail. PyOD counts the rows of a call among the learned
    ones, so that a row scores by its company; here it scores alone, and equal to PyOD on the rows learned.
    """

    tags = Tags(stochastic=True, min_times=1)
    reach = np.inf

    @abstractmethod
    def _combine(self, left: Floats, right: Floats, skewed: Floats) -> Floats:
        """One number per cell; `skewed` is the tail on the long side of the column."""

    def _learn(self, rows: Floats) -> State:
        return {
            "columns": np.ascontiguousarray(np.sort(rows, axis=0).T),
            "skew": np.sign(((rows - rows.mean(axis=0)) ** 3).mean(axis=0)),
        }

    def _judge(self, scorer: Any, rows: Floats) -> Floats:
        total = np.zeros(len(rows))
        for values, column, skew in zip(rows.T, scorer["columns"], scorer["skew"], strict=True):
            below = np.searchsorted(column, values, side="left")
            upto = np.searchsorted(column, values, side="right")
            itself = (below == upto).astype(np.float64)
            count = len(column) + itself
            left = -np.log((upto + itself) / count)
            right = -np.log((len(column) - below + itself) / count)
            skewed = left * (skew <= 0) + right * (skew >= 0)
            total += self._combine(left, right, skewed)
        return total


class Ecod(TailDetector):
    """How far out in the tails of all columns together a row lies.

    Each column gives the larger of its left tail, its right tail and the tail on its skewed side, as minus
    the logarithm of a probability; the score is their sum.

    Good for: tables; nothing to set, nothing random, every column's share readable.
    Bad for: joint oddities of ordinary values; values odd in the middle, between two peaks.
    Score: −log probability (nats), 0 and up. Cost: log(pool) per cell.

    Source: Li et al., ECOD: Unsupervised Outlier Detection Using Empirical Cumulative Distribution Functions
    (TKDE 2022), algorithm 1, with PyOD's maximum taken per column.
    """

    name = "ecod"
    source = "Li et al., ECOD: Unsupervised Outlier Detection Using Empirical CDFs (TKDE 2022), algorithm 1"

    def _combine(self, left: Floats, right: Floats, skewed: Floats) -> Floats:
        return np.maximum(np.maximum(left, right), skewed)


class Copod(TailDetector):
    """How improbable a row is under the empirical copula of the columns.

    Each column gives the larger of the mean of its two tails and the tail on its skewed side, as minus the
    logarithm of a probability; the score is their sum.

    Good for: tables; skewed columns; nothing to set, nothing random, every column's share readable.
    Bad for: joint oddities of ordinary values; values odd in the middle, between two peaks.
    Score: −log probability (nats), 0 and up. Cost: log(pool) per cell.

    Source: Li et al., COPOD: Copula-Based Outlier Detection (ICDM 2020), algorithm 1, with PyOD's maximum
    taken per column.
    """

    name = "copod"
    source = "Li et al., COPOD: Copula-Based Outlier Detection (ICDM 2020), algorithm 1"

    def _combine(self, left: Floats, right: Floats, skewed: Floats) -> Floats:
        return np.maximum(skewed, (left + right) / 2)


# ── Histograms ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class HistogramsParams(RowParams):
    bins: int = param(
        10,
        help="Bins of each column's histogram; 0 = as many as its values call for",
        low=0,
        high=10_000,
    )
    floor: float = param(
        0.1,
        help="Added to every density, so that an empty bin is rare and not impossible",
        low=1e-9,
        high=1.0,
    )
    margin: float = param(
        0.5,
        help="Bin widths outside the range that still count as the outermost bin",
        low=0.0,
        high=1.0,
    )


class Histograms(RowDetector):
    """How thinly filled the histogram bins are into which a row's values fall.

    One histogram of equal bins per column; the score is minus the sum of the logarithms of the densities.
    A value outside the range falls into the outermost bin within `margin` bin widths, and counts as the
    thinnest bin beyond.

    Good for: tables, also large ones; values odd between two peaks; several peaks.
    Bad for: joint oddities of ordinary values; one far value, which stretches all bins; how far outside a value
    lies, as the thinnest bin is the most that a column can say: alone it misses what one column shows.
    Score: minus log₂ density, any sign. Cost: log(bins) per cell.

    Source: Goldstein & Dengel, Histogram-based Outlier Score (KI 2012), section 3; the numbers are those of
    PyOD's HBOS on the same rows.
    """

    name = "hbos"
    source = "Goldstein & Dengel, Histogram-based Outlier Score (KI 2012), section 3"
    tags = Tags(stochastic=True, min_times=1)
    Params = HistogramsParams
    reach = np.inf

    def _learn(self, rows: Floats) -> State:
        histograms = [
            np.histogram(column, self.params.bins or bins(column), density=True)
            for column in rows.T
        ]
        most = max(len(density) for density, _ in histograms)
        return {
            "density": np.stack([_padded(density, most) for density, _ in histograms]),
            "edges": np.stack([_padded(edges, most + 1) for _, edges in histograms]),
        }

    def _judge(self, scorer: Any, rows: Floats) -> Floats:
        total = np.zeros(len(rows))
        for values, density, edges in zip(rows.T, scorer["density"], scorer["edges"], strict=True):
            known = edges[~np.isnan(edges)]
            rarity = -np.log2(density[: len(known) - 1] + self.params.floor)
            margin = self.params.margin * (known[1] - known[0])
            place = np.searchsorted(known, values, side="left") - 1
            outside = (values < known[0] - margin) | (values > known[-1] + margin)
            total += np.where(outside, rarity.max(), rarity[np.clip(place, 0, len(rarity) - 1)])
        return total


def bins(values: Floats) -> int:
    """Equal bins that tell the most about the values for their number, below the root of how many there are.

    The penalty is charged once for every bin, as PyOD's "auto" does, which makes for fewer bins than the
    paper: a histogram that is to show what is rare needs no fine grain.

    Source: Birgé & Rozenholc, How many bins should be put in a regular histogram (ESAIM: P&S 2006),
    section 2.3, as in PyOD's get_optimal_n_bins.
    """
    n = len(values)
    counts = np.arange(1, max(2, int(np.sqrt(n))))

    def gain(count: int) -> float:
        filled = np.histogram(values, count)[0]
        told = float((filled * np.log(count * filled / n + 1.0)).sum())
        return told - count * float(count - 1 + np.log(count) ** 2.5)

    return int(counts[np.argmax([gain(int(count)) for count in counts])])


def _padded(values: Floats, size: int) -> Floats:
    return np.pad(values, (0, size - len(values)), constant_values=np.nan)
