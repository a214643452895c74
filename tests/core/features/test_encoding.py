"""Codes that never move, an unknown bucket, and a calendar without an edge."""

from __future__ import annotations

import numpy as np
import pytest

from core.contracts import Periods
from core.features.encoding import Categories, calendar

COLUMN = np.array([["exact", "broad"], ["phrase", ""]])
EVERY = np.ones((2, 2), dtype=bool)


def test_codes_are_the_places_of_the_sorted_words_and_0_is_unknown():
    known = Categories.learn(COLUMN, EVERY)
    assert known.words == ("broad", "exact", "phrase")
    asked = np.array([["phrase", "exact", "broad", "", "never seen", "zzz"]])
    assert known.codes(asked).tolist() == [[3, 2, 1, 0, 0, 0]]


def test_words_of_rows_that_do_not_train_are_unknown():
    rows = np.array([[True, True], [False, False]])
    assert Categories.learn(COLUMN, rows).codes(np.array([["phrase"]])).tolist() == [[0]]


def test_one_hot_has_a_column_per_word_and_one_for_the_unknown():
    known = Categories.learn(COLUMN, EVERY)
    features = dict(known.features("match", np.array([["exact", "new"]]), "one-hot"))
    assert list(features) == ["match unknown", "match = broad", "match = exact", "match = phrase"]
    assert features["match = exact"].tolist() == [[1, 0]]
    assert features["match unknown"].tolist() == [[0, 1]]


def test_a_word_unknown_is_no_unknown_word():
    known = Categories.learn(np.array([["unknown", "exact"]]), EVERY[:1])
    features = dict(known.features("match", np.array([["unknown", "new"]]), "one-hot"))
    assert features["match = unknown"].tolist() == [[1, 0]]
    assert features["match unknown"].tolist() == [[0, 1]]


def periods(start: str, count: int, step: np.timedelta64) -> Periods:
    return Periods(np.datetime64(start, "s") + np.arange(count) * step, step)


def test_the_week_closes_like_a_circle_and_knows_its_weekend():
    days = dict(calendar(periods("2026-01-05", 14, np.timedelta64(1, "D"))))  # a Monday
    assert "hour sin" not in days
    assert days["weekend"].tolist() == [0, 0, 0, 0, 0, 1, 1] * 2
    turn = np.hypot(np.diff(days["weekday sin"]), np.diff(days["weekday cos"]))
    np.testing.assert_allclose(turn, 2 * np.sin(np.pi / 7))


def test_the_hour_turns_once_a_day_and_the_month_once_a_year():
    hours = dict(calendar(periods("2026-03-31T00:00", 30, np.timedelta64(1, "h"))))
    assert hours["hour sin"][6] == pytest.approx(1.0)
    assert hours["hour cos"][12] == pytest.approx(-1.0)
    assert hours["hour cos"][24] == pytest.approx(1.0)
    assert hours["month cos"][0] == pytest.approx(np.cos(2 * np.pi * 2 / 12))
    assert hours["part of month"][[0, 24]] == pytest.approx([30 / 31, 0.0])
