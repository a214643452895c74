"""Events of keyed things: process cases, scanned codes, machines that change their state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from core.contracts import Bools, Floats, Times
from core.errors import InvalidInputError, UnknownNameError

Codes = NDArray[np.int32]
Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Texts:
    """A column of text as codes into its vocabulary; −1 = missing."""

    codes: Codes
    vocabulary: tuple[str, ...]

    @classmethod
    def of(cls, values: Sequence[str | None] | NDArray[Any]) -> Texts:
        """From values, the vocabulary sorted; None and "" are missing."""
        known = sorted({value for value in values if value})
        code_of: dict[str | None, int] = {value: code for code, value in enumerate(known)}
        codes = np.array([code_of.get(value, -1) for value in values], dtype=np.int32)
        return cls(codes, tuple(known))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Any) -> Texts:
        return Texts(self.codes[rows], self.vocabulary)

    def values(self) -> list[str]:
        """The texts themselves, "" where missing."""
        words = (*self.vocabulary, "")
        return [words[code] for code in self.codes.tolist()]

    @property
    def used(self) -> tuple[str, ...]:
        """The vocabulary without the texts that no row has, e.g. after a cut."""
        codes = np.unique(self.codes[self.codes >= 0])
        return tuple(self.vocabulary[code] for code in codes.tolist())

    def codes_in(self, vocabulary: Sequence[str]) -> Codes:
        """Codes in another vocabulary: `len(vocabulary)` is the bucket of what it does not hold."""
        code_of = {value: code for code, value in enumerate(vocabulary)}
        other = [code_of.get(value, len(vocabulary)) for value in self.vocabulary]
        return np.array([*other, -1], dtype=np.int32)[self.codes]


@dataclass(frozen=True, eq=False)
class EventTable:
    """Flat columns of events, sorted by (key, record time), with where each key's events begin.

    keys    : (n_key,) ids of the things that the events are about
    offsets : (n_key + 1,), the events of key k are the rows offsets[k] … offsets[k + 1]
    time    : (n_event,) datetime64[us], UTC, when the event was recorded
    texts   : column → text of each event; numbers : column → (n_event,) float64, NaN = missing
    zone    : IANA zone in which the hours of the day mean something

    A one-event key is normal; a key without events may remain after `where`.
    """

    keys: tuple[str, ...]
    offsets: NDArray[np.int64]
    time: Times
    texts: Mapping[str, Texts] = field(default_factory=dict)
    numbers: Mapping[str, Floats] = field(default_factory=dict)
    zone: str = "UTC"

    def __post_init__(self) -> None:
        if len(self.offsets) != len(self.keys) + 1 or self.offsets[-1] != len(self.time):
            rule = f"{len(self.keys) + 1} rows up to {len(self.time)}"
            raise InvalidInputError.of("EventTable", "offsets", rule, len(self.offsets))
        sizes = {name: len(column) for name, column in self.texts.items()}
        sizes |= {name: len(column) for name, column in self.numbers.items()}
        for name, size in sizes.items():
            if size != len(self.time):
                rule = f"{len(self.time)} long"
                raise InvalidInputError.of("EventTable", f"column {name}", rule, size)
        within = np.diff(self.key_index) == 0
        if (np.diff(self.time)[within] < np.timedelta64(0)).any():
            raise InvalidInputError.of("EventTable", "time", "ascending within each key", "a fall")

    @classmethod
    def of(
        cls,
        keys: Texts,
        time: Times,
        texts: Mapping[str, Texts] | None = None,
        numbers: Mapping[str, Floats] | None = None,
        zone: str = "UTC",
    ) -> EventTable:
        """Sort unsorted columns; events of a key at the same instant keep their order."""
        if (keys.codes < 0).any():
            row = int(np.argmax(keys.codes < 0))
            raise InvalidInputError.of("EventTable", "the key", "given for every event", row)
        if np.isnat(time).any():
            row = int(np.argmax(np.isnat(time)))
            raise InvalidInputError.of("EventTable", "the time", "given for every event", row)
        order = np.lexsort((time, keys.codes))
        codes, lengths = np.unique(keys.codes, return_counts=True)
        return cls(
            tuple(keys.vocabulary[code] for code in codes.tolist()),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            time[order].astype("datetime64[us]"),
            {name: column[order] for name, column in (texts or {}).items()},
            {
                name: np.asarray(column, dtype=np.float64)[order]
                for name, column in (numbers or {}).items()
            },
            zone,
        )

    def __len__(self) -> int:
        return len(self.time)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """(n_key,) events of each key."""
        return np.diff(self.offsets)

    @cached_property
    def key_index(self) -> Rows:
        """(n_event,) row of each event's key."""
        return np.repeat(np.arange(len(self.keys)), self.lengths)

    @cached_property
    def position(self) -> Rows:
        """(n_event,) place of each event among those of its key, from 0."""
        return np.arange(len(self)) - self.offsets[:-1][self.key_index]

    @cached_property
    def local_time(self) -> Times:
        """(n_event,) the wall clock in `zone`."""
        # the offset of a zone changes on the hour, so one look per hour is enough
        hours, which = np.unique(self.time.astype("datetime64[h]"), return_inverse=True)
        zone, utc = ZoneInfo(self.zone), ZoneInfo("UTC")
        offsets = [
            hour.replace(tzinfo=utc).astimezone(zone).utcoffset()
            for hour in hours.astype("datetime64[us]").tolist()
        ]
        shifts: Times = self.time + np.array(offsets, dtype="timedelta64[us]")[which]
        return shifts

    def text(self, name: str) -> Texts:
        """A text column by name."""
        return self.texts[self._known(name, self.texts)]

    def number(self, name: str) -> Floats:
        """A numeric column by name."""
        return self.numbers[self._known(name, self.numbers)]

    def rows_of(self, keys: Rows | Bools) -> Rows:
        """Rows of all events of the keys in these places (or under this mask), key after key."""
        places = np.arange(len(self.keys))[keys]
        lengths = self.lengths[places]
        ends = np.cumsum(lengths)
        return np.arange(lengths.sum()) + np.repeat(self.offsets[places] + lengths - ends, lengths)

    def select(self, keys: Rows | Bools) -> EventTable:
        """All events of the keys in these places (or under this mask), in that order."""
        places = np.arange(len(self.keys))[keys]
        offsets = np.concatenate([[0], np.cumsum(self.lengths[places])]).astype(np.int64)
        names = tuple(self.keys[place] for place in places.tolist())
        return self._cut(names, offsets, self.rows_of(places))

    def where(self, events: Bools) -> EventTable:
        """The events under the mask; every key stays, even one that has none left."""
        left = np.bincount(self.key_index[events], minlength=len(self.keys))
        offsets = np.concatenate([[0], np.cumsum(left)]).astype(np.int64)
        return self._cut(self.keys, offsets, np.flatnonzero(events))

    def shifted(self, values: NDArray[Any], by: int, fill: Any) -> NDArray[Any]:
        """Per event the value of the event `by` places before it in its key (after it where negative)."""
        shifted = np.full_like(values, fill)
        last = np.repeat(self.lengths, self.lengths)
        there = np.flatnonzero((self.position >= by) & (self.position - by < last))
        shifted[there] = values[there - by]
        return shifted

    def running(self, merge: np.ufunc, values: NDArray[Any]) -> NDArray[Any]:
        """Per event `merge` (np.maximum, np.add, …) over its key's events up to and with it."""
        merged = values.copy()
        reach = 1
        # each round doubles how far back an event has seen, whatever the length of the keys
        while reach < self.lengths.max(initial=0):
            there = np.flatnonzero(self.position >= reach)
            merged[there] = merge(merged[there], merged[there - reach])
            reach *= 2
        return merged

    def per_key(self, merge: np.ufunc, values: NDArray[Any], empty: Any) -> NDArray[Any]:
        """(n_key, …) `merge` over all events of each key, `empty` where it has none."""
        merged = np.full((len(self.keys), *values.shape[1:]), empty, dtype=values.dtype)
        there = self.lengths > 0
        if there.any():
            merged[there] = merge.reduceat(values, self.offsets[:-1][there], axis=0)
        return merged

    def _cut(
        self, keys: tuple[str, ...], offsets: NDArray[np.int64], events: NDArray[Any]
    ) -> EventTable:
        return EventTable(
            keys,
            offsets,
            self.time[events],
            {name: column[events] for name, column in self.texts.items()},
            {name: column[events] for name, column in self.numbers.items()},
            self.zone,
        )

    def _known(self, name: str, columns: Mapping[str, Any]) -> str:
        if name not in columns:
            rule = f"one of {', '.join(columns) or 'none'}"
            raise UnknownNameError.of("EventTable", "column", rule, name)
        return name
