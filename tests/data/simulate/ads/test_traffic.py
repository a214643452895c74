from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from data.simulate.ads import END, Advertiser, build_advertiser
from data.simulate.ads.account import SIZES, WORLDS, Account
from data.simulate.ads.faults import FAULTS, Shift, Stage
from data.simulate.ads.traffic import NEVER, Clicks, Orders, Traffic, simulate


def rows(events: Clicks | Orders, keep: np.ndarray) -> list[np.ndarray]:
    return [getattr(events, f.name)[keep] for f in dataclasses.fields(events)]


@pytest.mark.parametrize("seed", [1, 2, 7])
def test_faults_change_nothing_outside_the_campaigns_that_feel_them(seed: int) -> None:
    world = build_advertiser(SIZES["S"], seed, WORLDS["A"], END)
    for number, account in enumerate(world.accounts):
        own = [i for i in world.incidents if i.account == number]
        if not own:
            continue
        felt = np.any([i.campaigns for i in own], axis=0)
        outside = ~felt[account.leaf_of["campaign"]]
        actual = world.traffic(number)
        clean = simulate(account, [p.shift for p in world.decoys.promotions if p.account == number])
        np.testing.assert_array_equal(actual.impressions[outside], clean.impressions[outside])
        for name in ("clicks", "orders"):
            a, c = getattr(actual, name), getattr(clean, name)
            same = (f for f in zip(rows(a, outside[a.leaf]), rows(c, outside[c.leaf]), strict=True))
            for left, right in same:
                if world.decoys.late.account != number:
                    np.testing.assert_array_equal(left, right)
                else:  # the late day only moves first_age
                    assert left.shape == right.shape
        assert len(actual.orders.leaf) != len(clean.orders.leaf)


def test_faults_change_nothing_before_their_onset() -> None:
    world = build_advertiser(SIZES["S"], 7, WORLDS["A"], END)
    for number, account in enumerate(world.accounts):
        own = [i for i in world.incidents if i.account == number]
        first = min(int(account.clock.day[i.onset_hour]) for i in own)
        clean = simulate(account, [p.shift for p in world.decoys.promotions if p.account == number])
        actual = world.traffic(number)
        np.testing.assert_array_equal(actual.impressions[:, :first], clean.impressions[:, :first])
        before = [np.sort(t.clicks.cents[t.clicks.day < first]) for t in (actual, clean)]
        np.testing.assert_array_equal(*before)


def test_restricting_the_campaigns_gives_the_same_traffic_there(advertiser: Advertiser) -> None:
    account = advertiser.accounts[1]
    some = np.zeros(len(account.campaigns), dtype=bool)
    some[[2, 11]] = True
    part, whole = simulate(account, campaigns=some), simulate(account)
    inside = some[account.leaf_of["campaign"]]
    np.testing.assert_array_equal(part.impressions[inside], whole.impressions[inside])
    assert not part.impressions[~inside].any()
    for a, b in zip(
        rows(part.orders, inside[part.orders.leaf]),
        rows(whole.orders, inside[whole.orders.leaf]),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def daily_spend(account: Account, traffic: Traffic) -> np.ndarray:
    n_day = len(account.clock.days)
    campaign = account.leaf_of["campaign"][traffic.clicks.leaf]
    cell = campaign * n_day + traffic.clicks.day
    size = len(account.campaigns) * n_day
    return np.bincount(cell, traffic.clicks.cents, size).reshape(-1, n_day) / 100.0


def test_no_day_spends_more_than_twice_its_budget_and_no_month_more_than_its_days(
    advertiser: Advertiser,
) -> None:
    account = advertiser.accounts[0]
    leaves = np.arange(account.n_leaf)
    rush = Shift(leaves, np.zeros(len(leaves), dtype=np.int64), 10**9, Stage(impressions=4.0))
    traffic = simulate(account, [rush])
    spend = daily_spend(account, traffic)
    assert (spend <= 2.0 * traffic.budget + 1e-6).all()
    assert (spend > 1.2 * traffic.budget).any()  # days do go over the average
    january = np.array([d.month == 1 for d in account.clock.days])
    allowance = account.campaign_budget * january.sum()
    assert (spend[:, january].sum(axis=1) <= allowance + 1e-6).all()
    assert (spend[:, january].sum(axis=1) > 0.9 * allowance).all()


def test_a_budget_cut_stops_delivery_for_the_rest_of_the_day(advertiser: Advertiser) -> None:
    account = advertiser.accounts[0]
    cut = np.full(len(account.campaigns), np.nan)
    cut[3] = 5.0
    day = 60
    start = int(account.clock.first_hour[day])
    leaves = np.flatnonzero(account.leaf_of["campaign"] == 3)
    shift = Shift(leaves, np.full(len(leaves), start), 10**9, Stage(budget=0.1), cut)
    traffic = simulate(account, [shift])
    spend = daily_spend(account, traffic)[3]
    assert (traffic.budget[3, day:] == 5.0).all()
    assert (spend[day:] <= 10.0).all()
    assert spend[day:].sum() <= 5.0 * len(spend[day:]) + 1e-9
    assert spend[:day].mean() > 20.0


def test_the_latent_rates_are_those_of_the_specification(traffics: list[Traffic]) -> None:
    traffic = simulate(build_advertiser(SIZES["S"], 11, WORLDS["A"], END).accounts[0])
    delay = np.bincount(traffic.orders.delay) / len(traffic.orders.delay)
    assert delay[:3] == pytest.approx([0.62, 0.13, 0.07], abs=0.01)
    invalid = traffic.clicks.last_age < NEVER
    assert invalid.mean() == pytest.approx(0.015, abs=0.001)
    assert set(traffic.clicks.last_age[invalid]) == {1, 2, 3}
    assert traffic.orders.same_sku.mean() == pytest.approx(0.70, abs=0.01)
    assert (traffic.orders.units - 1).mean() == pytest.approx(0.12, abs=0.01)
    gone = traffic.orders.last_age.astype(int) - traffic.orders.delay
    assert (gone <= 3).mean() == pytest.approx(0.04, abs=0.004)
    assert set(gone[gone < 1000]) == {1, 2, 3, 7, 28}
    clicks_to_impressions = len(traffic.clicks.leaf) / traffic.impressions.sum()
    assert clicks_to_impressions == pytest.approx(4 / 404, rel=0.2)


def test_every_fault_moves_something() -> None:
    neutral = Stage()
    assert all(any(stage != neutral for stage in fault.stages) for fault in FAULTS)
