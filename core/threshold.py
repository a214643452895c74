"""From scores to calibrated p-values and a cut; never part of a detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.contracts import Bools, Floats, State
from core.errors import InvalidInputError, NotEnoughDataError

TAIL = 0.02
"""Share of the calibration scores that the tail is fitted to."""
LEAST_TAIL = 50
"""Excesses below which a tail is not fitted; the empirical p-value then ends at 1 / (n + 1)."""
ROUNDING = 1e-6
"""Share of a score by which the order of rows or the threads may change it, where a net gives it."""
KEPT = 20_000
"""Body scores kept; more are thinned evenly, the tail never."""


@dataclass(frozen=True, eq=False)
class Threshold:
    """What a score means: how seldom a normal day reaches it.

    Up to the tail's start, p = (k + 1) / (n + 1) with k calibration scores at or above: valid for
    exchangeable scores whatever their distribution (Vovk, Gammerman & Shafer, Algorithmic Learning in a
    Random World, 2005, chapter 2). Beyond it, a generalised Pareto tail (Pickands 1975; peaks over
    threshold as in Siffer et al., KDD 2017), fitted by probability-weighted moments (Hosking & Wallis,
    Technometrics 1987), with shape in [0, 0.5]: never a last possible score, so p stays above 0.

    scores : calibration scores, ascending
    p      : the p-value of each, and one more for what lies above them all
    tail   : (start, p at the start, scale, shape); scale 0 = no tail fitted
    alpha  : the p-value at which an alarm is raised
    """

    scores: Floats
    p: Floats
    tail: Floats
    alpha: float

    @classmethod
    def fit(
        cls,
        scores: Floats,
        *,
        alpha: float = 0.01,
        labels: Bools | None = None,
        budget: float | None = None,
        per: float | None = None,
    ) -> Threshold:
        """Calibrate on scores of a validation part; those labelled as anomalies are left out.

        alpha  : p-value that raises an alarm; instead of it `budget` alarms per `per` scored cells

        Raises NotEnoughDataError below 10 scores.
        """
        values = np.asarray(scores, dtype=np.float64)
        if labels is not None:
            values = values[~labels]
        values = np.sort(values[np.isfinite(values)].ravel())
        n = len(values)
        if n < 10:
            raise NotEnoughDataError.of("Threshold", "calibration scores", "at least 10", n)
        if budget is not None:
            alpha = budget / (per or n)
        if not 0 < alpha < 1:
            raise InvalidInputError.of("Threshold", "alpha", "in (0, 1)", alpha)

        # k counts the scores at or above, so equal scores share the largest p
        p = (n - np.searchsorted(values, values, side="left") + 1.0) / (n + 1.0)
        start = n - max(int(TAIL * n), LEAST_TAIL)
        tail = np.zeros(4)
        if start > LEAST_TAIL and values[-1] > values[start]:
            tail = np.array([values[start], p[start], *pareto(values[start + 1 :] - values[start])])
        body = np.unique(np.linspace(0, max(start, 0), min(KEPT, max(start, 0) + 1)).astype(int))
        kept = np.concatenate([body, np.arange(max(start, 0) + 1, n)])
        return cls(values[kept], np.append(p[kept], 1.0 / (n + 1.0)), tail, float(alpha))

    def p_values(self, scores: Floats) -> Floats:
        """How seldom a normal score is as high, in (0, 1], shaped like `scores`; falls as they rise."""
        scores = np.asarray(scores, dtype=np.float64)
        # a score as high as a calibration score but for rounding counts as equal to it
        p = self.p[np.searchsorted(self.scores, scores - ROUNDING * np.abs(scores), side="left")]
        start, p_start, scale, shape = self.tail
        if scale > 0:
            beyond = survival(np.maximum(scores - start, 0.0) / scale, shape)
            p = np.where(scores > start, np.maximum(p_start * beyond, 1e-300), p)
        return np.asarray(p)

    @property
    def cut(self) -> float:
        """The lowest score that raises an alarm, ∞ where no score can."""
        start, p_start, scale, shape = self.tail
        if scale > 0 and self.alpha <= p_start:
            ratio = p_start / self.alpha
            return float(
                start + scale * (np.log(ratio) if shape < 1e-6 else (ratio**shape - 1) / shape)
            )
        low = np.flatnonzero(self.p[:-1] <= self.alpha)
        return float(self.scores[low[0]]) if len(low) else float("inf")

    def to_state(self) -> State:
        """Arrays that `from_state` turns back."""
        return {
            "scores": self.scores,
            "p": self.p,
            "tail": self.tail,
            "alpha": np.array(self.alpha),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Threshold:
        """A threshold from what `to_state` gave."""
        scores, p, tail = (
            np.asarray(state[role], dtype=np.float64) for role in ("scores", "p", "tail")
        )
        return cls(scores, p, tail, float(state["alpha"]))


def pareto(excess: Floats) -> tuple[float, float]:
    """Scale and shape of a generalised Pareto distribution by probability-weighted moments.

    excess : ascending, above 0
    """
    n = len(excess)
    mean = float(excess.mean())
    # a1 = E[X (1 − F)], plotting position (i − 0.35) / n (Hosking & Wallis 1987, equation 4)
    a1 = float((excess * (1.0 - (np.arange(1, n + 1) - 0.35) / n)).mean())
    shape = min(max(2.0 - mean / max(mean - 2.0 * a1, 1e-12), 0.0), 0.5)
    return mean * (1.0 - shape), shape


def survival(excess: Any, shape: float) -> Any:
    """How seldom a generalised Pareto variable exceeds `excess`, a number or an array, in scales."""
    return np.exp(-excess) if shape < 1e-6 else (1.0 + shape * excess) ** (-1.0 / shape)
