"""What the classifiers of feature tables share: labelled cells become rows, rows become probabilities."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from core.contracts import Classifier, Floats, OnStep, Panel, State, Tags, param, report
from core.errors import NotEnoughDataError
from core.features.table import FeatureParams, FeatureTable

Codes = NDArray[np.intp]
BLOCK = 100_000
"""Cells whose features are in memory at once when classes are asked for."""


@dataclass(frozen=True)
class TabularParams(FeatureParams):
    weights: str = param(
        "balanced",
        help="Every class counts the same however rare it is, or every row does",
        choices=("balanced", "equal"),
    )
    pool: int = param(
        200_000, help="Labelled cells that are learned from, drawn at random", low=10, high=10**8
    )


class TabularClassifier(Classifier):
    """Labelled cells as rows of a feature table, which is fitted on them alone and saved with the model.

    A cell whose row is dropped for a gap (`missing="drop"`) gets the shares that the classes had in training.
    Balanced weights divide each probability by the share of its class in training, which is what training with
    classes of equal size gives (Elkan, The Foundations of Cost-Sensitive Learning, IJCAI 2001, theorem 2).
    """

    tags: ClassVar[Tags] = Tags(needs_labels=True, min_times=1, modules=("sklearn",))
    Params = TabularParams

    def _learn(self, panel: Panel, codes: Codes, on_step: OnStep | None) -> State:
        taught = np.flatnonzero((codes >= 0).any(axis=1))
        panel, codes = panel.select(entities=[panel.entities[row] for row in taught]), codes[taught]
        labelled = codes >= 0
        table = FeatureTable.fit(panel, self.params, rows=labelled)
        features = table.transform(panel)
        used = np.flatnonzero(labelled & features.kept)
        if len(used) > self.params.pool:
            rng = np.random.default_rng(self.params.seed)
            used = rng.choice(used, self.params.pool, replace=False, shuffle=False)
        answers = codes.ravel()[used]
        counts = np.bincount(answers, minlength=codes.max() + 1)
        if (counts == 0).any():
            rule = "at least 1 in every class"
            raise NotEnoughDataError.of(self.name, "rows without a gap", rule, int(counts.min()))
        rows = features.values.reshape(-1, features.values.shape[2])[used]
        report(self.name, on_step, "features", 1.0, {"rows": len(used)})
        own = {f"features.{role}": value for role, value in table.state.items()}
        return {**own, "counts": counts, **self._train(rows, answers, on_step)}

    def _open(self, state: State) -> Any:
        own = {role: state[f"features.{role}"] for role in ("schema", "centre", "spread")}
        counts = np.asarray(state["counts"], dtype=np.float64)
        lift = 1.0 / counts if self.params.weights == "balanced" else np.ones_like(counts)
        return FeatureTable.of(own), counts, lift, self._restore(state)

    def _predict_proba(self, scorer: Any, panel: Panel) -> Floats:
        table, counts, lift, model = scorer
        shares = np.empty((*panel.values.shape[:2], len(counts)))
        step = max(1, BLOCK // max(len(panel.periods), 1))
        for start in range(0, len(panel.entities), step):
            features = table.transform(panel.select(entities=panel.entities[start : start + step]))
            rows = features.values.reshape(-1, features.values.shape[2])
            answer = self._shares(model, rows).reshape(*features.kept.shape, len(counts))
            known = np.where(features.kept[:, :, None], answer, counts / counts.sum())
            shares[start : start + step] = known * lift
        return np.asarray(shares / shares.sum(axis=2, keepdims=True))

    @abstractmethod
    def _train(self, rows: Floats, answers: Codes, on_step: OnStep | None) -> State:
        """Learn rows (n_row, n_feature) with a class each; return the state."""

    @abstractmethod
    def _restore(self, state: State) -> Any:
        """What `_shares` needs, from the state."""

    @abstractmethod
    def _shares(self, model: Any, rows: Floats) -> Floats:
        """(n_row, n_class) probabilities, each row by itself."""


def softmax(evidence: Floats) -> Floats:
    """(n_row, n_class) of any numbers → probabilities."""
    likely = np.exp(evidence - evidence.max(axis=1, keepdims=True))
    return np.asarray(likely / likely.sum(axis=1, keepdims=True))
