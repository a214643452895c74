"""A simulated event log of a buying process, with the truth beside it.

Cases of the process in `process.py`, timed by the working hours of the people in it; some go wrong as
`anomalies.py` says. A folder holds

    events.csv             case_id, activity, resource, timestamp (UTC), duration_minutes, cost; by time
    truth/traces.csv       case_id, kind of what is wrong with it, empty where nothing is
    truth/attributes.csv   file, case_id, event_index (from 0, by time), attribute, kind, was

Loops, optional steps, stand-ins, new people and cancelled cases are normal.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from core.errors import InvalidInputError
from data.simulate.eventlog.cases import Log, Numbers, build_log
from data.simulate.eventlog.process import STEPS

__all__ = ["SIZES", "Log", "build_log", "simulate_eventlog"]

EVENTS = "events.csv"
START = np.datetime64("2025-01-06T00:00:00", "s")  # a Monday
SIZES = {
    "XS": (200, 60),
    "S": (1_000, 120),
    "M": (5_000, 240),
    "L": (25_000, 365),
    "XL": (100_000, 365),
}
"""Cases, and the days over which they begin."""
PLAIN = csv.WriteOptions(quoting_style="none")


def simulate_eventlog(
    out: Path,
    *,
    size: str = "S",
    seed: int = 7,
    on_step: Callable[[str, float], None] | None = None,
) -> dict[str, int]:
    """Write a simulated event log into the new or empty folder `out`; return what was written.

    The same arguments give the same bytes. Raises InvalidInputError for an unknown size and for a folder that
    holds anything.
    """
    if size not in SIZES:
        rule = f"one of {', '.join(SIZES)}"
        raise InvalidInputError.of("simulate eventlog", "size", rule, size)
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        hint = "choose another folder, or empty this one"
        raise InvalidInputError.of(
            "simulate eventlog", "output folder", "new or empty", str(out), hint
        )
    told = on_step or (lambda _step, _share: None)
    told("cases", 0.0)
    log = build_log(*SIZES[size], seed)
    told("files", 0.7)
    (out / "truth").mkdir(parents=True)
    csv.write_csv(_events(log), out / EVENTS, PLAIN)
    ids = _case_ids(len(log.kinds))
    csv.write_csv(
        pa.table({"case_id": ids, "kind": log.kinds}), out / "truth" / "traces.csv", PLAIN
    )
    csv.write_csv(_attributes(log, ids), out / "truth" / "attributes.csv", PLAIN)
    told("done", 1.0)
    return {
        "files": 3,
        "cases": len(log.kinds),
        "events": len(log.case),
        "anomalous_cases": sum(kind != "" for kind in log.kinds),
        "labels": len(log.truth),
    }


# ── Files ────────────────────────────────────────────────────────────────────────────────────────


def _case_ids(n_case: int) -> pa.Array:
    return pa.array([f"PO-2025-{number:06d}" for number in range(1, n_case + 1)])


def _events(log: Log) -> pa.Table:
    order = np.lexsort((log.index, log.case, log.done))
    moments = np.datetime_as_string(START + log.done[order].astype("timedelta64[s]"))

    def named(codes: Numbers, words: list[str]) -> pa.Array:
        return pa.array(words).take(pa.array(codes[order]))

    return pa.table(
        {
            "case_id": _case_ids(len(log.kinds)).take(pa.array(log.case[order])),
            "activity": named(log.step, [step.activity for step in STEPS]),
            "resource": named(log.who, list(log.staff.names)),
            "timestamp": pa.array(np.char.add(moments, "Z")),
            "duration_minutes": pa.array(log.minutes[order]),
            "cost": pa.array(log.cost[order]),
        }
    )


def _attributes(log: Log, ids: pa.Array) -> pa.Table:
    columns = {
        "file": [EVENTS] * len(log.truth),
        "case_id": ids.take(pa.array([row["case"] for row in log.truth], pa.int64())),
    }
    for name, kind in (
        ("event_index", pa.int64()),
        ("attribute", pa.string()),
        ("kind", pa.string()),
        ("was", pa.string()),
    ):
        columns[name] = pa.array([row[name] for row in log.truth], kind)
    return pa.table(columns)
