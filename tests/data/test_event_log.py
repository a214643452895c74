from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import InvalidInputError, UnknownNameError
from data.event_log import EventLog, read_event_log, read_truth
from data.simulate.eventlog import simulate_eventlog

HEAD = "case:concept:name,concept:name,org:resource,time:timestamp,costs,region\n"


def written(folder: Path, text: str, name: str = "log.csv") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def when(log: EventLog) -> list[str]:
    return np.datetime_as_string(log.table.time, unit="s").tolist()


def test_columns_are_known_by_the_names_of_mining_tools_and_others_are_kept(tmp_path: Path) -> None:
    log = read_event_log(
        written(
            tmp_path,
            HEAD
            + "7,pay,ann,2026-01-05T11:00:00Z,3.5,north\n"
            + "7,ask,,2026-01-05T10:00:00Z,,north\n"
            + "3,ask,bob,2026-01-05T09:00:00Z,1,south\n",
        )
    )
    assert (log.rows, log.refused_rows) == (3, 0)
    assert log.table.keys == ("3", "7")
    assert log.table.text("activity").values() == ["ask", "ask", "pay"]
    assert log.table.text("resource").values() == ["bob", "", "ann"]
    assert log.table.text("region").values() == ["south", "north", "north"]
    assert log.table.text("file").values() == ["log.csv"] * 3
    np.testing.assert_array_equal(log.table.number("cost"), [1.0, np.nan, 3.5])
    assert np.isnan(log.table.number("duration")).all()


def test_times_are_read_in_their_own_zone_or_in_the_one_told(tmp_path: Path) -> None:
    text = (
        "case,activity,timestamp\n"
        "1,a,2026-07-01T12:00:00+02:00\n"
        "1,b,2026-07-01 12:30:00\n"
        "1,c,01.07.2026 13:00\n"
        "1,d,2026-01-01 13:00:00\n"
    )
    log = read_event_log(written(tmp_path, text), zone="Europe/Berlin")
    assert when(log) == [
        "2026-01-01T12:00:00",
        "2026-07-01T10:00:00",
        "2026-07-01T10:30:00",
        "2026-07-01T11:00:00",
    ]
    assert str(log.table.local_time[1]).startswith("2026-07-01T12:00")
    with pytest.raises(InvalidInputError, match="of the IANA list"):
        read_event_log(tmp_path / "log.csv", zone="Mars/Base")


def test_a_row_with_a_bad_cell_is_refused_by_line_and_rule_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    text = (
        "case,activity,timestamp,duration,cost\n"
        "1,a,2026-01-01 10:00,5,1\n"
        ",a,2026-01-01 11:00,5,1\n"
        "1,,2026-01-01 12:00,5,1\n"
        "1,b,yesterday,5,1\n"
        "1,c,2026-01-01 13:00,-5,1\n"
        "1,d,2026-01-01 14:00,5,cheap\n"
        "1,e,2026-01-01 15:00,,\n"
        "1,f,2026-01-01 16:00,1,1,1\n"
    )
    log = read_event_log(written(tmp_path, text))
    assert log.rows == 8
    assert len(log.table) + log.refused_rows == log.rows
    assert log.table.text("activity").values() == ["a", "e"]
    assert [(row.line, row.column, row.value) for row in log.refused] == [
        (3, "case", ""),
        (4, "activity", ""),
        (5, "timestamp", "yesterday"),
        (6, "duration", "-5"),
        (7, "cost", "cheap"),
        (9, "", "1"),
    ]
    assert log.refused[2].rule == "a date and time"


def test_a_mapping_says_what_columns_mean_and_in_what_a_duration_is(tmp_path: Path) -> None:
    file = written(tmp_path, "claim;what;done;took\nA;x;2026-01-01 10:00;90\n")
    mapping = {"case": "claim", "activity": "what", "timestamp": "done", "duration": "took"}
    log = read_event_log(file, mapping={**mapping, "duration_unit": "seconds"})
    assert log.table.number("duration").tolist() == [1.5]
    for bad, rule in (
        ({"case": "nothing"}, "one of claim, what, done, took"),
        ({"colour": "what"}, "duration_unit"),
    ):
        with pytest.raises(UnknownNameError, match=rule):
            read_event_log(file, mapping=bad)
    with pytest.raises(InvalidInputError, match="a column such as case, case_id") as refused:
        read_event_log(file)
    assert "--column case=…" in refused.value.hint


def test_a_duration_comes_from_its_unit_or_from_start_and_end(tmp_path: Path) -> None:
    hours = written(tmp_path, "case,activity,timestamp,duration_hours\n1,a,2026-01-01,2\n")
    assert read_event_log(hours).table.number("duration").tolist() == [120.0]
    text = (
        "case,activity,start,timestamp\n"
        "1,a,2026-01-01 10:00,2026-01-01 10:45\n"
        "1,b,2026-01-01 12:00,2026-01-01 11:00\n"
    )
    log = read_event_log(written(tmp_path, text, "ends.csv"))
    assert log.table.number("duration").tolist() == [45.0]
    assert log.refused[0].rule == "a date and time not after the timestamp"
    assert log.table.text("start").values() == ["2026-01-01 10:00"]


def test_parquet_and_a_folder_of_files_are_one_log_and_truth_is_no_part_of_it(
    tmp_path: Path,
) -> None:
    table = pa.table(
        {
            "case": ["1", "1"],
            "activity": ["a", "b"],
            "timestamp": pa.array([0, 3_600_000_000], pa.timestamp("us", "UTC")),
            "cost": [1.5, None],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    written(tmp_path, "case,activity,timestamp,note\n2,a,1970-01-02,x\n", "more/b.csv")
    written(tmp_path, "case_id,kind\n1,skip\n2,\n", "truth/traces.csv")
    log = read_event_log(tmp_path)
    assert when(log) == ["1970-01-01T00:00:00", "1970-01-01T01:00:00", "1970-01-02T00:00:00"]
    assert log.table.text("file").values() == ["a.parquet", "a.parquet", "more/b.csv"]
    assert log.table.text("note").values() == ["", "", "x"]
    truth = read_truth(tmp_path, log)
    assert truth.kinds.tolist() == ["skip", ""]
    assert truth.wrong is None


def test_truth_names_events_by_their_place_in_the_case(tmp_path: Path) -> None:
    written(
        tmp_path,
        "case,activity,timestamp\n1,b,2026-01-02\n1,a,2026-01-01\n",
    )
    written(tmp_path, "case_id,kind\n1,insert\n", "truth/traces.csv")
    file = written(
        tmp_path, "case_id,event_index,attribute\n1,1,activity\n", "truth/attributes.csv"
    )
    log = read_event_log(tmp_path)
    assert read_truth(tmp_path, log).wrong.tolist() == [[False] * 5, [True] + [False] * 4]
    for line in ("1,2,activity", "9,0,activity", "1,0,colour"):
        file.write_text(f"case_id,event_index,attribute\n{line}\n")
        with pytest.raises(InvalidInputError, match="line 2 must be an event of the log"):
            read_truth(tmp_path, log)
    written(tmp_path, "case_id,kind\n", "truth/traces.csv")
    with pytest.raises(InvalidInputError, match="there for every case"):
        read_truth(tmp_path, log)


def test_the_truth_of_a_simulated_log_lies_on_its_events(tmp_path: Path) -> None:
    simulate_eventlog(tmp_path / "log", size="S", seed=5)
    log = read_event_log(tmp_path / "log")
    truth = read_truth(tmp_path / "log", log)
    assert log.refused_rows == 0
    wrong_cases = np.unique(log.table.key_index[truth.wrong.any(axis=1)])
    assert set(wrong_cases) == set(np.flatnonzero(truth.kinds != ""))
    for row in csv.DictReader((tmp_path / "log/truth/attributes.csv").read_text().splitlines()):
        case = log.table.keys.index(row["case_id"])
        event = log.table.offsets[case] + int(row["event_index"])
        if row["attribute"] in ("duration", "cost"):
            ratio = log.table.number(row["attribute"])[event] / float(row["was"])
            assert abs(np.log(ratio)) > np.log(2.5)
        if row["attribute"] == "resource":
            assert log.table.text("resource").values()[event] != row["was"]
        if row["kind"] == "rework":
            activities = log.table.text("activity").values()
            assert activities[event] in activities[log.table.offsets[case] : event]


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="a file or a folder with one of"):
        read_event_log(tmp_path)
    with pytest.raises(InvalidInputError, match="a file or a folder with one of"):
        read_event_log(written(tmp_path, "case,activity,timestamp\n", "log.xlsx"))
