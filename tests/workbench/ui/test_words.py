"""Numbers, money, ages and days as an analyst reads them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from workbench.ui import words

NAN, INF = float("nan"), float("inf")
NOW = datetime(2026, 3, 17, 6, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (words.number(12431), "12,431"),
        (words.number(-3.25, 1), "−3.2"),
        (words.number(NAN), "–"),
        (words.number(None), "–"),
        (words.money(1234.5, "USD"), "$1,234"),
        (words.money(12.5, "EUR"), "€12.50"),
        (words.money(-80, "GBP"), "−£80.00"),
        (words.money(5, "SEK"), "SEK 5.00"),
        (words.money(0, "USD"), "$0"),
        (words.percent(0.1234), "12.3 %"),
        (words.percent(0.05, 0, signed=True), "+5 %"),
        (words.percent(INF), "∞"),
        (words.quantity(INF, "money"), "∞"),
        (words.quantity(0.0123, "share"), "1.23 %"),
        (words.quantity(2.5, "ratio"), "2.50"),
        (words.quantity(3.2, "count"), "3.2"),
        (words.quantity(1240.4, "count"), "1,240"),
        (words.confidence(0.86), "86 %"),
        (words.confidence(0.9999), "> 99 %"),
        (words.change(39, 100), "−61 %"),
        (words.change(1, 0), "–"),
        (words.change(NAN, 5), "–"),
        (words.p_value(0.00042), "0.00042"),
        (words.p_value(0.041), "0.041"),
        (words.p_value(6e-61), "< 0.00001"),
        (words.p_value(None), "–"),
        (words.count(1, "alert"), "1 alert"),
        (words.count(14, "alert"), "14 alerts"),
        (words.count(2, "entity", "entities"), "2 entities"),
        (words.level("ad_group"), "Ad group"),
        (words.level("galaxy_cluster"), "Galaxy cluster"),
        (words.metric("ctr"), "CTR"),
        (words.metric("cost"), "Spend"),
        (words.metric("orders"), "Orders"),
        (words.short("SP | Travel | Neck Pillow 02", 16), "SP | Trave…ow 02"),
        (words.short("short", 16), "short"),
    ],
)
def test_values_read_well(said: str, expected: str) -> None:
    assert said == expected


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("Product ad", "product ad"),
        ("ASIN", "ASIN"),
        ("Listing suppressed or Buy Box lost", "listing suppressed or Buy Box lost"),
        ("", ""),
    ],
)
def test_a_label_within_a_sentence_keeps_its_names(label: str, said: str) -> None:
    assert words.inline(label) == said


def test_market_conditions_carry_their_units() -> None:
    assert words.condition("cost_change", 0.052) == ("Spend week on week", "+5 %")
    assert words.condition("cpc", 0.73, "EUR") == ("CPC", "€0.73")
    assert words.condition("acos", "Infinity") == ("ACOS", "∞ (no sales)")
    assert words.condition("cpc", "Infinity", "EUR") == ("CPC", "∞ (no clicks)")
    assert words.condition("season", "Prime Day") == ("Season", "Prime Day")
    assert words.condition("roas", None) == ("Roas", "–")


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        (timedelta(minutes=4), "4 min"),
        (timedelta(hours=3), "3 h"),
        (timedelta(hours=47), "47 h"),
        (timedelta(days=9), "9 d"),
        (-timedelta(hours=1), "0 min"),
    ],
)
def test_ages_are_short(ago: timedelta, expected: str) -> None:
    assert words.age(NOW - ago, NOW) == expected


def test_days_and_moments_name_their_zone() -> None:
    assert words.day(date(2026, 3, 9)) == "9 Mar"
    assert words.day(np.datetime64("2026-03-09T05:00")) == "9 Mar"
    assert words.day(date(2026, 3, 9), year=True) == "9 Mar 2026"
    assert words.moment(NOW) == "17 Mar 2026, 06:02 UTC"
    assert words.moment(NOW, "America/Los_Angeles") == "16 Mar 2026, 23:02 PDT"
    assert words.moment(None) == "–"


@pytest.mark.parametrize(
    ("place", "expected"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (22, "22nd")],
)
def test_ordinals(place: int, expected: str) -> None:
    assert words.ordinal(place) == expected


def test_spans_and_sizes_are_told_in_one_unit() -> None:
    spans = {8.2: "8 s", 89: "89 s", 90: "2 min", 3600: "60 min", 5400: "2 h", 200_000: "2 d"}
    assert {seconds: words.span(seconds) for seconds in spans} == spans
    assert words.size(6.4e8) == "640 MB" and words.size(1.23e9) == "1.2 GB"
