"""How far two samples are apart: Kolmogorov–Smirnov, Wasserstein and the population stability index.

All take cumulative shares on a common grid, (…, n_point), so that hundreds of metrics and thousands of resamples
are one call. On the grid of all observed values they are exact; on a coarser one KS is short by at most one
cell's share and Wasserstein by at most one cell's width.
"""

from __future__ import annotations

import numpy as np

from core.contracts import Floats

BINS = 10
"""Bins of the stability index, each with a tenth of the reference."""
LEAST = 0.005
"""The share that an empty bin is taken to hold: a logarithm of nothing would be infinite."""


def cumulative(sample: Floats, grid: Floats) -> Floats:
    """(…, n_point) share of a sample (…, n_value) at or below each point of an ascending grid; NaN is left out."""
    ascending = np.sort(sample, axis=-1)  # NaN goes last
    known = np.isfinite(sample).sum(axis=-1, keepdims=True)
    flat = ascending.reshape(-1, sample.shape[-1])
    reached = np.array([np.searchsorted(row, grid, side="right") for row in flat])
    shape = (*sample.shape[:-1], len(grid))
    return np.asarray(np.minimum(reached.reshape(shape), known) / known)


def kolmogorov_smirnov(first: Floats, second: Floats) -> Floats:
    """(…,) largest gap between the cumulative shares, 0…1. Source: Smirnov, Ann. Math. Statist. 19, 1948."""
    return np.asarray(np.abs(first - second).max(axis=-1))


def wasserstein(first: Floats, second: Floats, widths: Floats | float) -> Floats:
    """(…,) area between the cumulative shares, in the grid's unit; `widths` from each point to the next.

    Source: Ramdas, García Trillos and Cuturi, Entropy 19(2), 2017, section 3.
    """
    return np.asarray((np.abs(first - second) * widths).sum(axis=-1))


def lean(first: Floats, second: Floats, widths: Floats | float) -> Floats:
    """(…,) how much higher the second sample lies on average: the same area with its sign."""
    return np.asarray(((first - second) * widths).sum(axis=-1))


def stability_index(reference: Floats, other: Floats, bins: int = BINS) -> Floats:
    """(…,) population stability index Σ (o − r) ln(o / r) over bins that split the reference evenly.

    `other` may have further axes between those of the reference and the grid. Below 0.1 nothing moved, above
    0.25 much did. Source: Siddiqi, Credit Risk Scorecards (Wiley 2006), chapter 9.
    """
    last = reference.shape[-1] - 1
    # the first point of the grid that holds each quantile; ties make a bin empty in both samples
    cuts = np.stack([(reference < k / bins - 1e-9).sum(axis=-1) for k in range(1, bins)], axis=-1)
    cuts = np.minimum(cuts, last)
    inner = (1,) * (other.ndim - reference.ndim)
    where = cuts.reshape(*cuts.shape[:-1], *inner, bins - 1)
    shares = [
        _between(np.take_along_axis(sample, np.broadcast_to(where, (*shape, bins - 1)), axis=-1))
        for sample, shape in (
            (reference.reshape(*reference.shape[:-1], *inner, last + 1), where.shape[:-1]),
            (other, other.shape[:-1]),
        )
    ]
    before, after = (np.maximum(share, LEAST) for share in shares)
    return np.asarray(((after - before) * np.log(after / before)).sum(axis=-1))


def _between(cumulated: Floats) -> Floats:
    edges = np.zeros_like(cumulated[..., :1])
    return np.diff(np.concatenate([edges, cumulated, edges + 1], axis=-1), axis=-1)
