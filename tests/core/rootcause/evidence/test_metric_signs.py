"""Kinds of causes by what metrics did: relative changes by channel, and the word whose signature fits."""

from __future__ import annotations

import numpy as np
import pytest

from core.domains.services import SERVICES
from core.rootcause.evidence.metric_kinds import kind
from core.rootcause.evidence.metric_signs import TOLD, changes, words

STILL = {"latency": 0.0, "success": 0.0, "cpu": 0.0, "memory": 0.0}


def test_every_signature_is_of_channels_that_are_told() -> None:
    assert {name for cause in SERVICES.causes for name in cause.signature} <= set(TOLD)
    assert all(cause.signature for cause in SERVICES.causes if cause.name != "unknown")


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ({**STILL, "memory": 1.0, "latency": 0.8, "success": 3.0}, "memory_leak"),
        ({**STILL, "cpu": 3.0, "latency": 3.5, "success": 3.0}, "cpu_saturation"),
        ({**STILL, "success": 9.0, "capacity": -0.5, "cpu": 0.5}, "deployment_failure"),
        ({**STILL, "success": 9.0, "cpu": -0.35, "latency": -0.2}, "config_error"),
        ({**STILL, "query": 6.0, "latency": 6.0, "cpu": 0.5, "success": 6.0}, "database_slow"),
        ({**STILL, "delay": 7.0, "latency": 1.5, "bytes": -0.3}, "network_latency"),
        ({**STILL, "disk": 3.5, "query": 3.0, "latency": 3.0, "success": 9.0}, "disk_full"),
        # where nobody measured how late calls arrive, that speaks neither for nor against the network
        ({**STILL, "latency": 1.4, "success": 9.0, "bytes": -0.3}, "network_latency"),
        ({"latency": 3.5, "success": 9.0}, "external_dependency"),
        (STILL, "unknown"),
    ],
)
def test_a_word_fits_what_was_shown(shown: dict[str, float], expected: str) -> None:
    told = np.array([[shown.get(channel, np.nan) for channel in TOLD]])
    assert words(told) == [expected]


def test_changes_are_relative_and_memory_counts_at_its_fullest() -> None:
    metrics = ("cpu_percent", "memory_usage", "availability", "http_requests_total")
    values = np.tile([40.0, 100.0, 100.0, 5.0], (12, 1))
    values[4:8, 1] = 180.0  # filled up before the window, and was killed
    values[8:, 0] = 80.0
    values[8:, 2] = 70.0
    base = np.array([40.0, 180.0, 100.0, 5.0])
    usual = np.array([40.0, 100.0, 100.0, 5.0])
    kinds = [kind(one) for one in metrics]
    (found,) = changes(metrics, kinds, values[None], slice(8, 12), base[None], usual[None])
    told = dict(zip(TOLD, found.tolist(), strict=True))
    assert told["cpu"] == pytest.approx(1.0)
    assert told["memory"] == pytest.approx(0.8)
    # 30 points missing where none were: the most told
    assert told["success"] == pytest.approx(9.0)
    assert np.isnan(told["latency"])
