"""Small report files and batches for the import and store tests."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.ingest.batch import EDGES, ENTITIES, Batch, observations_schema

PROFILE = "8260229030263219"
KEYWORD_ROW: Mapping[str, Any] = {
    "date": "2026-03-01",
    "portfolioId": 863237656699770,
    "campaignId": 40315262697531497,
    "campaignName": "Knives",
    "campaignStatus": "ENABLED",
    "campaignBudgetAmount": 50.0,
    "campaignBudgetCurrencyCode": "USD",
    "adGroupId": 50315262697531497,
    "adGroupName": "Chef",
    "keywordId": 60315262697531497,
    "keyword": "chef knife",
    "keywordType": "BROAD",
    "matchType": "BROAD",
    "keywordBid": 0.75,
    "adKeywordStatus": "ENABLED",
    "impressions": 200,
    "clicks": 10,
    "cost": 6.1,
    "purchases7d": 1,
    "unitsSoldClicks7d": 1,
    "sales7d": 19.99,
    "purchases14d": 2,
    "sales14d": 39.98,
}
CAMPAIGN_ROW: Mapping[str, Any] = {
    name: KEYWORD_ROW[name]
    for name in (
        "date",
        "campaignId",
        "campaignName",
        "campaignStatus",
        "campaignBudgetAmount",
        "impressions",
        "clicks",
        "cost",
        "purchases7d",
        "sales7d",
    )
}


def keyword_row(**changes: Any) -> dict[str, Any]:
    """A row of spTargeting."""
    return {**KEYWORD_ROW, **changes}


def campaign_row(**changes: Any) -> dict[str, Any]:
    """A row of spCampaigns."""
    return {**CAMPAIGN_ROW, **changes}


def write_v3(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A v3 file as Amazon packs it, or plain where the name does not end in .gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(list(rows)).encode()
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    return path


def campaigns_batch(
    cells: Sequence[tuple[str, date, Mapping[str, float | None]]],
    as_of: datetime,
    *,
    portfolios: Mapping[str, str] | None = None,
    span: tuple[date, date] | None = None,
) -> Batch:
    """Campaign rows (name, day, figures) of one profile as a batch."""
    portfolios = portfolios or {}
    names = sorted({name for name, _, _ in cells} | portfolios.keys())
    above = sorted(set(portfolios.values()))
    ids = ["profile:1", *(f"portfolio:{name}" for name in above), *(f"campaign:{n}" for n in names)]
    place = {entity: row for row, entity in enumerate(ids)}
    entities = [
        {"id": e, "level": e.partition(":")[0], "owner": "profile:1", "name": e.partition(":")[2]}
        for e in ids
    ]
    edges = [
        {"child": place[f"campaign:{name}"], "slot": "portfolio", "parent": place[f"portfolio:{p}"]}
        for name, p in portfolios.items()
    ]
    columns = tuple(sorted({metric for _, _, figures in cells for metric in figures}))
    observations = [
        {"entity": place[f"campaign:{name}"], "day": day, "row": row, **figures}
        for row, (name, day, figures) in enumerate(cells, start=1)
    ]
    return Batch(
        file="cells",
        sha256=hashlib.sha256(repr((cells, as_of, portfolios)).encode()).hexdigest(),
        size=0,
        format="test",
        as_of=as_of,
        report="campaigns",
        rows=len(cells),
        span=span,
        entities=pa.Table.from_pylist(entities, schema=ENTITIES),
        edges=pa.Table.from_pylist(edges, schema=EDGES),
        observations=pa.Table.from_pylist(observations, schema=observations_schema(columns)),
    )
