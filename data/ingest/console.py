"""Sponsored Products reports as the advertising console exports them: human headers, names, no ids."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pyarrow as pa

from core.domain import Domain
from core.errors import InvalidInputError
from data.duck import Cursor, rows, statements
from data.ingest import sheet
from data.ingest.batch import Batch, Known, KnownSource
from data.ingest.facts import ADS_NODES, Facts, assemble, selection
from data.ingest.quarantine import Style
from data.ingest.source import Source

COLUMNS: Mapping[str, str] = {
    "date": "day",
    "start date": "day",
    "end date": "last_day",
    "portfolio name": "portfolio_name",
    "currency": "currency",
    "campaign name": "campaign_name",
    "ad group name": "ad_group_name",
    "targeting": "targeting",
    "match type": "match_type",
    "customer search term": "search_term",
    "advertised asin": "asin",
    "advertised sku": "sku",
    "impressions": "impressions",
    "clicks": "clicks",
    "spend": "cost",
    "7 day total sales": "sales",
    "7 day total orders": "orders",
    "7 day total units": "units",
    "14 day total sales": "sales_14d",
    "14 day total orders": "orders_14d",
    "click-thru rate": "file_ctr",
    "cost per click": "file_cpc",
    "total advertising cost of sales": "file_acos",
    "total return on advertising spend": "file_roas",
    "7 day conversion rate": "file_cvr",
    "14 day conversion rate": "file_cvr",
}
"""Header, lower case, without spaces around it and a closing bracket → column of `raw`.

Sellers' files count 7 days, vendors' 14; the windows are never mixed."""

KINDS = {
    "spare": "spare",
    "day": "day",
    "last_day": "same day",
    "campaign_name": "required",
    "ad_group_name": "required",
    "targeting": "required",
    "search_term": "required",
    "asin": "id",
}
RATIOS = ("ctr", "cpc", "acos", "roas", "cvr")
VENDOR = {"sales": "sales_14d", "orders": "orders_14d"}
LEVELS = (
    ("search_term", "search_term"),
    ("keyword", "targeting"),
    ("ad", "asin"),
    ("ad_group", "ad_group_name"),
    ("campaign", "campaign_name"),
)
NO_PORTFOLIO = "no portfolio"
# Marks an id that is made of names because the file has no other.
BY_NAME = "name/"


def recognise(source: Source) -> bool:
    """Whether the headers are those of a console report."""
    return sheet.recognise(source) and {"campaign_name", "day", "clicks"} <= _columns(source).keys()


def read(cursor: Cursor, source: Source, domain: Domain, known: KnownSource) -> Batch:
    """One export; names become the ids known in the store, or ids made of the names."""
    found = _columns(source)
    heading = sheet.headers(source)
    sheet.load(cursor, source)
    there = known()
    profile, by_name = _profile(cursor, source, there, found)
    cursor.register("naming", _naming(cursor, there, profile, found))
    ids = ("campaign_id", "ad_group_id", "keyword_id", "portfolio_id")
    columns = {name: f"s.c{index}" for name, index in found.items()}
    columns |= {name: name for name in (*ids, "spare")}
    joined = " AND ".join(
        f"n.{name} IS NOT DISTINCT FROM s.c{found[name]}" for name in NAMES if name in found
    )
    cursor.execute(
        statements("ingest")["named"].format(
            selected=selection(columns, ADS_NODES, {"profile": profile}), joined=joined
        )
    )
    level = next(level for level, needs in LEVELS if needs in found)
    shown = {name: heading[index].strip() for name, index in found.items()}
    known_ids = {
        "campaign_id": "campaign_name",
        "ad_group_id": "ad_group_name",
        "keyword_id": "targeting",
        "portfolio_id": "portfolio_name",
    }
    vendor = "sales_14d" in found and "sales" not in found
    facts = Facts(
        file=source.name,
        sha256=source.sha256,
        size=source.size,
        format="amazon-console",
        report=f"console-{level}",
        level=level,
        as_of=source.as_of,
        headers={"spare": ""}
        | shown
        | {name: shown[of] for name, of in known_ids.items() if of in shown},
        kinds=KINDS,
        ratios={f"file_{name}": (name, VENDOR if vendor else {}) for name in RATIOS},
        style=Style("shown_number", "shown_day"),
        # The console lists every term, so keywords are their sums; the API's own figures win where an
        # entity is known from there.
        summed="keyword" if level == "search_term" else "",
        chosen=f"starts_with(keyword_id, '{BY_NAME}')",
        notes=(f"campaigns not known by id yet: {by_name}",) if by_name else (),
    )
    return assemble(cursor, domain, facts)


NAMES = ("portfolio_name", "campaign_name", "ad_group_name", "targeting", "match_type")


def _columns(source: Source) -> dict[str, int]:
    """Column of `raw` → position in the file; the first of a kind counts."""
    found: dict[str, int] = {}
    for index, header in enumerate(sheet.headers(source)):
        plain = re.sub(r"\s*\([^)]*\)$", "", header.strip().lower()).strip()
        if plain in COLUMNS:
            found.setdefault(COLUMNS[plain], index)
    return found


def _profile(
    cursor: Cursor, source: Source, known: Known, found: Mapping[str, int]
) -> tuple[str, int]:
    """The profile the file is of, and how many campaign names in it are unknown there."""
    sql = statements("ingest")["distinct"]
    campaigns = {
        row["campaign_name"]
        for row in rows(cursor, sql.format(cells=f"c{found['campaign_name']} AS campaign_name"))
    }
    named: dict[str, set[str]] = {}
    for profile, level, *path in known.ids:
        if level == "campaign" and path[0] in campaigns:
            named.setdefault(profile, set()).add(path[0])
    told = source.profile or (next(iter(named)) if len(named) == 1 else "")
    if not told:
        currencies = (
            {
                row["currency"]
                for row in rows(cursor, sql.format(cells=f"c{found['currency']} AS currency"))
            }
            if "currency" in found
            else set()
        )
        fitting = [p for p, (currency, _) in known.profiles.items() if {currency} == currencies]
        if len(fitting) == 1:
            told = fitting[0]
        elif not known.profiles:
            told = f"console-{currencies.pop()}" if len(currencies) == 1 else "console"
    if not campaigns:
        # an export without a row says nothing of anybody
        return told or "console", 0
    if not told:
        raise InvalidInputError.of(
            source.name,
            "the profile",
            f"clear from campaign names or currency among {len(known.profiles)} known ones",
            "",
            "Give --profile.",
        )
    return told, len(campaigns - named.get(told, set()))


def _naming(cursor: Cursor, known: Known, profile: str, found: Mapping[str, int]) -> pa.Table:
    """Names of the file → ids, one row per combination."""
    cells = ", ".join(f"c{found[name]} AS {name}" for name in NAMES if name in found)
    named = []
    for row in rows(cursor, statements("ingest")["distinct"].format(cells=cells)):
        path: tuple[str, ...] = ()
        ids: dict[str, str | None] = {}
        for level, name in (
            ("campaign", row["campaign_name"]),
            ("ad_group", row.get("ad_group_name")),
            ("keyword", row.get("targeting")),
        ):
            if name is None:
                break
            path = (*path, name)
            match = (row.get("match_type") or "").upper() if level == "keyword" else ""
            told = (profile, level, *path)
            entity = known.ids.get((*told, match)) or known.ids.get(told)
            made = BY_NAME + "/".join((profile, *path, *([match] if match else [])))
            ids[f"{level}_id"] = entity.partition(":")[2] if entity else made
        campaign = ids.get("campaign_id") or ""
        portfolio = row.get("portfolio_name")
        if not campaign.startswith(BY_NAME):
            ids["portfolio_id"] = known.portfolios.get(campaign)
        elif portfolio and portfolio.lower() != NO_PORTFOLIO:
            ids["portfolio_id"] = f"{BY_NAME}{profile}/{portfolio}"
        named.append(row | ids)
    columns = [name for name in NAMES if name in found]
    columns += ["campaign_id", "ad_group_id", "keyword_id", "portfolio_id"]
    return pa.Table.from_pylist(named, schema=pa.schema({name: pa.string() for name in columns}))
