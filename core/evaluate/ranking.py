"""How well scores rank anomalies above normal points: VUS-PR, VUS-ROC, AUC-PR, AUC-ROC and the best F1.

All take the scores (higher = more anomalous) and the labels (true = anomaly) of one series, in order of time, and
give a number in [0, 1]; NaN where the labels are all of one kind, for then nothing can be ranked. None is
point-adjusted. Report VUS-PR beside AUC-PR: smearing a score raises the first and hardly the second.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.contracts import Bools, Floats
from core.errors import InvalidInputError

THRESHOLDS = 250
"""Ranks at which the volumes are sampled, evenly from the highest score to the lowest."""


# ── Volumes under the surface ────────────────────────────────────────────────────────────────────


def vus_pr(scores: ArrayLike, labels: ArrayLike, window: int) -> float:
    """Volume under the range-aware precision-recall curves of all buffers 0 … `window`."""
    return vus(scores, labels, window)[1]


def vus_roc(scores: ArrayLike, labels: ArrayLike, window: int) -> float:
    """Volume under the range-aware ROC curves of all buffers 0 … `window`."""
    return vus(scores, labels, window)[0]


def vus(scores: ArrayLike, labels: ArrayLike, window: int) -> tuple[float, float]:
    """(VUS-ROC, VUS-PR): labels get a buffer that fades on both sides, for every width up to `window`.

    Equal to the reference implementation (`opt`, 250 thresholds) that the TSB-AD figures come from. That one
    walks all points once per width and threshold. Here each point is put once into the bucket of the first
    threshold it reaches; then all that a threshold counts is a cumulative sum over buckets, and a width only
    weighs the few points of its buffers anew.

    Cost: O(n log n + window · (n + segments · window)).
    Source: Paparrizos et al., Volume Under the Surface, PVLDB 15(11), 2022, sections 3.2 and 4; optimised form
    of Boniol et al., The VLDB Journal 34, 2025.
    """
    scores, labels = _checked(scores, labels)
    if window < 0:
        raise InvalidInputError.of("VUS", "the window", "at least 0", window)
    n, positives = len(labels), int(labels.sum())
    if not 0 < positives < n:
        return float("nan"), float("nan")

    descending = -np.sort(-scores)
    thresholds = descending[np.linspace(0, n - 1, THRESHOLDS).astype(int)]
    bucket = np.searchsorted(-thresholds, -scores)
    alarms = _reached(bucket)
    beside = _beside(bucket, labels, window)
    halves = [_found(bucket, labels, half) for half in range(window // 2 + 1)]
    found = np.repeat(halves, 2, axis=0)[: window + 1]

    hits = _reached(bucket[labels]) + beside
    positive = positives + beside / 2.0
    recall = np.minimum(hits / positive, 1.0) * found
    false = (alarms - hits) / (n - positive)
    precision = hits / alarms

    corner = np.ones((window + 1, 1))
    recall = np.hstack([0.0 * corner, recall])
    heights, widths = np.hstack([recall, corner]), np.hstack([0.0 * corner, false, corner])
    roc = np.sum(np.diff(widths) * (heights[:, 1:] + heights[:, :-1]) / 2.0, axis=1)
    pr = np.sum(np.diff(recall) * precision, axis=1)
    return float(roc.mean()), float(pr.mean())


def segments(labels: Bools) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and last row of every run of labelled rows."""
    edges = np.diff(labels.astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1


def _beside(bucket: NDArray[np.intp], labels: Bools, window: int) -> Floats:
    """(window + 1, n_threshold): what each threshold reaches of the buffers of each width.

    A row beside a segment counts √(1 − distance / width) up to half the width away, and at most 1 in all.
    """
    starts, ends = segments(labels)
    distance = np.arange(1, window // 2 + 1)[:, None]
    rows = np.hstack([ends + distance, starts - distance])
    free = (rows >= 0) & (rows < len(labels)) & ~labels[np.clip(rows, 0, len(labels) - 1)]
    distances = np.broadcast_to(distance, rows.shape)[free]
    points, place = np.unique(rows[free], return_inverse=True)
    reached = np.zeros((window + 1, THRESHOLDS))
    for width in range(2, window + 1):
        near = np.searchsorted(distances, width // 2, side="right")
        fading = np.sqrt(1.0 - distances[:near] / width)
        weight = np.bincount(place[:near], fading, minlength=len(points))
        reached[width] = _reached(bucket[points], np.minimum(weight, 1.0))
    return reached


def _found(bucket: NDArray[np.intp], labels: Bools, half: int) -> Floats:
    """Share of the segments, widened by `half` and merged where they then touch, that each threshold reaches."""
    starts, ends = segments(labels)
    apart = ends[:-1] + half < starts[1:] - half
    first = np.maximum(starts[np.append(True, apart)] - half, 0)
    last = np.minimum(ends[np.append(apart, True)] + half, len(bucket) - 1)
    bounds = np.column_stack([first, last + 1]).ravel()
    earliest = np.minimum.reduceat(np.append(bucket, THRESHOLDS), bounds)[::2]
    return _reached(earliest) / len(first)


def _reached(bucket: NDArray[np.intp], weight: Floats | None = None) -> Floats:
    """How many (or how much) of the points each threshold reaches."""
    return np.cumsum(np.bincount(bucket, weight, minlength=THRESHOLDS), dtype=np.float64)


# ── Point by point ───────────────────────────────────────────────────────────────────────────────


def auc_pr(scores: ArrayLike, labels: ArrayLike) -> float:
    """Average precision: precision at every distinct score, weighted by the recall it adds."""
    hits, alarms = _counts(scores, labels)
    if not 0 < hits[-1] < alarms[-1]:
        return float("nan")
    return float(np.sum(np.diff(hits, prepend=0.0) * hits / alarms) / hits[-1])


def auc_roc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Probability that an anomaly scores above a normal point, ties counting half."""
    hits, alarms = _counts(scores, labels)
    if not 0 < hits[-1] < alarms[-1]:
        return float("nan")
    false = np.append(0.0, alarms - hits)
    hits = np.append(0.0, hits)
    area = np.sum(np.diff(false) * (hits[1:] + hits[:-1]) / 2.0)
    return float(area / (hits[-1] * false[-1]))


def best_f1(scores: ArrayLike, labels: ArrayLike) -> float:
    """The highest point-wise F1 of any threshold: an oracle's, chosen with the labels in hand; never to be had live."""
    hits, alarms = _counts(scores, labels)
    if not 0 < hits[-1] < alarms[-1]:
        return float("nan")
    return float(np.max(2.0 * hits / (alarms + hits[-1])))


def _counts(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    """(labelled points, points) at or above each distinct score, from the highest on."""
    scores, labels = _checked(scores, labels)
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    return np.cumsum(labels[order])[last].astype(np.float64), last + 1.0


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Bools]:
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if values.ndim != 1 or truth.shape != values.shape or not len(values):
        rule = "of one dimension, as long as the labels and not empty"
        raise InvalidInputError.of("ranking", "scores", rule, (values.shape, truth.shape))
    if not np.isfinite(values).all():
        raise InvalidInputError.of(
            "ranking", "scores", "finite", values[~np.isfinite(values)][0].item()
        )
    if not np.isin(truth, (0, 1)).all():
        odd = truth[~np.isin(truth, (0, 1))][0]
        raise InvalidInputError.of("ranking", "labels", "0 or 1", odd.item())
    return values, truth.astype(bool)
