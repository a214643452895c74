"""Labelled suites of root causes: what is read, what stays hidden, and how a fault in a file is told."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.cases import WHOLE
from core.contracts import Panel
from core.errors import InvalidInputError, UnknownNameError
from core.events import EventTable
from data.cause_suites import suite, suites
from tests import labelled_causes as written

PUBLIC = Path(__file__).parents[3] / "shared" / "data" / "services"


def test_metrics_become_panels(tmp_path: Path) -> None:
    (found,) = suites(written.write_metrics(tmp_path / "shop"))
    assert (found.name, found.kind, found.licence) == ("shop", "metrics", "MIT")
    assert len(found.cases) == 6 and found.subsystems == ("half 0", "half 1")
    case, truth = found.case("case 1"), found.truth("case 1")
    assert truth.roots == ("auth",) and truth.classes == ("slow",) and truth.group == "auth"
    panel, normal = case.panel, case.normal
    assert panel is not None and isinstance(normal, Panel)
    assert panel.values.shape == (6, 16, 2) and normal.values.shape == (6, 300, 2)
    assert panel.entities == written.NODES and panel.metrics == (written.CPU, written.LATENCY)
    rows = pq.read_table(tmp_path / "shop" / "observations.parquet").to_pylist()
    cell = next(
        row
        for row in rows
        if (row["case_id"], row["node"], row["metric"]) == ("case 1", "shop", written.CPU)
    )
    assert panel.values[panel.row_of["shop"], 0, 0] == cell["value"]
    assert panel.periods.labels[0] == np.datetime64(int(cell["time"]), "s")
    assert case.alarm.node == "web" and case.alarm.metric == written.LATENCY
    assert set(case.graph.net.edges) == set(written.CALLS)
    assert found.case("case 2").normal is normal


def test_events_become_tables_keyed_by_node_and_by_run(tmp_path: Path) -> None:
    found = suite(written.write_events(tmp_path / "machine"))
    case, truth = found.case("run 1"), found.truth("run 1")
    events, normal = case.events, case.normal
    assert events is not None and isinstance(normal, EventTable)
    at = events.keys.index("valve_ok")
    own = slice(int(events.offsets[at]), int(events.offsets[at + 1]))
    assert events.text("value")[own].values() == ["True", "False"]
    assert events.number("value")[own].tolist() == [1.0, 0.0]
    assert (events.time[own] - np.datetime64(0, "us")).astype(int).tolist() == [0, 50_000_000]
    assert "normal 3/level" in normal.keys and len(normal.text("run").used) == 40
    assert truth.onset == np.datetime64(50_000_000, "us") and truth.classes == ("valve broken",)
    assert case.graph.net.nodes["valve_ok"]["parent"] == "machine"


def test_dimensions_become_a_cube(tmp_path: Path) -> None:
    found = suite(written.write_dimensions(tmp_path / "cube"))
    case = found.case("case 1")
    cube = case.cube
    assert cube is not None and case.alarm.node == WHOLE and WHOLE in case.graph.net
    assert cube.attributes == ("region", "device")
    assert cube.vocabularies == (("eu", "us"), ("1", "2", "3"))
    assert cube.leaves.tolist() == [[r, d] for r in range(2) for d in range(3)]
    assert cube.value.shape == cube.count.shape == (6, 8) and (cube.count == 500).all()
    # us, device 2
    assert cube.value[4, -1] > 150 > cube.value[4, :-1].max()
    assert found.truth("case 1").roots == ('{"device": "2", "region": "us"}',)


def test_a_folder_of_suites_is_read_whole(tmp_path: Path) -> None:
    written.write_metrics(tmp_path / "all" / "a")
    written.write_dimensions(tmp_path / "all" / "b")
    (tmp_path / "all" / "notes").mkdir()
    assert [found.kind for found in suites(tmp_path / "all")] == ["metrics", "dimensions"]
    (tmp_path / "empty" / "notes").mkdir(parents=True)
    with pytest.raises(InvalidInputError, match=r"suite\.json.*Got 'notes'"):
        suites(tmp_path / "empty")


def test_what_is_missing_is_nan_and_what_falls_together_is_averaged(tmp_path: Path) -> None:
    root = written.write_metrics(tmp_path / "shop")
    rows = pq.read_table(root / "observations.parquet").to_pylist()
    first = rows[0]
    rows = [row for row in rows if not (row["node"] == "ads" and row["metric"] == written.CPU)]
    rows.append({**first, "time": first["time"] + 20.0, "value": first["value"] + 2.0})
    pq.write_table(pa.Table.from_pylist(rows), root / "observations.parquet")
    panel = suite(root).case("case 0").panel
    assert (
        panel is not None
        and np.isnan(panel.select(entities=["ads"], metrics=[written.CPU]).values).all()
    )
    seen = panel.select(entities=[first["node"]], metrics=[first["metric"]])
    assert seen.values[0, 0, 0] == pytest.approx(first["value"] + 1.0)


def test_calls_are_cut_to_the_case_and_to_the_normal_periods(tmp_path: Path) -> None:
    root = written.write_metrics(tmp_path / "shop")
    last = written.NORMAL + 100 + 6 * written.SEEN
    rows = [
        {
            "time": written.START + minute * written.STEP,
            "caller": "shop",
            "callee": "store",
            "metric": "duration:source_side",
            "value": float(minute),
        }
        for minute in range(last)
    ]
    pq.write_table(pa.Table.from_pylist(rows), root / "edge_observations.parquet")
    case = suite(root).case("case 0")
    assert case.edges is not None and case.edges.entities == ("shop→store",)
    assert case.edges.values.ravel().tolist() == [400.0 + at for at in range(written.SEEN)]
    assert case.normal_edges is not None and len(case.normal_edges.periods) == written.NORMAL


def test_an_entry_that_is_no_node_alarms_at_what_nothing_depends_on(tmp_path: Path) -> None:
    root = written.write_metrics(tmp_path / "shop")
    change(root, "alarm_node", json.dumps(["ENTRY"]))
    assert suite(root).case("case 0").seeds == ("web",)
    # a ring of calls has no end: all of it alarms
    with (root / "edges.csv").open("a") as lines:
        lines.write("web,shop\n")
    assert set(suite(root).case("case 0").seeds) == {"web", "shop"}


def test_no_word_of_the_truth_reaches_a_case(tmp_path: Path) -> None:
    root = written.write_metrics(tmp_path / "shop")
    before = suite(root).case("case 0")
    change(root, "root_causes", json.dumps(["store"]))
    change(root, "cause_class", "other")
    change(root, "group", "other")
    after = suite(root).case("case 0")
    assert before.alarm == after.alarm and set(before.graph.net) == set(after.graph.net)
    assert before.panel is not None and after.panel is not None
    assert np.array_equal(before.panel.values, after.panel.values, equal_nan=True)


# ── Faults ───────────────────────────────────────────────────────────────────────────────────────


def change(root: Path, column: str, value: str, line: int = 0) -> None:
    with (root / "cases.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    rows[line][column] = value
    written._csv(root / "cases.csv", rows)


def observed(root: Path, column: str, value: Any, file: str = "observations") -> None:
    table = pq.read_table(root / f"{file}.parquet")
    values = [value, *table[column].to_pylist()[1:]]
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, column, pa.array(values)), root / f"{file}.parquet")


def dropped(root: Path, file: str, column: str) -> None:
    table = pq.read_table(root / file)
    pq.write_table(table.drop_columns([column]), root / file)


FAULTS = {
    "head": (
        lambda root: (root / "suite.json").write_text("{"),
        r"suite\.json must be a JSON object",
    ),
    "kind": (
        lambda root: (root / "suite.json").write_text('{"kind": "songs"}'),
        r"kind is one of metrics, events, dimensions. Got 'songs'",
    ),
    "step": (
        lambda root: (root / "suite.json").write_text('{"kind": "metrics"}'),
        r"step_seconds must be a number of seconds above 0. Got None",
    ),
    "no cases": (lambda root: (root / "cases.csv").unlink(), r"cases\.csv must be a file beside"),
    "column": (
        lambda root: (root / "cases.csv").write_text("case_id,group\na,b\n"),
        r"cases\.csv must be a table with the columns case_id, alarm_at, root_causes",
    ),
    "twice": (
        lambda root: change(root, "case_id", "case 0", 1),
        r"cases\.csv line 3: case_id must be given, and given once. Got 'case 0'",
    ),
    "alarm": (
        lambda root: change(root, "alarm_node", "web"),
        r"line 2: alarm_node must be JSON. Got 'web'",
    ),
    "roots": (
        lambda root: change(root, "root_causes", "[]"),
        r'line 2: root_causes must be a JSON list of names, \["a"\]. Got',
    ),
    "time": (
        lambda root: change(root, "alarm_at", "noon"),
        r"line 2: alarm_at must be a number of seconds. Got 'noon'",
    ),
    "stranger": (
        lambda root: change(root, "alarm_node", '["gone"]'),
        r"alarm_node must be a node of edges\.csv.* Got 'gone'",
    ),
    "no rows": (
        lambda root: change(root, "case_id", "case 9"),
        r"observations\.parquet must be rows of every case of cases\.csv. Got 'none of case 9'",
    ),
    "no reference": (
        lambda root: (root / "reference.parquet").unlink(),
        r"reference\.parquet must be a file beside suite\.json",
    ),
    "no parquet": (
        lambda root: (root / "reference.parquet").write_text("case_id\n"),
        r"reference\.parquet must be a Parquet file",
    ),
    "no column": (
        lambda root: dropped(root, "reference.parquet", "metric"),
        r"reference\.parquet must be a table with the columns case_id, time, node, metric, value",
    ),
    "no node": (
        lambda root: observed(root, "node", None),
        r"observations\.parquet row 0: node must be given. Got None",
    ),
    "infinite": (
        lambda root: observed(root, "value", float("inf")),
        r"observations\.parquet: value must be finite, or empty where missing",
    ),
    "milliseconds": (
        lambda root: observed(root, "time", 1.7e12),
        r"observations\.parquet: time must be seconds since 1970",
    ),
    "edge": (
        lambda root: (root / "edges.csv").write_text("source,target\ndb,\n"),
        r"edges\.csv line 2: source and target must be given",
    ),
    "ragged": (
        lambda root: (root / "edges.csv").write_text("source,target\ndb\n"),
        r"edges\.csv line 2 must be of 2 fields",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_file_rule_and_value(fault: str, tmp_path: Path) -> None:
    root = written.write_metrics(tmp_path / "shop")
    spoil, told = FAULTS[fault]
    spoil(root)
    with pytest.raises(InvalidInputError, match=told):
        found = suite(root)
        found.case(found.cases[0])


def test_a_combination_of_an_attribute_that_is_not_there_is_refused(tmp_path: Path) -> None:
    root = written.write_dimensions(tmp_path / "cube")
    change(root, "root_causes", '{"colour": "red"}')
    with pytest.raises(InvalidInputError, match="objects, of region, device"):
        suite(root)


def test_a_case_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    found = suite(written.write_metrics(tmp_path / "shop"))
    with pytest.raises(UnknownNameError, match="'case 7'"):
        found.truth("case 7")


# ── The public suites ────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not PUBLIC.is_dir(), reason="the public suites are not beside the checkout")
def test_the_public_suites_hold_what_their_sources_say() -> None:
    found = {one.name.partition("_")[0]: one for one in suites(PUBLIC)}
    assert {name: len(one.cases) for name, one in found.items()} == {
        "causrca": 66,
        "nezha": 24,
        "petshop": 26,
        "robustspot": 60,
    }
    # 92 nodes and 104 lines, of which two are told twice; four nodes were only observed
    graph = found["causrca"].graph.net
    assert (graph.number_of_nodes(), graph.number_of_edges()) == (96, 102)
    assert found["causrca"].subsystems == ("coolant", "hydraulics")
    shop = found["petshop"].case("low_traffic/test/issue_0")
    assert shop.panel is not None and shop.panel.values.shape == (42, 5, 7)
    nezha = found["nezha"].case(found["nezha"].cases[0])
    assert nezha.seeds == ("ENTRY",) and nezha.normal_edges is not None
    assert nezha.normal_edges.values.shape == (14, 1041, 2)
