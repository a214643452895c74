"""Detectors that testify together: each part's scores become p-values, and their logarithms add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.contracts import Detector, Floats, Panel, State
from core.parts import above, from_catalog, under
from core.threshold import Threshold


@dataclass(frozen=True)
class Part:
    """One witness: what it looks for, a detector of the catalogue with its parameters, and its weight."""

    name: str
    detector: str
    weight: float = 1.0
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Witness:
    """A fitted part, and what its scores mean."""

    part: Part
    detector: Detector
    threshold: Threshold

    def surprise(self, panel: Panel) -> Floats:
        """(n_entity, n_time) −log10 p; 0 where nothing was observed."""
        seen = np.isfinite(panel.values).any(axis=2)
        decades = -np.log10(self.threshold.p_values(self.detector.score(panel)))
        return np.where(seen, decades, 0.0) + 0.0


def learn(parts: Sequence[Part], panel: Panel) -> State:
    """Fit every part to the panel and calibrate it on the scores of the same panel.

    Source of the sum: Fisher, Statistical Methods for Research Workers (1932), section 21.1, with weights
    as in Good, On the Weighted Combination of Significance Tests (JRSS B 1955).
    """
    seen = np.isfinite(panel.values).any(axis=2)
    state: dict[str, Any] = {}
    for part in parts:
        detector = from_catalog("headwater", "detector", part.detector, part.params).fit(panel)
        threshold = Threshold.fit(detector.score(panel)[seen])
        state |= above(detector.state, part.name)
        state |= above(threshold.to_state(), f"{part.name}.threshold")
    return state


def ready(parts: Sequence[Part], state: State) -> list[Witness]:
    """The parts opened from the state that `learn` gave."""
    witnesses = []
    for part in parts:
        own = under(state, part.name)
        detector = from_catalog("headwater", "detector", part.detector, part.params, own)
        threshold = Threshold.from_state(under(own, "threshold"))
        witnesses.append(Witness(part, detector, threshold))
    return witnesses


def surprises(panel: Panel, witnesses: Sequence[Witness]) -> dict[str, Floats]:
    """Surprise of each part, (n_entity, n_time)."""
    return {witness.part.name: witness.surprise(panel) for witness in witnesses}


def weighed(parts: Sequence[Part], found: Mapping[str, Floats]) -> Floats:
    """The weighted mean of the parts' surprises: Fisher's combination, as a surprise of its own."""
    total = sum(part.weight * found[part.name] for part in parts)
    return np.asarray(total / sum(part.weight for part in parts))


TABLE = (
    Part("cuts", "isolation-forest", params={"trees": 300, "sample": 64}),
    Part("slants", "extended-isolation-forest", params={"window": 1}),
    Part("neighbours", "lesinn", params={"window": 1}),
)
"""A table of rows: set apart by few straight cuts and by few slanted ones, far from tiny samples of rows."""

JOINT = (
    Part("forecast", "vector-autoregression", 3.0, {"lags": 3, "smooth": 10}),
    Part("drift", "vector-autoregression", 3.0, {"lags": 1, "short": 10, "long": 60, "smooth": 10}),
    Part("shape", "knn", 1.0, {"window": 8, "pool": 4_000}),
)
"""Many metrics of few entities: off their joint forecast from the last periods, from the last hour, of odd shape."""
