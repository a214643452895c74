"""Figures of a fitted model on periods it never saw, from nothing but what it said of them.

`figures` is the only place that makes them, so those that a version was published with can be made again from its
stored predictions by anybody.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.contracts import Bools, Floats, Times
from core.errors import InvalidInputError
from core.evaluate import ranking

ALPHA = 0.01
"""The p-value up to which a row counts as an alarm."""
SAME = 1e-9
"""Relative difference up to which a figure made again is the one that was published."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said of every entity and period that was held out, and what people said of them.

    score   : (n_entity, n_time), higher = more anomalous
    p_value : the same, calibrated; None for a model that gives none
    seen    : whether anything was observed; the other rows count for nothing
    label   : whether the row lies in a labelled incident; None where nobody labelled anything
    """

    entities: tuple[str, ...]
    periods: Times
    score: Floats
    p_value: Floats | None
    seen: Bools
    label: Bools | None = None

    def __post_init__(self) -> None:
        shape = (len(self.entities), len(self.periods))
        for part in dataclasses.fields(self)[2:]:
            values = getattr(self, part.name)
            if values is not None and values.shape != shape:
                raise InvalidInputError.of(
                    "Predictions", part.name, f"of shape {shape}", values.shape
                )


def figures(predictions: Predictions, alpha: float = ALPHA) -> dict[str, float]:
    """Figures of what a model said, by name; those that need labels only where both kinds of rows are there.

    alarm_share                       : share of the unlabelled rows at or below `alpha`, which it should not exceed
    score_median, score_99            : instead of it, of a model without p-values
    auc_pr, auc_roc                   : how well the labelled rows are ranked above the others
    precision, recall, f1             : of the alarms at `alpha`, row by row
    rows, labelled                    : how many rows these figures are taken from

    An unlabelled row counts as normal, so an incident that nobody labelled counts against the model.
    """
    seen = predictions.seen & np.isfinite(predictions.score)
    scores = predictions.score[seen]
    label = np.zeros(len(scores), bool) if predictions.label is None else predictions.label[seen]
    told = {"rows": float(len(scores)), "labelled": float(label.sum())}
    if not len(scores):
        return told
    alarm = None if predictions.p_value is None else predictions.p_value[seen] <= alpha
    if alarm is None:
        told |= {
            "score_median": float(np.median(scores)),
            "score_99": float(np.quantile(scores, 0.99)),
        }
    elif not label.all():
        told["alarm_share"] = float(alarm[~label].mean())
    if not 0 < label.sum() < len(label):
        return told
    told |= {"auc_pr": ranking.auc_pr(scores, label), "auc_roc": ranking.auc_roc(scores, label)}
    if alarm is not None:
        hits = float((alarm & label).sum())
        told |= {
            "precision": hits / float(alarm.sum()) if alarm.any() else 0.0,
            "recall": hits / float(label.sum()),
            "f1": 2.0 * hits / float(alarm.sum() + label.sum()),
        }
    return told


def with_truth(predictions: Predictions, real: Bools, doubtful: Bools) -> Predictions:
    """The predictions beside what people said of their rows, both (n_entity, n_time).

    real     : rows of anomalies that somebody confirmed
    doubtful : rows that nobody has judged yet though they raised an alarm, or whose figures are wrong themselves;
               they count for nothing
    """
    seen = predictions.seen & ~doubtful
    return dataclasses.replace(predictions, seen=seen, label=real if real.any() else None)


def unlike(published: Mapping[str, float], predictions: Predictions) -> dict[str, float]:
    """Figures that the predictions give otherwise than they were published, as made again; empty when all hold."""
    again = figures(predictions)
    return {
        name: value
        for name, value in again.items()
        if not np.isclose(published.get(name, np.nan), value, rtol=SAME, atol=0.0)
    }
