"""A model of which suspect is the cause: shares of belief within a case, and whether anything is wrong at all.

Suspects of a contest get shares softmax(heat · features · weights). Only differences within a contest count, so nothing
depends on how a system's figures run. A dozen cases cannot carry a large model: the weights keep the signs that they are
given, are pulled to where they were before anything was learned, and every group of cases weighs the same.

Sources: McFadden, Conditional logit analysis of qualitative choice behavior, 1974; Guo et al., On calibration of modern
neural networks, ICML 2017 (one temperature); both fitted by maximum likelihood.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax

from core.contracts import Bools, Floats
from core.rootcause.evidence.suspects import Suspects, Term, prior

PULL = 2.0
"""Strength of the pull to the weights of before, in cases of evidence per squared unit of weight."""
SILENT = 0.96
"""Share of fault-free windows in which no cause may stand out."""
SURE = 0.8
"""Share of those windows that surely are fault-free."""
HEATS = (0.25, 2.0)


@dataclass(frozen=True)
class Choice:
    """What was learned of one kind of evidence.

    weights : term → weight of its feature
    heat    : factor on the scores that makes shares right as often as they say
    slope, cut : belief that there is a cause = expit(slope · (proof of the likeliest suspect − cut))
    """

    weights: Mapping[str, float]
    heat: float = 1.0
    slope: float = 2.0
    cut: float = 1.0

    @classmethod
    def read(cls, text: str) -> Choice:
        """The inverse of `written`."""
        return cls(**json.loads(text))

    def written(self) -> str:
        """As JSON, six digits."""
        fields: dict[str, Any] = asdict(self)
        digits = {name: round(value, 6) for name, value in self.weights.items()}
        return json.dumps(
            {key: digits if key == "weights" else round(value, 6) for key, value in fields.items()}
        )

    def scores(self, suspects: Suspects, terms: Sequence[Term]) -> Floats:
        """(n, n_term) what each feature adds to the score of each suspect."""
        weights = np.array([self.weights[term.name] for term in terms])
        found: Floats = self.heat * weights * suspects.features
        return found

    def belief(self, suspects: Suspects, terms: Sequence[Term]) -> float:
        """How sure it is that something is wrong, 0 to 1."""
        return float(expit(self.slope * (self._proof(suspects, terms) - self.cut)))

    def _proof(self, suspects: Suspects, terms: Sequence[Term]) -> float:
        weights = np.array([self.weights[term.name] for term in terms])
        shown = np.array([term.proof for term in terms])
        return proof(suspects, weights, shown)


def proof(suspects: Suspects, weights: Floats, shown: Bools) -> float:
    """What the features that prove something add up to at the likeliest suspect of any contest."""
    scores = suspects.features @ weights
    leaders = [contest[int(np.argmax(scores[contest]))] for contest in suspects.contests]
    proven = suspects.features[:, shown] @ weights[shown]
    return float(max((proven[leader] for leader in leaders), default=0.0))


def learn(
    terms: Sequence[Term],
    suspects: Sequence[Suspects],
    roots: Sequence[Sequence[str]],
    groups: Sequence[str],
    quiet: Sequence[Suspects],
) -> Choice:
    """A choice from cases whose roots are known.

    groups : cases of one group share their cause; heat is fitted to groups that the weights were not learned from
    quiet  : the same evidence of windows in which nothing was wrong
    """
    contests, share, owner = _contests(suspects, roots, groups)
    weights = _weigh(terms, contests, share)
    heat = _heat(terms, contests, share, owner)
    shown = np.array([term.proof for term in terms])
    slope, cut = _threshold(
        np.array([proof(one, weights, shown) for one in suspects]),
        np.array([proof(one, weights, shown) for one in quiet]),
    )
    named = {term.name: float(weight) for term, weight in zip(terms, weights, strict=True)}
    return Choice(named, heat, slope, cut)


Contest = tuple[Floats, Bools]


def _contests(
    suspects: Sequence[Suspects], roots: Sequence[Sequence[str]], groups: Sequence[str]
) -> tuple[list[Contest], Floats, list[str]]:
    """Contests that have a root and another suspect, the weight of each and the group it belongs to.

    Of several alarms, one that two roots might explain teaches nothing: nobody said which of them did.
    """
    contests, owner, case_of = [], [], []
    for number, (one, known, group) in enumerate(zip(suspects, roots, groups, strict=True)):
        is_root = np.isin(one.nodes, list(known))
        for contest in one.contests:
            most = 1 if len(one.contests) > 1 else len(contest) - 1
            if 0 < is_root[contest].sum() <= min(most, len(contest) - 1):
                contests.append((one.features[contest], is_root[contest]))
                owner.append(group)
                case_of.append(number)
    sizes = {group: len(set(_of(case_of, owner, group))) for group in set(owner)}
    per_case = np.bincount(case_of, minlength=len(suspects)) if case_of else np.zeros(1)
    share = np.array(
        [1.0 / (sizes[group] * per_case[case]) for group, case in zip(owner, case_of, strict=True)]
    )
    return contests, share * len(set(case_of)) / max(len(sizes), 1), owner


def _of(values: Sequence[int], owner: Sequence[str], group: str) -> list[int]:
    return [value for value, one in zip(values, owner, strict=True) if one == group]


def _weigh(terms: Sequence[Term], contests: Sequence[Contest], share: Floats) -> Floats:
    """Weights of highest penalised likelihood; those of before where there is nothing to learn from."""
    start = prior(terms)
    if not contests:
        return start
    features = np.concatenate([held for held, _ in contests])
    begins = np.cumsum([0, *(len(held) for held, _ in contests)])
    target = np.concatenate([is_root / is_root.sum() for _, is_root in contests])
    size = np.repeat(share, np.diff(begins))

    def loss(weights: Floats) -> tuple[float, Floats]:
        scores = features @ weights
        logs = np.concatenate([log_softmax(scores[a:b]) for a, b in pairwise(begins)])
        away = weights - start
        value = -float(size @ (target * logs)) + 0.5 * PULL * float(away @ away)
        slope = features.T @ (size * (np.exp(logs) - target)) + PULL * away
        return value, slope

    bounds = [(0.0, None) if term.weight > 0 else (None, 0.0) for term in terms]
    options = {"ftol": 1e-13, "gtol": 1e-9, "maxiter": 1_000}
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options=options)
    weights: Floats = found.x
    return weights


def _heat(
    terms: Sequence[Term], contests: Sequence[Contest], share: Floats, owner: Sequence[str]
) -> float:
    """The factor on scores under which groups that were left out are likeliest; 1 where there are too few."""
    groups = list(dict.fromkeys(owner))
    if len(groups) < 3:
        return 1.0
    held: list[tuple[Floats, Bools, float]] = []
    for group in groups:
        inside: NDArray[np.bool_] = np.array([one == group for one in owner])
        others = [contest for contest, here in zip(contests, inside, strict=True) if not here]
        weights = _weigh(terms, others, share[~inside])
        held += [
            (features @ weights, is_root, float(size))
            for (features, is_root), size, here in zip(contests, share, inside, strict=True)
            if here
        ]

    def loss(heat: float) -> float:
        logs = [
            size * float(log_softmax(heat * scores)[is_root].mean())
            for scores, is_root, size in held
        ]
        return -sum(logs)

    return float(minimize_scalar(loss, bounds=HEATS, method="bounded").x)


def _threshold(faulty: Floats, quiet: Floats) -> tuple[float, float]:
    """Slope and cut of the belief: where all but a few fault-free windows stay silent, farther up where there is room."""
    if not len(quiet) or not len(faulty):
        return Choice.slope, Choice.cut
    # an exponential tail from what surely is quiet: normal periods hold troubles that nobody wrote down
    middle, sure = np.quantile(quiet, [0.5, SURE])
    stretch = np.log(0.5 / (1.0 - SILENT)) / np.log(0.5 / (1.0 - SURE))
    edge, weak = middle + stretch * (sure - middle), np.quantile(faulty, 1.0 - SILENT)
    cut = float(max(edge, (edge + weak) / 2.0))
    side = np.concatenate([np.ones(len(faulty)), np.zeros(len(quiet))])
    apart = np.concatenate([faulty, quiet]) - cut
    size = np.where(side > 0, 0.5 / len(faulty), 0.5 / len(quiet))

    def loss(slope: float) -> float:
        return float(size @ np.logaddexp(0.0, np.where(side > 0, -slope, slope) * apart))

    return float(minimize_scalar(loss, bounds=(0.25, 8.0), method="bounded").x), cut
