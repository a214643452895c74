from __future__ import annotations

import numpy as np
import pytest

from core.features.cycle import cycle


@pytest.mark.parametrize(
    ("step", "periods"),
    [
        ((5, "m"), 288),
        ((1, "h"), 24),
        ((1, "D"), 7),
        ((7, "D"), 52),
        ((30, "D"), 12),
        ((91, "D"), 4),
        ((365, "D"), 1),
    ],
)
def test_a_season_is_the_day_the_week_or_the_year_around_a_period(step, periods):
    assert cycle(np.timedelta64(*step)) == periods
