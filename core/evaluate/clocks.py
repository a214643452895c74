"""Whose clock is off: components that depend on each other move together, so what moves late is told late.

Neighbours' changes are compared at every lag by their cross-correlation (Box & Jenkins, Time Series Analysis, 1970,
ch. 11). Those that move together at lag zero share a clock; the most of them have the right one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from core.contracts import Bools, Floats, Panel
from core.evaluate.data_quality import REGULAR, Check, Finding, Series, State, untested

FURTHEST = 20
"""Periods that a clock is looked for to be off."""
ALIKE, CLEARER = 0.3, 0.1
"""Correlation from which two move together, and by how much more at a lag than at none."""
LEAST = 60
"""Periods below which nobody's changes are compared."""
PAIRS = 2000
"""Pairs of neighbours that are compared at most, spread evenly."""
AHEAD = 5.0
"""Seconds that a sample may lie after now, and that time stamps may lie off everybody's."""
COMMON = 0.9
"""Share of the series that must agree on when in a step they are measured for one that does not to be told of."""
SPREADS = 2
"""Periods by which what calls another may truly be later than it: those say nothing of a clock."""
CUT = 1.5
"""Typical changes at which a change is cut, so that an incident, which does spread with a delay, weighs little."""
AGREED = 0.6
"""Share of the links of a group that must tell the same lag."""


@dataclass(frozen=True)
class Skew:
    """Components whose clock is `seconds` ahead (−: behind) of most others'."""

    entities: tuple[str, ...]
    seconds: float


def lags(panel: Panel, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str, int]]:
    """(a, b, periods by which b's stamps are later) of those pairs that clearly move together."""
    change, usable = _changes(panel.values)
    length = change.shape[1]
    if length < LEAST:
        return []
    size = 1 << int(np.ceil(np.log2(length + FURTHEST)))
    waves = np.fft.rfft(change, size, axis=1)
    needed = max(ALIKE, 5.0 / np.sqrt(length))
    found = []
    for a, b in pairs[:: max(1, -(-len(pairs) // PAIRS))]:
        first, second = panel.row_of.get(a), panel.row_of.get(b)
        if first is None or second is None:
            continue
        left, right = waves[first][:, usable[first]], waves[second][:, usable[second]]
        if not left.shape[1] or not right.shape[1]:
            continue
        product = (left.conj()[:, :, None] * right[:, None, :]).reshape(len(left), -1)
        turned = np.abs(np.fft.irfft(product, size, axis=0))
        alike = np.r_[turned[-FURTHEST:], turned[: FURTHEST + 1]].max(axis=1)
        lag = int(alike.argmax()) - FURTHEST
        if alike.max() < needed or (lag and alike.max() < alike[FURTHEST] + CLEARER):
            continue
        found.append((a, b, lag))
    return found


def _changes(values: Floats) -> tuple[Floats, Bools]:
    """(n_entity, n_time − 1, n_metric) robustly scaled changes of unit length, and which of them say anything."""
    change = np.diff(values, axis=1)
    told = np.isfinite(change)
    usable = told.mean(axis=1) > 0.5
    filled = np.where(told, change, 0.0)
    spread = np.zeros(usable.shape)
    for row, column in zip(*np.nonzero(usable), strict=True):
        kept = change[row, told[row, :, column], column]
        spread[row, column] = np.median(np.abs(kept - np.median(kept)))
    usable &= spread > 0
    filled = np.clip(filled / np.where(usable, spread, 1.0)[:, None, :], -CUT, CUT)
    filled *= usable[:, None, :]
    length = np.linalg.norm(filled, axis=1, keepdims=True)
    return filled / np.where(length > 0, length, 1.0), usable


def skews(found: Sequence[tuple[str, str, int]]) -> list[tuple[tuple[str, ...], int]]:
    """Groups that share a clock off from that of the largest group, with the periods they are ahead; the largest first.

    A group that nothing links to the largest one, or whose links disagree, is not judged.
    """
    near: nx.Graph[str] = nx.Graph()
    for a, b, lag in found:
        near.add_nodes_from((a, b))
        if not lag:
            near.add_edge(a, b)
    groups = sorted(nx.connected_components(near), key=lambda group: (-len(group), min(group)))
    if len(groups) < 2:
        return []
    number = {entity: place for place, group in enumerate(groups) for entity in group}
    between: dict[tuple[int, int], list[int]] = {}
    for a, b, lag in found:
        for one, two, ahead in ((a, b, lag), (b, a, -lag)):
            between.setdefault((number[one], number[two]), []).append(ahead)
    ahead_of: dict[int, int] = {0: 0}
    waiting = [0]
    while waiting:
        start = waiting.pop(0)
        for (here, other), told in sorted(between.items()):
            if here == start and other not in ahead_of:
                lag, votes = Counter(told).most_common(1)[0]
                if votes >= AGREED * len(told):
                    ahead_of[other] = ahead_of[start] + lag
                    waiting.append(other)
    return [
        (tuple(sorted(groups[place])), ahead) for place, ahead in sorted(ahead_of.items()) if ahead
    ]


def phases(series: Series) -> dict[str, float]:
    """Seconds after everybody's that an entity's samples are stamped within a step; {} where there is no everybody's."""
    steady = np.isfinite(series.usual) & (series.usual > 2 * AHEAD) & ~_ragged(series)
    if not steady.any():
        return {}
    usual = float(np.median(series.usual[steady]))
    kept = steady & (np.abs(series.usual - usual) < 1.0)
    entity, phase = series.entity[kept].astype(str), series.first[kept] % usual
    common = _commonest(phase, usual)
    off = ~_near(phase, common, usual)
    if off.mean() > 1 - COMMON:
        return {}
    found = {}
    for who in np.unique(entity[off]).tolist():
        own = phase[entity == who]
        middle = _commonest(own, usual)
        if _near(own, middle, usual).mean() >= COMMON and not _near(middle, common, usual):
            found[who] = float((middle - common) % usual)
    return found


def _commonest(phase: Floats, usual: float) -> float:
    """The phase that most lie near, by steps of the tolerance."""
    places = np.unique(np.round(phase / AHEAD) * AHEAD)
    counts = [np.count_nonzero(_near(phase, place, usual)) for place in places]
    middle = float(places[int(np.argmax(counts))])
    near = phase[_near(phase, middle, usual)]
    apart = (near - middle + usual / 2) % usual - usual / 2
    return float((middle + np.median(apart)) % usual)


def _near(phase: Any, place: float, usual: float) -> NDArray[np.bool_]:
    apart: NDArray[np.bool_] = np.abs((phase - place + usual / 2) % usual - usual / 2) <= AHEAD
    return apart


@dataclass(frozen=True)
class Clocks:
    """Whose clock is off, and how many components were compared with their neighbours."""

    skews: tuple[Skew, ...]
    compared: int

    def shared(self, series: Series, now: float) -> tuple[float, float] | None:
        """The first and the last moment, in seconds since 1970, of which those whose clock is right and those whose
        clock is not both tell; None where there is no such stretch. A clock ahead of `now` tells of nothing after it.
        """
        off = {entity: one.seconds for one in self.skews for entity in one.entities}
        wrong = np.isin(series.entity.astype(str), list(off)) | (series.last > now + AHEAD)
        if wrong.all():
            return None
        ahead = [seconds for seconds in off.values() if seconds > 0]
        behind = [seconds for seconds in off.values() if seconds < 0]
        first = float(series.first[~wrong].min()) + max(ahead, default=0.0)
        last = float(series.last[~wrong].max()) + min(behind, default=0.0)
        return (first, last) if first < last else None


def compare(
    panel: Panel | None,
    parts: Sequence[tuple[str, str]],
    calls: Sequence[tuple[str, str]],
    series: Series,
) -> Clocks:
    """Everybody's clock beside their neighbours' and beside everybody's stamps.

    parts : what one is a part of, which moves with it at once; calls: who calls whom, which moves with it or soon after
    """
    step = 60.0 if panel is None else panel.periods.step / np.timedelta64(1, "s")
    found = []
    if panel is not None:
        steady = _steady(panel, series)
        spread = range(1, SPREADS + 1)
        found = lags(steady, parts)
        found += [link for link in lags(steady, calls) if abs(link[2]) not in spread]
    phase = phases(series) if len(series.entity) else {}
    groups = [
        Skew(entities, ahead * step + phase.get(entities[0], 0.0))
        for entities, ahead in skews(found)
    ]
    known = {entity for group in groups for entity in group.entities}
    groups += [
        Skew((who,), seconds if seconds <= step / 2 else seconds - step)
        for who, seconds in phase.items()
        if who not in known
    ]
    return Clocks(tuple(groups), len({entity for a, b, _ in found for entity in (a, b)}))


def skew(told: Clocks, series: Series, now: float, tell: Callable[[float], str]) -> Check:
    """Whether everybody's clock tells the same time.

    now : seconds since 1970; tell: such a moment in words
    """
    name, title = "clock", "Do all clocks agree?"
    rule = f"nobody ahead of now, nobody off its neighbours by a step, stamps within ± {AHEAD:g} s of everybody's"
    if not len(series.entity):
        return untested(name, title, rule, "Nothing was measured.")
    ahead_of_now = series.last > now + AHEAD
    said = [
        Finding(
            _listed(group.entities),
            f"{abs(group.seconds):,.0f} s {'ahead' if group.seconds > 0 else 'behind'}",
        )
        for group in sorted(told.skews, key=lambda group: -abs(group.seconds))
    ]
    said += [
        Finding(
            who, f"measured at {tell(float(series.last[series.entity == who].max()))}, after now"
        )
        for who in np.unique(series.entity[ahead_of_now].astype(str)).tolist()
    ]
    largest = max((abs(group.seconds) for group in told.skews), default=0.0)
    largest = max(largest, float((series.last - now).max()) if ahead_of_now.any() else 0.0)
    state: State = "fail" if said else "pass"
    looked = (
        f"{told.compared:,} components move with their neighbours and were compared"
        if told.compared
        else "No two neighbours move together, so only time stamps were compared"
    )
    return Check(
        name,
        title,
        state,
        largest,
        rule,
        f"{looked}; {'the farthest clock is off by ' + format(largest, ',.0f') + ' s' if said else 'all agree'}.",
        "Let a time service (NTP, chrony) set the clocks of the machines that are named; what was measured meanwhile "
        "is shifted: import it again with corrected times, or learn without it."
        if said
        else "",
        tuple(said[:12]),
    )


def _ragged(series: Series) -> Bools:
    ragged: Bools = series.uneven > (1 - REGULAR) * series.steps
    return ragged


def _steady(panel: Panel, series: Series) -> Panel:
    """The panel without series whose steps are uneven: what is stamped at random is early or late by chance."""
    values = panel.values.copy()
    column = {name: place for place, name in enumerate(panel.metrics)}
    for row in np.flatnonzero(_ragged(series)):
        who, which = panel.row_of.get(series.entity[row]), column.get(series.metric[row])
        if who is not None and which is not None:
            values[who, :, which] = np.nan
    return panel.with_values(values)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
