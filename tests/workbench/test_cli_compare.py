"""`headwater models compare` and its minimums through the API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.workbench.conftest import Headwater
from tests.workbench.two_models import TENANT, challenge
from workbench import server
from workbench.context import Context
from workbench.settings import Settings

OpenHome = Callable[..., Context]


def test_without_a_challenger_the_command_says_what_to_do(
    headwater: Headwater, detected: Path
) -> None:
    said = headwater("models", "compare", "--json", home=detected)
    assert (said.code, said.out) == (1, "")
    assert "compare: a challenger must be there for ads. Got None." in said.err
    assert "Hint: Run: headwater train" in said.err


@pytest.fixture
def contest(detected: Path, open_home: OpenHome) -> Path:
    """A home with a challenger beside its champion."""
    context = open_home(detected)
    challenge(context)
    context.close()
    return context.settings.home


def test_the_command_prints_one_object_with_every_figure_or_a_table(
    headwater: Headwater, contest: Path
) -> None:
    told = headwater("models", "compare", "--json", home=contest)
    assert told.code == 0
    report = told.json
    assert {"champion", "challenger", "figures", "verdict", "sentence", "changed", "checklist"} <= (
        report.keys()
    )
    assert report["verdict"]["because"] == "no labels"
    assert {row["name"]: row["passed"] for row in report["checklist"]}["latency"] is True
    drawn = headwater("models", "compare", home=contest)
    assert drawn.code == 0
    assert (
        f"Would change {len(report['changed'])} of {report['open_alerts']} open alerts" in drawn.out
    )
    assert "not measured, 49 labels needed" in drawn.out
    assert f"Comparison {report['id']}, made" in drawn.out  # not made again
    assert "Verdict: inconclusive. Nobody has judged an alert of these days" in drawn.out


def test_the_api_gives_the_same_and_lets_minimums_be_set(contest: Path) -> None:
    settings = Settings(home=contest, tenant=TENANT, user="ana")
    with TestClient(server.build(settings, pages=False, chores=False)) as api:
        report = api.post("/api/models/compare", json={}).json()
        assert report["verdict"]["word"] == "inconclusive" and report["id"] == 1
        assert api.get("/api/models/minimums").json()["minimums"]["anomaly_f1"] == 0.88
        changed = {"minimums": {"latency": 0.0}}
        assert api.put("/api/models/minimums", json=changed).json()["minimums"]["latency"] == 0.0
        version = report["challenger"]["id"]
        refused = api.post(f"/api/models/{version}/promote", json={"reason": "quieter"})
        assert refused.status_code == 403
        assert "Latency" in refused.json()["error"] and "override" in refused.json()["hint"]
        unknown = api.post("/api/models/compare", json={"challenger": "nobody"})
        assert unknown.status_code == 404
        wrong = api.put("/api/models/minimums", json={"minimums": {"speed": 1.0}})
        assert wrong.status_code == 422 and "one of failure_f1" in wrong.json()["error"]
