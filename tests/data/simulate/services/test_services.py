"""Simulated systems: the same for the same seed, believable, spread along the calls, told with the truth beside them."""

from __future__ import annotations

import ast
import csv
import json
from datetime import date
from itertools import pairwise
from pathlib import Path

import networkx as nx
import numpy as np
import pyarrow.parquet as pq
import pytest

from core.domains.services import SERVICES
from core.errors import InvalidInputError
from data.cause_suites import suites
from data.simulate import services
from data.simulate.draws import root_key
from data.simulate.services import SIZES, Size, build_systems, simulate_services
from data.simulate.services.faults import KINDS, choose_incidents
from data.simulate.services.topology import EXTERNAL, build_topology

TINY = Size(8, (2, 3), 4, 2, 2, 8)
CAUSES = {cause.name for cause in SERVICES.causes} - {"unknown"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "tiny"
    simulate_services(folder, size=TINY, seed=5)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    world: Path, tmp_path: Path
) -> None:
    simulate_services(tmp_path / "again", size=TINY, seed=5)
    simulate_services(tmp_path / "other", size=TINY, seed=6)
    assert contents(tmp_path / "again") == contents(world)
    other = contents(tmp_path / "other")
    same = {name for name, content in contents(world).items() if other[name] == content}
    assert same <= {"metrics/kube_service_status_load_balancer.parquet"}


def test_a_fault_changes_no_cell_that_it_does_not_reach() -> None:
    everything = build_systems(TINY, 5)
    without = build_systems(TINY, 5, only=(0, 1, 3, 4, 5, 6, 7))
    fault = everything.incidents[2]
    changed = set()
    for before, after in zip(without.load.readings(), everything.load.readings(), strict=True):
        differs = before.values != after.values
        # a call is felt a minute or two later, at most once per service on the way
        outside = np.r_[0 : fault.onset, fault.stop + 2 * len(fault.path) : differs.shape[1]]
        assert not differs[:, outside].any(), before.metric
        changed |= {before.nodes[row] for row in np.flatnonzero(differs.any(axis=1))}
    assert fault.root.id in changed
    graph = nx.DiGraph(everything.topology.edges())
    near = nx.descendants(graph.to_undirected(as_view=True), fault.root.id) | {fault.root.id}
    assert changed <= near and len(changed) < len(graph)


def test_every_kind_strikes_once_before_any_strikes_again() -> None:
    assert {kind.name for kind in KINDS} == CAUSES
    for name in ("S", "M"):
        root = root_key("services", 11)
        found = choose_incidents(build_topology(SIZES[name], root), SIZES[name], root)
        names = [incident.kind.name for incident in found]
        assert len(found) == SIZES[name].incidents
        for start in range(0, len(names), 8):
            assert sorted(names[start : start + 8]) == sorted(CAUSES)
        ends = [incident.stop for incident in found]
        assert all(later.onset > end + 30 for end, later in zip(ends, found[1:], strict=False))


@pytest.mark.parametrize("name", ["S", "M", "L"])
def test_an_alarm_is_raised_by_a_service_that_the_path_leads_to(name: str) -> None:
    root = root_key("services", 3)
    topology = build_topology(SIZES[name], root)
    graph = nx.DiGraph(topology.edges())
    assert nx.is_directed_acyclic_graph(graph)
    for incident in choose_incidents(topology, SIZES[name], root):
        assert nx.is_path(graph, list(incident.path))
        assert incident.path[0] == incident.root.id
        assert incident.path[-1] == f"service:{topology.services[incident.alarm]}"
        assert len(incident.path) > 1 and incident.alarm in incident.affected


def test_a_root_moves_before_those_that_call_it(world: Path) -> None:
    systems = build_systems(TINY, 5)
    calm = build_systems(TINY, 5, only=())
    for number, incident in enumerate(systems.incidents):
        alarm = systems.alarms[number]
        assert incident.onset < alarm < incident.stop
        moved = {}
        for before, after in zip(calm.load.readings(), systems.load.readings(), strict=True):
            span = slice(incident.onset, incident.stop)
            apart = np.abs(after.values[:, span] - before.values[:, span])
            felt = apart > 0.1 * np.abs(before.values[:, span]) + 1e-9
            for row in np.flatnonzero(felt.any(axis=1)):
                first = int(np.argmax(felt[row]))
                moved[before.nodes[row]] = min(first, moved.get(before.nodes[row], first))
        struck = {
            incident.root.id,
            *(f"pod:{systems.topology.pods[p]}" for p in incident.root.pods),
        }
        assert min(moved, key=lambda node: (moved[node], node not in struck)) in struck or (
            incident.kind.name == "network_latency"
        )


def test_the_day_and_the_weekend_show_in_the_traffic() -> None:
    week = build_systems(Size(6, (1, 1), 2, 1, 7, 0), 5)
    traffic = week.load.people.sum(axis=0).reshape(7, 24, 60).mean(axis=2)
    assert traffic[:5].mean(axis=0).argmax() in range(12, 21)
    assert traffic[:5].mean(axis=0).argmin() in range(1, 8)
    assert 0.6 < traffic[5:].mean() / traffic[:5].mean() < 0.8
    saturday = build_systems(Size(6, (1, 1), 2, 1, 7, 0), 5, start=date(2026, 3, 7))
    moved = saturday.load.people.sum(axis=0).reshape(7, 1440).mean(axis=1)
    assert moved[:2].max() < moved[2:].min()


def test_the_files_hold_every_expected_metric_of_every_entity_that_has_it(world: Path) -> None:
    files = {file.stem for file in (world / "metrics").iterdir()}
    assert files == {metric.name for metric in SERVICES.metrics}
    nodes = {row["node"]: row for row in rows(world / "nodes.csv")}
    assert {row["level"] for row in nodes.values()} == set(SERVICES.levels)
    seen = set()
    for file in (world / "metrics").iterdir():
        table = pq.read_table(file).to_pandas()
        assert np.isfinite(table.value).all() and (table.value >= 0).all()
        assert (table.groupby("node").time.nunique() == 1440 * TINY.days).all()
        seen |= set(table.node)
    assert seen == {node for node, row in nodes.items() if row["level"] != "region"}
    ends = {end for row in rows(world / "edges.csv") for end in row.values()}
    assert ends <= set(nodes)


def test_csv_holds_the_same_cells(world: Path, tmp_path: Path) -> None:
    simulate_services(tmp_path / "csv", size=TINY, seed=5, form="csv")
    name = "node_memory_MemAvailable_bytes"
    table = pq.read_table(world / "metrics" / f"{name}.parquet").to_pandas()
    told = rows(tmp_path / "csv" / "metrics" / f"{name}.csv")
    assert [float(row["value"]) for row in told] == table.value.tolist()
    assert [row["node"] for row in told] == table.node.tolist()
    assert told[1]["time"].startswith("2026-03-02 00:01:00")


def test_the_exposition_is_what_a_server_accepts(world: Path) -> None:
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    text = (world / "prometheus.txt").read_text(encoding="utf-8")
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    assert len(families) == len(SERVICES.metrics)
    counter = families["http_requests"]
    assert counter.type == "counter"
    one = [sample for sample in counter.samples if sample.labels == counter.samples[0].labels]
    assert all(b.value >= a.value for a, b in pairwise(one))
    assert {"pod", "service", "node", "region"} == set(counter.samples[0].labels)


def test_wrong_labels_are_all_told(world: Path) -> None:
    truth = {
        row["incident_id"]: row for row in json.loads((world / "truth/incidents.json").read_text())
    }
    planted = {
        (row["incident_id"], row["annotator"], row["field"]): row
        for row in rows(world / "truth" / "label_errors.csv")
    }
    assert planted
    for row in rows(world / "labels.csv"):
        fact = truth[row["incident_id"]]
        for field, true in (("root_cause", fact["cause_class"]), ("component", fact["root"])):
            error = planted.pop((row["incident_id"], row["annotator"], field), None)
            assert (row[field] != true) == (error is not None)
            if error is not None:
                assert (error["given"], error["true"]) == (row[field], true)
    assert not planted


def test_most_changes_do_no_harm_and_none_says_which(world: Path) -> None:
    truth = rows(world / "truth" / "events.csv")
    told = rows(world / "events.csv")
    assert [row["at"] for row in told] == [row["at"] for row in truth]
    assert list(told[0]) == ["at", "kind", "entity", "title", "detail"]
    harmful = [row for row in truth if row["incident"]]
    assert 0 < len(harmful) < len(truth) / 3
    roots = {
        row["incident_id"]: row["root"]
        for row in json.loads((world / "truth/incidents.json").read_text())
    }
    assert all(roots[row["incident"]] == row["entity"] for row in harmful)


def test_incidents_tell_the_symptom_only(world: Path) -> None:
    words = {"memory", "leak", "disk", "cpu", "config", "deploy", "database_slow", "network"}
    for row in rows(world / "incidents.csv"):
        assert not words & set(row["title"].lower().split())
        assert row["started_at"] < row["ended_at"]
        assert row["services"].startswith("service:") and row["regions"].startswith("region:")


def test_the_suite_is_read_as_any_other(world: Path) -> None:
    (suite,) = suites(world / "suite")
    assert suite.kind == "metrics" and len(suite.cases) == TINY.incidents
    truth = {
        row["incident_id"]: row for row in json.loads((world / "truth/incidents.json").read_text())
    }
    for name in suite.cases:
        case, known = suite.case(name), suite.truth(name)
        assert known.roots == (truth[name]["root"],)
        assert case.alarm.node == truth[name]["alarm"]["node"]
        assert case.panel is not None and known.roots[0] in case.graph.net
        # nothing of the reference comes from a time at which something was wrong
        assert case.normal is not None and len(case.normal.periods) > 300
        assert case.edges is not None and case.edges.values.shape[0] > 4


def test_calm_windows_touch_no_fault(world: Path) -> None:
    faults = json.loads((world / "truth/incidents.json").read_text())
    for row in rows(world / "truth" / "calm.csv"):
        assert all(fault["end"] <= row["from"] or row["to"] <= fault["onset"] for fault in faults)


def test_an_unknown_size_or_form_and_a_full_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="size must be one of L, M, S, XL"):
        simulate_services(tmp_path / "a", size="XXL")
    with pytest.raises(InvalidInputError, match="form must be one of csv, parquet"):
        simulate_services(tmp_path / "a", form="xlsx")
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(InvalidInputError, match="new or empty"):
        simulate_services(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "kept"


def test_the_simulator_knows_nothing_of_the_methods() -> None:
    folder = Path(services.__file__).parent
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("core"):
                assert node.module == "core.errors", file.name


def test_sizes_reach_from_a_dozen_services_to_five_thousand_nodes() -> None:
    for name, (low, high) in {
        "S": (40, 60),
        "M": (150, 220),
        "L": (600, 800),
        "XL": (4500, 5500),
    }.items():
        topology = build_topology(SIZES[name], root_key("services", 7))
        assert low <= len(topology.rows()) <= high
        assert (topology.kind == EXTERNAL).any()
