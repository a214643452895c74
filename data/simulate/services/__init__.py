"""Simulated running systems: what their monitoring recorded, what people did and said, and the truth beside it.

Regions hold nodes, nodes run pods, pods make services, services call each other; people come by day and week, and
eight kinds of fault strike, spread along the calls and go. Slow minutes of single pods, copies that stores write
away every night, and most deploys only look like trouble. Times are UTC, a minute apart. A folder holds

    metrics/<metric>.parquet     time, node, metric, value: as a query returns them (counters as rates)
    prometheus.txt               the last minutes as OpenMetrics text with timestamps, counters raw
    nodes.csv                    node, level, parent, name
    edges.csv                    source, target: from cause to effect
    events.csv                   at, kind (deploy, config), entity, title, detail; most do no harm
    incidents.csv                id, title, description, severity, started_at, ended_at, services, regions
    labels.csv                   incident_id, annotator, root_cause, component, confidence, at; some are wrong
    truth/incidents.json         cause, root, onset, path to the alarm, size
    truth/events.csv             at, entity, incident (empty: harmless)
    truth/label_errors.csv       incident_id, annotator, field, given, true
    truth/calm.csv               from, to: windows without a fault
    suite/                       the same incidents as cases for `headwater evaluate cause`
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv

from core.errors import InvalidInputError
from data.simulate.draws import Floats, root_key
from data.simulate.services import people, suite
from data.simulate.services.exposition import Exposition
from data.simulate.services.faults import Incident, calm_minutes, choose_incidents, noticed
from data.simulate.services.load import Load, Reading
from data.simulate.services.topology import SIZES, Clock, Size, Topology, build_topology

__all__ = ["FORMS", "SIZES", "Size", "Systems", "build_systems", "simulate_services"]

START = date(2026, 3, 2)
DIGITS = 6
EVENT_COLUMNS = ("at", "kind", "entity", "title", "detail")
Row = dict[str, object]
FORMS: dict[str, Callable[[pa.Table, Path], None]] = {
    "parquet": lambda table, path: pq.write_table(table, path, compression="zstd"),
    "csv": lambda table, path: arrow_csv.write_csv(table, path),
}


@dataclass(frozen=True, eq=False)
class Systems:
    """What runs, what strikes it, and every minute of it; `alarms` are the minutes at which it was noticed."""

    topology: Topology
    incidents: list[Incident]
    alarms: list[int]
    load: Load
    clock: Clock

    @cached_property
    def calm(self) -> NDArray[np.bool_]:
        """(n_minute,) where nothing is wrong."""
        return calm_minutes(self.incidents, self.clock.minutes)


def build_systems(
    size: Size, seed: int, *, start: date = START, only: Sequence[int] | None = None
) -> Systems:
    """The systems of a size from the midnight of `start` on, struck by the incidents of these numbers, else by all."""
    root = root_key("services", seed)
    topology = build_topology(size, root)
    incidents = choose_incidents(topology, size, root)
    if only is not None:
        incidents = [incidents[number] for number in only]
    clock = Clock(start, 1440 * size.days)
    changes = [change for incident in incidents for change in incident.changes]
    load = Load(topology, clock.minutes, changes, weekday=start.weekday())
    calm = Load(topology, clock.minutes, weekday=start.weekday())
    alarms = [noticed(incident, load, calm) for incident in incidents]
    return Systems(topology, incidents, alarms, load, clock)


def simulate_services(
    out: Path,
    *,
    size: str | Size = "S",
    seed: int = 7,
    start: date = START,
    form: str = "parquet",
    on_step: Callable[[str, float], None] | None = None,
) -> dict[str, int]:
    """Write simulated systems into the new or empty folder `out`; return what was written.

    `size` is a name of `SIZES` or a size of one's own, `form` one of `FORMS`. The same arguments give the same
    bytes, and one incident more changes no cell that it does not reach. Raises InvalidInputError for an unknown
    size or form and for a folder that holds anything.
    """
    for thing, value, known in (("size", size, set(SIZES)), ("form", form, set(FORMS))):
        if isinstance(value, str) and value not in known:
            rule = f"one of {', '.join(sorted(known))}"
            raise InvalidInputError.of("simulate services", thing, rule, value)
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        hint = "choose another folder, or empty this one"
        raise InvalidInputError.of(
            "simulate services", "output folder", "new or empty", str(out), hint
        )
    told = on_step or (lambda _step, _share: None)
    told("systems", 0.0)
    shape = SIZES[size] if isinstance(size, str) else size
    systems = build_systems(shape, seed, start=start)
    for folder in ("metrics", "truth", "suite"):
        (out / folder).mkdir(parents=True)
    told("metrics", 0.2)
    counted = _measurements(out, systems, FORMS[form], form)
    told("files", 0.9)
    tables = _tables(systems, seed)
    for path, rows in tables.items():
        (out / path).write_bytes(_csv(rows))
    (out / "suite" / "suite.json").write_text(_json(suite.about(_name(seed))), encoding="utf-8")
    truth = [_truth(systems, number, incident) for number, incident in enumerate(systems.incidents)]
    (out / "truth" / "incidents.json").write_text(_json(truth), encoding="utf-8")
    told("done", 1.0)
    return {
        "services": len(systems.topology.services),
        "pods": len(systems.topology.pods),
        "nodes": len(tables["nodes.csv"]),
        "days": shape.days,
        **counted,
        **{name: len(tables[f"{name}.csv"]) for name in ("events", "incidents", "labels")},
        "label_errors": len(tables["truth/label_errors.csv"]),
    }


# ── Files ────────────────────────────────────────────────────────────────────────────────────────


def _measurements(
    out: Path, systems: Systems, write: Callable[[pa.Table, Path], None], form: str
) -> dict[str, int]:
    """Every metric in turn into its file, the cases and the exposition; how many series and cells there were."""
    times = systems.clock.times
    cases = suite.Cases(times, systems.alarms, systems.calm)
    exposition = Exposition(systems.topology)
    moments = pa.array(times, pa.timestamp("s", "UTC"))
    series = cells = 0
    for exact in systems.load.readings():
        reading = Reading(exact.metric, exact.nodes, _rounded(exact.values))
        many = len(reading.nodes)
        table = pa.table(
            {
                "time": pa.concat_arrays([moments] * many),
                "node": suite.repeated(reading.nodes, len(times)),
                "metric": suite.constant(reading.metric, reading.values.size),
                "value": reading.values.reshape(-1),
            }
        )
        write(table, out / "metrics" / f"{reading.metric}.{form}")
        cases.take(reading)
        exposition.take(reading)
        series, cells = series + many, cells + reading.values.size
    edges = {metric: _rounded(values) for metric, values in systems.load.edges().items()}
    cases.write(out / "suite", cases.edges(systems.topology, edges))
    (out / "prometheus.txt").write_text(exposition.text(times), encoding="utf-8")
    return {"series": series, "cells": cells}


def _rounded(values: Floats) -> Floats:
    """The same to `DIGITS` significant digits: a monitoring's own precision, and a quarter of the bytes."""
    with np.errstate(divide="ignore"):
        size = np.floor(np.log10(np.abs(values)))
    scale = 10.0 ** (DIGITS - 1 - np.where(np.isfinite(size), size, 0.0))
    return np.rint(values * scale) / scale


def _tables(systems: Systems, seed: int) -> dict[str, list[Row]]:
    """Rows of the small files, by path."""
    topology, incidents, clock = systems.topology, systems.incidents, systems.clock
    root = root_key("services", seed)
    nodes: list[Row] = [dict(row) for row in topology.rows()]
    edges: list[Row] = [{"source": cause, "target": effect} for cause, effect in topology.edges()]
    events = people.change_events(topology, incidents, root, clock)
    labels, errors = people.labels(topology, incidents, root, clock)
    told, known = EVENT_COLUMNS, ("at", "entity", "incident")
    return {
        "nodes.csv": nodes,
        "edges.csv": edges,
        "events.csv": [{name: row[name] for name in told} for row in events],
        "incidents.csv": [
            people.reported(topology, incident, number, at, clock)
            for number, (incident, at) in enumerate(zip(incidents, systems.alarms, strict=True))
        ],
        "labels.csv": labels,
        "truth/events.csv": [{name: row[name] for name in known} for row in events],
        "truth/label_errors.csv": errors,
        "truth/calm.csv": _calm(systems),
        "suite/nodes.csv": nodes,
        "suite/edges.csv": edges,
        "suite/cases.csv": suite.cases(
            topology, incidents, systems.alarms, clock.times, _name(seed)
        ),
    }


def _truth(systems: Systems, number: int, incident: Incident) -> Row:
    """A row of truth/incidents.json."""
    topology, clock, alarm = systems.topology, systems.clock, incident.alarm
    return {
        "incident_id": people.incident_id(number),
        "cause_class": incident.kind.name,
        "root": incident.root.id,
        "level": incident.root.level,
        "onset": clock.text(incident.onset),
        "noticed": clock.text(systems.alarms[number]),
        "end": clock.text(incident.stop),
        "size": round(incident.size, 3),
        "path": list(incident.path),
        "alarm": {"node": f"service:{topology.services[alarm]}", "metric": incident.metric},
        "slower": round(float(incident.slower[alarm]), 3),
        "failing": round(float(incident.failing[alarm]), 4),
        "affected": [f"service:{topology.services[row]}" for row in incident.affected],
    }


def _calm(systems: Systems) -> list[Row]:
    edges = np.flatnonzero(np.diff(np.r_[False, systems.calm, False].astype(np.int8)))
    text = systems.clock.text
    return [{"from": text(int(a)), "to": text(int(b))} for a, b in edges.reshape(-1, 2)]


def _name(seed: int) -> str:
    return f"headwater-services-{seed}"


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _csv(rows: list[Row]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()
