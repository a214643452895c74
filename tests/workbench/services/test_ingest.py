"""Imports as people meet them: file by file, tried first, taken back."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.domains import DOMAINS
from core.errors import CancelledError, ConflictError, InvalidInputError, UnknownNameError
from data.ingest import measurements
from workbench.context import Context, open_context
from workbench.plain import plain
from workbench.services import audit, ingest
from workbench.settings import Settings

PROFILES = [
    {
        "profileId": 3100000001,
        "countryCode": "US",
        "currencyCode": "USD",
        "timezone": "America/Los_Angeles",
        "accountInfo": {"type": "seller", "id": "A1", "name": "Shop"},
    }
]


def campaign(number: int, day: str, clicks: int = 10, **others: Any) -> dict[str, Any]:
    """One row of a v3 spCampaigns report."""
    return {
        "date": day,
        "campaignId": number,
        "campaignName": f"Campaign {number}",
        "campaignStatus": "ENABLED",
        "campaignBudgetAmount": 50.0,
        "campaignBudgetCurrencyCode": "USD",
        "impressions": 1000,
        "clicks": clicks,
        "cost": 12.5,
        "purchases7d": 1,
        "unitsSoldClicks7d": 1,
        "sales7d": 30.0,
    } | others


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two mornings of reports of three campaigns; the second restates the first's day."""
    world = tmp_path / "reports"
    for morning, days in {
        "2026-03-03": ["2026-03-02"],
        "2026-03-04": ["2026-03-02", "2026-03-03"],
    }.items():
        rows = [campaign(500 + number, day) for day in days for number in range(3)]
        write(world / morning / "spCampaigns_3100000001.json.gz", rows)
    (world / "profiles.json").write_text(json.dumps(PROFILES))
    return world


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(rows).encode()))
    return path


def test_a_folder_loads_file_by_file_oldest_download_first(ctx: Context, folder: Path) -> None:
    seen: list[tuple[str, float]] = []
    report = ingest.import_paths(
        ctx, "acme", [folder], on_step=lambda stage, share, _: seen.append((stage, share))
    )
    assert [file.file for file in report.files] == [
        "profiles.json",
        "2026-03-03/spCampaigns_3100000001.json.gz",
        "2026-03-04/spCampaigns_3100000001.json.gz",
    ]
    assert [file.batch for file in report.files] == [1, 2, 3]
    assert [file.new for file in report.files[1:]] == [3, 6]
    assert (report.new, report.refused, report.failed) == (9, 0, 0)
    assert report.files[1].as_of == datetime(2026, 3, 3, 12, tzinfo=UTC)
    assert str(report) == "3 files, 9 new rows stored, 0 refused"
    assert seen[-1] == ("2026-03-04/spCampaigns_3100000001.json.gz", 1.0)
    assert plain(report)["files"][2]["as_of"] == "2026-03-04T12:00:00+00:00"
    (event,) = audit.history(ctx, "acme")
    assert (event.actor, event.verb, event.object_id) == ("ana", "import", "2-3")


def test_the_same_bytes_again_change_nothing(ctx: Context, folder: Path) -> None:
    ingest.import_paths(ctx, "acme", [folder])
    again = ingest.import_paths(ctx, "acme", [folder])
    assert again.new == 0
    assert again.files[2].message == "already loaded as batch 3, 0 new rows"
    assert len(ingest.batches(ctx, "acme")) == 3
    assert len(audit.history(ctx, "acme")) == 1
    assert ingest.batches(ctx, "rival") == []


def test_a_dry_run_says_what_would_happen_and_leaves_nothing(ctx: Context, folder: Path) -> None:
    tried = ingest.import_paths(ctx, "acme", [folder], dry_run=True)
    assert (tried.new, tried.refused, tried.dry_run) == (9, 0, True)
    assert str(tried) == "3 files, 9 new rows would be stored, 0 refused"
    assert {file.batch for file in tried.files} == {None}
    assert not any("batch" in file.message for file in tried.files)
    assert ingest.batches(ctx, "acme") == []
    assert audit.history(ctx, "acme") == []
    ingest.import_paths(ctx, "acme", [folder])
    again = ingest.import_paths(ctx, "acme", [folder], dry_run=True)
    assert again.new == 0
    assert again.files[1].message == "already loaded as batch 2, 0 new rows"


def test_refused_cells_are_listed_and_the_rest_loads(ctx: Context, tmp_path: Path) -> None:
    rows = [
        campaign(501, "2026-03-02"),
        campaign(502, "2026-03-02", clicks=-4),
        campaign(503, "not a day"),
        campaign(504, "2026-03-02"),
    ]
    path = write(tmp_path / "2026-03-03" / "spCampaigns_3100000001.json.gz", rows)
    report = ingest.import_paths(ctx, "acme", [path])
    assert (report.new, report.refused) == (2, 2)
    found = {(row.line, row.column, row.value) for row in report.quarantine}
    assert found == {(2, "clicks", "-4"), (3, "date", "not a day")}
    (batch,) = ingest.batches(ctx, "acme")
    kept = ingest.quarantine(ctx, "acme", batch.id)
    assert [(row.file, row.line) for row in kept] == [(path.name, 2), (path.name, 3)]
    assert "not negative" in kept[0].rule


def test_a_file_that_nobody_can_read_is_told_and_can_come_back(
    ctx: Context, tmp_path: Path
) -> None:
    path = write(tmp_path / "spCampaigns.json.gz", [campaign(501, "2026-03-02")])
    report = ingest.import_paths(ctx, "acme", [path])
    assert (report.failed, report.new, report.files[0].batch) == (1, 0, None)
    assert "profile" in report.files[0].message
    assert ingest.batches(ctx, "acme") == []
    told = ingest.import_paths(ctx, "acme", [path], profile="3100000001")
    assert (told.failed, told.new) == (0, 1)


def test_a_table_loads_by_its_mapping(ctx: Context, tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("what,when,money\nc1,2026-03-01,5.5\nc1,2026-03-02,6\n")
    mapping = {
        "entity": "what",
        "level": "campaign",
        "time": "when",
        "metrics": {"money": "cost"},
        "profile": "3100000001",
    }
    (tmp_path / "mapping.json").write_text(json.dumps(mapping))
    files = [tmp_path / "own.csv"]
    report = ingest.import_paths(ctx, "acme", files, mapping=tmp_path / "mapping.json")
    assert (report.new, report.failed) == (2, 0)
    assert ingest.import_paths(ctx, "acme", files, mapping=mapping).new == 0
    (tmp_path / "mapping.json").write_text("[1]")
    with pytest.raises(InvalidInputError, match="one JSON object"):
        ingest.import_paths(ctx, "acme", files, mapping=tmp_path / "mapping.json")
    with pytest.raises(InvalidInputError, match="a readable JSON file"):
        ingest.import_paths(ctx, "acme", files, mapping=tmp_path / "absent.json")


def test_a_batch_is_taken_back_once_and_its_bytes_may_come_again(
    ctx: Context, folder: Path
) -> None:
    ingest.import_paths(ctx, "acme", [folder])
    assert ingest.undo_batch(ctx, "acme", 3, actor="bob") == {"batch": 3, "removed": 6}
    assert [batch.state for batch in ingest.batches(ctx, "acme")] == ["undone", "loaded", "loaded"]
    event = audit.history(ctx, "acme", kind="batch", number=3)[0]
    assert (event.actor, event.verb, event.after) == ("bob", "undo batch", {"removed": 6})
    with pytest.raises(ConflictError):
        ingest.undo_batch(ctx, "acme", 3)
    assert ingest.import_paths(ctx, "acme", [folder]).new == 6


def test_coverage_tells_what_came_when(ctx: Context, folder: Path) -> None:
    ingest.import_paths(ctx, "acme", [folder])
    days = {str(row.day): row for row in ingest.coverage(ctx, "acme")}
    assert list(days) == ["2026-03-02", "2026-03-03"]
    assert {row.state for row in days.values()} == {"delivered"}
    assert {row.profile for row in days.values()} == {"3100000001"}


def test_a_stop_keeps_what_is_loaded(ctx: Context, folder: Path) -> None:
    with pytest.raises(CancelledError, match="after 2 files"):
        ingest.import_paths(ctx, "acme", [folder], on_step=lambda _, share, __: share < 0.5)
    assert len(ingest.batches(ctx, "acme")) == 2


def test_what_cannot_be_imported(ctx: Context, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="the domain"):
        ingest.import_paths(ctx, "acme", [tmp_path], domain="radio")
    with pytest.raises(InvalidInputError, match="existing file or folder"):
        ingest.import_paths(ctx, "acme", [tmp_path / "absent"])


@pytest.fixture
def systems(tmp_path: Path) -> Path:
    """Two minutes of a service and its pod, with nodes, edges, a deploy and an incident."""
    world = tmp_path / "systems"
    world.mkdir()
    lines = [
        f"2026-03-04T12:0{minute}:00Z,cart-1,container_memory_usage_bytes,{1e8 + minute}"
        for minute in range(2)
    ]
    (world / "minutes.csv").write_text("time,node,metric,value\n" + "\n".join(lines) + "\n")
    (world / "nodes.csv").write_text("node,level,parent\ncart-1,pod,cart\ncart,service,\n")
    (world / "edges.csv").write_text("source,target\nservice:db,service:cart\n")
    (world / "events.csv").write_text(
        "at,kind,entity,title\n2026-03-04T12:00:00Z,deploy,service:cart,Cart 2\n"
    )
    (world / "incidents.csv").write_text(
        "id,title,severity,started_at,services\ni1,Cart is slow,high,2026-03-04T12:01:00Z,cart\n"
        "i2,,high,2026-03-04T12:01:00Z,cart\n"
    )
    return world


def test_a_folder_of_running_systems_comes_in_whole_and_only_once(
    ctx: Context, systems: Path
) -> None:
    tried = ingest.import_paths(ctx, "acme", [systems], domain="services", dry_run=True)
    assert (tried.new, tried.refused, tried.failed) == (7, 1, 0)
    assert ingest.batches(ctx, "acme") == []
    report = ingest.import_paths(ctx, "acme", [systems], domain="services")
    assert {file.file: (file.format, file.new, file.refused) for file in report.files} == {
        "nodes.csv": ("nodes", 2, 0),
        "edges.csv": ("edges", 1, 0),
        "minutes.csv": ("long", 2, 0),
        "events.csv": ("events", 1, 0),
        "incidents.csv": ("incidents", 1, 1),
    }
    domain = DOMAINS["services"]
    span = ctx.metrics.samples.span("acme", domain)
    assert span == tuple(datetime(2026, 3, 4, 12, minute, tzinfo=UTC) for minute in range(2))
    assert set(ctx.metrics.samples.graph("acme", domain).net.edges) == {
        ("pod:cart-1", "service:cart"),
        ("service:db", "service:cart"),
    }
    again = ingest.import_paths(ctx, "acme", [systems], domain="services")
    assert again.new == 0
    assert ingest.undo_batch(ctx, "acme", 3) == {"batch": 3, "removed": 2}
    assert ctx.metrics.samples.span("acme", domain) is None


def test_a_file_of_records_that_cannot_be_read_stops_no_other(ctx: Context, systems: Path) -> None:
    (systems / "incidents.csv").write_text("who,what\na,b\n")
    report = ingest.import_paths(ctx, "acme", [systems], domain="services")
    assert (report.failed, report.new) == (1, 6)
    assert "incidents.csv" in report.quarantine[0].file


@pytest.fixture
def long_file(tmp_path: Path) -> Path:
    """Six services, four minutes each; as a file of many pieces where a piece holds eight samples."""
    lines = [
        f"2026-03-04T12:0{minute}:00Z,s{service},latency,{minute}"
        for minute in range(4)
        for service in range(6)
    ]
    path = tmp_path / "long.csv"
    path.write_text("time,node,metric,value\n" + "\n".join(lines) + "\n")
    return path


def test_a_stop_within_a_long_file_takes_back_what_came_of_it(
    ctx: Context, long_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurements, "PIECE", 8)
    told: list[tuple[float, float]] = []

    def on_step(file: str, share: float, numbers: Mapping[str, float]) -> bool:
        told.append((share, numbers["rows of this file"]))
        return len(told) < 2

    with pytest.raises(CancelledError, match="a stop after 16 rows of long"):
        ingest.import_paths(ctx, "acme", [long_file], domain="services", on_step=on_step)
    assert told == [(8 / 24, 8), (16 / 24, 16)]
    assert ctx.metrics.samples.span("acme", DOMAINS["services"]) is None
    assert ingest.batches(ctx, "acme") == []
    assert ingest.import_paths(ctx, "acme", [long_file], domain="services").new == 24


DYING = """
import os, signal, sys
from pathlib import Path
from data.ingest import measurements
from workbench.context import open_context
from workbench.services import ingest
from workbench.settings import Settings

measurements.PIECE = 8
def die(file, share, numbers):
    if numbers.get("rows of this file") == 16:
        os.kill(os.getpid(), signal.SIGKILL)
with open_context(Settings(home=Path(sys.argv[1]), user="ana", tenant="acme")) as ctx:
    ingest.import_paths(ctx, "acme", [Path(sys.argv[2])], domain="services", on_step=die)
"""


def test_a_kill_within_a_long_file_leaves_nothing_of_it_and_it_can_come_again(
    settings: Settings, long_file: Path
) -> None:
    command = [sys.executable, "-c", DYING, str(settings.home), str(long_file)]
    died = subprocess.run(command, cwd=Path(__file__).parents[3], check=False)
    assert died.returncode == -signal.SIGKILL
    with open_context(settings) as ctx:
        assert ctx.metrics.samples.span("acme", DOMAINS["services"]) is None
        report = ingest.import_paths(ctx, "acme", [long_file], domain="services")
        assert (report.new, report.files[0].batch) == (24, 1)
        (info,) = ctx.metrics.samples.metrics("acme", DOMAINS["services"])
        assert (info.samples, info.entities) == (24, 6)
