"""One long series of one metric, in two readings: as a finished record, or as a stream that is judged as it comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from core.contracts import Floats, Panel, State
from core.ensembles.residual import residuals
from core.ensembles.shape import READINGS, discrepancy, nearest, novelty, plateau
from core.ensembles.surprise import WARM, running_surprise, surprise, together
from core.features.period import period

LENGTHS = (0.5, 1.0, 2.0, 4.0)
"""Windows of a finished record, in periods of the series."""
SHORTEST, SHARE = 4, 8
"""Least length of a window, and the share of the series that one may take."""
PLACE, POINT = 0.3, 0.14
"""Weight of where a window differs, and of single points per unit of how far their rarest stand out."""
RARE, RAREST, MOST = 0.99, 0.999, 10.0
"""Quantiles whose ratio says how far the rarest points stand out from the rare ones, and where it ends."""
EXTREME = 7.0
"""Decades of surprise that make a point an event."""
SPREAD, WIDEST = 0.003, 10.0
"""Share of the mean time between events, and periods at most, in which an event's surprise fades by half."""
SPANS = (80, 60, 40, 30, 20, 15)
"""Parts of the learned history that the spans of a stream are."""
REFRACTORY = 5
"""Part of the learned history in which an event that goes on is not told again."""
LEVEL = 0.5
"""Decades by which it must grow to be told again all the same."""
REACH = 1e4
"""Spreads beyond which one value is as far out as another."""


def learn(panel: Panel) -> State:
    """What a series remembers: its values with their times, its period, its usual level and spread."""
    values = np.stack([_filled(row) for row in panel.values[:, :, 0]])
    centre, spread = values.mean(axis=1), values.std(axis=1)
    return {
        "entities": "\n".join(panel.entities),
        "values": values,
        "times": panel.periods.labels.astype("datetime64[s]").astype(np.int64),
        "period": np.array([period(row) for row in values]),
        "centre": centre,
        "spread": np.where(spread > 1e-12 * np.maximum(np.abs(centre), 1.0), spread, 1.0),
    }


def record(panel: Panel, state: State) -> dict[str, Floats]:
    """Surprise of each family in a finished record, (n_entity, n_time); the whole of it is looked at.

    shape : distance of the windows that hold a period from their most similar others, at four lengths in
            three readings; windows that share a period with another are no match for it
    place : where in those windows the difference lies
    point : residuals of single values
    """
    return _each(panel, state, _record)


def stream(panel: Panel, state: State) -> dict[str, Floats]:
    """Surprise of each span in a stream, (n_entity, n_time): against the whole past alone.

    Each span, from an 80th to a 15th of the learned history, is told by its spread, its least and its largest
    value; the score is how far that lies from the most similar span that ended before it began.
    """
    return _each(panel, state, _stream)


def picture(parts: Mapping[str, Floats]) -> Floats:
    """The families of a record as one surprise: the root of the sum of their weighted squares.

    Points count by how far the rarest of them stand out from the rare ones: where spikes are a population of
    their own they decide, where residuals merely have a tail the shapes do.
    """
    point = parts["point"]
    rare, rarest = np.quantile(point, (RARE, RAREST), axis=1)
    outstanding = np.minimum(rarest / np.maximum(rare, 1e-9), MOST)[:, None]
    spread = outstanding * np.stack([_faded(row) for row in point])
    weighted = (parts["shape"], PLACE * parts["place"], POINT * spread)
    return np.asarray(np.sqrt(np.sum(np.square(weighted), axis=0)))


def agreement(parts: Mapping[str, Floats]) -> Floats:
    """The spans of a stream as one surprise: their mean, the logarithm of Fisher's combination."""
    return np.asarray(np.mean(list(parts.values()), axis=0))


def news(evidence: Floats, state: State) -> Floats:
    """The evidence where an event begins or grows, (n_entity, n_time); squeezed below 1 where it merely goes on.

    An event goes on while no half decade is passed that the last periods, a fifth as many as were learned, had
    not passed already.
    """
    refractory = max(1, np.asarray(state["values"]).shape[1] // REFRACTORY)
    steps = np.pad(np.floor(evidence / LEVEL), ((0, 0), (refractory, 0)))
    recent = np.lib.stride_tricks.sliding_window_view(steps[:, :-1], refractory, axis=1)
    begins = np.floor(evidence / LEVEL) > recent.max(axis=-1)
    return np.where(begins, evidence, evidence / (1.0 + evidence))


# ── One series ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Track:
    """One series in spreads from its usual level, without gaps.

    learned : periods that were there in training
    season  : its period
    """

    values: Floats
    learned: int
    season: int


def _record(track: Track) -> dict[str, Floats]:
    values, season = track.values, track.season
    shape, place = [], []
    for share in LENGTHS:
        length = int(np.clip(round(share * season), SHORTEST, max(len(values) // SHARE, SHORTEST)))
        found = nearest(values, length)
        places = discrepancy(values, found)
        for reading in range(len(READINGS)):
            distance = found.distance[reading]
            known = np.isfinite(distance)
            distance = np.where(known, distance, distance[known].max() if known.any() else 0.0)
            shape.append(surprise(plateau(distance, length)))
            place.append(surprise(places[reading]))
    points = [surprise(residual) for residual in residuals(values, season).values()]
    # each family is laid on the scale of the others once more
    return {
        "shape": surprise(together(shape)),
        "place": surprise(together(place)),
        "point": surprise(together(points)),
    }


def _faded(surprises: Floats) -> Floats:
    """Surprise that fades by and by to both sides: what happens beside an event belongs to it.

    The rarer the events the longer it takes; where every 20th point is one, none reaches its neighbour.
    """
    extreme = surprises > EXTREME
    events = int(np.count_nonzero(extreme[1:] & ~extreme[:-1])) + int(extreme[0])
    half = min(WIDEST, SPREAD * len(surprises) / (1 + events))
    reach = int(np.ceil(6.0 * half))
    faded = surprises
    for lag in range(1, reach + 1):
        weaker = 0.5 ** (lag / half) * surprises
        faded = np.maximum(faded, np.concatenate([np.zeros(lag), weaker[:-lag]])[: len(faded)])
        faded = np.maximum(faded, np.concatenate([weaker[lag:], np.zeros(lag)])[-len(faded) :])
    return faded


def _stream(track: Track) -> dict[str, Floats]:
    parts = {}
    for share in SPANS:
        span = max(2, track.learned // share)
        far = novelty(_outline(track.values, span), span)
        parts[f"1/{share} of the history"] = running_surprise(far, WARM)
    return parts


def _outline(values: Floats, span: int) -> Floats:
    """(n_time, 3): standard deviation, least and largest of the last `span` values, of the first one before it."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, (span - 1, 0), "edge"), span)
    return np.stack([_spread(values, span), windows.min(axis=1), windows.max(axis=1)], axis=1)


def _spread(values: Floats, span: int) -> Floats:
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - span, 0)
    sums, squares = (
        np.concatenate(([0.0], np.cumsum(column))) for column in (values, values * values)
    )
    mean = (sums[stop] - sums[start]) / (stop - start)
    power = (squares[stop] - squares[start]) / (stop - start)
    return np.sqrt(np.maximum(power - mean * mean, 0.0))


def _each(
    panel: Panel, state: State, parts: Callable[[Track], dict[str, Floats]]
) -> dict[str, Floats]:
    """The parts of every series, each with the past that the state remembers of it before the panel begins."""
    known = {entity: row for row, entity in enumerate(str(state["entities"]).split("\n"))}
    remembered, times, centres, spreads, periods = (
        np.asarray(state[role]) for role in ("values", "times", "centre", "spread", "period")
    )
    begins = panel.periods.labels[0].astype("datetime64[s]").astype(np.int64)
    n_time = len(panel.periods)
    found: dict[str, list[Floats]] = {}
    for entity, row in zip(panel.entities, panel.values[:, :, 0], strict=True):
        at = known.get(entity, -1)
        past = remembered[at][times < begins] if at >= 0 else np.empty(0)
        centre = centres[at] if at >= 0 else np.median(centres)
        spread = spreads[at] if at >= 0 else np.median(spreads)
        season = int(periods[at] if at >= 0 else np.median(periods))
        joined = np.concatenate([past, _filled(row, past[-1] if len(past) else centre)])
        scaled = np.clip((joined - centre) / spread, -REACH, REACH)
        for name, surprises in parts(Track(scaled, remembered.shape[1], season)).items():
            found.setdefault(name, []).append(surprises[-n_time:])
    return {name: np.stack(rows) for name, rows in found.items()}


def _filled(row: Floats, start: float = np.nan) -> Floats:
    """The last value goes on where one is missing; before the first one, `start`, else the first one."""
    seen = np.isfinite(row)
    if not seen.any():
        return np.full(len(row), 0.0 if np.isnan(start) else start)
    latest = np.maximum.accumulate(np.where(seen, np.arange(len(row)), -1))
    lead = row[seen.argmax()] if np.isnan(start) else start
    return np.asarray(np.where(latest >= 0, row[latest], lead))
