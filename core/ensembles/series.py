"""One long series of one metric, in two readings: as a finished record, or as a stream that is judged as it comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from core.contracts import Floats, Panel, State
from core.ensembles.residual import residuals
from core.ensembles.shape import READINGS, discrepancy, nearest, novelty, plateau
from core.ensembles.surprise import running_surprise, surprise, together
from core.features.period import period

LENGTHS = (0.5, 1.0, 2.0, 4.0)
"""Windows of a finished record, in periods of the series."""
SHORTEST, SHARE = 4, 8
"""Least length of a window, and the share of the series that one may take."""
EVIDENCE = {"shape": 1.0, "place": 0.1, "point": 0.2}
"""What the families add to each other: the window that is odd, where in it, and single points."""
STREAM = (2, 8, 32)
"""Windows of a stream: the value in its context, a short course, a longer one."""
SPANS = (20, 8)
"""Parts of the learned history over which a stream's level and spread are taken."""
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
    """Surprise of each part in a stream, (n_entity, n_time): every value against the whole past alone.

    value, course, curve : windows of 2, 8 and 32 periods, as they are, against all earlier ones
    level, regime        : mean and spread over a 20th and an 8th of the learned history, likewise
    """
    return _each(panel, state, _stream)


def picture(parts: Mapping[str, Floats]) -> Floats:
    """The families of a record as one surprise."""
    return np.asarray(sum(EVIDENCE[name] * parts[name] for name in EVIDENCE))


def agreement(parts: Mapping[str, Floats]) -> Floats:
    """The parts of a stream as one surprise: their mean, the logarithm of Fisher's combination."""
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


def _stream(track: Track) -> dict[str, Floats]:
    values = track.values
    parts = {}
    for name, length in zip(("value", "course", "curve"), STREAM, strict=True):
        far = np.zeros(len(values))
        if len(values) > 2 * length:
            distance = nearest(values, length, causal=True).distance[0]
            far[length - 1 :] = np.where(np.isfinite(distance), distance, 0.0)
        parts[name] = running_surprise(far, 2 * length)
    for name, share in zip(("level", "regime"), SPANS, strict=True):
        span = max(2, track.learned // share)
        parts[name] = running_surprise(novelty(_moments(values, span), span), 30)
    return parts


def _moments(values: Floats, span: int) -> Floats:
    """(n_time, 2): mean and spread of the last `span` values, of those there are at the start."""
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - span, 0)
    sums, squares = (
        np.concatenate(([0.0], np.cumsum(column))) for column in (values, values * values)
    )
    mean = (sums[stop] - sums[start]) / (stop - start)
    power = (squares[stop] - squares[start]) / (stop - start)
    return np.stack([mean, np.sqrt(np.maximum(power - mean * mean, 0.0))], axis=1)


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
