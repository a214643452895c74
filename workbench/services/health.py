"""Is everything well: a real query on each store, a written file, the scheduler's age."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from core.errors import HeadwaterError
from workbench import __version__
from workbench.context import Context, server_address
from workbench.services import schedule

LATE = timedelta(hours=2)
"""Detection is due hourly; twice that in a serving process means that it does not run."""


@dataclass(frozen=True)
class Check:
    """One thing looked at; `milliseconds` is what the look took."""

    ok: bool
    detail: str
    milliseconds: float


@dataclass(frozen=True)
class Health:
    """What `/api/health` answers; `scheduler_age_seconds` is None where no scheduler ever ran."""

    ok: bool
    status: str
    version: str
    checks: dict[str, Check]
    scheduler_age_seconds: float | None


def check(ctx: Context) -> Health:
    """Look at every store; never raises for a sick one, it says so."""
    checks = {
        "metrics": _look(ctx.metrics.check),
        "records": _look(ctx.records.check),
        "registry": _look(lambda: _write(ctx)),
    }
    age = None
    if checks["records"].ok:
        starts = [beat.last_started for beat in schedule.beats(ctx).values() if beat.last_started]
        age = (ctx.clock() - max(starts)) if starts else None
        late = age is not None and age > LATE and server_address(ctx.settings) != ""
        checks["scheduler"] = Check(not late, _said(age), 0.0)
    ok = all(found.ok for found in checks.values())
    return Health(
        ok=ok,
        status="ok" if ok else "failing",
        version=__version__,
        checks=checks,
        scheduler_age_seconds=None if age is None else age.total_seconds(),
    )


def _look(query: Callable[[], object]) -> Check:
    started = time.perf_counter()
    try:
        query()
    except (HeadwaterError, OSError) as error:
        return Check(False, str(error), _since(started))
    return Check(True, "ok", _since(started))


def _write(ctx: Context) -> None:
    with tempfile.TemporaryFile(dir=ctx.registry.root, prefix=".tmp-") as file:
        file.write(b"headwater")
        file.flush()


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def _said(age: timedelta | None) -> str:
    if age is None:
        return "no scheduler ran yet"
    return f"last started {int(age.total_seconds() // 60)} minutes ago"
