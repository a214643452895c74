"""Which word for a cause fits what the metrics of a suspect did: shifts by family beside the signatures of `services`.

A pod or a host lacks some metrics that its service has; there the whole that it answers for speaks for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from core.contracts import Floats
from core.domains.services import SERVICES
from core.rootcause.cause_type import Shift, judge
from core.rootcause.metric_kinds import CAPACITY, Kind

QUERY = re.compile(r"query|database|sql", re.IGNORECASE)
"""What only a store has, so it is a channel of its own."""
TOLD = ("latency", "success", "cpu", "memory", "disk", "bytes", CAPACITY, "query", "delay")
"""Channels of the signatures: families of metrics, and calls that arrive late."""
LEAST = 0.01
"""Of its usual size: below, all is the same."""
NOISE, UNSEEN = 0.15, 0.7
"""Standard deviation of a relative change, and of that of a channel that nobody measured."""
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
) -> dict[str, float]:
    """Relative change of each channel of one node, the largest of its metrics.

    values : (n_time, n_metric); base : (n_metric,) just before the window; usual : (n_metric,) in normal periods
    """
    found: dict[str, float] = {}
    for column, (metric, kind) in enumerate(zip(metrics, kinds, strict=True)):
        name = channel(metric, kind.family)
        now, before = values[window, column], base[column]
        if name not in TOLD or not np.isfinite(now).any() or not np.isfinite(before):
            continue
        size = float(usual[column])
        level = float(np.nanmean(now))
        if name == "memory":
            # it fills slowly, and is empty again after the fall
            seen = values[: window.stop, column]
            level, before = float(np.nanmax(seen) if kind.bad > 0 else np.nanmin(seen)), size
        if name == "success" and kind.bad < 0:
            full = 100.0 if size > 1.5 else 1.0
            level, before, size = full - level, full - before, 0.1 * full
        floor = max(LEAST * size, 1e-9)
        ratio = max(level, floor) / max(before, floor)
        ratio = 1.0 / ratio if name == "memory" and kind.bad < 0 else ratio
        change = float(np.clip(ratio, 1.0 / LARGEST, LARGEST)) - 1.0
        if abs(np.log1p(change)) > abs(np.log1p(found.get(name, 0.0))) or name not in found:
            found[name] = change
    return found


def word(changes: Mapping[str, float]) -> str:
    """The kind of cause that fits these relative changes by channel, "unknown" where none does."""
    shifts = [Shift(name, change, NOISE * (1.0 + change)) for name, change in changes.items()]
    shifts += [Shift(name, 0.0, UNSEEN) for name in TOLD if name not in changes]
    return judge(SERVICES, SERVICES.defaults["unit"], shifts, None).type
