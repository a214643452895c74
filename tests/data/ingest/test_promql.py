"""Labels as Kubernetes, its exporters and meshes write them: entities, what runs where, and what to ask."""

from __future__ import annotations

import pytest

from data.ingest.promql import Kind, Plan, entity, part_name, questions, topology

PLAN = Plan()
KUBELET = {"job": "kubelet", "service": "kubelet", "instance": "10.0.0.1:10250", "node": "n1"}
STATE = {"job": "kube-state-metrics", "service": "kube-state-metrics", "instance": "10.0.0.9:8080"}
CART = {"pod": "cart-1", "namespace": "shop", "service": "cart", "node": "n1", "job": "cart"}


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("http_requests_total", CART, "pod:shop/cart-1"),
        ("http_requests_total", {"job": "cart", "instance": "10.0.0.5:80"}, "service:cart"),
        ("http_requests_total", {"service": "cart", "namespace": "default"}, "service:cart"),
        (
            "container_memory_usage_bytes",
            KUBELET | {"pod": "cart-1", "namespace": "shop", "container": "app"},
            "pod:shop/cart-1",
        ),
        ("container_memory_usage_bytes", KUBELET | {"id": "/"}, "node:n1"),
        (
            "kube_pod_status_phase",
            STATE | {"pod": "cart-1", "namespace": "shop"},
            "pod:shop/cart-1",
        ),
        (
            "kube_deployment_status_replicas",
            STATE | {"deployment": "cart", "namespace": "shop"},
            "service:shop/cart",
        ),
        ("node_load1", {"job": "node", "instance": "n1:9100"}, "node:n1"),
        ("up", {"job": "node", "instance": "n1:9100"}, "service:node"),
        (
            "istio_requests_total",
            {"source_workload": "shop", "destination_workload": "cart"},
            "service:shop→service:cart",
        ),
        ("signups", {}, "service:lab"),
    ],
)
def test_labels_name_who_was_measured(name: str, labels: dict[str, str], expected: str) -> None:
    assert entity(labels, name, PLAN, "service:lab") == expected


def test_the_kubelets_own_service_label_is_nobodys_parent() -> None:
    series = [
        {"__name__": "http_requests_total"} | CART,
        {"__name__": "container_cpu_usage_seconds_total", "namespace": "shop", "pod": "cart-2"}
        | KUBELET,
        {"__name__": "node_load1", "instance": "n1:9100", "job": "node", "region": "eu"},
        {"__name__": "node_uname_info", "instance": "n1:9100", "nodename": "other"},
        {
            "__name__": "istio_requests_total",
            "source_workload": "web",
            "destination_workload": "cart",
        },
    ]
    found = topology(series, PLAN)
    assert found.parents == {
        "pod:shop/cart-1": "service:shop/cart",
        "service:shop/cart": "",
        "pod:shop/cart-2": "",
        "node:n1": "region:eu",
        "region:eu": "",
        "service:web": "",
        "service:cart": "",
    }
    assert found.edges == {
        ("node:n1", "pod:shop/cart-1", "part"),
        ("node:n1", "pod:shop/cart-2", "part"),
        ("service:cart", "service:web", "calls"),
    }


def asked(
    series: list[dict[str, str]], kinds: dict[str, Kind], plan: Plan = PLAN
) -> dict[str, str]:
    asked = questions(series, kinds, plan)
    return {found.metric: found.query(plan.matching, 240) for found in asked}


def test_each_kind_is_asked_for_in_its_own_way() -> None:
    series = [
        {"__name__": "hits_total", "job": "cart", "code": "200"},
        {"__name__": "heat_celsius", "job": "cart"},
        {"__name__": "took_seconds_bucket", "job": "cart", "le": "1"},
        {"__name__": "took_seconds_count", "job": "cart"},
        {"__name__": "took_seconds_sum", "job": "cart"},
        {"__name__": "gc_seconds", "job": "cart", "quantile": "0.75"},
        {"__name__": "build_info", "job": "cart"},
        {"__name__": "node_netstat_Tcp_InErrs", "instance": "n1:9100"},
    ]
    kinds = {"hits_total": Kind("counter"), "heat_celsius": Kind("gauge")}
    assert asked(series, kinds, Plan(quantiles=(0.95,), matching='cluster="eu"')) == {
        "hits_total": 'sum by (job, code) (rate(hits_total{cluster="eu"}[240s]))',
        "heat_celsius": 'avg by (job) (heat_celsius{cluster="eu"})',
        "took_seconds": "histogram_quantile(0.95, sum by (job, le)"
        ' (rate(took_seconds_bucket{cluster="eu"}[240s])))',
        "took_seconds_count": 'sum by (job) (rate(took_seconds_count{cluster="eu"}[240s]))',
        "gc_seconds:p75": 'max by (job) (gc_seconds{cluster="eu",quantile="0.75"})',
        "node_netstat_Tcp_InErrs": 'sum by (instance) (rate(node_netstat_Tcp_InErrs{cluster="eu"}[240s]))',
    }


def test_a_family_with_too_many_parts_is_summed_and_what_is_excluded_is_not_asked() -> None:
    series = [{"__name__": "hits_total", "job": "cart", "path": str(n)} for n in range(20)]
    assert asked(series, {}) == {"hits_total": "sum by (job) (rate(hits_total{}[240s]))"}
    assert "path" in asked(series, {}, Plan(parts=20))["hits_total"]
    assert asked(series, {}, Plan(exclude="hits_.*")) == {}
    assert asked(series, {}, Plan(include="other")) == {}


def test_a_pods_containers_are_not_counted_with_their_sum() -> None:
    pod = {"__name__": "container_memory_usage_bytes", "pod": "a", "namespace": "shop"}
    series = [pod | {"container": name} for name in ("", "POD", "app")]
    assert asked(series, {}) == {
        "container_memory_usage_bytes": "sum by (pod, namespace)"
        ' (container_memory_usage_bytes{container!="",container!="POD"})'
    }
    assert "container" not in asked([pod], {})["container_memory_usage_bytes"].split("{")[1]


def test_parts_are_written_as_prometheus_writes_labels() -> None:
    labels = {"path": 'a"b\\c', "code": "200", "empty": ""}
    assert part_name("m", labels, ("code", "empty", "path")) == 'm{code="200",path="a\\"b\\\\c"}'
    assert part_name("m", {}, ("code",)) == "m"
