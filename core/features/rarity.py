"""How unusual a value or an amount is, against what came in the same place before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.contracts import Floats
from core.features.scaling import robust_scale

BACKING = 2.0
"""Events that the value's overall share counts for, beside those seen in the context."""
MARGIN = 1.0
"""Nats beyond the usual surprise that say nothing yet."""
LEAST = 20
"""Amounts below which a group is scaled like all."""
NINE_IN_TEN = 3.29
"""Standard deviations that hold nine in ten values of a normal distribution."""
FINEST = 0.01
"""Part of the median amount below which amounts are not told apart."""


@dataclass(frozen=True, eq=False)
class Rarity:
    """How surprising a value is in a context, from how often both came together.

    p = (times together + BACKING · overall share) / (times of the context + BACKING). The last value is the bucket
    of unknown ones; its share is that of values in the later half of training which the earlier half did not know.

    pairs, together  : ascending context · n_value + value, and how often it was seen
    contexts, times  : ascending contexts, and how often each was seen
    share            : (n_value,) overall share of each value
    usual            : mean surprise of what came in each context
    """

    pairs: NDArray[np.int64]
    together: Floats
    contexts: NDArray[np.int64]
    times: Floats
    share: Floats
    usual: Floats

    @classmethod
    def learn(cls, context: NDArray[Any], value: NDArray[Any], n_value: int) -> Rarity:
        """From codes in order of time; a value below 0 is missing and teaches nothing."""
        given = value >= 0
        context, value = context[given].astype(np.int64), value[given].astype(np.int64)
        pairs, together = np.unique(context * n_value + value, return_counts=True)
        contexts, times = np.unique(context, return_counts=True)
        half = len(value) // 2
        fresh = ~np.isin(value[half:], value[:half])
        unknown = (fresh.sum() + 0.5) / (len(fresh) + 1.0)
        counts = np.bincount(value, minlength=n_value)[: n_value - 1]
        # half uniform: what was never seen at all is no rarer than one of so many values
        known = 0.5 * counts / max(counts.sum(), 1) + 0.5 / max(n_value - 1, 1)
        share = np.append((1.0 - unknown) * known / max(known.sum(), 0.5), unknown)
        at = np.searchsorted(contexts, pairs // n_value)
        p = (together + BACKING * share[pairs % n_value]) / (times[at] + BACKING)
        usual = np.bincount(at, -np.log(p) * together, len(contexts)) / times
        return cls(pairs, together.astype(float), contexts, times.astype(float), share, usual)

    def surprise(self, context: NDArray[Any], value: NDArray[Any]) -> Floats:
        """(n,) nats beyond what is usual in the context and MARGIN, at least 0; NaN where the value is missing."""
        n_value = len(self.share)
        known = np.maximum(value, 0).astype(np.int64)
        context = context.astype(np.int64)
        together = counted(self.pairs, self.together, context * n_value + known)
        times = counted(self.contexts, self.times, context)
        p = (together + BACKING * self.share[known]) / (times + BACKING)
        # nobody could have seen an unknown value here, however often the context came
        p = np.where(known == n_value - 1, self.share[-1], p)
        # a context never seen is as uncertain as they are on average
        average = self.usual.mean() if len(self.usual) else 0.0
        usual = average + counted(self.contexts, self.usual - average, context)
        excess = np.maximum(-np.log(p) - usual - MARGIN, 0.0)
        return np.where(value < 0, np.nan, excess)

    def avoidance(self, context: NDArray[Any], value: NDArray[Any]) -> Floats:
        """(n,) how much seldomer the two came together than by chance, −log of the ratio; NaN where missing.

        One more of each is counted, so who is new or seldom seen stands out nowhere.
        """
        n_value = len(self.share)
        known = np.maximum(value, 0).astype(np.int64)
        context = context.astype(np.int64)
        seen = np.bincount(self.pairs % n_value, self.together, n_value)
        expected = counted(self.contexts, self.times, context) * seen[known] / max(seen.sum(), 1.0)
        together = counted(self.pairs, self.together, context * n_value + known)
        ratio = (together + 1.0) / (expected + 1.0)
        return np.where(value < 0, np.nan, np.maximum(-np.log(ratio), 0.0))


def counted(keys: NDArray[np.int64], counts: Floats, asked: NDArray[np.int64]) -> Floats:
    """The count of each key asked for, by ascending keys; 0 where it is not among them."""
    if not len(keys):
        return np.zeros(asked.shape)
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[at] == asked, counts[at], 0.0)


@dataclass(frozen=True, eq=False)
class Level:
    """Usual amount and spread per group, on a signed logarithmic scale.

    groups         : ascending groups with at least LEAST events
    centre, spread : one more each, the last for all other groups
    unit           : amount from which on the scale is logarithmic
    """

    groups: NDArray[np.int64]
    centre: Floats
    spread: Floats
    unit: Floats

    @classmethod
    def learn(cls, group: NDArray[Any], amount: Floats) -> Level:
        """From amounts with NaN where missing."""
        sizes = np.abs(amount[np.isfinite(amount) & (amount != 0)])
        unit = np.array(FINEST * np.median(sizes) if len(sizes) else 1.0)
        scaled = _logarithmic(amount, unit)
        found, counts = np.unique(group[np.isfinite(scaled)], return_counts=True)
        groups = found[counts >= LEAST].astype(np.int64)
        order = np.argsort(group, kind="stable")
        parts = [
            scaled[order[low:high]]
            for low, high in zip(
                np.searchsorted(group, groups, "left", order),
                np.searchsorted(group, groups, "right", order),
                strict=True,
            )
        ]
        scales = np.array([_centre_and_spread(part) for part in (*parts, scaled)])
        return cls(groups, scales[:, 0], scales[:, 1], unit)

    def deviation(self, group: NDArray[Any], amount: Floats) -> Floats:
        """Robust standard deviations from the usual amount of the group; NaN where missing."""
        # a group that is not known is looked up in the place after the last
        at = np.searchsorted(self.groups, group)
        at = np.where(np.append(self.groups, -1)[at] == group, at, len(self.groups))
        scaled: Floats = (_logarithmic(amount, self.unit) - self.centre[at]) / self.spread[at]
        return scaled


def _centre_and_spread(values: Floats) -> tuple[float, float]:
    """Median, and the larger of the robust deviation and of what nine in ten values keep within."""
    centre, spread = robust_scale(values, axis=0)
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [0.05, 0.95]) if len(values) else (0.0, 0.0)
    return float(centre), max(float(spread), float(high - low) / NINE_IN_TEN)


def _logarithmic(amount: Floats, unit: Floats) -> Floats:
    return np.asarray(np.sign(amount) * np.log1p(np.abs(amount) / unit))
