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

PLAIN = {
    "weights": "equal",
    "lags": "",
    "spans": "",
    "shapes": "",
    "changes": "",
    "calendar": False,
    "scaling": "none",
}
"""Columns as they are: every row by itself."""
SIZE = {"extra-trees": "trees", "random-forest": "trees", "gradient-boosting": "rounds"}
"""What the number of trees is called."""
REPEATS = 20
"""How often a row of a rare class is repeated at most."""
LEAST, MOST = 0.2, 5.0
"""Temperatures that are tried."""
DOUBT = 5.0
"""How much the rows lose for each squared log of the temperature: a handful that are all right prove little."""


@dataclass(frozen=True)
class CalibratedTreesParams(Params):
    base: str = param("extra-trees", help="Which trees are grown", choices=tuple(SIZE))
    trees: int = param(200, help="Trees, or rounds of boosting", low=1, high=5_000)
    leaf: int = param(1, help="Labelled rows that a leaf must hold", low=1, high=100_000)
    folds: int = param(
        3, help="Parts of the rows that calibrate each other, 1 = none", low=1, high=20
    )
    background: int = param(
        100, help="Training rows kept to give reasons", low=1, high=10_000, unit="rows"
    )


class CalibratedTrees(Classifier):
    """Trees on single rows, their probabilities sharpened or flattened by one temperature.

    Each part of the labelled rows is judged by trees that were grown on the others. The temperature T for which
    softmax(log p / T) of those answers loses least log-likelihood is kept, drawn to 1 where rows are few; the trees in
    use are grown on all rows. Every class weighs about the same in growing; a row whose class no other part has does not calibrate.

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

        The probability minus its mean when the metric is what it was in the rows that were learned from, one by one;
        words stay as they are.
        """
        rows = np.arange(len(panel.entities))
        kept = np.asarray(self.state["background"])
        now = self.predict_proba(_rows(panel, rows))[:, 0]
        found = np.empty((*now.shape, len(panel.metrics)))
        asked = _rows(panel, np.repeat(rows, len(kept)))
        for column in range(len(panel.metrics)):
            changed = asked.values.copy()
            changed[:, 0, column] = np.tile(kept[:, column], len(rows))
            then = self.predict_proba(asked.with_values(changed))[:, 0]
            found[:, :, column] = now - then.reshape(len(rows), len(kept), -1).mean(axis=1)
        return found

    def _learn(self, panel: Panel, codes: NDArray[np.intp], on_step: OnStep | None) -> State:
        cells = np.nonzero(codes >= 0)
        rows, answers = _rows(panel, *cells), codes[cells]
        parts = self.params.folds if self.params.folds > 1 else 0
        said = progress(self.name, on_step, "trees", 0, parts + 1)
        trees = self._grown(rows, answers, said)
        rng = np.random.default_rng(self.params.seed)
        fold = _spread(answers, max(parts, 1), rng)
        judged = []
        for part in range(parts):
            asked, taught = fold == part, fold != part
            known = np.unique(answers[taught])
            asked &= np.isin(answers, known)
            said = progress(self.name, on_step, f"part {part + 1}", part + 1, parts + 1)
            if len(known) > 1 and asked.any():
                other = self._grown(_rows(rows, np.flatnonzero(taught)), answers[taught], said)
                logs = np.full((int(asked.sum()), answers.max() + 1), -np.inf)
                told = other.predict_proba(_rows(rows, np.flatnonzero(asked)))
                logs[:, known] = self._logs(told[:, 0])
                judged.append((logs, answers[asked]))
        kept = rng.permutation(len(answers))[: self.params.background]
        return {
            **above(trees.state, "trees"),
            "temperature": np.array(_temperature(judged)),
            "background": rows.values[kept, 0],
        }

    def _grown(self, rows: Panel, answers: NDArray[np.intp], on_step: OnStep | None) -> Classifier:
        """Trees on rows of which those of rare classes are repeated, so that every class weighs about the same."""
        counts = np.bincount(answers)
        times = np.clip(np.rint(counts.max() / np.maximum(counts, 1)), 1, REPEATS).astype(np.intp)
        drawn = np.repeat(np.arange(len(answers)), times[answers])
        # text that sorts like the codes
        words = np.char.zfill(answers[drawn].astype(np.str_), 6)
        return self._made().fit(_rows(rows, drawn), words[:, None], on_step)

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
        """Logs of probabilities with one more vote, shared by all classes, so that none is impossible."""
        votes = self.params.trees
        return np.asarray(np.log((shares * votes + 1.0 / shares.shape[-1]) / (votes + 1.0)))


def _rows(panel: Panel, rows: NDArray[np.intp], times: NDArray[np.intp] | int = -1) -> Panel:
    """Cells of a panel, at their last period by default, as entities of one period."""
    words = {
        name: column[rows] if column.ndim == 1 else column[rows, times]
        for name, column in panel.words.items()
    }
    entities = tuple(f"row {number}" for number in range(len(rows)))
    values = panel.values[rows, times][:, None]
    return Panel(values, entities, panel.metrics, panel.periods[-1:], words=words)


def _spread(answers: NDArray[np.intp], parts: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """A part for every row, the rows of each class spread over the parts as evenly as it goes."""
    fold = np.empty(len(answers), dtype=np.intp)
    shuffled = rng.permutation(len(answers))
    fold[shuffled[np.argsort(answers[shuffled], kind="stable")]] = np.arange(len(answers)) % parts
    return fold


def _temperature(judged: list[tuple[Floats, NDArray[np.intp]]]) -> float:
    """The temperature that loses least log-likelihood, 1 where nothing could be judged."""
    if not judged:
        return 1.0
    logs = np.concatenate([found for found, _ in judged])
    answers = np.concatenate([right for _, right in judged])

    def lost(power: float) -> float:
        told = log_softmax(logs / np.exp(power), axis=1)
        return DOUBT * power**2 - float(told[np.arange(len(answers)), answers].sum())

    return float(
        np.exp(minimize_scalar(lost, bounds=tuple(np.log([LEAST, MOST])), method="bounded").x)
    )
