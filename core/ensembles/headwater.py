"""Headwater's own detector: what a panel looks like decides how it is judged, and no label is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from core import lifecycle
from core.adaptive import adaptive_p
from core.contracts import Bools, Detector, Floats, OnStep, Panel, Params, State, Tags, param
from core.ensembles import evidence, pool, series
from core.ensembles.evidence import JOINT, TABLE, Part
from core.errors import InvalidInputError, NotEnoughDataError
from core.parts import above, under
from core.threshold import Threshold

LONG = 100
"""Periods from which a series has shapes of its own to be compared."""
LEAST = 50
"""Rows from which a table is one to be cut and sampled."""


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
    parts   : panel and opened state → surprise of each part, −log10 p, (n_entity, n_time)
    combine : the parts → the evidence
    tell    : evidence and opened state → the score: the evidence, or the news in it
    open    : state → what `parts` and `tell` work with
    """

    fits: Callable[[Look], bool]
    learn: Callable[[Panel], State]
    parts: Callable[[Panel, Any], dict[str, Floats]]
    combine: Callable[[Mapping[str, Floats]], Floats]
    tell: Callable[[Floats, Any], Floats] = lambda evidence, _: evidence
    open: Callable[[State], Any] = lambda state: state


def _witnessed(fits: Callable[[Look], bool], parts: Sequence[Part]) -> Regime:
    """The regime of panels that detectors of the catalogue testify on."""
    return Regime(
        fits,
        partial(evidence.learn, parts),
        evidence.surprises,
        partial(evidence.weighed, parts),
        open=partial(evidence.ready, parts),
    )


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
    "joint": _witnessed(lambda look: look.n_metric > 1 and look.n_time >= LONG, JOINT),
    "table": _witnessed(lambda look: look.n_time == 1 and look.n_entity >= LEAST, TABLE),
    "pool": Regime(lambda _: True, pool.learn, pool.parts, pool.agreement),
}
"""By name; the first that fits is taken."""


class Headwater(Detector):
    """Several families of evidence on one scale of surprise, chosen by the look of the panel alone.

    Each part says how seldom its own score is as high, in decades; the parts are added, and `p_values`
    calibrates the sum by adaptive conformal inference. No label, no tuning, no randomness.

    - One metric over 100 periods or more, as a stream (align "trailing"): the spread, the least and the
      largest value of the latest span, for six spans from an 80th to a 15th of the learned history, against
      every earlier span. The score is news: high where an event begins or grows, below 1 while it goes on.
    - The same as a finished record (align "centre"): the distance of every window from its most similar other
      one, at four lengths around the period, raw, centred and by form alone; where in the window the
      difference lies; and residuals of single points, which count by how far the rarest of them stand out.
      Windows that share a period are never compared.
    - Anything else: rows of all entities, by their furthest metric and by their nearest learned rows.

    Of a series that was there in training the values before the scored panel are remembered. The p-values are
    of the evidence itself, not of the news in it.

    Good for: a series or a panel that nobody has studied yet. Bad for: anomalies that fill a large part of the
    record, those that are told by knowledge outside of it, and, as a stream, those shorter than an 80th of the
    history that stay within the range of the values before them.
    Score: decades of surprise, 0 and up. Cost: a few ns per pair of periods of a series, a few µs per row.

    Source: discords as by Zhu et al., Matrix Profile II (ICDM 2016); combination by Fisher, Statistical
    Methods for Research Workers (1932), section 21.1; p-values as in core/adaptive.py.
    """

    name = "headwater"
    kind = "ensemble"
    source = "Discords as by Zhu et al., Matrix Profile II (ICDM 2016), over calibrated surprises added up"
    # its joint forecast is a matrix product, which other threads add up in another order
    tags = Tags(min_times=1, modules=("numba", "scipy", "sklearn"), tolerance=1e-9)
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
        """p-values of the whole and of each part, in one pass; those before the newest `last` are 1.

        Raises NotEnoughDataError for a single period where several were learned from.
        """
        self._check_metrics(panel)
        n_entity, n_time = panel.values.shape[:2]
        with lifecycle.operation(self.name, self.model_id, "score", n_entity, n_time):
            parts = self._regime.parts(panel, self.scorer)
        spoken = np.isfinite(panel.values).any(axis=2)
        spoken &= np.arange(n_time) >= n_time - (n_time if last is None else last)
        told = self._regime.combine(parts)
        p = adaptive_p(told) if n_time > 1 else self._calibration.p_values(told)
        return np.where(spoken, p, 1.0), {
            name: np.where(spoken, 10.0**-surprise, 1.0) for name, surprise in parts.items()
        }

    def attribute(self, panel: Panel) -> Floats:
        """What each metric adds to the failure of the joint forecast, (n_entity, n_time, n_metric), 0 and up.

        Only several metrics over a long time have a joint forecast; any other panel is refused.
        """
        self._check_metrics(panel)
        if self.regime != "joint":
            raise InvalidInputError.of(
                self.name, "the panel", "one of several metrics over 200 periods", self.regime
            )
        forecast = next(
            witness.detector for witness in self.scorer if witness.part.name == "forecast"
        )
        return np.asarray(forecast.attribute(panel))

    @property
    def _regime(self) -> Regime:
        return REGIMES[self.regime]

    def _fit(self, panel: Panel, labels: Bools | None, on_step: OnStep | None) -> State:
        if labels is not None:
            panel = panel.with_values(np.where(labels[:, :, None], np.nan, panel.values))
        n_entity, n_time, n_metric = panel.values.shape
        look = Look(n_entity, n_time, n_metric, self.params.align)
        name = next(name for name, regime in REGIMES.items() if regime.fits(look))
        regime = REGIMES[name]
        state = dict(regime.learn(panel))
        if n_time == 1:
            told = regime.combine(regime.parts(panel, regime.open(state)))
            state |= above(Threshold.fit(told).to_state(), "calibration")
        return {"regime": name, **state}

    @property
    def _calibration(self) -> Threshold:
        """What a row of a table means; rows have no order in which a calibration could adapt."""
        learned = under(self.state, "calibration")
        if not learned:
            rule = (
                "at least 2 where several were learned from: each is compared with those before it"
            )
            raise NotEnoughDataError.of(
                self.name, "the periods to judge", rule, 1, "Its score needs no others."
            )
        return Threshold.from_state(learned)

    def _open(self, state: State) -> Any:
        return REGIMES[str(state["regime"])].open(state)

    def _score(self, scorer: Any, panel: Panel) -> Floats:
        return self._regime.tell(self._regime.combine(self._regime.parts(panel, scorer)), scorer)
