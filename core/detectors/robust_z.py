"""Robust z-score: how many robust standard deviations a day lies from the median."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.contracts import Bools, Detector, Floats, OnStep, Panel, Params, State, Tags, param
from core.entities import row_of, rows_of
from core.features.scaling import robust_scale


@dataclass(frozen=True)
class RobustZParams(Params):
    scope: str = param(
        "pooled",
        help="Learn one median and spread over all entities, or one per entity; given: values are deviations already",
        choices=("pooled", "entity", "given"),
    )
    largest: int = param(
        1, help="Average of this many largest metrics; 1 is the worst metric alone", low=1, high=100
    )


class RobustZ(Detector):
    """Distance from the median in robust standard deviations, the worst metrics of each day.

    |x − median| / (1.4826 · MAD) per metric, then the mean of the `largest` of them. A missing value
    counts as the median.

    Good for: single days and single metrics far out; a baseline that everybody can check by hand.
    Bad for: shapes, joint moves of several metrics, slow shifts; two-peaked metrics.
    With scope "given" the values are standard deviations already, and nothing is learned.
    With scope "entity", an entity that was not there in training is judged by the pooled values.
    Score: robust standard deviations, 0 and up. Cost: linear in the panel.

    Source: Iglewicz & Hoaglin, How to Detect and Handle Outliers (1993), section 3.
    """

    name = "robust-z"
    source = "Iglewicz & Hoaglin, How to Detect and Handle Outliers (1993), section 3"
    tags = Tags(min_times=1)
    Params = RobustZParams

    def _fit(self, panel: Panel, labels: Bools | None, on_step: OnStep | None) -> State:
        values = panel.values
        if self.params.scope == "given":
            metrics = values.shape[-1]
            return {"centre": np.zeros(metrics), "spread": np.ones(metrics)}
        centre, spread = robust_scale(values.reshape(-1, values.shape[-1]), axis=0)
        state: dict[str, Any] = {"centre": centre, "spread": spread}
        if self.params.scope == "entity":
            centres, spreads = robust_scale(values, axis=1)
            state |= {
                "entities": "\n".join(panel.entities),
                "entity_centre": centres,
                "entity_spread": spreads,
            }
        return state

    def _open(self, state: State) -> Any:
        return {**state, "row_of": row_of(state)} if self.params.scope == "entity" else state

    def attribute(self, panel: Panel) -> Floats:
        """(n_entity, n_time, n_metric): the distance of each metric by itself, 0 where missing."""
        self._check_metrics(panel)
        return self._distance(self.scorer, panel)

    def _score(self, scorer: Any, panel: Panel) -> Floats:
        distance = self._distance(scorer, panel)
        largest = min(self.params.largest, distance.shape[-1])
        if largest == 1:
            return np.asarray(distance.max(axis=-1))
        top = np.partition(distance, -largest, axis=-1)[..., -largest:]
        return np.asarray(top.mean(axis=-1))

    def _distance(self, scorer: Any, panel: Panel) -> Floats:
        centre, spread = scorer["centre"], scorer["spread"]
        if self.params.scope == "entity":
            rows = rows_of(panel.entities, scorer["row_of"])
            known = (rows >= 0)[:, None]
            centre = np.where(known, scorer["entity_centre"][rows], centre)[:, None]
            spread = np.where(known, scorer["entity_spread"][rows], spread)[:, None]
        return np.asarray(np.nan_to_num(np.abs(panel.values - centre) / spread))
