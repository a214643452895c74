"""Small labelled suites of root causes in the layout that users bring, and a copy of one under other names."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CALLS = (("db", "store"), ("store", "shop"), ("auth", "shop"), ("shop", "web"), ("ads", "web"))
"""Callee and caller."""
NODES = ("ads", "auth", "db", "shop", "store", "web")
LATENCY, CPU = "latency_seconds", "cpu_cores"
START, STEP = 1_700_000_000, 60
NORMAL, SEEN, ALARM = 300, 16, 10
"""Minutes that are normal, minutes of a case, and the one that alarms."""


def write(root: Path, head: dict[str, Any], cases: list[dict[str, Any]], **tables: Any) -> Path:
    """suite.json, cases.csv, and a file per table: Parquet, but for edges and nodes."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "suite.json").write_text(json.dumps(head))
    _csv(root / "cases.csv", cases)
    for name, rows in tables.items():
        if name in ("edges", "nodes"):
            _csv(root / f"{name}.csv", rows)
        else:
            pq.write_table(pa.Table.from_pylist(rows), root / f"{name}.parquet")
    return root


def _csv(file: Path, rows: list[dict[str, Any]]) -> None:
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _long(case: str, first: int, values: np.ndarray) -> list[dict[str, Any]]:
    """(n_node, n_time, 2) as rows, the missing left out."""
    return [
        {
            "case_id": case,
            "time": float(START + (first + at) * STEP),
            "node": node,
            "metric": metric,
            "value": float(values[row, at, column]),
        }
        for row, node in enumerate(NODES)
        for at in range(values.shape[1])
        for column, metric in enumerate((LATENCY, CPU))
        if np.isfinite(values[row, at, column])
    ]


def write_metrics(
    root: Path, roots: tuple[str, ...] = ("db", "auth", "ads", "db", "auth", "ads")
) -> Path:
    """A slow and busy root per case; its callers wait with it, less. Two subsystems, a group per root."""
    rng = np.random.default_rng(5)
    usual = rng.uniform(0.1, 1.0, (len(NODES), 1, 2))
    normal = usual * rng.lognormal(0.0, 0.05, (len(NODES), NORMAL, 2))
    callers = dict(CALLS)
    cases, observed = [], []
    for number, root_node in enumerate(roots):
        values = usual * rng.lognormal(0.0, 0.05, (len(NODES), SEEN, 2))
        values[NODES.index(root_node), ALARM:, 1] *= 2.0
        share, node = 1.0, root_node
        while node:
            values[NODES.index(node), ALARM:, 0] *= 1.0 + share
            share, node = 0.5 * share, callers.get(node, "")
        first = NORMAL + 100 + number * SEEN
        name = f"case {number}"
        observed += _long(name, first, values)
        cases.append(
            {
                "case_id": name,
                "alarm_node": json.dumps(["web"]),
                "alarm_metric": LATENCY,
                "alarm_at": START + (first + ALARM) * STEP + 10,
                "root_causes": json.dumps([root_node]),
                "cause_class": "slow" if number % 2 else "busy",
                "group": root_node,
                "subsystem": f"half {number % 2}",
            }
        )
    head = {"name": "shop", "kind": "metrics", "step_seconds": STEP, "licence": "MIT"}
    edges = [{"source": callee, "target": caller} for callee, caller in CALLS]
    return write(
        root, head, cases, observations=observed, reference=_long("normal", 0, normal), edges=edges
    )


def write_events(root: Path) -> Path:
    """Valves and pumps: a state never seen in normal runs, then the alarm beside it."""
    rng = np.random.default_rng(6)
    parts = ("pump", "valve", "tank")

    def run(name: str, broken: str = "") -> list[dict[str, Any]]:
        rows = [(0.0, f"{part}_ok", "True") for part in parts]
        rows += [(float(t), "level", str(50 + int(rng.integers(9)))) for t in range(1, 60, 3)]
        if broken:
            rows += [(50.0, f"{broken}_ok", "False"), (52.0, f"{broken}_alarm", "True")]
        return [
            {"case_id": name, "time": at, "node": node, "value": value, "type": "Binary"}
            for at, node, value in rows
        ]

    cases, observed = [], []
    for number in range(6):
        part = parts[number % 3]
        observed += run(f"run {number}", part)
        cases.append(
            {
                "case_id": f"run {number}",
                "alarm_node": json.dumps([f"{part}_alarm"]),
                "alarm_at": 52.0,
                "root_causes": json.dumps([f"{part}_ok"]),
                "cause_class": json.dumps([f"{part} broken"]),
                "group": part,
                "truth_onset": 50.0,
            }
        )
    normal = [row for number in range(40) for row in run(f"normal {number}")]
    edges = [{"source": f"{part}_ok", "target": f"{part}_alarm"} for part in parts]
    edges += [{"source": "level", "target": "tank_alarm"}]
    nodes = [{"node": edge["source"], "parent": "machine"} for edge in edges]
    head = {"name": "machine", "kind": "events"}
    return write(
        root, head, cases, observations=observed, reference=normal, edges=edges, nodes=nodes
    )


def write_dimensions(root: Path) -> Path:
    """Failures of region × device over eight minutes, one combination broken in the last."""
    rng = np.random.default_rng(7)
    cases, observed = [], []
    for number, broken in enumerate(({"region": "eu"}, {"region": "us", "device": 2})):
        for at in range(8):
            for region in ("eu", "us"):
                for device in ("1", "2", "3"):
                    leaf = {"region": region, "device": device}
                    hit = at == 7 and all(leaf[k] == str(v) for k, v in broken.items())
                    observed.append(
                        {
                            "case_id": f"case {number}",
                            "time": START + at * STEP,
                            **leaf,
                            "value": float(rng.binomial(500, 0.4 if hit else 0.02)),
                            "count": 500.0,
                        }
                    )
        cases.append(
            {
                "case_id": f"case {number}",
                "alarm_at": START + 7 * STEP,
                "root_causes": json.dumps(broken),
                "group": f"case {number}",
                "dimensions": json.dumps(["region", "device"]),
            }
        )
    return write(root, {"kind": "dimensions"}, cases, observations=observed)


def renamed(source: Path, target: Path, seed: int = 1) -> Path:
    """The same suite with other names of nodes, and with rows and nodes in another order."""
    rng = np.random.default_rng(seed)
    target.mkdir(parents=True)
    (target / "suite.json").write_text((source / "suite.json").read_text())
    held = {file.name: pq.read_table(file).to_pylist() for file in source.glob("*.parquet")}
    for file in source.glob("*.csv"):
        with file.open(newline="") as lines:
            held[file.name] = list(csv.DictReader(lines))
    roles = ("node", "caller", "callee", "source", "target")
    names = {
        str(row[role]) for rows in held.values() for row in rows for role in roles if role in row
    }
    other = dict(
        zip(sorted(names), (f"n{place:04d}" for place in rng.permutation(len(names))), strict=True)
    )
    for name, rows in held.items():
        told = [
            {
                column: other.get(value, value) if column in roles else _told(column, value, other)
                for column, value in row.items()
            }
            for row in rows
        ]
        # events of a node at the same instant keep their order, which says what came last
        order = np.arange(len(told))
        if "type" not in rows[0] or name == "nodes.csv":
            order = rng.permutation(len(told))
        shuffled = [told[place] for place in order]
        if name.endswith(".csv"):
            _csv(target / name, shuffled)
        else:
            pq.write_table(pa.Table.from_pylist(shuffled), target / name)
    return target


def _told(column: str, value: Any, other: dict[str, str]) -> Any:
    if column in ("alarm_node", "root_causes") and str(value).startswith("["):
        return json.dumps([other.get(name, name) for name in json.loads(value)])
    return value
