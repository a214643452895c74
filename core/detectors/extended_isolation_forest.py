"""Extended isolation forest: cuts in any direction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.contracts import Floats, State, Tags, param
from core.detectors.isolation_forest import mean_path
from core.detectors.rows import RowDetector, RowParams
from core.kernel import kernel

LIBERTIES = ("contract", "reassoc")
"""The sum over the columns may be reordered once, when compiled: several columns then pass at a time."""


@dataclass(frozen=True)
class ExtendedIsolationForestParams(RowParams):
    trees: int = param(100, help="Number of trees", low=1, high=2_000)
    sample: int = param(256, help="Rows that each tree is grown on", low=8, high=65_536)
    slant: int = param(
        0,
        help="Columns that a cut leans into; 0 = all of them, 1 = cuts along one column",
        low=0,
        high=100_000,
    )


class ExtendedIsolationForest(RowDetector):
    """How few random slanted cuts set a row apart from the others.

    Each node of a tree cuts with a plane of random direction through a random point of the box around its
    rows, down to single rows or to log₂(sample) levels. Cuts along one column alone, as in the isolation
    forest, make bands of low scores beside every cluster; slanted ones do not.

    Good for: several clusters, correlated columns; no assumption on the shape of the normal rows.
    Bad for: one odd column among very many, which a slanted cut hardly feels (set `slant` there).
    Score: 2^(−mean depth / c(sample)), from 0 to 1, about 0.4–0.5 on normal rows.
    Cost: trees · log₂(sample) · columns per row.

    Source: Hariri, Carrasco Kind & Brunner, Extended Isolation Forest (TKDE 2021), sections 3–4.
    """

    name = "extended-isolation-forest"
    source = "Hariri, Carrasco Kind & Brunner, Extended Isolation Forest (TKDE 2021), sections 3–4"
    tags = Tags(stochastic=True, min_times=1, modules=("numba",))
    Params = ExtendedIsolationForestParams
    cheap = {"trees": 50, "sample": 128}

    def _learn(self, rows: Floats) -> State:
        rng = np.random.default_rng(self.params.seed)
        sample = min(self.params.sample, len(rows))
        slant = min(self.params.slant or rows.shape[1], rows.shape[1])
        trees = [
            _grow(rows[rng.choice(len(rows), sample, replace=False)], slant, rng)
            for _ in range(self.params.trees)
        ]
        roots = np.cumsum([0, *(len(tree["depth"]) for tree in trees[:-1])])
        return {
            "direction": np.concatenate([tree["direction"] for tree in trees]),
            "offset": np.concatenate([tree["offset"] for tree in trees]),
            "depth": np.concatenate([tree["depth"] for tree in trees]),
            "left": np.concatenate(
                [
                    np.where(tree["left"] > 0, tree["left"] + root, 0)
                    for tree, root in zip(trees, roots, strict=True)
                ]
            ),
            "roots": roots,
            "unit": mean_path(np.array([sample])) * len(trees),
        }

    def _ready(self, state: State) -> Any:
        # writable copies, as numba compiles once per layout and a loaded array is read-only
        names = ("direction", "offset", "depth", "left", "roots", "unit")
        return {name: np.array(state[name]) for name in names}

    def _judge(self, scorer: Any, rows: Floats) -> Floats:
        names = ("direction", "offset", "depth", "left", "roots")
        depths = kernel(_walk, liberties=LIBERTIES)(rows, *(scorer[name] for name in names))
        return np.asarray(2.0 ** (-depths / scorer["unit"]))


def _grow(rows: Floats, slant: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """One tree, level by level, as arrays with a row per node; the root is the first.

    direction, offset : a row goes right where direction · row > offset
    left  : the left child, right behind it the right one; 0 at a leaf
    depth : path length that a leaf stands for, 0 elsewhere
    """
    n_column = rows.shape[1]
    direction, offset = [np.zeros((1, n_column))], [np.zeros(1)]
    left, size, level = [np.zeros(1, dtype=np.int64)], [np.array([len(rows)])], [np.zeros(1)]
    total, first = 1, 0
    node = np.zeros(len(rows), dtype=np.int64)
    for depth in range(1, math.ceil(math.log2(len(rows))) + 1):
        # rows in the order of their nodes, those of leaves first
        splits = np.flatnonzero(size[-1] > 1)
        if not len(splits):
            break
        inner = np.flatnonzero(np.isin(node, first + splits))
        inner = inner[np.argsort(node[inner], kind="stable")]
        starts = np.append(0, np.cumsum(size[-1][splits])[:-1])
        low = np.minimum.reduceat(rows[inner], starts, axis=0)
        high = np.maximum.reduceat(rows[inner], starts, axis=0)
        normal = rng.standard_normal(low.shape)
        if slant < n_column:
            order = np.argsort(rng.random(low.shape), axis=1)
            np.put_along_axis(normal, order[:, slant:], 0.0, axis=1)
        through = (normal * rng.uniform(low, high)).sum(axis=1)
        direction[-1][splits], offset[-1][splits] = normal, through
        left[-1][splits] = total + 2 * np.arange(len(splits))
        which = np.repeat(np.arange(len(splits)), size[-1][splits])
        right = np.einsum("ij,ij->i", rows[inner], normal[which]) > through[which]
        node[inner] = total + 2 * which + right
        first, total = total, total + 2 * len(splits)
        direction.append(np.zeros((2 * len(splits), n_column)))
        offset.append(np.zeros(2 * len(splits)))
        left.append(np.zeros(2 * len(splits), dtype=np.int64))
        size.append(np.bincount(node[inner] - first, minlength=2 * len(splits)))
        level.append(np.full(2 * len(splits), float(depth)))
    leaf = np.concatenate(left) == 0
    lengths = np.concatenate(level) + mean_path(np.concatenate(size))
    return {
        "direction": np.concatenate(direction),
        "offset": np.concatenate(offset),
        "left": np.concatenate(left),
        "depth": np.where(leaf, lengths, 0.0),
    }


def _walk(
    rows: Floats,
    direction: Floats,
    offset: Floats,
    depth: Floats,
    left: NDArray[np.int64],
    roots: NDArray[np.int64],
) -> Floats:
    total = np.zeros(len(rows))
    # trees outside, rows inside: one tree stays in the cache while all rows pass
    for tree in range(len(roots)):
        for row in range(len(rows)):
            node = roots[tree]
            while left[node] > 0:
                along = 0.0
                for column in range(rows.shape[1]):
                    along += direction[node, column] * rows[row, column]
                node = left[node] + (along > offset[node])
            total[row] += depth[node]
    return total
