"""Running systems: region > service > pod, and the nodes that pods run on; calls make the graph, not the levels."""

from __future__ import annotations

import numpy as np

from core.domain import CauseType, Domain, Metric

LEVELS = ("region", "node", "service", "pod")

SERVICES = Domain(
    name="services",
    label="Services",
    levels=LEVELS,
    level_labels={"region": "Region", "node": "Node", "service": "Service", "pod": "Pod"},
    metrics=(
        Metric("node_cpu_seconds_total", "CPU used, node", unit="cores", bad=1),
        Metric(
            "node_memory_MemAvailable_bytes",
            "Memory available, node",
            unit="bytes",
            additive=False,
            bad=-1,
        ),
        Metric("container_cpu_usage_seconds_total", "CPU used", unit="cores", bad=1),
        Metric("container_memory_usage_bytes", "Memory used", unit="bytes", bad=1),
        Metric("disk_io_time_ms", "Disk time", unit="ms", bad=1),
        Metric("network_transmit_bytes", "Sent", unit="bytes/s"),
        Metric("kube_pod_status_phase", "Pods running", unit="pods", bad=-1),
        Metric("kube_deployment_status_replicas", "Replicas", unit="pods", bad=-1),
        Metric("kube_service_status_load_balancer", "Load balancers", bad=-1),
        Metric("http_requests_total", "Requests", unit="1/s"),
        Metric("http_request_duration_seconds", "Latency (p95)", unit="s", additive=False, bad=1),
        Metric("grpc_requests_total", "gRPC requests", unit="1/s"),
        Metric(
            "database_query_duration_seconds", "Query time (p95)", unit="s", additive=False, bad=1
        ),
        Metric("user_signup_rate", "Sign-ups", unit="1/s", bad=-1),
        Metric("transaction_value", "Transaction value", unit="money", bad=-1),
        Metric("error_rate_by_service", "Errors", unit="share", additive=False, bad=1),
        Metric("sla_compliance_percentage", "SLA kept", unit="percent", additive=False, bad=-1),
    ),
    ratios=(),
    causes=tuple(
        CauseType(name, label, LEVELS, signature)
        for name, label, signature in (
            ("memory_leak", "Memory leak", {"memory": 0.6, "latency": 0.6, "success": 1.5}),
            (
                "database_slow",
                "Database slow",
                {"query": 2.0, "latency": 2.0, "cpu": 0.4, "delay": 0.8, "success": 2.0},
            ),
            (
                "deployment_failure",
                "Deployment failure",
                {"success": 2.3, "capacity": -0.7, "cpu": 0.4, "latency": 0.4},
            ),
            (
                "network_latency",
                "Network latency",
                {"delay": 2.0, "latency": 1.0, "bytes": -0.4, "success": 2.0},
            ),
            (
                "disk_full",
                "Disk full",
                {"disk": 1.5, "query": 1.4, "latency": 1.4, "success": 2.3},
            ),
            (
                "cpu_saturation",
                "CPU saturation",
                {"cpu": 1.4, "latency": 1.5, "query": 1.2, "success": 1.5},
            ),
            (
                "config_error",
                "Configuration error",
                {"success": 2.3, "cpu": -0.4, "latency": -0.25},
            ),
            (
                "external_dependency",
                "External dependency",
                {"latency": 1.5, "delay": 0.5, "success": 2.3},
            ),
            ("unknown", "Unknown", {}),
        )
    ),
    step=np.timedelta64(60, "s"),
    window=720,
    pause=np.timedelta64(30, "m"),
    lasting=np.timedelta64(4, "m"),
    every_episode=True,
    defaults={
        "detector": "robust-z",
        "settings": "robust-z.scope=given",
        "localizer": "headwater",
        "predictor": "extra-trees",
        "unit": "service",
    },
)
"""Signatures are of channels that metrics of any make belong to (`core.rootcause.evidence.metric_signs`): families, and `delay`.

The expected metrics are those that the specification lists; any other that is imported stands beside them."""
