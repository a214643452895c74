"""Adaptive conformal residuals: an alarm rate that holds while the series drifts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.adaptive import BUFFER, adapt, begin
from core.contracts import (
    Bools,
    Detector,
    Floats,
    Forecaster,
    OnStep,
    Panel,
    Params,
    State,
    Tags,
    param,
)
from core.detectors.forecast_residual import residuals
from core.entities import row_of, rows_of
from core.parts import above, from_catalog, settings, under

CHUNK = 1_024
"""Entities at once: their buffers take 8 kB each."""
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class AdaptiveConformalParams(Params):
    forecaster: str = param("seasonal-naive", help="Forecaster by catalogue name")
    settings: str = param("", help="Parameters of the forecaster, e.g. season=24, memory=100")


class AdaptiveConformal(Detector):
    """How seldom a forecast misses by as much, judged by the misses of late.

    Any forecaster says what comes next; the score stream is the worst metric's distance from the middle
    in half-widths of the interval, as in `seasonal-naive-residual`. Each entity's latest 1,000 distances
    turn the next one into a p-value that is steered so that alarms come as often as promised.

    Until an entity has 1,000 distances of its own, a sample of those of all entities stands in. Scoring
    goes on from where training ended; an entity that was not there begins with the sample alone.

    Good for: one alarm rate over series that drift or change their spread; thresholds nobody has to tune.
    Bad for: ranking within a long anomaly, which becomes the new normal; what the forecaster cannot see.
    Score: −log10 p, 0 and up; 3 = one period in a thousand, 0 where nothing was forecast or observed.
    Cost: that of the forecaster, and about 1.5 µs per entity and period.

    Source: Gibbs & Candès, Adaptive Conformal Inference Under Distribution Shift (NeurIPS 2021),
    section 2; tail after Siffer et al., Anomaly Detection in Streams with Extreme Value Theory (KDD
    2017), section 4.
    """

    name = "adaptive-conformal"
    source = "Gibbs & Candès, Adaptive Conformal Inference Under Distribution Shift (NeurIPS 2021)"
    tags = Tags(min_times=15, modules=("numba",))
    Params = AdaptiveConformalParams

    def _fit(self, panel: Panel, labels: Bools | None, on_step: OnStep | None) -> State:
        forecaster = self._forecaster().fit(panel, labels, on_step)
        distance = residuals(forecaster, panel)
        known = np.sort(distance[~np.isnan(distance)])
        # evenly over the ranks, in an order in which high and low ones are forgotten alike
        thin = np.linspace(0, max(len(known) - 1, 0), min(len(known), BUFFER)).astype(np.intp)
        sample = known[thin][np.argsort(np.arange(len(thin)) * GOLDEN % 1)]

        width = min(BUFFER, len(panel.periods))
        learned: dict[str, list[Any]] = {"recent": [], "working": [], "bout": []}
        for rows in _chunks(len(distance)):
            after, _ = adapt(_begin(sample, rows.stop - rows.start), distance[rows])
            learned["recent"].append(np.asarray(after["recent"])[:, BUFFER - width :])
            learned["working"].append(after["working"])
            learned["bout"].append(after["bout"])
        return {
            **above(forecaster.state, "forecaster"),
            **{role: np.concatenate(parts) for role, parts in learned.items()},
            "sample": sample,
            "entities": "\n".join(panel.entities),
        }

    def _open(self, state: State) -> Any:
        return {
            **state,
            "forecaster": self._forecaster(under(state, "forecaster")),
            "row_of": row_of(state),
        }

    def _score(self, scorer: Any, panel: Panel) -> Floats:
        distance = residuals(scorer["forecaster"], panel)
        p = [
            adapt(_resumed(scorer, panel.entities[rows]), distance[rows])[1]
            for rows in _chunks(len(distance))
        ]
        # + 0.0 turns the −0.0 of p = 1 into 0
        return np.asarray(-np.log10(np.concatenate(p)) + 0.0)

    def _forecaster(self, state: State | None = None) -> Forecaster:
        chosen = settings(self.name, "settings", self.params.settings)
        params = {"seed": str(self.params.seed), **chosen}
        name = self.params.forecaster
        made: Forecaster = from_catalog(self.name, "forecaster", name, params, state)
        return made


def _chunks(n_entity: int) -> Iterator[slice]:
    for start in range(0, n_entity, CHUNK):
        yield slice(start, min(start + CHUNK, n_entity))


def _begin(sample: Floats, n_entity: int) -> dict[str, Any]:
    """Running state of entities that begin with the sample."""
    running = dict(begin(n_entity))
    recent = np.asarray(running["recent"])
    recent[:, BUFFER - len(sample) :] = sample
    return running


def _resumed(scorer: Any, entities: Sequence[str]) -> State:
    """Running state of entities where their training ended."""
    running = _begin(scorer["sample"], len(entities))
    rows = rows_of(entities, scorer["row_of"])
    known, width = rows >= 0, scorer["recent"].shape[1]
    running["recent"][known, BUFFER - width :] = scorer["recent"][rows[known]]
    for role in ("working", "bout"):
        running[role][known] = scorer[role][rows[known]]
    return running
