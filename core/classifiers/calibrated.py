"""`calibrated-trees`: a forest or boosted trees whose probabilities can be taken at their word, with reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from core.contracts import Classifier, Floats, OnStep, Panel, Params, State, Tags, param
from core.parts import above, from_catalog, progress, under

PLAIN = {"lags": "", "spans": "", "shapes": "", "changes": "", "calendar": False, "scaling": "none"}
"""Columns as they are: every row by itself."""
SIZE = {"random-forest": "trees", "gradient-boosting": "rounds"}
"""What the number of trees is called."""
LEAST, MOST = 0.2, 5.0
"""Temperatures that are tried."""


@dataclass(frozen=True)
class CalibratedTreesParams(Params):
    base: str = param("random-forest", help="Which trees are grown", choices=tuple(SIZE))
    trees: int = param(200, help="Trees, or rounds of boosting", low=1, high=5_000)
    leaf: int = param(1, help="Labelled rows that a leaf must hold", low=1, high=100_000)
    folds: int = param(3, help="Parts of the rows that calibrate each other", low=2, high=20)
    background: int = param(
        100, help="Training rows kept to give reasons", low=1, high=10_000, unit="rows"
    )


class CalibratedTrees(Classifier):
    """Trees on single rows, their probabilities sharpened or flattened by one temperature.

    Each part of the labelled rows is judged by trees that were grown on the others. The temperature T for which
    softmax(log p / T) of those answers loses least log-likelihood is kept; the trees in use are grown on all rows.
    Where a class has fewer rows than there are parts, a part may lack it, and its rows do not calibrate.

    Good for: a few labels of a class and many columns; saying why. Bad for: time series, as every row stands alone.
    Answer: probabilities. Cost: trees · depth per row; growing them folds + 1 times.

    Source: Guo et al., On Calibration of Modern Neural Networks (ICML 2017), section 4.2 (temperature scaling);
    Robnik-Šikonja & Kononenko, Explaining Classifications for Individual Instances (TKDE 2008), for the reasons.
    """

    name = "calibrated-trees"
    source = "Guo et al., On Calibration of Modern Neural Networks (ICML 2017), section 4.2"
    tags = Tags(needs_labels=True, stochastic=True, min_times=1, modules=("sklearn", "numba"))
    Params = CalibratedTreesParams
    cheap = {"trees": 30}

    def reasons(self, panel: Panel) -> Floats:
        """(n_entity, n_class, n_metric) how much each metric adds to each probability, at the last period.

        The probability minus its mean when the metric is what it was in the rows that were learned from, one by one.
        """
        rows = panel.values[:, -1]
        kept = np.asarray(self.state["background"])
        now = self._ask(rows, panel)
        found = np.empty((*now.shape, rows.shape[1]))
        for column in range(rows.shape[1]):
            changed = np.repeat(rows, len(kept), axis=0)
            changed[:, column] = np.tile(kept[:, column], len(rows))
            then = self._ask(changed, panel).reshape(len(rows), len(kept), -1).mean(axis=1)
            found[:, :, column] = now - then
        return found

    def _ask(self, rows: Floats, like: Panel) -> Floats:
        entities = tuple(f"row {number}" for number in range(len(rows)))
        asked = Panel(rows[:, None], entities, like.metrics, like.periods[-1:])
        return self.predict_proba(asked)[:, 0]

    def _learn(self, panel: Panel, codes: NDArray[np.intp], on_step: OnStep | None) -> State:
        labels = _words(codes)
        labelled = np.argwhere(codes >= 0)
        parts = self.params.folds + 1
        trees = self._made().fit(panel, labels, progress(self.name, on_step, "trees", 0, parts))
        rng = np.random.default_rng(self.params.seed)
        fold = np.empty(len(labelled), dtype=np.intp)
        answers = codes[tuple(labelled.T)]
        for answer in np.unique(answers):
            held = rng.permutation(np.flatnonzero(answers == answer))
            fold[held] = (np.arange(len(held)) + rng.integers(parts - 1)) % (parts - 1)
        evidence, right = [], []
        for part in range(parts - 1):
            inside, others = labelled[fold == part], labelled[fold != part]
            taught = np.full(codes.shape, -1, dtype=np.intp)
            taught[tuple(others.T)] = codes[tuple(others.T)]
            known = np.unique(codes[tuple(others.T)])
            asked = inside[np.isin(codes[tuple(inside.T)], known)]
            if len(known) < 2 or not len(asked):
                continue
            said = progress(self.name, on_step, f"part {part + 1}", part + 1, parts)
            other = self._made().fit(panel, _words(taught), said)
            logs = self._logs(other.predict_proba(panel)[tuple(asked.T)])
            full = np.full((len(asked), codes.max() + 1), -np.inf)
            full[:, known] = logs
            evidence.append(full)
            right.append(codes[tuple(asked.T)])
        kept = labelled if len(labelled) <= self.params.background else rng.permutation(labelled)
        kept = kept[: self.params.background]
        return {
            **above(trees.state, "trees"),
            "temperature": np.array(_temperature(evidence, right)),
            "background": np.nan_to_num(panel.values[tuple(kept.T)]),
        }

    def _open(self, state: State) -> Any:
        return self._made(under(state, "trees")), float(np.asarray(state["temperature"]))

    def _predict_proba(self, scorer: Any, panel: Panel) -> Floats:
        trees, temperature = scorer
        shares = softmax(self._logs(trees.predict_proba(panel)) / temperature, axis=-1)
        return np.asarray(shares)

    def _made(self, state: State | None = None) -> Classifier:
        p = self.params
        chosen = {**PLAIN, SIZE[p.base]: p.trees, "leaf": p.leaf, "seed": p.seed}
        made: Classifier = from_catalog(self.name, "classifier", p.base, chosen, state)
        return made

    def _logs(self, shares: Floats) -> Floats:
        """Logs of probabilities with one more vote for every class, so that none is impossible."""
        votes = self.params.trees
        return np.asarray(np.log((shares * votes + 1.0 / shares.shape[-1]) / (votes + 1.0)))


def _words(codes: NDArray[np.intp]) -> NDArray[np.str_]:
    """Classes as text that sorts like their codes, "" where nobody said."""
    return np.where(codes >= 0, np.char.zfill(codes.astype(np.str_), 6), "")


def _temperature(evidence: list[Floats], right: list[NDArray[np.intp]]) -> float:
    """The temperature that loses least log-likelihood, 1 where nothing could be judged."""
    if not evidence:
        return 1.0
    logs, answers = np.concatenate(evidence), np.concatenate(right)

    def lost(power: float) -> float:
        told = log_softmax(logs / np.exp(power), axis=1)
        return -float(told[np.arange(len(answers)), answers].mean())

    return float(
        np.exp(minimize_scalar(lost, bounds=tuple(np.log([LEAST, MOST])), method="bounded").x)
    )
