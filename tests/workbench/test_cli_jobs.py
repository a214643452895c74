"""`headwater train` and `headwater jobs` on a small account, in this process and with workers of their own."""

from __future__ import annotations

from pathlib import Path

from tests.workbench.conftest import Headwater


def test_a_training_ends_with_what_it_made_and_the_next_one_is_the_challenger(
    headwater: Headwater, detected: Path
) -> None:
    said = headwater("train", "robust-z", "--json", home=detected)
    assert said.code == 0, said.err
    made = said.json
    assert set(made) == {
        "job",
        "version",
        "metrics",
        "seconds",
        "device",
        "sequences_per_second",
    }
    assert made["device"] == "cpu"
    assert made["seconds"] > 0
    assert made["sequences_per_second"] > 0
    assert 0 <= made["metrics"]["alarm_share"] < 0.1

    shown = headwater("models", "show", made["version"], "--json", home=detected).json
    assert shown["aliases"] == ["challenger"], "detection made the champion"
    assert shown["manifest"]["params"]["parts"] == "robust-z=1"
    assert shown["manifest"]["training"]["snapshot_digest"]
    listed = headwater("jobs", "list", "--json", home=detected).json["jobs"]
    assert [(row["id"], row["state"], row["progress"]) for row in listed] == [
        (made["job"], "succeeded", 1.0)
    ]
    one = headwater("jobs", "show", made["job"][:6], "--json", home=detected).json
    assert one["result_ref"] == made["version"]
    assert one["snapshot_digest"] == shown["manifest"]["training"]["snapshot_digest"]
    assert headwater("jobs", "list", home=detected).out.count(made["job"]) == 1


def test_a_part_of_the_champion_is_learned_anew_inside_it(
    headwater: Headwater, detected: Path
) -> None:
    champion = next(
        row
        for row in headwater("models", "list", "--json", home=detected).json["models"]
        if "champion" in row["aliases"]
    )
    said = headwater(
        "train", "isolation-forest", "--part", "-p", "trees=30", "--json", home=detected
    )
    assert said.code == 0, said.err
    manifests = [
        headwater("models", "show", version, "--json", home=detected).json["manifest"]
        for version in (champion["id"], said.json["version"])
    ]
    before, after = (manifest["members"] for manifest in manifests)
    assert set(before) == set(after)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"isolation-forest"}
    assert "isolation-forest.trees=30" in manifests[1]["params"]["settings"]
    assert manifests[1]["parent"] == champion["id"]


def test_what_cannot_be_trained_is_refused_with_its_cure(
    headwater: Headwater, detected: Path
) -> None:
    cases = {
        ("train", "oracle"): "the algorithm must be one of the catalogue's",
        ("train", "bfs-temporal"): "bfs-temporal is a localizer: it scores no days by itself",
        ("train", "robust-z", "-p", "size=3"): "parameter must be one of",
        ("train", "robust-z", "--from", "2026-03-14"): "periods must be",
        ("train", "robust-z", "--device", "cuda:7"): "the device must be one of auto, cpu",
        ("train", "robust-z", "--domain", "epc"): "the domain must be one of",
        ("train", "robust-z", "--preset", "huge"): "the preset must be one of",
        ("jobs", "cancel", "nobody"): "the job must be one of this tenant's",
    }
    for arguments, told in cases.items():
        said = headwater(*arguments, home=detected)
        assert (said.code, said.out) == (1, ""), arguments
        assert told in said.err.replace("\n", " "), arguments
    assert headwater("jobs", "list", "--json", home=detected).json == {"jobs": []}


def test_a_waiting_job_is_cancelled_and_resumed(headwater: Headwater, detected: Path) -> None:
    waiting = headwater("train", "robust-z", "--no-wait", "--json", home=detected).json
    assert waiting["state"] == "queued"
    said = headwater("jobs", "cancel", waiting["job"], "--json", home=detected)
    assert said.json["state"] == "cancelled"
    again = headwater("jobs", "cancel", waiting["job"], home=detected)
    assert again.code == 1
    assert "queued or running" in again.err
    resumed = headwater("jobs", "resume", waiting["job"], "--json", home=detected)
    assert resumed.json["job"] == waiting["job"]
    assert resumed.json["version"]


def test_a_job_that_nobody_looks_after_is_taken_up_by_resume(
    headwater: Headwater, detected: Path
) -> None:
    said = headwater("train", "robust-z", "--no-wait", home=detected)
    assert (said.code, "is queued, until: headwater jobs resume, or serve" in said.out) == (0, True)
    waiting = headwater("jobs", "list", "--json", home=detected).json["jobs"][0]["id"]
    taken = headwater("jobs", "resume", waiting[:8], home=detected)
    assert taken.code == 0, taken.err
    made = headwater("jobs", "show", waiting, "--json", home=detected).json["result_ref"]
    assert f"Job {waiting[:8]} (robust-z) made version {made} on cpu." in taken.out
    shown = headwater("models", "show", made[-8:], "--json", home=detected)
    assert shown.json["id"] == made
