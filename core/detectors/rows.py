"""What every detector on rows shares: a panel becomes rows, one per entity and period, and rows are judged one by one."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from core.contracts import Bools, Detector, Floats, OnStep, Panel, Params, State, Tags, param
from core.errors import NotEnoughDataError
from core.features.period import period
from core.features.scaling import Scale
from core.features.windows import windows

CELLS, ROWS = 4_000_000, 4_096
"""Numbers, and rows, that are judged at once: 32 MB, and as much again for what is compared with them."""
SHARE = 4
"""A window that is chosen automatically takes at most one part in so many of the periods."""


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
    median over all entities; a missing value counts as expected. A window of one period makes it the plain
    table that most of these methods were made for.

    Rows of periods that were not observed are not learned from, nor are those that reach back before the
    first period, as long as there are others.

    A subclass writes `_learn` and `_judge`, and `_ready` where opening what was learned is work.
    """

    tags = Tags(stochastic=True, min_times=1, modules=("sklearn",))
    Params = RowParams
    cheap = {"pool": 500}
    reach: ClassVar[float] = np.inf
    """Robust standard deviations beyond which one value is as odd as another."""

    @abstractmethod
    def _learn(self, rows: Floats) -> State:
        """Learn from (n_row, n_column), at least 2 rows."""

    def _ready(self, state: State) -> Any:
        """What `_judge` needs."""
        return state

    @abstractmethod
    def _judge(self, scorer: Any, rows: Floats) -> Floats:
        """(n_row, n_column) → (n_row,), each row by itself."""

    def _fit(self, panel: Panel, labels: Bools | None, on_step: OnStep | None) -> State:
        scale = Scale.learn(panel.values)
        length = self.params.window or _length(panel)
        values, padded = self._windows(scale, panel, length)
        known = ~np.isnan(values[:, :, -1]).all(axis=-1) & ~padded[:, :, -1]
        whole = known & ~padded.any(axis=-1)
        at = np.argwhere(whole if np.count_nonzero(whole) > 1 else known)
        if len(at) < 2:
            raise NotEnoughDataError.of(self.name, "observed rows", "at least 2", len(at))
        if len(at) > self.params.pool:
            rng = np.random.default_rng(self.params.seed)
            at = at[np.sort(rng.choice(len(at), self.params.pool, replace=False, shuffle=False))]
        learned = self._learn(_rows(values, padded, at))
        return {**scale.state, "window": np.array(length), **learned}

    def _open(self, state: State) -> tuple[Scale, int, Any]:
        return Scale.of(state), int(np.asarray(state["window"])), self._ready(state)

    def _score(self, scorer: Any, panel: Panel) -> Floats:
        return self._score_last(scorer, panel, len(panel.periods))

    def _score_last(self, scorer: Any, panel: Panel, last: int) -> Floats:
        scale, length, learned = scorer
        values, padded = self._windows(scale, panel, length)
        n_entity, n_time = values.shape[:2]
        ends = np.arange(n_time - last, n_time)
        if self.params.align == "centre":
            # half a window ahead; both ends get the score of the nearest whole window
            ends = np.clip(ends + (length - 1) // 2, min(length, n_time) - 1, n_time - 1)
        asked = np.arange(ends[0], ends[-1] + 1)
        at = np.column_stack([np.repeat(np.arange(n_entity), len(asked)), np.tile(asked, n_entity)])
        step = min(ROWS, max(1, CELLS // (length * values.shape[-1])))
        parts = [
            self._judge(learned, _rows(values, padded, at[start : start + step]))
            for start in range(0, len(at), step)
        ]
        scores = np.concatenate(parts).reshape(n_entity, len(asked))
        return scores[:, ends - ends[0]]

    def _windows(self, scale: Scale, panel: Panel, length: int) -> tuple[Floats, Bools]:
        """Views of the standardised windows (n_entity, n_time, length, n_metric), NaN where missing, and of the padding."""
        values = (panel.values - scale.centre) / scale.spread
        return windows(panel.with_values(np.clip(values, -self.reach, self.reach)), length)


def _rows(values: Floats, padded: Bools, at: NDArray[np.intp]) -> Floats:
    """The windows of (entity, time) pairs as rows, oldest period first, 0 where missing."""
    entity, time = at.T
    rows: Floats = values[entity, time].reshape(len(at), -1)
    # before the first observed period there is nothing but values that came later
    rows[padded[entity, time, -1]] = 0.0
    rows[np.isnan(rows)] = 0.0
    return rows


def _length(panel: Panel) -> int:
    """The period of a single metric, averaged over the entities; 1 for several metrics."""
    n_time = len(panel.periods)
    if len(panel.metrics) > 1:
        return 1
    known = ~np.isnan(panel.values[:, :, 0])
    total = np.nansum(panel.values[:, :, 0], axis=0)
    count = known.sum(axis=0)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return min(period(mean), max(1, n_time // SHARE))
