"""How much of a day's final figures is known at a given age: sales arrive for weeks after the click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from core.contracts import Floats, Panel
from core.errors import InvalidInputError

PRIOR = 0.1
"""A profile's own growth counts half when its volume is this share of the median profile's."""


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


def fit_maturity(links: Mapping[str, NDArray[Any]]) -> Maturity:
    """Learn the curves from restatements, a table of equally long columns.

    profile, metric, age_days : whose figure of what, how many days after its day it was reported
    reported, next_reported   : sums of the same days' figures then and a day later

    Chain ladder (Mack, ASTIN Bulletin 1993, section 1): the ratio of the sums is an age's growth, pulled
    to that of all profiles where one is small; what is known at an age is what later growth leaves of 1.
    "Reported over final" would be wrong, as the days seen young are not final yet. The curve is made
    monotone by weighted isotonic regression and cut at 1: a figure that is later corrected downwards
    counts as complete.
    """
    profile, metric = (np.asarray(links[name], dtype=str) for name in ("profile", "metric"))
    age = np.asarray(links["age_days"], dtype=np.int64)
    if not len(age):
        return Maturity()
    if age.min() < 0:
        raise InvalidInputError.of("fit_maturity", "age_days", "0 or more", int(age.min()))
    groups, group = np.unique(profile, return_inverse=True)
    metrics, column = np.unique(metric, return_inverse=True)
    now, later = np.zeros((2, len(groups), len(metrics), int(age.max()) + 1))
    np.add.at(now, (group, column, age), np.asarray(links["reported"], dtype=np.float64))
    np.add.at(later, (group, column, age), np.asarray(links["next_reported"], dtype=np.float64))

    prior = PRIOR * np.median(now, axis=0)
    weight = np.divide(now, prior + now, out=np.zeros_like(now), where=now > 0)
    growth = np.divide(later, now, out=np.ones_like(now), where=now > 0)
    # ratios are averaged, not money: profiles may have different currencies
    total = weight.sum(axis=0)
    pooled = np.divide(
        (growth * weight).sum(axis=0), total, out=np.ones_like(total), where=total > 0
    )
    own = weight * growth + (1.0 - weight) * pooled
    curves = [
        [_monotone(curve, importance) for curve, importance in zip(by_metric, total, strict=True)]
        for by_metric in map(_known, (pooled, *own))
    ]
    return Maturity(tuple(groups.tolist()), tuple(metrics.tolist()), np.array(curves))


def _known(growth: Floats) -> Floats:
    """Share known at each age of the last axis, from the growth of that age and all later ones."""
    ladder = np.cumprod(np.maximum(growth, 1e-3)[..., ::-1], axis=-1)[..., ::-1]
    return np.asarray(1.0 / ladder)


def _monotone(curve: Floats, weight: Floats) -> Floats:
    """The nearest non-decreasing curve within [0.01, 1]; ages nobody reported lie between their neighbours."""
    seen = np.flatnonzero(weight > 0)
    if not len(seen):
        return np.ones_like(curve)
    rising = np.clip(isotonic_regression(curve[seen], weights=weight[seen]).x, 0.01, 1.0)
    return np.asarray(np.interp(np.arange(len(curve)), seen, rising))
