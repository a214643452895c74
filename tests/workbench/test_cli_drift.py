"""Drift from the command line and through the API: checked, proposed, accepted, dismissed, and in an emergency."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.workbench.conftest import Headwater
from workbench import server
from workbench.settings import Settings


def test_a_check_is_one_json_object_and_a_table_for_people(
    headwater: Headwater, detected: Path
) -> None:
    said = headwater("drift", "--json", home=detected)
    assert said.code == 0, said.err
    report = said.json["report"]
    assert said.json["moved"] is False
    assert len(report["metrics"]["cells"]) == 77
    assert {"ks", "wasserstein", "psi", "adjusted", "smallest", "power"} <= set(
        report["metrics"]["cells"][0]
    )
    drawn = headwater("drift", home=detected)
    assert drawn.code == 0 and "Metrics: 2026-02-16 to 2026-03-08 against" in drawn.out
    assert "more labels are needed" in drawn.out
    listed = headwater("drift", "proposals", home=detected)
    assert "No retraining was proposed." in listed.out


def test_without_data_a_check_is_refused_with_the_cure(headwater: Headwater) -> None:
    said = headwater("drift", "--json")
    assert said.code == 1 and "headwater import" in said.err
    assert headwater("drift", "accept", 7).code == 1
    assert headwater("drift", "accept", "seven").code == 2
    assert headwater("drift", "fallback").code == 2  # a reason is needed


def test_the_policy_keeps_what_is_not_given(headwater: Headwater) -> None:
    assert headwater("drift", "policy", "--weekly", "--json").json["weekly"] is True
    again = headwater("drift", "policy", "--budget", 2, "--json").json
    assert (again["weekly"], again["budget"], again["version"]) == (True, 2, 2)
    assert headwater("drift", "policy", "--cool-down", 3).code == 2


@pytest.fixture
def api(settings: Settings) -> TestClient:
    with TestClient(server.build(settings, pages=False, chores=False)) as client:
        yield client


def test_the_api_asks_the_same(api: TestClient) -> None:
    assert api.get("/api/drift").json() == {"report": None, "checks": []}
    assert api.get("/api/drift/proposals").json() == {"proposals": [], "not_yet": ""}
    assert api.post("/api/drift", json={}).status_code == 422
    for verb in ("accept", "dismiss"):
        answer = api.post(f"/api/drift/proposals/1/{verb}", json={})
        assert (answer.status_code, answer.json()["ok"]) == (404, False)
    assert api.post("/api/drift/fallback", json={"reason": ""}).status_code == 422


def test_the_policy_is_set_by_compare_and_swap(api: TestClient) -> None:
    policy = api.get("/api/drift/policy").json()
    assert policy == {
        "automatic": False,
        "weekly": False,
        "cool_down_days": 7,
        "budget": 4,
        "version": 0,
    }
    chosen = api.put("/api/drift/policy", json={**policy, "weekly": True}).json()
    assert (chosen["weekly"], chosen["version"]) == (True, 1)
    assert api.put("/api/drift/policy", json=policy).status_code == 409
    assert api.put("/api/drift/policy", json={"cool_down_days": 1}).status_code == 422
