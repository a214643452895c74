"""Every layout is read by what it holds; what is wrong is told with file, rule and value."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidInputError
from data.labelled import published, suite, suites
from tests import labelled_suites as written

SHARED = Path(__file__).parents[3] / "shared" / "data" / "detection"


def only(folder: Path, at: int = 0) -> Any:
    (found,) = suites(folder)
    return found.case(found.series[at])


def test_a_whole_series_is_learned_from_and_scored(tmp_path: Path) -> None:
    case = only(written.write_series(tmp_path / "any name"))
    assert (case.panel.values.shape, case.train, case.whole, case.window) == (
        (1, 400, 1),
        200,
        True,
        20,
    )
    assert np.flatnonzero(case.labels).tolist() == list(range(300, 312))


def test_a_window_that_no_file_tells_is_the_period(tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    np.savez(folder / "a.npz", x=written.burst(0)[:, 0], y=written.labels())
    case = only(folder)
    assert (case.window, case.train) == (20, 0)


def test_a_split_series_keeps_its_times(tmp_path: Path) -> None:
    case = only(written.write_split(tmp_path / "kpi"))
    assert (case.train, case.whole, case.window) == (200, False, 20)
    assert case.panel.periods.labels[1] == np.datetime64(1_700_000_300, "s")
    assert np.flatnonzero(case.labels).tolist() == list(range(300, 312))


def test_causes_are_the_labelled_rows_of_a_segment(tmp_path: Path) -> None:
    case = only(written.write_split(tmp_path / "machines", n_metric=3))
    assert (case.window, case.panel.metrics) == (100, ("metric 1", "metric 2", "metric 3"))
    (cause,) = case.causes
    # the file ends one row behind the label, as the files of one suite do
    assert (cause.rows.tolist(), cause.metrics) == (list(range(300, 312)), frozenset({0}))


def test_a_stream_has_windows_of_rows_and_a_prefix_to_learn_from(tmp_path: Path) -> None:
    case = only(written.write_stream(tmp_path / "stream"))
    assert (case.windows, case.train, case.whole) == (((300, 311),), 60, False)
    assert case.panel.periods.step == np.timedelta64(300, "s")
    assert only(tmp_path / "stream", at=1).windows == ()


def test_a_table_is_a_panel_of_one_period(tmp_path: Path) -> None:
    case = only(written.write_table(tmp_path / "table"))
    assert (case.panel.values.shape, case.window, case.labels.sum()) == ((300, 1, 4), None, 30)


def test_a_folder_of_suites_gives_each_of_them_and_nothing_else(tmp_path: Path) -> None:
    found = suites(written.write_all(tmp_path / "all"))
    assert [(one.name, one.layout) for one in found] == [
        ("live", "stream"),
        ("metrics", "split"),
        ("rows", "table"),
        ("sines", "series"),
    ]


def test_a_folder_without_a_suite_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        InvalidInputError, match=r"folder of one of the layouts.*notes\.txt"
    ) as told:
        suites(tmp_path)
    # the hint says what each layout is
    assert "timestamp,value" in told.value.hint


def test_published_figures_are_the_mean_over_the_same_files(tmp_path: Path) -> None:
    found = suite(written.write_series(tmp_path / "sines"))
    assert found is not None
    assert published(found) == [{"algorithm": "Peer", "vus_pr": pytest.approx(0.2)}]


def test_published_figures_of_fewer_files_are_none(tmp_path: Path) -> None:
    folder = written.write_series(tmp_path / "sines")
    (folder / "case 0.npz").rename(folder / "unheard.npz")
    found = suite(folder)
    assert found is not None
    assert published(found) == []


def test_published_scores_of_a_stream_are_those_of_its_peers(tmp_path: Path) -> None:
    found = suite(written.write_stream(tmp_path / "stream"))
    assert found is not None
    nab = {"standard": 70.0, "low_fp": 60.0, "low_fn": 75.0}
    assert published(found) == [{"algorithm": "Peer", "nab": nab}]


GOOD = {"x": np.arange(9.0), "y": np.zeros(9, dtype=int)}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({**GOOD, "y": np.zeros(8)}, r"bad\.npz: y must be of shape \(9,\)"),
        ({**GOOD, "y": np.full(9, 2)}, r"bad\.npz: y must be 0 or 1.*Got 2"),
        ({**GOOD, "x": np.full(9, np.inf)}, r"bad\.npz: x must be finite"),
        ({**GOOD, "x": np.array(["a"] * 9)}, r"bad\.npz: x must be numbers"),
        ({**GOOD, "x": np.zeros((9, 1))}, r"bad\.npz: x must be of one dimension"),
        ({**GOOD, "window": -1}, r"bad\.npz: window must be a whole number in \[0, 90\]"),
        ({**GOOD, "train": 10}, r"bad\.npz: train must be a whole number in \[0, 9\]"),
        ({"x": GOOD["x"]}, r"bad\.npz must be an npz file with x, y. Got 'x'"),
    ],
)
def test_what_is_wrong_in_an_array_is_told(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    folder = tmp_path / "suite"
    folder.mkdir()
    np.savez(folder / "bad.npz", **arrays)
    np.savez(folder / "good.npz", **GOOD)
    with pytest.raises(InvalidInputError, match=message):
        only(folder)


def test_a_file_that_is_no_archive_is_told(tmp_path: Path) -> None:
    folder = written.write_series(tmp_path / "suite")
    (folder / "a broken one.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(
        InvalidInputError, match=r"a broken one\.npz must be an npz file.*a part of"
    ):
        only(folder)


def test_an_array_of_objects_is_not_opened(tmp_path: Path) -> None:
    folder = written.write_series(tmp_path / "suite")
    np.savez(folder / "a.npz", x=np.array([{}], dtype=object), y=np.zeros(1))
    with pytest.raises(InvalidInputError, match="allow_pickle=False"):
        only(folder)


def test_metrics_of_train_and_test_must_be_the_same(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train=np.zeros((9, 2)), test=np.zeros((9, 3)), test_y=np.zeros(9))
    with pytest.raises(InvalidInputError, match="metrics of each other"):
        only(tmp_path)


@pytest.mark.parametrize(
    ("line", "rule"),
    [("100:1", "first-last"), ("100-110:4", "of metrics 1 … 3"), ("1-9:1", "labelled rows")],
)
def test_a_wrong_cause_is_told_with_its_line(tmp_path: Path, line: str, rule: str) -> None:
    folder = written.write_split(tmp_path / "machines", n_metric=3)
    (folder / "0.interpretation.txt").write_text(f"100-112:1\n{line}\n")
    with pytest.raises(InvalidInputError, match=rf"0\.interpretation\.txt line 2 must be .*{rule}"):
        only(folder)


def renamed_columns(folder: Path) -> None:
    (folder / "data" / "kind" / "0.csv").write_text("time,value\n")


def without_rows(folder: Path) -> None:
    (folder / "data" / "kind" / "0.csv").write_text("timestamp,value\n")


def with_a_word(folder: Path) -> None:
    (folder / "data" / "kind" / "0.csv").write_text("timestamp,value\n2026-01-05,high\n")


def with_no_number(folder: Path) -> None:
    (folder / "data" / "kind" / "0.csv").write_text("timestamp,value\n2026-01-05,inf\n")


def newest_first(folder: Path) -> None:
    heading, *rows = (folder / "data" / "kind" / "0.csv").read_text().splitlines()
    (folder / "data" / "kind" / "0.csv").write_text("\n".join([heading, *rows[::-1]]))


def with_a_window_between_rows(folder: Path) -> None:
    windows = {"kind/0.csv": [["2026-01-05 00:00:01", "2026-01-05 01:00:00"]]}
    (folder / "combined_windows.json").write_text(json.dumps(windows))


def without_its_windows(folder: Path) -> None:
    (folder / "combined_windows.json").write_text("{}")


def with_half_a_file(folder: Path) -> None:
    (folder / "combined_windows.json").write_text("{")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (renamed_columns, r"kind/0\.csv must be a table with columns timestamp and value"),
        (without_rows, r"kind/0\.csv must be a table with rows"),
        (with_a_word, r"kind/0\.csv line 2 must be a time and a number"),
        (with_no_number, r"kind/0\.csv: value must be finite"),
        (newest_first, r"kind/0\.csv: timestamp must be in the order of time"),
        (with_a_window_between_rows, r"a window must be two times that are rows of kind/0\.csv"),
        (without_its_windows, r"windows for every file of data/.*none for kind/0\.csv"),
        (with_half_a_file, r"combined_windows\.json must be a JSON object"),
    ],
)
def test_what_is_wrong_in_a_stream_is_told(
    tmp_path: Path, harm: Callable[[Path], None], message: str
) -> None:
    folder = written.write_stream(tmp_path / "stream")
    harm(folder)
    with pytest.raises(InvalidInputError, match=message):
        only(folder)


def test_a_clock_set_back_once_is_no_disorder(tmp_path: Path) -> None:
    folder = written.write_stream(tmp_path / "stream")
    whole = only(folder, at=1)
    heading, *rows = (folder / "data" / "kind" / "1.csv").read_text().splitlines()
    rows[150:150] = rows[140:150]
    (folder / "data" / "kind" / "1.csv").write_text("\n".join([heading, *rows]))
    assert len(only(folder, at=1).labels) == len(whole.labels) + 10


def test_a_missing_value_stays_missing(tmp_path: Path) -> None:
    folder = written.write_stream(tmp_path / "stream")
    rows = "timestamp,value\n2026-01-05 00:00:00,\n2026-01-05 00:05:00,2\n"
    (folder / "data" / "kind" / "1.csv").write_text(rows)
    assert np.isnan(only(folder, at=1).panel.values).ravel().tolist() == [True, False]


def test_the_shared_suites_are_read() -> None:
    if not SHARED.is_dir():
        pytest.skip("the labelled series of ../shared/data/detection are not here")
    found = {one.name: one for one in suites(SHARED)}
    layouts = {name: (one.layout, len(one.series)) for name, one in found.items()}
    assert layouts == {
        "adbench": ("table", 12),
        "aiops5m": ("split", 4),
        "asd": ("split", 8),
        "nab": ("stream", 41),
        "smd": ("split", 4),
        "tsbu": ("series", 46),
        "wsd": ("split", 40),
    }
    machine = found["smd"].case("machine-1-6.npz")
    assert (machine.panel.values.shape, len(machine.causes)) == ((1, 47_377, 38), 30)
    # every labelled row belongs to the causes of one segment
    rows = np.concatenate([cause.rows for cause in machine.causes])
    assert sorted(rows.tolist()) == np.flatnonzero(machine.labels).tolist()
