"""The last minutes as a Prometheus server would be given them: OpenMetrics text with timestamps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from data.simulate.services.load import Reading
from data.simulate.services.topology import Topology

LINES, MINUTES = 60_000, 30
"""The longest text, about, and the most minutes of it."""
QUANTILE = {"http_request_duration_seconds", "database_query_duration_seconds"}


class Exposition:
    """Keeps the last minutes of each reading that passes by; counters as they stand, not as rates."""

    def __init__(self, topology: Topology) -> None:
        self.labels = _labels(topology)
        per_node = {"pod": 6, "service": 8, "node": 4, "region": 0}
        lines = sum(per_node[node.partition(":")[0]] for node in self.labels)
        self.minutes = int(np.clip(LINES // lines, 2, MINUTES))
        self.kept: list[Reading] = []

    def take(self, reading: Reading) -> None:
        """Keep the end of one metric."""
        values = reading.values
        if reading.metric.endswith("_total"):
            # of what was counted before, the sum is enough
            before = 60.0 * values[:, : -self.minutes].sum(axis=1, keepdims=True)
            values = before + 60.0 * np.cumsum(values[:, -self.minutes :], axis=1)
        self.kept.append(Reading(reading.metric, reading.nodes, values[:, -self.minutes :]))

    def text(self, times: NDArray[np.int64]) -> str:
        """The whole of it, each family together; `times` (n_minute,) epoch s."""
        return "\n".join([*self._families(times[-self.minutes :].tolist()), "# EOF", ""])

    def _families(self, times: Sequence[int]) -> Iterator[str]:
        for reading in self.kept:
            metric = reading.metric
            kind = "summary" if metric in QUANTILE else "gauge"
            family = metric
            if metric.endswith("_total"):
                kind, family = "counter", metric.removesuffix("_total")
            yield f"# TYPE {family} {kind}"
            more = 'quantile="0.95",' if metric in QUANTILE else ""
            for node, values in zip(reading.nodes, reading.values.tolist(), strict=True):
                head = f"{metric}{{{more}{self.labels[node]}}}"
                for moment, value in zip(times, values, strict=True):
                    yield f"{head} {value:.9g} {moment}"


def _labels(topology: Topology) -> dict[str, str]:
    """By id: the entity and what it is part of."""
    regions = [topology.regions[row] for row in topology.node_region]
    found = {f"region:{name}": f'region="{name}"' for name in topology.regions}
    for name, region in zip(topology.nodes, regions, strict=True):
        found[f"node:{name}"] = f'node="{name}",region="{region}"'
    found |= {f"service:{name}": f'service="{name}"' for name in topology.services}
    for pod, service, node in zip(
        topology.pods, topology.pod_service, topology.pod_node, strict=True
    ):
        found[f"pod:{pod}"] = (
            f'pod="{pod}",service="{topology.services[service]}",{found[f"node:{topology.nodes[node]}"]}'
        )
    return found
