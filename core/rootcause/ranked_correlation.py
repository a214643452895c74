"""`ranked-correlation`: the odd node that moves most like the alarm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from core.cases import Case, Cause, Localizer
from core.contracts import Floats, Params, Tags, param
from core.errors import InvalidInputError
from core.rootcause.surprise import causes, surprise

SMALL = 1e-3
"""Largest part of the deviation in a score, too small to decide but between equals."""
TINY = 1e-15


@dataclass(frozen=True)
class RankedCorrelationParams(Params):
    odd: float = param(
        0.0,
        help="Deviation from which a node is a candidate",
        low=0.0,
        high=50.0,
        unit="robust sd",
    )
    least: int = param(3, help="Periods that two series must share", low=3, high=10_000)


class RankedCorrelation(Localizer):
    """Ranks nodes by how surely they move with the alarm while it lasts.

    Needs normal periods and at least three seen periods. Good for: one metric that every node reports and that trouble
    is passed on in. Bad for: roots that show in other metrics than the alarm; effects of the same root, which move
    alike. Score: −log10 of the correlation's p-value, and a little of the deviation. Cost: one correlation per node.
    """

    name = "ranked-correlation"
    source = "Hardt et al., PetShop, CLeaR 2024, ranked correlation (Pearson, abnormal periods, by p-value)"
    tags = Tags(trained=False)
    works_on = ("metrics",)
    Params = RankedCorrelationParams

    def _find(self, scorer: Any, case: Case) -> list[Cause]:
        p: RankedCorrelationParams = self.params
        if case.panel is None:
            raise InvalidInputError.of(self.name, "the case", "one with a panel", case.kind)
        panel, found = case.panel, surprise(case)
        seeds = set(case.seeds)
        odd = [
            node
            for node, strength in zip(found.nodes, found.strength.tolist(), strict=True)
            if strength > 0 and strength >= p.odd and node not in seeds
        ]
        targets = [node for node in case.seeds if node in panel.row_of]
        if not (odd and targets):
            return []
        named = case.alarm.metric in panel.metrics
        metrics = [case.alarm.metric] if named else panel.metrics
        moved = panel.select(entities=odd, metrics=metrics).values
        alarmed = panel.select(entities=targets, metrics=metrics).values
        sure = np.zeros(len(odd))
        for series in np.moveaxis(alarmed, 1, 2).reshape(-1, alarmed.shape[1]):
            if np.isfinite(series).sum() >= p.least:
                together = _sureness(np.moveaxis(moved, 1, 2), series, p.least)
                sure = np.maximum(sure, together.max(axis=1))
        # a correlation of few periods is often tied: the stronger deviation goes first
        size = found.strength[[found.row_of[node] for node in odd]]
        tie = SMALL * size / size.max()
        terms = {
            node: {"correlation": own, "deviation": rest}
            for node, own, rest in zip(odd, sure.tolist(), tie.tolist(), strict=True)
        }
        return causes(case, found, terms)


def _sureness(moved: Floats, series: Floats, least: int) -> Floats:
    """−log10 of the two-sided p-value of Pearson's r between series (…, n_time) and one (n_time,); 0 where too short."""
    both = np.isfinite(moved) & np.isfinite(series)
    n = both.sum(axis=-1)
    left, right = (np.where(both, values, 0.0) for values in (moved, series))
    many = np.maximum(n, 1)[..., None]
    left = np.where(both, left - left.sum(axis=-1, keepdims=True) / many, 0.0)
    right = np.where(both, right - right.sum(axis=-1, keepdims=True) / many, 0.0)
    spread = np.sqrt((left**2).sum(axis=-1) * (right**2).sum(axis=-1))
    moving = (spread > 0) & (n >= least)
    r = np.where(moving, (left * right).sum(axis=-1) / np.where(moving, spread, 1.0), 0.0)
    free = np.maximum(n - 2, 1)
    t = np.abs(r) * np.sqrt(free / np.maximum(1.0 - r**2, TINY))
    return np.asarray(-np.log10(np.maximum(2.0 * special.stdtr(free, -t), TINY)))
