"""How well failures are foretold: average precision beside its base rate, and how long before at what price.

Only quiet periods are judged, see `core.foresight.coming`. Accuracy is not among the figures: where an event is rare,
never foretelling anything is nearly always right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.contracts import Bools, Floats
from core.evaluate.ranking import auc_pr
from core.foresight import COMING, LEFT_OUT, QUIET, Codes, alarms

REPLICATES = 500
LEVEL = 0.95
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, eq=False)
class Part:
    """The part of one series that is judged: what was coming at each period, and where events begin, both (n_time,)."""

    series: str
    codes: Codes
    onsets: Bools

    @cached_property
    def stretch(self) -> NDArray[np.intp]:
        """(n_time,) number of the stretch that a period belongs to; each ends where an event begins."""
        return np.asarray(np.cumsum(self.onsets) - self.onsets)


@dataclass(frozen=True, eq=False)
class Told:
    """What one method says of the parts: figures, and the average precision in each replicate, to compare by."""

    figures: Mapping[str, Any]
    replicates: Floats


def judged(
    parts: Sequence[Part],
    scores: Sequence[Floats],
    cut: float,
    horizon: int,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Told:
    """Figures of scores (n_time,) of each part, higher = an event is nearer; alarms are raised from `cut` on.

    average_precision    : over the quiet periods of all parts; base_rate is that of any score that knows nothing
    caught               : share of the events that an alarm was raised for within `horizon` periods before
    lead                 : periods between the first such alarm and the onset, over the events that were caught
    false_alarms_per_1000: alarms that no event followed, per 1,000 quiet periods
    ci                   : 95 %, from stretches that each end with an event, drawn with replacement (percentiles)

    A figure that nothing was there to judge by is NaN.
    """
    codes = np.concatenate([part.codes for part in parts])
    values = np.concatenate(list(scores))
    unit = _numbered(parts)
    kept = codes != LEFT_OUT
    ranked = _Ranked.of(values[kept], codes[kept] == COMING, unit[kept])
    leads, event_unit, false = _raised(parts, scores, cut, horizon)
    quiet = int((codes == QUIET).sum())
    units = int(unit.max(initial=-1)) + 1
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(units, np.full(units, 1.0 / max(units, 1)), size=replicates).astype(
        np.float64
    )
    ap = np.array([ranked.precision(weights) for weights in drawn])
    base = np.array([ranked.base(weights) for weights in drawn])
    own, rate = ranked.precision(np.ones(units)), ranked.base(np.ones(units))
    hit = np.isfinite(leads)
    caught = _ratio(drawn[:, event_unit] @ hit, drawn[:, event_unit].sum(axis=1))
    middle = [_median(leads, weights) for weights in drawn[:, event_unit]]
    low, median, high = _quantiles(leads[hit])
    figures = {
        "periods": int(kept.sum()),
        "events": len(leads),
        "base_rate": rate,
        "average_precision": own,
        "lift": own / rate if rate else float("nan"),
        "caught": float(hit.mean()) if len(leads) else float("nan"),
        "lead": {"q1": low, "median": median, "q3": high},
        "false_alarms_per_1000": 1000.0 * false / quiet if quiet else float("nan"),
        "ci": {
            "average_precision": interval(ap),
            "lift": interval(_ratio(ap, base)),
            "caught": interval(caught),
            "lead_median": interval(np.array(middle)),
        },
        "per_series": [
            {
                "series": part.series,
                "events": int(part.onsets.sum()),
                "base_rate": float((part.codes[part.codes != LEFT_OUT] == COMING).mean()),
                "average_precision": auc_pr(
                    told[part.codes != LEFT_OUT], part.codes[part.codes != LEFT_OUT] == COMING
                ),
            }
            for part, told in zip(parts, scores, strict=True)
        ],
    }
    return Told(figures, ap)


def difference(one: Told, other: Told) -> dict[str, Any]:
    """What one method's average precision is above the other's on the same parts, with its paired interval."""
    name = "average_precision"
    return {
        name: one.figures[name] - other.figures[name],
        "ci": interval(one.replicates - other.replicates),
    }


def interval(values: Floats, level: float = LEVEL) -> list[float]:
    """Percentiles of the replicates that are defined; NaN where none is."""
    known = values[np.isfinite(values)]
    if not len(known):
        return [float("nan")] * 2
    return [float(bound) for bound in np.quantile(known, [(1 - level) / 2, (1 + level) / 2])]


def _numbered(parts: Sequence[Part]) -> NDArray[np.intp]:
    """The stretches of all parts, told apart."""
    numbers, first = [], 0
    for part in parts:
        numbers.append(part.stretch + first)
        first += int(part.stretch.max(initial=-1)) + 1
    return np.concatenate(numbers)


def _raised(
    parts: Sequence[Part], scores: Sequence[Floats], cut: float, horizon: int
) -> tuple[Floats, NDArray[np.intp], int]:
    """Of each event the lead of its first alarm (NaN: none) and its stretch, and how many alarms were false."""
    leads: list[float] = []
    units: list[NDArray[np.intp]] = []
    first = false = 0
    for part, told in zip(parts, scores, strict=True):
        raised = alarms(told, cut, horizon)
        false += int((part.codes[raised] == QUIET).sum())
        right = raised[part.codes[raised] == COMING]
        events = np.flatnonzero(part.onsets)
        for onset in events:
            before = right[(right < onset) & (right >= onset - horizon)]
            leads.append(float(onset - before[0]) if len(before) else float("nan"))
        units.append(part.stretch[events] + first)
        first += int(part.stretch.max(initial=-1)) + 1
    return np.array(leads), np.concatenate(units), false


@dataclass(frozen=True, eq=False)
class _Ranked:
    """Judged periods from the highest score down; `last` are the ends of ties."""

    coming: Floats
    unit: NDArray[np.intp]
    last: NDArray[np.intp]

    @classmethod
    def of(cls, scores: Floats, coming: Bools, unit: NDArray[np.intp]) -> _Ranked:
        order = np.argsort(-scores, kind="stable")
        ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))
        return cls(coming[order].astype(np.float64), unit[order], ends)

    def precision(self, weights: Floats) -> float:
        """Average precision with every stretch counted so often."""
        weight = weights[self.unit]
        hits = np.cumsum(weight * self.coming)[self.last]
        told = np.cumsum(weight)[self.last]
        if not len(hits) or hits[-1] == 0:
            return float("nan")
        gained = np.diff(hits, prepend=0.0)
        return float(np.sum(gained * hits / np.maximum(told, 1e-12)) / hits[-1])

    def base(self, weights: Floats) -> float:
        """Share of the periods before which an event was near."""
        weight = weights[self.unit]
        total = float(weight.sum())
        return float(weight @ self.coming) / total if total else float("nan")


def _ratio(one: Floats, other: Floats) -> Floats:
    return np.asarray(np.divide(one, other, out=np.full(len(one), np.nan), where=other > 0))


def _median(leads: Floats, weights: Floats) -> float:
    return _quantiles(np.repeat(leads, weights.astype(np.intp)))[1]


def _quantiles(leads: Floats) -> tuple[float, float, float]:
    known = leads[np.isfinite(leads)]
    if not len(known):
        return float("nan"), float("nan"), float("nan")
    low, middle, high = np.quantile(known, QUARTILES)
    return float(low), float(middle), float(high)
