"""Run by a test: `jobs_under_fire.py HOME KILLS SEED` trains until so often killed, and says what came of it.

For each job a victim is drawn: the server, its worker, or both; and the step before which SIGKILL comes: a write to
the records, an fsync, a rename, or any moment. Then a new server takes over. Servers and workers are forked from
processes that have imported everything, so that a kill costs no start of Python.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from data import audit_store, job_store
from data.record_store import Records
from tests.workbench import forge, jobs_world
from tests.workbench.jobs_world import TENANT
from workbench import runner, worker
from workbench.context import Context, open_context
from workbench.services import jobs

HOME = Path(sys.argv[1])
PLAN, DOOR = HOME / "dies-at", HOME / "forge"
PATIENCE = 30.0
STEPS = {"server": 26, "worker": 20}
"""About as many steps as an undisturbed job takes."""


def quicken() -> None:
    """The protocol in small: what takes seconds takes a fraction of one."""
    runner.LOOK = runner.TICK = 0.02
    runner.RETRY = timedelta(seconds=0.05)
    runner.BEAT = worker.BEAT = 0.2  # type: ignore[attr-defined]
    worker.NEWS, worker.SILENCE = 0.05, 3.0
    job_store.LEASE = timedelta(seconds=5)
    jobs.LOOK = 0.02
    runner.executor = lambda *_, **__: forge.Forged(DOOR)  # type: ignore[assignment]
    jobs_world.use_small_panels()


def die_at(step: int) -> None:
    """Let this process be killed before its `step`-th step; 0 = never."""
    left = step
    door = threading.Lock()

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            with door:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return call

    if step:
        os.fsync, os.rename = counted(os.fsync), counted(os.rename)
        Path.rename = counted(Path.rename)  # type: ignore[method-assign]
        Records.write = counted(Records.write)  # type: ignore[method-assign]


# ── Processes ────────────────────────────────────────────────────────────────────────────────────


def as_planned() -> None:
    """The next worker dies at the step that `PLAN` names, the others live."""
    with suppress(FileNotFoundError):
        step = int(PLAN.read_text())
        PLAN.unlink()
        die_at(step)


def forked(target: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            target()
        finally:
            os._exit(0)
    return pid


def serve(step: int, key: str) -> None:
    """Hand in a job, or find it again by its key, and run it to its end."""
    die_at(step)
    with opened() as context, runner.running(context):
        job_id = jobs_world.submit(context, idem_key=key).id
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            view = jobs.get(context, TENANT, job_id)
            if view.state in ("succeeded", "failed", "cancelled"):
                return
            if view.state == "lost":
                jobs.resume(context, TENANT, job_id, actor="ana")
            time.sleep(0.02)


def opened() -> Context:
    return open_context(jobs_world.settings(HOME))


# ── One kill ─────────────────────────────────────────────────────────────────────────────────────


def one(dice: random.Random) -> dict[str, Any]:
    """Hand in, kill, take over; who was killed, at which step, and whether it came to it."""
    key = f"{dice.getrandbits(64):x}"
    victim = dice.choice(("server", "worker", "both", "moment"))
    steps = {who: dice.randint(1, STEPS[who]) for who in STEPS}
    if victim in ("worker", "both"):
        PLAN.write_text(str(steps["worker"]))
    server = forked(partial(serve, steps["server"] if victim in ("server", "both") else 0, key))
    if victim == "moment":
        time.sleep(dice.uniform(0.0, 0.8))
        with suppress(ProcessLookupError):
            os.kill(server, signal.SIGKILL)
        if dice.random() < 0.5:
            for pid in workers():
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
    died = os.waitstatus_to_exitcode(os.waitpid(server, 0)[1]) == -signal.SIGKILL
    if died:
        os.waitpid(forked(partial(serve, 0, key)), 0)
    hit = victim == "worker" and not PLAN.exists()
    PLAN.unlink(missing_ok=True)
    return {"victim": victim, "steps": steps, "killed": died or hit}


def workers() -> list[int]:
    """Workers that live."""
    return [group.pid for group in forge.living(HOME)]


def findings(killed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is left: states, effects by job, processes, the audit chain, and whether every version is sound."""
    deadline = time.monotonic() + 10
    while workers() and time.monotonic() < deadline:
        time.sleep(0.1)
    with opened() as context:
        every = partial(job_store.listing, tenant=TENANT, limit=1_000_000)
        rows = context.records.read(TENANT, every)
        events = context.records.read(
            TENANT, partial(audit_store.history, tenant=TENANT, limit=1_000_000)
        )
        finished: dict[str, int] = {}
        for event in events:
            if event.verb == "finish" and (event.after or {}).get("state") == "succeeded":
                finished[event.object_id] = finished.get(event.object_id, 0) + 1
        moved = [event.after["version_id"] for event in events if event.object_kind == "alias"]
        versions = [row.id for row in context.registry.store.versions(TENANT)]
        return {
            "handed in": len(killed),
            "kills": sum(kill["killed"] for kill in killed),
            "not succeeded": [
                (row.id, row.state, row.error_text) for row in rows if row.state != "succeeded"
            ],
            "jobs": len(rows),
            "versions": len(versions),
            "versions of jobs": len({row.result_ref for row in rows} & set(versions)),
            "finished twice": [job for job, count in finished.items() if count > 1],
            "aliases moved": len(moved),
            "aliases moved twice": len(moved) - len(set(moved)),
            "orphans": workers(),
            "chain broken at": context.records.read(
                TENANT, lambda session: audit_store.verify(session, tenant=TENANT)
            ),
            "unsound": [
                verdict.version
                for verdict in context.registry.verify(TENANT)
                if not verdict.ok and verdict.version in versions
            ],
            "retried": sum(event.verb == "retry" for event in events),
            "lost": sum((event.after or {}).get("state") == "lost" for event in events),
            "at": f"{datetime.now(UTC):%FT%TZ}",
        }


def main() -> None:
    forge.get_ready()
    quicken()
    opened().close()
    smith = forked(partial(forge.serve, DOOR, as_planned))
    while not DOOR.exists():
        time.sleep(0.01)
    try:
        dice = random.Random(int(sys.argv[3]))
        killed: list[dict[str, Any]] = []
        while sum(kill["killed"] for kill in killed) < int(sys.argv[2]):
            killed.append(one(dice))
        print(json.dumps(findings(killed)))
    finally:
        os.kill(smith, signal.SIGKILL)


if __name__ == "__main__":
    main()
