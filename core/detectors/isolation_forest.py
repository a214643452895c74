"""Isolation forest over the days of all entities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.contracts import Bools, Detector, Floats, OnStep, Panel, Params, State, Tags, param
from core.errors import NotEnoughDataError
from core.features.scaling import Scale
from core.kernel import kernel

SPANS = (1, 3, 7)
"""Days over which each metric is averaged: today, and two looks back that show a slow shift."""
REACH = 12.0
"""Robust standard deviations beyond which one value is as odd as another."""


@dataclass(frozen=True)
class IsolationForestParams(Params):
    trees: int = param(100, help="Number of trees", low=1, high=2_000)
    sample: int = param(2_048, help="Entity-days that each tree is grown on", low=8, high=65_536)
    pool: int = param(
        40_000, help="Entity-days that the trees may draw from", low=8, high=5_000_000
    )


class IsolationForest(Detector):
    """How few random cuts set an entity's day apart from the days of all entities.

    Each tree cuts random features at random places until every day of its sample stands alone; an odd
    day stands alone early. Features of a day are each metric's robust standardised value and its means
    over the last 3 and 7 days, so that a weak shift of several days shows.

    Judged, a missing value counts as expected. Learned, it is drawn from the observed values of its
    metric: thousands of entities too small for a conversion rate would otherwise make "no value" the
    usual one, and every ordinary rate odd.

    Good for: days odd in several metrics at once; no assumption on the shape of normal days.
    Bad for: shifts smaller than a day's noise; clusters of equal anomalies larger than the sample share.
    Score: 2^(−mean depth / c(sample)), from 0 to 1, about 0.4–0.5 on normal days; the same number as
    `−score_samples` of scikit-learn, for one row or a million alike. Cost: trees · log(sample) per day.
    The sample is larger than the paper's 256, which suits rarer anomalies and finer tails.

    Source: Liu, Ting & Zhou, Isolation Forest (ICDM 2008), sections 2–4.
    """

    name = "isolation-forest"
    source = "Liu, Ting & Zhou, Isolation Forest (ICDM 2008), sections 2–4"
    tags = Tags(stochastic=True, min_times=1, modules=("sklearn", "numba"))
    Params = IsolationForestParams
    cheap = {"trees": 20, "sample": 256}

    def _fit(self, panel: Panel, labels: Bools | None, on_step: OnStep | None) -> State:
        from sklearn.ensemble import IsolationForest as Forest

        rng = np.random.default_rng(self.params.seed)
        scale = Scale.learn(panel.values)
        seen = ~np.isnan(panel.values).all(axis=-1)
        rows = day_features(scale.apply(drawn(panel.values, rng), REACH))[seen]
        if len(rows) < 2:
            raise NotEnoughDataError.of(self.name, "observed entity-days", "at least 2", len(rows))
        if len(rows) > self.params.pool:
            rows = rows[rng.choice(len(rows), self.params.pool, replace=False, shuffle=False)]
        forest = Forest(
            n_estimators=self.params.trees,
            max_samples=min(self.params.sample, len(rows)),
            random_state=self.params.seed,
        ).fit(rows)
        return {**scale.state, **flatten(forest)}

    def _open(self, state: State) -> Any:
        return Scale.of(state), Trees.of(state)

    def _score(self, scorer: Any, panel: Panel) -> Floats:
        return self._score_last(scorer, panel, len(panel.periods))

    def _score_last(self, scorer: Any, panel: Panel, last: int) -> Floats:
        scale, trees = scorer
        values = panel.values[:, -(last + SPANS[-1] - 1) :]
        rows = day_features(scale.apply(values, REACH))[:, -last:]
        scores: Floats = trees.score(rows.reshape(-1, rows.shape[-1]))
        return scores.reshape(rows.shape[:2])


def drawn(values: Floats, rng: np.random.Generator) -> Floats:
    """(n_entity, n_time, n_metric) with each gap drawn from the observed values of its metric."""
    filled = values.copy()
    for metric in np.moveaxis(filled, -1, 0):
        missing = np.isnan(metric)
        if missing.any() and not missing.all():
            metric[missing] = rng.choice(metric[~missing], missing.sum())
    return filled


def day_features(values: Floats) -> NDArray[np.float32]:
    """(n_entity, n_time, n_metric) → (n_entity, n_time, n_metric · 3): means over the last 1, 3, 7 days.

    float32, the precision in which scikit-learn grows and reads its trees. Before the first day a
    mean takes the days there are.
    """
    n_time = values.shape[1]
    spans = []
    for span in SPANS:
        # a sum of the span itself, not a difference of running sums: cutting the past or the future
        # then leaves every mean bit for bit as it was
        total = np.zeros_like(values)
        for lag in range(min(span, n_time)):
            total[:, lag:] += values[:, : n_time - lag]
        count = np.minimum(np.arange(1, n_time + 1), span)
        spans.append(total / count[:, None])
    return np.concatenate(spans, axis=-1, dtype=np.float32, casting="same_kind")


def flatten(forest: Any) -> dict[str, NDArray[Any]]:
    """A fitted scikit-learn forest as arrays: one row per node of all trees.

    feature   : column asked, −1 at a leaf          threshold : go left where value ≤ it
    left, right : rows of the children              depth     : path length that a leaf stands for
    roots     : first row of each tree              unit      : c(sample) · trees, what depths are divided by
    """
    trees = [estimator.tree_ for estimator in forest.estimators_]
    roots = np.cumsum([0, *(tree.node_count for tree in trees[:-1])])
    left = np.concatenate(
        [tree.children_left + root for tree, root in zip(trees, roots, strict=True)]
    )
    right = np.concatenate(
        [tree.children_right + root for tree, root in zip(trees, roots, strict=True)]
    )
    feature = np.concatenate([np.where(tree.children_left < 0, -1, tree.feature) for tree in trees])
    samples = np.concatenate([tree.n_node_samples for tree in trees])
    depth = np.concatenate([_levels(tree) for tree in trees]) + mean_path(samples)
    return {
        "feature": feature.astype(np.int32),
        "threshold": np.concatenate([tree.threshold for tree in trees]),
        "left": left.astype(np.int32),
        "right": right.astype(np.int32),
        "depth": np.where(feature < 0, depth, 0.0),
        "roots": roots.astype(np.int32),
        "unit": mean_path(np.array([forest.max_samples_])) * len(trees),
    }


def _levels(tree: Any) -> Floats:
    """Edges from the root to each node; children always come after their parent."""
    level = np.zeros(tree.node_count)
    for node in range(tree.node_count):
        if tree.children_left[node] >= 0:
            level[tree.children_left[node]] = level[tree.children_right[node]] = level[node] + 1
    return level


def mean_path(samples: NDArray[Any]) -> Floats:
    """Mean depth of an unsuccessful search among `samples` points (Liu et al., equation 1)."""
    n = np.asarray(samples, dtype=np.float64)
    many = 2.0 * (np.log(np.maximum(n - 1.0, 1.0)) + np.euler_gamma) - 2.0 * (n - 1.0) / np.maximum(
        n, 1
    )
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, many))


@dataclass(frozen=True, eq=False)
class Trees:
    """The arrays of `flatten`, ready to walk: a leaf leads to itself, so every walk of a tree is equally long.

    feature, threshold, depth : (n_node,)
    child  : (n_node, 2), where a value up to the threshold goes, and where one above
    roots, heights : (n_tree,)
    """

    feature: NDArray[np.uint32]
    threshold: NDArray[np.float32]
    child: NDArray[np.uint32]
    depth: Floats
    roots: NDArray[np.uint32]
    heights: NDArray[np.int32]
    unit: Floats

    @classmethod
    def of(cls, state: State) -> Trees:
        # writable copies, as numba compiles once per layout and a loaded array is read-only; unsigned, as
        # an index that could be negative would be checked at every step
        feature, threshold, left, right, depth, roots, unit = (
            np.array(state[role])
            for role in ("feature", "threshold", "left", "right", "depth", "roots", "unit")
        )
        leaf = np.where(feature < 0, np.arange(len(feature)), -1)
        child = np.stack([np.maximum(left, leaf), np.maximum(right, leaf)], axis=1)
        return cls(
            np.maximum(feature, 0).astype(np.uint32),
            _rounded_down(threshold),
            child.astype(np.uint32),
            depth,
            roots.astype(np.uint32),
            _heights(child, roots),
            unit,
        )

    def score(self, rows: NDArray[np.float32]) -> Floats:
        """(n_row, n_feature) → (n_row,), each row by itself."""
        depths = kernel(_walk)(
            np.ascontiguousarray(rows),
            self.feature,
            self.threshold,
            self.child,
            self.depth,
            self.roots,
            self.heights,
        )
        return np.asarray(2.0 ** (-depths / self.unit))


def _rounded_down(threshold: Floats) -> NDArray[np.float32]:
    """The largest float32 up to each threshold: a float32 value compares with it as with the threshold."""
    nearest = threshold.astype(np.float32)
    return np.where(nearest > threshold, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def _heights(child: NDArray[Any], roots: NDArray[Any]) -> NDArray[np.int32]:
    """(n_tree,) edges from each root to its deepest leaf."""
    heights = np.zeros(len(roots), dtype=np.int32)
    tree, reached = np.arange(len(roots)), roots
    while len(reached):
        below = child[reached]
        inner = below[:, 0] != reached
        tree, reached = np.repeat(tree[inner], 2), below[inner].ravel()
        heights[np.unique(tree)] += 1
    return heights


SIDE_BY_SIDE = 32
"""Rows that walk a tree together: a core then waits for many steps at once, not for each in turn."""


def _walk(
    rows: NDArray[np.float32],
    feature: NDArray[np.uint32],
    threshold: NDArray[np.float32],
    child: NDArray[np.uint32],
    depth: Floats,
    roots: NDArray[np.uint32],
    heights: NDArray[np.int32],
) -> Floats:
    total = np.zeros(len(rows))
    node = np.empty(SIDE_BY_SIDE, dtype=np.uint32)
    # trees outside, rows inside: one tree stays in the cache while all rows pass
    for tree in range(len(roots)):
        for start in range(0, len(rows), SIDE_BY_SIDE):
            size = min(SIDE_BY_SIDE, len(rows) - start)
            node[:] = roots[tree]
            for _ in range(heights[tree]):
                for row in range(size):
                    at = node[row]
                    above = rows[start + row, feature[at]] > threshold[at]
                    node[row] = child[at, np.uint32(above)]
            for row in range(size):
                total[start + row] += depth[node[row]]
    return total
