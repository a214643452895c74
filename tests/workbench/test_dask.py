"""The same jobs on a real Dask cluster: a scheduler and two worker processes of this machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInputError, StoreError
from models.executors import Dask, Local, Order, executor
from models.processes import started
from tests.workbench.jobs_world import TENANT, settings, submit, use_small_panels
from workbench import runner
from workbench.context import Context, open_context
from workbench.services import job_kinds, jobs

distributed = pytest.importorskip("distributed", reason="pip install 'headwater[dask]'")
# its own shutdown leaves sockets to the collector
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster


@pytest.fixture
def ctx(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    monkeypatch.setitem(job_kinds.KINDS, "train", job_kinds.KINDS["train"])
    use_small_panels()
    chosen = settings(tmp_path / "home", executor="dask", dask_scheduler=cluster.scheduler_address)
    with open_context(chosen) as context:
        yield context


def test_the_same_jobs_run_on_both_workers_of_a_cluster(ctx: Context) -> None:
    found = [submit(ctx) for _ in range(4)]
    with runner.running(ctx):
        views = [jobs.wait(ctx, TENANT, job.id) for job in found]
    assert [view.state for view in views] == ["succeeded"] * 4, views
    assert len({view.result_ref for view in views}) == 4
    began = sorted((view.claimed_at, 1) for view in views)
    ended = sorted((view.finished_at, -1) for view in views)
    at_once = depth = 0
    for _, step in sorted([*began, *ended]):  # type: ignore[type-var]
        depth += step
        at_once = max(at_once, depth)
    assert at_once == 2, "one job for each worker of the cluster"
    alias = ctx.registry.store.alias(TENANT, "ads", "challenger")
    assert alias is not None
    assert ctx.registry.verify(TENANT)[0].ok


def test_a_job_on_the_cluster_can_be_ended_with_its_children(cluster: Any, tmp_path: Path) -> None:
    place = Dask(cluster.scheduler_address)
    assert list(place.slots({"cpu"})) == ["cpu", "cpu"]
    code = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
        "open('pids.part', 'w').write(f'{os.getpid()} {child.pid}')\n"
        "os.rename('pids.part', 'pids')\n"
        "time.sleep(300)\n"
    )
    folder = tmp_path / "job"
    folder.mkdir()
    command = (sys.executable, "-c", f"import os; os.chdir({str(folder)!r})\n{code}")
    run = place.start(Order(command, folder, {}, 1))
    try:
        while not (folder / "pids").exists():
            time.sleep(0.05)
        pids = [int(pid) for pid in (folder / "pids").read_text().split()]
        while run.memory() <= 5 << 20:  # an interpreter that has just begun holds less
            time.sleep(0.05)
        assert run.alive()
        run.stop(1.0)
        assert not run.alive()
        assert [started(pid) for pid in pids] == [None, None]
    finally:
        place.close()


def test_who_chooses_an_executor_is_told_what_it_needs(tmp_path: Path) -> None:
    assert isinstance(executor("local"), Local)
    with pytest.raises(InvalidInputError, match="one of local, dask"):
        executor("ray")
    with pytest.raises(InvalidInputError, match="the scheduler must be an address"):
        executor("dask")
    with pytest.raises(StoreError, match="reachable"):
        executor("dask", scheduler="tcp://127.0.0.1:9")
