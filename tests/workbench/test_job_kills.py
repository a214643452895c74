"""SIGKILL of worker, server or both, before any step of the protocol: every job takes effect once, none is stuck."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.server import REPOSITORY, environment


def under_fire(home: Path, kills: int, seed: int, patience: float) -> dict[str, Any]:
    """What `jobs_under_fire` found after so many kills."""
    home.mkdir()
    command = [sys.executable, "-m", "tests.workbench.jobs_under_fire", str(home)]
    ended = subprocess.run(
        [*command, str(kills), str(seed)],
        cwd=REPOSITORY,
        env=environment(home, OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def check(found: dict[str, Any], kills: int) -> None:
    assert found["kills"] == kills
    jobs = found["handed in"]
    assert found["jobs"] == jobs, "a job handed in twice under one key is one job"
    assert found["not succeeded"] == []
    assert found["versions"] == found["versions of jobs"] == jobs, "one version for each job"
    assert found["finished twice"] == []
    assert found["aliases moved"] == jobs
    assert found["aliases moved twice"] == 0
    assert found["orphans"] == []
    assert found["chain broken at"] is None
    assert found["unsound"] == []


def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    check(under_fire(tmp_path / "home", 20, 7, 280), 20)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(4))
def test_a_thousand_kills_change_nothing(tmp_path: Path, seed: int) -> None:
    check(under_fire(tmp_path / "home", 250, 1_000 + seed, 3500), 250)
