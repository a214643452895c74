"""`headwater simulate eventlog` and `headwater evaluate eventlog`: their JSON, their table and their exit status."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.detectors.tails import Histograms
from core.errors import TrainingError
from tests.workbench.conftest import Headwater


@pytest.fixture
def folder(headwater: Headwater, tmp_path: Path) -> Path:
    out = tmp_path / "bought"
    said = headwater("simulate", "eventlog", "--size", "XS", "--seed", 4, "--out", out, "--json")
    assert said.code == 0
    assert said.json["cases"] == 200
    return out


def test_one_algorithm_is_one_object_with_its_peers(headwater: Headwater, folder: Path) -> None:
    said = headwater("evaluate", "eventlog", folder, "--json")
    assert said.code == 0
    found = said.json
    assert (found["suite"], found["algorithm"], found["traces"]) == ("bought", "pca", 60)
    assert found["trace"].keys() == {"precision", "recall", "f1", "ap", "alarms"}
    assert found["attribute"].keys() == {*found["trace"], "ap_of"}
    assert found["attribute"]["ap_of"].keys() == {
        "activity",
        "resource",
        "time",
        "duration",
        "cost",
    }
    assert sum(row["traces"] for row in found["by_kind"].values()) == found["anomalous"]
    assert found["seconds"] > 0
    assert [peer["algorithm"] for peer in found["peers"]] == ["random", "rare-variant"]
    assert found["trace"]["ap"] > max(peer["trace"]["ap"] for peer in found["peers"])


def test_all_algorithms_are_a_list_and_say_which_do_not_apply(
    headwater: Headwater, folder: Path
) -> None:
    chosen = ("--algorithm", "ecod", "--algorithm", "lstm-autoencoder")
    said = headwater("evaluate", "eventlog", folder, *chosen, "--json")
    assert said.code == 0
    assert [row["algorithm"] for row in said.json["results"]] == ["ecod"]
    assert said.json["skipped"][0]["algorithm"] == "lstm-autoencoder"
    assert "a row of a table has one" in said.json["skipped"][0]["reason"]
    drawn = headwater("evaluate", "eventlog", folder, "--algorithm", "ecod")
    assert drawn.code == 0
    for word in ("ecod", "rare-variant", "random", "found by ecod"):
        assert word in drawn.out


def test_what_cannot_be_asked_is_refused(headwater: Headwater, folder: Path) -> None:
    for arguments, word in (
        (("--algorithm", "nothing"), "one of"),
        (("--budget", "2"), "a share of the traces"),
        (("--column", "case=nothing"), "one of case_id"),
        (("--algorithm", "lstm-autoencoder"), "a row of a table has one"),
    ):
        said = headwater("evaluate", "eventlog", folder, *arguments)
        assert said.code == 1
        assert word in said.err
    again = headwater("simulate", "eventlog", "--out", folder)
    assert again.code == 1
    assert "new or empty" in again.err


def test_an_algorithm_that_fails_stops_no_other(
    headwater: Headwater, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, rows: object) -> None:
        raise TrainingError.of("hbos", "the rows", "of another kind", "these")

    monkeypatch.setattr(Histograms, "_learn", refuse)
    chosen = ("--algorithm", "hbos", "--algorithm", "ecod")
    said = headwater("evaluate", "eventlog", folder, *chosen, "--json")
    assert said.code == 1
    assert [row["algorithm"] for row in said.json["results"]] == ["ecod"]
    assert said.json["failed"][0]["algorithm"] == "hbos"
    assert "of another kind" in said.json["failed"][0]["error"]
