"""Predictions come back from their file as they were, and give the very same figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.errors import PersistenceError
from core.evaluate.held_out import Predictions, figures
from data.predictions import pack, unpack


@pytest.fixture
def predictions() -> Predictions:
    draws = np.random.default_rng(8)
    shape = (30, 12)
    p_value = draws.random(shape)
    days = np.datetime64("2026-02-01", "s") + np.arange(12) * np.timedelta64(86400, "s")
    seen = draws.random(shape) > 0.2
    names = tuple(f"campaign:{row:02d} é" for row in range(30))
    return Predictions(names, days, -np.log10(p_value), p_value, seen, draws.random(shape) > 0.9)


def test_what_was_seen_comes_back_bit_for_bit(predictions: Predictions) -> None:
    again = unpack(pack(predictions))
    assert again.entities == predictions.entities
    np.testing.assert_array_equal(again.periods, predictions.periods)
    np.testing.assert_array_equal(again.seen, predictions.seen)
    for name in ("score", "p_value", "label"):
        written, read = getattr(predictions, name), getattr(again, name)
        np.testing.assert_array_equal(read[again.seen], written[predictions.seen])
    assert figures(again) == figures(predictions)


@pytest.mark.parametrize("absent", ["p_value", "label"])
def test_what_was_absent_stays_absent(predictions: Predictions, absent: str) -> None:
    without = replace(predictions, **{absent: None})
    again = unpack(pack(without))
    assert getattr(again, absent) is None
    assert figures(again) == figures(without)


def test_nothing_seen_is_nothing_told(predictions: Predictions) -> None:
    blind = replace(predictions, seen=np.zeros_like(predictions.seen))
    assert figures(unpack(pack(blind))) == {"rows": 0.0, "labelled": 0.0}


@pytest.mark.parametrize("data", [b"", b"PAR1 not really PAR1", b"x" * 1000])
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(PersistenceError, match="must be Parquet with entity"):
        unpack(data)
