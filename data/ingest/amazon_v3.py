"""Amazon Ads reporting v3: a JSON array of flat objects, one file per profile and report."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import duckdb

from core.domain import Domain
from core.errors import InvalidInputError
from data.duck import Cursor, literal, statements
from data.ingest.batch import Batch, KnownSource, Refusal
from data.ingest.facts import ADS_NODES, Facts, assemble, selection
from data.ingest.source import Source

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "day": ("date",),
    "portfolio_id": ("portfolioId",),
    "portfolio_name": ("portfolioName",),
    "campaign_id": ("campaignId",),
    "campaign_name": ("campaignName",),
    "campaign_status": ("campaignStatus",),
    "budget": ("campaignBudgetAmount",),
    "currency": ("campaignBudgetCurrencyCode", "currency"),
    "top_of_search": ("topOfSearchImpressionShare",),
    "ad_group_id": ("adGroupId",),
    "ad_group_name": ("adGroupName",),
    "ad_group_status": ("adStatus",),
    "keyword_id": ("keywordId", "targetId"),
    "keyword": ("keyword", "keywordText"),
    "targeting": ("targeting", "targetingText"),
    "keyword_type": ("keywordType",),
    "match_type": ("matchType",),
    "keyword_status": ("adKeywordStatus",),
    "bid": ("keywordBid",),
    "search_term": ("searchTerm", "query"),
    "ad_id": ("adId",),
    "asin": ("advertisedAsin", "asin"),
    "sku": ("advertisedSku", "sku"),
    "impressions": ("impressions",),
    "clicks": ("clicks",),
    "cost": ("cost", "spend"),
    "orders": ("purchases7d", "attributedConversions7d"),
    "units": ("unitsSoldClicks7d", "attributedUnitsOrdered7d"),
    "sales": ("sales7d", "attributedSales7d"),
    "orders_14d": ("purchases14d", "attributedConversions14d"),
    "sales_14d": ("sales14d", "attributedSales14d"),
    "file_cpc": ("costPerClick",),
    "file_ctr": ("clickThroughRate",),
    "file_acos": ("acosClicks7d",),
    "file_acos_14d": ("acosClicks14d",),
    "file_roas": ("roasClicks7d",),
    "file_roas_14d": ("roasClicks14d",),
}
"""Column of `raw` → names in the files, today's first, the older v2 ones after."""

RATIOS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "file_cpc": ("cpc", {}),
    "file_ctr": ("ctr", {}),
    "file_acos": ("acos", {}),
    "file_acos_14d": ("acos", {"sales": "sales_14d"}),
    "file_roas": ("roas", {}),
    "file_roas_14d": ("roas", {"sales": "sales_14d"}),
}


@dataclass(frozen=True)
class Report:
    """A report type by the columns that give it away; the first that fits counts."""

    name: str
    level: str
    needs: tuple[str, ...]


REPORTS = (
    Report("spSearchTerm", "search_term", ("keyword_id", "search_term")),
    Report("spAdvertisedProduct", "ad", ("ad_group_id", "asin")),
    Report("spTargeting", "keyword", ("keyword_id", "ad_group_id")),
    Report("spCampaigns-adGroup", "ad_group", ("campaign_id", "ad_group_id")),
    Report("spCampaigns", "campaign", ("campaign_id",)),
)
UNSUPPORTED = {
    "purchasedAsin": "a purchased product report (rows are other products' sales)",
    "placementClassification": "a report by placement (several rows per campaign and day)",
    "grossImpressions": "a gross and invalid traffic report",
}
FILE_NAME = re.compile(
    r"^(?P<report>s[pbd][A-Za-z]+)(?:_(?P<profile>[0-9]{9,}))?"
    r"(?:_(?P<first>\d{4}-\d\d-\d\d)_(?P<last>\d{4}-\d\d-\d\d))?"
)
HEAD_BYTES = 1 << 20


def recognise(source: Source) -> bool:
    """Whether the file looks like JSON objects, packed or not."""
    return source.head[:2] == b"\x1f\x8b" or source.head.lstrip()[:1] in (b"[", b"{")


def read(cursor: Cursor, source: Source, domain: Domain, known: KnownSource) -> Batch:
    """One report file; a file that is no JSON as a whole becomes a batch with one refusal."""
    try:
        text, keys = _head(source)
    except (OSError, EOFError, ValueError) as error:
        return _unreadable(source, str(error))
    if not keys:
        return source.batch("amazon-v3", notes=("the report has no rows: an empty document",))
    report, columns = _report(source, keys)
    profile = _profile(source, known, text)
    sql = statements("ingest")["json"].format(
        selected=selection(
            {name: f'"{header}"' for name, header in columns.items()},
            ADS_NODES,
            {"profile": profile},
        ),
        columns="{" + ", ".join(f"{literal(h)}: 'VARCHAR'" for h in {*columns.values()}) + "}",
        format="array" if text.lstrip().startswith("[") else "newline_delimited",
        compression="gzip" if source.head[:2] == b"\x1f\x8b" else "none",
    )
    try:
        cursor.execute(sql, {"file": str(source.path)})
    except (duckdb.InvalidInputException, duckdb.IOException, duckdb.ConversionException) as error:
        return _unreadable(source, str(error).splitlines()[0])
    facts = Facts(
        file=source.name,
        sha256=source.sha256,
        size=source.size,
        format="amazon-v3",
        report=report.name,
        level=report.level,
        as_of=source.as_of,
        headers=columns,
        ratios=RATIOS,
        span=_span(source),
    )
    return assemble(cursor, domain, facts)


def _head(source: Source) -> tuple[str, set[str]]:
    """The beginning of the text, and the keys of the objects in it."""
    if source.head[:2] == b"\x1f\x8b":
        with gzip.open(source.path) as file:
            data = file.read(HEAD_BYTES)
    else:
        with source.path.open("rb") as file:
            data = file.read(HEAD_BYTES)
    text = data.decode("utf-8-sig", errors="replace")
    keys: set[str] = set()
    decoder, place = json.JSONDecoder(), text.find("{")
    for _ in range(100):
        if place < 0:
            break
        try:
            found, place = decoder.raw_decode(text, place)
        except ValueError:
            if not keys:
                raise
            break
        keys |= found.keys()
        place = text.find("{", place)
    if not keys and text.strip() not in ("[]", ""):
        raise ValueError("no JSON object in it")
    return text, keys


def _report(source: Source, keys: set[str]) -> tuple[Report, dict[str, str]]:
    for key, words in UNSUPPORTED.items():
        if key in keys:
            raise InvalidInputError.of(
                source.name,
                "the report",
                "one of spCampaigns, spTargeting, spSearchTerm, spAdvertisedProduct",
                words,
            )
    columns = {
        name: next(header for header in headers if header in keys)
        for name, headers in COLUMNS.items()
        if not keys.isdisjoint(headers)
    }
    if "day" not in columns:
        raise InvalidInputError.of(
            source.name,
            "the report",
            "by day, with a column date",
            sorted(keys)[:8],
            "Ask for timeUnit DAILY.",
        )
    for report in REPORTS:
        if {*report.needs} <= columns.keys():
            return report, columns
    raise InvalidInputError.of(
        source.name, "the columns", "those of a Sponsored Products report", sorted(keys)[:12]
    )


def _profile(source: Source, known: KnownSource, text: str) -> str:
    """From the option, the mapping, the file name, or the campaigns that are known already."""
    named = FILE_NAME.match(source.path.name)
    told = source.profile or (named and named["profile"])
    if not told:
        campaigns = set(re.findall(r'"campaignId"\s*:\s*"?([A-Za-z0-9_-]+)', text))
        owners = known().owners
        found = {owners[campaign] for campaign in campaigns if campaign in owners}
        told = found.pop() if len(found) == 1 else ""
    if not told:
        raise InvalidInputError.of(
            source.name,
            "the profile",
            "known: Amazon's files do not carry it",
            "",
            "Name the file like spTargeting_<profileId>.json.gz, or give --profile.",
        )
    return told


def _span(source: Source) -> tuple[date, date] | None:
    named = FILE_NAME.match(source.path.name)
    if not named or not named["first"]:
        return None
    return date.fromisoformat(named["first"]), date.fromisoformat(named["last"])


def _unreadable(source: Source, why: str) -> Batch:
    refusal = Refusal(source.name, 0, "", why[:200], "a complete JSON array of objects")
    return replace(source.batch("amazon-v3"), refused=(refusal,))
