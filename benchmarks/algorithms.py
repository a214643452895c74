"""How quick single algorithms are, each beside its peer in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from core import catalog
from core.contracts import Floats, OnStep
from core.detectors.half_space_trees import HalfSpaceTrees, HalfSpaceTreesParams
from core.detectors.isolation_forest import REACH, IsolationForest, day_features, flatten
from core.features.scaling import Scale
from core.samples import sample

Row = dict[str, Any]
RUNS = 5


def run(on_step: OnStep) -> list[Row]:
    """One row per measurement: name, value and unit; beside a peer its name and value, and ours over it."""
    rows = []
    for index, (name, measure) in enumerate(MEASUREMENTS.items()):
        on_step(name, index / len(MEASUREMENTS), {})
        rows.append({"name": name, **measure()})
    return rows


# ── lstm-autoencoder ─────────────────────────────────────────────────────────────────────────────


def windows_a_second(entities: int = 4_000) -> Row:
    """14-day windows of 5 metrics that a net of the default size scores: all cores together, and one."""
    panel = sample(n_entity=entities, n_time=40)
    # how long it learned changes the weights, not the time they take
    model = catalog.make("lstm-autoencoder", epochs=1).fit(sample(n_entity=50, n_time=40))
    windows = panel.values.shape[0] * panel.values.shape[1]
    wall, cpu = _quickest(lambda: model.score(panel))
    return {
        "value": round(windows / wall),
        "unit": "windows/s",
        "value_a_core": round(windows / cpu),
    }


# ── half-space-trees ─────────────────────────────────────────────────────────────────────────────


def points_a_second(entities: int = 2_000, times: int = 12, trees: int = 50) -> Row:
    """Points scored and learned a second, against river's forest with the same trees on the same stream.

    Both on one core, in its seconds: what else runs on the machine counts for neither.
    """
    twins = Twins(entities, trees)
    ours, theirs = twins.stream(times)
    judged = slice(twins.full + 1, None)
    rank = spearmanr(ours[judged].ravel(), theirs[judged].ravel()).statistic
    # before its first window is full, river scores nothing
    speeds = [entities / min(seconds[judged]) for seconds in twins.seconds]
    return {
        "value": round(speeds[0]),
        "unit": "points/s and core",
        "peer": "river HalfSpaceTrees",
        "peer_value": round(speeds[1]),
        "ratio": round(speeds[0] / speeds[1], 1),
        "rank_correlation": round(float(rank), 6),
    }


class Twins:
    """Our forest and river's, of the same trees and windows, for a stream of entities.

    river's way in our terms: no memory of older windows, and densities summed along the way. Both judge
    all points of a time before they learn them.
    """

    full = 3
    """The time that fills the first window."""

    def __init__(self, entities: int, trees: int) -> None:
        from river.anomaly import HalfSpaceTrees as River

        window = (self.full + 1) * entities
        params = HalfSpaceTreesParams(trees=trees, window=window, memory=0.0, density="path")
        grown = HalfSpaceTrees(params).fit(sample(n_entity=50))
        self.metrics = len(sample().metrics)
        self.features = [f"{column:03d}" for column in range(2 * self.metrics)]
        self.river = River(trees, params.height, window, seed=0)
        self.river.learn_one(dict.fromkeys(self.features, 0.5))
        self._forget()
        feature, threshold = self._cuts(2**params.height - 1)
        empty = {
            role: np.zeros_like(np.asarray(grown.state[role]))
            for role in ("reference", "latest", "seen", "points")
        }
        state = {**grown.state, **empty, "feature": feature, "threshold": threshold}
        self.ours = HalfSpaceTrees(params, state=state)
        self.entities = entities
        self.seconds: tuple[list[float], list[float]] = ([], [])

    def stream(self, times: int) -> tuple[Floats, Floats]:
        """Scores (n_time, n_entity) of both."""
        panel = sample(n_entity=self.entities, n_time=times)
        running = self.ours.begin(panel.entities)
        scale, level = Scale.of(self.ours.state), np.zeros((self.entities, self.metrics))
        scores: tuple[list[Any], list[Any]] = ([], [])
        for points in np.moveaxis(panel.values, 1, 0):
            # river is handed the features, ours makes them
            level, features = self.ours._features(scale, level, points)
            rows = [dict(zip(self.features, row, strict=True)) for row in features.tolist()]
            start = time.process_time()
            running, judged = self.ours.update(running, points)
            between = time.process_time()
            theirs = [self.river.score_one(row) for row in rows]
            for row in rows:
                self.river.learn_one(row)
            self.seconds[1].append(time.process_time() - between)
            self.seconds[0].append(between - start)
            scores[0].append(judged)
            scores[1].append(theirs)
        return np.array(scores[0]), np.array(scores[1])

    def _forget(self) -> None:
        """Undo the point that river needs before it grows its trees."""
        self.river.counter = 0
        for nodes in self.river._tree_nodes:
            for node in nodes:
                node.l_mass = 0

    def _cuts(self, inner: int) -> tuple[NDArray[np.int32], Floats]:
        """Column and cut of every inner node of river's trees, in heap order."""
        shape = (len(self.river.trees), inner)
        feature, threshold = np.zeros(shape, dtype=np.int32), np.zeros(shape)
        for tree, root in enumerate(self.river.trees):
            nodes = [root]
            for place in range(inner):
                node = nodes[place]
                feature[tree, place] = self.features.index(node.feature)
                threshold[tree, place] = node.threshold
                nodes += node.children
        # a value on the cut goes right in river's trees, left in ours
        return feature, np.nextafter(threshold, -np.inf)


# ── isolation-forest ─────────────────────────────────────────────────────────────────────────────


def one_row(trees: int = 100) -> Row:
    """Microseconds of a core to score one entity's newest day, against scikit-learn with the same trees."""
    from sklearn.ensemble import IsolationForest as Forest

    learned, panel = sample(n_entity=50), sample(n_entity=1, n_time=14)
    scale = Scale.learn(learned.values)
    rows, row = (
        day_features(scale.apply(part.values, REACH)).reshape(-1, 3 * len(part.metrics))
        for part in (learned, panel)
    )
    forest = Forest(n_estimators=trees, max_samples=len(rows), random_state=0).fit(rows)
    state = {"metrics": "\n".join(learned.metrics), **scale.state, **flatten(forest)}
    model = IsolationForest(state=state)
    ours, theirs = model.score(panel, last=1), -forest.score_samples(row[-1:])
    apart = float(np.abs(ours[0] - theirs).max())
    microseconds = [
        1e6 * _quickest(lambda act=act: [act() for _ in range(20)])[1] / 20
        for act in (lambda: model.score(panel, last=1), lambda: forest.score_samples(row[-1:]))
    ]
    return {
        "value": round(microseconds[0], 1),
        "unit": "core µs a row",
        "peer": "scikit-learn score_samples",
        "peer_value": round(microseconds[1], 1),
        "ratio": round(microseconds[1] / microseconds[0], 1),
        "largest_difference": apart,
    }


MEASUREMENTS: dict[str, Callable[[], Row]] = {
    "lstm-autoencoder: windows a second": windows_a_second,
    "half-space-trees: points a second": points_a_second,
    "isolation-forest: one row": one_row,
}


def _quickest(act: Callable[[], Any]) -> tuple[float, float]:
    """(wall, cpu) seconds of the quickest run: whoever else is on the machine only adds to it."""
    runs = []
    for _ in range(RUNS):
        wall, cpu = time.perf_counter(), time.process_time()
        act()
        runs.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(wall for wall, _ in runs), min(cpu for _, cpu in runs)
