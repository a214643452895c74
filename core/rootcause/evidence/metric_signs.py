"""Which word for a cause fits what the metrics of a suspect did: shifts by family beside the signatures of `services`.

A pod or a host lacks some metrics that its service has; there the whole that it answers for speaks for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np

from core.contracts import Floats
from core.domains.services import SERVICES
from core.rootcause.cause_type import fits
from core.rootcause.evidence.metric_kinds import CAPACITY, Kind

QUERY = re.compile(r"query|database|sql", re.IGNORECASE)
"""What only a store has, so it is a channel of its own."""
TOLD = ("latency", "success", "cpu", "memory", "disk", "bytes", CAPACITY, "query", "delay")
"""Channels of the signatures: families of metrics, and calls that arrive late."""
LEAST = 0.01
"""Of its usual size: below, all is the same."""
NOISE, UNSEEN = 0.15, 0.7
"""Standard deviation of a relative change, and of that of a channel that nobody measured."""
UNHEARD = 10.0
"""The latter of calls that arrive late: most systems measure no calls, which speaks for no cause and against none."""
LARGEST = 10.0
"""Changes are told apart up to so many times the usual."""


@cache
def channel(metric: str, family: str) -> str:
    """The channel of a metric."""
    return "query" if QUERY.search(metric) else family


def changes(
    metrics: Sequence[str],
    kinds: Sequence[Kind],
    values: Floats,
    window: slice,
    base: Floats,
    usual: Floats,
) -> Floats:
    """(n, n_channel) relative change of each of `TOLD`, the largest of its metrics; NaN where nobody measured it.

    values : (n, n_time, n_metric); base : (n, n_metric) just before the window; usual : the same in normal periods
    """
    found = np.full((len(values), len(TOLD)), np.nan)
    for column, (metric, kind) in enumerate(zip(metrics, kinds, strict=True)):
        name = channel(metric, kind.family)
        if name not in TOLD:
            continue
        now, before, size = values[:, window, column], base[:, column], usual[:, column]
        known = np.isfinite(now).any(axis=1) & np.isfinite(before)
        now, before, size = now[known], before[known], size[known]
        level = np.nanmean(now, axis=1)
        if name == "memory":
            # it fills slowly, and is empty again after the fall
            seen = values[known][:, : window.stop, column]
            level, before = (np.nanmax if kind.bad > 0 else np.nanmin)(seen, axis=1), size
        if name == "success" and kind.bad < 0:
            full = np.where(size > 1.5, 100.0, 1.0)
            level, before, size = full - level, full - before, 0.1 * full
        floor = np.fmax(LEAST * size, 1e-9)
        ratio = np.fmax(level, floor) / np.fmax(before, floor)
        ratio = 1.0 / ratio if name == "memory" and kind.bad < 0 else ratio
        change = np.clip(ratio, 1.0 / LARGEST, LARGEST) - 1.0
        place = TOLD.index(name)
        most = found[known, place]
        larger = ~(np.abs(np.log1p(change)) <= np.abs(np.log1p(most)))
        found[known, place] = np.where(larger, change, most)
    return found


def words(changes: Floats) -> list[str]:
    """The kind of cause that fits each node's relative changes (n, n_channel) of `TOLD`, "unknown" where none does."""
    measured = np.isfinite(changes)
    change = np.where(measured, changes, 0.0)
    unseen = np.array([UNHEARD if name == "delay" else UNSEEN for name in TOLD])
    sd = np.where(measured, NOISE * (1.0 + change), unseen)
    known, odds = fits(SERVICES, SERVICES.defaults["unit"], TOLD, change, sd)
    return [known[place] for place in odds.argmax(axis=1)]
