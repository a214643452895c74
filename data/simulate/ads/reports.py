"""The v3 report files: what Amazon would have told about the traffic on a given morning.

A file is a JSON array of flat objects, one a row, for one profile (Amazon's rows do not name it,
the file name does). Every entity has a row a day, with zeros where nothing was delivered, except
search terms, which need at least one click. Settings are those at the end of the report day.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.simulate.ads.account import MAX_TERMS, Account
from data.simulate.ads.faults import Incident
from data.simulate.ads.traffic import Traffic
from data.simulate.draws import Floats

WINDOWS = (1, 7, 14, 30)
_COMPRESSION = 1  # level 6 takes four times as long for files a quarter smaller
Columns = dict[str, NDArray[np.generic] | list[str]]


@dataclass(frozen=True)
class Report:
    """One report type: its entity level, the settings and the metric columns a user would ask for.

    `look_back` is the number of report days in each daily download; `every` says on which of the
    daily downloads, counted back from the last, the report is asked for at all.
    """

    name: str
    level: str
    settings: tuple[str, ...]
    metrics: tuple[str, ...]
    look_back: int = 14
    every: int = 1


def _windows(names: tuple[str, ...], windows: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(f"{name}{window}d" for name in names for window in windows)


_TRAFFIC = ("impressions", "clicks", "cost")
_CONVERSIONS = _windows(("purchases", "sales", "unitsSoldClicks"), WINDOWS)
REPORTS = (
    Report(
        "spCampaigns",
        "campaign",
        ("campaignStatus", "campaignBudgetAmount", "topOfSearchImpressionShare"),
        (*_TRAFFIC, *_CONVERSIONS, "clickThroughRate", "costPerClick"),
    ),
    Report(
        "spTargeting",
        "keyword",
        ("campaignStatus", "campaignBudgetAmount", "keywordBid"),
        (*_TRAFFIC, *_CONVERSIONS),
    ),
    Report("spAdvertisedProduct", "ad", ("campaignStatus",), (*_TRAFFIC, *_CONVERSIONS)),
    # the biggest report; asked for once a week
    Report(
        "spSearchTerm",
        "search_term",
        (),
        (
            *_TRAFFIC,
            *_windows(("purchases", "sales", "unitsSoldClicks"), (7, 14)),
            "clickThroughRate",
            "costPerClick",
            "acosClicks7d",
        ),
        every=7,
    ),
)


def campaign_status(account: Account, incidents: list[Incident]) -> NDArray[np.object_]:
    """campaignStatus at the end of each local day, shape (n_campaign, n_day)."""
    clock = account.clock
    status = np.full((len(account.campaigns), len(clock.days)), "ENABLED", dtype=object)
    ends = clock.first_hour[1:]
    for incident in incidents:
        if incident.fault.status != "ENABLED":
            days = (ends > incident.onset_hour) & (ends <= incident.stop_hour)
            status[np.ix_(incident.campaigns, days)] = incident.fault.status
    return status


def keyword_bids(account: Account, incidents: list[Incident]) -> Floats:
    """keywordBid at the end of each local day, shape (n_keyword, n_day)."""
    ends = account.clock.first_hour[1:]
    bids = np.repeat(account.keyword_bid[:, None], len(ends), axis=1)
    for incident in incidents:
        for shift in incident.shifts:
            keywords = np.unique(account.leaf_of["keyword"][shift.leaves])
            days = (ends > shift.start[0]) & (ends <= shift.stop)
            bids[np.ix_(keywords, days)] *= shift.stage.bid
    rounded: Floats = np.round(bids, 2)
    return rounded


class Reporter:
    """Cuts report files of one account out of its traffic, as of any morning."""

    def __init__(self, account: Account, traffic: Traffic, incidents: list[Incident]) -> None:
        self.account = account
        self.traffic = traffic
        campaign_of_keyword = account.ad_groups.parent[account.keywords.parent]
        campaign_of_ad = account.ad_groups.parent[account.ads.parent]
        self._campaign_of = {
            "campaign": np.arange(len(account.campaigns)),
            "keyword": campaign_of_keyword,
            "ad": campaign_of_ad,
        }
        self._status = campaign_status(account, incidents)
        self._bids = keyword_bids(account, incidents)
        wins = (self._bids / account.keyword_bid[:, None]).astype(np.float64)
        shown = np.zeros((len(account.campaigns), wins.shape[1]))
        np.add.at(shown, campaign_of_keyword, wins)
        shown /= np.bincount(campaign_of_keyword)[:, None]
        self._top_share = np.round(np.minimum(1.0, account.campaign_top_share[:, None] * shown), 4)
        self._identity = _identities(account)

    def columns(self, report: Report, first: int, last: int, as_of: int) -> Columns:
        """Rows for report days first..last as known on the morning of day `as_of`, by column.

        `entity` and `day` are indices; the order is by day, then entity.
        """
        if report.level == "search_term":
            return self._search_terms(first, last, as_of)
        n = self.account.count(report.level)
        index = self.account.leaf_of[report.level]
        days = np.arange(first, last + 1)
        cell = index[:, None] + n * np.arange(len(days))[None, :]
        shown = self.traffic.impressions[:, first : last + 1]
        size = n * len(days)
        table: Columns = {
            "entity": np.tile(np.arange(n), len(days)),
            "day": np.repeat(days, n),
            "impressions": np.bincount(cell.ravel(), shown.ravel(), size).astype(np.int64),
        }
        table |= self._events(
            first, last, as_of, size, lambda leaf, _, day: index[leaf] + n * (day - first)
        )
        campaign = self._campaign_of[report.level]
        block = np.ix_(days, campaign)
        table["campaignStatus"] = self._status.T[block].ravel()
        table["campaignBudgetAmount"] = self.traffic.budget.T[block].ravel()
        table["topOfSearchImpressionShare"] = self._top_share.T[block].ravel()
        if report.level == "keyword":
            table["keywordBid"] = self._bids.T[days].ravel()
        return table

    def _search_terms(self, first: int, last: int, as_of: int) -> Columns:
        keyword_of = self.account.leaf_of["keyword"]
        n = len(self.account.keywords) * MAX_TERMS
        size = n * (last - first + 1)
        events = self._events(
            first,
            last,
            as_of,
            size,
            lambda leaf, term, day: keyword_of[leaf] * MAX_TERMS + term + n * (day - first),
        )
        clicks = np.asarray(events["clicks"])
        found = np.flatnonzero(clicks)
        entity, day = found % n, first + found // n
        table: Columns = {"entity": entity, "day": day}
        shown = self.term_impressions(entity, day)
        table["impressions"] = np.maximum(shown, clicks[found])
        return table | {name: np.asarray(column)[found] for name, column in events.items()}

    def term_impressions(
        self, entity: NDArray[np.int64], day: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Impressions of search terms: the keyword's, shared as the terms' clicks are."""
        keyword, term = entity // MAX_TERMS, entity % MAX_TERMS
        cumulative = self.account.term_cumulative
        share = np.diff(cumulative, axis=1, prepend=0.0)[keyword, term]
        n_day = self.traffic.impressions.shape[1]
        shown = np.zeros((len(self.account.keywords), n_day), dtype=np.int64)
        np.add.at(shown, self.account.leaf_of["keyword"], self.traffic.impressions)
        counts: NDArray[np.int64] = np.floor(share * shown[keyword, day]).astype(np.int64)
        return counts

    def _events(
        self,
        first: int,
        last: int,
        as_of: int,
        size: int,
        cell_of: Callable[..., NDArray[np.int64]],
    ) -> Columns:
        """Click and order metrics summed into `size` cells, counting what is known by `as_of`."""
        c, o = self.traffic.clicks, self.traffic.orders
        known = (c.day >= first) & (c.day <= last) & (as_of - c.day <= c.last_age)
        cell = cell_of(c.leaf[known], c.term[known].astype(np.int64), c.day[known].astype(np.int64))
        table: Columns = {
            "clicks": np.bincount(cell, minlength=size),
            "cost": np.bincount(cell, c.cents[known], size) / 100.0,
        }
        age = as_of - o.day
        known = (o.day >= first) & (o.day <= last) & (o.first_age <= age) & (age <= o.last_age)
        cell = cell_of(o.leaf[known], o.term[known].astype(np.int64), o.day[known].astype(np.int64))
        delay, units, cents = o.delay[known], o.units[known], o.cents[known]
        for window in WINDOWS:
            near = delay < window
            table[f"purchases{window}d"] = np.bincount(cell[near], minlength=size)
            table[f"sales{window}d"] = np.bincount(cell[near], cents[near], size) / 100.0
            sold = np.bincount(cell[near], units[near], size)
            table[f"unitsSoldClicks{window}d"] = sold.astype(np.int64)
        same = o.same_sku[known] & (delay < 14)
        table["sameSkuUnits"] = np.bincount(cell[same], units[same], size).astype(np.int64)
        table["sameSkuSales"] = np.bincount(cell[same], cents[same], size) / 100.0
        return table

    def lines(self, report: Report, first: int, last: int, as_of: int) -> list[str]:
        """The same rows as JSON objects, one string each."""
        table = self.columns(report, first, last, as_of)
        names = (*report.settings, *report.metrics)
        dates = [f'{{"date":"{day}",' for day in self.account.clock.days]
        identity = self._identity[report.level]
        cells = [
            [dates[d] for d in np.asarray(table["day"]).tolist()],
            [identity(e) for e in np.asarray(table["entity"]).tolist()],
        ]
        cells += [
            _ratio(name, table) if name in RATIOS else np.asarray(table[name]).tolist()
            for name in names
        ]
        template = "%s%s," + ",".join(f'"{n}":{_format(n)}' for n in names) + "}"
        return [template % row for row in zip(*cells, strict=True)]


RATIOS = {
    "clickThroughRate": ("clicks", "impressions"),
    "costPerClick": ("cost", "clicks"),
    "acosClicks7d": ("cost", "sales7d"),
}


def encode(lines: list[str]) -> bytes:
    """A GZIP_JSON file; the same rows give the same bytes."""
    text = "[" + ",\n".join(lines) + "]"
    return gzip.compress(text.encode(), _COMPRESSION, mtime=0)


def _format(name: str) -> str:
    if name == "campaignStatus":
        return '"%s"'
    if name in RATIOS:
        return "%s"
    if name == "topOfSearchImpressionShare":
        return "%.4f"
    money = ("cost", "sales", "campaignBudgetAmount", "keywordBid")
    return "%.2f" if name.startswith(money) else "%d"


def _ratio(name: str, table: Columns) -> list[str]:
    """A ratio to four places as JSON text, null where its denominator is zero."""
    above, below = (np.asarray(table[n]).tolist() for n in RATIOS[name])
    return [f"{a / b:.4f}" if b else "null" for a, b in zip(above, below, strict=True)]


def _identities(account: Account) -> dict[str, Callable[[int], str]]:
    """Level -> the unchanging columns of an entity as the inside of a JSON object."""
    currency = account.market.currency

    def text(columns: dict[str, object]) -> str:
        return json.dumps(columns, separators=(",", ":"), ensure_ascii=False)[1:-1]

    def campaign_columns(c: int) -> dict[str, object]:
        return {
            "campaignId": int(account.campaigns.ids[c]),
            "campaignName": account.campaigns.names[c],
        }

    def group_columns(g: int) -> dict[str, object]:
        campaign = int(account.ad_groups.parent[g])
        return {
            "portfolioId": int(account.portfolios.ids[account.campaigns.parent[campaign]]),
            **campaign_columns(campaign),
            "adGroupId": int(account.ad_groups.ids[g]),
            "adGroupName": account.ad_groups.names[g],
        }

    def keyword_columns(k: int) -> dict[str, object]:
        return {
            **group_columns(int(account.keywords.parent[k])),
            "keywordId": int(account.keywords.ids[k]),
            "keyword": account.keywords.names[k],
            "matchType": account.match_types[k],
            "keywordType": account.match_types[k],
        }

    campaigns = [
        text(
            {
                **campaign_columns(c),
                "campaignBudgetType": "DAILY_BUDGET",
                "campaignBudgetCurrencyCode": currency,
            }
        )
        for c in range(len(account.campaigns))
    ]
    keywords = [
        text(
            {
                **keyword_columns(k),
                "targeting": account.keywords.names[k],
                "adKeywordStatus": "ENABLED",
                "campaignBudgetCurrencyCode": currency,
            }
        )
        for k in range(len(account.keywords))
    ]
    sku = account.market.kind == "seller"  # Amazon gives vendors no SKU
    ads = [
        text(
            {
                **group_columns(int(account.ads.parent[a])),
                "adId": int(account.ads.ids[a]),
                "advertisedAsin": account.ads.names[a],
                "advertisedSku": f"SKU-{account.ads.names[a][-6:]}" if sku else None,
                "campaignBudgetCurrencyCode": currency,
            }
        )
        for a in range(len(account.ads))
    ]
    searched = [text(keyword_columns(k)) for k in range(len(account.keywords))]

    def search_term(entity: int) -> str:
        keyword, term = divmod(entity, MAX_TERMS)
        return f'{searched[keyword]},"searchTerm":"{account.term(keyword, term)}"'

    return {
        "campaign": campaigns.__getitem__,
        "keyword": keywords.__getitem__,
        "ad": ads.__getitem__,
        "search_term": search_term,
    }
