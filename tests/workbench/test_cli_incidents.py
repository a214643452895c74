"""Incidents and changes on the command line, and the same questions over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.workbench.conftest import Headwater
from workbench import server
from workbench.settings import Settings

SHEET = """id,title,severity,started_at,ended_at,services
1,Cart slow,P1,2026-11-19T01:00Z,2026-11-19T02:00Z,cart
2,Cart slow again,P2,2026-11-20T01:00Z,,cart
3,Pay down,worst,2026-11-20T03:00Z,,pay
"""


def test_a_file_a_record_and_a_change_are_listed(headwater: Headwater, tmp_path: Path) -> None:
    path = tmp_path / "incidents.csv"
    path.write_text(SHEET)
    came = headwater("incidents", "import", path)
    assert came.code == 1  # something was refused, the rest counts
    assert "incidents.csv line 4, severity" in came.out and "2 new" in came.out
    kept = headwater(
        *("incidents", "record", "Disk full", "--onset", "2026-11-20T04:00"),
        *("--service", "db", "--severity", "critical", "--json"),
    ).json
    assert kept["warnings"] == ["never measured here: db"]
    assert kept["incident"]["onset"] == "2026-11-20T04:00:00+00:00"
    listed = headwater("incidents", "list", "--domain", "services", "--json").json["incidents"]
    assert [row["title"] for row in listed] == ["Disk full", "Cart slow again"]
    told = headwater("incidents", "list", "--domain", "services", "--status", "any").out
    assert "Cart slow" in told and "2026-11-19 01:00" in told and "critical" in told
    assert "0 of 3 incidents are labelled" in headwater("incidents", "unlabeled").out
    alike = headwater("incidents", "similar", 2)
    assert "also at cart" in alike.out and "2026-11-19 01:00" in alike.out
    assert headwater("incidents", "comment", 2, "looking").code == 0
    said = headwater("incidents", "show", 2, "--json").json
    assert said["comments"][0]["body"] == "looking"
    headwater("changes", "record", "cart 1.2", "--at", "2026-11-20T00:30", "--entity", "cart")
    assert headwater("incidents", "show", 2, "--json").json["changes"][0]["title"] == "cart 1.2"
    assert "cart 1.2" in headwater("changes", "list", "--start", "2026-11-20T00:00").out
    assert headwater("changes", "list", "--end", "2026-11-20T00:00:00Z").out == "No changes.\n"


def test_a_key_told_twice_is_noted_and_a_name_finds_its_entity(
    headwater: Headwater, tmp_path: Path
) -> None:
    path = tmp_path / "incidents.csv"
    path.write_text(SHEET.replace("2,Cart", "1,Cart").replace("worst", "P1"))
    came = headwater("incidents", "import", path)
    assert (came.code, "the last line counts of those with the same id: 1" in came.out) == (0, True)
    headwater("changes", "record", "one", "--at", "2026-11-20", "--entity", "service:cart")
    headwater("changes", "record", "two", "--at", "2026-11-20", "--entity", "cart")
    for name in ("cart", "service:cart"):
        listed = headwater("changes", "list", "--entity", name, "--json").json["changes"]
        assert [row["title"] for row in listed] == ["one", "two"]


def test_what_is_named_is_corrected_and_what_is_not_stays(headwater: Headwater) -> None:
    record = ("incidents", "record", "Disk full", "--onset", "2026-11-20T04:00")
    headwater(*record, "--service", "db", "--service", "cart")
    said = headwater(
        *("incidents", "edit", 1, "--title", "Disk filled", "--severity", "low"),
        *("--ended", "2026-11-20T05:00", "--service", "db", "--version", 1),
    )
    assert said.out == "Corrected: 1, Disk filled. `undo` takes it back.\n"
    row = headwater("incidents", "show", 1, "--json").json["incident"]
    assert (row["title"], row["severity"], row["services"]) == ("Disk filled", "low", ["db"])
    assert (row["onset"], row["ended_at"]) == (
        "2026-11-20T04:00:00+00:00",
        "2026-11-20T05:00:00+00:00",
    )
    late = headwater("incidents", "edit", 1, "--title", "x", "--version", 1)
    assert late.code == 1 and "the version of incident 1 must be 1" in late.err
    early = headwater("incidents", "edit", 1, "--ended", "2026-11-20T03:00")
    assert early.code == 1 and "no earlier than the onset" in early.err
    assert headwater("incidents", "edit", 1, "--service", "").code == 0
    assert headwater("incidents", "show", 1, "--json").json["incident"]["services"] == []
    alone = headwater("incidents", "part", 1)
    assert alone.code == 1 and "told by hand alone" in alone.err


def test_the_columns_that_say_nothing_make_room(headwater: Headwater) -> None:
    headwater("incidents", "record", "Disk full", "--onset", "2026-11-20T04:00")
    heading = headwater("incidents", "list").out.splitlines()[0].split()
    assert "Onset" in heading and not {"Root", "Services", "Cause"} & set(heading)
    assert "2026-11-20 04:00" in headwater("incidents", "show", 1).out
    said = headwater("incidents", "list", "--domain", "nope")
    assert said.code == 1 and "the domain must be one of ads, services" in said.err
    said = headwater("incidents", "list", "--status", "wrong")
    assert said.code == 2 and said.err.count("Got 'wrong'") == 1


def test_what_is_wrong_is_told(headwater: Headwater, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("name,when\nx,now\n")
    said = headwater("changes", "import", path)
    assert said.code == 1 and "x.csv: the column at must be there" in said.err
    path.write_bytes("titel\nJörg".encode("latin-1"))
    assert "UTF-8" in headwater("incidents", "import", path).err
    said = headwater("changes", "record", "x", "--at", "2026-11-20", "--kind", "explosion")
    assert said.code == 1 and "one of deploy, config" in said.err


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(server.build(settings, pages=False, chores=False)) as client:
        yield client


def test_the_whole_life_of_an_incident_over_http(api: TestClient) -> None:
    told = {"title": "Cart slow", "severity": "high", "onset": "2026-11-20T01:00:00Z"}
    kept = api.post("/api/incidents", json=told | {"services": ["cart"]}).json()
    one = kept["incident"]["id"]
    assert (kept["created"], kept["incident"]["label_status"]) == (True, "unlabeled")
    body = api.get("/api/incidents/unlabeled").json()
    assert (body["labeled"], body["total"], len(body["incidents"])) == (0, 1, 1)
    edited = api.patch(f"/api/incidents/{one}", json={"severity": "low", "version": 1})
    assert (edited.status_code, edited.json()["severity"]) == (200, "low")
    assert api.patch(f"/api/incidents/{one}", json={"title": "x", "version": 1}).status_code == 409
    assert api.patch(f"/api/incidents/{one}/acknowledge").json()["status"] == "acknowledged"
    assert api.patch(f"/api/incidents/{one}/resolve", json={"note": "ok"}).status_code == 200
    api.post(f"/api/incidents/{one}/comments", json={"text": "looking"})
    shown = api.get(f"/api/incidents/{one}").json()
    assert {said["body"] for said in shown["comments"]} == {"ok", "looking"}
    assert api.get(f"/api/incidents/{one}/similar").json() == {"similar": []}
    assert api.get(f"/api/incidents/{one}/snapshots").json() == {"snapshots": None}
    listed = api.get(
        "/api/incidents", params={"domain": "services", "status": "any", "service": "cart"}
    ).json()
    assert [row["id"] for row in listed["incidents"]] == [one]
    asked = {"domain": "services", "status": "any", "start": "2026-11-20T01:00:01Z"}
    assert api.get("/api/incidents", params=asked).json()["incidents"] == []
    came = api.post("/api/incidents/import", json={"csv": SHEET}).json()
    assert (came["new"], came["refused"][0]["line"]) == (2, 4)


def test_changes_over_http(api: TestClient) -> None:
    told = {"kind": "config", "at": "2026-11-20T01:00:00Z", "title": "pool 10", "entity": "cart"}
    assert api.post("/api/changes", json=told).json()["id"] == 1
    csv = "at,kind,title\n2026-11-20T02:00:00Z,deploy,cart 1.2\n"
    assert api.post("/api/changes/import", json={"csv": csv}).json()["new"] == 1
    found = api.get("/api/changes", params={"entity": "cart"}).json()["changes"]
    assert [row["title"] for row in found] == ["pool 10", "cart 1.2"]
    asked = {"start": "2026-11-20T01:30:00Z", "end": "2026-11-20T03:00:00Z"}
    assert len(api.get("/api/changes", params=asked).json()["changes"]) == 1
    wrong = api.post("/api/changes", json=told | {"kind": "boom"})
    assert wrong.status_code == 422 and "deploy" in wrong.json()["error"]


def test_secrets_that_are_no_json_are_refused_by_name(
    headwater: Headwater, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWATER_PAGERDUTY_SECRETS", "a-secret-of-the-subscription")
    said = headwater("incidents", "list")
    assert said.code == 2 and "pagerduty_secrets" in said.err and "JSON" in said.err
    assert "a-secret" not in said.err and "Traceback" not in said.err
