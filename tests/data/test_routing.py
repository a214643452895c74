"""The routing log: a decision is written once, a day is replaced and never doubled, tenants stay apart."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.metrics import MetricStore
from data.routing import RoutingLog, Rung

NOW = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
RUNG = Rung(1, "canary", 0.5)


@pytest.fixture
def log(tmp_path: Path) -> Any:
    store = MetricStore(tmp_path / "metrics.duckdb")
    yield store.routing
    store.close()


def write(
    log: RoutingLog,
    run: int,
    *,
    treated: bool = True,
    alerts: int = 1,
    days: tuple[int, ...] = (1,),
    tenant: str = "acme",
    rung: Rung = RUNG,
) -> None:
    moments = np.array([f"2026-11-{day:02d}" for day in days], "datetime64[D]")
    every = len(days)
    log.decide(
        tenant,
        rung,
        run=run,
        at=NOW,
        decisions={
            "entity": ["k:1", "k:2"],
            "unit": ["c:1", "c:2"],
            "arm": ["treatment" if treated else "control", "control"],
            "version": ["v2" if treated else "v1", "v1"],
        },
    )
    log.observe(
        tenant,
        rung,
        since=date(2026, 11, days[0]),
        exposures={
            "unit": ["c:1"] * every + ["c:2"] * every,
            "day": np.tile(moments, 2),
            "treated": [treated] * every + [False] * every,
            "rows": [3] * 2 * every,
            "control_alerts": [0] * 2 * every,
            "treatment_alerts": [alerts] * 2 * every,
        },
        alarms={
            "entity": ["k:1"],
            "unit": ["c:1"],
            "day": moments[:1],
            "treated": [treated],
            "control_p": [0.2],
            "treatment_p": [1e-5],
            "control_alarm": [False],
            "treatment_alarm": [True],
        },
    )


def test_a_sticky_decision_is_written_with_the_run_that_made_it(log: RoutingLog) -> None:
    write(log, 7, treated=False)
    write(log, 8, treated=False)
    write(log, 9)
    found = log.decisions("acme", 1)
    assert [(row["run"], row["entity"], row["arm"], row["version"]) for row in found] == [
        (9, "k:1", "treatment", "v2"),
        (7, "k:1", "control", "v1"),
        (7, "k:2", "control", "v1"),
    ]
    assert found[0]["decided"] == NOW
    assert [row["run"] for row in log.decisions("acme", 1, entity="k:1")] == [9, 7]
    assert log.arms("acme", 1) == [
        {"arm": "control", "entities": 1, "units": 1},
        {"arm": "treatment", "entities": 1, "units": 1},
    ]


def test_a_day_seen_again_replaces_what_was_seen_of_it(log: RoutingLog) -> None:
    write(log, 1, days=(1, 2), alerts=1)
    write(log, 2, days=(2, 3), alerts=5)
    units = log.units("acme", RUNG)
    assert units["unit"].tolist() == ["c:1", "c:2"]
    assert units["treated"].tolist() == [True, False]
    assert units["rows"].tolist() == [9.0, 9.0]
    assert units["treatment"].tolist() == [11.0, 11.0]
    assert [row["day"] for row in log.alarms("acme", RUNG)] == [
        date(2026, 11, 1),
        date(2026, 11, 2),
    ]


def test_rungs_and_tenants_are_counted_apart(log: RoutingLog) -> None:
    write(log, 1)
    write(log, 1, tenant="other", alerts=9)
    write(log, 2, rung=Rung(1, "canary", 0.25), alerts=4)
    assert log.units("acme", RUNG)["treatment"].tolist() == [1.0, 1.0]
    assert log.units("other", RUNG)["treatment"].tolist() == [9.0, 9.0]
    assert len(log.units("acme", Rung(2, "canary", 0.5))["unit"]) == 0
    assert log.decisions("nobody", 1) == []
