"""What state changes say of each suspect: who did what it never does, and had just done it when the alarm came.

A suspect is odd by the strongest of three surprises: it is in a state in which normal runs hardly ever are; it has not
followed its cause for longer than it ever takes (a stuck valve does nothing, which no list of recent events shows); or
it moved although nothing that moves it had. What its own causes explain is taken off. Each alarm is a contest of its own
among the nodes up to a few hops upstream, judged at the moment of that alarm: of several causes each wins its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.cases import Case, Numbers
from core.contracts import Floats, Times
from core.errors import InvalidInputError
from core.events import EventTable
from core.rootcause.evidence.habits import AT_ONCE, Habits, habits
from core.rootcause.evidence.suspects import Suspects, Term, paths

WHO = "headwater-cause"
TERMS = (
    Term("odd", 0.75, "strongest of: state never seen, no answer to its cause, moved unprovoked"),
    Term("own", 0.75, "that minus the oddest of its causes"),
    Term("fresh", 0.3, "changed so shortly before the alarm as it hardly ever does", proof=False),
    Term("hops", -0.3, "edges to the alarm", proof=False),
)
NAMES = tuple(term.name for term in TERMS)
EDGE = float(np.log(50.0))
"""A surprise of 1 in 50 is the edge of normal, as of metrics."""


@dataclass(frozen=True, eq=False)
class _Past:
    """What a node did up to a moment: times, states as text and number, and the places where the state changed."""

    time: Floats
    texts: tuple[str, ...]
    numbers: Floats
    changes: tuple[int, ...]


@dataclass(frozen=True)
class _Oddity:
    novelty: float
    overdue: float
    unprovoked: float
    fresh: float
    changed: float | None

    @property
    def most(self) -> float:
        return max(self.novelty, self.overdue, self.unprovoked)


def suspects(case: Case, hops: int) -> Suspects:
    """Candidates upstream of each alarm, with their features; raises where there are no normal runs to compare with."""
    if case.events is None or not isinstance(case.normal, EventTable):
        raise InvalidInputError.of(WHO, "the case", "given with events and normal runs", "neither")
    known, pasts, wiring = habits(case.normal), _pasts(case.events), case.graph.wiring
    alarmed = float(_seconds(np.array([case.alarm.at]))[0])
    nodes: list[str] = []
    contests: list[Numbers] = []
    features: list[Floats] = []
    ways: list[tuple[str, ...]] = []
    oddities: list[tuple[_Oddity, float]] = []
    for seed in case.seeds:
        moment = _fired(known, pasts.get(seed), seed, alarmed)
        distance = wiring.hops((seed,), hops)
        suspected = distance >= 0
        suspected[[wiring.number[one] for one in case.seeds]] = False
        found = np.flatnonzero(suspected)
        names = [wiring.nodes[number] for number in found.tolist()]
        here = [_oddity(case, known, pasts, node, moment) for node in names]
        odd = np.zeros(len(distance))
        odd[found] = [oddity.most for oddity in here]
        values = {
            "odd": odd[found],
            "own": (odd - wiring.edges.among(suspected).most(odd))[found],
            "fresh": np.array([oddity.fresh for oddity in here]),
            "hops": distance[found].astype(np.float64),
        }
        if here:
            contests.append(np.arange(len(nodes), len(nodes) + len(here)))
        features.append(np.column_stack([values[name] for name in NAMES]))
        ways += paths(wiring, distance, odd, found)
        nodes += names
        oddities += [(oddity, moment) for oddity in here]
    changed = [at if oddity.changed is None else oddity.changed for oddity, at in oddities]
    return Suspects(
        tuple(nodes),
        np.concatenate(features),
        tuple(contests),
        np.array([oddity.most / EDGE for oddity, _ in oddities]),
        np.array([round(1e6 * at) for at in changed], dtype="datetime64[us]"),
        tuple(ways),
        tuple(_told(oddity, at) for oddity, at in oddities),
        ("unknown",) * len(nodes),
    )


def _pasts(events: EventTable) -> dict[str, _Past]:
    words, numbers = events.text("value").values(), events.number("value")
    found = {}
    for place, node in enumerate(events.keys):
        rows = slice(int(events.offsets[place]), int(events.offsets[place + 1]))
        texts = tuple(words[rows])
        changes = tuple(n for n in range(1, len(texts)) if texts[n] != texts[n - 1])
        found[node] = _Past(_seconds(events.time[rows]), texts, numbers[rows], changes)
    return found


def _until(past: _Past | None, moment: float) -> _Past | None:
    """What was known of a node at a moment; None where nothing was."""
    if past is None:
        return None
    count = int(np.searchsorted(past.time, moment + AT_ONCE, side="right"))
    if not count:
        return None
    changes = tuple(place for place in past.changes if place < count)
    return _Past(past.time[:count], past.texts[:count], past.numbers[:count], changes)


def _fired(known: Habits, past: _Past | None, seed: str, alarmed: float) -> float:
    """When an alarm went off: its last change into its least usual state up to the time of the case's alarm."""
    seen = _until(past, alarmed)
    if seen is None or not seen.changes:
        return alarmed
    novel = [known.novelty(seed, seen.texts[n], float(seen.numbers[n])) for n in seen.changes]
    last = max(
        place for place, one in zip(seen.changes, novel, strict=True) if one >= max(novel) - AT_ONCE
    )
    return float(seen.time[last])


def _oddity(
    case: Case, known: Habits, pasts: Mapping[str, _Past], node: str, moment: float
) -> _Oddity:
    past = _until(pasts.get(node), moment)
    if past is None:
        return _Oddity(0.0, 0.0, 0.0, 0.0, None)
    track = known.track(node)
    changed = float(past.time[past.changes[-1]]) if past.changes else None
    novelty = 0.0
    if past.changes or track is not None:
        novelty = known.novelty(node, past.texts[-1], float(past.numbers[-1]))
    fresh = 0.0 if changed is None else known.freshness(node, moment - changed)
    if not known.countable(node):
        return _Oddity(novelty, 0.0, 0.0, fresh, changed)
    causes = {
        cause: seen
        for cause in case.graph.parents(node)
        if known.countable(cause) and (seen := _until(pasts.get(cause), moment)) is not None
    }
    overdue = max(
        (
            known.overdue(
                cause,
                node,
                (known.state(seen.texts[-1]), known.state(past.texts[-1])),
                moment - max(_settled(seen), _settled(past)),
            )
            for cause, seen in causes.items()
        ),
        default=0.0,
    )
    unprovoked = 0.0
    if changed is not None and causes:
        moves = [
            seen.time[place]
            for seen in causes.values()
            for place in seen.changes
            if seen.time[place] <= changed + AT_ONCE
        ]
        lag = changed - float(max(moves)) if moves else np.inf
        unprovoked = known.unprovoked(tuple(causes), node, known.state(past.texts[-1]), lag)
    return _Oddity(novelty, overdue, unprovoked, fresh, changed)


def _settled(past: _Past) -> float:
    """Since when a node is in its state."""
    return float(past.time[past.changes[-1] if past.changes else 0])


def _told(oddity: _Oddity, moment: float) -> tuple[str, ...]:
    said = []
    if oddity.novelty > EDGE:
        said.append("In a state in which normal runs hardly ever are")
    if oddity.overdue > EDGE:
        said.append("Has not followed its cause for longer than it ever takes")
    if oddity.unprovoked > EDGE:
        said.append("Changed although nothing that changes it had")
    if oddity.changed is not None:
        said.append(f"Changed {moment - oddity.changed:.1f} s before the alarm")
    return tuple(said) or ("Did nothing unusual",)


def _seconds(time: Times) -> Floats:
    seconds: Floats = (time - np.datetime64(0, "us")) / np.timedelta64(1, "s")
    return seconds
