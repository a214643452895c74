"""What a metric of a running system measures, read from its name: the family it belongs to and which way is bad.

Names of metrics are conventions (Prometheus, OpenTelemetry, CloudWatch); names of nodes are never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Kind:
    """A family of metrics; bad: +1 where more is worse, −1 where less is, 0 where either may be."""

    family: str
    bad: int


SYMPTOMS = ("latency", "success")
"""What users of a node notice."""
RESOURCES = ("cpu", "memory", "disk")
"""What a node has used up."""
OUTGOING = "outgoing"
"""How long a node waits for others: a symptom of those it calls, not its own."""
TRAFFIC, BYTES, CAPACITY = "traffic", "bytes", "capacity"

RULES: tuple[tuple[str, Kind], ...] = (
    (r"client|upstream|outgoing", Kind(OUTGOING, 1)),
    (r"latency|duration|response.?time|delay|_wait", Kind("latency", 1)),
    (r"avail.*mem|mem.*avail|mem.*free|free.*mem", Kind("memory", -1)),
    (r"error|fail|exception|fault|5xx|timeout|drop", Kind("success", 1)),
    (r"availab|success|sla|uptime|compliance", Kind("success", -1)),
    (r"cpu|load1\b|load5\b|throttl", Kind("cpu", 1)),
    (r"mem|heap|swap", Kind("memory", 1)),
    (r"disk|iops|filesystem|inode", Kind("disk", 1)),
    (r"kube_|replica|pod_status|running", Kind(CAPACITY, -1)),
    (r"request|workload|\bops\b|rps|qps|throughput|calls|invocations", Kind(TRAFFIC, 0)),
    (r"network|bytes|syscall|packet|traffic", Kind(BYTES, 0)),
    (r"signup|transaction|order|revenue|conversion", Kind("business", -1)),
)
"""Pattern and kind, the first that matches counts."""
OTHER = Kind("other", 0)


@cache
def kind(metric: str) -> Kind:
    """The kind of a metric by its name; `OTHER` where no rule matches."""
    name = metric.lower()
    return next((found for pattern, found in RULES if re.search(pattern, name)), OTHER)


def families(kinds: Sequence[Kind]) -> tuple[str, ...]:
    """The families that metrics belong to, each once."""
    return tuple(dict.fromkeys(kind.family for kind in kinds))
