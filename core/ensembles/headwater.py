"""Headwater's own detector: what a panel looks like decides how it is judged, and no label is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core import lifecycle
from core.adaptive import adaptive_p
from core.contracts import Bools, Detector, Floats, OnStep, Panel, Params, State, Tags, param
from core.ensembles import pool, series

LONG = 200
"""Periods from which a series has shapes of its own to be compared."""


@dataclass(frozen=True)
class HeadwaterParams(Params):
    align: str = param(
        "trailing",
        help="Judge as a stream, by the past alone (causal), or as a finished record (looks ahead)",
        choices=("trailing", "centre"),
    )


@dataclass(frozen=True)
class Look:
    """All that decides how a panel is judged."""

    n_entity: int
    n_time: int
    n_metric: int
    align: str


@dataclass(frozen=True)
class Regime:
    """How panels of one look are judged.

    fits    : whether a panel looks so
    learn   : panel → state
    parts   : panel and state → surprise of each part, −log10 p, (n_entity, n_time)
    combine : the parts → the evidence
    tell    : evidence and state → the score: the evidence, or the news in it
    """

    fits: Callable[[Look], bool]
    learn: Callable[[Panel], State]
    parts: Callable[[Panel, State], dict[str, Floats]]
    combine: Callable[[Mapping[str, Floats]], Floats]
    tell: Callable[[Floats, State], Floats] = lambda evidence, _: evidence


REGIMES: Mapping[str, Regime] = {
    "record": Regime(
        lambda look: look.n_metric == 1 and look.n_time >= LONG and look.align == "centre",
        series.learn,
        series.record,
        series.picture,
    ),
    "stream": Regime(
        lambda look: look.n_metric == 1 and look.n_time >= LONG,
        series.learn,
        series.stream,
        series.agreement,
        series.news,
    ),
    "pool": Regime(lambda _: True, pool.learn, pool.parts, pool.agreement),
}
"""By name; the first that fits is taken."""


class Headwater(Detector):
    """Several families of evidence on one scale of surprise, chosen by the look of the panel alone.

    Each part says how seldom its own score is as high, in decades; the parts are added, and `p_values`
    calibrates the sum by adaptive conformal inference. No label, no tuning, no randomness.

    - One metric over 200 periods or more, as a stream (align "trailing"): every value against the whole past,
      in windows of 2, 8 and 32 periods and in level and spread over longer spans. The score is news: high
      where an event begins or grows, below 1 while it merely goes on.
    - The same as a finished record (align "centre"): the distance of every window from its most similar other
      one, at four lengths around the period, raw, centred and by form alone; where in the window the
      difference lies; and residuals of single points. Windows that share a period are never compared.
    - Anything else: rows of all entities, by their furthest metric and by their nearest learned rows.

    Of a series that was there in training the values before the scored panel are remembered.

    Good for: a series or a panel that nobody has studied yet. Bad for: anomalies that fill a large part of the
    record, and those that are told by knowledge outside of it.
    Score: decades of surprise, 0 and up. Cost: a few ns per pair of periods of a series, a few µs per row.

    Source: discords as by Zhu et al., Matrix Profile II (ICDM 2016); combination by Fisher, Statistical
    Methods for Research Workers (1932), section 21.1; p-values as in core/adaptive.py.
    """

    name = "headwater"
    kind = "ensemble"
    source = "Discords as by Zhu et al., Matrix Profile II (ICDM 2016), over calibrated surprises added up"
    tags = Tags(min_times=1, modules=("numba", "scipy"))
    Params = HeadwaterParams

    @property
    def regime(self) -> str:
        """The look that the panel had in training."""
        return str(self.state["regime"])

    def p_values(self, panel: Panel) -> Floats:
        """(n_entity, n_time) p-values whose alarm rate follows the nominal one; 1 where nothing was observed."""
        return self.judge(panel)[0]

    def part_p_values(self, panel: Panel) -> dict[str, Floats]:
        """p-values of each part, (n_entity, n_time) by name."""
        return self.judge(panel)[1]

    def judge(self, panel: Panel, last: int | None = None) -> tuple[Floats, dict[str, Floats]]:
        """p-values of the whole and of each part, in one pass; those before the newest `last` are 1."""
        self._check_metrics(panel)
        n_entity, n_time = panel.values.shape[:2]
        with lifecycle.operation(self.name, self.model_id, "score", n_entity, n_time):
            parts = self._regime.parts(panel, self.state)
        spoken = np.isfinite(panel.values).any(axis=2)
        spoken &= np.arange(n_time) >= n_time - (n_time if last is None else last)
        p = adaptive_p(self._regime.combine(parts))
        return np.where(spoken, p, 1.0), {
            name: np.where(spoken, 10.0**-surprise, 1.0) for name, surprise in parts.items()
        }

    @property
    def _regime(self) -> Regime:
        return REGIMES[self.regime]

    def _fit(self, panel: Panel, labels: Bools | None, on_step: OnStep | None) -> State:
        if labels is not None:
            panel = panel.with_values(np.where(labels[:, :, None], np.nan, panel.values))
        n_entity, n_time, n_metric = panel.values.shape
        look = Look(n_entity, n_time, n_metric, self.params.align)
        name = next(name for name, regime in REGIMES.items() if regime.fits(look))
        return {"regime": name, **REGIMES[name].learn(panel)}

    def _score(self, scorer: Any, panel: Panel) -> Floats:
        regime = REGIMES[str(scorer["regime"])]
        return regime.tell(regime.combine(regime.parts(panel, scorer)), scorer)
