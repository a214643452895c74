"""`headwater evaluate failure`: its keys, its split, what recurs every day is foretold, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import labelled_suites as written
from tests.workbench.conftest import Headwater

DAY, DAYS = 96, 30
KEYS = {
    "suite",
    "algorithm",
    "horizon",
    "budget_per_1000",
    "gap",
    "day",
    "series",
    "periods",
    "events",
    "base_rate",
    "average_precision",
    "lift",
    "caught",
    "lead",
    "false_alarms_per_1000",
    "ci",
    "per_series",
    "over_logistic",
    "seconds",
    "error",
}


def write(folder: Path, n: int = 2) -> Path:
    """Servers with a daily wave that fail at the same time of most days, without any other sign."""
    folder.mkdir()
    for number in range(n):
        rng = np.random.default_rng(number)
        times = np.arange(2 * DAY * DAYS)
        wave = np.sin(2 * np.pi * times / DAY)[:, None]
        values = wave * (1.0, 2.0, 0.5) + rng.normal(0, 0.1, (len(times), 3))
        labels = np.zeros(DAY * DAYS, dtype=np.int8)
        for day in range(DAYS):
            if rng.random() < 0.8:
                first = day * DAY + 40 + 10 * number
                labels[first : first + 4] = 1
                values[DAY * DAYS + first : DAY * DAYS + first + 4] += 4.0
        half = DAY * DAYS
        np.savez(
            folder / f"server {number}.npz", train=values[:half], test=values[half:], test_y=labels
        )
    return folder


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("failures") / "servers")


def test_what_recurs_is_foretold_with_its_lead(headwater: Headwater, suite: Path) -> None:
    said = headwater(
        "evaluate", "failure", suite, "--algorithm", "extra-trees", "--algorithm", "logistic",
        "--horizon", 12, "--gap", 5, "--budget", 5, "--json",
    )  # fmt: skip
    assert said.code == 0
    assert said.json["skipped"] == []
    trees, logistic = said.json["results"]
    assert trees.keys() == KEYS == logistic.keys()
    assert (trees["suite"], trees["algorithm"], trees["horizon"]) == ("servers", "extra-trees", 12)
    assert trees["day"] == DAY
    assert trees["average_precision"] > 4 * trees["base_rate"]
    assert trees["ci"]["lift"][0] > 2
    assert trees["caught"] > 0.5
    assert trees["lead"]["q1"] <= trees["lead"]["median"] <= trees["lead"]["q3"] <= 12
    assert logistic["over_logistic"] is None
    gained = trees["average_precision"] - logistic["average_precision"]
    assert trees["over_logistic"]["average_precision"] == pytest.approx(gained)
    # the last 40 % of 30 days alone
    assert trees["events"] == sum(row["events"] for row in trees["per_series"]) <= 2 * 12
    assert "accuracy" not in said.out


def test_a_detector_is_judged_by_its_score(headwater: Headwater, suite: Path) -> None:
    said = headwater(
        "evaluate",
        "failure",
        suite,
        "--algorithm",
        "robust-z",
        "--horizon",
        12,
        "--jobs",
        1,
        "--json",
    )
    assert said.code == 0
    (found,) = said.json["results"]
    assert found["error"] == ""
    # nothing is odd before these events
    assert found["average_precision"] < 2.5 * found["base_rate"]


def test_what_cannot_be_asked_is_refused_by_name(
    headwater: Headwater, suite: Path, tmp_path: Path
) -> None:
    unknown = headwater("evaluate", "failure", suite, "--algorithm", "oracle")
    assert unknown.code != 0 and "oracle" in unknown.err
    other = headwater("evaluate", "failure", written.write_series(tmp_path / "sines"))
    assert other.code != 0 and "train, test and test_y" in other.err
    free = headwater("evaluate", "failure", suite, "--budget", 0)
    assert free.code != 0 and "the alarm budget must be above 0" in free.err
