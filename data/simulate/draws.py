"""Random numbers as a pure function of what they are for.

There is no stream and no generator object. Every cell of a simulated world (an entity in an hour,
a click, an order) has a 64-bit key derived from its parents' keys, and one uniform derived from
that key; a distribution is its inverse CDF at that uniform. So adding an entity, a day or a fault
changes no other cell's noise (common random numbers), and two worlds that differ in one fault
differ only below it.

The mixing function is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, §4).
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

Keys = NDArray[np.uint64]
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_CORNISH_FISHER_FROM = 10.0  # below this mean the expansion is off by more than 1 % of the spread
_NEGLIGIBLE = 1e-18


def root_key(*words: object) -> Keys:
    """The key of a whole world, shape (1,), from words such as its name and seed."""
    digest = hashlib.blake2b("/".join(map(str, words)).encode(), digest_size=8).digest()
    return np.frombuffer(digest, dtype="<u8").copy()


def derive(parent: Keys, number: ArrayLike) -> Keys:
    """Keys of the children `number` (integers >= 0) of `parent`; the two broadcast."""
    key: Keys = np.asarray(number).astype(np.uint64) + np.uint64(1)
    key = np.multiply(key, _GOLDEN)
    key = np.add(key, parent)
    key ^= key >> np.uint64(30)
    np.multiply(key, _MIX_1, out=key)
    key ^= key >> np.uint64(27)
    np.multiply(key, _MIX_2, out=key)
    key ^= key >> np.uint64(31)
    return key


def uniform(keys: Keys) -> Floats:
    """One number strictly between 0 and 1 per key, on a grid of 2**-53."""
    u = (keys >> np.uint64(11)).astype(np.float64)
    u += 0.5
    u *= 2.0**-53
    return u


def normal(keys: Keys) -> Floats:
    """One standard normal number per key."""
    z: Floats = ndtri(uniform(keys))
    return z


def autoregressive(keys: Keys, n_time: int, sd: float, memory: float) -> Floats:
    """Stationary AR(1) paths, shape (n_keys, n_time), with standard deviation `sd`."""
    steps = normal(derive(keys[:, None], np.arange(n_time)[None, :]))
    paths = np.empty_like(steps)
    paths[:, 0] = steps[:, 0]
    fresh = np.sqrt(1.0 - memory**2)
    for t in range(1, n_time):
        paths[:, t] = memory * paths[:, t - 1] + fresh * steps[:, t]
    paths *= sd
    return paths


def poisson(u: Floats, mean: Floats) -> Counts:
    """Poisson quantile; meant for means below about 40."""
    return _invert(u, np.exp(-mean), mean, np.zeros_like(mean))


def binomial(u: Floats, trials: Floats, chance: Floats) -> Counts:
    """Binomial quantile; meant for expected counts below about 40."""
    odds = chance / (1.0 - chance)
    return _invert(u, np.exp(trials * np.log1p(-chance)), trials * odds, -odds)


def negative_binomial(u: Floats, mean: Floats, shape: float) -> Counts:
    """Negative binomial quantile with variance mean + mean**2 / shape.

    Exact below a mean of 10; above it the Cornish-Fisher expansion to fourth order, rounded.
    """
    counts = np.zeros(mean.shape, dtype=np.int64)
    small = mean < _CORNISH_FISHER_FROM
    q = mean[small] / (mean[small] + shape)
    counts[small] = _invert(u[small], (1.0 - q) ** shape, shape * q, q)
    large = ~small
    m = mean[large]
    q = m / (m + shape)
    spread = np.sqrt(m + m * m / shape)
    skew = (1.0 + q) / np.sqrt(shape * q)
    excess = 6.0 / shape + (1.0 - q) ** 2 / (shape * q)
    z = ndtri(u[large])
    z2 = z * z
    bend = (z2 - 1.0) * skew / 6.0
    bend += z * (z2 - 3.0) * excess / 24.0 - z * (2.0 * z2 - 5.0) * skew * skew / 36.0
    counts[large] = np.maximum(np.rint(m + spread * (z + bend)), 0.0).astype(np.int64)
    return counts


def _invert(u: Floats, p0: Floats, a: Floats, b: Floats) -> Counts:
    """Quantiles of a family with P(k+1) / P(k) = (a + b k) / (k + 1): Panjer's class.

    Walks up from zero and drops each cell as soon as it is decided, so the cost is the sum of the
    drawn counts.
    """
    counts = np.zeros(u.shape, dtype=np.int64)
    flat = counts.reshape(-1)
    u, p, a, b = (np.ravel(x) for x in np.broadcast_arrays(u, p0, a, b))
    active = np.flatnonzero(u > p)
    u, p, a, b = u[active], p[active], a[active], b[active]
    u = u - p
    k = 0
    while active.size:
        p = p * ((a + b * k) / (k + 1))
        k += 1
        flat[active] = k
        more = (u > p) & (p > _NEGLIGIBLE)
        u = (u - p)[more]
        active, p, a, b = active[more], p[more], a[more], b[more]
    return counts
