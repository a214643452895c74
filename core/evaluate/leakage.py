"""Leaks between what a model learns from and what it is judged by, found in the data itself.

Each question gives its findings, none when it found no leak. Kaufman, Rosset, Perlich & Stitelman, Leakage in Data
Mining (ACM TKDD 6(4), 2012), name the two kinds: a feature that knows the target, and rows that lie on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import lgamma, log

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from core.contracts import Bools, Floats, Panel, Times
from core.errors import InvalidInputError
from core.evaluate import ranking

TELLS = 0.999
"""Area under the ROC curve from which a feature is the label under another name: no symptom is as clean."""
CHANCE = 1e-6
"""Probability below which so clean a separation is no accident."""
AHEAD = 7
"""Periods ahead, and back, that a feature is looked for in."""
EXPLAINED, KNOWN = 0.95, 0.9
"""A feature knows the future if another's past, present and future explain this much of its changes together,
and past and present alone no more than that."""
ROWS = 20_000
"""Rows that a feature is looked at in, spread evenly; labelled ones are looked at all."""
LEAST = 100
"""Rows below which two features are not compared."""
NAMED = 3


@dataclass(frozen=True)
class Finding:
    """One leak: its kind, the feature, entity or period it lies in, what is wrong with it, and what to do."""

    kind: str
    what: str
    message: str
    cure: str


# ── Rows on both sides ───────────────────────────────────────────────────────────────────────────


def entity_overlap(train: Iterable[str], held_out: Iterable[str]) -> list[Finding]:
    """Entities on both sides of a split by entity: the model would be asked about what it knows by heart."""
    both = sorted(set(train) & set(held_out))
    if not both:
        return []
    shown = ", ".join(both[:NAMED]) + (f" and {len(both) - NAMED} more" if both[NAMED:] else "")
    return [
        Finding(
            "entity on both sides",
            shown,
            f"{len(both)} entities are both learned from and judged by: {shown}.",
            "Keep all rows of an entity on one side of the split.",
        )
    ]


def time_overlap(train: Times, held_out: Times, purge: np.timedelta64) -> list[Finding]:
    """Periods learned from that are not at least `purge` before the first one that is held out."""
    if not len(train) or not len(held_out):
        return []
    first = held_out.min()
    late = train[train > first - purge - np.timedelta64(1, "s")]
    if not len(late):
        return []
    return [
        Finding(
            "time on both sides",
            str(late.min()),
            f"{len(late)} periods from {late.min()} on are learned from, though what is judged begins on "
            f"{first} and looks back {purge}.",
            "Split by time, and leave out what lies between.",
        )
    ]


# ── Features that know too much ──────────────────────────────────────────────────────────────────


def label_in_features(panel: Panel, labels: Bools) -> list[Finding]:
    """Metrics whose value, or whose being missing, tells the labelled entity-days (n_entity, n_time) from all others.

    No finding where so few are labelled that a metric could separate them by chance.
    """
    if labels.shape != panel.values.shape[:2]:
        rule = f"of shape {panel.values.shape[:2]}"
        raise InvalidInputError.of("label_in_features", "labels", rule, labels.shape)
    ordinary, odd = np.flatnonzero(~labels), np.flatnonzero(labels)
    rows = np.append(_evenly(ordinary, ROWS), odd)
    label = labels.ravel()[rows]
    found = []
    for column, name in enumerate(panel.metrics):
        values = panel.values[:, :, column].ravel()[rows]
        known = np.isfinite(values)
        asked = (
            ("its value", values[known], label[known]),
            ("whether it is missing", (~known).astype(np.float64), label),
        )
        for what, feature, of_it in asked:
            if _separates(feature, of_it, 2 * len(panel.metrics)):
                found.append(
                    Finding(
                        "label in features",
                        name,
                        f"{name} tells every labelled row from all others by {what}: it is the label.",
                        f"Leave {name} out, or make it from what was known before the label.",
                    )
                )
                break
    return found


def _separates(feature: Floats, label: Bools, tries: int) -> bool:
    n, positive = len(label), int(label.sum())
    if not 0 < positive < n:
        return False
    by_chance = log(2 * tries) - (lgamma(n + 1) - lgamma(positive + 1) - lgamma(n - positive + 1))
    if by_chance > log(CHANCE):
        return False
    area = ranking.auc_roc(feature, label)
    return max(area, 1.0 - area) >= TELLS


def future_features(panel: Panel, measured: Sequence[str] = ()) -> list[Finding]:
    """Metrics that another metric's days to come explain, though its past and present do not.

    Catches a metric shifted back in time and any weighted mean over days ahead, at most 7. All is asked of
    day-to-day changes within each entity, so slow levels and common growth explain nothing.

    measured : metrics known to be measured as they happen; those never know the future of a derived one
               (a lag looks alike from the other side)
    """
    entities = _evenly(np.arange(len(panel.entities)), max(4 * ROWS // len(panel.periods), 1))
    changes = _standardised(np.diff(panel.values[entities], axis=1))
    found = []
    for column, name in enumerate(panel.metrics):
        for other, source in enumerate(panel.metrics):
            if other == column or (name in measured and source not in measured):
                continue
            known, ahead = _explained(changes[:, :, column], changes[:, :, other])
            if ahead >= EXPLAINED and known <= KNOWN:
                found.append(
                    Finding(
                        "future feature",
                        name,
                        f"{name} follows from the {AHEAD} days of {source} to come ({ahead:.0%} of its changes; "
                        f"{known:.0%} from those before): it knows the future, or {source} is its delayed copy.",
                        f"Leave {name} out, or make it from days that have passed.",
                    )
                )
                break
    return found


def _standardised(changes: Floats) -> Floats:
    """(n_entity, n_time − 1, n_metric) changes by the root mean square of each entity and metric; NaN where that is 0."""
    known = np.isfinite(changes)
    square = np.where(known, changes, 0.0) ** 2
    power = square.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.asarray(changes / np.sqrt(np.where(power > 0, power, np.nan)))


def _explained(target: Floats, source: Floats) -> tuple[float, float]:
    """Share of the target's changes explained by the source's past and present, and with its future too."""
    width = 2 * AHEAD + 1
    if target.shape[1] < width:
        return 0.0, 0.0
    around = sliding_window_view(source, width, axis=1).reshape(-1, width)
    middle = target[:, AHEAD : target.shape[1] - AHEAD].ravel()
    rows = np.flatnonzero(np.isfinite(around).all(axis=1) & np.isfinite(middle))
    if len(rows) < LEAST:
        return 0.0, 0.0
    rows = _evenly(rows, ROWS)
    x, y = around[rows], middle[rows]
    return _r_squared(x[:, : AHEAD + 1], y), _r_squared(x, y)


def _r_squared(x: Floats, y: Floats) -> float:
    total = float(y @ y)
    if total == 0.0:
        return 0.0
    weights = np.linalg.lstsq(x.T @ x, x.T @ y, rcond=None)[0]
    rest = y - x @ weights
    return 1.0 - float(rest @ rest) / total


def _evenly(rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """At most so many of the rows, spread evenly over them."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]
