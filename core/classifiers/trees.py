"""Many trees over the feature table: random forest and gradient boosting, grown by scikit-learn."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.classifiers.tabular import Codes, TabularClassifier, TabularParams, softmax
from core.contracts import Floats, OnStep, State, Tags, param, report
from core.kernel import kernel

AT_ONCE = 25
"""Trees or rounds grown between two reports, at which a run can be stopped."""
ROLES = ("feature", "threshold", "left", "right", "value", "roots")


class TreeClassifier(TabularClassifier):
    """Trees kept as arrays, one row per node of all trees.

    feature   : column asked, −1 at a leaf     threshold : go left where value ≤ it
    left, right : rows of the children         value     : (n_node, n_class) what a leaf adds to each class
    roots     : first row of each tree
    """

    def _restore(self, state: State) -> tuple[State, tuple[NDArray[Any], ...]]:
        # copies, as numba compiles once per layout and a loaded array is read-only
        return state, tuple(np.array(state[role]) for role in ROLES)

    def _shares(self, model: Any, rows: Floats) -> Floats:
        state, trees = model
        total = np.zeros((len(rows), trees[4].shape[1]))
        kernel(_walk)(np.ascontiguousarray(self._seen(rows)), *trees, total)
        return self._judged(state, total)

    def _seen(self, rows: Floats) -> Floats:
        """The rows in the precision in which the trees were grown."""
        return rows

    @abstractmethod
    def _judged(self, state: State, total: Floats) -> Floats:
        """Probabilities from what the leaves of all trees add up to."""


@dataclass(frozen=True)
class RandomForestParams(TabularParams):
    trees: int = param(200, help="Number of trees", low=1, high=5_000)
    leaf: int = param(2, help="Labelled cells that a leaf must hold", low=1, high=100_000)
    depth: int = param(24, help="Most questions from root to leaf", low=1, high=64)


class RandomForest(TreeClassifier):
    """The mean vote of trees that each saw other rows and other features.

    Every tree is grown on a bootstrap sample and asks, at each node, the best of a random few features; a leaf
    votes with the shares of its classes.

    Good for: unlike metrics without tuning; combinations of features; some wrong labels.
    Bad for: values beyond those of training, where it stays flat; very rare classes without balanced weights.
    Answer: probabilities, the same as scikit-learn's. Cost: trees · depth per cell.

    Source: Breiman, Random Forests (Machine Learning 2001), sections 2–4.
    """

    name = "random-forest"
    source = "Breiman, Random Forests (Machine Learning 2001), sections 2–4"
    tags = Tags(needs_labels=True, stochastic=True, min_times=1, modules=("sklearn", "numba"))
    Params = RandomForestParams
    cheap = {"lags": "5", "spans": "5", "shapes": "", "trees": 30}

    def _train(self, rows: Floats, answers: Codes, on_step: OnStep | None) -> State:
        forest = self._forest()(
            min_samples_leaf=self.params.leaf,
            max_depth=self.params.depth,
            random_state=self.params.seed,
            warm_start=True,
            n_jobs=-1,
        )
        for grown in _steps(self.params.trees):
            forest.set_params(n_estimators=grown).fit(self._seen(rows), answers)
            report(self.name, on_step, "train", grown / self.params.trees, {"trees": grown})
        trees = [estimator.tree_ for estimator in forest.estimators_]
        return joined(
            {
                "feature": np.where(tree.children_left < 0, -1, tree.feature),
                "threshold": tree.threshold,
                "left": tree.children_left,
                "right": tree.children_right,
                "value": tree.value[:, 0],
            }
            for tree in trees
        )

    def _forest(self) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier

    def _seen(self, rows: Floats) -> Floats:
        return np.asarray(rows.astype(np.float32), dtype=np.float64)

    def _judged(self, state: State, total: Floats) -> Floats:
        return np.asarray(total / total.sum(axis=1, keepdims=True))


class ExtraTrees(RandomForest):
    """The mean vote of trees that see all rows and ask at random thresholds.

    Every tree is grown on all rows; at each node it draws a few features and one threshold for each, and asks the
    best of these. Smoother than a random forest, as no threshold sits right behind a row that happens to be there.

    Good for: few labels of a class. Bad for: many columns that tell nothing, which are asked as often as others.
    Answer: probabilities, the same as scikit-learn's. Cost: trees · depth per cell.

    Source: Geurts, Ernst & Wehenkel, Extremely Randomized Trees (Machine Learning 2006), section 2.
    """

    name = "extra-trees"
    source = (
        "Geurts, Ernst & Wehenkel, Extremely Randomized Trees (Machine Learning 2006), section 2"
    )

    def _forest(self) -> Any:
        from sklearn.ensemble import ExtraTreesClassifier

        return ExtraTreesClassifier


@dataclass(frozen=True)
class GradientBoostingParams(TabularParams):
    rounds: int = param(100, help="Trees of each class", low=1, high=5_000)
    rate: float = param(0.1, help="Share of each tree that is added", low=1e-4, high=1.0)
    leaves: int = param(31, help="Most leaves of a tree", low=2, high=4_096)
    leaf: int = param(20, help="Labelled cells that a leaf must hold", low=1, high=100_000)


class GradientBoosting(TreeClassifier):
    """Trees that each correct what those before them left wrong.

    Each round grows one tree per class on the gradient of the log-loss, over features binned into 255 steps.

    Good for: many labels; the sharpest borders between classes. Bad for: few or wrong labels, which it learns
    by heart; probabilities that are to be taken at their word, as they are too sure.
    Answer: probabilities, the same as scikit-learn's. Cost: rounds · classes · log(leaves) per cell.

    Source: Friedman, Greedy Function Approximation: A Gradient Boosting Machine (Annals of Statistics 2001),
    sections 4.5–4.6; binned as in Ke et al., LightGBM (NeurIPS 2017).
    """

    name = "gradient-boosting"
    source = "Friedman, Greedy Function Approximation: A Gradient Boosting Machine (2001), sections 4.5–4.6"
    tags = Tags(needs_labels=True, min_times=1, modules=("sklearn", "numba"))
    Params = GradientBoostingParams
    cheap = {"lags": "5", "spans": "5", "shapes": "", "rounds": 20}

    def _train(self, rows: Floats, answers: Codes, on_step: OnStep | None) -> State:
        from sklearn.ensemble import HistGradientBoostingClassifier

        boosted = HistGradientBoostingClassifier(
            learning_rate=self.params.rate,
            max_leaf_nodes=self.params.leaves,
            min_samples_leaf=self.params.leaf,
            random_state=self.params.seed,
            early_stopping=False,
            warm_start=True,
        )
        for grown in _steps(self.params.rounds):
            boosted.set_params(max_iter=grown).fit(rows, answers)
            report(self.name, on_step, "train", grown / self.params.rounds, {"rounds": grown})
        # scikit-learn has no public way to the trees that it grew
        grown_trees = [tree for stage in boosted._predictors for tree in enumerate(stage)]
        n_tree = len(boosted._predictors[0])
        trees = joined(
            {
                "feature": np.where(tree.nodes["is_leaf"], -1, tree.nodes["feature_idx"]),
                "threshold": tree.nodes["num_threshold"],
                "left": tree.nodes["left"],
                "right": tree.nodes["right"],
                "value": tree.nodes["value"][:, None] * np.eye(n_tree)[index],
            }
            for index, tree in grown_trees
        )
        return {**trees, "base": np.ravel(boosted._baseline_prediction)}

    def _judged(self, state: State, total: Floats) -> Floats:
        evidence = total + np.asarray(state["base"])
        # of two classes only the second has trees
        return softmax(np.pad(evidence, ((0, 0), (1, 0))) if evidence.shape[1] == 1 else evidence)


def joined(trees: Any) -> dict[str, NDArray[Any]]:
    """Trees with children by their place in the tree → one table of nodes with children by row."""
    listed: Sequence[dict[str, NDArray[Any]]] = list(trees)
    roots = np.cumsum([0, *(len(tree["feature"]) for tree in listed[:-1])])
    table = {
        role: np.concatenate([tree[role] for tree in listed])
        for role in ("feature", "threshold", "value")
    }
    for role in ("left", "right"):
        moved = [tree[role] + root for tree, root in zip(listed, roots, strict=True)]
        table[role] = np.where(table["feature"] < 0, -1, np.concatenate(moved)).astype(np.int32)
    return {**table, "feature": table["feature"].astype(np.int32), "roots": roots.astype(np.int32)}


def _steps(total: int) -> list[int]:
    return [*range(AT_ONCE, total, AT_ONCE), total]


def _walk(
    rows: Floats,
    feature: NDArray[np.int32],
    threshold: Floats,
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    value: Floats,
    roots: NDArray[np.int32],
    total: Floats,
) -> None:
    # trees outside, rows inside: one tree stays in the cache while all rows pass
    for tree in range(len(roots)):
        for row in range(len(rows)):
            node = roots[tree]
            while feature[node] >= 0:
                if rows[row, feature[node]] <= threshold[node]:
                    node = left[node]
                else:
                    node = right[node]
            for column in range(total.shape[1]):
                total[row, column] += value[node, column]
