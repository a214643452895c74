"""Run by a test: publish again and again, die at the n-th disk step for every n, and look what is left."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from core.contracts import Panel, Periods
from data.record_store import Records
from data.version_store import Versions
from models.registry import Registry
from models.signing import Keys
from models.train import publish, train

HOME = Path(sys.argv[1])
FUTURE = datetime(2100, 1, 1, tzinfo=UTC)  # for the sweep, which spares what is young


def panel() -> Panel:
    days = np.datetime64("2026-01-01", "s") + np.arange(20) * np.timedelta64(86400, "s")
    values = np.random.default_rng(1).standard_normal((5, 20, 2))
    return Panel(values, tuple("abcde"), ("x", "y"), Periods(days, np.timedelta64(1, "D")))


def registry(records: Records) -> Registry:
    return Registry(HOME / "registry", Versions(records), Keys(HOME / "keys"), lambda: FUTURE)


def publish_and_die_at(step: int) -> None:
    """Publish once in a child that ends, as by kill -9, before its `step`-th fsync or rename."""
    left = step

    def counted(real: Any) -> Any:
        def call(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os._exit(9)
            return real(*arguments)

        return call

    os.fsync, os.rename = counted(os.fsync), counted(os.rename)
    with Records(f"sqlite:///{HOME}/records.db") as records:
        trained = train(panel(), name="robust-z", held_out=0.0)
        publish(registry(records), "acme", "ads", trained, panel(), actor="ana")
    os._exit(0)


def left_behind() -> dict[str, Any]:
    """After the sweep of a start: versions in the records, on the disk, and how many of them load."""
    with Records(f"sqlite:///{HOME}/records.db") as records:
        store = registry(records)
        swept = store.sweep()
        rows = [row.id for row in store.store.versions("acme")]
        for number in rows:
            store.load("acme", number)
    folders = [path.name for path in store.root.glob("[a-z]*/*")]
    temporary = [path.name for path in store.root.glob(".tmp-*")]
    return {"rows": sorted(rows), "folders": sorted(folders), "tmp": temporary, "swept": len(swept)}


def main() -> None:
    Records(f"sqlite:///{HOME}/records.db").close()
    Keys(HOME / "keys").signer()
    steps, swept = 0, 0
    while True:
        steps += 1
        child = os.fork()
        if child == 0:
            publish_and_die_at(steps)
        died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        found = left_behind()
        swept += found.pop("swept")
        consistent = found["rows"] == found["folders"] and not found["tmp"]
        if not died or not consistent:
            break
    answer = {"steps": steps, "swept": swept, "consistent": consistent, "rows": len(found["rows"])}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
