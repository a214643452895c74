from __future__ import annotations

import numpy as np
import pytest

from data.simulate.ads import END, Advertiser, build_advertiser
from data.simulate.ads.account import SIZES, WORLDS
from data.simulate.ads.faults import FAULTS, Incident
from data.simulate.ads.reports import REPORTS, Reporter
from data.simulate.ads.traffic import simulate
from data.simulate.ads.truth import effects, settled

PROMISES = {
    "budget_cut": (("impressions", None, -1), ("cost", None, -1)),
    "bid_up": (("cost", "clicks", 1),),
    "listing_suppressed": (("impressions", None, -1), ("purchases14d", None, -1)),
    "price_up": (("purchases14d", "clicks", -1),),
    "tracking_break": (("purchases14d", None, -1), ("sales14d", "cost", -1)),
    "click_fraud": (("clicks", "impressions", 1), ("purchases14d", "clicks", -1)),
    "paused": (("impressions", None, -1), ("cost", None, -1)),
    "payment_failure": (("impressions", None, -1), ("cost", None, -1)),
}
REPORT_OF = {r.level: r for r in REPORTS}


def emitted(
    world: Advertiser, incident: Incident, reporter: Reporter, metric: str, per: str | None
) -> float:
    """A metric of the root over its fault's days in the files of the last download."""
    account = world.accounts[incident.account]
    level = "ad" if incident.level == "asin" else "keyword"
    first = int(account.clock.day[incident.onset_hour])
    last = int(account.clock.day[incident.stop_hour - 1])
    table = reporter.columns(REPORT_OF[level], first, last, len(account.clock.days))
    below = account.leaf_of[incident.level] == incident.root
    entities = np.unique(account.leaf_of[level][below])
    mine = np.isin(table["entity"], entities)
    total = float(np.asarray(table[metric])[mine].sum())
    return total if per is None else total / float(np.asarray(table[per])[mine].sum())


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5, 6, 7, 8])
def test_the_files_show_every_promised_effect(seed: int) -> None:
    world = build_advertiser(SIZES["S"], seed, WORLDS["A"], END)
    for number, account in enumerate(world.accounts):
        own = [i for i in world.incidents if i.account == number]
        promotions = [p.shift for p in world.decoys.promotions if p.account == number]
        actual = Reporter(account, world.traffic(number), own)
        clean = Reporter(account, simulate(account, promotions), [])
        for incident in own:
            for metric, per, sign in PROMISES[incident.fault.cause_type]:
                was = emitted(world, incident, actual, metric, per)
                would = emitted(world, incident, clean, metric, per)
                assert np.sign(was - would) == sign, (incident.fault.cause_type, metric)


def test_promises_cover_the_catalogue() -> None:
    assert {f.cause_type for f in FAULTS} == set(PROMISES)
    assert {f.code for f in FAULTS} == {"F01", "F03", "F05", "F07", "F09", "F10", "F13"}


@pytest.mark.parametrize("world", list(WORLDS))
def test_incidents_are_several_disjoint_recent_and_visible(world: str) -> None:
    causes: set[str] = set()
    for seed in range(25):
        built = build_advertiser(SIZES["S"], seed, WORLDS[world], END)
        assert 3 <= len(built.incidents) <= 4
        assert len({i.fault.cause_type for i in built.incidents}) == len(built.incidents)
        for incident in built.incidents:
            account = built.accounts[incident.account]
            day = int(account.clock.day[incident.onset_hour])
            assert 2 <= len(account.clock.days) - day <= 10
            assert incident.difficulty != "none"
            causes.add(incident.fault.cause_type)
        for number, account in enumerate(built.accounts):
            masks = [i.campaigns for i in built.incidents if i.account == number]
            assert np.sum(masks, axis=0).max(initial=0) <= 1 or not masks
            assert len(account.portfolios) > 1
    assert causes == set(PROMISES)


def test_difficulty_follows_the_log_likelihood_ratio() -> None:
    built = [build_advertiser(SIZES["S"], s, WORLDS["A"], END) for s in range(40)]
    found = [(i.llr, i.difficulty) for b in built for i in b.incidents]
    assert {d for _, d in found} == {"hard", "medium", "easy"}
    for llr, difficulty in found:
        expected = "none" if llr < 8 else "hard" if llr < 20 else "medium" if llr < 60 else "easy"
        assert difficulty == expected


def test_effects_are_ratios_of_the_two_worlds_and_start_at_the_onset() -> None:
    world = build_advertiser(SIZES["S"], 7, WORLDS["A"], END)
    incident = next(i for i in world.incidents if i.fault.cause_type == "tracking_break")
    account = world.accounts[incident.account]
    actual = settled(account, world.traffic(incident.account))
    without = settled(account, world.traffic(incident.account, with_incidents=False))
    felt = effects(account, incident, actual, without)
    root = next(e for e in felt if e.level == "profile" and e.metric == "purchases")
    onset = int(account.clock.day[incident.onset_hour])
    ratio = actual["purchases"][:, onset:].sum() / without["purchases"][:, onset:].sum()
    assert root.ratio == pytest.approx(ratio)
    assert (root.sign, root.lag_hours) == (-1, 0)
    assert {e.metric for e in felt} == {"purchases", "sales"}  # clicks and cost stay as they were


def test_a_price_rise_reaches_impressions_three_days_later() -> None:
    for seed in range(40):
        world = build_advertiser(SIZES["S"], seed, WORLDS["A"], END)
        chain = [
            i
            for i in world.incidents
            if i.fault.cause_type == "price_up" and i.shifts[1].start[0] < i.shifts[1].stop - 24
        ]
        if chain:
            break
    incident = chain[0]
    account = world.accounts[incident.account]
    actual = settled(account, world.traffic(incident.account))
    without = settled(account, world.traffic(incident.account, with_incidents=False))
    felt = effects(account, incident, actual, without)
    root = account.asins[incident.root]
    lag = {e.metric: e.lag_hours for e in felt if (e.level, e.entity_id) == ("asin", root)}
    assert lag["purchases"] < 72
    assert lag["impressions"] == 72
