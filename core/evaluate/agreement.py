"""How far people who judged the same things agree, beyond what chance would give.

Sources: Cohen, A Coefficient of Agreement for Nominal Scales (1960); Light, Measures of Response Agreement for
Qualitative Data (1971), for more than two people; Fleiss, Measuring Nominal Scale Agreement Among Many Raters (1971);
Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), for missing raters and any distance; Passonneau,
Measuring Agreement on Set-valued Items (LREC 2006), for MASI; Feinstein & Cicchetti, High Agreement but Low Kappa
(1990), for why a percentage says little where one answer is common.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.cases import Graph
from core.contracts import Floats
from core.errors import NotEnoughDataError
from core.evaluate import bootstrap, proportion
from core.evaluate.bootstrap import Interval, Weights

Codes = NDArray[np.intp]
MISSING = -1
FAR = 4
"""Hops from which on two nodes count as wholly different."""


@dataclass(frozen=True, eq=False)
class Ratings:
    """Who said what of what: codes (n_unit, n_rater) into `values`, −1 where a rater did not judge a unit.

    values : the answers given, sorted; a set of causes is a frozenset
    """

    units: tuple[Hashable, ...]
    raters: tuple[str, ...]
    values: tuple[Any, ...]
    codes: Codes

    @classmethod
    def of(cls, said: Iterable[tuple[Hashable, str, Hashable]]) -> Ratings:
        """From (unit, rater, value) triples; of several by one rater on a unit the last one counts."""
        told = {(unit, rater): value for unit, rater, value in said}
        units = tuple(dict.fromkeys(unit for unit, _ in told))
        raters = tuple(sorted({rater for _, rater in told}))
        values = tuple(sorted(set(told.values()), key=spoken))
        rows, columns = _places(units), _places(raters)
        numbers = _places(values)
        codes = np.full((len(units), len(raters)), MISSING, dtype=np.intp)
        for (unit, rater), value in told.items():
            codes[rows[unit], columns[rater]] = numbers[value]
        return cls(units, raters, values, codes)

    @property
    def counts(self) -> Floats:
        """(n_unit, n_value) how many raters gave each value."""
        found = np.zeros((len(self.units), len(self.values)))
        rows, columns = np.nonzero(self.codes != MISSING)
        np.add.at(found, (rows, self.codes[rows, columns]), 1.0)
        return found

    def several(self) -> Ratings:
        """The units that two raters or more judged."""
        kept = (self.codes != MISSING).sum(axis=1) > 1
        units = tuple(unit for unit, keep in zip(self.units, kept, strict=True) if keep)
        return Ratings(units, self.raters, self.values, self.codes[kept])


def spoken(value: Any) -> str:
    """An answer in words: the members of a set joined."""
    return " + ".join(sorted(map(str, value))) if isinstance(value, frozenset) else str(value)


def _places(items: Sequence[Any]) -> dict[Any, int]:
    return {item: place for place, item in enumerate(items)}


# ── Distances between answers ────────────────────────────────────────────────────────────────────


def nominal(values: Sequence[Any]) -> Floats:
    """(n, n) 1 between different answers."""
    return 1.0 - np.eye(len(values))


def jaccard(values: Sequence[Any]) -> Floats:
    """(n, n) 1 − shared / all members of two sets; two empty sets are the same."""
    return _between(values, lambda one, other: 1.0 - _overlap(one, other))


def masi(values: Sequence[Any]) -> Floats:
    """(n, n) 1 − overlap × 1, 2/3, 1/3 or 0: equal, one within the other, crossing, apart (Passonneau 2006)."""

    def distance(one: frozenset[Any], other: frozenset[Any]) -> float:
        within = one <= other or other <= one
        nested = 1.0 if one == other else 2 / 3 if within else 1 / 3 if one & other else 0.0
        return 1.0 - _overlap(one, other) * nested

    return _between(values, distance)


def hops(values: Sequence[Any], graph: Graph, far: int = FAR) -> Floats:
    """(n, n) hops between two nodes, whichever way the edges run, as a share of `far`; 1 where one is not in the graph."""
    import networkx as nx

    net = graph.net.to_undirected(as_view=True)
    found = nominal(values)
    numbers = _places(values)
    for node, row in numbers.items():
        if node in net:
            for other, many in nx.single_source_shortest_path_length(net, node, far).items():
                if other in numbers:
                    found[row, numbers[other]] = min(many / far, 1.0)
    return found


def _between(values: Sequence[Any], distance: Any) -> Floats:
    return np.array([[distance(one, other) for other in values] for one in values]).reshape(
        len(values), len(values)
    )


def _overlap(one: frozenset[Any], other: frozenset[Any]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0


# ── Coefficients ─────────────────────────────────────────────────────────────────────────────────
# Each takes weights (n_replicate, n_unit) and gives (n_replicate,): ones are the figure itself.


def percent(ratings: Ratings, weights: Floats | None = None) -> Floats:
    """Mean over units of the share of pairs of raters that agree; units of one rater count for nothing."""
    held = _weights(ratings, weights)
    counts = ratings.counts
    many = counts.sum(axis=1)
    pairs = many * (many - 1.0)
    agreed = np.divide((counts * (counts - 1.0)).sum(axis=1), pairs, where=pairs > 0, out=0 * many)
    return _ratio(held @ agreed, held @ (pairs > 0))


def cohen(first: Codes, second: Codes, n_value: int, weights: Floats | None = None) -> Floats:
    """Cohen's kappa of two raters over the units that both judged; NaN where both give one answer only."""
    both = (first != MISSING) & (second != MISSING)
    held = np.ones((1, len(first))) if weights is None else weights
    held = held[:, both]
    ones, others = np.eye(n_value)[first[both]], np.eye(n_value)[second[both]]
    whole = held.sum(axis=1)
    observed = _ratio(held @ (first == second)[both], whole)
    expected = _ratio(((held @ ones) * (held @ others)).sum(axis=1), whole**2)
    return _ratio(observed - expected, 1.0 - expected)


def light(ratings: Ratings, weights: Floats | None = None) -> Floats:
    """Mean of Cohen's kappa over pairs of raters, weighted by the units they share; of two raters, Cohen's own."""
    held = _weights(ratings, weights)
    total, share = np.zeros(len(held)), np.zeros(len(held))
    for first, second in _pairs(ratings):
        one, other = ratings.codes[:, first], ratings.codes[:, second]
        kappa = cohen(one, other, len(ratings.values), held)
        shared = held @ ((one != MISSING) & (other != MISSING))
        defined = np.isfinite(kappa)
        total += np.where(defined, kappa * shared, 0.0)
        share += np.where(defined, shared, 0.0)
    return _ratio(total, share)


def fleiss(ratings: Ratings, weights: Floats | None = None) -> Floats:
    """Fleiss' kappa over the units that were judged by as many raters as most are; NaN without any of two."""
    held = _weights(ratings, weights)
    counts = ratings.counts
    many = counts.sum(axis=1)
    usual = many[many > 1]
    if not len(usual):
        return np.full(len(held), np.nan)
    n = np.bincount(usual.astype(np.intp)).argmax()
    held, counts = held[:, many == n], counts[many == n]
    whole = held.sum(axis=1)
    observed = _ratio(held @ (((counts**2).sum(axis=1) - n) / (n * (n - 1.0))), whole)
    expected = (_ratio(held @ counts, (whole * n)[:, None]) ** 2).sum(axis=1)
    return _ratio(observed - expected, 1.0 - expected)


def alpha(
    ratings: Ratings, distance: Floats | None = None, weights: Floats | None = None
) -> Floats:
    """Krippendorff's alpha, 1 − observed / expected distance; raters may miss units.

    distance : (n_value, n_value); nominal where None. NaN where only one answer was given.
    """
    held = _weights(ratings, weights)
    apart = nominal(ratings.values) if distance is None else distance
    counts = ratings.counts
    many = counts.sum(axis=1)
    counts, held, many = counts[many > 1], held[:, many > 1], many[many > 1]
    within = ((counts @ apart) * counts).sum(axis=1) / np.maximum(many - 1.0, 1.0)
    totals = held @ counts
    whole = totals.sum(axis=1)
    expected = ((totals @ apart) * totals).sum(axis=1)
    return 1.0 - _ratio((whole - 1.0) * (held @ within), expected)


def intervals(
    ratings: Ratings,
    *,
    distance: Floats | None = None,
    groups: Codes | None = None,
    replicates: int = bootstrap.REPLICATES,
    seed: int = 0,
) -> dict[str, Interval]:
    """percent, cohen, fleiss and alpha with their 95 % bootstrap intervals, all from the same replicates.

    Where all agree, or none, no replicate differs: the percentage has the exact interval of as many groups, and the
    coefficients what that makes of them at these base rates. One group has no interval.

    groups : (n_unit,) units that belong together and are drawn as one; each for itself where None

    Raises NotEnoughDataError where no unit was judged twice.
    """
    judged = ratings.several()
    if not judged.units:
        raise NotEnoughDataError.of("agreement", "things that two people judged", "at least 1", 0)
    if groups is None:
        groups = np.arange(len(judged.units))
    else:
        twice = (ratings.codes != MISSING).sum(axis=1) > 1
        groups = np.unique(groups[twice], return_inverse=True)[1]

    def figures(drawn: Weights) -> Mapping[str, Floats]:
        held = drawn.entities[:, drawn.cluster]
        return {
            "percent": percent(judged, held),
            "cohen": light(judged, held),
            "fleiss": fleiss(judged, held),
            "alpha": alpha(judged, distance, held),
        }

    found = bootstrap.intervals(figures, groups, 1, block=1, replicates=replicates, seed=seed)
    share, many = found["percent"].value, int(groups.max()) + 1
    if share not in (0.0, 1.0):
        return found if many > 1 else {name: _within(one, nan, nan) for name, one in found.items()}
    limits, luck = np.array(proportion.interval(round(share * many), many)), chance(judged)
    beyond = _ratio(limits - luck, np.array(1.0 - luck))
    return {
        name: _within(one, *(limits if name == "percent" else beyond).tolist())
        for name, one in found.items()
    }


def _within(figure: Interval, low: float, high: float) -> Interval:
    """The figure with these limits instead of those that were drawn; one that is undefined stays so."""
    if isnan(figure.value):
        return figure
    low, high = min(low, figure.value), max(high, figure.value)
    return replace(figure, low=low, high=high, p=nan, se=nan, df=nan)


# ── Where people agree, and where not ────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Pair:
    """Two raters: the units they share, the share on which they agree, and Cohen's kappa (NaN where undefined)."""

    first: str
    second: str
    units: int
    percent: float
    kappa: float


@dataclass(frozen=True)
class Answer:
    """One answer: its share of all answers, and how often another rater gave it too where one did."""

    value: str
    share: float
    agreement: float


@dataclass(frozen=True)
class Confusion:
    """Two answers that raters gave of the same unit, and how often."""

    first: str
    second: str
    times: int


def pairs(ratings: Ratings) -> list[Pair]:
    """Every pair of raters that shares a unit, those with the most first."""
    found = []
    for first, second in _pairs(ratings):
        one, other = ratings.codes[:, first], ratings.codes[:, second]
        both = (one != MISSING) & (other != MISSING)
        if both.any():
            kappa = float(cohen(one, other, len(ratings.values))[0])
            agreed = float((one == other)[both].mean())
            names = ratings.raters[first], ratings.raters[second]
            found.append(Pair(*names, int(both.sum()), agreed, kappa))
    return sorted(found, key=lambda pair: -pair.units)


def answers(ratings: Ratings) -> list[Answer]:
    """Base rate and specific agreement of every answer, over the units that two raters or more judged."""
    counts = ratings.several().counts
    others = np.maximum(counts.sum(axis=1) - 1.0, 1.0)
    given = counts.sum(axis=0)
    again = (counts * (counts - 1.0) / others[:, None]).sum(axis=0)
    return sorted(
        (
            Answer(
                spoken(value), float(given[place] / given.sum()), float(again[place] / given[place])
            )
            for place, value in enumerate(ratings.values)
            if given[place]
        ),
        key=lambda answer: -answer.share,
    )


def chance(ratings: Ratings) -> float:
    """The share of pairs that would agree if everybody drew answers at their base rates: Σ p²; NaN without any."""
    given = ratings.several().counts.sum(axis=0)
    return float(((given / given.sum()) ** 2).sum()) if given.sum() else float("nan")


def confusions(ratings: Ratings) -> list[Confusion]:
    """Pairs of different answers to one unit, the most frequent first."""
    counts = ratings.several().counts
    times = counts.T @ counts
    found = [
        Confusion(
            spoken(ratings.values[one]), spoken(ratings.values[other]), int(times[one, other])
        )
        for one, other in zip(*np.triu_indices(len(ratings.values), 1), strict=True)
        if times[one, other]
    ]
    return sorted(found, key=lambda pair: -pair.times)


def _pairs(ratings: Ratings) -> list[tuple[int, int]]:
    return list(zip(*np.triu_indices(len(ratings.raters), 1), strict=True))


def _weights(ratings: Ratings, weights: Floats | None) -> Floats:
    return np.ones((1, len(ratings.units))) if weights is None else weights


def _ratio(above: Floats, below: Floats) -> Floats:
    """NaN where the denominator is 0, within rounding."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.abs(below) > 1e-12, above / below, np.nan)
