"""Experiments from the command line: planned, started, looked at by runs, climbed, stopped; and through the API."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from tests.workbench.conftest import Headwater, Tried
from workbench import server
from workbench.settings import Settings


def test_an_experiment_is_planned_started_looked_at_and_stopped(
    headwater: Headwater, tried: Tried
) -> None:
    def said(*arguments: object) -> dict:
        answer = headwater("experiments", *arguments, "--json", home=tried.home)
        assert answer.code == 0, answer.err
        return answer.json

    assert said("list") == {"experiments": []}
    options = ("--mde", 25, "--unit", "keyword", "--days", 3, "--name", "the same again")
    planned = said("plan", tried.versions["twin"], *options)
    assert (planned["id"], planned["state"], planned["mde"]) == (1, "planning", 25.0)
    assert planned["units"] <= planned["plan"]["available"] == 120
    assert said("start", 1)["state"] == "running"
    assert headwater("detect", "--no-explain", "--no-cause", home=tried.home).code == 0
    shown = said("show", 1)
    assert (len(shown["looks"]), shown["following"]) == (1, "")
    assert shown["waits_for"].startswith("The target metric is decided on this rung")
    drawn = headwater("experiments", "show", 1, home=tried.home)
    assert "1  the same again: running, Shadow" in drawn.out
    assert "need more data" in drawn.out
    routed = said("decisions", 1, "--limit", 3)
    assert len(routed["decisions"]) == 3
    assert routed["arms"][0]["arm"] == "control"
    ended = said("stop", 1, "--reason", "seen enough")
    assert (ended["state"], ended["reason"]) == ("failed", "Stopped by ana: seen enough")
    listed = headwater("experiments", "list", home=tried.home)
    assert "the same again" in listed.out


def test_a_hopeless_or_senseless_one_is_refused(headwater: Headwater, tried: Tried) -> None:
    twin = tried.versions["twin"]
    assert headwater("experiments", "plan", twin, "--mde", 0.1, home=tried.home).code == 0
    refused = headwater("experiments", "start", 1, home=tried.home)
    assert refused.code == 1
    assert "units for experiment 1 must be at least" in refused.err
    assert "takes at least 20 units" in refused.err
    gone = headwater("experiments", "discard", 1, home=tried.home)
    assert (gone.code, "Plan 1 is gone." in gone.out) == (0, True)
    assert (
        headwater("experiments", "plan", twin, "--mde", 0.1, "--start", home=tried.home).code == 1
    )
    left = headwater("experiments", "list", "--json", home=tried.home)
    assert left.json == {"experiments": []}
    wrong = headwater("experiments", "plan", twin, "--mde", -1, home=tried.home)
    assert (wrong.code, "greater than 0" in wrong.err) == (2, True)
    absent = headwater("experiments", "show", 99, home=tried.home)
    assert (absent.code, "one of this tenant's" in absent.err) == (1, True)


@pytest.fixture
def api(settings: Settings) -> TestClient:
    with TestClient(server.build(settings, pages=False, chores=False)) as client:
        yield client


def test_the_api_asks_the_same(api: TestClient) -> None:
    assert api.get("/api/experiments").json() == {"experiments": []}
    for verb, body in (
        ("start", {}),
        ("advance", {}),
        ("discard", {}),
        ("stop", {"reason": "x"}),
    ):
        answer = api.patch(f"/api/experiments/1/{verb}", json=body)
        assert (answer.status_code, answer.json()["ok"]) == (404, False)
    assert api.get("/api/experiments/1/decisions").status_code == 404
    plan = api.post("/api/experiments", json={"treatment": "v", "mde": 1, "metric": "luck"})
    assert plan.status_code == 422
