"""What may announce a failure: how far off an entity is, how that moved, and what came at this time on earlier days."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter1d

from core.contracts import Bools, Floats, Panel

MOST = 10.0
"""Standard deviations beyond which a deviation says no more."""
FAR = 3.0
"""Standard deviations from which a metric counts as off."""
MANY = 0.15
"""Share of the metrics from which an entity counts as off."""
SPANS = (5, 30, 120)
"""Periods that are looked back on."""
DAYS = (1, 2, 3)
"""Earlier days of which the same time and what came next is looked at."""
LONGEST = 5_000
"""Periods after which nothing is remembered."""
HOW_FAR = ("worst", "worst three", "mean", "share off")


def precursors(deviations: Panel, onsets: Bools, *, day: int, horizon: int) -> Panel:
    """Signs of an event within the next `horizon` periods, from a panel of deviations in standard deviations.

    onsets : (n_entity, n_time) where an event began; those up to a period are known at it
    day    : periods of a day, or of whatever cycle events may keep

    Every column sums up all metrics alike, so panels of other metrics have the same columns: how far off the metrics
    are, now, over a while and on their way; what that was, on earlier days, in the hours that follow now; whether
    events began then; how long ago the last one did. A missing value counts as not off. Each looks only back.
    """
    values = np.clip(np.nan_to_num(deviations.values), -MOST, MOST)
    sizes = np.abs(values)
    ordered = -np.sort(-sizes, axis=2)
    far = np.stack(
        [
            ordered[:, :, 0],
            ordered[:, :, :3].mean(axis=2),
            sizes.mean(axis=2),
            (sizes > FAR).mean(axis=2),
        ],
        axis=2,
    )
    columns: dict[str, Floats] = {name: far[:, :, at] for at, name in enumerate(HOW_FAR)}
    for span in SPANS:
        mean, most = _mean(far, span), _most(far, span)
        for at, name in enumerate(HOW_FAR):
            columns[f"{name}, mean of {span}"] = mean[:, :, at]
            columns[f"{name}, most of {span}"] = most[:, :, at]
    courses = {span: _mean(values, span) for span in SPANS}
    for short, long in ((5, 30), (30, 120), (5, 120)):
        moved = np.abs(courses[short] - courses[long])
        columns[f"moved, {short} over {long}, most"] = moved.max(axis=2)
        columns[f"moved, {short} over {long}, mean"] = moved.mean(axis=2)
    steps = np.abs(np.diff(values, axis=1, prepend=values[:, :1]))
    for span in SPANS[:2]:
        restless = _mean(steps, span)
        columns[f"restless, {span}, most"] = restless.max(axis=2)
        columns[f"restless, {span}, mean"] = restless.mean(axis=2)
    following = _most(far, horizon)
    then = [_back(following, number * day - horizon) for number in DAYS]
    for at, name in enumerate(HOW_FAR):
        for number, earlier in zip(DAYS, then, strict=True):
            columns[f"{name}, {number} days ago"] = earlier[:, :, at]
        columns[f"{name}, earlier days"] = np.mean([earlier[:, :, at] for earlier in then], axis=0)
    off = columns["share off"] > MANY
    columns["time since off"] = _since(off)
    columns["off within a day"] = _mean(off[:, :, None].astype(np.float64), day)[:, :, 0]
    began = onsets[:, :, None].astype(np.float64)
    came = [_back(_most(began, horizon), number * day - horizon)[:, :, 0] for number in DAYS]
    for number, earlier in zip(DAYS, came, strict=True):
        columns[f"event {number} days ago"] = earlier
    columns["events on earlier days"] = np.sum(came, axis=0)
    columns["time since an event"] = _since(onsets)
    columns["events within a day"] = day * _mean(began, day)[:, :, 0]
    return deviations.with_values(np.stack(list(columns.values()), axis=2), tuple(columns))


def _mean(values: Floats, span: int) -> Floats:
    """Mean over the latest `span` periods, or as many as there were."""
    total = np.cumsum(np.pad(values, ((0, 0), (1, 0), (0, 0))), axis=1)
    end = np.arange(1, values.shape[1] + 1)
    start = np.maximum(end - span, 0)
    return np.asarray((total[:, end] - total[:, start]) / (end - start)[:, None])


def _most(values: Floats, span: int) -> Floats:
    """Maximum over the latest `span` periods."""
    moved = (span - 1) // 2
    return np.asarray(maximum_filter1d(values, span, axis=1, origin=moved, mode="nearest"))


def _back(values: Floats, lag: int) -> Floats:
    """The values `lag` ≥ 0 periods before; 0 where there were none."""
    lag = max(lag, 0)
    before = np.zeros_like(values)
    before[:, lag:] = values[:, : max(values.shape[1] - lag, 0)]
    return before


def _since(marks: Bools) -> Floats:
    """Log of 1 + the periods since the last mark, as many as `LONGEST` at most."""
    times = np.arange(marks.shape[1])
    last = np.maximum.accumulate(np.where(marks, times, -LONGEST), axis=1)
    return np.asarray(np.log1p(np.minimum(times - last, LONGEST)))
