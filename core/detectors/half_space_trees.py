"""Streaming half-space trees: one forest over the points of all entities, learning as they come."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.contracts import (
    Bools,
    Floats,
    OnStep,
    Panel,
    Params,
    State,
    StreamingDetector,
    Tags,
    param,
)
from core.entities import row_of, rows_of
from core.errors import InvalidInputError
from core.features.scaling import Scale
from core.kernel import kernel

REACH = 8.0
"""Robust standard deviations at which a value is clipped: the fixed working range of the trees."""
NEVER = 10_000_000
"""Points in a window that never fills."""
ROLES = ("level", "reference", "latest", "seen", "points")


@dataclass(frozen=True)
class HalfSpaceTreesParams(Params):
    trees: int = param(50, help="Number of trees", low=1, high=1_000)
    height: int = param(8, help="Depth of every tree", low=1, high=14)
    window: int = param(
        250,
        help="Points, of all entities together, that make one reference window",
        low=2,
        high=10**7,
    )
    memory: float = param(
        0.9,
        help="Share of the old reference that a full window leaves standing; 0 replaces it whole",
        low=0.0,
        high=1.0,
    )
    density: str = param(
        "thin",
        help="Read a point's density at the first thin node, or sum it along the whole way there, as river does",
        choices=("thin", "path"),
    )
    smoothing: float = param(
        0.3,
        help="Weight of today in each entity's running level, which shows slow shifts",
        low=0.01,
        high=1.0,
    )


class HalfSpaceTrees(StreamingDetector):
    """How empty the neighbourhood of a point was in the recent past of all entities.

    Random trees halve the space of (today, running level) of every metric until `height`; each node
    counts the points that passed. A point's density is mass · 2^depth at the first node too thin to ask
    further. New points fill a latest window; when it is full it is folded into the reference, by which
    points are judged, so the forest follows what is normal now.

    Pooled: the points of all entities feed one forest, because 14 daily points of one campaign would
    never fill a window. `fit` fills the reference from the training panel, so that scores mean something
    from the first update on. All points of one time are judged before any of them is learned: their order
    does not matter. Scoring a panel replays `update` from the fitted state, bit for bit. As entities
    teach each other, a panel of some entities is judged slightly otherwise than among all.

    Good for: streams of many entities; drifting normals. Bad for: anomalies that come packed in one
    window; values far beyond 8 robust standard deviations look alike.
    Score: −log2 of the mean relative density: 0 = as dense as an even spread, an ordinary day lies well
    below, an empty place above. `warm` tells the share of the first window that was seen, up to 1; a
    score before that says little.
    Cost: trees · height per point.

    Source: Tan, Ting & Liu, Fast Anomaly Detection for Streaming Data (IJCAI 2011), algorithms 1–3;
    the fading memory of the reference and the running level are ours (memory 0 is the paper).
    """

    name = "half-space-trees"
    source = (
        "Tan, Ting & Liu, Fast Anomaly Detection for Streaming Data (IJCAI 2011), algorithms 1–3"
    )
    tags = Tags(
        streaming=True,
        stochastic=True,
        min_times=3,
        modules=("numba",),
        skip={
            "entities_apart": "the forest learns from all entities, so each is judged among the others",
        },
    )
    Params = HalfSpaceTreesParams
    cheap = {"trees": 25, "window": 60}

    def _fit(self, panel: Panel, labels: Bools | None, on_step: OnStep | None) -> State:
        scale = Scale.learn(panel.values)
        feature, threshold = self._grow(2 * len(panel.metrics))
        grown: dict[str, Any] = {**scale.state, "feature": feature, "threshold": threshold}
        nodes = threshold.size * 2 + self.params.trees
        empty = {
            "reference": np.zeros(nodes),
            "latest": np.zeros(nodes),
            "seen": np.zeros(1),
            "points": np.zeros(1),
        }
        forest = Forest.of({**grown, **empty})
        level = np.zeros((len(panel.entities), len(panel.metrics)))
        for time in range(len(panel.periods)):
            level, features = self._features(scale, level, panel.values[:, time])
            forest.learn(forest.leaves(features), observed(panel.values[:, time]))
        # the training panel is one long window: its whole mass is the first reference
        forest.fold(memory=0.0)
        return {**grown, **forest.running}

    def _open(self, state: State) -> Any:
        return state

    def _score(self, scorer: Any, panel: Panel) -> Floats:
        return self._score_last(scorer, panel, len(panel.periods))

    def _score_last(self, scorer: Any, panel: Panel, last: int) -> Floats:
        n_entity, n_time, n_metric = panel.values.shape
        forest, scale, level = Forest.of(scorer), Scale.of(scorer), np.zeros((n_entity, n_metric))
        # masses that the window cannot take in until the end would judge nothing
        learns = forest.seen[0] + n_entity * n_time >= self.params.window
        scores = np.empty((n_entity, last))
        for time in range(n_time):
            points = panel.values[:, time]
            level, features = self._features(scale, level, points)
            judged = time >= n_time - last
            if judged or learns:
                leaves = forest.leaves(features)
            if judged:
                scores[:, time - n_time] = forest.score(leaves, self.params.density)
            if learns:
                self._learn(forest, leaves, points)
        return scores

    @property
    def warm(self) -> float:
        """Share of the first window that the fitted reference rests on, 0…1."""
        return self.warmth(self.state)

    def warmth(self, running: State) -> float:
        """Share of the first window seen so far by a fitted or running state, 0…1."""
        points = float(np.asarray(running["points"])[0])
        window: int = self.params.window
        return min(1.0, points / window)

    def begin(self, entities: Sequence[str], earlier: State | None = None) -> State:
        """The running state of `entities`: the fitted forest, or that of an `earlier` running state.

        From `earlier`, entities known there keep their running level; new ones start at their normal.
        """
        source = self.state if earlier is None else earlier
        level = np.zeros((len(entities), len(np.asarray(self.state["centre"]))))
        if earlier is not None:
            rows = rows_of(entities, row_of(earlier))
            level[rows >= 0] = np.asarray(earlier["level"])[rows[rows >= 0]]
        forest = {role: source[role] for role in ROLES if role != "level"}
        return {"entities": "\n".join(entities), "level": level, **forest}

    def _update(self, running: State, points: Floats) -> tuple[State, Floats]:
        """Judge the next point of each entity, then learn them all.

        points : (n_entity, n_metric) in the order of `begin`; NaN counts as expected, and a point
        without any value is judged but not learned.
        """
        level = np.asarray(running["level"])
        if points.shape != level.shape:
            rule = f"of shape {level.shape}, one row per entity begun"
            raise InvalidInputError.of(self.name, "points", rule, points.shape)
        level, features = self._features(Scale.of(self.state), level, points)
        forest = Forest.of({**self.state, **running})
        leaves = forest.leaves(features)
        scores = forest.score(leaves, self.params.density)
        self._learn(forest, leaves, points)
        return {"entities": running["entities"], "level": level, **forest.running}, scores

    def frozen(self) -> HalfSpaceTrees:
        """A copy whose window never fills, so that it judges and does not learn."""
        params = dataclasses.replace(self.params, window=NEVER)
        return type(self)(params, state=self.state)

    def _learn(self, forest: Forest, leaves: NDArray[np.intp], points: Floats) -> None:
        forest.learn(leaves, observed(points))
        if forest.seen[0] >= self.params.window:
            forest.fold(self.params.memory)

    def _features(self, scale: Scale, level: Floats, points: Floats) -> tuple[Floats, Floats]:
        """New running level, and (n_entity, 2 · n_metric) in 0…1: today and the level."""
        today = scale.apply(points, REACH)
        share = self.params.smoothing
        level = (1.0 - share) * level + share * today
        # a running mean of independent days has this standard deviation; undone, both look alike
        steady = np.clip(level / np.sqrt(share / (2.0 - share)), -REACH, REACH)
        return level, np.concatenate([today, steady], axis=1) / (2 * REACH) + 0.5

    def _grow(self, n_feature: int) -> tuple[NDArray[np.int32], Floats]:
        """Column and cut of every inner node, (n_tree, 2^height − 1), in heap order."""
        rng = np.random.default_rng(self.params.seed)
        trees, inner = self.params.trees, 2**self.params.height - 1
        centre = rng.random((trees, n_feature))
        half = 2 * np.maximum(centre, 1 - centre)
        low, high = (np.empty((trees, inner, n_feature)) for _ in range(2))
        low[:, 0], high[:, 0] = centre - half, centre + half
        feature = rng.integers(n_feature, size=(trees, inner), dtype=np.int32)
        threshold = np.empty((trees, inner))
        every = np.arange(trees)
        for node in range(inner):
            column = feature[:, node]
            middle = (low[every, node, column] + high[every, node, column]) / 2
            threshold[:, node] = middle
            for child, side in ((2 * node + 1, high), (2 * node + 2, low)):
                if child < inner:
                    low[:, child], high[:, child] = low[:, node], high[:, node]
                    side[every, child, column] = middle
        return feature, threshold


def observed(points: Floats) -> Bools:
    """(n_entity,) True where at least one metric has a value."""
    return np.asarray(~np.isnan(points).all(axis=1))


@dataclass(frozen=True, eq=False)
class Forest:
    """The trees with their masses; `learn` and `fold` change the masses, which are this forest's own.

    Nodes of one tree lie in heap order. Masses are shares of the points of their window, so windows of
    different sizes compare. Points are known by the leaves (n_tree, n_point) in which they end.
    """

    feature: NDArray[np.uint32]
    threshold: Floats
    reference: Floats
    latest: Floats
    seen: Floats
    points: Floats

    @classmethod
    def of(cls, state: State) -> Forest:
        # unsigned, as an index that could be negative would be checked at every step
        feature = np.array(state["feature"], dtype=np.uint32)
        names = tuple(cls.__dataclass_fields__)[1:]
        return cls(feature, *(np.array(state[name], dtype=np.float64) for name in names))

    @property
    def running(self) -> dict[str, Floats]:
        return {
            "reference": self.reference,
            "latest": self.latest,
            "seen": self.seen,
            "points": self.points,
        }

    def leaves(self, features: Floats) -> NDArray[np.intp]:
        """(n_point, n_feature) → the leaf of every tree, counted from the left, (n_tree, n_point)."""
        found: NDArray[np.intp] = kernel(_walk)(features, self.feature, self.threshold)
        return found

    def score(self, leaves: NDArray[np.intp], density: str = "thin") -> Floats:
        """−log2 of the mean density of the leaves; `density` as in `HalfSpaceTreesParams`."""
        by_leaf = _densities(self._by_tree(self.reference), along=float(density == "path"))
        total = np.full(leaves.shape[1], EMPTY)
        # tree by tree, so that a point's sum is the same whoever else is judged
        for dense, leaf in zip(by_leaf, leaves, strict=True):
            total += dense[leaf]
        return np.asarray(-np.log2(total / len(leaves)))

    def learn(self, leaves: NDArray[np.intp], known: Bools) -> None:
        _count(self._by_tree(self.latest), leaves, known)
        self.seen[0] += known.sum()
        self.points[0] += known.sum()

    def fold(self, memory: float) -> None:
        """Make the latest window part of the reference and begin a new one."""
        self.reference[:] = memory * self.reference + (1 - memory) * self.latest / max(
            self.seen[0], 1
        )
        self.latest[:] = 0.0
        self.seen[0] = 0.0

    def _by_tree(self, masses: Floats) -> Floats:
        return masses.reshape(len(self.feature), -1)


THIN = 0.1
"""Share of a window below which a node is not asked further (Tan et al., section 4.2: sizeLimit)."""
EMPTY = 2.0**-20
"""Density of a place that nobody was ever seen in."""
SIDE_BY_SIDE = 32
"""Points that walk a tree together: a core then waits for many steps at once, not for each in turn."""


def _levels(nodes: int) -> list[slice]:
    """Where each depth of a heap of so many nodes lies, the root first."""
    return [slice(2**depth - 1, 2 ** (depth + 1) - 1) for depth in range(nodes.bit_length())]


def _densities(reference: Floats, along: float = 0.0) -> Floats:
    """(n_tree, n_node) masses → (n_tree, n_leaf): mass · 2^depth of the first thin node on the way to each leaf.

    along : share of the densities of the nodes before it that is added, 0 or 1
    """
    dense, asked = reference[:, :1], reference[:, :1] > THIN
    for depth, level in enumerate(_levels(reference.shape[1])[1:], start=1):
        mass = reference[:, level]
        dense, asked = np.repeat(dense, 2, axis=1), np.repeat(asked, 2, axis=1)
        dense = np.where(asked, mass * 2.0**depth + along * dense, dense)
        asked &= mass > THIN
    return dense


def _count(masses: Floats, leaves: NDArray[np.intp], known: Bools) -> None:
    """Add one to every node (n_tree, n_node) on the way of each known point to its leaf (n_tree, n_point)."""
    trees = len(masses)
    counts = np.zeros((trees, masses.shape[1] // 2 + 1))
    kernel(_tally)(leaves, known, counts)
    for level in _levels(masses.shape[1]):
        masses[:, level] += counts.reshape(trees, level.stop - level.start, -1).sum(axis=2)


def _tally(leaves: NDArray[np.intp], known: Bools, counts: Floats) -> None:
    trees, points = leaves.shape
    for tree in range(trees):
        for point in range(points):
            counts[tree, leaves[tree, point]] += known[point]


def _walk(features: Floats, feature: NDArray[np.uint32], threshold: Floats) -> NDArray[np.intp]:
    trees, inner = feature.shape
    leaves = np.empty((trees, len(features)), dtype=np.intp)
    node = np.empty(SIDE_BY_SIDE, dtype=np.uint32)
    for tree in range(trees):
        for start in range(0, len(features), SIDE_BY_SIDE):
            size = min(SIDE_BY_SIDE, len(features) - start)
            node[:] = 0
            reached = 0
            while reached < inner:
                for row in range(size):
                    at = node[row]
                    right = features[start + row, feature[tree, at]] > threshold[tree, at]
                    node[row] = 2 * at + 1 + right
                reached = 2 * reached + 1
            for row in range(size):
                leaves[tree, start + row] = node[row] - inner
    return leaves
