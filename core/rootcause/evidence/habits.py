"""What machines and other keyed things do when nothing is wrong: states, how long they last, what follows what.

Learned by counting from normal runs, node by node and only when asked for. Every oddity is a surprise, −log of the share
of normal behaviour that was at least as odd (half a case added), so that all of them compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from core.contracts import Bools, Floats
from core.events import EventTable

States = NDArray[np.int64]

MANY = 20
"""More different values than this, all of them numbers: a quantity, of which only the range is normal."""
FEW = 8
"""A node with at most this many states has joint states with its causes that can be counted."""
NEVER = -2
"""The state that no normal run was ever in."""
SETTLING = 2.0
"""Seconds in which an unknown joint state is still on its way to a known one."""
AT_ONCE = 1e-3
"""Seconds within which the order of two events means nothing."""


@dataclass(frozen=True, eq=False)
class Track:
    """Events of one node over runs: when, into which state, as which number; `change` where the state is another one."""

    run: NDArray[np.int64]
    time: Floats
    state: States
    number: Floats
    change: Bools

    @cached_property
    def quantity(self) -> bool:
        """Whether the node is a quantity rather than a state."""
        return bool(np.isfinite(self.number).all()) and len(np.unique(self.state)) > MANY

    @cached_property
    def states(self) -> States:
        return np.unique(self.state)


class Habits:
    """Normal runs of an event table (texts run, node, value; number value), looked at node by node."""

    def __init__(self, normal: EventTable) -> None:
        node, run, value = (normal.text(name) for name in ("node", "run", "value"))
        seconds = (normal.time - np.datetime64(0, "us")) / np.timedelta64(1, "s")
        # sorted by run, node and time already: a stable sort by node leaves each run together
        small = np.uint16 if len(node.vocabulary) < 2**16 else np.int32
        order = np.argsort(node.codes.astype(small), kind="stable")
        bounds = np.searchsorted(node.codes[order], np.arange(len(node.vocabulary) + 1))
        self._rows = {
            name: order[bounds[place] : bounds[place + 1]]
            for place, name in enumerate(node.vocabulary)
        }
        self._run, self._time = run.codes.astype(np.int64), seconds
        self._value, self._number = value.codes.astype(np.int64), normal.number("value")
        self._code = {text: code for code, text in enumerate(value.vocabulary)}
        present = np.unique(self._run)
        self.runs = len(present)
        first = np.full(len(run.vocabulary), np.inf)
        last = np.full(len(run.vocabulary), -np.inf)
        np.minimum.at(first, self._run, seconds)
        np.maximum.at(last, self._run, seconds)
        self._last = last
        self.seconds = float((last[present] - first[present]).sum())
        self._tracks: dict[str, Track | None] = {}
        self._joint: dict[tuple[str, str], dict[tuple[int, int], Floats]] = {}
        self._lags: dict[tuple[str, ...], dict[int, Floats]] = {}

    @property
    def most(self) -> float:
        """The surprise of what no normal run ever did."""
        return float(np.log(2.0 * (self.runs + 1)))

    def state(self, text: str) -> int:
        """Code of a state, `NEVER` where no normal run was in it."""
        return self._code.get(text, NEVER)

    def track(self, node: str) -> Track | None:
        """Events of a node over all normal runs, None where it had none."""
        if node not in self._tracks:
            rows = self._rows.get(node)
            if rows is None or not len(rows):
                self._tracks[node] = None
            else:
                run, state = self._run[rows], self._value[rows]
                change = np.zeros(len(rows), dtype=bool)
                change[1:] = (run[1:] == run[:-1]) & (state[1:] != state[:-1])
                self._tracks[node] = Track(run, self._time[rows], state, self._number[rows], change)
        return self._tracks[node]

    def countable(self, node: str) -> bool:
        """Whether the node has few enough states to count those that it shares with others."""
        track = self.track(node)
        return track is not None and not track.quantity and len(track.states) <= FEW

    # ── Surprises ──

    def novelty(self, node: str, text: str, number: float) -> float:
        """How few normal runs ever had the node in this state (of a quantity: within this range)."""
        track = self.track(node)
        if track is None:
            return self.most
        if track.quantity:
            inside = track.number.min() <= number <= track.number.max()
            return 0.0 if inside and track.change.any() else self.most
        runs = len(np.unique(track.run[track.state == self.state(text)]))
        return max(float(-np.log((runs + 0.5) / (self.runs + 0.5))), 0.0)

    def freshness(self, node: str, seconds: float) -> float:
        """How unlikely a change within the last `seconds` is at the node's normal rate of changes."""
        track = self.track(node)
        changes = 0.0 if track is None else float(track.change.sum())
        rate = (changes + 0.5) / max(self.seconds, 1.0)
        return min(float(-np.log(-np.expm1(-rate * (seconds + 0.05)))), self.most)

    def overdue(self, cause: str, node: str, states: tuple[int, int], seconds: float) -> float:
        """How unusually long a node has stayed in its state while its cause was in another."""
        usual = self._lasted(cause, node).get(states)
        if usual is None or not len(usual):
            return self.most * float(-np.expm1(-seconds / SETTLING))
        return min(surprise(usual, seconds), self.most)

    def unprovoked(self, causes: Sequence[str], node: str, state: int, lag: float) -> float:
        """How unusually long before a node's change into a state the last change of any of its causes was."""
        usual = self._followed(tuple(causes), node).get(state)
        return self.most if usual is None else min(surprise(usual, lag), self.most)

    # ── Counting ──

    def _lasted(self, cause: str, node: str) -> dict[tuple[int, int], Floats]:
        """(state of the cause, state of the node) → how long that lasted, each time, ascending."""
        key = (cause, node)
        if key not in self._joint:
            both = (self.track(cause), self.track(node))
            tracks = [track for track in both if track is not None]
            run = np.concatenate([track.run for track in tracks])
            time = np.concatenate([track.time for track in tracks])
            who = np.repeat(np.arange(len(tracks)), [len(track.run) for track in tracks])
            state = np.concatenate([track.state for track in tracks])
            order = np.lexsort((time, run))
            run, time, who, state = run[order], time[order], who[order], state[order]
            place = np.arange(len(run))
            begins = np.concatenate([[True], run[1:] != run[:-1]])
            start = np.maximum.accumulate(np.where(begins, place, 0))
            held = []
            for side in range(len(tracks)):
                last = np.maximum.accumulate(np.where(who == side, place, -1))
                held.append(np.where(last >= start, state[np.maximum(last, 0)], -1))
            joint = np.stack(held)
            other = begins.copy()
            other[1:] |= (joint[:, 1:] != joint[:, :-1]).any(axis=0)
            run, time, joint = run[other], time[other], joint[:, other]
            until = np.append(time[1:], 0.0)
            ends = np.append(run[1:] != run[:-1], True)
            lasted = np.where(ends, self._last[run], until) - time
            found = {}
            for pair in {(int(a), int(b)) for a, b in joint.T}:
                same = (joint == np.array(pair)[:, None]).all(axis=0) & (lasted > 0.0)
                found[pair] = np.sort(lasted[same])
            self._joint[key] = found
        return self._joint[key]

    def _followed(self, causes: tuple[str, ...], node: str) -> dict[int, Floats]:
        """State → seconds from the last change of any cause to each change of the node into it, ascending."""
        key = (*causes, node)
        track = self.track(node)
        if key not in self._lags and track is not None:
            apart = 2.0 * float(self._time.max(initial=0.0)) + 1.0
            moves = [
                other.run[other.change] * apart + other.time[other.change]
                for cause in causes
                if (other := self.track(cause)) is not None
            ]
            earlier = np.sort(np.concatenate([*moves, np.zeros(0)]))
            when = track.run[track.change] * apart + track.time[track.change]
            last = np.searchsorted(earlier, when + AT_ONCE / 2.0, side="right") - 1
            lag = np.full(len(when), np.inf)
            lag[last >= 0] = when[last >= 0] - earlier[last[last >= 0]]
            lag[lag > apart / 2.0] = np.inf
            into = track.state[track.change]
            self._lags[key] = {int(one): np.sort(lag[into == one]) for one in np.unique(into)}
        return self._lags.get(key, {})


def surprise(usual: Floats, value: float) -> float:
    """−log of the share of ascending values that are at least this high, half a case added."""
    at_least = len(usual) - int(np.searchsorted(usual, value, side="left"))
    return float(-np.log((at_least + 0.5) / (len(usual) + 0.5)))


_remembered: WeakKeyDictionary[EventTable, Habits] = WeakKeyDictionary()


def habits(normal: EventTable) -> Habits:
    """The habits in a table of normal runs, counted once as long as the table lives."""
    found = _remembered.get(normal)
    if found is None:
        found = _remembered[normal] = Habits(normal)
    return found
