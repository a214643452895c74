"""Numbers, money, ages and times as an analyst reads them. Missing is "–"; nothing here knows Streamlit."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from core.domains import DOMAINS, conventions
from core.domains.ads import ADS

MISSING = "–"
MARKUP = re.compile(r"[\\`*_{}\[\]<>#$:~|]")
"""Signs that Markdown may read as its own."""
SHORT = 4
"""Letters of the longest name that is an abbreviation: `ACOS`."""
SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "CAD": "CA$", "AUD": "A$", "INR": "₹"}


def number(value: float | None, digits: int = 0) -> str:
    """12431 → `12,431`."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞"
    return f"{value:,.{digits}f}".replace("-", "−")


def money(value: float | None, currency: str = "", digits: int | None = None) -> str:
    """1234.5 USD → `$1,235`; below 100 with cents."""
    if value is None or not math.isfinite(value):
        return number(value)
    if digits is None:
        digits = 2 if abs(value) < 100 and value != 0 else 0
    symbol = SYMBOLS.get(currency, f"{currency} " if currency else "")
    sign = "−" if value < 0 else ""
    return f"{sign}{symbol}{number(abs(value), digits)}"


def percent(share: float | None, digits: int = 1, signed: bool = False) -> str:
    """0.123 → `12.3 %`."""
    if share is None or not math.isfinite(share):
        return number(share)
    sign = "+" if signed and share > 0 else ""
    return f"{sign}{number(100 * share, digits)} %"


def confidence(share: float) -> str:
    """`86 %`; never a certainty: `> 99 %`."""
    return "> 99 %" if share > 0.99 else percent(share, 0)


def quantity(value: float | None, unit: str, currency: str = "", empty: str = "") -> str:
    """A value in its metric's unit: count, money, share or ratio; ∞ with what was absent, `empty`."""
    if value is None:
        return MISSING
    if math.isinf(value):
        return f"∞ ({empty})" if empty else "∞"
    if unit == "money":
        return money(value, currency)
    if unit == "share":
        return percent(value, 2 if abs(value) < 0.1 else 1)
    if unit in ("", "count", "ratio"):
        return number(value, 2 if unit == "ratio" else 0 if abs(value) >= 10 else 1)
    return measure(value, unit)


SCALES = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "ms": ((1e3, "s"), (1.0, "ms"), (1e-3, "µs")),
    "bytes": ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")),
    "bytes/s": ((1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s"), (1.0, "B/s")),
    "percent": ((1.0, "%"),),
}


def measure(value: float, unit: str) -> str:
    """A measurement to three digits in the size of unit that suits it: `120 ms`, `1.25 GB`, `0.52 cores`."""
    if not math.isfinite(value):
        return number(value)
    scales = SCALES.get(unit, ((1.0, unit),))
    size, name = next((scale for scale in scales if abs(value) >= scale[0]), scales[-1])
    if value == 0:
        size, name = 1.0, unit if unit not in ("percent", "bytes") else scales[-1][1]
    scaled = abs(value) / size
    whole = scaled >= 100 or scaled == round(scaled)
    digits = 0 if whole else 2 if unit == "percent" else 2 - math.floor(math.log10(scaled))
    return f"{number(value / size, min(digits, 4))} {name}"


def change(observed: float, expected: float) -> str:
    """Difference to what was expected: `−61 %`, `× 12` from tenfold on; `∞` is never claimed of an expected zero."""
    if not math.isfinite(observed) or not math.isfinite(expected) or expected == 0:
        return MISSING
    ratio = observed / expected
    return f"× {number(ratio)}" if ratio >= 10 else percent(ratio - 1, 0, signed=True)


def age(since: datetime | None, now: datetime) -> str:
    """`4 min`, `3 h`, `2 d`."""
    if since is None:
        return MISSING
    minutes = max(0.0, (now - since).total_seconds() / 60)
    for limit, size, unit in ((90, 1, "min"), (48 * 60, 60, "h"), (math.inf, 1440, "d")):
        if minutes < limit:
            return f"{minutes / size:.0f} {unit}"
    return MISSING


def span(seconds: float) -> str:
    """`8 s`, `4 min`, `3 h`, `2 d`."""
    for limit, size, unit in ((90, 1, "s"), (90 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def size(amount: float) -> str:
    """Bytes as people count them: `640 MB`, `1.2 GB`."""
    return f"{amount / 1e9:,.1f} GB" if amount >= 1e9 else f"{amount / 1e6:,.0f} MB"


def day(value: date | np.datetime64 | None, year: bool = False) -> str:
    """`9 Mar`, or `9 Mar 2026`."""
    if value is None:
        return MISSING
    plain: date = (
        value.astype("datetime64[D]").astype(date) if isinstance(value, np.datetime64) else value
    )
    return f"{plain.day} {plain:%b %Y}" if year else f"{plain.day} {plain:%b}"


def period(value: date | np.datetime64 | None, year: bool = False) -> str:
    """A day, or `9 Mar, 14:05` where periods are shorter: a datetime, or a datetime64 of minutes."""
    if isinstance(value, np.datetime64) and np.datetime_data(value.dtype)[0] == "m":
        value = value.item()
    told = day(value, year)
    return f"{told}, {value:%H:%M}" if isinstance(value, datetime) else told


def moment(value: datetime | None, zone: str = "UTC") -> str:
    """`9 Mar 2026, 06:02 UTC`."""
    if value is None:
        return MISSING
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    local = aware.astimezone(ZoneInfo(zone))
    return f"{local.day} {local:%b %Y, %H:%M} {local.tzname()}"


def foretold(alert: Any, zone: str = "UTC") -> str:
    """`expected about 14:20 UTC, 35 min ahead`; "" of what has happened already."""
    if alert.predicted_for is None:
        return ""
    expected = alert.predicted_for.astimezone(ZoneInfo(zone))
    return (
        f"expected about {expected:%H:%M} {expected.tzname()}, {alert.lead_minutes:.0f} min ahead"
    )


def p_value(value: float | None) -> str:
    """`0.00042`; below a hundred-thousandth only that."""
    if value is None or math.isnan(value):
        return MISSING
    return (
        "< 0.00001"
        if value < 1e-5
        else f"{value:.5f}".rstrip("0")
        if value < 1e-3
        else f"{value:.2g}"
    )


def count(many: float, one: str, more: str = "") -> str:
    """`1 alert`, `14 alerts`."""
    return f"{number(many)} {one if many == 1 else more or one + 's'}"


def domain(name: str) -> str:
    """A domain's display word."""
    return DOMAINS[name].label if name in DOMAINS else name.upper()


def has_money(domain: str) -> bool:
    """Whether anything is spent in a domain."""
    return domain in DOMAINS and bool(DOMAINS[domain].spend)


def levels(domain: str) -> tuple[str, ...]:
    """The levels of a domain, top first."""
    return DOMAINS[domain].levels


def unit(domain: str) -> str:
    """The level that a domain is usually told apart by."""
    return DOMAINS[domain].defaults["unit"]


def periods(unit: str, zone: str) -> str:
    """`days in UTC`, `times in UTC`: whose wall clock a page's periods are read from."""
    return f"{'days' if unit == 'D' else 'times'} in {zone}"


def level(name: str) -> str:
    """A level's display word."""
    known = {name: label for spec in DOMAINS.values() for name, label in spec.level_labels.items()}
    return known.get(name, name.replace("_", " ").capitalize())


def inline(label: str) -> str:
    """A display word within a sentence: `campaign`, but `ASIN`."""
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def literal(text: str) -> str:
    """The text as it stands, where Markdown would read signs of its own into it."""
    return MARKUP.sub(r"\\\g<0>", text)


def metric(name: str) -> str:
    """The word an analyst says for a metric or ratio: `Spend`, `CTR`."""
    known = {
        spec.name: spec.label.partition(" (")[0] for one in DOMAINS.values() for spec in one.metrics
    }
    return known.get(name, name.upper() if len(name) <= SHORT else conventions.label(name))


def condition(name: str, value: float | str | None, currency: str = "") -> tuple[str, str]:
    """A market condition in words: `("Spend week on week", "+5 %")`, `("CPC", "$0.73")`."""
    if value == "Infinity":  # as the records keep what JSON cannot
        value = math.inf
    if not isinstance(value, int | float):
        return name.replace("_", " ").capitalize(), MISSING if value is None else str(value)
    if name.endswith("_change"):
        told = f"{metric(name.removesuffix('_change'))} week on week"
        return told, percent(value, 0, signed=True)
    units = {spec.name: spec.unit for spec in ADS.metrics}
    units |= {ratio.name: ratio.unit for ratio in ADS.ratios}
    empty = {ratio.name: ratio.empty_label for ratio in ADS.ratios}
    return metric(name), quantity(value, units.get(name, "ratio"), currency, empty.get(name, ""))


TERMS = {
    "symptom": ("Symptom", "What those who call it notice, beyond normal"),
    "own": ("Own", "What it shows beyond the nodes that it depends on"),
    "other": ("Other symptom", "A symptom of another kind than the alert's"),
    "resource": ("Resources", "CPU, memory or disk beyond normal"),
    "delay": ("Late calls", "Calls reach it later than they were sent"),
    "starving": ("Calls less", "Called as ever, it calls what it depends on less"),
    "inherited": ("Unexplained", "Symptoms of its callers that nothing else explains"),
    "effect": ("Callers", "The worst symptom of those who call it"),
    "volume": ("Passes it", "How much of what the alert suffers passes through it"),
    "self": ("Arises here", "How much of what the alert suffers arises in it"),
    "lead": ("Lead", "Left normal before the alert did"),
    "alarms": ("Alerts itself", "It is the node that alerts, and seldom its own cause"),
    "hops": ("Distance", "Farther from the alert is a little less likely"),
    "rivals": ("Rivals", "Taken off because others explain the alert too"),
    "part": ("Part", "Levels between it and the whole that it answers for"),
    "alone": ("Alone", "It left the other parts of the same whole behind"),
    "siblings": ("Siblings", "The other parts of the same whole left normal too"),
    "split": ("Split", "One of its own parts left the others behind"),
    "hosted": ("Host", "Several that run on it left their siblings elsewhere behind"),
    "neighbours": ("Neighbours", "So did strangers on the same host"),
    "deviation": ("Deviation", "How far it is from normal"),
    "correlation": ("Together", "How surely it moves together with the alert"),
    "chain": ("Chain", "Nothing but trouble lies between it and the alert"),
}
"""Heading and help of the terms of a cause's score."""


def term(name: str) -> tuple[str, str]:
    """A term's heading and what it says, "" where the heading says it all."""
    return TERMS.get(name, (name.replace("_", " ").capitalize(), ""))


def ordinal(place: int) -> str:
    """1 → `1st`."""
    ending = (
        "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    )
    return f"{place}{ending}"


def listed(words: Sequence[str], most: int = 3) -> str:
    """`a, b and 4 more`."""
    if len(words) <= most:
        return ", ".join(words)
    return f"{', '.join(words[:most])} and {len(words) - most} more"


def short(text: str, most: int = 28) -> str:
    """The text cut in its middle, so that start and end both stay readable."""
    if len(text) <= most:
        return text
    head = (most - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"
