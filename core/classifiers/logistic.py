"""Logistic regression over the feature table."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.classifiers.tabular import Codes, TabularClassifier, TabularParams, softmax
from core.contracts import Floats, OnStep, State, param


@dataclass(frozen=True)
class LogisticParams(TabularParams):
    strength: float = param(
        1.0, help="Inverse of the penalty on large coefficients", low=1e-6, high=1e6
    )
    steps: int = param(500, help="Most steps of the solver", low=1, high=100_000)
    categories: str = param(
        "one-hot",
        help="Words as one column of 0 and 1 each, or one of codes, whose order then counts",
        choices=("one-hot", "code"),
    )


class Logistic(TabularClassifier):
    """The class probabilities as a weighted sum of the features, with weights that anybody can read.

    Multinomial logistic regression with a quadratic penalty: each class has a coefficient per robustly scaled
    feature, and the probabilities are the softmax of the sums.

    Good for: few labels; classes that differ in the level of some features; an answer that can be checked.
    Bad for: classes that only combinations of features tell apart, unless `products` and `ratios` name them.
    Answer: probabilities. Cost: one product of features and coefficients per cell.

    Source: Hastie, Tibshirani & Friedman, The Elements of Statistical Learning (2nd ed., 2009), section 4.4;
    the coefficients are those of scikit-learn's LogisticRegression.
    """

    name = "logistic"
    source = (
        "Hastie, Tibshirani & Friedman, The Elements of Statistical Learning (2009), section 4.4"
    )
    Params = LogisticParams
    cheap = {"lags": "5", "spans": "5", "shapes": ""}

    def _train(self, rows: Floats, answers: Codes, on_step: OnStep | None) -> State:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=self.params.strength, max_iter=self.params.steps)
        with warnings.catch_warnings():
            # coefficients of a solver that ran out of steps are still the best so far
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(rows, answers)
        slope, level = model.coef_, model.intercept_
        if len(slope) == 1:
            # of two classes the first is the one that all evidence is against
            slope, level = np.vstack([0 * slope, slope]), np.append(0.0, level)
        return {"slope": slope, "level": level}

    def _restore(self, state: State) -> tuple[Floats, Floats]:
        # one layout for what was learned and what was loaded, as sums follow it
        return np.ascontiguousarray(state["slope"]), np.ascontiguousarray(state["level"])

    def _shares(self, model: Any, rows: Floats) -> Floats:
        slope, level = model
        # not BLAS, which rounds a row otherwise as its neighbours and threads change
        return softmax(np.einsum("rf,cf->rc", rows, slope) + level)
