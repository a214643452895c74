from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from data.simulate.ads import END, Advertiser, build_advertiser
from data.simulate.ads.account import SIZES, WORLDS, Account
from data.simulate.ads.reports import REPORTS, Report, Reporter, encode
from data.simulate.ads.traffic import Traffic

SCHEMAS = Path(__file__).parents[5] / "shared" / "data" / "ads" / "schemas"
SCHEMA_FILE = {
    "spCampaigns": "campaign.md",
    "spTargeting": "targeting.md",
    "spSearchTerm": "search-term.md",
    "spAdvertisedProduct": "advertised-product.md",
}
CALM = 0  # an account whose totals the tests below may compare across ages


def report(name: str) -> Report:
    return next(r for r in REPORTS if r.name == name)


@pytest.fixture(scope="module")
def account(advertiser: Advertiser) -> Account:
    return advertiser.accounts[CALM]


@pytest.fixture(scope="module")
def reporter(advertiser: Advertiser, traffics: list[Traffic]) -> Reporter:
    own = [i for i in advertiser.incidents if i.account == CALM]
    return Reporter(advertiser.accounts[CALM], traffics[CALM], own)


@pytest.mark.skipif(not SCHEMAS.exists(), reason="the shared Amazon schemas are not here")
@pytest.mark.parametrize("name", list(SCHEMA_FILE))
def test_columns_and_types_are_those_of_the_v3_schema(reporter: Reporter, name: str) -> None:
    groups = json.loads((SCHEMAS / "sp_v3_columns.json").read_text())[SCHEMA_FILE[name]]
    allowed = {column for group in groups.values() for column in group}
    types = json.loads((SCHEMAS / "v3_column_types.json").read_text())
    python = {"Integer": int, "Decimal": (int, float), "String": str}
    rows = json.loads(gzip.decompress(encode(reporter.lines(report(name), 60, 60, 75))))
    assert rows
    for column, value in rows[0].items():
        assert column in allowed, column
        assert value is None or isinstance(value, python[types[column][0]]), column


@pytest.mark.parametrize("name", ["spCampaigns", "spTargeting", "spAdvertisedProduct"])
def test_every_entity_has_a_row_every_day(reporter: Reporter, account: Account, name: str) -> None:
    rows = [json.loads(line) for line in reporter.lines(report(name), 10, 12, 75)]
    assert len(rows) == 3 * account.count(report(name).level)
    assert {row["date"] for row in rows} == {str(d) for d in account.clock.days[10:13]}


def test_levels_agree_on_the_totals(reporter: Reporter) -> None:
    tables = {r.name: reporter.columns(r, 50, 63, 75) for r in REPORTS}
    for metric in ("clicks", "cost", "purchases7d", "sales14d"):
        totals = [float(np.sum(t[metric])) for t in tables.values()]
        if metric in ("clicks", "cost"):
            assert totals == pytest.approx([totals[0]] * 4)
        else:  # a search term whose only click was found invalid keeps no row for its order
            assert totals[:3] == pytest.approx([totals[0]] * 3)
            assert totals[3] == pytest.approx(totals[0], rel=0.03)
    for r in ("spTargeting", "spAdvertisedProduct"):
        assert np.sum(tables[r]["impressions"]) == np.sum(tables["spCampaigns"]["impressions"])


def test_search_terms_have_a_click_and_no_more_clicks_than_impressions(reporter: Reporter) -> None:
    table = reporter.columns(report("spSearchTerm"), 40, 60, 75)
    clicks = np.asarray(table["clicks"])
    assert clicks.min() >= 1
    assert (np.asarray(table["impressions"]) >= clicks).all()


def test_the_newest_day_shows_about_six_tenths_of_its_orders(
    advertiser: Advertiser, traffics: list[Traffic]
) -> None:
    """ads.md, section 6: the newest day's raw conversion rate is 0.62 of the mature one."""
    number = 1 - advertiser.decoys.late.account
    reporter = Reporter(advertiser.accounts[number], traffics[number], [])
    fresh = mature = 0.0
    for day in range(20, 50):
        fresh += np.sum(reporter.columns(report("spCampaigns"), day, day, day + 1)["purchases14d"])
        mature += np.sum(
            reporter.columns(report("spCampaigns"), day, day, day + 15)["purchases14d"]
        )
    assert fresh / mature == pytest.approx(0.65, abs=0.04)  # 0.62 over 1 - cancelled and returned


def test_windows_nest_and_clicks_only_ever_shrink(reporter: Reporter) -> None:
    table = reporter.columns(report("spCampaigns"), 40, 44, 60)
    one, seven, fourteen = (np.asarray(table[f"purchases{w}d"]) for w in (1, 7, 14))
    assert (one <= seven).all() and (seven <= fourteen).all() and one.sum() < fourteen.sum()
    by_age = [
        reporter.columns(report("spCampaigns"), 40, 40, 40 + a)["clicks"] for a in range(1, 6)
    ]
    totals = [int(np.sum(clicks)) for clicks in by_age]
    assert totals == sorted(totals, reverse=True)
    assert totals[3] == totals[4] < totals[0]  # traffic is validated within 72 hours


def test_a_late_day_shows_no_orders_until_its_age(
    advertiser: Advertiser, traffics: list[Traffic]
) -> None:
    late = advertiser.decoys.late
    reporter = Reporter(advertiser.accounts[late.account], traffics[late.account], [])
    sums = [
        int(
            np.sum(
                reporter.columns(report("spTargeting"), late.day, late.day, late.day + age)[
                    "purchases14d"
                ]
            )
        )
        for age in (late.age - 1, late.age)
    ]
    assert sums[0] == 0 < sums[1]


def test_a_day_of_23_hours_has_23_hours_of_traffic(advertiser: Advertiser) -> None:
    account = next(a for a in advertiser.accounts if a.market.zone == "America/Los_Angeles")
    hours = np.diff(account.clock.first_hour)
    assert hours[[str(d) == "2026-03-08" for d in account.clock.days]].tolist() == [23]
    assert (account.clock.day == 68).sum() == 23


def test_encoding_is_one_json_array_without_a_time_stamp() -> None:
    content = encode(['{"a":1}', '{"a":2}'])
    assert json.loads(gzip.decompress(content)) == [{"a": 1}, {"a": 2}]
    assert content[4:8] == b"\0\0\0\0"  # RFC 1952: MTIME


SETTINGS = {  # cause -> report that shows it, column, how new compares with old
    "budget_cut": ("spCampaigns", "campaignBudgetAmount", lambda new, old: new < old),
    "bid_up": ("spTargeting", "keywordBid", lambda new, old: new > 1.2 * old),
    "paused": ("spCampaigns", "campaignStatus", lambda new, old: (old, new) == TO_PAUSED),
}
TO_PAUSED = ("ENABLED", "PAUSED")


def test_settings_tell_of_the_faults_that_somebody_set_and_of_no_others() -> None:
    seen: set[str] = set()
    for seed in range(15):
        world = build_advertiser(SIZES["XS"], seed, WORLDS["A"], END)
        account, n_day = world.accounts[0], len(world.accounts[0].clock.days)
        reporter = Reporter(account, world.traffic(0), world.incidents)
        felt = {cause: np.zeros(account.n_leaf, dtype=bool) for cause in SETTINGS}
        for incident in world.incidents:
            cause = incident.fault.cause_type
            if cause in SETTINGS:
                felt[cause] |= account.leaf_of[incident.level] == incident.root
                seen.add(cause)
        for cause, (name, column, moved) in SETTINGS.items():
            level = report(name).level
            expected = set(account.leaf_of[level][felt[cause]].tolist())
            old, new = (
                np.asarray(reporter.columns(report(name), day, day, n_day)[column]).tolist()
                for day in (20, n_day - 1)
            )
            changed = {e for e, pair in enumerate(zip(new, old, strict=True)) if moved(*pair)}
            assert changed == expected, (seed, cause)
    assert seen == set(SETTINGS)
