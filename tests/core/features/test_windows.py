from __future__ import annotations

import numpy as np
import pytest

from core.contracts import Panel, Periods
from core.errors import InvalidInputError
from core.features.windows import windows


def panel_of(values: np.ndarray, padded: np.ndarray | None = None) -> Panel:
    n_entity, n_time, n_metric = values.shape
    days = np.datetime64("2026-01-01") + np.arange(n_time)
    return Panel(
        values.astype(float),
        tuple(f"keyword:{row}" for row in range(n_entity)),
        tuple(f"m{column}" for column in range(n_metric)),
        Periods(days.astype("datetime64[s]"), np.timedelta64(1, "D")),
        padded,
    )


def test_a_window_ends_at_its_day_and_keeps_metric_order():
    panel = panel_of(np.arange(2 * 20 * 3).reshape(2, 20, 3))
    values, padded = windows(panel, length=14)
    assert values.shape == (2, 20, 14, 3)
    np.testing.assert_array_equal(values[1, 19], panel.values[1, 6:20])
    assert not padded[1, 19].any()


def test_a_short_history_repeats_its_first_day_and_says_so():
    values, padded = windows(panel_of(np.array([[[5.0], [6.0], [7.0]]])), length=5, last=1)
    assert values[0, 0, :, 0].tolist() == [5, 5, 5, 6, 7]
    assert padded[0, 0].tolist() == [True, True, False, False, False]


def test_an_entity_that_starts_later_is_padded_too():
    values, padded = windows(
        panel_of(np.array([[[np.nan], [np.nan], [7.0], [8.0]]])), length=3, last=2
    )
    assert values[0, :, :, 0].tolist() == [[7, 7, 7], [7, 7, 8]]
    assert padded[0].tolist() == [[True, True, False], [True, False, False]]


def test_gaps_inside_a_history_stay_missing():
    values, padded = windows(panel_of(np.array([[[1.0], [np.nan], [3.0]]])), length=3, last=1)
    assert np.isnan(values[0, 0, 1, 0])
    assert not padded[0, 0, 1]


def test_padding_known_to_the_panel_is_kept():
    panel = panel_of(np.ones((1, 3, 1)), np.array([[True, False, False]]))
    _, padded = windows(panel, length=3, last=1)
    assert padded[0, 0].tolist() == [True, False, False]


def test_a_longer_history_is_cut_to_the_latest():
    panel = panel_of(np.arange(30.0).reshape(1, 30, 1))
    values, _ = windows(panel, length=14, last=1)
    assert values[0, 0, 0, 0] == 16
    np.testing.assert_array_equal(values, windows(panel, length=14)[0][:, -1:])


def test_more_windows_than_periods_are_refused():
    with pytest.raises(InvalidInputError, match=r"windows: last must be in \[1, 3\]. Got 4."):
        windows(panel_of(np.ones((1, 3, 1))), last=4)
