"""Season and level taken off by loess, and two ways to judge the rest."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from core.contracts import (
    Bools,
    Detector,
    Floats,
    OnStep,
    Panel,
    Params,
    Periods,
    State,
    Tags,
    param,
)
from core.detectors.series import LEAST
from core.entities import row_of
from core.features.period import usual_window
from core.features.scaling import MAD_TO_SD, Scale, robust_scale

ROUNDS = 5
"""Robust rounds of the decomposition: outliers lose their weight in the second, and hardly change after the fifth."""
JUMP = 7
"""A smooth curve is computed at one point in so many of the period and drawn straight between."""
SHORTEST = 7
"""Least periods whose median is the level."""


@dataclass(frozen=True)
class DecompositionParams(Params):
    period: int = param(
        0,
        help="Periods of the season; 0 = found in each metric",
        low=0,
        high=10_000,
        unit="periods",
    )
    align: str = param(
        "trailing",
        help="Season as learned and level so far (causal), or both from the whole panel (looks ahead)",
        choices=("trailing", "centre"),
    )


class DecompositionDetector(Detector):
    """Base of the detectors that judge what season and level leave over, metric by metric.

    Training decomposes each metric of each entity (STL, robust) and keeps the median of its season at each
    phase of the clock. With `align` "trailing" that season is taken off later panels; with "centre" each
    panel is decomposed itself. An entity that was not there in training is given the mean season of all.
    A missing value is drawn straight between its neighbours and is given no score.

    A subclass says what is left (`_whole`, `_late`) and how large that usually is (`_usual`).
    """

    tags = Tags(min_times=LEAST, extra="forecasters", modules=("statsmodels",))
    Params = DecompositionParams

    @abstractmethod
    def _whole(self, values: Floats, season: Floats, profile: Floats, level: Floats) -> Floats:
        """What is left of a whole series, from its season, that season's steady part, and its level."""

    @abstractmethod
    def _late(self, values: Floats, length: int) -> Floats:
        """What is left of a series without its season of `length`, at each period from those up to it."""

    @abstractmethod
    def _usual(self, rest: Floats) -> tuple[float, float]:
        """Centre of the rest, and the distance from it that scores 1."""

    def _fit(self, panel: Panel, labels: Bools | None, on_step: OnStep | None) -> State:
        scale = Scale.learn(panel.values)
        values = (panel.values - scale.centre) / scale.spread
        state: dict[str, Any] = {**scale.state, "entities": "\n".join(panel.entities)}
        usual = np.empty((2, *values.shape[::2]))
        for metric, series in enumerate(np.moveaxis(values, 2, 0)):
            length = self.params.period or usual_window(series)
            phase = _phase(panel.periods, length)
            state[f"season.{metric}"] = np.zeros((len(series), length))
            for row, one in enumerate(map(_drawn, series)):
                season, _ = _decomposed(one, length)
                profile = _profile(season, phase, length)
                state[f"season.{metric}"][row] = profile
                usual[:, row, metric] = self._usual(self._late(one - profile[phase], length))
        return {**state, "usual": usual[0], "reach": usual[1]}

    def _open(self, state: State) -> Any:
        return {**state, "row_of": row_of(state)}

    def _score(self, scorer: Any, panel: Panel) -> Floats:
        values = (panel.values - scorer["centre"]) / scorer["spread"]
        rows = [scorer["row_of"].get(entity) for entity in panel.entities]
        judge = self._judged_late if self.params.align == "trailing" else self._judged_whole
        scores = np.zeros(values.shape[:2])
        for metric, series in enumerate(np.moveaxis(values, 2, 0)):
            length = scorer[f"season.{metric}"].shape[1]
            phase = _phase(panel.periods, length)
            for at, row in enumerate(rows):
                judged = judge(scorer, _drawn(series[at]), metric, row, phase)
                seen = ~np.isnan(series[at])
                scores[at, seen] = np.maximum(scores[at, seen], judged[seen])
        return scores

    def _judged_late(
        self, scorer: Any, values: Floats, metric: int, row: int | None, phase: NDArray[np.intp]
    ) -> Floats:
        season, usual, reach = scorer[f"season.{metric}"], scorer["usual"], scorer["reach"]
        profile = season.mean(axis=0) if row is None else season[row]
        centre, one = (
            np.median(known[:, metric]) if row is None else known[row, metric]
            for known in (usual, reach)
        )
        rest = self._late(values - profile[phase], season.shape[1])
        return np.asarray(np.abs(rest - centre) / one)

    def _judged_whole(
        self, scorer: Any, values: Floats, metric: int, row: int | None, phase: NDArray[np.intp]
    ) -> Floats:
        length = scorer[f"season.{metric}"].shape[1]
        season, level = _decomposed(values, length)
        rest = self._whole(values, season, _profile(season, phase, length)[phase], level)
        centre, one = self._usual(rest)
        return np.asarray(np.abs(rest - centre) / one)


class StlResidual(DecompositionDetector):
    """How far a value lies from its season and its level.

    The rest after season and level, in robust standard deviations that it had in training. With `align`
    "trailing" the level is the median of one season before the period, the season taken off; with "centre"
    season and level are those of the decomposition of the whole panel, and the season may change slowly.

    Good for: spikes, dips and steps in seasonal series; a baseline that can be drawn.
    Bad for: seasons that move in time or overlap; slow drifts, which the level follows.
    Score: robust standard deviations, 0 and up, of the worst metric. Cost: about 10 µs per value to
    decompose, 1 µs to judge.

    Source: Cleveland et al., STL: A Seasonal-Trend Decomposition Procedure Based on Loess (Journal of
    Official Statistics 1990), sections 2–3, in the form of statsmodels.
    """

    name = "stl-residual"
    source = (
        "Cleveland et al., STL: A Seasonal-Trend Decomposition Procedure Based on Loess "
        "(Journal of Official Statistics 1990), sections 2–3"
    )

    def _whole(self, values: Floats, season: Floats, profile: Floats, level: Floats) -> Floats:
        return values - season - level

    def _late(self, values: Floats, length: int) -> Floats:
        span = min(max(SHORTEST, length), len(values))
        led = np.pad(values[:-1], (span, 0), mode="edge")
        return values - np.median(sliding_window_view(led, span), axis=1)

    def _usual(self, rest: Floats) -> tuple[float, float]:
        centre, spread = robust_scale(rest, axis=0)
        return float(centre), float(spread)


@dataclass(frozen=True)
class SeasonalEsdParams(DecompositionParams):
    most: float = param(
        0.02,
        help="Largest share of the periods that the test may find anomalous",
        low=0.0,
        high=0.49,
    )
    alpha: float = param(0.05, help="Level of the test", low=1e-6, high=0.5)


class SeasonalEsd(DecompositionDetector):
    """How far a value lies beyond what an outlier test still allows, the season taken off.

    A series less its steady season goes through the generalised ESD test with median and median absolute
    deviation (S-H-ESD): the farthest value is taken out, one after the other, up to the share `most`; those
    up to the last one beyond its critical distance are outliers. What is left tells the median, the deviation
    and the next critical distance. With `align` "trailing" they come from training, with "centre" from the
    panel itself.

    Good for: global outliers under a steady season, with a test that knows how many values it looked at.
    Bad for: trends and level shifts, which it sees as long anomalies; seasons that change.
    Score: critical distances, 0 and up, of the worst metric: above 1 the test calls it an outlier.
    Cost: about 10 µs per value to decompose.

    Source: Hochenbaum, Vallis & Kejariwal, Automatic Anomaly Detection in the Cloud Via Statistical
    Learning (2017), sections 3–4; Rosner, Percentage Points for a Generalized ESD Many-Outlier Procedure
    (Technometrics 1983).
    """

    name = "seasonal-esd"
    source = (
        "Hochenbaum, Vallis & Kejariwal, Automatic Anomaly Detection in the Cloud Via Statistical "
        "Learning (2017), sections 3–4"
    )
    Params = SeasonalEsdParams

    def _whole(self, values: Floats, season: Floats, profile: Floats, level: Floats) -> Floats:
        return values - profile

    def _late(self, values: Floats, length: int) -> Floats:
        return values

    def _usual(self, rest: Floats) -> tuple[float, float]:
        left, critical = esd(rest, self.params.most, self.params.alpha)
        centre, spread = robust_scale(left, axis=0)
        return float(centre), float(spread) * critical


def esd(values: Floats, most: float, alpha: float) -> tuple[Floats, float]:
    """What the generalised ESD test leaves of values, ascending, and the distance critical for the next one.

    Distances are from the median, in robust standard deviations.
    """
    from scipy.special import stdtrit

    ranked = np.sort(values)
    n, taken = len(ranked), 0
    kept = low, high = 0, n
    rank = np.arange(min(int(most * n), n - 3) + 1)
    # Rosner's critical values λ, for the first value taken out, the second, …
    degrees = n - rank - 2.0
    quantile = stdtrit(degrees, 1.0 - alpha / (2.0 * (n - rank)))
    critical = (n - rank - 1) * quantile / np.sqrt((degrees + quantile**2) * (n - rank))
    for index in rank[:-1]:
        centre = ranked[(low + high) // 2]
        spread = MAD_TO_SD * np.median(np.abs(ranked[low:high] - centre))
        below, above = centre - ranked[low], ranked[high - 1] - centre
        low, high = (low + 1, high) if below > above else (low, high - 1)
        if max(below, above) > critical[index] * spread:
            taken, kept = index + 1, (low, high)
    return ranked[slice(*kept)], float(critical[taken])


def _phase(periods: Periods, length: int) -> NDArray[np.intp]:
    """(n_time,) where each period stands in a season of so many, by the clock."""
    start = periods.labels[:1].astype("datetime64[s]") - np.datetime64("1970-01-01", "s")
    first = int((start // periods.step)[0])
    return (first + np.arange(len(periods))) % length


def _drawn(series: Floats) -> Floats:
    """(n_time,) with gaps drawn straight between their neighbours; 0 where nothing is known."""
    known = ~np.isnan(series)
    if known.all() or not known.any():
        return np.nan_to_num(series)
    at = np.arange(len(series))
    return np.interp(at, at[known], series[known])


def _decomposed(values: Floats, length: int) -> tuple[Floats, Floats]:
    """Season and level of a series; no season where it is shorter than two of them."""
    if length < 2 or len(values) < 2 * length:
        return np.zeros_like(values), np.full_like(values, np.median(values))
    from statsmodels.tsa.seasonal import STL

    jump = max(1, length // JUMP)
    model = STL(values, period=length, robust=True, trend_jump=jump, low_pass_jump=jump)
    parts = model.fit(inner_iter=1, outer_iter=ROUNDS)
    return np.asarray(parts.seasonal), np.asarray(parts.trend)


def _profile(season: Floats, phase: NDArray[np.intp], length: int) -> Floats:
    """(length,) median of the season at each phase; 0 at phases that were not reached."""
    if len(season) < length:
        return np.zeros(length)
    cycles = -(-(phase[0] + len(season)) // length)
    table = np.full(cycles * length, np.nan)
    table[phase[0] : phase[0] + len(season)] = season
    return np.asarray(np.nanmedian(table.reshape(cycles, length), axis=0))
