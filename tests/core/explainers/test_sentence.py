from __future__ import annotations

import numpy as np
import pytest

from core.contracts import Attribution, Panel, Periods
from core.domains.ads import ADS
from core.explainers.sentence import sentence
from core.features.funnel import CHANNELS, FUNNEL

DAYS = (np.datetime64("2026-02-27") + np.arange(14)).astype("datetime64[s]")
USUAL = (4150.0, 40.0, 30.0, 4.0, 100.0)


def told(
    share: dict[str, float],
    last: tuple[float, ...],
    since: int = 13,
    expected: tuple[float, ...] = USUAL,
    relative: float = 0.1,
    currency: str = "USD",
) -> str:
    """The sentence for a last day; the shares lie evenly on the days from `since` on."""
    values = np.tile(np.array(USUAL), (1, 14, 1))
    values[0, since:] = last
    middle = np.tile(np.array(expected), (1, 14, 1))
    spread = middle * np.array(
        [relative, relative * 1.5, relative * 1.6, relative * 2, relative * 2.1]
    )
    periods = Periods(DAYS, np.timedelta64(1, "D"))
    observed, usual = (Panel(v, ("campaign:1",), FUNNEL, periods) for v in (values, middle))
    shares = np.zeros((14, 5))
    for channel, weight in share.items():
        days = 14 - since
        # the latest day leads, as in a real attribution
        shares[since:, CHANNELS.index(channel)] = (
            weight * np.arange(1, days + 1) / (days * (days + 1) / 2)
        )
    score = float(shares.sum()) + 0.5
    attribution = Attribution("campaign:1", DAYS, CHANNELS, shares, score, 0.5, 0.0)
    return sentence(attribution, observed, usual, spread, ADS, currency)


def test_a_fall_is_said_with_numbers_units_and_share():
    text = told({"impressions": 3.2, "cpc": 0.3}, (1204.0, 11.6, 8.7, 1.2, 30.0))
    assert text == (
        "Impressions fell to 1,204 on 12 Mar, 71 % below the expected 4,150 (80 % band 3,618–4,682); "
        "this makes up 91 % of the score; click-through rate, cost per click, conversion rate and "
        "sales per order as usual."
    )


def test_a_change_that_lasts_tells_its_first_day():
    assert "on 12 Mar (since 10 Mar), 71 % below" in told(
        {"impressions": 3.2}, (1204.0, 11.6, 8.7, 1.2, 30.0), since=11
    )


def test_the_first_day_is_read_from_the_figures_not_from_the_weights():
    fallen = (1204.0, 11.6, 8.7, 1.2, 30.0)
    assert "on 12 Mar (since 4 Mar)" in told({"impressions": 3.2}, fallen, since=5)


def test_ratios_are_said_in_their_own_unit():
    text = told({"cpc": 4.0, "cvr": 1.0}, (4150.0, 40.0, 48.0, 1.0, 25.0))
    assert text.startswith(
        "Cost per click rose to $1.20 on 12 Mar, 60 % above the expected $0.75 (80 % band $0.70–$0.80)"
    )
    assert "this makes up 80 % of the score; with conversion rate (20 %)" in text
    assert "Conversion rate fell to 2.5 % on 12 Mar, 75 % below the expected 10 %" in told(
        {"cvr": 1.0}, (4150.0, 40.0, 30.0, 1.0, 25.0)
    )


def test_spend_without_sales_is_said_in_words():
    text = told({"cvr": 4.0}, (4150.0, 40.0, 30.0, 0.0, 0.0))
    assert text.endswith("$30.00 of spend without sales.")
    assert "inf" not in text
    assert "ACOS" not in text


def test_no_sales_where_none_were_due_are_no_news():
    assert "without sales" not in told(
        {"cpc": 4.0},
        (4150.0, 40.0, 60.0, 0.0, 0.0),
        expected=(4150.0, 40.0, 30.0, 0.2, 5.0),
        relative=0.5,
    )


def test_what_can_not_be_told_is_not_called_usual():
    text = told({"impressions": 6.0}, (0.0, 0.0, 0.0, 0.0, 0.0))
    assert text.startswith("Impressions fell to 0 on 12 Mar, 100 % below the expected 4,150")
    assert "as usual" not in text


def test_multiples_instead_of_hundreds_of_percent():
    assert "3.3 times the expected" in told({"ctr": 6.0}, (4150.0, 132.0, 99.0, 13.0, 330.0))


@pytest.mark.parametrize(
    ("currency", "shown"), [("EUR", "€1.20"), ("SEK", "SEK 1.20"), ("", "1.20")]
)
def test_money_carries_its_currency(currency, shown):
    assert f"rose to {shown} on" in told(
        {"cpc": 4.0}, (4150.0, 40.0, 48.0, 4.0, 100.0), currency=currency
    )


def test_days_without_an_expectation_say_so():
    nan = (np.nan,) * 5
    assert told({"impressions": 1.0}, USUAL, expected=nan) == (
        "Impressions stood at 4,150 on 12 Mar, with nothing to expect yet; this makes up 100 % of the score."
    )


def test_a_score_without_a_reason_says_so():
    assert told({"cpc": 0.0}, USUAL) == "No single metric stands out."
