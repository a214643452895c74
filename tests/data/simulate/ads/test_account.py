from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pytest

from data.simulate.ads import END, Advertiser, build_advertiser
from data.simulate.ads.account import LEVELS, SIZES, WORLDS, Clock


@pytest.mark.parametrize(("size", "keywords"), [("XS", 120), ("S", 800), ("M", 1000)])
def test_sizes_are_exact(size: str, keywords: int) -> None:
    accounts = build_advertiser(SIZES[size], 3, WORLDS["A"], END).accounts
    assert sum(len(a.keywords) for a in accounts) == keywords


def test_ids_have_15_to_17_digits_and_are_unique(advertiser: Advertiser) -> None:
    seen = [i for a in advertiser.accounts for lv in LEVELS[:-1] for i in a.native_ids(lv)]
    assert {len(i) for i in seen} == {15, 16, 17}
    assert len(set(seen)) == len(seen)


def test_a_product_sits_in_several_ad_groups_of_one_portfolio(advertiser: Advertiser) -> None:
    account = advertiser.accounts[0]
    groups = [set(account.ads.parent[account.ad_asin == a]) for a in range(len(account.asins))]
    assert max(len(g) for g in groups) >= 2
    campaign_of_ad = account.ad_groups.parent[account.ads.parent]
    portfolio_of_ad = account.campaigns.parent[campaign_of_ad]
    assert all(len(set(portfolio_of_ad[account.ad_asin == a])) <= 1 for a in range(len(groups)))


def test_leaves_of_an_ad_group_are_keywords_times_ads(advertiser: Advertiser) -> None:
    account = advertiser.accounts[0]
    group = account.leaf_of["ad_group"]
    keywords = np.bincount(account.keywords.parent)
    ads = np.bincount(account.ads.parent)
    np.testing.assert_array_equal(np.bincount(group), keywords * ads)
    assert set(ads) == {1, 2, 3}


def test_clock_change_days_have_23_and_25_hours() -> None:
    clock = Clock.of("America/Los_Angeles", date(2025, 11, 1), 140)
    hours = dict(zip(clock.days, np.diff(clock.first_hour).tolist(), strict=True))
    assert hours[date(2025, 11, 2)] == 25
    assert hours[date(2026, 3, 8)] == 23
    assert sum(h != 24 for h in hours.values()) == 2
    spring = clock.day == (date(2026, 3, 8) - date(2025, 11, 1)).days
    assert 2 not in clock.hour_of_day[spring]  # 02:00 to 03:00 does not exist
    assert clock.utc(0) == datetime(2025, 11, 1, 7, tzinfo=UTC)


def test_a_longer_history_leaves_the_entities_as_they_were() -> None:
    short, long = (build_advertiser(SIZES[s], 5, WORLDS["A"], END).accounts[1] for s in ("S", "M"))
    assert long.portfolios.ids[:4].tolist() == short.portfolios.ids.tolist()
    assert long.campaigns.ids[:20].tolist() == short.campaigns.ids.tolist()
