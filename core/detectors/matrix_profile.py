"""Matrix profile: the window that looks least like any other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from core.contracts import Bools, Floats, OnStep, Panel, Periods, State, Tags, param
from core.detectors.series import LEAST, SeriesDetector, SeriesParams
from core.entities import row_of, rows_of
from core.kernel import kernel

EXCLUSION = 4
"""Windows nearer than one part in so many of their length are the same window, moved a little."""
REACH = 1e3
"""Robust standard deviations at which a value is clipped: its square must not drown the others' digits."""


@dataclass(frozen=True)
class MatrixProfileParams(SeriesParams):
    distance: str = param(
        "raw",
        help="Compare the values of windows, or their shapes alone, whatever their level and size",
        choices=("raw", "normalised"),
    )
    memory: int = param(
        4_000,
        help="With trailing windows, how far back the windows begin that each is compared with",
        low=16,
        high=1_000_000,
        unit="periods",
    )


class MatrixProfile(SeriesDetector):
    """Distance of a window from the most similar one: a discord is like nothing seen.

    With `align` "trailing" the window that ends at a period is compared with those of the `memory` periods
    before it (the left matrix profile), into the training where the panel begins after it. With "centre"
    the window around a period is compared with all others of the panel.

    Values are compared as they are by default, which found more on public data than the usual comparison
    of z-normalised windows (0.46 against 0.37 VUS-PR over 46 series): that one is blind to level and size
    and blows up the noise of a quiet window. It is best where the shape alone tells, as in a heartbeat.

    Good for: broken shapes in repeating series; one odd cycle among many.
    Bad for: noise without shape; anomalies that occur twice, each the other's neighbour.
    Score: robust standard deviations of the distance above its usual. Cost: quadratic in the length of a
    series, about a second for 30,000 periods; with trailing windows periods times `memory`.

    Source: Yeh et al., Matrix Profile I (ICDM 2016), sections 2–3, along diagonals as in Zhu et al., Matrix
    Profile II (ICDM 2016); left profile as in Lu et al., DAMP (KDD 2022), section 3.
    """

    name = "matrix-profile"
    source = "Yeh et al., Matrix Profile I (ICDM 2016), sections 2–3; Lu et al., DAMP (KDD 2022)"
    tags = Tags(min_times=LEAST, modules=("numba",))
    Params = MatrixProfileParams

    def _fit(self, panel: Panel, labels: Bools | None, on_step: OnStep | None) -> State:
        kept = panel.values[:, max(0, len(panel.periods) - self.params.memory) :]
        return {
            **super()._fit(panel, labels, on_step),
            "past": kept,
            "past_end": panel.periods.labels[-1:].astype("datetime64[s]").astype(np.int64),
            "entities": "\n".join(panel.entities),
        }

    def _open(self, state: State) -> Any:
        return {**state, "row_of": row_of(state)}

    def _score(self, scorer: Any, panel: Panel) -> Floats:
        past = scorer["past"]
        if (
            self.params.align == "centre"
            or panel.periods.labels[0].astype(np.int64) <= scorer["past_end"][0]
        ):
            return super()._score(scorer, panel)
        rows = rows_of(panel.entities, scorer["row_of"])
        before = np.where((rows >= 0)[:, None, None], past[rows], np.nan)
        labels = panel.periods.labels
        joined = Periods(
            np.concatenate([labels[:1].repeat(past.shape[1]), labels]), panel.periods.step
        )
        whole = replace(
            panel,
            values=np.concatenate([before, panel.values], axis=1),
            periods=joined,
            padded=None,
        )
        return super()._score(scorer, whole)[:, past.shape[1] :]

    def _judge(self, series: Floats, window: int) -> Floats:
        ahead = self.params.align == "centre"
        judged = np.full(series.shape, np.nan)
        if series.shape[1] < 2 * window:
            return judged
        first = (window - 1) // 2 if ahead else window - 1
        for row, values in zip(judged, np.clip(series, -REACH, REACH), strict=True):
            found = _profile(values, window, self.params)
            row[first : first + len(found)] = found
            if ahead:
                row[:first], row[first + len(found) :] = found[0], found[-1]
        return judged


def _profile(values: Floats, window: int, params: MatrixProfileParams) -> Floats:
    """(n_time − window + 1,) root mean squared distance of each window from its nearest; NaN where there is none."""
    unseen = int(np.isnan(values).sum())
    if len(values) - unseen < window:
        return np.full(len(values) - window + 1, np.nan)
    cut = sliding_window_view(values[unseen:], window)
    if params.distance == "normalised":
        # 2 − 2 · correlation; flat windows are alike, and half like any other
        mean, deviation = cut.mean(axis=1), cut.std(axis=1)
        flat = deviation <= 1e-9 * (1.0 + np.abs(mean))
        square, lift = np.where(flat, 0.0, 1.0), mean * window**0.5
        inverse = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, deviation * window**0.5))
    else:
        square, lift = (cut**2).mean(axis=1), np.zeros(len(cut))
        inverse = np.full(len(cut), window**-0.5)
    squared = np.full(len(cut), np.inf)
    ahead = params.align == "centre"
    most = len(cut) if ahead else params.memory
    kernel(_walk)(values[unseen:], window, most, square, lift, inverse, ahead, squared)
    if not ahead:
        # a window's worth of others, before the nearest of them says anything
        squared[:window] = np.inf
    found = np.sqrt(np.maximum(squared, 0.0))
    return np.concatenate([np.full(unseen, np.nan), np.where(np.isinf(found), np.nan, found)])


def _walk(
    values: Floats,
    window: int,
    most: int,
    square: Floats,
    lift: Floats,
    inverse: Floats,
    ahead: bool,
    squared: Floats,
) -> None:
    """Lower `squared` to the distance of each window from the nearest earlier one, or from any."""
    n, least = len(squared), max(1, -(-window // EXCLUSION))
    product = np.zeros(n)
    for right in range(least, min(n, most + 1)):
        for at in range(window):
            product[right] += values[at] * values[right + at]
    for left in range(n - least):
        first, last = left + least, min(n, left + most + 1)
        if left:
            # the product of two windows follows from that of the two a period before
            for right in range(last - 1, first - 1, -1):
                product[right] = (
                    product[right - 1]
                    + values[left + window - 1] * values[right + window - 1]
                    - values[left - 1] * values[right - 1]
                )
        best = squared[left]
        for right in range(first, last):
            shared = (product[right] - lift[left] * lift[right]) * inverse[left] * inverse[right]
            distance = square[left] + square[right] - 2.0 * shared
            squared[right] = min(squared[right], distance)
            best = min(best, distance)
        if ahead:
            squared[left] = best
