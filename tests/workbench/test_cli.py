"""The command line: one JSON object on stdout, errors with their cure on stderr, the same with and without a server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.server import serving
from tests.workbench.conftest import Headwater
from workbench.context import open_context
from workbench.scheduler import CHORES
from workbench.services import schedule
from workbench.settings import Settings


def test_what_there_is_comes_as_one_json_object(headwater: Headwater, detected: Path) -> None:
    alerts = headwater("alerts", "list", "--json", home=detected)
    assert (alerts.code, alerts.err) == (0, "")
    assert {"campaign:955619504315256", "campaign:335411891470201"} <= {
        row["entity"] for row in alerts.json["alerts"]
    }
    incidents = headwater("incidents", "list", "--json", home=detected).json["incidents"]
    assert len(incidents) == 3
    top = incidents[0]
    shown = headwater("incidents", "show", top["id"], "--json", home=detected).json
    assert shown["incident"]["root_entity"] == top["root_entity"]
    number = shown["alerts"][0]["id"]
    why = headwater("explain", number, "--json", home=detected).json
    assert why["sentence"]
    cause = headwater("cause", number, "--method", "bfs-temporal", "--json", home=detected).json
    assert (cause["id"], cause["method"]) == (number, "bfs-temporal")
    assert headwater("doctor", "--json", home=detected).json["ok"] is True
    listed = headwater("algorithms", "--json", home=detected).json["algorithms"]
    assert {"ensemble", "tree-scan"} <= {row["name"] for row in listed}


def test_a_person_is_shown_a_table(headwater: Headwater, detected: Path) -> None:
    said = headwater("incidents", "list", home=detected)
    assert said.code == 0
    assert "Paused on campaign SP | Garden | Plant Pot 03" in said.out
    assert not said.out.startswith("{")


def test_detection_has_the_fields_of_the_api(headwater: Headwater, detected: Path) -> None:
    said = headwater(
        "detect", "--level", "campaign", "--detector", "robust-z", "--json", home=detected
    )
    assert said.code == 0
    report = said.json
    assert report["total_entities_checked"] == 6
    assert report["anomalies_detected"] == len(report["alerts"])
    assert report["severity_counts"].keys() == {"low", "medium", "high", "critical"}
    assert report["execution_time_ms"] > 0


def test_verbs_and_undo(headwater: Headwater, detected: Path) -> None:
    done = headwater("alerts", "ack", 1, "--note", "on it", "--json", home=detected)
    assert (done.code, done.json["status"]) == (0, "acknowledged")
    shown = headwater("alerts", "show", 1, "--json", home=detected).json
    assert [row["body"] for row in shown["comments"]] == ["on it"]
    assert [*shown["alert"]] == [*done.json]  # one order of fields, however a record was read
    assert headwater("alerts", "undo", "--json", home=detected).code == 0
    assert headwater("alerts", "show", 1, "--json", home=detected).json["alert"]["status"] == "open"


def test_a_change_is_told_in_a_line_with_its_way_back(headwater: Headwater, detected: Path) -> None:
    assert headwater("alerts", "ack", 1, home=detected).out.startswith("Acknowledged: 1, ")
    assert headwater("alerts", "comment", 1, "on it", home=detected).out == (
        "Comment kept on alert 1.\n"
    )
    undone = headwater("alerts", "undo", home=detected).out
    assert undone.startswith("Undid a change of alert 1. `undo ")
    headwater("alerts", "undo", home=detected)
    said = headwater("alerts", "undo", home=detected)
    assert (said.code, said.err) == (
        1,
        "Nothing to undo: ana changed nothing that still stands.\n",
    )


def test_an_onset_is_shown_as_the_day_that_the_sentence_names(
    headwater: Headwater, detected: Path
) -> None:
    top = headwater("incidents", "list", "--json", home=detected).json["incidents"][0]
    line = next(
        row
        for row in headwater("incidents", "list", home=detected).out.splitlines()
        if row.startswith(f"{top['id']} ")
    )
    day = datetime.fromisoformat(top["candidates"][0]["onset_day"])
    assert f"since {day.day} {day:%b}" in line
    assert f"{day:%Y-%m-%d}" in line


def test_a_folder_with_nothing_to_import_is_no_success(
    headwater: Headwater, tmp_path: Path
) -> None:
    (tmp_path / "bare").mkdir()
    said = headwater("import", tmp_path / "bare")
    assert (said.code, said.out.splitlines()[0]) == (1, "Nothing to import here.")


def test_an_import_twice_and_a_batch_taken_back(
    headwater: Headwater, world: Path, tmp_path: Path
) -> None:
    folder = world / "2026-03-15"
    first = headwater("import", folder, "--json")
    assert (first.code, first.json["new"] > 2000, first.json["refused"]) == (0, True, 0)
    again = headwater("import", folder, "--json")
    assert (again.code, again.json["new"]) == (0, 0)
    assert all(row["message"].startswith("already loaded") for row in again.json["files"])
    batches = headwater("batches", "list", "--json").json["batches"]
    undone = headwater("batches", "undo", batches[0]["id"], "--json").json
    assert undone["removed"] > 0


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_dry_run_fails_where_anything_is_refused_an_import_loads_the_rest(
    headwater: Headwater, tmp_path: Path, dry_run: bool
) -> None:
    rows = [
        {"date": day, "campaignId": 123456789012345, "campaignName": "A", "clicks": 3, "cost": 1.5}
        | {"impressions": 100, "campaignStatus": "ENABLED", "campaignBudgetCurrencyCode": "USD"}
        for day in ("2026-03-01", "yesterday")
    ]
    file = tmp_path / "2026-03-02" / "spCampaigns_3100000001.json"
    file.parent.mkdir()
    file.write_text(json.dumps(rows))
    said = headwater("import", file, "--json", *(["--dry-run"] if dry_run else []))
    report = said.json
    assert said.code == (1 if dry_run else 0)
    assert report["refused"] == 1
    assert report["quarantine"][0]["value"] == "yesterday"
    kept = headwater("batches", "list", "--json").json["batches"]
    assert len(kept) == (0 if dry_run else 1)


@pytest.mark.parametrize(
    ("arguments", "told", "hint"),
    [
        (
            ["detect"],
            "detection: reports of Amazon ads must be imported first. Got 0.",
            "headwater import PATH",
        ),
        (["alerts", "show", "999"], "999", ""),
        (["detect", "--level", "shop"], "the level must be one of", ""),
        (["detect", "--detector", "magic"], "the detector must be one of", ""),
        (["simulate", "ads", "--size", "Q", "--out", "./world"], "size must be one of XS, S", ""),
    ],
)
def test_what_fails_exits_1_and_says_why(
    headwater: Headwater, arguments: list[str], told: str, hint: str
) -> None:
    said = headwater(*arguments)
    assert said.code == 1
    assert said.out == ""
    assert told in said.err
    assert ("Hint: " in said.err) >= bool(hint)
    assert hint in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["alerts", "show"],
        ["alerts", "show", "x"],
        ["import", "/no/such/file"],
        ["alerts", "list", "--severity", "awful"],
        ["serve", "--port", "99999"],
        ["detect", "--at", "someday"],
        ["bench", "nothing"],
    ],
)
def test_wrong_usage_exits_2(headwater: Headwater, arguments: list[str]) -> None:
    said = headwater(*arguments)
    assert said.code == 2
    assert said.out == ""
    assert said.err
    assert "Traceback" not in said.err


def test_a_token_is_shown_once_and_never_kept(headwater: Headwater, tmp_path: Path) -> None:
    said = headwater("tokens", "create", "bob", "--json")
    secret = said.json["token"]
    assert secret.startswith("hw.local.")
    headwater("doctor")
    assert not [
        file
        for file in (tmp_path / "empty").rglob("*")
        if file.is_file() and secret.encode() in file.read_bytes()
    ]


def test_a_running_server_answers_as_the_process_itself(
    headwater: Headwater, detected: Path, tmp_path: Path
) -> None:
    questions = (
        ["alerts", "list", "--limit", "5", "--json"],
        ["alerts", "show", "1", "--json"],
        ["alerts", "list", "--tenant", "other", "--json"],
        ["incidents", "list", "--json"],
        ["incidents", "show", "1", "--json"],
        ["explain", "1", "--json"],
        ["cause", "1", "--json"],
        ["batches", "list", "--json"],
        ["alerts", "show", "999"],
    )

    def answers() -> list[tuple[int, Any, str]]:
        said = [headwater(*question, home=detected) for question in questions]
        return [(code, json.loads(out or "null"), err) for code, out, err in said]

    before = answers()
    home = tmp_path / detected.name
    with open_context(Settings(home=home, tenant="local", user="ana")) as context:
        for chore in CHORES:  # nothing is due while the server runs
            schedule.mark_finished(context, chore.name, datetime.now(UTC) + timedelta(days=1))
    with serving(home):
        assert answers() == before
        done = headwater("alerts", "ack", "1", "--json", home=detected)
        assert done.json["status"] == "acknowledged"
    shown = headwater("alerts", "show", "1", "--json", home=detected).json
    assert shown["alert"]["status"] == "acknowledged"
    assert shown["history"][0]["actor"] == "ana"


def test_models_are_listed_shown_and_verified(
    headwater: Headwater, detected: Path, tmp_path: Path
) -> None:
    (listed,) = headwater("models", "list", "--json", home=detected).json["models"]
    assert listed["aliases"] == ["champion"]
    shown = headwater("models", "show", listed["id"], "--json", home=detected).json
    assert shown["aliases"] == listed["aliases"] == ["champion"]
    assert shown["manifest"]["algorithm"] == listed["name"] == "ensemble"
    assert headwater("models", "verify", "--json", home=detected).json["ok"] is True
    text = next((tmp_path / detected.name / "registry" / "ensemble").glob("*/text.json"))
    text.write_bytes(text.read_bytes().replace(b"lstm", b"1stm", 1))
    said = headwater("models", "verify", home=detected)
    assert said.code == 1
    assert "ChecksumMismatchError" in said.out
    sick = headwater("doctor", "--json", home=detected)
    assert (sick.code, sick.json["status"]) == (1, "failing")
    assert sick.json["models"]["unsound"].keys() == {listed["id"]}
