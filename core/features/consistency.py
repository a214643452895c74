"""Do the levels of one day tell the same story? A file cut short shows as children that miss impressions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.cases import Graph
from core.contracts import Bools, Panel

TOLERANCE = 0.03
"""Share by which two reports of the same day may differ before one of them counts as short."""
FEW = 50.0
"""Impressions below which a difference says nothing."""


def inconsistent_days(panel: Panel, graph: Graph, metric: str = "impressions") -> Bools:
    """(n_entity, n_time) True where an entity's figures come from a report that was delivered in part.

    A node's own figure is compared with the sum of its children, level by level. Where the children fall
    short, they and everything below them are marked; where the node falls short, it and everything
    above it, which is summed from it. Such days are data problems, not anomalies, and should not teach.
    Where a node or any child of it has no figure at all there is nothing to compare.
    """
    row_of = panel.row_of
    pairs = [
        (row_of[parent], row_of[child], f"{graph.level(parent)}>{graph.level(child)}")
        for parent, child in graph.net.edges
        if parent in row_of and child in row_of
    ]
    wrong = np.zeros(panel.values.shape[:2], dtype=bool)
    if not pairs:
        return wrong
    parents, children = (np.array([pair[side] for pair in pairs], dtype=np.intp) for side in (0, 1))
    _, kinds = np.unique(np.array([pair[2] for pair in pairs]), return_inverse=True)

    own = panel.metric(metric)
    low_children, low_parents = np.zeros_like(wrong), np.zeros_like(wrong)
    for kind in range(int(kinds.max()) + 1):
        up, down = parents[kinds == kind], children[kinds == kind]
        below = np.zeros_like(own)
        # days that are missing altogether make the sum NaN, and comparisons with NaN are False
        np.add.at(below, up, own[down])
        told = np.isin(np.arange(len(own)), up)[:, None] & (np.maximum(own, below) >= FEW)
        children_short = told & (below < (1.0 - TOLERANCE) * own)
        low_children[down] |= children_short[up]
        low_parents |= told & (own < (1.0 - TOLERANCE) * below)
    _spread(low_children, parents, children)
    _spread(low_parents, children, parents)
    return low_children | low_parents


def _spread(marks: Bools, sources: NDArray[np.intp], targets: NDArray[np.intp]) -> None:
    """Carry marks along the edges until none is new."""
    while True:
        before = int(marks.sum())
        np.logical_or.at(marks, targets, marks[sources])
        if int(marks.sum()) == before:
            return
