"""Rows of many entities against each other: each entity's period is one row of its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.contracts import Floats, Panel, State
from core.ensembles.surprise import together
from core.features.scaling import Scale
from core.parts import above, under
from core.threshold import Threshold

REACH = 12.0
"""Robust standard deviations beyond which one value is as odd as another."""
LEARNED, RANK = 2_000, 5
"""Rows that others are compared with, evenly picked, and which of the nearest counts."""
ROWS = 1_024
"""Rows compared at once."""


def learn(panel: Panel) -> State:
    """Scale of the metrics, rows to compare with, and what the scores of learned rows mean."""
    scale = Scale.learn(panel.values)
    table = scale.apply(panel.values, REACH)[np.isfinite(panel.values).any(axis=2)]
    picked = np.unique(np.linspace(0, max(len(table) - 1, 0), LEARNED).astype(int))
    learned = table[picked] if len(table) else table
    state: dict[str, Any] = {**scale.state, "learned": learned}
    # a learned row is its own nearest: it must look one further
    for name, scores in _scores(table, learned, RANK + 1).items():
        state |= above(Threshold.fit(scores).to_state(), name)
    return state


def parts(panel: Panel, state: State) -> dict[str, Floats]:
    """Surprise of each part, (n_entity, n_time).

    value      : the metric furthest from its median
    neighbours : distance to the 5th nearest learned row
    """
    rows = Scale.of(state).apply(panel.values, REACH)
    seen = np.isfinite(panel.values).any(axis=2)
    scores = _scores(rows.reshape(-1, rows.shape[-1]), np.asarray(state["learned"]), RANK)
    surprises = {}
    for name, values in scores.items():
        threshold = Threshold.from_state(under(state, name))
        decades = -np.log10(threshold.p_values(values)).reshape(seen.shape)
        surprises[name] = np.where(seen, decades, 0.0) + 0.0
    return surprises


def agreement(surprises: Mapping[str, Floats]) -> Floats:
    """The parts as one surprise."""
    return together(surprises)


def _scores(rows: Floats, learned: Floats, rank: int) -> dict[str, Floats]:
    near = np.zeros(len(rows))
    nth = min(rank, len(learned)) - 1
    squares = (learned**2).sum(axis=1)
    for start in range(0, len(rows) if nth >= 0 else 0, ROWS):
        some = rows[start : start + ROWS]
        apart = (some**2).sum(axis=1)[:, None] + squares - 2.0 * some @ learned.T
        near[start : start + ROWS] = np.sqrt(np.maximum(np.partition(apart, nth)[:, nth], 0.0))
    return {"value": np.abs(rows).max(axis=1, initial=0.0), "neighbours": near}
