"""What truly happened to an account: daily impressions, every click, every order.

Hourly and local. Reports are later cut from these events as of any morning, so a restated number
is always a sum over the same clicks and orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

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
from data.simulate.ads.faults import Shift, Stage
from data.simulate.draws import (
    Floats,
    autoregressive,
    binomial,
    derive,
    negative_binomial,
    normal,
    poisson,
    uniform,
)

NEVER = 32_000  # an age in days that no report reaches
IMPRESSION_SHAPE = 30.0
SHOCK_MEMORY = 0.6
CELLS_AT_ONCE = 1_000_000
_HOUR_WEIGHTS = np.array(
    (
        0.45, 0.32, 0.25, 0.22, 0.24, 0.34, 0.55, 0.78, 0.97, 1.08, 1.15, 1.20,
        1.24, 1.22, 1.18, 1.15, 1.18, 1.28, 1.42, 1.58, 1.68, 1.60, 1.28, 0.80,
    )
)  # fmt: skip
HOUR_OF_DAY = _HOUR_WEIGHTS / _HOUR_WEIGHTS.mean()
DAY_OF_WEEK = np.array([0.985, 0.975, 0.98, 0.985, 0.99, 1.04, 1.06])  # Monday first
DAILY_TREND = 0.0015
INVALID_SHARE, SAME_SKU_SHARE, EXTRA_UNITS = 0.015, 0.70, 0.12
CANCELLED, RETURNED_EARLY, RETURNED_LATE = 0.04, 0.055, 0.07  # cumulative shares of orders


@dataclass(frozen=True)
class Clicks:
    leaf: NDArray[np.int32]
    day: NDArray[np.int16]
    term: NDArray[np.int8]
    cents: NDArray[np.int32]
    last_age: NDArray[np.int16]  # counted in reports up to this many days after its day


@dataclass(frozen=True)
class Orders:
    leaf: NDArray[np.int32]
    day: NDArray[np.int16]  # of the click
    term: NDArray[np.int8]
    delay: NDArray[np.int16]  # days from click to order
    first_age: NDArray[np.int16]  # counted in reports of these ages, both inclusive
    last_age: NDArray[np.int16]
    units: NDArray[np.int16]
    cents: NDArray[np.int64]
    same_sku: NDArray[np.bool_]


Events = TypeVar("Events", Clicks, Orders)


@dataclass(frozen=True)
class Traffic:
    impressions: NDArray[np.int64]  # (n_leaf, n_day)
    clicks: Clicks
    orders: Orders
    budget: Floats  # (n_campaign, n_day) as set at the end of the day


def simulate(
    account: Account,
    shifts: Sequence[Shift] = (),
    *,
    campaigns: NDArray[np.bool_] | None = None,
    late_day: tuple[int, int] | None = None,
) -> Traffic:
    """Traffic of an account under `shifts`; `campaigns` restricts the work, others stay empty.

    `late_day` = (day, age): that day's orders are first counted at that age.
    """
    n_hour = len(account.clock.day)
    wanted = np.ones(len(account.campaigns), dtype=bool) if campaigns is None else campaigns
    leaf_campaign = account.leaf_of["campaign"]
    sizes = np.bincount(leaf_campaign, minlength=len(wanted))[np.flatnonzero(wanted)]
    blocks = np.cumsum(sizes * n_hour) // CELLS_AT_ONCE
    impressions = np.zeros((account.n_leaf, len(account.clock.days)), dtype=np.int64)
    budget = np.repeat(account.campaign_budget[:, None], impressions.shape[1], axis=1)
    market = _market(account)
    clicks: list[Clicks] = []
    orders: list[Orders] = []
    for block in np.unique(blocks):
        members = np.flatnonzero(wanted)[blocks == block]
        leaves = np.flatnonzero(np.isin(leaf_campaign, members))
        part = _simulate_block(account, shifts, market, members, leaves)
        impressions[leaves] = part.impressions
        budget[members] = part.budget
        clicks.append(part.clicks)
        orders.append(part.orders)
    all_orders = _joined(orders, Orders)
    if late_day is not None:
        day, age = late_day
        on_day = all_orders.day == day
        all_orders.first_age[on_day] = np.maximum(all_orders.first_age[on_day], age)
    return Traffic(impressions, _joined(clicks, Clicks), all_orders, budget)


@dataclass(frozen=True)
class _Market:
    demand: Floats  # (n_leaf, n_day)
    pressure: Floats  # (n_portfolio, n_day) factor on the cost per click


def _market(account: Account) -> _Market:
    """Seasons, trend and shocks by day; the same in every world of this account."""
    n_day = len(account.clock.days)
    noise = account.world.noise
    weekday = np.array([d.weekday() for d in account.clock.days])
    phase = 2.0 * np.pi * np.array([d.timetuple().tm_yday for d in account.clock.days]) / 365.25
    season = DAY_OF_WEEK[weekday] * (1.0 + DAILY_TREND) ** np.arange(n_day)
    season = season * np.exp(0.06 * np.cos(phase - 6.0) + 0.03 * np.cos(2.0 * phase))
    shock = np.zeros((account.n_leaf, n_day))
    above = {
        "profile": account.key,
        "portfolio": account.portfolios.keys,
        "campaign": account.campaigns.keys,
    }
    for level, keys in above.items():
        key = derive(keys, Channel.DAY_SHOCK)
        paths = autoregressive(key, n_day, SHOCK_SD * noise, SHOCK_MEMORY)
        shock += paths[account.leaf_of[level]]
    key = derive(account.keywords.keys, Channel.DAY_SHOCK)
    own = KEYWORD_SD * noise * normal(derive(key[:, None], np.arange(n_day)[None, :]))
    shock += own[account.leaf_of["keyword"]]
    pressure = autoregressive(
        derive(account.portfolios.keys, Channel.PRESSURE), n_day, SHOCK_SD * noise, SHOCK_MEMORY
    )
    demand = account.leaf_demand[:, None] * season[None, :] * np.exp(shock)
    return _Market(demand, np.exp(pressure))


def _simulate_block(
    account: Account,
    shifts: Sequence[Shift],
    market: _Market,
    members: NDArray[np.int64],
    leaves: NDArray[np.int64],
) -> Traffic:
    """Traffic of the campaigns `members`, whose leaves are `leaves`; event leaves are global."""
    clock = account.clock
    n_hour = len(clock.day)
    hours = np.arange(n_hour)[None, :]
    keys = account.leaf_keys[leaves]
    local = np.full(account.n_leaf, -1)
    local[leaves] = np.arange(len(leaves))
    effects = [_Effect.of(shift, local, len(leaves)) for shift in shifts]
    effects = [e for e in effects if len(e.rows)]

    mean = market.demand[leaves][:, clock.day] * HOUR_OF_DAY[clock.hour_of_day]
    ctr = np.repeat(account.leaf_ctr[leaves][:, None], n_hour, axis=1)
    for e in effects:
        at_work = (hours >= e.start[e.rows][:, None]) & (hours < e.stop)
        won = e.stage.impressions * e.stage.bid**SHARE_ELASTICITY
        mean[e.rows] *= np.where(at_work, won, 1.0)
        ctr[e.rows] = np.minimum(0.5, ctr[e.rows] * np.where(at_work, e.stage.ctr, 1.0))

    def cell_uniform(channel: Channel) -> Floats:
        return uniform(derive(derive(keys, channel)[:, None], hours))

    seen = negative_binomial(cell_uniform(Channel.IMPRESSIONS), mean, IMPRESSION_SHAPE)
    count = binomial(cell_uniform(Channel.CLICKS), seen.astype(np.float64), ctr).reshape(-1)

    cell = np.repeat(np.flatnonzero(count), count[count > 0])
    rank = np.arange(len(cell)) - np.searchsorted(cell, cell)
    row, hour = cell // n_hour, cell % n_hour
    click_key = derive(derive(derive(keys, Channel.CLICKS)[row], hour), rank)
    keyword = account.leaf_of["keyword"][leaves][row]
    portfolio = account.leaf_of["portfolio"][leaves][row]
    price = (account.keyword_bid * account.keyword_discount)[keyword]
    price = price * market.pressure[portfolio, clock.day[hour]]
    price *= np.exp(COST_SD * normal(derive(click_key, Channel.COST)))
    cents = np.maximum(1, np.rint(100.0 * price * _factor(effects, "bid", row, hour)))

    campaign = np.searchsorted(members, account.leaf_of["campaign"][leaves])
    spent = np.bincount(campaign[row] * n_hour + hour, cents, len(members) * n_hour) / 100.0
    live, budget = _within_budget(account, shifts, members, spent.reshape(-1, n_hour))
    impressions = np.add.reduceat(seen * live[campaign], clock.first_hour[:-1], axis=1)

    kept = live[campaign[row], hour]
    row, hour, keyword = row[kept], hour[kept], keyword[kept]
    cell, click_key, cents = cell[kept], click_key[kept], cents[kept]
    term = _term(account, keyword, uniform(derive(click_key, Channel.TERM)))
    invalid = np.full(len(row), INVALID_SHARE)
    for e in effects:
        invalid[e.covers(row, hour)] += e.stage.invalid * max(0.0, 1.0 - 1.0 / e.stage.ctr)
    u = uniform(derive(click_key, Channel.INVALID))
    # an invalid click is found 1, 2 or 3 days later; the same uniform says which
    found = 1 + np.minimum(2, (3.0 * u / invalid).astype(np.int64))
    clicks = Clicks(
        leaf=leaves[row].astype(np.int32),
        day=clock.day[hour].astype(np.int16),
        term=term,
        cents=cents.astype(np.int32),
        last_age=np.where(u < invalid, found, NEVER).astype(np.int16),
    )
    orders = _orders(account, effects, leaves, keys, cell, term)
    return Traffic(impressions, clicks, orders, budget)


def _orders(
    account: Account,
    effects: Sequence[_Effect],
    leaves: NDArray[np.int64],
    keys: NDArray[np.uint64],
    click_cell: NDArray[np.int64],
    click_term: NDArray[np.int8],
) -> Orders:
    """Orders of the clicks in each cell (sorted); each belongs to one of the cell's clicks."""
    clock = account.clock
    n_hour = len(clock.day)
    cells, first_click, n_clicks = np.unique(click_cell, return_index=True, return_counts=True)
    row, hour = cells // n_hour, cells % n_hour
    cvr = account.keyword_cvr[account.leaf_of["keyword"][leaves][row]]
    mean = n_clicks * cvr * _factor(effects, "cvr", row, hour)
    cell_key = derive(derive(keys, Channel.ORDERS)[row], hour)
    count = poisson(uniform(cell_key), mean)
    which = np.repeat(np.arange(len(cells)), count)
    key = derive(cell_key[which], np.arange(len(which)) - np.searchsorted(which, which))

    def draw(channel: Channel) -> Floats:
        return uniform(derive(key, channel))

    row, hour = row[which], hour[which]
    picked = first_click[which] + (draw(Channel.PICK) * n_clicks[which]).astype(np.int64)
    same = draw(Channel.SAME_SKU) < SAME_SKU_SHARE
    units = 1 + poisson(draw(Channel.UNITS), np.full(len(row), EXTRA_UNITS))
    price = account.asin_price[account.leaf_of["asin"][leaves][row]]
    price = price * _factor(effects, "price", row, hour)
    price *= np.where(same, 1.0, 0.5 + draw(Channel.OTHER_PRICE))
    arrival = np.cumsum(account.world.delay)
    delay = np.minimum(
        np.searchsorted(arrival, draw(Channel.DELAY), side="right"), len(arrival) - 1
    )
    fate = draw(Channel.FATE)
    gone = np.full(len(row), NEVER)
    gone[fate < RETURNED_LATE] = 28
    gone[fate < RETURNED_EARLY] = 7
    cancelled = fate < CANCELLED
    gone[cancelled] = 1 + (3.0 * fate[cancelled] / CANCELLED).astype(np.int64)
    return Orders(
        leaf=leaves[row].astype(np.int32),
        day=clock.day[hour].astype(np.int16),
        term=click_term[picked],
        delay=delay.astype(np.int16),
        first_age=(delay + 1).astype(np.int16),
        last_age=np.minimum(NEVER, delay + gone).astype(np.int16),
        units=units.astype(np.int16),
        cents=units * np.rint(100.0 * price).astype(np.int64),
        same_sku=same,
    )


@dataclass(frozen=True)
class _Effect:
    """A shift in a block's own row numbers."""

    stage: Stage
    rows: NDArray[np.int64]
    start: NDArray[np.int64]  # (n_row,) beyond every hour where the shift does not act
    stop: int

    @classmethod
    def of(cls, shift: Shift, local: NDArray[np.int64], n_row: int) -> _Effect:
        rows = local[shift.leaves]
        inside = rows >= 0
        start = np.full(n_row, shift.stop)
        start[rows[inside]] = shift.start[inside]
        return cls(shift.stage, rows[inside], start, shift.stop)

    def covers(self, row: NDArray[np.int64], hour: NDArray[np.int64]) -> NDArray[np.bool_]:
        covered: NDArray[np.bool_] = (hour >= self.start[row]) & (hour < self.stop)
        return covered


def _factor(
    effects: Sequence[_Effect], name: str, row: NDArray[np.int64], hour: NDArray[np.int64]
) -> Floats:
    """Product of the effects' factors of this name on each event."""
    factor = np.ones(len(row))
    for effect in effects:
        value = getattr(effect.stage, name)
        if value != 1.0:
            factor[effect.covers(row, hour)] *= value
    return factor


def _within_budget(
    account: Account, shifts: Sequence[Shift], members: NDArray[np.int64], spent: Floats
) -> tuple[NDArray[np.bool_], Floats]:
    """Hours in which each campaign may show ads, and its daily budget, from money spent by hour.

    A budget is an average over the month: a day may take up to twice the budget as far as earlier
    days of the month left some over; a new budget starts without anything left over. An hour that
    would pass the limit, and the rest of its day, are lost.
    """
    clock = account.clock
    hours = np.arange(spent.shape[1])
    budget = np.repeat(account.campaign_budget[members][:, None], spent.shape[1], axis=1)
    for shift in shifts:
        if shift.budget is not None:
            new = shift.budget[members]
            changed = ~np.isnan(new)
            at_work = (hours >= shift.start[0]) & (hours < shift.stop)
            budget[np.ix_(changed, at_work)] = new[changed][:, None]
    live = np.zeros(spent.shape, dtype=bool)
    left_over = np.zeros(len(members))
    daily = budget[:, clock.first_hour[1:] - 1]
    for d, day in enumerate(clock.days):
        today = slice(clock.first_hour[d], clock.first_hour[d + 1])
        if day.day == 1:
            left_over[:] = 0.0
        elif d:
            left_over[daily[:, d] != daily[:, d - 1]] = 0.0
        limit = np.minimum(2.0 * budget[:, today], budget[:, today] + left_over[:, None])
        running = np.cumsum(spent[:, today], axis=1)
        live[:, today] = running <= limit
        used = (running * live[:, today]).max(axis=1)
        left_over = np.maximum(0.0, left_over + daily[:, d] - used)
    return live, daily


def _term(account: Account, keyword: NDArray[np.int64], u: Floats) -> NDArray[np.int8]:
    """Rank of the search term behind each click of a keyword."""
    n = len(account.keywords)
    edges = (account.term_cumulative + np.arange(n)[:, None]).reshape(-1)
    flat = np.searchsorted(edges, keyword + u, side="right")
    width = account.term_cumulative.shape[1]
    rank: NDArray[np.int8] = np.clip(flat - keyword * width, 0, width - 1).astype(np.int8)
    return rank


def _joined(parts: Sequence[Events], kind: type[Events]) -> Events:
    columns = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(kind)}
    return kind(**columns)
