"""Which things people are asked about next, and what a random few of them tell about all.

A queue has five slices. *Hard*: where a committee disagrees and sits on the fence. *Diverse*: unlike anything judged
so far. *Random*: drawn evenly, the one slice that estimates without bias. *Relabel*: judged, but the answer is
doubtful. *Gold*: the answer is known, to see how people judge. The hardest lie close together and teach the same, so
the hard slice is spread over several times as many.

Sources: McCallum & Nigam, Employing EM and Pool-Based Active Learning (ICML 1998), for the committee's divergence from
its consensus; Abe & Mamitsuka, Query Learning Strategies Using Boosting and Bagging (ICML 1998), for a committee of
resampled learners; Sener & Savarese, Active Learning for Convolutional Neural Networks: A Core-Set Approach (ICLR
2018), for k-centres; Goh & Mueller, ActiveLab: Active Learning with Re-Labeling by Multiple Annotators (2023), for
when a second opinion is worth more than a first; Citovsky et al., Batch Active Learning at Scale (NeurIPS 2021,
section 3), for a batch spread over the hardest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from core.contracts import Bools, Floats
from core.errors import InvalidInputError

SLICES: Mapping[str, float] = {
    "hard": 0.50,
    "diverse": 0.20,
    "random": 0.15,
    "relabel": 0.10,
    "gold": 0.05,
}
"""Share of each slice in a queue."""
HEIR = "hard"
"""The slice that takes the places which another has nothing to fill with."""
SPREAD = 4
"""Times as many of the hardest as are asked about, among which those are chosen that lie apart."""
MEMBERS, TREES = 10, 12
"""Members of a learned committee, and the trees of each."""
Codes = NDArray[np.intp]


# ── A committee ──────────────────────────────────────────────────────────────────────────────────


def votes(p_values: Floats, alpha: float | Floats) -> Floats:
    """(n_member, n, 2) beliefs in "normal" and "anomalous" from detectors' p-values (n_member, n).

    The belief in "anomalous" is α / (α + p): one half at the threshold, 1 far beyond it. NaN where one had no say.
    """
    belief = alpha / (alpha + p_values)
    return np.stack([1.0 - belief, belief], axis=2)


def committee(features: Floats, taught: Codes, codes: Codes, n_class: int, seed: int = 0) -> Floats:
    """(n_member, n, n_class) beliefs of forests that each learned a bootstrap sample of what was labelled.

    features : (n, n_feature), NaN = missing     taught : rows with a label     codes : their classes
    """
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        n_estimators=MEMBERS * TREES,
        min_samples_leaf=1,
        class_weight="balanced_subsample",
        random_state=seed,
    ).fit(features[taught], codes)
    rows = np.asarray(features, dtype=np.float32)
    beliefs = np.zeros((MEMBERS, len(features), n_class))
    known = forest.classes_.astype(np.intp)
    for place, tree in enumerate(forest.estimators_):
        beliefs[place % MEMBERS][:, known] += tree.predict_proba(rows, check_input=False) / TREES
    return beliefs


def disagreement(beliefs: Floats) -> Floats:
    """(n,) mean divergence of the members (n_member, n, n_class) from their consensus: 0 (one voice) … 1."""
    own = special.entr(beliefs).sum(axis=2)
    joint = special.entr(_consensus(beliefs)).sum(axis=1)
    spread = (joint - np.nanmean(own, axis=0)) / math.log(beliefs.shape[2])
    return np.asarray(np.clip(spread, 0.0, 1.0))


def nearness(beliefs: Floats) -> Floats:
    """(n,) how close the consensus is to the fence: 1 − the lead of its first class over its second."""
    ordered = np.sort(_consensus(beliefs), axis=1)
    return np.asarray(1.0 - (ordered[:, -1] - ordered[:, -2]))


def hardness(beliefs: Floats) -> Floats:
    """(n,) disagreement × nearness."""
    return disagreement(beliefs) * nearness(beliefs)


def _consensus(beliefs: Floats) -> Floats:
    return np.asarray(np.nanmean(beliefs, axis=0))


# ── A queue ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Pool:
    """All that may be asked about, n things.

    fresh    : nobody judged it and nobody is asked yet
    hard     : hardness
    features : (n, n_feature), NaN = missing; what "unlike" is measured by
    doubt    : of what was judged, how much a second opinion is wanted; NaN for what must not be asked again
    gold     : its answer is known for sure
    """

    fresh: Bools
    hard: Floats
    features: Floats
    doubt: Floats
    gold: Bools


@dataclass(frozen=True)
class Pick:
    """One place in the queue.

    chance : the probability with which a thing of the random slice was drawn
    value  : what it was picked for: hardness, distance to the nearest judged thing, doubt
    """

    row: int
    slice: str
    value: float
    chance: float | None = None


def choose(size: int, pool: Pool, rng: np.random.Generator) -> list[Pick]:
    """The next `size` things to ask about, mixed so that every stretch of the queue holds its share of each slice.

    The random slice is drawn first, evenly from everything fresh, so that no other slice bends it. Fewer come where
    there is no more to ask.
    """
    if size < 1:
        raise InvalidInputError.of("queue", "the size", "at least 1", size)
    wanted = quotas(size)
    fresh = np.flatnonzero(pool.fresh)
    doubtful = np.flatnonzero(np.isfinite(pool.doubt) & ~pool.gold)
    certain = np.flatnonzero(pool.gold)
    picked = {
        "random": rng.permutation(fresh)[: wanted["random"]],
        "relabel": doubtful[np.argsort(-pool.doubt[doubtful], kind="stable")][: wanted["relabel"]],
        "gold": rng.permutation(certain)[: wanted["gold"]],
    }
    chance = len(picked["random"]) / max(len(fresh), 1)
    wanted[HEIR] += sum(wanted[name] - len(rows) for name, rows in picked.items())
    left = np.setdiff1d(fresh, picked["random"])
    places = ranked(pool.features)
    # things of one hardness in random order, so that nothing follows the order in which they are kept
    left = rng.permutation(left)
    hardest = left[np.argsort(-pool.hard[left], kind="stable")][: SPREAD * wanted["hard"]]
    first, others = np.split(hardest, [min(1, wanted["hard"])])
    apart, _ = farthest(places, first, others, wanted["hard"] - len(first), pool.hard[others])
    picked["hard"] = np.concatenate([first, apart])
    left = np.setdiff1d(left, picked["hard"])
    centres = np.setdiff1d(np.arange(len(pool.fresh)), left)
    picked["diverse"], distances = farthest(places, centres, left, wanted["diverse"])
    values = {
        "hard": pool.hard[picked["hard"]],
        "relabel": pool.doubt[picked["relabel"]],
        "diverse": distances,
    }
    queue = []
    for name in SLICES:
        rows = picked[name]
        told = values.get(name, np.ones(len(rows)))
        queue += [
            ((place + 0.5) / len(rows), Pick(int(row), name, float(value), chance))
            if name == "random"
            else ((place + 0.5) / len(rows), Pick(int(row), name, float(value)))
            for place, (row, value) in enumerate(zip(rows, told, strict=True))
        ]
    return [pick for _, pick in sorted(queue, key=lambda entry: entry[0])]


def quotas(size: int) -> dict[str, int]:
    """Places of each slice in a queue of `size`, by largest remainder."""
    exact = {name: share * size for name, share in SLICES.items()}
    places = {name: math.floor(share + 1e-9) for name, share in exact.items()}
    behind = sorted(exact, key=lambda name: places[name] - exact[name])
    for name in behind[: size - sum(places.values())]:
        places[name] += 1
    return places


def ranked(features: Floats) -> Floats:
    """Each column as ranks in 0…1, a missing value in the middle: distances that know no units and no outliers."""
    many = np.isfinite(features).sum(axis=0)
    ranks = stats.rankdata(features, axis=0, nan_policy="omit") - 0.5
    return np.where(np.isfinite(features), ranks / np.maximum(many, 1), 0.5)


def farthest(
    places: Floats, centres: Codes, left: Codes, wanted: int, weights: Floats | None = None
) -> tuple[Codes, Floats]:
    """Rows of `left`, each the farthest from all centres and those picked before, with its distance.

    The greedy k-centre of Gonzalez (1985), at most twice as far as the best. Cost: centres · left.

    weights : (left,) what a distance is worth for each, alike when absent
    """
    worth = np.ones(len(left)) if weights is None else weights
    open_ = np.ones(len(left), dtype=bool)
    nearest = np.full(len(left), np.inf)
    if not len(centres) and len(left):
        nearest = np.linalg.norm(places[left] - places[left].mean(axis=0), axis=1)
    for centre in centres:
        nearest = np.minimum(nearest, np.linalg.norm(places[left] - places[centre], axis=1))
    rows, distances = [], []
    for _ in range(min(wanted, len(left))):
        far = int(np.argmax(np.where(open_, nearest * worth, -1.0)))
        open_[far] = False
        rows.append(int(left[far]))
        distances.append(float(nearest[far]))
        nearest = np.minimum(nearest, np.linalg.norm(places[left] - places[left[far]], axis=1))
    return np.array(rows, dtype=np.intp), np.array(distances)


# ── What the random slice tells of all ───────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Draw:
    """One drawing of the random slice.

    answers : (n,) what was said of the drawn: 1 = yes, 0 = no, NaN = nobody yet
    pool    : how many it was drawn from
    known   : what was said by then of everything else, and of earlier draws, as 1, 0 or NaN
    """

    answers: Floats
    pool: int
    known: Floats


@dataclass(frozen=True)
class Share:
    """An estimated share with its 95 % interval; `answers` is how many of the random slice it rests on."""

    value: float
    low: float
    high: float
    answers: int


def share(draws: Sequence[Draw], level: float = 0.95) -> Share:
    """The share of "yes" among everything, without bias whatever the other slices asked about.

    At each draw, what is known already counts as itself and the drawn stand for the rest (a stratified estimate with
    a census of one stratum: Cochran, Sampling Techniques, 1977, sections 5.3–5.4); draws are weighted by their size,
    which no answer moves. The variance of a draw is taken at (yes + 2) / (n + 4), as no answer "no" is no proof.
    NaN where nothing was answered.
    """
    values, variances, weights = [], [], []
    for draw in draws:
        said = draw.answers[np.isfinite(draw.answers)]
        known = draw.known[np.isfinite(draw.known)]
        if not len(said):
            continue
        whole = len(known) + draw.pool
        guarded = (said.sum() + 2.0) / (len(said) + 4.0)
        rest = 1.0 - len(said) / draw.pool
        values.append((known.sum() + draw.pool * said.mean()) / whole)
        variances.append((draw.pool / whole) ** 2 * rest * guarded * (1.0 - guarded) / len(said))
        weights.append(len(said))
    if not values:
        return Share(math.nan, math.nan, math.nan, 0)
    portions = np.array(weights) / sum(weights)
    value = float(portions @ np.array(values))
    reach = float(stats.norm.ppf(0.5 + level / 2.0) * np.sqrt(portions**2 @ np.array(variances)))
    return Share(value, max(value - reach, 0.0), min(value + reach, 1.0), sum(weights))
