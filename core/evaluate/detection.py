"""What a detector's answer to one labelled series is worth: ranking, false alarms at a promised rate, root metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from core.contracts import Bools, Floats
from core.evaluate import ranking
from core.threshold import Threshold

NOMINAL = (0.05, 0.01, 0.001)
"""Alarm rates that are promised and then counted."""
FIRST = (1, 3, 5)
"""How many of the highest-ranked metrics are looked at."""
BREADTH = (100, 150)
"""Per cent of the number of labelled metrics that may be named (OmniAnomaly's P)."""


@dataclass(frozen=True, eq=False)
class Cause:
    """A labelled segment: its rows, and the metrics (columns) that caused it."""

    rows: NDArray[np.intp]
    metrics: frozenset[int]


def figures(scores: Floats, labels: Bools, window: int | None) -> dict[str, float]:
    """Ranking figures of one series; best_f1 is an oracle's; VUS-PR is NaN where there is no window."""
    return {
        "vus_pr": float("nan") if window is None else ranking.vus_pr(scores, labels, window),
        "auc_pr": ranking.auc_pr(scores, labels),
        "auc_roc": ranking.auc_roc(scores, labels),
        "best_f1": ranking.best_f1(scores, labels),
    }


def static_p(scores: Floats, train: int) -> Floats:
    """p-values of all scores by a threshold calibrated once on the first `train` of them."""
    return Threshold.fit(scores[:train]).p_values(scores)


def false_alarms(p: Floats, labels: Bools) -> dict[str, float]:
    """Share of the normal rows that raise an alarm at each nominal rate; NaN without normal rows."""
    normal = p[~labels]
    return {
        f"{rate:g}": float(np.mean(normal <= rate)) if len(normal) else float("nan")
        for rate in NOMINAL
    }


def root_hits(shares: Floats, causes: Iterable[Cause]) -> list[dict[str, float]]:
    """How well the metrics that a score is put down to, (n_time, n_metric), agree with the labelled ones.

    In each segment the metrics are ranked by their share summed over its rows. Per segment:
    hit@k      : 1 if one of the k first is labelled, else 0
    chance@k   : the same for a random order, since a segment may have most metrics labelled
    hit_rate@P : labelled metrics among the first ⌊P % of their number⌋, divided by their number

    Source: Su et al., Robust Anomaly Detection for Multivariate Time Series (OmniAnomaly, KDD 2019),
    section 4.4, for HitRate@P%.
    """
    return [_segment_hits(shares, cause) for cause in causes]


def _segment_hits(shares: Floats, cause: Cause) -> dict[str, float]:
    ranked = np.argsort(-shares[cause.rows].sum(axis=0), kind="stable")
    right = np.isin(ranked, list(cause.metrics))
    n_metric, n_labelled = len(ranked), len(cause.metrics)
    missed = {k: comb(n_metric - n_labelled, k) / comb(n_metric, min(k, n_metric)) for k in FIRST}
    return {
        **{f"hit@{k}": float(right[:k].any()) for k in FIRST},
        **{f"chance@{k}": 1.0 - missed[k] for k in FIRST},
        **{
            f"hit_rate@{percent}": float(right[: percent * n_labelled // 100].sum() / n_labelled)
            for percent in BREADTH
        },
    }


def mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each figure over the series that have it; NaN where none has."""
    known: dict[str, list[float]] = {name: [] for row in rows for name in row}
    for row in rows:
        for name, value in row.items():
            known[name] += [value] if np.isfinite(value) else []
    return {name: float(np.mean(held)) if held else float("nan") for name, held in known.items()}
