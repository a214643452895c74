from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from core.classifiers.calibrated import REPEATS, CalibratedTrees, CalibratedTreesParams
from core.classifiers.trees import ExtraTrees
from core.contracts import Panel, Periods
from core.rootcause.case_features import table

SMALL = CalibratedTreesParams(trees=40)


def rows(n: int, seed: int = 0, noise: float = 0.3) -> tuple[Panel, np.ndarray]:
    """n rows of four columns; the first two decide between three classes, in part by chance."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 4))
    lean = values[:, :2] + noise * rng.normal(size=(n, 2))
    classes = np.where(lean[:, 0] > 0.5, "high", np.where(lean[:, 1] > 0, "left", "right"))
    names = ("a", "b", "c", "d")
    described = [dict(zip(names, one, strict=True)) for one in values.tolist()]
    return table(described, names), classes[:, None]


def test_extra_trees_are_those_of_scikit_learn() -> None:
    panel, classes = rows(80)
    plain = {"lags": "", "spans": "", "shapes": "", "changes": "", "calendar": False}
    chosen = {**plain, "scaling": "none", "weights": "equal", "trees": 30, "leaf": 1, "depth": 24}
    ours = ExtraTrees(ExtraTrees.Params.of(chosen)).fit(panel, classes)
    seen = panel.values[:, 0].astype(np.float32)
    theirs = ExtraTreesClassifier(30, max_depth=24, random_state=0).fit(seen, classes[:, 0])
    assert np.allclose(ours.predict_proba(panel)[:, 0], theirs.predict_proba(seen))


@pytest.mark.parametrize("base", ["extra-trees", "random-forest", "gradient-boosting"])
def test_probabilities_are_nearer_to_the_truth_than_those_of_bare_trees(base: str) -> None:
    panel, classes = rows(150, noise=0.8)
    fresh, truth = rows(2_000, seed=1, noise=0.8)

    def lost(folds: int) -> float:
        params = CalibratedTreesParams(base=base, trees=40, folds=folds)
        trees = CalibratedTrees(params).fit(panel, classes)
        shares = trees.predict_proba(fresh)[:, 0]
        place = np.searchsorted(trees.classes, truth[:, 0])
        return -float(np.log(shares[np.arange(len(place)), place]).mean())

    assert lost(3) < lost(1)


def test_a_rare_class_weighs_as_much_as_a_common_one() -> None:
    rng = np.random.default_rng(0)
    common, rare = rng.normal(0, 1, (60, 1)), rng.normal(2, 1, (4, 1))
    described = [{"x": float(value)} for value in np.concatenate([common, rare])[:, 0]]
    labels = np.array(["common"] * 60 + ["rare"] * 4)[:, None]
    trees = CalibratedTrees(CalibratedTreesParams(trees=60, leaf=REPEATS)).fit(
        table(described, ["x"]), labels
    )
    middle = trees.predict_proba(table([{"x": 2.0}], ["x"]))[0, 0]
    assert middle[trees.classes.index("rare")] > 0.5


def test_reasons_name_the_columns_that_decide() -> None:
    panel, classes = rows(200, noise=0.0)
    trees = CalibratedTrees(SMALL).fit(panel, classes)
    reasons = trees.reasons(panel)
    assert reasons.shape == (200, 3, 4)
    weight = np.abs(reasons).mean(axis=(0, 1))
    assert weight[:2].min() > 5 * weight[2:].max()
    high = trees.classes.index("high")
    far = panel.values[:, 0, 0].argmax()
    # the first column alone makes it "high", and so speaks against the others
    assert reasons[far, high, 0] > 0.3
    assert (np.delete(reasons[far, :, 0], high) < 0).all()


def test_a_class_of_one_row_is_learned_and_does_not_calibrate() -> None:
    panel, classes = rows(30)
    classes[0] = "alone"
    trees = CalibratedTrees(SMALL).fit(panel, classes)
    shares = trees.predict_proba(panel)
    assert trees.classes[int(shares[0, 0].argmax())] == "alone"
    assert np.isfinite(shares).all()


def test_rows_without_a_label_teach_nothing() -> None:
    panel, classes = rows(60)
    extended = Panel(
        np.concatenate([panel.values, panel.values[:5] * 0 + 99.0]),
        tuple(f"row {number}" for number in range(65)),
        panel.metrics,
        Periods(panel.periods.labels, panel.periods.step),
    )
    blank = np.concatenate([classes, np.full((5, 1), "")])
    one, other = (
        CalibratedTrees(SMALL).fit(*taught).predict_proba(panel)
        for taught in ((panel, classes), (extended, blank))
    )
    assert np.array_equal(one, other)
