"""Wholes and parts: one pod among its siblings, all of them, or whatever runs on one host."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import networkx as nx
import numpy as np
import pytest

from core.cases import Alarm, Case, Cause, Graph
from core.contracts import Panel, Periods
from core.rootcause.reranker import Reranker

MINUTE = np.timedelta64(60, "s")
METRICS = (
    "http_request_duration_seconds",
    "http_requests_total",
    "container_cpu_usage_seconds_total",
    "container_memory_usage_bytes",
    "disk_io_time_ms",
    "kube_pod_status_phase",
)
QUIET, BEFORE, AFTER = 400, 20, 6
HOSTS = {"a1": "n1", "a2": "n2", "a3": "n3", "b1": "n1", "b2": "n2", "b3": "n4"}
"""Pods of two services, a and b, which the shop calls; n1 and n2 run one of each."""
PARTS = {"a": ("a1", "a2", "a3"), "b": ("b1", "b2", "b3")}
LEVELS = {**dict.fromkeys(HOSTS, "pod"), **dict.fromkeys(("shop", "a", "b"), "service")}
NODES = tuple(dict.fromkeys(["shop", *PARTS, *HOSTS, *HOSTS.values()]))


def world(faults: Mapping[str, Mapping[str, float]], levels: bool = True) -> Case:
    """`faults`: pod or host → metric → factor from the alarm on; services show their pods' mean, the shop waits for both."""
    net: nx.DiGraph[str] = nx.DiGraph()
    for node in NODES:
        net.add_node(node, level=LEVELS.get(node, "node") if levels else "")
    net.add_edges_from([("a", "shop"), ("b", "shop")])
    net.add_edges_from((pod, service) for service, pods in PARTS.items() for pod in pods)
    net.add_edges_from((host, pod) for pod, host in HOSTS.items())
    times = QUIET + BEFORE + AFTER
    random = np.random.default_rng(7)
    day = 1.0 + 0.3 * np.sin(np.arange(times) / 60.0)
    values = {node: np.full((times, len(METRICS)), np.nan) for node in NODES}
    for pod in HOSTS:
        busy = day * random.normal(1.0, 0.03, times)
        noise = random.normal(1.0, 0.04, (times, 3))
        for column, series in (
            (0, 0.1 * noise[:, 0]),
            (1, 20.0 * busy),
            (2, 0.5 * busy * noise[:, 1]),
            (3, 4e8 * noise[:, 2]),
            (5, np.ones(times)),
        ):
            values[pod][:, column] = series
        for metric, factor in faults.get(pod, {}).items():
            values[pod][QUIET + BEFORE :, METRICS.index(metric)] *= factor
    for service, pods in PARTS.items():
        values[service][:, 0] = np.mean([values[pod][:, 0] for pod in pods], axis=0)
        values[service][:, 1:4] = np.sum([values[pod][:, 1:4] for pod in pods], axis=0)
    for host in dict.fromkeys(HOSTS.values()):
        mine = [values[pod] for pod, where in HOSTS.items() if where == host]
        values[host][:, 2] = 0.3 + np.sum([one[:, 2] for one in mine], axis=0)
        values[host][:, 4] = 50.0 * random.normal(1.0, 0.05, times)
        for metric, factor in faults.get(host, {}).items():
            values[host][QUIET + BEFORE :, METRICS.index(metric)] *= factor
    values["shop"][:, 0] = 0.05 + values["a"][:, 0] + values["b"][:, 0]
    values["shop"][:, 1] = 60.0 * day
    start = np.datetime64("2026-03-02T00:00", "s")
    labels = start + np.arange(times) * MINUTE
    all_of_it = np.stack([values[node] for node in NODES])

    def panel(span: slice) -> Panel:
        return Panel(all_of_it[:, span], NODES, METRICS, Periods(labels[span], MINUTE))

    alarm = Alarm("shop", labels[QUIET + BEFORE], METRICS[0])
    window = slice(QUIET, times)
    return Case(Graph(net), alarm, panel(window), normal=panel(slice(0, QUIET)))


SLOW = {"http_request_duration_seconds": 5.0, "container_cpu_usage_seconds_total": 2.5}
FULL = {"http_request_duration_seconds": 5.0}


def first(case: Case) -> Cause:
    return Reranker().find(case)[0]


def test_what_one_pod_alone_shows_is_its_own() -> None:
    found = first(world({"a1": SLOW}))
    assert (found.node, found.path) == ("a1", ("a1", "a", "shop"))
    assert found.terms["alone"] > 1.0


def test_what_all_pods_of_a_service_show_is_the_services() -> None:
    assert first(world(dict.fromkeys(PARTS["a"], SLOW))).node == "a"


def test_what_strangers_on_one_host_show_is_the_hosts() -> None:
    found = first(world({"a1": FULL, "b1": FULL, "n1": {"disk_io_time_ms": 6.0}}))
    assert (found.node, found.type) == ("n1", "disk_full")
    assert found.terms["hosted"] > 1.0


def test_a_pod_that_is_gone_is_compared_with_nobody() -> None:
    gone = {"kube_pod_status_phase": 0.0, "container_cpu_usage_seconds_total": 0.02}
    rest = {pod: {**SLOW, "container_memory_usage_bytes": 0.7} for pod in ("a2", "a3")}
    assert first(world({"a1": gone, **rest})).node == "a"


def test_a_graph_without_levels_has_no_parts() -> None:
    terms = first(world({"a1": SLOW}, levels=False)).terms
    assert not any(terms[name] for name in ("part", "alone", "siblings", "split", "hosted"))


@pytest.mark.parametrize("fault", ["a1", "n1"])
def test_names_of_parts_decide_nothing(fault: str) -> None:
    faults = {"a1": SLOW} if fault == "a1" else {"a1": FULL, "b1": FULL, "n1": {METRICS[4]: 6.0}}
    case = world(faults)
    called = {node: f"x{number}" for number, node in enumerate(sorted(NODES, reverse=True))}
    assert case.panel is not None and isinstance(case.normal, Panel)
    renamed = dataclasses.replace(
        case,
        graph=Graph(nx.relabel_nodes(case.graph.net, called)),
        alarm=dataclasses.replace(case.alarm, node=called[case.alarm.node]),
        panel=dataclasses.replace(case.panel, entities=tuple(called[n] for n in NODES)),
        normal=dataclasses.replace(case.normal, entities=tuple(called[n] for n in NODES)),
    )
    plain, other = Reranker().find(case), Reranker().find(renamed)
    assert other[0].node == called[plain[0].node]
    assert {called[one.node]: round(one.score, 6) for one in plain} == {
        one.node: round(one.score, 6) for one in other
    }
