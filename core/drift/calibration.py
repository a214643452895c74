"""How far apart a reference and its windows lie when nothing drifted: a block bootstrap of the reference itself.

Daily metrics remember: with a lag-one correlation of 0.95, two weeks hold less than one independent day, and a
textbook p-value flags every check. So the memory of each series is estimated, taken out, what is left is drawn in
blocks of days (the same days for all series, which keeps what they share), and the memory is put back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.contracts import Floats
from core.drift.windows import DAILY

READ, WARM = 2, 4
"""Seasons whose lags memory is read at, and those walked before the first value that counts."""
FARTHEST = 30
"""Draws, of all cells, that say how the tail goes on beyond them."""
SLOW = np.concatenate([np.arange(0.05, 0.9, 0.05), np.arange(0.9, 0.99, 0.005), [0.99, 0.995]])
"""What the slow part's memory may be."""
AT_ONCE = 6_000
"""Paths walked side by side: their newest values fit the processor's cache."""
TAIL = 0.1
"""Share of the draws that shape the tail."""


@dataclass(frozen=True, eq=False)
class Memory:
    """How long each series remembers; arrays are (n_series,).

    slow  : correlation of its slow part from one day (hour) to the next
    share : share of its variance that is slow; the rest is new every day (hour)
    error : standard error of the logarithm of 1 − slow, that is of how long it remembers
    """

    slow: Floats
    share: Floats
    error: Floats

    @property
    def correlation_time(self) -> Floats:
        """(n_series,) days (hours) that say as much as one independent day (hour)."""
        return _correlation_time(self.slow, self.share)


def memory(reference: Floats, season: int = DAILY.season) -> Memory:
    """Estimate the memory of standardised series (n_series, n_time); NaN = missing.

    The autocorrelation at lags of up to two seasons, corrected for the bias of a short history and drawn to that
    of all series as far as they differ by no more than their own error (James and Stein), is fitted by
    share · slow^lag: an autoregression of first order under daily noise.

    Source: the bias after Kendall, Biometrika 41, 1954, the error after Bartlett, JRSS 8(1), 1946;
    Efron and Morris, JASA 70, 1975.
    """
    length = reference.shape[1]
    raw = _autocorrelation(reference, READ * season)
    pooled = raw.mean(axis=0, keepdims=True)
    shape = _fitted(pooled, length)
    sampling = _bartlett(shape, length, READ * season).mean()
    own = 1.0 - min(float(sampling / max(raw.var(axis=0).mean(), 1e-12)), 1.0)
    slow, share = _fitted(pooled + own * (raw - pooled), length)
    time = _correlation_time(slow, share)
    together = own + (1.0 - own) / _independent(reference)
    return Memory(slow, share, np.sqrt(np.minimum(time / length * together, 1.0)))


def _autocorrelation(series: Floats, lags: int) -> Floats:
    """(n_series, lags) from the pairs of days that are known."""
    known = np.isfinite(series)
    filled = np.where(known, series, 0.0)
    variance = (filled**2).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    found = np.empty((len(series), lags))
    for lag in range(1, lags + 1):
        pairs = (known[:, lag:] & known[:, :-lag]).sum(axis=1)
        together = (filled[:, lag:] * filled[:, :-lag]).sum(axis=1)
        found[:, lag - 1] = together / np.maximum(pairs, 1) / np.maximum(variance, 1e-12)
    return found


def _fitted(raw: Floats, length: int) -> tuple[Floats, Floats]:
    """Slow part and its share of each row (n, lags), least squares on a grid; the bias is taken out as one goes."""
    lags = np.arange(1, raw.shape[1] + 1)
    basis = np.power(SLOW[:, None], lags)
    square = (basis**2).sum(axis=1)
    corrected = raw
    for _ in range(6):
        along = corrected @ basis.T
        share = np.clip(along / square, 0.0, 1.0)
        best = (share * (2.0 * along - share * square)).argmax(axis=1)
        slow, chosen = SLOW[best], np.take_along_axis(share, best[:, None], axis=1)[:, 0]
        fitted = chosen[:, None] * basis[best]
        time = _correlation_time(slow, chosen)[:, None]
        bias = (time * (1.0 - fitted) + 2.0 * lags * fitted) / length
        corrected = raw + np.minimum(bias, 0.5)
    return slow, chosen


def _correlation_time(slow: Floats, share: Floats) -> Floats:
    return np.asarray(1.0 + 2.0 * share * slow / (1.0 - slow))


def _bartlett(shape: tuple[Floats, Floats], length: int, most: int) -> Floats:
    """(most,) sampling variance of an autocorrelation where the true one is share · slow^lag."""
    slow, share = float(shape[0][0]), float(shape[1][0])
    reach = 4 * most + length
    true = np.where((lags := np.abs(np.arange(-reach, reach + 1))) > 0, share * slow**lags, 1.0)
    k, h = np.arange(1, length), np.arange(1, most + 1)[:, None]
    at = true[reach + k]
    terms = true[reach + k + h] + true[reach + k - h] - 2.0 * true[reach + h] * at
    return np.asarray((terms**2).sum(axis=1) / length)


def _independent(reference: Floats) -> float:
    """How many independent series the series are worth: (Σλ)² / Σλ² over the eigenvalues of their correlation."""
    filled = np.nan_to_num(reference)
    by_day = filled.T @ filled
    return float(np.trace(by_day) ** 2 / (by_day**2).sum())


def paths(
    reference: Floats,
    later: int,
    many: int,
    seed: int,
    take: Callable[[Floats], None],
    *,
    season: int = DAILY.season,
) -> Memory:
    """Hand `many` resampled histories to `take`, some at a time: (n, n_series, n_reference + later) each.

    A history is a reference and `later` values after it that have nothing to do with each other but their law. Each
    draw also takes the memory from its own error, so that doubt about it widens what is still normal. Source of
    the resampling: Künsch, Annals of Statistics 17(3), 1989, after prewhitening as in Andrews and Monahan,
    Econometrica 60(4), 1992.

    reference : (n_series, n_reference) standardised; NaN = missing
    """
    generator = np.random.default_rng(seed)
    found, warm = memory(reference, season), WARM * season
    n_series, length = reference.shape
    surprise = _surprises(reference, found)
    still = np.sqrt(1.0 - found.share).astype(np.float32)
    for begin in range(0, many, chunk := max(1, AT_ONCE // n_series)):
        n = min(chunk, many - begin)
        doubt = np.exp(found.error * generator.standard_normal((n, n_series)))
        slow = np.clip(1.0 - (1.0 - found.slow) * doubt, 0.0, SLOW[-1]).astype(np.float32)
        # the slow part has the variance `share`, whatever its memory
        fresh = np.sqrt(found.share * (1.0 - slow**2)).astype(np.float32)
        walked = np.empty((length + later, n, n_series), dtype=np.float32)
        for part in (slice(0, length), slice(length, length + later)):
            steps = part.stop - part.start
            for_slow, for_noise = (
                _blocks(generator, n, steps + warm, len(surprise), season) for _ in range(2)
            )
            today = surprise[generator.integers(0, len(surprise), n)] * np.sqrt(found.share)
            today = today.astype(np.float32)
            for step in range(steps + warm):
                today = slow * today + fresh * surprise[for_slow[step]]
                if step >= warm:
                    walked[part.start + step - warm] = today + still * surprise[for_noise[step]]
        take(walked.transpose(1, 2, 0))
    return found


def _blocks(
    generator: np.random.Generator, many: int, steps: int, length: int, season: int
) -> NDArray[np.int64]:
    """(steps, many) positions in blocks of a season, each from anywhere in a ring of `length`."""
    starts = generator.integers(0, length, (many, -(-steps // season), 1))
    return np.asarray(((starts + np.arange(season)).reshape(many, -1) % length)[:, :steps].T)


def _surprises(reference: Floats, found: Memory) -> Floats:
    """(n_reference − 1, n_series) what each day brought beyond what the day before let expect, of variance 1."""
    expected = (found.slow * found.share)[:, None] * reference[:, :-1]
    left = reference[:, 1:] - expected
    known = np.isfinite(left)
    left = np.where(known, left, 0.0)
    left -= np.where(known, left.sum(axis=1, keepdims=True) / known.sum(axis=1, keepdims=True), 0.0)
    left /= np.maximum(left.std(axis=1, keepdims=True), 1e-12)
    return np.ascontiguousarray(left.T, dtype=np.float32)


# ── From draws to p-values ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Null:
    """A statistic where nothing drifted, of many cells: its draws (n_draw, n_cell) and the shape of their tails.

    Each cell has its own start and scale of the tail, its top tenth; the shape is that of all cells together,
    so that few draws a cell reach far enough for many cells. It is taken from draws in terms of the start and
    scale of the other half of the draws, as a new observation will be. Beyond its farthest draws the tail goes
    on exponentially; the distances have lighter ones, so a small p is not too small. Source: after Knijnenburg
    et al., Bioinformatics 25(12), 2009.

    ascending    : (n_draw, n_cell) the draws of each cell, in order
    start, scale : (n_cell,) of the tail
    excess       : (n_draw, n_cell) of each draw, in its order, by the other half's start and scale
    shape        : those above 0, ascending
    """

    ascending: Floats
    start: Floats
    scale: Floats
    excess: Floats
    shape: Floats

    @classmethod
    def of(cls, draws: Floats) -> Null:
        ascending = np.sort(draws, axis=0)
        start, scale = _tail(ascending)
        excess = np.empty_like(draws)
        for own, other in ((0, 1), (1, 0)):
            other_start, other_scale = _tail(np.sort(draws[other::2], axis=0))
            excess[own::2] = (draws[own::2] - other_start) / other_scale
        return cls(ascending, start, scale, excess, np.sort(excess[excess > 0]))

    def p(self, observed: Floats) -> Floats:
        """(n_cell,) or (n, n_cell): how often a calm cell lies as far out."""
        at_least = (self.ascending >= observed[..., None, :]).sum(axis=-2)
        return self._p(at_least, (observed - self.start) / self.scale)

    def own(self) -> Floats:
        """(n_draw, n_cell) p-values of the draws themselves."""
        before = np.argsort(np.argsort(-self.excess[::2], axis=0), axis=0)
        after = np.argsort(np.argsort(-self.excess[1::2], axis=0), axis=0)
        at_least = np.empty(self.excess.shape)
        at_least[::2], at_least[1::2] = 2 * before, 2 * after
        return self._p(at_least, self.excess)

    def _p(self, at_least: Floats, excess: Floats) -> Floats:
        counted = (at_least + 1.0) / (len(self.ascending) + 1.0)
        return np.asarray(
            np.where(excess > 0, self._left(excess), np.clip(counted, self._left(np.zeros(1)), 1.0))
        )

    def critical(self, p: float) -> Floats:
        """(n_cell,) the statistic that a calm cell exceeds with probability `p`, at most a tenth."""
        far, rest, mean = self._far
        if p >= rest:
            inside = max(round(p * self.excess.size), 1)
            reach = float(self.shape[max(len(self.shape) - inside, 0)])
        else:
            reach = far + mean * float(np.log(rest / p))
        return np.asarray(self.start + self.scale * reach)

    @property
    def _far(self) -> tuple[float, float, float]:
        """Where the shape ends and the exponential begins, the share of draws beyond it, and its mean excess."""
        few = min(FARTHEST, len(self.shape) - 1)
        far = float(self.shape[-few - 1])
        return far, few / self.excess.size, float((self.shape[-few:] - far).mean()) + 1e-12

    def _left(self, excess: Floats) -> Floats:
        """Share of the draws that lie beyond an excess ≥ 0."""
        far, rest, mean = self._far
        inside = len(self.shape) - np.searchsorted(self.shape, excess, side="left")
        beyond = rest * np.exp(-np.maximum(excess - far, 0.0) / mean)
        return np.asarray(np.where(excess > far, beyond, inside / self.excess.size))


def _tail(ascending: Floats) -> tuple[Floats, Floats]:
    """(n_cell,) where the top tenth begins, and how far it lies beyond that on average."""
    inside = max(round(TAIL * len(ascending)), 1)
    start = ascending[-inside - 1]
    return start, np.maximum((ascending[-inside:] - start).mean(axis=0), 1e-12)


def smallest(p_values: Floats, nulls: Sequence[Null]) -> Floats:
    """(n_cell,) the smallest of several p-values (n_test, n_cell) as a p-value again.

    nulls : the same tests on the same resamples, so what they share is allowed for; below what the draws
    reach, as many tests as they count for there. Source: Westfall and Young, Resampling-Based Multiple Testing
    (Wiley 1993), section 2.3.
    """
    found = p_values.min(axis=0)
    calm = np.sort(np.min([null.own() for null in nulls], axis=0), axis=None)
    few = min(20, len(calm) - 1)
    share = np.searchsorted(calm, found, side="right") / len(calm)
    counts_for = np.clip((few + 1) / len(calm) / calm[few], 1.0, len(nulls))
    return np.asarray(np.minimum(np.where(found > calm[few], share, counts_for * found), 1.0))


def step_up(p_values: Floats) -> Floats:
    """(n,) adjusted p-values; at most q of those below q are false. Source: Benjamini and Hochberg, JRSS B 1995."""
    many = len(p_values)
    order = np.argsort(p_values)
    scaled = p_values[order] * many / np.arange(1, many + 1)
    adjusted = np.empty(many)
    adjusted[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return np.minimum(adjusted, 1.0)
