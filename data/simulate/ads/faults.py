"""What goes wrong and what only looks so: the fault catalogue, the choice of roots, the decoys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.simulate.ads.account import (
    COST_SD,
    KEYWORD_SD,
    SHARE_ELASTICITY,
    SHOCK_SD,
    Account,
    Channel,
)
from data.simulate.draws import Floats, Keys, derive, uniform

AS_OF_DAYS = 14
DIFFICULTIES = ((8.0, "none"), (20.0, "hard"), (60.0, "medium"), (float("inf"), "easy"))


@dataclass(frozen=True)
class Stage:
    """Factors on what happens below the root, from `after_hours` past the onset."""

    after_hours: int = 0
    impressions: float = 1.0
    ctr: float = 1.0
    bid: float = 1.0  # also moves the share of demand won, by SHARE_ELASTICITY
    cvr: float = 1.0
    price: float = 1.0
    budget: float | None = None  # new daily budget over expected spend
    invalid: float = 0.0  # share of the clicks gained by `ctr` that are later found invalid


@dataclass(frozen=True)
class Fault:
    """A way to fail: its root levels, what it does in stages, and how it shows in the settings."""

    code: str
    cause_type: str
    levels: tuple[str, ...]
    stages: tuple[Stage, ...]
    days: int | None = None  # None: lasts to the end of the data
    stagger_hours: int = 0  # campaigns follow the root by 1 to this many hours
    status: str = "ENABLED"  # what campaignStatus shows while it lasts
    scaled: bool = True  # whether a magnitude applies


FAULTS = (
    Fault("F01", "budget_cut", ("campaign",), (Stage(budget=0.5),)),
    # a bid of 1.6 wins 1.33 of the demand; better placements make it 1.5
    Fault("F03", "bid_up", ("keyword", "ad_group"), (Stage(bid=1.6, impressions=1.13),)),
    Fault("F05", "listing_suppressed", ("asin",), (Stage(impressions=0.05, cvr=0.0),)),
    # the account's bid rule answers the lost conversions three days later: a chain of two hops
    Fault(
        "F07", "price_up", ("asin",), (Stage(cvr=0.55, price=1.2), Stage(after_hours=72, bid=0.8))
    ),
    Fault("F09", "tracking_break", ("profile",), (Stage(cvr=0.1),)),
    Fault(
        "F10",
        "click_fraud",
        ("ad_group", "campaign"),
        (Stage(ctr=3.0, cvr=1.0 / 3.0, invalid=0.9),),
        days=6,
    ),
    Fault("F13", "paused", ("campaign",), (Stage(impressions=0.0),), status="PAUSED", scaled=False),
    Fault(
        "F13",
        "payment_failure",
        ("profile",),
        (Stage(impressions=0.0),),
        stagger_hours=12,
        scaled=False,
    ),
)


@dataclass(frozen=True, eq=False)
class Shift:
    """One stage at work on the leaves of an account, in hours of its clock."""

    leaves: NDArray[np.int64]
    start: NDArray[np.int64]  # (n_leaves,)
    stop: int
    stage: Stage
    budget: Floats | None = None  # (n_campaign,) new daily budgets, NaN where unchanged


@dataclass(frozen=True, eq=False)
class Incident:
    """A fault at a root; `llr` is the evidence for it that an oracle expects (see `llr_of`)."""

    fault: Fault
    account: int
    level: str
    root: int
    onset_hour: int
    stop_hour: int
    magnitude: float
    llr: float
    shifts: tuple[Shift, ...]
    campaigns: NDArray[np.bool_]  # the campaigns that can feel it; no two incidents share one

    @property
    def difficulty(self) -> str:
        return next(name for below, name in DIFFICULTIES if self.llr < below)


@dataclass(frozen=True)
class Promotion:
    """Decoy D01: a planned promotion, told in calendar.csv. Days are indices, both inclusive."""

    account: int
    portfolio: int
    name: str
    first_day: int
    last_day: int
    shift: Shift


@dataclass(frozen=True)
class LateConversions:
    """Decoy D03: all orders of one report day reach the reports `age` days after the clicks."""

    account: int
    day: int
    age: int


@dataclass(frozen=True)
class BadDelivery:
    """Decoy D05: one file of one download is missing, cut in half, or holds rows twice."""

    account: int
    as_of: int
    report: str
    kind: str


@dataclass(frozen=True)
class Decoys:
    promotions: tuple[Promotion, ...]
    late: LateConversions
    delivery: BadDelivery


def choose_incidents(accounts: Sequence[Account], key: Keys) -> list[Incident]:
    """Three or four different faults on roots that share no campaign.

    At most one strikes a whole profile, and only where another profile remains. One in five is
    meant to be hard; the others have an oracle log likelihood ratio of at least 20.
    """
    key = derive(key, Channel.INCIDENT)
    wanted = 3 + int(_pick(key, 0) < 0.5)
    order = np.argsort(uniform(derive(derive(key, 1), np.arange(len(FAULTS)))))
    broad = [FAULTS[i] for i in order if FAULTS[i].levels == ("profile",)]
    local = [FAULTS[i] for i in order if FAULTS[i].levels != ("profile",)]
    strikes_profile = len(accounts) > 1 and _pick(key, 2) < 0.35
    queue = broad[:1] * strikes_profile + local
    free = [np.ones(len(account.campaigns), dtype=bool) for account in accounts]
    incidents: list[Incident] = []
    for number, fault in enumerate(queue):
        if len(incidents) == wanted:
            break
        found = _place(accounts, fault, free, derive(derive(key, 3), number))
        if found is not None:
            free[found.account] &= ~found.campaigns
            incidents.append(found)
    return sorted(incidents, key=lambda i: accounts[i.account].clock.utc(i.onset_hour))


def _place(
    accounts: Sequence[Account], fault: Fault, free: Sequence[NDArray[np.bool_]], key: Keys
) -> Incident | None:
    """The fault at a random free root of the wanted difficulty, or None if there is no such root.

    The magnitudes are tried in random order until one makes the fault visible somewhere.
    """
    level = fault.levels[int(_pick(key, 0) * len(fault.levels))]
    days_before_end = 2 + int(_pick(key, 1) * 9)
    at_hour = _pick(key, 2)
    low, high = (8.0, 20.0) if _pick(key, 3) < 0.2 else (20.0, float("inf"))
    choice = _pick(key, 4)
    magnitudes = accounts[0].world.magnitudes if fault.scaled else (1.0,)
    order = np.argsort(uniform(derive(derive(key, 5), np.arange(len(magnitudes)))))
    onsets = [_onset(account, days_before_end, at_hour) for account in accounts]
    for magnitude in (magnitudes[i] for i in order):
        options: list[tuple[int, int, float]] = []
        for number, account in enumerate(accounts):
            llr = llr_of(account, fault, level, magnitude, onsets[number])
            index, n = account.leaf_of[level], account.count(level)
            taken = np.bincount(index, ~free[number][account.leaf_of["campaign"]], n) > 0
            visible = (llr >= DIFFICULTIES[0][0]) & ~taken
            options += [(number, int(r), float(llr[r])) for r in np.flatnonzero(visible)]
        if options:
            fitting = [o for o in options if low <= o[2] < high] or options
            number, root, llr_at_root = fitting[int(choice * len(fitting))]
            return _incident(
                accounts[number], fault, number, level, root, onsets[number], magnitude, llr_at_root
            )
    return None


def _onset(account: Account, days_before_end: int, at: float) -> int:
    first_hour = account.clock.first_hour
    day = len(account.clock.days) - days_before_end
    return int(first_hour[day] + int(at * (first_hour[day + 1] - first_hour[day])))


def _incident(
    account: Account,
    fault: Fault,
    number: int,
    level: str,
    root: int,
    onset: int,
    magnitude: float,
    llr: float,
) -> Incident:
    n_hour = int(account.clock.first_hour[-1])
    stop = n_hour if fault.days is None else min(n_hour, onset + 24 * fault.days)
    below = account.leaf_of[level] == root
    shifts = tuple(
        _shift(account, fault, scaled(stage, magnitude), below, onset, stop)
        for stage in fault.stages
    )
    campaigns = np.zeros(len(account.campaigns), dtype=bool)
    campaigns[account.leaf_of["campaign"][below]] = True
    return Incident(fault, number, level, root, onset, stop, magnitude, llr, shifts, campaigns)


def scaled(stage: Stage, magnitude: float) -> Stage:
    """The stage with every factor raised to `magnitude`."""
    return Stage(
        after_hours=stage.after_hours,
        impressions=stage.impressions**magnitude,
        ctr=stage.ctr**magnitude,
        bid=stage.bid**magnitude,
        cvr=stage.cvr**magnitude,
        price=stage.price**magnitude,
        budget=None if stage.budget is None else stage.budget**magnitude,
        invalid=stage.invalid,
    )


def _shift(
    account: Account, fault: Fault, stage: Stage, below: NDArray[np.bool_], onset: int, stop: int
) -> Shift:
    if stage.bid != 1.0:  # a bid belongs to a keyword, so it moves every ad shown for it
        keyword = account.leaf_of["keyword"]
        below = np.isin(keyword, keyword[below])
    leaves = np.flatnonzero(below)
    campaign = account.leaf_of["campaign"][leaves]
    start = np.full(len(leaves), onset + stage.after_hours)
    if fault.stagger_hours:
        u = uniform(derive(account.campaigns.keys, Channel.STAGGER))
        start = start + 1 + (u * fault.stagger_hours).astype(np.int64)[campaign]
    budget = None
    if stage.budget is not None:
        budget = np.full(len(account.campaigns), np.nan)
        spend = expected_spend(account)[campaign[0]]
        budget[campaign] = np.maximum(1.0, np.round(stage.budget * spend))
    return Shift(leaves, start, stop, stage, budget)


def expected_spend(account: Account) -> Floats:
    """Daily spend of each campaign that its parameters imply, without shocks or seasons."""
    keyword = account.leaf_of["keyword"]
    clicks = 24.0 * account.leaf_demand * account.leaf_ctr
    cost = clicks * (account.keyword_bid * account.keyword_discount)[keyword]
    spend = np.zeros(len(account.campaigns))
    np.add.at(spend, account.leaf_of["campaign"], cost)
    return spend


def llr_of(account: Account, fault: Fault, level: str, magnitude: float, onset_hour: int) -> Floats:
    """Expected log likelihood ratio, fault against none, of every entity of `level` as root.

    Sums over the days seen by the last download: negative binomial daily impressions (with the
    shocks as overdispersion), Poisson clicks given impressions, Poisson settled orders given
    clicks, and normal log cost per click and log order value. All parameters are the true ones.
    """
    clock, world = account.clock, account.world
    index, n = account.leaf_of[level], account.count(level)
    days = np.arange(clock.day[onset_hour], len(clock.days))
    hours = np.diff(clock.first_hour)[days]
    factor = {"impressions": 1.0, "ctr": 1.0, "bid": 1.0, "cvr": 1.0, "price": 1.0}
    by_day = {name: np.full(len(days), value) for name, value in factor.items()}
    for stage in (scaled(s, magnitude) for s in fault.stages):
        begun = np.clip(clock.first_hour[days + 1] - onset_hour - stage.after_hours, 0, hours)
        if fault.days is not None:
            left = onset_hour + 24 * fault.days - clock.first_hour[days]
            begun = np.clip(np.minimum(begun, left), 0, hours)
        share = begun / hours
        for name in factor:
            by_day[name] *= 1.0 + share * (getattr(stage, name) - 1.0)
        if stage.budget is not None:
            by_day["impressions"] *= 1.0 - share * (1.0 - min(1.0, stage.budget))
    by_day["impressions"] *= by_day["bid"] ** SHARE_ELASTICITY
    ages = len(clock.days) - days
    # invalid clicks leave the reports over the three days after their own
    invalid = max(s.invalid for s in fault.stages) * (1.0 - 1.0 / by_day["ctr"])
    kept = 1.0 - invalid * np.minimum(1.0, (ages - 1) / 3.0)

    keyword = account.leaf_of["keyword"]
    per_day = 24.0 * account.leaf_demand
    impressions = np.bincount(index, per_day, n)[:, None]
    clicks0 = np.bincount(index, per_day * account.leaf_ctr, n)[:, None]
    cvr = account.keyword_cvr[keyword]
    settled = np.cumsum(world.delay)
    settled = settled[np.minimum(ages, len(settled)) - 1]
    orders0 = np.bincount(index, per_day * account.leaf_ctr * cvr, n)[:, None] * settled
    pairs = np.unique(index * len(account.keywords) + keyword)
    n_keyword = np.bincount(pairs // len(account.keywords), minlength=n)
    spread = 3 * SHOCK_SD**2 + KEYWORD_SD**2 / np.maximum(1, n_keyword)
    shape = (1.0 / (world.noise**2 * spread))[:, None]

    imps1 = impressions * by_day["impressions"]
    clicks = clicks0 * by_day["impressions"]
    clicks1 = clicks * by_day["ctr"] * kept
    orders = orders0 * by_day["impressions"] * by_day["ctr"] * kept
    orders1 = orders0 * by_day["impressions"] * by_day["ctr"] * by_day["cvr"]
    total = shape * np.log((shape + impressions) / (shape + imps1))
    total += _xlogy(imps1, imps1 * (shape + impressions), impressions * (shape + imps1))
    total += _xlogy(clicks1, clicks1, clicks) - clicks1 + clicks
    total += _xlogy(orders1, orders1, orders) - orders1 + orders
    cpc_variance = (SHOCK_SD * world.noise) ** 2 + COST_SD**2 / np.maximum(clicks1, 1.0)
    total += np.where(clicks1 > 0, np.log(by_day["bid"]) ** 2 / (2.0 * cpc_variance), 0.0)
    total += orders1 * np.log(by_day["price"]) ** 2 / (2.0 * 0.35**2)
    llr: Floats = total.sum(axis=1)
    return llr


def choose_decoys(accounts: Sequence[Account], incidents: Sequence[Incident], key: Keys) -> Decoys:
    """One promotion among the last days and one earlier, one late day, one bad delivery."""
    key = derive(key, Channel.DECOY)
    struck = {i.account for i in incidents if i.level == "profile"}
    calm = [a for a in range(len(accounts)) if a not in struck]
    recent, earlier = calm[int(_pick(key, 0) * len(calm))], calm[int(_pick(key, 1) * len(calm))]
    n_day = len(accounts[0].clock.days)
    late_account = calm[int(_pick(key, 2) * len(calm))]
    reports = ("spTargeting", "spAdvertisedProduct", "spCampaigns")
    kinds = ("missing", "partial", "duplicate")
    return Decoys(
        promotions=(
            _promotion(accounts, earlier, incidents, "Winter Deals", n_day // 2, 3, derive(key, 3)),
            _promotion(
                accounts,
                recent,
                incidents,
                "Spring Deal Days",
                n_day - 3 - int(_pick(key, 4) * 5),
                2 + int(_pick(key, 5) * 2),
                derive(key, 6),
            ),
        ),
        late=LateConversions(late_account, n_day - 5 - int(_pick(key, 7) * 7), 4),
        delivery=BadDelivery(
            account=int(_pick(key, 8) * len(accounts)),
            as_of=n_day - 3 - int(_pick(key, 9) * 8),
            report=reports[int(_pick(key, 10) * len(reports))],
            kind=kinds[int(_pick(key, 11) * len(kinds))],
        ),
    )


def _promotion(
    accounts: Sequence[Account],
    number: int,
    incidents: Sequence[Incident],
    name: str,
    first_day: int,
    n_days: int,
    key: Keys,
) -> Promotion:
    """A promotion in the portfolio that shares the fewest campaigns with incidents."""
    account = accounts[number]
    burden = np.zeros(len(account.portfolios))
    for incident in incidents:
        if incident.account == number:
            burden += np.bincount(
                account.campaigns.parent, incident.campaigns, len(account.portfolios)
            )
    calm = np.flatnonzero(burden == burden.min())
    portfolio = int(calm[int(_pick(key, 0) * len(calm))])
    leaves = np.flatnonzero(account.leaf_of["portfolio"] == portfolio)
    last_day = min(first_day + n_days, len(account.clock.days)) - 1
    start, stop = account.clock.first_hour[[first_day, last_day + 1]]
    stage = Stage(impressions=1.7, cvr=1.15)
    shift = Shift(leaves, np.full(len(leaves), start), int(stop), stage)
    return Promotion(number, portfolio, name, first_day, last_day, shift)


def _xlogy(x: Floats, numerator: Floats, denominator: Floats) -> Floats:
    """x log(numerator / denominator), zero where x is zero."""
    positive = x > 0
    ratio = np.divide(numerator, denominator, out=np.ones_like(x), where=positive)
    result: Floats = np.where(positive, x * np.log(ratio), 0.0)
    return result


def _pick(key: Keys, number: int) -> float:
    return float(uniform(derive(key, number))[0])
