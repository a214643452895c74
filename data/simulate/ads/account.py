"""One advertiser profile: its tree of entities, their true parameters, and its local clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from data.simulate.draws import Counts, Floats, Keys, derive, normal, uniform

LEVELS = ("profile", "portfolio", "campaign", "ad_group", "keyword", "ad", "asin")
MAX_TERMS = 15
SHARE_ELASTICITY = 0.6  # how much of the demand a bid wins: (bid / reference) ** 0.6
SHOCK_SD = 0.03  # of the day of a profile, portfolio or campaign, and of auction pressure
KEYWORD_SD = 0.06  # of a keyword's day
COST_SD = 0.05  # of one click's price
MATCH_TYPES = ("EXACT", "PHRASE", "BROAD")


class Channel(IntEnum):
    """What a number is drawn for; part of its key, so the values never change."""

    CHILD = 1
    NAME = 2
    DEMAND = 3
    CTR = 4
    CVR = 5
    BID = 6
    DISCOUNT = 7
    PRICE = 8
    BUDGET = 9
    ADS = 10
    WEIGHT = 11
    TERMS = 12
    MATCH = 13
    DAY_SHOCK = 14
    PRESSURE = 15
    IMPRESSIONS = 16
    CLICKS = 17
    ORDERS = 18
    COST = 19
    TERM = 20
    INVALID = 21
    DELAY = 22
    UNITS = 23
    SAME_SKU = 24
    OTHER_PRICE = 25
    FATE = 26
    PICK = 27
    TOP_SHARE = 28
    INCIDENT = 29
    DECOY = 30
    STAGGER = 31


@dataclass(frozen=True)
class Size:
    """How much there is: per profile `portfolios` x `campaigns`, then 2 or 3 ad groups each with
    6 to 10 keywords (exactly 20 keywords per campaign on average), over `days` local days."""

    profiles: int
    portfolios: int
    campaigns: int
    days: int


SIZES = {
    "XS": Size(profiles=1, portfolios=2, campaigns=3, days=42),  # 120 keywords; for tests
    "S": Size(profiles=2, portfolios=4, campaigns=5, days=75),  # 800
    "M": Size(profiles=2, portfolios=5, campaigns=5, days=180),  # 1,000
    "L": Size(profiles=4, portfolios=25, campaigns=10, days=180),  # 20,000
    "XL": Size(profiles=10, portfolios=50, campaigns=10, days=90),  # 100,000
}


@dataclass(frozen=True)
class World:
    """A regime of the simulated market."""

    noise: float  # multiplies every day-to-day shock
    budget: tuple[float, float]  # daily budget over expected daily spend, range
    delay: tuple[float, ...]  # share of orders that arrive 0, 1, 2, ... days after the click
    magnitudes: tuple[float, ...]  # exponents applied to a fault's effect


_DELAY = (
    0.62, 0.13, 0.07, 0.05, 0.04, 0.03, 0.02, 0.012, 0.008, 0.006, 0.005, 0.004, 0.003, 0.002,
)  # fmt: skip
_SLOW_DELAY = (
    0.50, 0.15, 0.09, 0.07, 0.05, 0.04, 0.03, 0.02, 0.015, 0.01, 0.009, 0.007, 0.005, 0.004,
)  # fmt: skip

WORLDS = {
    "A": World(noise=1.0, budget=(1.3, 2.5), delay=_DELAY, magnitudes=(0.5, 1.0, 1.5)),
    "B": World(noise=1.6, budget=(1.05, 1.8), delay=_SLOW_DELAY, magnitudes=(1.0, 1.5)),
    "C": World(noise=0.8, budget=(1.6, 3.5), delay=_DELAY, magnitudes=(0.5, 0.75, 1.0)),
}


@dataclass(frozen=True)
class Marketplace:
    country: str
    currency: str
    symbol: str
    zone: str
    marketplace: str
    kind: str  # "seller" or "vendor": decides the attribution window of the console


MARKETPLACES = (
    Marketplace("US", "USD", "$", "America/Los_Angeles", "ATVPDKIKX0DER", "seller"),
    Marketplace("DE", "EUR", "€", "Europe/Berlin", "A1PA6795UKMFR9", "vendor"),
    Marketplace("UK", "GBP", "£", "Europe/London", "A1F83G8C2ARO7P", "seller"),
    Marketplace("CA", "CAD", "$", "America/Los_Angeles", "A2EUQ1WTGCTBG2", "seller"),
)

_RANGES = (
    ("Kitchen", ("chef knife", "frying pan", "cutting board", "water bottle", "coffee grinder")),
    ("Garden", ("garden hose", "pruning shears", "plant pot", "bird feeder", "solar light")),
    ("Fitness", ("yoga mat", "foam roller", "resistance band", "jump rope", "dumbbell set")),
    ("Pets", ("dog leash", "cat tree", "pet bed", "dog bowl", "litter mat")),
    ("Office", ("desk lamp", "laptop stand", "mouse pad", "file organizer", "desk chair")),
    ("Travel", ("packing cubes", "neck pillow", "luggage scale", "toiletry bag", "rain poncho")),
    ("Baby", ("baby monitor", "play mat", "bottle warmer", "diaper bag", "night light")),
    ("Tools", ("drill bits", "work gloves", "tape measure", "tool box", "stud finder")),
)
_QUALITIES = (
    "best", "stainless steel", "large", "professional", "black", "portable", "heavy duty", "cheap",
    "premium", "foldable", "waterproof", "small",
)  # fmt: skip
_TAILS = (
    "for women", "for men", "set", "with lid", "gift", "2 pack", "amazon", "sale", "for home",
    "near me", "reviews", "non slip", "lightweight", "replacement", "for beginners", "deluxe",
)  # fmt: skip


@dataclass(frozen=True)
class Clock:
    """Local days of one zone as a flat list of hours; a day of clock change has 23 or 25."""

    days: tuple[date, ...]
    day: NDArray[np.int64]  # (n_hour,) index of the local day
    hour_of_day: NDArray[np.int64]  # (n_hour,) 0..23
    first_hour: NDArray[np.int64]  # (n_day + 1,) index of each local midnight
    start_utc: datetime

    def utc(self, hour: int) -> datetime:
        """The instant at which the hour with this index begins."""
        return self.start_utc + timedelta(hours=hour)

    @classmethod
    def of(cls, zone_name: str, first: date, n_day: int) -> Clock:
        zone = ZoneInfo(zone_name)
        days = tuple(first + timedelta(days=i) for i in range(n_day + 1))
        midnights = [datetime(d.year, d.month, d.day, tzinfo=zone).astimezone(UTC) for d in days]
        first_hour = np.array([(m - midnights[0]) // timedelta(hours=1) for m in midnights])
        hours = (midnights[0] + timedelta(hours=h) for h in range(int(first_hour[-1])))
        return cls(
            days=days[:-1],
            day=np.repeat(np.arange(n_day), np.diff(first_hour)),
            hour_of_day=np.array([h.astimezone(zone).hour for h in hours]),
            first_hour=first_hour,
            start_utc=midnights[0],
        )


@dataclass(frozen=True)
class Level:
    """Entities of one level in order of their parents."""

    keys: Keys
    ids: NDArray[np.int64]  # 15 to 17 digits, as Amazon's
    names: list[str]
    parent: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Account:
    """A profile with everything under it. A *leaf* is one keyword shown with one ad.

    Money parameters are in the profile's currency, `demand` in impressions per hour and leaf.
    """

    key: Keys
    profile_id: int
    market: Marketplace
    world: World
    clock: Clock
    portfolios: Level
    campaigns: Level
    ad_groups: Level
    keywords: Level
    ads: Level
    asins: tuple[str, ...]
    match_types: list[str]
    keyword_bid: Floats
    keyword_cvr: Floats
    keyword_discount: Floats
    term_cumulative: Floats  # (n_keyword, MAX_TERMS) cumulative share of clicks by search term
    campaign_budget: Floats
    campaign_top_share: Floats
    ad_asin: NDArray[np.int64]
    asin_price: Floats
    leaf_keys: Keys
    leaf_demand: Floats
    leaf_ctr: Floats
    leaf_of: dict[str, NDArray[np.int64]]  # level -> (n_leaf,) index of the entity above the leaf

    @property
    def n_leaf(self) -> int:
        return len(self.leaf_keys)

    def count(self, level: str) -> int:
        return len(self.native_ids(level))

    def native_ids(self, level: str) -> list[str]:
        """Ids of a level as text, in index order."""
        if level == "profile":
            return [str(self.profile_id)]
        if level == "asin":
            return list(self.asins)
        by_level = {
            "portfolio": self.portfolios,
            "campaign": self.campaigns,
            "ad_group": self.ad_groups,
            "keyword": self.keywords,
            "ad": self.ads,
        }
        return [str(i) for i in by_level[level].ids.tolist()]

    def term(self, keyword: int, term: int) -> str:
        """The search term with this rank under a keyword; rank 0 is the keyword's own words."""
        text = self.keywords.names[keyword]
        return f"{text} {_TAILS[(keyword + term) % len(_TAILS)]}" if term else text


def ids(keys: Keys, digits: int) -> NDArray[np.int64]:
    """Decimal ids of exactly `digits` digits."""
    low = 10 ** (digits - 1)
    numbers: NDArray[np.int64] = low + (keys % np.uint64(9 * low)).astype(np.int64)
    return numbers


def children(parents: Keys, counts: Counts) -> tuple[Keys, NDArray[np.int64], NDArray[np.int64]]:
    """Keys, parent index and rank of `counts` children of each parent."""
    parent = np.repeat(np.arange(len(parents)), counts)
    rank = np.arange(len(parent)) - np.repeat(np.cumsum(counts) - counts, counts)
    return derive(derive(parents, Channel.CHILD)[parent], rank), parent, rank


def build_account(root: Keys, number: int, size: Size, world: World, first: date) -> Account:
    """The profile with this number: `root` decides everything that is random about it."""
    key = derive(root, number)
    market = MARKETPLACES[number % len(MARKETPLACES)]

    pf_key, pf_parent, pf_rank = children(key, np.array([size.portfolios]))
    ranges = (pf_rank + number * 4) % len(_RANGES)
    lines = pf_rank // len(_RANGES)
    pf_names = [
        _RANGES[r][0] + (f" {line + 1}" if line else "")
        for r, line in zip(ranges, lines, strict=True)
    ]
    cp_key, cp_parent, cp_rank = children(pf_key, np.full(len(pf_key), size.campaigns))
    products = [_RANGES[ranges[p]][1][c % 5] for p, c in zip(cp_parent, cp_rank, strict=True)]
    cp_names = [
        f"SP | {pf_names[p]} | {product.title()} {c + 1:02d}"
        for p, c, product in zip(cp_parent, cp_rank, products, strict=True)
    ]
    # Both cycles run on across profiles, so that the totals of a size are exact.
    campaigns_before = number * len(cp_key)
    groups_before = 2 * campaigns_before + campaigns_before // 2
    n_groups = 2 + (campaigns_before + np.arange(len(cp_key))) % 2
    ag_key, ag_parent, ag_rank = children(cp_key, n_groups)
    ag_names = [
        f"{products[c].title()} - Group {r + 1}" for c, r in zip(ag_parent, ag_rank, strict=True)
    ]
    kw_key, kw_parent, kw_rank = children(ag_key, 6 + (groups_before + np.arange(len(ag_key))) % 5)
    kw_names = [
        f"{_QUALITIES[(g * 5 + r) % len(_QUALITIES)]} {products[ag_parent[g]]}"
        for g, r in zip(kw_parent, kw_rank, strict=True)
    ]
    n_ads = 1 + np.searchsorted([0.5, 0.8], uniform(derive(ag_key, Channel.ADS)))
    ad_key, ad_parent, ad_rank = children(ag_key, n_ads)

    # Products of a portfolio are fewer than its ads, so a product sits in several ad groups.
    portfolio_of_ad = cp_parent[ag_parent[ad_parent]]
    pool = np.maximum(3, (0.7 * np.bincount(portfolio_of_ad)).astype(np.int64))
    offset = np.cumsum(pool) - pool
    start = uniform(derive(ag_key, Channel.PICK))[ad_parent] * pool[portfolio_of_ad]
    ad_asin = offset[portfolio_of_ad] + (start.astype(np.int64) + ad_rank) % pool[portfolio_of_ad]
    asin_key = derive(derive(key, Channel.PRICE), np.arange(pool.sum()))
    asins = tuple(f"B0{_base36(int(k) % 36**8)}" for k in asin_key)

    per_group = np.bincount(ad_parent)
    leaf_keyword = np.repeat(np.arange(len(kw_key)), per_group[kw_parent])
    first_ad = np.cumsum(per_group) - per_group
    rank = np.arange(len(leaf_keyword)) - np.searchsorted(leaf_keyword, leaf_keyword)
    leaf_ad = first_ad[kw_parent[leaf_keyword]] + rank
    weight = 0.3 + uniform(derive(ad_key, Channel.WEIGHT))
    share = (weight / np.bincount(ad_parent, weight)[ad_parent])[leaf_ad]

    demand = 22.0 * np.exp(normal(derive(kw_key, Channel.DEMAND)))
    ctr = betaincinv(4.0, 400.0, uniform(derive(kw_key, Channel.CTR)))
    cvr = betaincinv(9.0, 80.0, uniform(derive(kw_key, Channel.CVR)))
    bid = np.round(0.9 * np.exp(0.35 * normal(derive(kw_key, Channel.BID))), 2)
    discount = 0.6 + 0.3 * uniform(derive(kw_key, Channel.DISCOUNT))
    spend = np.bincount(ag_parent[kw_parent], 24.0 * demand * ctr * bid * discount)
    low, high = world.budget
    budget = spend * (low + (high - low) * uniform(derive(cp_key, Channel.BUDGET)))
    matches = (3.0 * uniform(derive(kw_key, Channel.MATCH))).astype(int).tolist()

    group = kw_parent[leaf_keyword]
    campaign = ag_parent[group]
    return Account(
        key=key,
        profile_id=int(ids(key, 16)[0]),
        market=market,
        world=world,
        clock=Clock.of(market.zone, first, size.days),
        portfolios=Level(pf_key, ids(pf_key, 15), pf_names, pf_parent),
        campaigns=Level(cp_key, ids(cp_key, 15), cp_names, cp_parent),
        ad_groups=Level(ag_key, ids(ag_key, 16), ag_names, ag_parent),
        keywords=Level(kw_key, ids(kw_key, 17), kw_names, kw_parent),
        ads=Level(ad_key, ids(ad_key, 16), [asins[a] for a in ad_asin], ad_parent),
        asins=asins,
        match_types=[MATCH_TYPES[m] for m in matches],
        keyword_bid=bid,
        keyword_cvr=cvr,
        keyword_discount=discount,
        term_cumulative=_term_shares(kw_key),
        campaign_budget=np.maximum(1.0, np.round(budget)),
        campaign_top_share=0.08 + 0.4 * uniform(derive(cp_key, Channel.TOP_SHARE)),
        ad_asin=ad_asin,
        asin_price=np.round(28.0 * np.exp(0.4 * normal(asin_key)), 2),
        leaf_keys=derive(derive(kw_key, Channel.ADS)[leaf_keyword], leaf_ad - first_ad[group]),
        leaf_demand=demand[leaf_keyword] * share,
        leaf_ctr=ctr[leaf_keyword],
        leaf_of={
            "profile": np.zeros(len(leaf_keyword), dtype=np.int64),
            "portfolio": cp_parent[campaign],
            "campaign": campaign,
            "ad_group": group,
            "keyword": leaf_keyword,
            "ad": leaf_ad,
            "asin": ad_asin[leaf_ad],
        },
    )


def _term_shares(keyword_keys: Keys) -> Floats:
    """Cumulative click shares of a keyword's 3 to 15 search terms, each about 0.6 of the last."""
    key = derive(keyword_keys, Channel.TERMS)
    n_terms = 3 + (13.0 * uniform(key)).astype(np.int64)
    rank = np.arange(MAX_TERMS)[None, :]
    share = 0.6**rank * np.exp(0.4 * normal(derive(key[:, None], rank)))
    cumulative = np.cumsum(np.where(rank < n_terms[:, None], share, 0.0), axis=1)
    shares: Floats = cumulative / cumulative[:, -1:]
    return shares


def _base36(number: int) -> str:
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    text = ""
    for _ in range(8):
        number, d = divmod(number, 36)
        text = digits[d] + text
    return text
