"""The NAB scorer against what the benchmark itself gives for published scores."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pyarrow import parquet

from core.errors import InvalidInputError
from core.evaluate.nab import PROFILES, nab_score, nab_scores, probation
from data.labelled import Case, suite

NAB = Path(__file__).parents[4] / "shared" / "data" / "detection" / "nab"
STANDARD = PROFILES["standard"]


def alarms(n: int, *rows: int) -> NDArray[np.float64]:
    scores = np.zeros(n)
    scores[list(rows)] = 1.0
    return scores


def test_a_perfect_detector_has_100_and_a_silent_one_0() -> None:
    windows = [(50, 59), (80, 89)]
    assert set(nab_scores([(alarms(100, 50, 80), windows)]).values()) == {100.0}
    assert set(nab_scores([(np.zeros(100), windows)]).values()) == {0.0}


def test_a_hit_at_the_right_edge_is_worth_less() -> None:
    def score(row: int) -> float:
        return nab_score([(alarms(100, row), [(50, 59)])], STANDARD)

    assert score(50) > score(55) > score(59) > 50.0
    # the last row lies a tenth of the width before the edge: 2 / (1 + e^-0.5) - 1, of the most there is
    worth = (2 / (1 + math.exp(-0.5)) - 1) / (2 / (1 + math.exp(-5)) - 1)
    assert score(59) == pytest.approx(100 * (worth + 1) / 2)


def test_a_window_counts_once_by_its_earliest_hit() -> None:
    once = nab_score([(alarms(100, 52), [(50, 59)])], STANDARD)
    assert nab_score([(alarms(100, 52, 54, 58), [(50, 59)])], STANDARD) == once


def test_a_false_alarm_costs_more_far_from_a_window_and_by_profile() -> None:
    def score(row: int, profile: str = "standard") -> float:
        return nab_score([(alarms(200, 50, row), [(50, 59)])], PROFILES[profile])

    assert 100.0 > score(61) > score(70) > score(150)
    assert score(150) == pytest.approx(100 * (2 - 0.11) / 2)
    assert score(150, "low_fp") == pytest.approx(100 * (2 - 0.22) / 2)
    assert score(150, "low_fn") == pytest.approx(100 * (3 - 0.11) / 3)


def test_a_window_may_be_a_single_row() -> None:
    assert nab_score([(alarms(5_000, 900), [(900, 900)])], STANDARD) == 100.0
    far = nab_score([(alarms(5_000, 900, 4_999), [(900, 900)])], STANDARD)
    assert far == pytest.approx(100 * (2 - 0.11) / 2)


def test_one_threshold_serves_all_series() -> None:
    # each alone is perfect; together the second's hit comes only with the first's false alarms
    first = (np.where(np.arange(100) == 50, 2.0, 1.0), [(50, 59)])
    second = (0.5 * alarms(100, 50), [(50, 59)])
    apart = [nab_score([one], STANDARD) for one in (first, second)]
    assert apart == [100.0, 100.0]
    assert nab_score([first, second], STANDARD) == 50.0


def test_the_first_part_is_not_scored() -> None:
    assert (probation(100), probation(10_000)) == (15, 750)
    assert nab_score([(alarms(100, 3, 50), [(50, 59)])], STANDARD) == 100.0


def test_without_windows_there_is_no_score() -> None:
    assert math.isnan(nab_score([(np.zeros(100), [])], STANDARD))
    # a window that ends before anything is scored cannot be found
    assert math.isnan(nab_score([(np.zeros(100), [(2, 9)])], STANDARD))


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="finite"):
        nab_score([(np.full(10, np.nan), [])], STANDARD)
    with pytest.raises(InvalidInputError, match=r"rows within 0 … 9.*\(8, 10\)"):
        nab_score([(np.zeros(10), [(8, 10)])], STANDARD)


def expected(detector: str) -> list[float]:
    scores = json.loads((NAB / "peers" / "expected.json").read_text())["scores"][detector]
    return [scores["standard"], scores["low_FP"], scores["low_FN"]]


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    found = suite(NAB) if NAB.is_dir() else None
    if found is None:
        pytest.skip("the labelled series of ../shared/data/detection/nab are not here")
    return {name: found.case(name) for name in found.series}


@pytest.mark.parametrize("detector", ["ARTime", "numenta", "contextOSE"])
def test_published_scores_give_the_published_figures(detector: str, cases: dict[str, Case]) -> None:
    table = parquet.read_table(
        NAB / "peers" / "scores.parquet", filters=[("detector", "=", detector)]
    )
    rows = table.sort_by([("file", "ascending"), ("row", "ascending")]).to_pydict()
    files, scores = np.array(rows["file"]), np.array(rows["score"])
    streams = [(scores[files == name], case.windows or ()) for name, case in cases.items()]
    assert list(nab_scores(streams).values()) == pytest.approx(expected(detector), abs=0.1)


def test_the_windowed_gaussian_gives_the_published_figures(cases: dict[str, Case]) -> None:
    """Its scores crowd below 1 and only differ in their last digits, which the table of scores has no room for.

    So they are made anew by its rule: the tail of a normal distribution of the last 6,400 values, renewed
    every 100, written with 12 decimals as its file of results was.
    """
    streams = [
        (np.round(windowed_gaussian(case.panel.values[0, :, 0]), 12), case.windows or ())
        for case in cases.values()
    ]
    assert list(nab_scores(streams).values()) == pytest.approx(
        expected("windowedGaussian"), abs=0.1
    )


def windowed_gaussian(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores by NAB's `windowedGaussian_detector.py`."""
    n, full, step = len(values), 6_400, 100
    scores = np.zeros(n)
    mean = spread = 0.0
    for row in range(n):
        if row:
            scores[row] = 1.0 - 0.5 * math.erfc(abs(values[row] - mean) / spread / math.sqrt(2))
        if row < full or (row + 1 - full) % step == 0:
            known = values[max(0, row + 1 - full) : row + 1]
            mean, spread = known.mean(), known.std() or 1e-6
    return scores
