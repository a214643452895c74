"""Features of process events and cases: how unusual each event is in its activity, resource, time, duration and cost.

Learned once on past cases and fixed from then on. What is rare, late or dear is measured against the same activity, in
surprises −log p (nats) and robust standard deviations, so that one scale fits every activity and every log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.contracts import Floats, Panel, Periods, State
from core.errors import NotEnoughDataError
from core.events import Codes, EventTable
from core.features.cycle import weekday
from core.features.rarity import LEAST, MARGIN, Level, Rarity, counted

GROUPS: Mapping[str, tuple[str, ...]] = {
    "activity": ("follows", "follows_two", "leads_to", "left_out", "out_of_order", "repeat"),
    "resource": ("out_of_role",),
    "time": ("since_previous", "since_trigger", "since_start", "hour"),
    "duration": ("duration", "duration_in_case"),
    "cost": ("cost", "cost_in_case"),
}
"""Attribute of an event → the features that tell of it."""
AMOUNTS = (
    *("since_previous", "since_trigger", "since_start", "length", "case_time"),
    *("duration", "duration_in_case", "cost", "cost_in_case"),
)
"""The features in robust standard deviations; the others are surprises already."""
EVENT_FEATURES = tuple(name for names in GROUPS.values() for name in names)
CASE_FEATURES = ("variant", "unfinished", "length", "case_time", *EVENT_FEATURES)
TRACKED = 64
"""Activities, the most common ones, whose coming before others is watched."""
SHRINK = 3.0
"""Other events of a case that it takes to believe half of the level they show."""
MOSTLY = 0.8
"""Share of an activity's events that its trigger must come before."""
REPEATS = 10
"""Repeats from which on they are not told apart."""
HOURS = 4
"""Hours of one part of the day; shorter parts would make a shift that starts earlier a surprise."""
DAY_PARTS = 24 // HOURS
BASE = np.uint64(0x9E3779B97F4A7C15)
ONCE = Periods(np.array(["1970-01-01"], dtype="datetime64[s]"), np.timedelta64(1, "D"))


def in_nats(panel: Panel) -> Panel:
    """Every feature as a surprise ≥ 0: a deviation by the share of a normal distribution that lies as far out.

    On one scale a rare activity and an odd cost can be weighed against each other.
    """
    from scipy.special import log_ndtr

    values = panel.values.copy()
    for column, name in enumerate(panel.metrics):
        if name in AMOUNTS:
            values[..., column] = -(log_ndtr(-np.abs(values[..., column])) + np.log(2.0))
    return panel.with_values(values)


@dataclass(frozen=True, eq=False)
class EventFeatures:
    """Everything learned of a log; `events` and `cases` turn any log into features, always the same way.

    activities, resources : the values known; whatever else comes falls into the bucket of unknown ones
    tracked  : codes of the activities whose coming before others is watched
    before   : (n_activity + 1, n_tracked, 2), how surprising it is that one of those did not, or did, come before
               an event of each activity; the last row is the end of a case
    trigger  : (n_activity,) the activity after which each comes most punctually, −1 = none
    rarities, levels : by the feature they serve
    variants, seen : ascending numbers of the sequences of activities, and how often each was seen
    """

    activities: tuple[str, ...]
    resources: tuple[str, ...]
    tracked: Codes
    before: Floats
    trigger: NDArray[np.int64]
    rarities: Mapping[str, Rarity]
    levels: Mapping[str, Level]
    variants: NDArray[np.int64]
    seen: Floats

    @classmethod
    def learn(cls, table: EventTable) -> EventFeatures:
        """From past cases, unlabelled; resource, duration and cost may be missing."""
        if len(table.keys) < LEAST:
            raise NotEnoughDataError.of("event log", "cases", f"at least {LEAST}", len(table.keys))
        activities = table.text("activity").used
        resources = table.texts["resource"].used if "resource" in table.texts else ()
        log = _Coded(table, activities, resources)
        counts = np.bincount(log.activity, minlength=log.n_activity)[: len(activities)]
        tracked = np.sort(np.argsort(-counts, kind="stable")[:TRACKED]).astype(np.int32)
        by_time = np.argsort(table.time, kind="stable")
        variants, seen = np.unique(log.variant, return_counts=True)
        return cls(
            activities,
            resources,
            tracked,
            _coming_before(log, tracked),
            trigger := _triggers(log, tracked),
            {
                name: Rarity.learn(context[by_time], value[by_time], n_value)
                for name, (context, value, n_value) in log.pairs().items()
            },
            {
                name: Level.learn(group, amount)
                for name, (group, amount) in (log.amounts(trigger) | log.case_amounts()).items()
            },
            variants,
            seen.astype(np.float64),
        )

    @property
    def state(self) -> dict[str, Any]:
        """Arrays and text that `of` turns back."""
        state: dict[str, Any] = {
            "activities": json.dumps(self.activities),
            "resources": json.dumps(self.resources),
            **{
                name: getattr(self, name)
                for name in ("tracked", "before", "trigger", "variants", "seen")
            },
        }
        for kind, parts in (("rarity", self.rarities), ("level", self.levels)):
            for name, part in parts.items():
                state |= {f"{kind}.{name}.{role}": array for role, array in vars(part).items()}
        return state

    @classmethod
    def of(cls, state: State) -> EventFeatures:
        """From what `state` gave."""
        parts: dict[str, dict[str, dict[str, Any]]] = {"rarity": {}, "level": {}}
        for role, value in state.items():
            kind, _, rest = role.partition(".")
            if kind in parts:
                name, _, field = rest.partition(".")
                parts[kind].setdefault(name, {})[field] = value
        activities, resources = (
            tuple(json.loads(str(state[name]))) for name in ("activities", "resources")
        )
        tracked, before, trigger, variants, seen = (
            np.asarray(state[name]) for name in ("tracked", "before", "trigger", "variants", "seen")
        )
        return cls(
            activities,
            resources,
            tracked,
            before,
            trigger,
            {name: Rarity(**part) for name, part in parts["rarity"].items()},
            {name: Level(**part) for name, part in parts["level"].items()},
            variants,
            seen,
        )

    def events(self, table: EventTable) -> Panel:
        """One row per event, in the order of the table, of EVENT_FEATURES; NaN where an attribute is missing."""
        log = _Coded(table, self.activities, self.resources)
        measure = {"out_of_role": Rarity.avoidance}
        features = {
            name: measure.get(name, Rarity.surprise)(self.rarities[name], context, value)
            for name, (context, value, _) in log.pairs().items()
        }
        # parts of the day that overlap: just before a boundary is not another time of the day
        features["hour"] = np.minimum(features["hour"], features["near_hour"])
        amounts = log.amounts(self.trigger)
        features |= {name: self.levels[name].deviation(*amounts[name]) for name in amounts}
        followed = np.isin(amounts["after_this"][0], self.levels["after_this"].groups)
        features["since_previous"] = np.where(
            followed, features["after_this"], features["since_previous"]
        )
        for name in ("duration", "cost"):
            others = _level_of_others(table, features[name])
            features[f"{name}_in_case"] = features[name] - others
        features["left_out"], features["out_of_order"] = self._order(log)
        values = np.stack([features[name] for name in EVENT_FEATURES], axis=-1)
        keys = table.keys
        entities = tuple(
            f"{keys[row]}#{place}"
            for row, place in zip(table.key_index.tolist(), table.position.tolist(), strict=True)
        )
        return Panel(values[:, None, :], entities, EVENT_FEATURES, ONCE, zones=(table.zone,))

    def cases(self, table: EventTable, events: Panel | None = None) -> Panel:
        """One row per case: the farthest of its events in each feature, and CASE_FEATURES of its own."""
        log = _Coded(table, self.activities, self.resources)
        per_event = np.abs((events or self.events(table)).values[:, 0])
        farthest = table.per_key(np.fmax, per_event, np.nan)
        amounts = log.case_amounts()
        times = counted(self.variants, self.seen, log.variant)
        own = {
            "variant": -np.log((times + 0.5) / (self.seen.sum() + 1.0)),
            "unfinished": self._unfinished(log),
            **{name: self.levels[name].deviation(*amounts[name]) for name in amounts},
        }
        columns = [own[name] for name in CASE_FEATURES[: len(own)]]
        values = np.concatenate([np.stack(columns, axis=-1), farthest], axis=-1)
        return Panel(values[:, None, :], table.keys, CASE_FEATURES, ONCE, zones=(table.zone,))

    def _order(self, log: _Coded) -> tuple[Floats, Floats]:
        """Per event the most surprising activity that has not come yet, and that has.

        Only by how much it exceeds what was as surprising before: a step that was left out is told at the first
        event that should have come after it, not at all that follow.
        """
        left_out, out_of_order = np.zeros((2, len(log.table)))
        for column, activity in enumerate(self.tracked.tolist()):
            had = log.had(activity)
            surprise = self.before[log.activity, column, had.astype(int)]
            known = log.table.running(np.maximum, surprise)
            fresh = np.maximum(surprise - log.table.shifted(known, 1, 0.0), 0.0)
            np.maximum(left_out, np.where(had, 0.0, fresh), out=left_out)
            np.maximum(out_of_order, np.where(had, fresh, 0.0), out=out_of_order)
        return np.maximum(left_out - MARGIN, 0.0), np.maximum(out_of_order - MARGIN, 0.0)

    def _unfinished(self, log: _Coded) -> Floats:
        """(n_case,) the most surprising activity that is in the whole case, or is not."""
        worst = np.zeros(len(log.table.keys))
        for column, activity in enumerate(self.tracked.tolist()):
            there = log.table.per_key(np.logical_or, log.activity == activity, False)
            np.maximum(worst, self.before[-1, column, there.astype(int)], out=worst)
        return worst


def _coming_before(log: _Coded, tracked: Codes) -> Floats:
    """`EventFeatures.before`, from the share of the events of each activity."""
    before = np.zeros((log.n_activity + 1, len(tracked), 2))
    total = np.append(np.bincount(log.activity, minlength=log.n_activity), len(log.table.keys))
    for column, activity in enumerate(tracked.tolist()):
        had = np.bincount(log.activity[log.had(activity)], minlength=log.n_activity)
        ever = log.table.per_key(np.logical_or, log.activity == activity, False).sum()
        share = (np.append(had, ever) + 0.5) / (total + 1.0)
        before[:, column, 0], before[:, column, 1] = -np.log(1.0 - share), -np.log(share)
    # an activity that was never seen says nothing of what comes before it
    before[total == 0] = 0.0
    return before


def _triggers(log: _Coded, tracked: Codes) -> NDArray[np.int64]:
    """Per activity the one that comes before it in most cases and at the steadiest distance in time."""
    best = np.full(log.n_activity, np.inf)
    trigger = np.full(log.n_activity, -1, dtype=np.int64)
    total = np.bincount(log.activity, minlength=log.n_activity)
    for activity in tracked.tolist():
        since = log.since(activity)
        since[since < 0] = np.nan
        level = Level.learn(log.activity, since)
        given = np.bincount(log.activity[np.isfinite(since)], minlength=log.n_activity)
        spread = np.full(log.n_activity, np.inf)
        spread[level.groups] = level.spread[:-1]
        better = (spread < best) & (given >= MOSTLY * total) & (np.arange(len(best)) != activity)
        best, trigger = np.where(better, spread, best), np.where(better, activity, trigger)
    return trigger


def _level_of_others(table: EventTable, level: Floats) -> Floats:
    """Per event how far the other events of its case lie from the usual, drawn towards 0 where they are few."""
    given = np.isfinite(level)
    bounded = np.where(given, np.clip(level, -3.0, 3.0), 0.0)
    which = table.key_index
    total = table.per_key(np.add, bounded, 0.0)[which] - bounded
    count = table.per_key(np.add, given.astype(np.float64), 0.0)[which] - given
    shrunk: Floats = total / (count + SHRINK)
    return shrunk


class _Coded:
    """A log in the codes of what was learned, and the pairs and amounts that the features are made of.

    Activities: 0 … known, then the border (before the first and after the last event), then the unknown ones.
    """

    def __init__(
        self, table: EventTable, activities: tuple[str, ...], resources: tuple[str, ...]
    ) -> None:
        self.table = table
        self.border, self.n_activity = len(activities), len(activities) + 2
        codes = table.text("activity").codes_in(activities).astype(np.int64)
        self.activity = np.where((codes < 0) | (codes == self.border), self.border + 1, codes)
        self.n_resource = len(resources) + 1
        self.resource = np.full(len(table), -1, dtype=np.int64)
        if "resource" in table.texts:
            self.resource = table.texts["resource"].codes_in(resources).astype(np.int64)

    def had(self, activity: int) -> NDArray[np.bool_]:
        """Whether the activity came before each event in its case."""
        came = self.table.running(np.logical_or, self.activity == activity)
        return np.asarray(self.table.shifted(came, 1, False))

    def pairs(self) -> dict[str, tuple[NDArray[Any], NDArray[Any], int]]:
        """Feature → context, value and number of values, per event."""
        table, activity, n = self.table, self.activity, self.n_activity
        earlier = table.shifted(activity, 1, self.border)
        before_that = table.shifted(activity, 2, self.border)
        later = table.shifted(activity, -1, self.border)
        local = table.local_time
        hour = (local.astype("datetime64[h]") - local.astype("datetime64[D]")).astype(int)
        weekend = DAY_PARTS * (weekday(local) >= 5)
        n_part = 2 * DAY_PARTS + 1
        return {
            "follows": (earlier, activity, n),
            "follows_two": (before_that * n + earlier, activity, n),
            "leads_to": (activity, later, n),
            "repeat": (activity, np.minimum(self._again(), REPEATS - 1), REPEATS + 1),
            "out_of_role": (activity, self.resource, self.n_resource),
            "hour": (activity, hour // HOURS + weekend, n_part),
            "near_hour": (activity, (hour + HOURS // 2) % 24 // HOURS + weekend, n_part),
        }

    def amounts(self, trigger: NDArray[np.int64]) -> dict[str, tuple[NDArray[Any], Floats]]:
        """Name → group and amount, per event."""
        table, activity = self.table, self.activity
        seconds = table.time.astype(np.int64) / 1e6
        since = seconds - table.shifted(seconds, 1, np.nan)
        begun = seconds[table.offsets[:-1][table.key_index]] if len(table) else seconds
        missing = np.full(len(table), np.nan)
        pair = table.shifted(activity, 1, self.border) * self.n_activity + activity
        return {
            "since_previous": (activity, since),
            "after_this": (pair, since),
            "since_trigger": (activity, self._since_triggers(trigger)),
            "since_start": (activity, seconds - begun),
            "duration": (activity, table.numbers.get("duration", missing)),
            "cost": (activity, table.numbers.get("cost", missing)),
        }

    def since(self, activity: int) -> Floats:
        """Seconds since the activity last came in the case; below 0 where it is still to come, NaN where it never does."""
        table = self.table
        seconds = table.time.astype(np.int64) / 1e6
        came = np.where(self.activity == activity, seconds, -np.inf)
        last = table.shifted(table.running(np.maximum, came), 1, -np.inf)
        first = table.per_key(np.fmin, np.where(np.isfinite(came), came, np.nan), np.nan)[
            table.key_index
        ]
        since: Floats = np.where(
            np.isfinite(last), seconds - last, np.minimum(seconds - first, 0.0)
        )
        return since

    def _since_triggers(self, trigger: NDArray[np.int64]) -> Floats:
        own = trigger[self.activity]
        since = np.full(len(self.table), np.nan)
        for activity in np.unique(own[own >= 0]).tolist():
            since = np.where(own == activity, self.since(activity), since)
        return since

    def case_amounts(self) -> dict[str, tuple[NDArray[Any], Floats]]:
        """Name → group (one for all) and amount, per case."""
        table = self.table
        seconds = table.time.astype(np.int64) / 1e6
        span = table.per_key(np.maximum, seconds, np.nan) - table.per_key(
            np.minimum, seconds, np.nan
        )
        all_alike = np.zeros(len(table.keys), dtype=np.int64)
        lengths = table.lengths.astype(np.float64)
        return {"length": (all_alike, lengths), "case_time": (all_alike, span)}

    @property
    def variant(self) -> NDArray[np.int64]:
        """(n_case,) a number that cases share when they have the same activities in the same order."""
        # polynomial in an odd base, modulo 2**64: it wraps by design
        position = self.table.position.astype(np.uint64)
        with np.errstate(over="ignore"):
            terms = (self.activity.astype(np.uint64) + np.uint64(1)) * np.power(BASE, position)
            return self.table.per_key(np.add, terms, 0).view(np.int64)

    def _again(self) -> NDArray[np.int64]:
        """How often the same activity came in the case before."""
        group = self.table.key_index * self.n_activity + self.activity
        order = np.argsort(group, kind="stable")
        ranked = group[order]
        again = np.empty(len(group), dtype=np.int64)
        again[order] = np.arange(len(group)) - np.searchsorted(ranked, ranked)
        return again
