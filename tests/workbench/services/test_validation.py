"""The validation of a domain's data: a clean world passes, and each planted fault is found where it was planted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.errors import ConflictError, InvalidInputError, NotEnoughDataError, UnknownNameError
from data.simulate.services import Size, simulate_services
from tests.workbench import small_account
from tests.workbench.services import services_world
from workbench.context import Context
from workbench.services import ingest, validation, validation_page
from workbench.services.validation import Report

SIZE = Size(6, (2, 2), 3, 1, 2, 3)
TIMES = "http_requests_total"


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated systems; never change them, copy them."""
    folder = tmp_path_factory.mktemp("validation") / "world"
    simulate_services(folder, size=SIZE, seed=5)
    return folder


def looked(ctx: Context, systems: Path, tmp_path: Path, breaking: Callable[[Path], None]) -> Report:
    """The report on a copy of the world that was broken."""
    folder = tmp_path / "world"
    shutil.copytree(systems, folder)
    breaking(folder)
    ingest.import_paths(ctx, "acme", [folder], domain="services")
    return validation.validate(ctx, "acme")


def edited(change: Callable[[pd.DataFrame], pd.DataFrame], *metrics: str) -> Callable[[Path], None]:
    """The tables of these metrics changed; of all where none is named."""

    def breaking(folder: Path) -> None:
        for path in sorted((folder / "metrics").glob("*.parquet")):
            if not metrics or path.stem in metrics:
                change(pd.read_parquet(path)).to_parquet(path)

    return breaking


def node(folder: Path) -> str:
    told = pd.read_csv(folder / "nodes.csv")
    return str(told[told.level == "node"].node.iloc[0])


def states(report: Report) -> dict[str, str]:
    return {check.name: check.state for check in report.checks}


def places(report: Report, name: str) -> list[str]:
    (check,) = (check for check in report.checks if check.name == name)
    return [finding.where for finding in check.findings]


def failing(report: Report) -> set[str]:
    return {name for name, state in states(report).items() if state == "fail"}


def test_a_clean_world_passes_and_the_report_is_kept(
    ctx: Context, systems: Path, tmp_path: Path
) -> None:
    assert validation.latest(ctx, "acme") is None
    report = looked(ctx, systems, tmp_path, lambda _: None)
    assert set(states(report).values()) == {"pass", "untested"}
    assert states(report)["labels"] == "untested"
    assert report.passed and report.state == "pass" and report.every == 1
    assert (report.checks[0].figure, len(report.picture.names)) == (1.0, 17)
    assert validation.latest(ctx, "acme") == report
    assert validation.latest(ctx, "other") is None
    assert [row.id for row in validation.history(ctx, "acme")] == [report.id]


def test_a_metric_that_is_missing_is_named(ctx: Context, systems: Path, tmp_path: Path) -> None:
    def drop(folder: Path) -> None:
        (folder / "metrics" / "disk_io_time_ms.parquet").unlink()

    report = looked(ctx, systems, tmp_path, drop)
    assert failing(report) == {"completeness"}
    assert report.checks[0].figure == pytest.approx(16 / 17)
    assert places(report, "completeness") == ["disk_io_time_ms"]
    assert "take off the list" in report.checks[0].cure
    rest = [name for name in validation.expected(ctx, "acme").metrics if name != "disk_io_time_ms"]
    chosen = validation.expect(ctx, "acme", rest, seen=0, actor="ana")
    assert (chosen.version, len(chosen.metrics)) == (1, 16)
    assert validation.validate(ctx, "acme").passed
    with pytest.raises(ConflictError, match="version 1"):
        validation.expect(ctx, "acme", rest, seen=0)


def test_jittered_times_are_no_steady_step(ctx: Context, systems: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(1)

    def jitter(table: pd.DataFrame) -> pd.DataFrame:
        off = pd.to_timedelta(random.integers(-15, 16, len(table)), unit="s")
        return table.assign(time=table.time + off)

    report = looked(ctx, systems, tmp_path, edited(jitter, TIMES))
    assert failing(report) == {"intervals"}
    assert places(report, "intervals") == [TIMES]


def test_holes_are_told_with_their_times_and_series(
    ctx: Context, systems: Path, tmp_path: Path
) -> None:
    def cut(table: pd.DataFrame) -> pd.DataFrame:
        start = table.time.min() + pd.Timedelta("10h")
        return table[(table.time < start) | (table.time >= start + pd.Timedelta("4h"))]

    report = looked(ctx, systems, tmp_path, edited(cut))
    assert failing(report) == {"completeness", "gaps"}
    (check,) = (check for check in report.checks if check.name == "gaps")
    assert "2 Mar 09:59 UTC to 2 Mar 14:00 UTC" in check.findings[0].message
    assert len(check.findings) == 1


def test_a_series_that_stops_before_its_entity_does_is_told(
    ctx: Context, systems: Path, tmp_path: Path
) -> None:
    def stop(table: pd.DataFrame) -> pd.DataFrame:
        mine = table.node == node(systems)
        return table[~mine | (table.time < table.time.min() + pd.Timedelta("20h"))]

    report = looked(ctx, systems, tmp_path, edited(stop, "disk_io_time_ms"))
    assert states(report)["gaps"] == "warn" and report.passed
    assert places(report, "gaps") == [f"disk_io_time_ms of {node(systems)}"]


def test_spikes_are_found_with_the_worst(ctx: Context, systems: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(2)

    def spike(table: pd.DataFrame) -> pd.DataFrame:
        values = table.value.to_numpy(copy=True)
        values[random.choice(len(table), len(table) // 300, replace=False)] *= 80
        return table.assign(value=values)

    report = looked(ctx, systems, tmp_path, edited(spike, "container_memory_usage_bytes"))
    assert failing(report) == {"outliers"}
    assert places(report, "outliers") == ["container_memory_usage_bytes"]


def test_rows_told_twice_are_found_with_their_file(
    ctx: Context, systems: Path, tmp_path: Path
) -> None:
    def double(table: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([table, table.sample(frac=0.03, random_state=3)])

    report = looked(ctx, systems, tmp_path, edited(double, TIMES))
    assert failing(report) == {"duplicates"}
    assert [where.split()[0] for where in places(report, "duplicates")] == [
        f"metrics/{TIMES}.parquet"
    ]


@pytest.mark.parametrize("seconds", [300, -25])
def test_a_nodes_shifted_clock_is_found_with_its_size(
    ctx: Context, systems: Path, tmp_path: Path, seconds: int
) -> None:
    def shift(table: pd.DataFrame) -> pd.DataFrame:
        moved = table.time + pd.Timedelta(seconds, unit="s")
        return table.assign(time=table.time.where(table.node != node(systems), moved))

    report = looked(ctx, systems, tmp_path, edited(shift))
    assert failing(report) == {"clock"}
    (check,) = (check for check in report.checks if check.name == "clock")
    assert (check.figure, places(report, "clock")) == (abs(seconds), [node(systems)])
    assert ("ahead" if seconds > 0 else "behind") in check.findings[0].message


def test_samples_after_now_are_a_clock_ahead_and_make_no_hole(ctx: Context) -> None:
    services_world.load(ctx)
    before = ctx.clock()
    ctx.clock.advance(minutes=-30)  # type: ignore[attr-defined]
    report = validation.validate(ctx, "acme")
    assert ctx.clock() < before
    assert states(report)["clock"] == "fail"
    assert places(report, "clock") == ["pod:cart-1", "service:cart", "service:pay"]


def test_a_page_stands_alone_and_escapes_what_it_shows(
    ctx: Context, systems: Path, tmp_path: Path
) -> None:
    services_world.load(ctx)
    validation.expect(ctx, "acme", ["<script>alert(1)</script>", "up"], seen=0)
    told = validation_page.page(validation.validate(ctx, "acme"))
    assert "<script" not in told and "&lt;script&gt;" in told
    assert "http://" not in told and "https://" not in told and "src=" not in told
    assert "Not good enough to learn from yet." in told and "▲ Fails" in told


def test_what_cannot_be_asked_is_refused_by_name(ctx: Context) -> None:
    with pytest.raises(NotEnoughDataError, match="at least one"):
        validation.validate(ctx, "acme")
    with pytest.raises(UnknownNameError, match="ads, services"):
        validation.validate(ctx, "acme", domain="warp")
    with pytest.raises(InvalidInputError, match="1 to 90"):
        validation.validate(ctx, "acme", days=0)
    with pytest.raises(InvalidInputError, match="by the minute"):
        validation.expect(ctx, "acme", ["clicks"], domain="ads", seen=0)
    with pytest.raises(InvalidInputError, match="none of them empty"):
        validation.expect(ctx, "acme", ["up", " "], seen=0)


def test_daily_reports_are_asked_for_what_applies_to_them(tmp_path: Path) -> None:
    with small_account.opened(tmp_path) as account:
        report = validation.validate(account, small_account.TENANT, domain="ads")
    told = states(report)
    assert told.pop("completeness") == "fail"
    assert set(told.values()) == {"untested"}
    assert places(report, "completeness") == ["spTargeting"]
    assert "Reports come by day" in report.checks[1].message
