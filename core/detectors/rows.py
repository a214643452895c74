"""What every detector on rows shares: a panel becomes rows, one per entity and period, and rows are judged one by one."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from core.contracts import Bools, Detector, Floats, OnStep, Panel, Params, State, Tags, param
from core.errors import NotEnoughDataError
from core.features.period import usual_window
from core.features.scaling import Scale
from core.features.windows import windows

CELLS, ROWS = 4_000_000, 4_096
"""Numbers, and rows, that are judged at once: 32 MB, and as much again for what is compared with them."""
ENOUGH = 1_000
"""Learned rows whose scores tell what is usual."""


@dataclass(frozen=True)
class RowParams(Params):
    window: int = param(
        0,
        help="Periods in one row; 0 = the period found in a single metric, 1 for several metrics",
        low=0,
        high=10_000,
        unit="periods",
    )
    align: str = param(
        "trailing",
        help="Judge a period by the row that ends there (causal), or by the one around it (looks ahead)",
        choices=("trailing", "centre"),
    )
    pool: int = param(
        20_000, help="Rows that it learns from at most, drawn at random", low=8, high=5_000_000
    )


class RowDetector(Detector):
    """Base of the detectors that judge rows, with no memory of the row before.

    A row is the last `window` periods of an entity, every metric in robust standard deviations from its
    median over all entities; a missing value counts as expected. Beyond `reach` a value counts by its
    logarithm (reach · arsinh(value / reach)), lest one wild column drown all others. A window of one period
    makes it the plain table that most of these methods were made for.

    A row that reaches back before its entity's first observed period is neither learned nor judged: it gets
    the median score of the learned rows. Nor is a row learned that ends in an unobserved period.

    A subclass writes `_learn` and `_judge`, and `_ready` where opening what was learned is work.
    """

    tags = Tags(stochastic=True, min_times=1, modules=("sklearn",))
    Params = RowParams
    cheap = {"pool": 500}
    reach: ClassVar[float] = 2.0
    """Robust standard deviations up to which a value counts nearly as it is; ∞ = however large."""

    @abstractmethod
    def _learn(self, rows: Floats) -> State:
        """Learn from (n_row, n_column), at least 2 rows."""

    def _taught(self, rows: Floats, on_step: OnStep | None) -> State:
        """`_learn`; overridden by those that learn in steps and tell of each."""
        return self._learn(rows)

    def _ready(self, state: State) -> Any:
        """What `_judge` needs."""
        return state

    @abstractmethod
    def _judge(self, scorer: Any, rows: Floats) -> Floats:
        """(n_row, n_column) → (n_row,), each row by itself."""

    def _fit(self, panel: Panel, labels: Bools | None, on_step: OnStep | None) -> State:
        scale = Scale.learn(panel.values)
        length = self.params.window or (
            usual_window(panel.values[:, :, 0]) if len(panel.metrics) == 1 else 1
        )
        values, padded = self._windows(scale, panel, length)
        at = np.argwhere(~padded.any(axis=-1) & ~np.isnan(values[:, :, -1]).all(axis=-1))
        if len(at) < 2:
            raise NotEnoughDataError.of(
                self.name,
                f"observed rows of {length} periods",
                "at least 2",
                len(at),
                "Set a shorter window.",
            )
        if len(at) > self.params.pool:
            rng = np.random.default_rng(self.params.seed)
            at = at[np.sort(rng.choice(len(at), self.params.pool, replace=False, shuffle=False))]
        rows = _rows(values, at)
        learned = self._taught(rows, on_step)
        some = rows[:: len(rows) // ENOUGH + 1]
        usual = np.array(np.median(self._judge(self._ready(learned), some)))
        return {**scale.state, "window": np.array(length), "usual": usual, **learned}

    def _open(self, state: State) -> tuple[Scale, int, float, Any]:
        length, usual = int(np.asarray(state["window"])), float(np.asarray(state["usual"]))
        return Scale.of(state), length, usual, self._ready(state)

    def _score(self, scorer: Any, panel: Panel) -> Floats:
        return self._score_last(scorer, panel, len(panel.periods))

    def _score_last(self, scorer: Any, panel: Panel, last: int) -> Floats:
        scale, length, usual, learned = scorer
        values, padded = self._windows(scale, panel, length)
        n_entity, n_time = values.shape[:2]
        ends = np.arange(n_time - last, n_time)
        if self.params.align == "centre":
            # half a window ahead; both ends get the score of the nearest whole window
            ends = np.clip(ends + (length - 1) // 2, min(length, n_time) - 1, n_time - 1)
        first, after = ends[0], ends[-1] + 1
        scores = np.full((n_entity, after - first), usual)
        at = np.argwhere(~padded[:, first:after].any(axis=-1))
        at[:, 1] += first
        step = min(ROWS, max(1, CELLS // (length * values.shape[-1])))
        for start in range(0, len(at), step):
            some = at[start : start + step]
            scores[some[:, 0], some[:, 1] - first] = self._judge(learned, _rows(values, some))
        return scores[:, ends - first]

    def _windows(self, scale: Scale, panel: Panel, length: int) -> tuple[Floats, Bools]:
        """Views of the standardised windows (n_entity, n_time, length, n_metric), NaN where missing, and of the padding."""
        values = (panel.values - scale.centre) / scale.spread
        if np.isfinite(self.reach):
            values = self.reach * np.arcsinh(values / self.reach)
        return windows(panel.with_values(values), length)


def _rows(values: Floats, at: NDArray[np.intp]) -> Floats:
    """The windows of (entity, time) pairs as rows, oldest period first, 0 where missing."""
    rows: Floats = values[at[:, 0], at[:, 1]].reshape(len(at), -1)
    rows[np.isnan(rows)] = 0.0
    return rows
