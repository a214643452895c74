from __future__ import annotations

import pytest

from core.quantities import amount


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (0.001697, "share", "0.17 %"),
        (0.2425, "share", "24.2 %"),
        (1.0, "share", "100 %"),
        (0.0539, "s", "53.9 ms"),
        (1.376, "s", "1.38 s"),
        (0.0, "s", "0 s"),
        (1234.0, "ms", "1.23 s"),
        (4.0, "ms", "4 ms"),
        (1_252_000_000.0, "bytes", "1.25 GB"),
        (812.0, "bytes", "812 B"),
        (37.87, "percent", "37.9 %"),
        (4.2514, "cores", "4.25 cores"),
        (4150.0, "1/s", "4,150 a second"),
        (0.0000173, "", "0.0000173"),
        (-2.5, "", "-2.5"),
        (12431.0, "count", "12,431"),
        (3.0, "count", "3"),
        (2.5, "ratio", "2.50"),
    ],
)
def test_a_value_is_said_in_its_unit_with_three_digits(value: float, unit: str, told: str) -> None:
    assert amount(value, unit) == told


def test_money_is_said_in_its_currency() -> None:
    assert amount(1240.4, "money", "USD") == "$1,240"
    assert amount(9.5, "money", "CHF") == "CHF 9.50"
