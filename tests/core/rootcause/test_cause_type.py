from __future__ import annotations

import numpy as np
import pytest

from core.domains.ads import ADS
from core.rootcause.cause_type import Shift, day, judge, percent, told

CHANNELS = ("impressions", "ctr", "cpc", "cvr", "aov")


def shifts(sd: float = 0.05, **changes: float) -> list[Shift]:
    return [Shift(name, changes.get(name, 0.0), sd) for name in CHANNELS]


@pytest.mark.parametrize(
    ("level", "changes", "kind"),
    [
        ("campaign", {"impressions": -0.55}, "budget_cut"),
        ("campaign", {"impressions": -1.0}, "paused"),
        ("campaign", {"ctr": 2.0, "cvr": -0.66}, "click_fraud"),
        ("keyword", {"impressions": 0.5, "cpc": 0.6}, "bid_up"),
        ("keyword", {"impressions": -0.45, "cpc": -0.35}, "bid_down"),
        ("asin", {"impressions": -0.95}, "listing_suppressed"),
        ("asin", {"cvr": -0.45, "aov": 0.2}, "price_up"),
        ("profile", {"cvr": -0.9}, "tracking_break"),
        ("profile", {"impressions": -1.0}, "payment_failure"),
        ("portfolio", {"aov": 1.5}, "unknown"),
        ("ad", {"impressions": -0.95}, "unknown"),
    ],
)
def test_names_the_type_that_fits_level_and_shift(
    level: str, changes: dict[str, float], kind: str
) -> None:
    sd = 5.0 if kind == "listing_suppressed" else 0.05
    found = [
        Shift(s.channel, s.change, sd if s.channel == "cvr" else 0.05) for s in shifts(**changes)
    ]
    assert judge(ADS, level, found, None).type == kind


def test_settings_move_the_odds_by_what_they_say() -> None:
    cut = shifts(impressions=-0.55)
    unknown = judge(ADS, "campaign", cut, None)
    told_so = judge(ADS, "campaign", cut, {"budget": (50.0, 20.0)})
    told_not = judge(ADS, "campaign", cut, {"budget": (50.0, 50.0)})
    assert (unknown.settings, told_so.settings, told_not.settings) == (0.0, 6.0, -2.0)
    assert {unknown.type, told_so.type, told_not.type} == {"budget_cut"}
    assert judge(ADS, "campaign", cut, {"budget": (20.0, 50.0)}).type != "budget_cut"


def test_a_vague_shift_is_no_evidence() -> None:
    clear = judge(ADS, "keyword", shifts(0.05, cpc=0.6, impressions=0.5), None)
    vague = judge(ADS, "keyword", shifts(2.0, cpc=0.6, impressions=0.5), None)
    assert vague.shifts < 1.0 < clear.shifts


def test_words_carry_signs_units_and_days() -> None:
    assert told(ADS, "bid_up", [Shift("cpc", 0.214, 0.03)], {"bid": (0.9, 1.1)}, "9 Mar") == [
        "Cost per click +21 % (±3) since 9 Mar",
        "Bid set from 0.9 to 1.1",
    ]
    assert percent(-0.61) == "−61 %"
    assert day(np.datetime64("2026-03-09T00:00:00")) == "9 Mar"


def test_what_a_cause_is_known_by_is_told_first() -> None:
    shifts = [Shift("cpc", -0.36, 0.04), Shift("cvr", -0.45, 0.1)]
    assert (
        told(ADS, "price_up", shifts, None, "9 Mar")[0] == "Conversion rate −45 % (±10) since 9 Mar"
    )
    assert (
        told(ADS, "bid_down", shifts, None, "9 Mar")[0] == "Cost per click −36 % (±4) since 9 Mar"
    )
