"""Weekday and trend of an account, learned from its total: what every entity below it shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.contracts import Bools, Floats

WEEK = 7
CAUTION = 0.2
"""Weeks without a weekday effect that are added to those seen."""
USUAL_GROWTH = 0.002
"""Prior standard deviation of an account's daily log growth; steeper trends must earn their slope."""


def trailing(values: Floats, memory: float, gap: int) -> Floats:
    """Exponentially fading sums along the last axis over the periods up to `gap` before each.

    A day fades with time constant `memory` (days), so the sums are worth about `memory` days.
    """
    from scipy.signal import lfilter  # a third of a second, which `headwater --help` need not wait

    faded = lfilter([1.0], [1.0, -np.exp(-1.0 / memory)], values, axis=-1)
    return delayed(np.asarray(faded), gap)


def delayed(values: Floats, gap: int) -> Floats:
    """The value of `gap` periods before, along the last axis; 0 where there was none."""
    later = np.zeros_like(values)
    if gap < values.shape[-1]:
        later[..., gap:] = values[..., : values.shape[-1] - gap]
    return later


def season(
    counts: Floats,
    observed: Bools,
    group: NDArray[np.intp],
    weekday: NDArray[np.int64],
    memory: float,
    gap: int,
) -> tuple[Floats, Floats]:
    """Weekday factor and daily log growth of each group, (n_group, n_time), from days up to `gap` before.

    counts   : (n_entity, n_time), 0 where not observed
    group    : (n_entity,) index of the account; weekday : (n_time,) 0…6

    The weekday effect is the mean log ratio of such days to the week that ends with them, shrunk by
    `CAUTION`; growth is a ridge slope of the weekly mean, its prior `USUAL_GROWTH`.
    """
    n_group, n_time = int(group.max()) + 1, counts.shape[1]
    total = np.zeros((n_group, n_time))
    np.add.at(total, group, counts)
    present = np.zeros((n_group, n_time))
    np.add.at(present, group, observed.astype(np.float64))
    known = (present > 0.5 * present.max(axis=1, keepdims=True)) & (total > 0)
    days = _week_sum(known.astype(np.float64))
    week = _week_sum(np.where(known, total, 0.0)) / np.maximum(days, 1.0)
    known &= (days == WEEK) & (week > 0)
    level = np.log(np.where(known, week, 1.0))
    lift = np.where(known, np.clip(np.log(np.where(known, total, 1.0)) - level, -1.0, 1.0), 0.0)

    effects = np.empty((WEEK, n_group, n_time))
    for day in range(WEEK):
        such = known & (weekday == day)
        before = delayed(np.cumsum(np.where(such, lift, 0.0), axis=1), gap)
        effects[day] = before / (delayed(np.cumsum(such, axis=1).astype(np.float64), gap) + CAUTION)
    effects -= effects.mean(axis=0)
    factor = np.exp(effects[weekday, :, np.arange(n_time)].T)
    return factor, _growth(level, known, memory, gap)


def _growth(level: Floats, known: Bools, memory: float, gap: int) -> Floats:
    when = np.arange(level.shape[1], dtype=np.float64)
    weight = known.astype(np.float64)
    # twice the memory: a slope needs a longer look than a level
    n, t, y, tt, ty, yy = (
        trailing(weight * moment, 2.0 * memory, gap)
        for moment in (when * 0 + 1, when, level, when * when, when * level, level * level)
    )
    n = np.maximum(n, 1.0)
    spread_t, together = tt - t * t / n, ty - t * y / n
    noise = np.maximum(yy - y * y / n - together**2 / np.maximum(spread_t, 1.0), 0.0) / n
    # the weekly means overlap: 7 of them carry the news of one, twice that where shocks persist
    ridge = 2.0 * WEEK * noise / USUAL_GROWTH**2
    return together / np.maximum(spread_t + ridge, 1.0)


def _week_sum(values: Floats) -> Floats:
    sums = np.cumsum(values, axis=1)
    sums[:, WEEK:] -= sums[:, :-WEEK].copy()
    return sums
