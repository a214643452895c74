"""`headwater evaluate forecast` on a few series: its JSON, its table and its exit status."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core import catalog
from tests.workbench.conftest import Headwater


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Hours with a daily wave and weeks without one."""
    rng = np.random.default_rng(0)
    for name, n_time, horizon, wave in (("Hourly", 240, 24, 30.0), ("Weekly", 60, 6, 0.0)):
        times = np.arange(n_time + horizon)
        series = 100 + wave * np.sin(2 * np.pi * times / 24) + rng.normal(size=(4, len(times)))
        np.savez(
            tmp_path / f"{name}.npz",
            ids=np.array([f"{name[0]}{number}" for number in range(4)]),
            values=series[:, :n_time].ravel(),
            offsets=np.arange(5) * n_time,
            test=series[:, n_time:],
        )
    return tmp_path


def test_one_algorithm_is_one_object(headwater: Headwater, folder: Path) -> None:
    said = headwater("evaluate", "forecast", folder, "--algorithm", "ets", "--jobs", 1, "--json")
    assert said.code == 0
    found = said.json
    assert (found["algorithm"], found["series"]) == ("ets", 8)
    assert found["groups"].keys() == {"hourly", "weekly"}
    assert found["groups"]["hourly"]["smape"] < 2.0
    assert found["owa"] < 1.0
    assert found["coverage"].keys() == {"0.8", "0.95"}
    assert found["coverage"]["0.8"] < found["coverage"]["0.95"]
    assert found["ms_per_series"] > 0
    assert {row["group"] for row in found["per_series"]} == {"hourly", "weekly"}
    assert found["smape"] == pytest.approx(np.mean([row["smape"] for row in found["per_series"]]))


def test_several_are_a_list_and_a_failure_stops_nothing(headwater: Headwater, folder: Path) -> None:
    asked = ("--algorithm", "theta", "--algorithm", "seasonal-naive", "-p", "season=100")
    said = headwater("evaluate", "forecast", folder, *asked, "--jobs", 1, "--json")
    assert said.code == 1
    theta, naive = said.json["results"]
    assert (theta["series"], theta["failed"]) == (8, [])
    assert naive["series"] == 4
    assert "two seasons" in naive["failed"][0]["error"]


def test_the_table_has_a_part_for_each_group(headwater: Headwater, folder: Path) -> None:
    said = headwater("evaluate", "forecast", folder, "--algorithm", "theta", "--jobs", 1)
    assert said.code == 0
    for text in ("hourly", "weekly", "all", "OWA", "theta"):
        assert text in said.out


def test_one_group_is_told_once(headwater: Headwater, folder: Path) -> None:
    said = headwater(
        "evaluate", "forecast", folder / "Weekly.npz", "--algorithm", "seasonal-naive", "--jobs", 1
    )
    assert said.out.count("seasonal-naive") == 1
    assert "weekly" in said.out


def test_an_absent_library_is_told_with_where_to_get_it(
    headwater: Headwater, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "installed", lambda algorithm: algorithm.name != "theta")
    asked = ("evaluate", "forecast", folder, "--jobs", 1, "--algorithm", "theta")
    said = headwater(*asked)
    assert (said.code, "headwater algorithms" in said.err) == (1, True)
    assert "not scored: theta" in headwater(*asked, "--algorithm", "seasonal-naive").out


def test_a_detector_is_refused_by_name(headwater: Headwater, folder: Path) -> None:
    said = headwater("evaluate", "forecast", folder, "--algorithm", "robust-z")
    assert said.code == 1
    assert "robust-z" in said.err
