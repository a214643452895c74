"""`dimension-drilldown`: which combination of attributes broke, in a cube of leaves with a value out of a count.

Every combination of up to three attributes is asked one question: if one further share of what it holds had gone
wrong since the alarm, and nothing else had changed, how much of what the leaves show would that explain?
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax, xlogy

from core.cases import WHOLE, Case, Cause, Cube, Localizer, Truth, combination
from core.contracts import Bools, Floats, Params, State, Tags, param
from core.errors import InvalidInputError, NotEnoughDataError

Codes = NDArray[np.intp]
Columns = tuple[int, ...]

TERMS = ("explained", "coverage", "spill", "lift", "company", "whole")
WEIGHTS = (7.37, 2.12, -2.66, 2.12, -3.89, -5.45)
"""What `learned` gives on the 60 public cases of RobustSpot, a weight per term."""
CERTAINTY = (-6.45, 0.65, 2.59)
"""Log-odds that anything broke: 1, log of what the best set explains in units of the noise of a leaf, its lift.

Fitted to the alarms of the same cases against their minutes whose total was at most 1.1 times the median before.
"""


@dataclass(frozen=True)
class DrilldownParams(Params):
    attributes: int = param(3, help="Most attributes of a combination", low=1, high=6)
    calm: float = param(
        0.3,
        help="Share of the earlier periods, the calmest, that say what is usual",
        low=0.05,
        high=1.0,
    )
    prior: float = param(
        0.5,
        help="Failures by which the usual share of a leaf leans on that of all",
        low=0.0,
        high=1e6,
    )
    direction: str = param(
        "auto",
        help="Which way is bad, auto = as the whole moved",
        choices=("auto", "up", "down"),
    )
    floor: float = param(
        0.02, help="Share of the excess below which a combination is not refined", low=0.0, high=1.0
    )
    kept: int = param(40, help="Combinations that are weighed", low=1, high=1_000)
    company: int = param(3, help="Most combinations that broke at once", low=1, high=10)


@dataclass(frozen=True, eq=False)
class Leaves:
    """What the leaves show up to the period of the alarm, the last, against what is usual.

    value, count : (n_leaf, n_time) what went wrong, out of how many     usual : (n_leaf,) the expected share
    bounded      : a value never exceeds its count                       sign  : 1 where more is worse, −1 where less
    flipped      : `value` holds what did not go wrong, as less of that is worse
    """

    value: Floats
    count: Floats
    usual: Floats
    bounded: bool
    sign: float
    flipped: bool

    @property
    def room(self) -> Floats:
        """What could still go wrong of what is seen now, (n_leaf,)."""
        return np.asarray(self.count[:, -1] * self.reach)

    @property
    def reach(self) -> Floats:
        """How far the share of each leaf can move: up to 1, or by as much as it is where it has no bound."""
        return 1.0 - self.usual if self.bounded else self.usual

    def off(self, share: Floats, rows: Codes | slice = slice(None)) -> Floats:
        """Deviance of what is seen now from a share of these rows: binomial, or Poisson where unbounded."""
        got, count = self.value[rows, -1], self.count[rows, -1]
        expected = count * share
        lost = xlogy(got, np.maximum(got, 1e-12) / np.maximum(expected, 1e-12))
        if not self.bounded:
            return np.asarray(2.0 * (lost - (got - expected)))
        spared, left = count - got, np.maximum(count - expected, 1e-12)
        return np.asarray(2.0 * (lost + xlogy(spared, np.maximum(spared, 1e-12) / left)))


@dataclass(frozen=True, eq=False)
class Elements:
    """Combinations of attributes, with the sums of their leaves.

    columns : the attributes of each        leaf : one leaf of each
    sums    : (n_element, 5) excess, room, got, expected, count
    gain    : (n_element,) deviance that one further share of the element explains
    place   : columns → the element that each leaf belongs to, −1 where that was not looked at
    """

    columns: Sequence[Columns]
    leaf: Codes
    sums: Floats
    gain: Floats
    place: Mapping[Columns, Codes]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Sets of elements that may be all that broke; `terms` (n_set, n_term), `total` the deviance of all leaves."""

    sets: tuple[tuple[int, ...], ...]
    names: tuple[frozenset[str], ...]
    terms: Floats
    total: float
    leaves: Leaves
    elements: Elements


class DimensionDrilldown(Localizer):
    """The combinations of attribute values that explain the leaves best, several where several broke at once.

    Usual shares come from the calmest of the earlier periods, shrunk towards the share of all. A combination S
    explains what the binomial deviance of all leaves loses when one further share of S goes wrong (the generalised
    ripple effect: all leaves of S suffer alike). Its score is a weighted sum of
    explained, the share of the deviance; coverage, the share of the excess that lies in S; spill, how far what is
    beside S under the same parent rose too, in logs (S is too narrow); lift, how far S rose; company, the number of
    further combinations at the same time; whole, that S is everything. Belief: softmax of the scores, times the chance that
    the best of them is more than noise. A value above its count is taken as a rate (Poisson) instead of a share.

    Good for: failures or conversions of requests with a handful of attributes, minutes after the onset.
    Bad for: effects of a smooth gradient; cubes whose leaves are seen once. Score: higher = more likely the root.
    Cost: the leaves, for each combination of attributes whose parents hold some of the excess.

    Source: generalised ripple effect and candidate sets of Li et al., Squeeze (ISSRE 2019), sections 3–4; weighing
    what remains beside the candidate after Kalander, RiskLoc (2022), section 4; the cases of RobustSpot (2022).
    """

    name = "dimension-drilldown"
    source = "Li et al., Squeeze (ISSRE 2019), sections 3–4; Kalander, RiskLoc (2022), section 4"
    tags = Tags(trained=False)
    learns = True
    works_on = ("dimensions",)
    Params = DrilldownParams

    def learned(self, cases: Sequence[Case], truths: Sequence[Truth]) -> Self:
        """Weights under which the true combinations stand out among the candidates of these cases."""
        taught = []
        for case, truth in zip(cases, truths, strict=True):
            found = candidates(case, self.params)
            right = np.array([name == frozenset(truth.roots) for name in found.names], dtype=bool)
            if right.any():
                taught.append((found.terms, right))
        if not taught:
            raise NotEnoughDataError.of(
                self.name, "cases", "at least one whose roots are among its candidates", len(cases)
            )
        return type(self)(self.params, state={"weights": _weigh(taught)})

    def _open(self, state: State) -> Floats:
        return np.asarray(state.get("weights", WEIGHTS))

    def _find(self, scorer: Floats, case: Case) -> list[Cause]:
        found = candidates(case, self.params)
        if not found.sets:
            return []
        parts = found.terms * scorer
        scores = parts.sum(axis=1)
        best = int(np.argmax(scores))
        belief = softmax(scores) * _certainty(found, best)
        shares: Counter[int] = Counter()
        for members, share in zip(found.sets, belief.tolist(), strict=True):
            shares.update({element: share / len(members) for element in members})
        alone = {members[0]: at for at, members in enumerate(found.sets) if len(members) == 1}
        # what broke together comes first together, then every other combination by itself
        chosen = {**alone, **dict.fromkeys(found.sets[best], best)}
        return [
            self._cause(case, found, element, parts[at], shares[element])
            for element, at in chosen.items()
        ]

    def _cause(
        self, case: Case, found: Candidates, element: int, parts: Floats, confidence: float
    ) -> Cause:
        cube, _ = _cube(case)
        node = _name(cube, found.elements, element)
        terms = {term: float(part) for term, part in zip(TERMS, parts, strict=True)}
        # members of a set share its terms: what each explains by itself decides between them
        terms["own"] = 1e-3 * float(found.elements.gain[element]) / found.total
        path = (WHOLE,) if node == WHOLE else (node, WHOLE)
        onset, said = _told(found, element)
        score = sum(terms.values())
        return Cause(
            node, "unknown", cube.times[onset], path, len(path) - 1, terms, score, confidence, said
        )


# ── Candidates ───────────────────────────────────────────────────────────────────────────────────

_KNOWN: WeakKeyDictionary[Cube, dict[tuple[int, Params], Candidates]] = WeakKeyDictionary()


def candidates(case: Case, params: DrilldownParams) -> Candidates:
    """Sets of combinations that may explain the alarm, with their terms; kept as long as the cube is."""
    cube, now = _cube(case)
    known = _KNOWN.setdefault(cube, {})
    key = (now, params)
    if key not in known:
        known[key] = _candidates(cube, now, params)
    return known[key]


def _candidates(cube: Cube, now: int, params: DrilldownParams) -> Candidates:
    leaves = _leaves(cube, now, params)
    elements = _elements(cube, leaves, params)
    excess, gain = elements.sums[:, 0], elements.gain
    total = float(leaves.off(leaves.usual).sum())
    ranked = np.argsort(-gain, kind="stable")
    kept = [int(row) for row in ranked[: params.kept] if gain[row] > 0 and excess[0] > 0]
    sets = {(row,): None for row in kept}
    for row in kept:
        peers = np.unique(elements.place[elements.columns[row]])
        mates = peers[(peers >= 0) & (peers != row) & (gain[peers] > 0)]
        mates = mates[np.argsort(-gain[mates], kind="stable")][: params.company - 1].tolist()
        for size in range(1, len(mates) + 1):
            together = tuple(sorted((row, *mates[:size])))
            # all values of an attribute are no finding: their parent is
            if all(beside[4] > 0 for beside in _beside(elements, together)):
                sets[together] = None
    names = [frozenset(_name(cube, elements, row) for row in members) for members in sets]
    terms = [_terms(elements, members, total, leaves.sign) for members in sets]
    table = np.array(terms).reshape(len(sets), len(TERMS))
    return Candidates(tuple(sets), tuple(names), table, total, leaves, elements)


def _cube(case: Case) -> tuple[Cube, int]:
    """The cube and the column of the alarm, the last period that began by then."""
    if case.cube is None:
        raise InvalidInputError.of("dimension-drilldown", "the case", "given with a cube", "none")
    now = int(np.searchsorted(case.cube.times, case.alarm.at, side="right")) - 1
    if now < 1:
        rule = "at least 1 before that of the alarm"
        raise NotEnoughDataError.of("dimension-drilldown", "periods", rule, max(now, 0))
    return case.cube, now


def _leaves(cube: Cube, now: int, params: DrilldownParams) -> Leaves:
    count = np.nan_to_num(cube.count[:, : now + 1])
    value = np.nan_to_num(cube.value[:, : now + 1])
    for thing, cells in (("count", count), ("value", value)):
        if (cells < 0).any():
            rule = "0 or above in every leaf"
            raise InvalidInputError.of("dimension-drilldown", thing, rule, float(cells.min()))
    seen = np.flatnonzero(count[:, :now].sum(axis=0) > 0)
    if not len(seen):
        rule = "at least 1 with a count before that of the alarm"
        raise NotEnoughDataError.of("dimension-drilldown", "periods", rule, 0)
    level = value.sum(axis=0) / np.maximum(count.sum(axis=0), 1e-12)
    went_up = bool(level[now] >= np.median(level[seen]))
    rises = {"auto": went_up, "up": True, "down": False}[params.direction]
    bounded = bool((value <= count).all())
    flipped = bounded and not rises
    sign = 1.0 if rises or flipped else -1.0
    if flipped:
        value, level = count - value, 1.0 - level
    calmest = seen[np.argsort(sign * level[seen], kind="stable")]
    calm = calmest[: max(2, int(np.ceil(params.calm * len(seen))))]
    past, out_of = value[:, calm].sum(axis=1), count[:, calm].sum(axis=1)
    overall = max(float(past.sum() / out_of.sum()), 1e-12)
    rarer = min(overall, 1.0 - overall) if bounded else overall
    lean = params.prior / max(rarer, 1e-6)
    usual = (past + lean * overall) / np.maximum(out_of + lean, 1e-12)
    least = 1e-4 if bounded else max(1e-4 * overall, 1e-12)
    usual = np.clip(usual, least, 1.0 - least if bounded else None)
    return Leaves(value, count, usual, bounded, sign, flipped)


def _elements(cube: Cube, leaves: Leaves, params: DrilldownParams) -> Elements:
    """The whole, and every combination whose parents all hold enough of the excess."""
    got, count = leaves.value[:, -1], leaves.count[:, -1]
    expected = count * leaves.usual
    excess = leaves.sign * (got - expected)
    before = leaves.off(leaves.usual)
    least = params.floor * max(float(excess.sum()), 0.0)
    columns: list[Columns] = []
    leaf: list[Codes] = []
    sums: list[Floats] = []
    gain: list[Floats] = []
    place: dict[Columns, Codes] = {}
    alive: dict[Columns, Bools] = {}
    for chosen in _cuboids(len(cube.attributes), params.attributes):
        inside = np.all(cube.leaves[:, chosen] >= 0, axis=1)
        for parent in _parents(chosen):
            inside &= alive[parent]
        rows = np.flatnonzero(inside)
        code = np.zeros(len(rows), dtype=np.intp)
        for column in chosen:
            code = code * len(cube.vocabularies[column]) + cube.leaves[rows, column]
        _, first, element = np.unique(code, return_index=True, return_inverse=True)
        summed = np.stack(
            [
                np.bincount(element, part[rows], minlength=len(first))
                for part in (excess, leaves.room, got, expected, count)
            ],
            axis=1,
        )
        struck = np.maximum(summed[:, 0], 0.0) / np.maximum(summed[:, 1], 1e-12)
        moved = leaves.usual[rows] + leaves.sign * struck[element] * leaves.reach[rows]
        lost = before[rows] - leaves.off(np.maximum(moved, 1e-12), rows)
        place[chosen] = np.full(len(inside), -1, dtype=np.intp)
        place[chosen][rows] = len(columns) + element
        alive[chosen] = inside
        alive[chosen][rows] = (summed[:, 0] > least)[element]
        columns += [chosen] * len(first)
        leaf.append(rows[first])
        sums.append(np.asarray(summed, dtype=np.float64))
        gain.append(np.asarray(np.bincount(element, lost, minlength=len(first)), dtype=np.float64))
    return Elements(
        columns, np.concatenate(leaf), np.concatenate(sums), np.concatenate(gain), place
    )


def _cuboids(n_attribute: int, most: int) -> Iterator[Columns]:
    """Choices of attributes, small ones first, the empty one for the whole."""
    for size in range(min(most, n_attribute) + 1):
        yield from itertools.combinations(range(n_attribute), size)


def _parents(columns: Columns) -> Iterator[Columns]:
    """The choices with one attribute less."""
    return itertools.combinations(columns, len(columns) - 1) if columns else iter(())


def _beside(elements: Elements, members: Sequence[int]) -> list[Floats]:
    """Sums of what lies beside a set in its parents, one for each attribute that could be left out."""
    rows = list(members)
    own = elements.sums[rows].sum(axis=0)
    above = (
        np.unique(elements.place[parent][elements.leaf[rows]])
        for parent in _parents(elements.columns[rows[0]])
    )
    return [elements.sums[parents].sum(axis=0) - own for parents in above]


def _terms(
    elements: Elements, members: Sequence[int], total: float, sign: float
) -> tuple[float, ...]:
    rows = list(members)
    excess, _, got, expected, _ = elements.sums[rows].sum(axis=0)
    # two of each, so that a handful of leaves beside it says nothing
    spills = [
        sign * float(np.log((max(seen, 0.0) + 2.0) / (max(usual, 0.0) + 2.0)))
        for _, _, seen, usual, _ in _beside(elements, members)
    ]
    return (
        float(elements.gain[rows].sum() / total),
        min(float(excess / elements.sums[0, 0]), 1.0),
        float(np.clip(max(spills, default=0.0), -1.0, 3.0)),
        float(sign * np.log((got + 1.0) / (expected + 1.0))),
        float(len(rows) - 1),
        float(not elements.columns[rows[0]]),
    )


def _name(cube: Cube, elements: Elements, element: int) -> str:
    columns, codes = elements.columns[element], cube.leaves[elements.leaf[element]]
    return combination({cube.attributes[c]: cube.vocabularies[c][codes[c]] for c in columns})


# ── What is said ─────────────────────────────────────────────────────────────────────────────────


def _certainty(found: Candidates, best: int) -> float:
    """The chance that anything broke, from how far the best set stands out and how far it rose."""
    terms = dict(zip(TERMS, found.terms[best].tolist(), strict=True))
    seen = int((found.leaves.count[:, -1] > 0).sum())
    noise = max((1.0 - terms["explained"]) * found.total / seen, 1e-9)
    height = np.log(max(terms["explained"] * found.total / noise, 1e-9))
    level, by_height, by_lift = CERTAINTY
    return float(expit(level + by_height * height + by_lift * terms["lift"]))


def _told(found: Candidates, element: int) -> tuple[int, tuple[str, ...]]:
    """Since when one combination was more than half as far off as at the alarm, and what it looks like."""
    leaves, elements = found.leaves, found.elements
    inside = elements.place[elements.columns[element]] == element
    count = leaves.count[inside].sum(axis=0)
    usual = leaves.usual[inside] @ leaves.count[inside]
    off = leaves.sign * (leaves.value[inside].sum(axis=0) - usual) / np.maximum(count, 1e-12)
    calm = np.flatnonzero(off[:-1] <= 0.5 * off[-1])
    own, whole = elements.sums[element], elements.sums[0]
    said = [
        f"{_share(leaves, own)} of {own[4]:,.0f}",
        f"{own[0] / whole[0]:.0%} of the excess in {own[4] / whole[4]:.0%} of the whole",
    ]
    if whole[4] > own[4]:
        said.append(f"{_share(leaves, whole - own)} elsewhere")
    return int(calm[-1]) + 1 if len(calm) else 0, tuple(said)


def _share(leaves: Leaves, sums: Floats) -> str:
    """What went wrong out of all, and what was expected."""
    shares = sums[2:4] / max(float(sums[4]), 1e-12)
    if not leaves.bounded:
        return f"{shares[0]:.3g} instead of {shares[1]:.3g}"
    seen, usual = 1.0 - shares if leaves.flipped else shares
    return f"{seen:.1%} instead of {usual:.1%}"


# ── Learning ─────────────────────────────────────────────────────────────────────────────────────


def _weigh(taught: Sequence[tuple[Floats, Bools]], penalty: float = 0.3) -> Floats:
    """Weights of a conditional logit: the right set against the others of its case, ridge on scaled terms."""
    every = np.concatenate([terms for terms, _ in taught])
    scale = every.std(axis=0) + 1e-9

    def loss(weights: Floats) -> tuple[float, Floats]:
        value, slope = penalty * float(weights @ weights), 2.0 * penalty * weights
        for terms, right in taught:
            scaled = terms / scale
            logs = log_softmax(scaled @ weights)
            value -= float(np.logaddexp.reduce(logs[right]))
            slope += np.exp(logs) @ scaled - softmax(logs[right]) @ scaled[right]
        return value, slope

    return np.asarray(minimize(loss, np.zeros(len(TERMS)), jac=True).x / scale)
