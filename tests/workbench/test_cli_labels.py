"""`headwater labels` end to end in an empty home: draw, submit, undo, words, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data import alert_store
from data.records import LabelItem
from tests.findings import NOW, new_alert
from tests.workbench.conftest import Headwater
from workbench.context import open_context
from workbench.services import incidents
from workbench.settings import Settings

TENANT = "local"


def home(tmp_path: Path) -> Path:
    """A home with two alerts that wait for a label, and an incident that a file told."""
    place = tmp_path / "made"
    with open_context(Settings(home=place, tenant=TENANT, user="ana")) as context:

        def write(session: Any) -> None:
            found = [new_alert("campaign:1"), new_alert("campaign:2")]
            about = {"tenant": TENANT, "actor": "detection", "now": NOW}
            for number in alert_store.upsert(session, found=found, **about).ids:
                session.add(
                    LabelItem(
                        tenant=TENANT,
                        domain="ads",
                        subject_kind="alert",
                        subject_id=number,
                        slice="hard",
                        reason="The detectors disagree",
                        priority=-number,
                        created_at=NOW,
                    )
                )

        context.records.write(TENANT, write)
        incidents.import_csv(
            context,
            TENANT,
            "services",
            b"id,title,severity,started_at\nINC-1,Cart slow,high,2026-11-19T10:00:00Z\n",
            actor="ana",
        )
    return place


def test_draw_submit_undo_and_progress(headwater: Headwater, tmp_path: Path) -> None:
    place = home(tmp_path)
    first = headwater("labels", "next", "--json", home=place).json["item"]
    assert (first["id"], first["subject_id"]) == (1, 1)
    told = headwater("labels", "next", home=place).out
    assert "Item 1: alert 1, yours until" in told and "The detectors disagree" in told
    said = headwater("labels", "submit", 1, "real", "--cause", "bid_up", "--json", home=place).json
    assert (said["label"]["cause"], said["next"]["id"]) == ("bid_up", 2)
    listed = headwater("labels", "list", home=place).out
    assert "Bid raised" in listed and "campaign:1" in listed and "alert/1" in listed
    assert headwater("labels", "progress", "--json", home=place).json["done"] == 1
    assert headwater("labels", "undo", "--json", home=place).json["item"]["id"] == 1
    refused = headwater("labels", "submit", 1, "real", "--cause", "gremlins", home=place)
    assert refused.code == 1 and "the cause must be one of budget_cut" in refused.err
    assert headwater("labels", "skip", 1, "Not now", "--json", home=place).json["item"]["id"] == 2


def test_words_are_added_renamed_merged_and_counted_by_version(
    headwater: Headwater, tmp_path: Path
) -> None:
    place = home(tmp_path)
    shown = headwater("labels", "taxonomy", "--json", "--domain", "services", home=place).json
    names = [cause["name"] for cause in shown["taxonomy"]["causes"]]
    assert (names[0], names[-1], len(names)) == ("memory_leak", "unknown", 9)
    edit = (
        "labels", "taxonomy", "--domain", "services", "--add", "dns=DNS failure",
        "--rename", "disk_full=Disk full or slow", "--merge", "network_latency=dns",
    )  # fmt: skip
    made = headwater(*edit, "--json", home=place).json["taxonomy"]
    assert made["number"] == 1
    by_name = {cause["name"]: cause for cause in made["causes"]}
    assert by_name["dns"] == {
        "name": "dns", "label": "DNS failure", "key": "9", "retired": False, "merged_into": "",
    }  # fmt: skip
    assert by_name["disk_full"]["label"] == "Disk full or slow"
    assert (by_name["network_latency"]["retired"], by_name["network_latency"]["merged_into"]) == (
        True,
        "dns",
    )
    wrong = headwater("labels", "taxonomy", "--add", "dns", home=place)
    assert wrong.code == 2 and "NAME=LABEL" in wrong.err


def test_a_file_of_labels_is_taken_once_and_its_bad_rows_are_named(
    headwater: Headwater, tmp_path: Path
) -> None:
    place = home(tmp_path)
    file = tmp_path / "labels.csv"
    file.write_text(
        "incident_id,annotator,root_cause,component,confidence,at\n"
        "INC-1,bea,memory_leak,service:cart,low,2026-11-19T12:00:00Z\n"
        "INC-1,cem,memory_leak,,0.95,2026-11-19T13:00:00Z\n"
        "INC-2,bea,memory_leak,,high,2026-11-19T13:00:00Z\n"
        "INC-1,dan,gremlins,,high,2026-11-19T13:00:00Z\n"
        "INC-1,dan,disk_full,,sure,2026-11-19T13:00:00Z\n"
    )
    brought = headwater("labels", "import", file, "--json", home=place)
    assert brought.code == 1
    assert (brought.json["new"], brought.json["unchanged"]) == (2, 0)
    assert [(row["line"], row["value"]) for row in brought.json["refused"]] == [
        (4, "INC-2"),
        (5, "gremlins"),
        (6, "sure"),
    ]
    again = headwater("labels", "import", file, "--json", home=place).json
    assert (again["new"], again["unchanged"]) == (0, 2)
    labels = headwater("labels", "list", "--domain", "services", "--json", home=place).json
    assert [(row["labelled_by"], row["confidence"]) for row in labels["labels"]] == [
        ("cem", 0.9),
        ("bea", 0.3),
    ]
    assert labels["labels"][1]["labelled_at"].startswith("2026-11-19T12:00")
    incident = headwater("incidents", "show", 1, "--json", home=place).json["incident"]
    assert (incident["root_cause"], incident["label_status"]) == ("memory_leak", "validated")
