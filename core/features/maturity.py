"""How much of a day's final figures is known at a given age: sales arrive for weeks after the click."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.isotonic import isotonic_regression

from core.contracts import Floats, Panel
from core.errors import InvalidInputError

PRIOR = 0.1
"""A group's own curve counts half when its volume is this share of the median group's."""


@dataclass(frozen=True, eq=False)
class Maturity:
    """Share of the final figure reported by age, monotone, 1 past the last age learned.

    groups  : profiles with a curve of their own; any other is given the pooled one
    metrics : metrics that settle; any other is final at once
    curves  : (1 + n_group, n_metric, n_age), the pooled curve first; index of the last axis = age in days
    """

    groups: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    curves: Floats | None = None

    def share(self, metric: str, age_days: ArrayLike, group: str = "") -> Floats:
        """Share 0…1 of the final `metric` that is known `age_days` after the day, shaped like it."""
        row = self.groups.index(group) + 1 if group in self.groups else 0
        return np.asarray(self._curve(metric, np.asarray(age_days), np.array([row]))[0])

    def shares(
        self, panel: Panel, metric: str, as_of: np.datetime64, groups: Sequence[str] = ()
    ) -> Floats:
        """(n_entity, n_time) shares of a panel downloaded on the day `as_of`; `groups` names each entity's."""
        age_days = (
            as_of.astype("datetime64[D]") - panel.periods.labels.astype("datetime64[D]")
        ).astype(np.int64)
        row_of = {group: row for row, group in enumerate(self.groups, start=1)}
        rows = np.array([row_of.get(group, 0) for group in groups or ("",) * len(panel.entities)])
        return self._curve(metric, age_days, rows)

    def _curve(self, metric: str, age_days: Any, rows: Any) -> Floats:
        if self.curves is None or metric not in self.metrics:
            return np.ones((len(rows), *age_days.shape))
        curve = self.curves[rows, self.metrics.index(metric)]
        known = np.concatenate([curve, np.ones((len(rows), 1))], axis=1)
        return known[:, np.clip(age_days, 0, known.shape[1] - 1)]


def fit_maturity(rows: Iterable[tuple[str, str, int, float, float]]) -> Maturity:
    """Learn the curves from restatements: (group, metric, age in days, reported then, reported finally).

    Sums over all days that were reported both at that age and finally. A curve is the ratio of the sums,
    pulled to the pooled one where a group is small, made monotone by weighted isotonic regression and
    cut at 1: a figure that is later corrected downwards counts as complete.
    """
    table = [
        (str(g), str(m), int(age), float(then), float(final)) for g, m, age, then, final in rows
    ]
    if not table:
        return Maturity()
    if min(age for _, _, age, _, _ in table) < 0:
        raise InvalidInputError.of(
            "fit_maturity", "age_days", "0 or more", min(t[2] for t in table)
        )
    groups = tuple(sorted({row[0] for row in table}))
    metrics = tuple(sorted({row[1] for row in table}))
    ages = max(row[2] for row in table) + 1
    sums = np.zeros((2, len(groups), len(metrics), ages))
    for group, metric, age, *pair in table:
        sums[:, groups.index(group), metrics.index(metric), age] += pair

    then, final = sums
    prior = PRIOR * np.median(final, axis=0)
    # shares are averaged, not money: groups may have different currencies
    own = np.divide(then, final, out=np.zeros_like(then), where=final > 0)
    weight = np.divide(final, prior + final, out=np.zeros_like(final), where=final > 0)
    total = weight.sum(axis=0)
    pooled = np.divide((own * weight).sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
    shrunk = weight * own + (1.0 - weight) * pooled
    curves = [
        [_monotone(curve, seen) for curve, seen in zip(shares, total, strict=True)]
        for shares in (pooled, *shrunk)
    ]
    return Maturity(groups, metrics, np.array(curves))


def _monotone(curve: Floats, weight: Floats) -> Floats:
    """The nearest non-decreasing curve within [0.01, 1]; ages nobody reported lie between their neighbours."""
    seen = np.flatnonzero(weight > 0)
    if not len(seen):
        return np.ones_like(curve)
    rising = isotonic_regression(curve[seen], sample_weight=weight[seen], y_min=0.01, y_max=1.0)
    return np.asarray(np.interp(np.arange(len(curve)), seen, rising))
