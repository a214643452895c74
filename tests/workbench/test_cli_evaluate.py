"""`headwater evaluate detection` on small suites in every layout: its JSON, its table and its exit status."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import labelled_suites as written
from tests.workbench.conftest import Headwater

KEYS = {
    "suite",
    "algorithm",
    "series",
    "vus_pr",
    "auc_pr",
    "auc_roc",
    "best_f1",
    "nab",
    "fpr",
    "p_values",
    "seconds",
    "root_cause",
    "per_series",
    "failed",
}


def test_one_algorithm_on_one_suite_is_one_object(headwater: Headwater, tmp_path: Path) -> None:
    folder = written.write_series(tmp_path / "sines")
    said = headwater("evaluate", "detection", folder, "--algorithm", "robust-z", "--json")
    assert said.code == 0
    found = said.json
    assert found.keys() == KEYS
    assert (found["suite"], found["algorithm"], found["series"]) == ("sines", "robust-z", 3)
    assert found["nab"] == {"standard": None, "low_fp": None, "low_fn": None}
    assert found["fpr"].keys() == {"0.05", "0.01", "0.001"}
    rows = found["per_series"]
    assert [row["series"] for row in rows] == ["case 0.npz", "case 1.npz", "case 2.npz"]
    for figure in ("vus_pr", "auc_pr", "auc_roc", "best_f1"):
        assert found[figure] == pytest.approx(sum(row[figure] for row in rows) / 3)
        assert found[figure] > 0.8
    assert found["seconds"] == pytest.approx(sum(row["seconds"] for row in rows))


def by_pair(found: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["suite"], row["algorithm"]): row for row in found["results"]}


def test_every_layout_under_one_folder(headwater: Headwater, tmp_path: Path) -> None:
    folder = written.write_all(tmp_path / "all")
    names = ("robust-z", "pca", "seasonal-naive-residual")
    chosen = (*(word for name in names for word in ("--algorithm", name)), "-p", "largest=1")
    said = headwater("evaluate", "detection", folder, *chosen, "--jobs", 2, "--json")
    assert said.code == 0
    found = by_pair(said.json)
    (skipped,) = said.json["skipped"]
    assert (skipped["suite"], skipped["algorithm"]) == ("rows", "seasonal-naive-residual")
    assert "a row of a table has one" in skipped["reason"]
    every = {(suite, name) for suite in ("live", "metrics", "rows", "sines") for name in names}
    assert found.keys() == every - {("rows", "seasonal-naive-residual")}

    live = found["live", "robust-z"]
    assert live["nab"]["standard"] > 90.0
    # the second series of it has no window: it ranks nothing, and its rows are all normal
    assert [row["vus_pr"] is None for row in live["per_series"]] == [False, True]
    assert live["vus_pr"] == live["per_series"][0]["vus_pr"]
    assert live["per_series"][1]["fpr"]["0.05"] is not None

    table = found["rows", "pca"]
    assert (table["vus_pr"], table["fpr"]["0.01"], table["p_values"]) == (None, None, None)
    assert table["auc_roc"] > 0.9
    assert found["metrics", "pca"]["root_cause"] is None
    assert found["metrics", "robust-z"]["root_cause"]["hit@1"] == 1.0
    assert found["metrics", "robust-z"]["root_cause"]["segments"] == 2


def test_a_failing_case_is_told_and_stops_nothing(headwater: Headwater, tmp_path: Path) -> None:
    folder = written.write_series(tmp_path / "sines")
    (folder / "broken.npz").write_bytes(b"no archive")
    said = headwater("evaluate", "detection", folder, "--algorithm", "robust-z", "--json")
    assert said.code == 1
    assert said.json["series"] == 3
    (failed,) = said.json["failed"]
    assert failed["series"] == "broken.npz"
    assert "must be an npz file" in failed["error"]


def test_a_person_sees_a_table_with_the_published_figures(
    headwater: Headwater, tmp_path: Path
) -> None:
    folder = written.write_series(tmp_path / "sines")
    for number in (1, 2):
        with np.load(folder / f"case {number}.npz") as file:
            np.savez(folder / f"case {number}.npz", **{**file, "y": np.full(400, 2)})
    said = headwater("evaluate", "detection", folder, "--algorithm", "robust-z")
    lines = [line.rstrip() for line in said.out.splitlines()]
    assert lines[0] == "sines"
    assert lines[1].split()[:3] == ["Algorithm", "Series", "VUS-PR"]
    # the best first
    assert lines[2].startswith("robust-z")
    assert lines[3].split()[:4] == ["Peer", "(published)", "–", "0.2"]
    assert lines[4].startswith("  failed: robust-z on case 1.npz: labelled: case 1.npz: y must be")
    assert "best threshold chosen with the labels in hand" in lines[-1]


def test_where_every_case_failed_the_table_still_says_so(
    headwater: Headwater, tmp_path: Path
) -> None:
    folder = tmp_path / "kpi"
    folder.mkdir()
    for number in range(3):
        np.savez(folder / f"{number}.npz", train=np.zeros(9), test=np.zeros(9), test_y=np.eye(9)[0])
    said = headwater("evaluate", "detection", folder, "--algorithm", "seasonal-naive-residual")
    assert said.code == 1
    lines = said.out.splitlines()
    assert lines[1].split() == ["Algorithm", "Series", "Seconds"]
    assert lines[3].startswith("  failed: seasonal-naive-residual on 0.npz and 2 more: ")
    assert "at least 15. Got 9" in lines[3]


def test_the_best_of_a_stream_is_the_one_with_the_best_nab_score(
    headwater: Headwater, tmp_path: Path
) -> None:
    folder = written.write_stream(tmp_path / "live")
    said = headwater("evaluate", "detection", folder, "--algorithm", "robust-z")
    lines = said.out.splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["robust-z", "Peer"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--algorithm", "oracle"), 1, "evaluate: the algorithm must be all or one of"),
        (("--param", "window"), 2, "must be key=value"),
        (("--jobs", "0"), 2, "--jobs"),
    ],
)
def test_what_is_asked_wrongly_is_told(
    headwater: Headwater, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    folder = written.write_series(tmp_path / "sines")
    said = headwater("evaluate", "detection", folder, *arguments)
    assert said.code == code
    assert message in said.err


def test_what_is_no_folder_is_wrong_usage(headwater: Headwater, tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.touch()
    for path in (tmp_path / "nowhere", file):
        assert headwater("evaluate", "detection", path).code == 2
