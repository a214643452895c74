"""How long it takes to import one large v3 report, and to read panels back."""

from __future__ import annotations

import tempfile
import time
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from core.contracts import OnStep
from core.domains.ads import ADS
from core.errors import StoreError
from data.ingest import read
from data.ingest.batch import ENTITIES, Batch, observations_schema
from data.metrics import MetricStore

DAYS = 30
PROFILE = "8260229030263219"
AS_OF = date(2026, 1, 31)
# 36 columns, 870 bytes a row: what a user ticks for spTargeting, with figures that do not repeat.
REPORT = """
COPY (
    SELECT strftime(DATE '2026-01-01' + CAST(i % {days} AS INTEGER), '%Y-%m-%d') AS date,
        300000000000000 + k // 1000 AS portfolioId,
        400000000000000 + k // 100 AS campaignId, 'SP | Campaign ' || (k // 100) AS campaignName,
        'ENABLED' AS campaignStatus, 50.0 AS campaignBudgetAmount,
        'DAILY_BUDGET' AS campaignBudgetType, 'USD' AS campaignBudgetCurrencyCode,
        500000000000000 + k // 10 AS adGroupId, 'Ad group ' || (k // 10) AS adGroupName,
        600000000000000 + k AS keywordId, 'keyword ' || k AS keyword, 'BROAD' AS keywordType,
        'BROAD' AS matchType, 'keyword ' || k AS targeting, 0.75 AS keywordBid,
        'ENABLED' AS adKeywordStatus, round(h % 997 / 997.0, 4) AS topOfSearchImpressionShare,
        1 + h % 5000 AS impressions, h % 31 AS clicks, round((h % 31) * 0.61, 2) AS cost,
        CASE WHEN h % 31 > 0 THEN 0.61 END AS costPerClick,
        round((h % 31) / (1 + h % 5000), 4) AS clickThroughRate,
        h % 2 AS purchases1d, h % 3 AS purchases7d, h % 4 AS purchases14d, h % 4 AS purchases30d,
        round((h % 2) * 19.99, 2) AS sales1d, round((h % 3) * 19.99, 2) AS sales7d,
        round((h % 4) * 19.99, 2) AS sales14d, round((h % 4) * 19.99, 2) AS sales30d,
        h % 2 AS unitsSoldClicks1d, h % 3 AS unitsSoldClicks7d, h % 4 AS unitsSoldClicks14d,
        h % 4 AS unitsSoldClicks30d
    FROM (SELECT i, i // {days} AS k, hash(i) % 100000 AS h FROM range({rows}) t(i)) ORDER BY i
) TO '{file}' (FORMAT json, ARRAY true, COMPRESSION gzip)
"""


def run(on_step: OnStep) -> list[dict[str, Any]]:
    """One million rows imported, beside the plain way with pandas on the same file; then panels read back."""
    rows = 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        on_step("writing the report", 0.0, {})
        file = report(Path(folder), rows)
        on_step("importing", 0.3, {})
        ours = import_bench(file, rows)
        on_step("the plain way", 0.5, {})
        plain = _pandas_bench(file)
    on_step("panels", 0.9, {})
    panels = [panel_bench(1_200, 75, 14), panel_bench(12_000, 90, 1)]
    ours["times_faster_than_pandas"] = round(
        plain["seconds"]["total"] / ours["seconds"]["total"], 2
    )
    return [ours, plain, *panels]


def report(folder: Path, rows: int) -> Path:
    """A spTargeting report of `rows` rows as Amazon packs it."""
    file = folder / f"spTargeting_{PROFILE}.json.gz"
    with duckdb.connect(":memory:") as connection:
        connection.execute(REPORT.format(rows=rows, days=DAYS, file=file))
    return file


def import_bench(file: Path, rows: int) -> dict[str, Any]:
    """Seconds to read and load `rows` rows of spTargeting from a .json.gz into an empty store on disk."""
    with tempfile.TemporaryDirectory() as folder:
        store = MetricStore(Path(folder) / "metrics.duckdb")
        cpu = time.process_time()
        start = time.perf_counter()
        batch = read(file, domain=ADS, as_of=AS_OF)
        middle = time.perf_counter()
        loaded = store.load("bench", ADS, batch)
        end = time.perf_counter()
        cpu = time.process_time() - cpu
        store.close()
    if loaded.new != rows:
        raise StoreError.of("bench", "the rows loaded", f"all {rows:,}", loaded.new)
    return {
        "what": "import of one v3 report",
        "rows": loaded.new,
        "megabytes_packed": round(file.stat().st_size / 1e6, 1),
        "seconds": {
            "read": round(middle - start, 2),
            "load": round(end - middle, 2),
            "total": round(end - start, 2),
            "cpu": round(cpu, 2),
        },
        "rows_per_second": round(rows / (end - start)),
    }


def _pandas_bench(file: Path) -> dict[str, Any]:
    """The plain way: pandas reads the file, DuckDB takes the frame; no checks, no history, no hierarchy."""
    with (
        tempfile.TemporaryDirectory() as folder,
        duckdb.connect(f"{folder}/plain.duckdb") as connection,
    ):
        cpu = time.process_time()
        start = time.perf_counter()
        frame = pd.read_json(file, dtype={"keywordId": str, "campaignId": str, "adGroupId": str})
        connection.register("frame", frame)
        connection.execute("CREATE TABLE report AS SELECT * FROM frame")
        end = time.perf_counter()
        cpu = time.process_time() - cpu
    return {
        "what": "the same file through pandas.read_json into a table",
        "rows": len(frame),
        "seconds": {"total": round(end - start, 2), "cpu": round(cpu, 2)},
    }


def panel_bench(entities: int, days: int, restatements: int) -> dict[str, Any]:
    """Seconds to read the newest panel of `entities` × `days` that was reported `restatements` times."""
    store = MetricStore(":memory:")
    for again in range(restatements):
        store.load("bench", ADS, _restated(entities, days, again))
    store.panel("bench", ADS)
    start = time.perf_counter()
    panel = store.panel("bench", ADS)
    seconds = time.perf_counter() - start
    store.close()
    return {
        "what": "panel read with roll-up",
        "entities": len(panel.entities),
        "days": len(panel.periods),
        "rows": entities * days * restatements,
        "seconds": round(seconds, 3),
    }


def _restated(entities: int, days: int, again: int) -> Batch:
    first = date(2026, 1, 1)
    as_of = datetime.combine(first + timedelta(days=days + again), datetime.min.time())
    metrics = tuple(metric.name for metric in ADS.metrics)
    figures = "".join(f", (i * 7 + {again}) % 97 * 1.0 AS {name}" for name in metrics)
    with duckdb.connect(":memory:") as connection:
        named = connection.sql(
            "SELECT 'profile:1' AS id, 'profile' AS level, 'profile:1' AS owner UNION ALL "
            f"SELECT 'keyword:' || k, 'keyword', 'profile:1' FROM range({entities}) t(k)"
        ).to_arrow_table()
        rows = connection.sql(
            f"SELECT (1 + i // {days})::INTEGER AS entity, i AS row,"
            f" DATE '{first}' + (i % {days})::INTEGER AS day{figures} FROM range({entities * days}) t(i)"
        ).to_arrow_table()
    for name in ENTITIES.names[3:]:
        named = named.append_column(name, [[None] * named.num_rows])
    schema = observations_schema(metrics)
    return Batch(
        file="bench",
        sha256=str(again),
        size=0,
        format="bench",
        as_of=as_of,
        report="keywords",
        rows=rows.num_rows,
        entities=named.cast(ENTITIES),
        observations=rows.select(schema.names).cast(schema),
    )
