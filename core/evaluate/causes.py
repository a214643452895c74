"""How well the incidents that were found agree with those that were planted.

An incident matches a planted one when its onset lies within three days of the planted onset and its root, or one of
its alerted entities, is the planted root or an entity that the fault moved by at least 5 % (above or below the root).
Matching is one to one, the best pairs first. A planted incident is found when it has a match; `root_top1` and
`root_top3` count the matches whose first candidate, or one of the first three, is exactly the planted root: nothing
else passes, also not a parent whose only child it is. An incident that matches nothing planted is a false alarm,
also when it is a decoy; one that only matches what another incident already stands for is a duplicate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.rootcause.grouping import Found

NEAR = np.timedelta64(3, "D")
MOVED = 0.05


@dataclass
class Tally:
    """Counts over planted incidents of one kind."""

    incidents: int = 0
    found: int = 0
    root_top1: int = 0
    root_top3: int = 0
    type_right: int = 0


@dataclass
class Score(Tally):
    """Counts over one or more worlds; `onset_errors` in days, found minus planted, one per match."""

    false_alarms: int = 0
    duplicates: int = 0
    onset_errors: list[int] = field(default_factory=list)
    by_difficulty: dict[str, Tally] = field(default_factory=dict)
    by_type: dict[str, Tally] = field(default_factory=dict)


def score(
    found: Sequence[Found], truth: Iterable[Mapping[str, Any]], effects: Iterable[Mapping[str, Any]]
) -> Score:
    """Compare with the rows of `truth/incidents.json` and `truth/effects.csv`."""
    planted = list(truth)
    moved = _moved(planted, effects)
    pairs = sorted(
        (
            (quality, index, number)
            for index, incident in enumerate(found)
            for number, row in enumerate(planted)
            if (quality := _quality(incident, row, moved[number])) > 0
        ),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    match: dict[int, int] = {}
    for _, index, number in pairs:
        if index not in match.values() and number not in match:
            match[number] = index
    result = Score()
    for number, row in enumerate(planted):
        incident = found[match[number]] if number in match else None
        tallies = (
            result,
            result.by_difficulty.setdefault(str(row["difficulty"]), Tally()),
            result.by_type.setdefault(str(row["cause_type"]), Tally()),
        )
        for tally in tallies:
            _count(tally, row, incident)
        if incident is not None:
            result.onset_errors.append(int((_day(incident.onset) - _onset(row)).astype(int)))
    matching = {index for _, index, _ in pairs}
    result.false_alarms = len(found) - len(matching)
    result.duplicates = len(matching) - len(match)
    return result


def total(scores: Iterable[Score]) -> Score:
    """The sum of several worlds' scores."""
    result = Score()
    for part in scores:
        _add(result, part)
        result.false_alarms += part.false_alarms
        result.duplicates += part.duplicates
        result.onset_errors += part.onset_errors
        for mine, theirs in (
            (result.by_difficulty, part.by_difficulty),
            (result.by_type, part.by_type),
        ):
            for name, tally in theirs.items():
                _add(mine.setdefault(name, Tally()), tally)
    return result


def _add(into: Tally, part: Tally) -> None:
    into.incidents += part.incidents
    into.found += part.found
    into.root_top1 += part.root_top1
    into.root_top3 += part.root_top3
    into.type_right += part.type_right


def _count(tally: Tally, row: Mapping[str, Any], incident: Found | None) -> None:
    tally.incidents += 1
    if incident is None:
        return
    nodes = [cause.node for cause in incident.candidates]
    tally.found += 1
    tally.root_top1 += _root(row) == nodes[0]
    tally.root_top3 += _root(row) in nodes[:3]
    tally.type_right += incident.type == row["cause_type"]


def _quality(incident: Found, row: Mapping[str, Any], moved: set[str]) -> float:
    """0 where they do not match, and more the closer they are."""
    nodes = [cause.node for cause in incident.candidates]
    shared = len(moved.intersection(incident.entities))
    near = abs(_day(incident.onset) - _onset(row)) <= NEAR
    if not near or not (shared or incident.root in moved):
        return 0.0
    rank = nodes.index(_root(row)) if _root(row) in nodes else len(nodes)
    return 1.0 / (1 + rank) + 1e-3 * (incident.root in moved) + 1e-6 * shared + 1e-9


def _moved(
    planted: Sequence[Mapping[str, Any]], effects: Iterable[Mapping[str, Any]]
) -> list[set[str]]:
    by_id: dict[str, set[str]] = {str(row["incident_id"]): {_root(row)} for row in planted}
    profile = {str(row["incident_id"]): str(row["profile_id"]) for row in planted}
    for effect in effects:
        identity = str(effect["incident_id"])
        if identity in by_id and abs(float(effect["ratio"]) - 1.0) >= MOVED:
            by_id[identity].add(
                _key(str(effect["level"]), str(effect["entity_id"]), profile[identity])
            )
    return [by_id[str(row["incident_id"])] for row in planted]


def _root(row: Mapping[str, Any]) -> str:
    return _key(str(row["level"]), str(row["root_id"]), str(row["profile_id"]))


def _key(level: str, native: str, profile: str) -> str:
    """Entity key of a native id; an ASIN is one only within its profile."""
    return f"{level}:{profile}/{native}" if level == "asin" else f"{level}:{native}"


def _onset(row: Mapping[str, Any]) -> np.datetime64:
    return np.datetime64(str(row["onset_local_day"]), "D")


def _day(moment: np.datetime64) -> np.datetime64:
    day: np.datetime64 = moment.astype("datetime64[D]")
    return day
