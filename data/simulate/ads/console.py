"""Search term reports as the advertising console exports them: human headers, names, no ids.

With every trap of the real files: trailing spaces in headers, the currency in a header, `$1,234.56`
and `12.34%` as text in CSV, fractions in XLSX, 7-day windows for sellers and 14-day for vendors.
Unlike the API's report they list terms without a click too.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
from openpyxl import Workbook

from data.simulate.ads.account import MAX_TERMS, Account
from data.simulate.ads.reports import REPORTS, Reporter

_DAYS = 7
_COUNTRIES = {"US": "United States", "DE": "Germany", "UK": "United Kingdom", "CA": "Canada"}
_NAMES = 11  # leading columns that are text
_KINDS = (
    "count", "count", "percent", "money", "money", "money", "percent", "number",
    "count", "count", "percent", "count", "count", "money", "money",
)  # fmt: skip
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a ZIP entry can carry


def headers(kind: str, symbol: str) -> list[str]:
    """The export's header row, spaces included; vendors' sales carry the currency."""
    window = "7 Day" if kind == "seller" else "14 Day"
    sales = f"{window} Total Sales " if kind == "seller" else f"{window} Total Sales ({symbol})"
    return [
        "Start Date",
        "End Date",
        "Portfolio name",
        "Currency",
        "Campaign Name",
        "Ad Group Name",
        "Retailer",
        "Country",
        "Targeting",
        "Match Type",
        "Customer Search Term",
        "Impressions",
        "Clicks",
        "Click-Thru Rate (CTR)",
        "Cost Per Click (CPC)",
        "Spend",
        sales,
        "Total Advertising Cost of Sales (ACOS) ",
        "Total Return on Advertising Spend (ROAS)",
        f"{window} Total Orders (#)",
        f"{window} Total Units (#)",
        f"{window} Conversion Rate",
        f"{window} Advertised SKU Units (#)",
        f"{window} Other SKU Units (#)",
        f"{window} Advertised SKU Sales ",
        f"{window} Other SKU Sales ",
    ]


def search_term_rows(account: Account, reporter: Reporter, *, campaign: int) -> list[list[object]]:
    """Daily rows of the last week of one campaign, as of the last morning.

    Numbers stay numbers; a ratio without a denominator is None.
    """
    n_day = len(account.clock.days)
    first, last = n_day - _DAYS, n_day - 1
    report = next(r for r in REPORTS if r.name == "spSearchTerm")
    table = reporter.columns(report, first, last, n_day)
    window = 7 if account.market.kind == "seller" else 14
    sums = ("clicks", "cost", *(f"{m}{window}d" for m in ("sales", "purchases", "unitsSoldClicks")))
    names = ("day", "entity", *sums, "sameSkuUnits", "sameSkuSales")
    columns = (np.asarray(table[name]).tolist() for name in names)
    values = {(day, entity): row for day, entity, *row in zip(*columns, strict=True)}
    campaign_of_keyword = account.ad_groups.parent[account.keywords.parent]
    keywords = np.flatnonzero(campaign_of_keyword == campaign)
    entities = (keywords[:, None] * MAX_TERMS + np.arange(MAX_TERMS)[None, :]).ravel()
    rows: list[list[object]] = []
    for day in range(first, last + 1):
        shown = reporter.term_impressions(entities, np.full(len(entities), day)).tolist()
        for entity, impressions in zip(entities.tolist(), shown, strict=True):
            row = values.get((day, entity), [0, 0.0, 0.0, 0, 0, 0, 0.0])
            if impressions or row[0]:
                names_part = _names(account, entity, str(account.clock.days[day]))
                rows.append(names_part + _numbers(max(impressions, row[0]), *row))
    return rows


def _names(account: Account, entity: int, day: str) -> list[object]:
    keyword, term = divmod(entity, MAX_TERMS)
    group = int(account.keywords.parent[keyword])
    campaign = int(account.ad_groups.parent[group])
    return [
        day,
        day,
        account.portfolios.names[account.campaigns.parent[campaign]],
        account.market.currency,
        account.campaigns.names[campaign],
        account.ad_groups.names[group],
        "Amazon",
        _COUNTRIES[account.market.country],
        account.keywords.names[keyword],
        account.match_types[keyword],
        account.term(keyword, term),
    ]


def _numbers(
    impressions: int,
    clicks: int,
    cost: float,
    sales: float,
    orders: int,
    units: int,
    same_units: int,
    same_sales: float,
) -> list[object]:
    def over(above: float, below: float) -> float | None:
        return above / below if below else None

    return [
        impressions,
        clicks,
        over(clicks, impressions),
        over(cost, clicks),
        cost,
        sales,
        over(cost, sales),
        over(sales, cost),
        orders,
        units,
        over(orders, clicks),
        same_units,
        units - same_units,
        same_sales,
        round(sales - same_sales, 2),
    ]


def to_csv(rows: list[list[object]], head: list[str], symbol: str) -> bytes:
    """The export as CSV with money and percentages as text and a byte order mark."""
    as_text: dict[str, Callable[[float], str]] = {
        "count": lambda v: f"{v:d}",
        "money": lambda v: f"{symbol}{v:,.2f}",
        "percent": lambda v: f"{100.0 * v:.4f}%",
        "number": lambda v: f"{v:.2f}",
    }
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        numbers = zip(_KINDS, row[_NAMES:], strict=True)
        texts = ["" if v is None else as_text[kind](v) for kind, v in numbers]  # type: ignore[arg-type]
        writer.writerow(row[:_NAMES] + texts)
    return out.getvalue().encode("utf-8-sig")


def to_xlsx(rows: list[list[object]], head: list[str]) -> bytes:
    """The export as a workbook with plain numbers; the same rows give the same bytes."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet("Sponsored Product Search Term R")
    sheet.append(head)
    for row in rows:
        sheet.append(row)
    raw = io.BytesIO()
    book.save(raw)
    return _timeless(raw.getvalue())


def _timeless(workbook: bytes) -> bytes:
    """The workbook without the moment of its writing in its entries and properties."""
    stamp = datetime(*_EPOCH, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", stamp, content)
            new.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED, 1)
    return out.getvalue()
