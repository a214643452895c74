"""`headwater models`: promote and roll back from the command line and through the API, each with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.workbench import versions
from tests.workbench.conftest import Headwater
from workbench import server
from workbench.context import open_context
from workbench.settings import Settings


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two versions of which none scores yet; their ids stand in `ids`."""
    place = tmp_path / "two"
    with open_context(Settings(home=place)) as context:
        ids = [versions.published(context, "local", largest=count) for count in (1, 2)]
    (place / "ids").write_text("\n".join(ids))
    return place


def test_a_promotion_and_its_way_back(headwater: Headwater, home: Path) -> None:
    first, second = (home / "ids").read_text().split()
    assert headwater("models", "promote", first, "--reason", "first", home=home).code == 0
    said = headwater("models", "promote", second, "--reason", "fewer alarms", home=home)
    assert (said.code, said.out.splitlines()) == (
        0,
        [
            f"{second} scores ads now, before it {first}.",
            "Undo: headwater models rollback --reason …",
        ],
    )
    listed = headwater("models", "list", "--json", home=home).json["models"]
    assert {row["id"]: row["aliases"] for row in listed} == {first: [], second: ["champion"]}
    back = headwater("models", "rollback", "--reason", "too loud", "--json", home=home)
    assert (back.json["verb"], back.json["champion"]) == ("rollback", first)
    assert (back.json["by"], back.json["reason"]) == ("ana", "too loud")
    again = headwater("models", "rollback", "--reason", "more", home=home)
    assert again.code == 1
    assert "the champion of ads must be one that took over from another" in again.err
    assert headwater("models", "rollback", home=home).code == 2  # no reason given


def test_show_and_verify_make_the_metrics_again(headwater: Headwater, home: Path) -> None:
    first, second = (home / "ids").read_text().split()
    shown = headwater("models", "show", first, "--json", home=home).json
    measured = {name: value for name, value in shown["metrics"].items() if name != "fit_seconds"}
    assert shown["recomputed"] == measured
    assert {"rows", "score_99", "score_median"} <= set(measured)
    assert headwater("models", "verify", "--json", home=home).json["ok"] is True
    place = home / "registry" / "robust-z" / second / "predictions.parquet"
    place.write_bytes(place.read_bytes()[::-1])
    report = headwater("models", "verify", "--json", home=home)
    assert report.code == 1
    wrong = [row for row in report.json["versions"] if not row["ok"]]
    assert [(row["version"], row["error"]) for row in wrong] == [(second, "ChecksumMismatchError")]


def test_the_api_moves_the_champion_by_what_was_seen(home: Path) -> None:
    first, second = (home / "ids").read_text().split()
    with TestClient(server.build(Settings(home=home), pages=False, chores=False)) as api:
        reason = {"reason": "better"}
        assert api.post(f"/api/models/{first}/promote", json=reason).json()["previous"] == ""
        moved = api.post(f"/api/models/{second}/promote", json=reason | {"seen": 1}).json()
        assert (moved["champion"], moved["previous"]) == (second, first)
        late = api.post("/api/models/rollback", json=reason | {"seen": 1})
        assert (late.status_code, late.json()["error"].split(":")[0]) == (409, "rollback")
        back = api.post("/api/models/rollback", json=reason | {"seen": 2}).json()
        assert (back["champion"], back["previous"]) == (first, second)
        told = api.get("/api/models/promotions").json()["promotions"]
        assert [(move["verb"], move["stands"]) for move in told] == [
            ("rollback", False),
            ("promote", False),
            ("promote", True),
        ]
        assert api.post("/api/models/rollback", json={}).status_code == 422
        assert api.post("/api/models/nobody/promote", json=reason).status_code == 404
