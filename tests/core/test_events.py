from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from core.errors import InvalidInputError, UnknownNameError
from core.events import EventTable, Texts

KEYS = ["b", "a", "b", "c", "b", "a"]
TIMES = np.array([3, 5, 1, 2, 3, 4], dtype="datetime64[h]")
STATES = ["on", "off", None, "on", "idle", "on"]


@pytest.fixture
def table() -> EventTable:
    return EventTable.of(
        Texts.of(KEYS),
        TIMES,
        {"state": Texts.of(STATES)},
        {"load": np.array([30.0, 15.0, np.nan, 2.0, 31.0, 14.0])},
    )


def test_events_are_sorted_by_key_and_time_and_ties_keep_their_order(table: EventTable) -> None:
    assert table.keys == ("a", "b", "c")
    assert table.offsets.tolist() == [0, 2, 5, 6]
    assert table.text("state").values() == ["on", "off", "", "on", "idle", "on"]
    np.testing.assert_array_equal(table.number("load"), [14, 15, np.nan, 30, 31, 2])
    assert table.position.tolist() == [0, 1, 0, 1, 2, 0]


def test_a_value_is_shifted_within_its_key_only(table: EventTable) -> None:
    load = table.number("load")
    np.testing.assert_array_equal(table.shifted(load, 1, -1.0), [-1, 14, -1, np.nan, 30, -1])
    np.testing.assert_array_equal(table.shifted(load, -1, -1.0), [15, -1, 30, 31, -1, -1])


def test_running_and_per_key_merges_agree_with_a_loop() -> None:
    rng = np.random.default_rng(5)
    keys = Texts.of([f"k{n}" for n in rng.integers(0, 12, 300)])
    table = EventTable.of(keys, rng.integers(0, 50, 300).astype("datetime64[s]"))
    values = rng.normal(size=300)
    for merge in (np.maximum, np.add):
        expected = [merge.accumulate(values[a:b]) for a, b in pairwise(table.offsets)]
        np.testing.assert_allclose(table.running(merge, values), np.concatenate(expected))
        np.testing.assert_allclose(
            table.per_key(merge, values, 0.0), [part[-1] for part in expected]
        )


def test_keys_are_selected_in_the_order_asked_and_events_by_mask(table: EventTable) -> None:
    cut = table.select(np.array([2, 0]))
    assert cut.keys == ("c", "a")
    assert cut.number("load").tolist() == [2.0, 14.0, 15.0]
    left = table.where(table.text("state").codes_in(("on",)) == 0)
    assert left.keys == table.keys
    assert left.lengths.tolist() == [1, 1, 1]
    none = table.where(np.zeros(len(table), dtype=bool))
    assert none.per_key(np.add, none.number("load"), -1.0).tolist() == [-1.0, -1.0, -1.0]


def test_codes_in_another_vocabulary_have_a_bucket_for_the_unknown() -> None:
    texts = Texts.of(["x", None, "z", "y"])
    assert texts.codes_in(("z", "x")).tolist() == [1, -1, 0, 2]
    assert texts[[0, 2]].used == ("x", "z")


def test_the_wall_clock_follows_the_zone_over_a_change_of_the_clocks() -> None:
    time = np.array(["2026-03-29T00:30", "2026-03-29T01:30"], dtype="datetime64[us]")
    table = EventTable.of(Texts.of(["a", "a"]), time, zone="Europe/Berlin")
    assert table.local_time.astype("datetime64[m]").astype(str).tolist() == [
        "2026-03-29T01:30",
        "2026-03-29T03:30",
    ]


def test_a_missing_key_or_time_and_an_unknown_column_are_refused(table: EventTable) -> None:
    with pytest.raises(InvalidInputError, match="key must be given"):
        EventTable.of(Texts.of(["a", None]), TIMES[:2])
    with pytest.raises(InvalidInputError, match="time must be given"):
        EventTable.of(Texts.of(["a"]), np.array(["NaT"], dtype="datetime64[s]"))
    with pytest.raises(InvalidInputError, match="column load must be 6 long"):
        dataclasses.replace(table, numbers={"load": np.zeros(2)})
    with pytest.raises(UnknownNameError, match="one of state"):
        table.text("activity")
