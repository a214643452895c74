"""Run by a test: `dying.py HOME POINT [WORLD]` imports or detects, and is killed at the named point."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data import batches, run_store
from data.metrics import MetricStore
from models import train
from workbench.context import open_context
from workbench.services import detect, ingest
from workbench.settings import Settings

HOME, POINT = Path(sys.argv[1]), sys.argv[2]
FILE = 6
"""The file of an import at which it dies."""


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(number: int, real: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    """`real`, but its `number`-th call is the last thing that happens, done or not."""
    calls = 0

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number and not after:
            die()
        found = real(*arguments, **options)
        if calls == number:
            die()
        return found

    return call


def spoil() -> None:
    """Put the end of the process where it was asked for."""
    match POINT:
        case "rows written, not committed":
            batches.load = at_call(FILE, batches.load, after=True)
        case "file committed":
            MetricStore.load = at_call(FILE, MetricStore.load, after=True)  # type: ignore[method-assign]
        case "run begun":
            detect._begin = at_call(1, detect._begin, after=True)
        case "model published":
            train.publish = at_call(1, train.publish, after=True)
        case "alerts written, not committed":
            run_store.finish = at_call(1, run_store.finish, after=False)
        case "run committed":
            detect.DetectionReport = die  # type: ignore[assignment,misc]


def main() -> None:
    spoil()
    now = datetime(2026, 3, 15, 18, tzinfo=UTC)
    with open_context(
        Settings(home=HOME, tenant="local", user="ana"), clock=lambda: now
    ) as context:
        if len(sys.argv) > 3:
            ingest.import_paths(context, "local", [Path(sys.argv[3])])
        else:
            detect.detect(context, "local", actor="ana", detector="streaming")


if __name__ == "__main__":
    main()
