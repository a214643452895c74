"""A value in its unit as a sentence says it: three digits, the size of unit that suits them."""

from __future__ import annotations

import math

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "CAD": "CA$", "MXN": "MX$"}
PREFIXES = {1e12: "T", 1e9: "G", 1e6: "M", 1e3: "k", 1.0: ""}
PREFIXED = {"bytes": ("B", 1.0), "bytes/s": ("B/s", 1.0), "s": ("s", 1.0), "ms": ("s", 1e-3)}
"""Unit → how it is written after a prefix, and how much of that one of it is."""
UNITS = {"percent": "%", "1/s": "a second"}


def amount(value: float, unit: str, currency: str = "") -> str:
    """`24.3 %` of a share, `885 ms` of seconds, `1.25 GB` of bytes, `$1,240` of money, `12,431` of a count.

    Any other unit is written as it is, after three significant digits; of a ratio two decimals are told.
    """
    if unit == "money":
        symbol = SYMBOLS.get(currency, f"{currency} " if currency else "")
        return f"{symbol}{value:,.0f}" if abs(value) >= 1000 else f"{symbol}{value:,.2f}"
    if unit == "share":
        return f"{_digits(100 * value)} %"
    if unit == "count":
        return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:.1f}"
    if unit in PREFIXED:
        name, worth = PREFIXED[unit]
        base = value * worth
        smallest = 1e-3 if name == "s" and base else 1.0
        size = next((size for size in PREFIXES if abs(base) >= size), smallest)
        return f"{_digits(base / size)} {PREFIXES.get(size, 'm')}{name}"
    if unit == "ratio":
        return f"{value:.2f}"
    return f"{_digits(value)} {UNITS.get(unit, unit)}".rstrip()


def _digits(value: float) -> str:
    """Three significant digits, never an exponent; all digits before the point."""
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}"
    before = math.floor(math.log10(abs(value))) + 1
    text = f"{value:,.{max(3 - before, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
