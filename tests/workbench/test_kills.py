"""kill -9 in the middle of an import or of a detection run: nothing torn, and the next run heals."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.domains.ads import ADS
from data import alert_feed
from data.alert_feed import Filters
from data.records import Alert, DetectionRun
from tests.server import REPOSITORY, environment
from workbench.context import Context
from workbench.services import detect, incidents, ingest

TENANT = "local"
IMPORTS = ("rows written, not committed", "file committed")
RUNS = ("run begun", "model published", "alerts written, not committed", "run committed")
OpenHome = Callable[..., Context]


@pytest.fixture(scope="module")
def killed(
    tmp_path_factory: pytest.TempPathFactory, imported: Path, world: Path
) -> Iterator[Callable[[str], Path]]:
    """The home that a process left which was killed at a point; all die at the same time."""
    folder = tmp_path_factory.mktemp("killed")
    started: dict[str, subprocess.Popen[bytes]] = {}
    for point in (*IMPORTS, *RUNS):
        home = folder / point
        if point in RUNS:
            shutil.copytree(imported, home)
        started[point] = subprocess.Popen(
            [sys.executable, "-m", "tests.workbench.dying", str(home), point]
            + ([str(world)] if point in IMPORTS else []),
            cwd=REPOSITORY,
            env=environment(home, OMP_NUM_THREADS="1"),
        )

    def home_of(point: str) -> Path:
        assert started[point].wait(120) == -signal.SIGKILL
        return folder / point

    yield home_of
    for process in started.values():
        process.kill()
        process.wait()


# ── Import ───────────────────────────────────────────────────────────────────────────────────────


def contents(context: Context) -> list[tuple[Any, ...]]:
    """Each batch in force with what it brought."""
    return sorted(
        (batch.source, batch.sha256, batch.as_of, batch.rows, batch.new, batch.duplicates)
        for batch in ingest.batches(context, TENANT)
    )


@pytest.mark.parametrize("point", IMPORTS)
def test_a_killed_import_leaves_whole_files_and_the_next_one_completes_it(
    killed: Callable[[str], Path], imported: Path, world: Path, open_home: OpenHome, point: str
) -> None:
    whole = open_home(imported)
    expected = contents(whole)
    panel = whole.metrics.panel(TENANT, ADS)

    context = open_home(killed(point))
    left = contents(context)
    assert len(left) == (6 if point == "file committed" else 5)
    undated = {row[:2] + row[3:] for row in expected}  # profiles.json counts from its import
    assert {row[:2] + row[3:] for row in left} <= undated

    report = ingest.import_paths(context, TENANT, [world])
    assert sum(file.message.startswith("already") for file in report.files) == len(left)
    assert {row[:2] + row[3:] for row in contents(context)} == undated
    again = context.metrics.panel(TENANT, ADS)
    assert again.entities == panel.entities
    np.testing.assert_array_equal(again.values, panel.values)


# ── Detection ────────────────────────────────────────────────────────────────────────────────────


def alerts_of(context: Context) -> list[Alert]:
    found = context.records.read(
        TENANT,
        lambda session: alert_feed.page(
            session, tenant=TENANT, filters=Filters(muted=None), limit=1000
        ),
    )
    return list(found.rows)


def told(context: Context) -> list[tuple[Any, ...]]:
    """What alerts and incidents say, without the numbers of versions."""
    rows = [
        (
            row.entity,
            row.onset,
            row.day,
            row.severity,
            round(row.score, 6),
            row.incident_id,
            row.muted_by,
        )
        for row in alerts_of(context)
    ]
    groups = incidents.page(context, TENANT, limit=100).incidents
    return sorted(rows, key=str) + sorted(
        ((row.root_entity, row.onset, row.severity, row.alerts) for row in groups), key=str
    )


@pytest.fixture
def unkilled(imported: Path, open_home: OpenHome) -> list[tuple[Any, ...]]:
    """What a run says that nobody killed."""
    context = open_home(imported)
    detect.detect(context, TENANT, actor="ana", detector="streaming")
    return told(context)


@pytest.mark.parametrize("point", RUNS)
def test_a_killed_run_leaves_nothing_torn_and_the_next_one_heals(
    killed: Callable[[str], Path], unkilled: list[tuple[Any, ...]], open_home: OpenHome, point: str
) -> None:
    context = open_home(killed(point))
    left = told(context)
    saved = point == "run committed"
    assert left == (unkilled if saved else [])
    assert run_of(context, 1).state == ("done" if saved else "failed"), "told at the restart"

    report = detect.detect(context, TENANT, actor="ana", detector="streaming")
    assert told(context) == unkilled
    assert report.created == (0 if saved else len(report.alerts))
    runs = {number: run_of(context, number) for number in (1, 2)}
    assert runs[2].state == "done"
    assert runs[1].state == ("done" if saved else "failed")
    assert runs[1].error == ("" if saved else "The process ended before the run did.")


def run_of(context: Context, number: int) -> Any:
    return context.records.read(TENANT, lambda session: session.get(DetectionRun, (TENANT, number)))
