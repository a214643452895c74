"""Files of measurements: long, wide, calls, nodes, edges, metrics, suites; what is refused is told."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl import Workbook

from core.domains.services import SERVICES
from data.ingest import measurements
from data.ingest.batch import SAMPLES, Samples

SUITES = Path(__file__).parents[4] / "shared" / "data" / "services"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDS = int(NOON.timestamp())


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(*paths: Path, **asked: object) -> list[Samples]:
    found = measurements.read_many(paths, domain=SERVICES, **asked)  # type: ignore[arg-type]
    return [replace(batch, samples=whole(batch)) for batch in found]


def whole(batch: Samples) -> pa.Table:
    """All its pieces; those of a file are there until the next one is read."""
    pieces = list(batch.pieces())
    return pa.concat_tables(pieces) if pieces else SAMPLES.empty_table()


def told(batch: Samples) -> list[tuple[str, str, int, float]]:
    """(entity, metric, seconds after noon, value), sorted."""
    return sorted(
        (
            row["entity"],
            row["metric"],
            int((row["moment"].replace(tzinfo=UTC) - NOON).total_seconds()),
            row["value"],
        )
        for row in batch.samples.to_pylist()
    )


CART = [("service:cart", "latency", 0, 1.5), ("service:cart", "latency", 60, 2.5)]


@pytest.mark.parametrize(
    "times",
    [
        ("2026-03-01T12:00:00Z", "2026-03-01 12:01:00"),
        ("2026-03-01T13:00:00+01:00", "2026-03-01T12:01:00+00:00"),
        (f"{SECONDS}", f"{SECONDS + 60}.0"),
        (f"{SECONDS * 1000}", f"{(SECONDS + 60) * 1000}"),
        (f"{SECONDS * 10**9}", f"{(SECONDS + 60) * 10**9}"),
    ],
)
def test_a_long_file_is_read_whatever_its_times(tmp_path: Path, times: tuple[str, str]) -> None:
    lines = "".join(
        f"{time},cart,latency,{value}\n" for time, value in zip(times, (1.5, 2.5), strict=True)
    )
    (batch,) = read(write(tmp_path / "a.csv", "time,node,metric,value\n" + lines))
    assert told(batch) == CART
    assert (batch.report, batch.rows, batch.refused) == ("long", 2, ())


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_a_parquet_keeps_its_types(tmp_path: Path, unit: str, zone: str | None) -> None:
    times = [NOON, NOON + timedelta(minutes=1)]
    if zone is None:
        times = [time.replace(tzinfo=None) for time in times]
    table = pa.table(
        {
            "time": pa.array(times, pa.timestamp(unit, zone)),
            "service": ["cart", "cart"],
            "metric": ["latency"] * 2,
            "value": pa.array([1.5, 2.5], pa.float32()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert told(read(tmp_path / "a.parquet")[0]) == CART


def test_a_wide_file_has_a_metric_per_column_and_leaves_text_aside(tmp_path: Path) -> None:
    text = f"timestamp,pod,cpu,errors,version\n{SECONDS},a,0.5,,v1\n{SECONDS + 60},b,NaN,3,v2\n"
    (batch,) = read(write(tmp_path / "a.csv", text))
    assert told(batch) == [("pod:a", "cpu", 0, 0.5), ("pod:b", "errors", 60, 3.0)]
    assert batch.notes == (
        "columns without any number were left aside: version",
        "2 cells are empty: missing",
    )
    table = pa.table({"time": [SECONDS], "pod": ["a"], "cpu": [0.5], "hits": [7], "by": ["x"]})
    pq.write_table(table, tmp_path / "b.parquet")
    wide = read(tmp_path / "b.parquet")[0]
    assert told(wide) == [("pod:a", "cpu", 0, 0.5), ("pod:a", "hits", 0, 7.0)]


def test_a_wide_file_may_have_many_hundred_metrics(tmp_path: Path) -> None:
    names = [f"measured_thing_number_{number}_total" for number in range(800)]
    lines = [
        f"{SECONDS + 60 * at},cart," + ",".join(str(at + n) for n in range(800)) for at in (0, 1)
    ]
    file = write(tmp_path / "a.csv", "\n".join(["time,service," + ",".join(names), *lines]) + "\n")
    (batch,) = read(file)
    assert batch.refused == ()
    assert set(told(batch)) == {
        ("service:cart", name, 60 * at, float(at + n))
        for n, name in enumerate(names)
        for at in (0, 1)
    }


def test_a_bad_cell_is_refused_by_line_and_the_rest_comes_in(tmp_path: Path) -> None:
    text = (
        "time,node,metric,value\n"
        f"{SECONDS},cart,latency,1.5\n"
        f"{SECONDS},cart,latency,fast\n"
        "yesterday,cart,latency,1\n"
        f"{SECONDS},,latency,1\n"
        f"{SECONDS},cart,,1\n"
        f"{SECONDS},cart,latency,inf\n"
        "155.5,cart,latency,1\n"
        "2126-01-01,cart,latency,1\n"
        "inf,cart,latency,1\n"
        "1e300,cart,latency,1\n"
        f"{SECONDS},cart,latency,1,5\n"
    )
    (batch,) = read(write(tmp_path / "a.csv", text))
    assert told(batch) == CART[:1]
    assert [(r.line, r.column, r.value) for r in batch.refused] == [
        (3, "value", "fast"),
        (4, "time", "yesterday"),
        (5, "node", ""),
        (6, "metric", ""),
        (7, "value", "inf"),
        (8, "time", "155.5"),
        (9, "time", "2126-01-01"),
        (10, "time", "inf"),
        (11, "time", "1e300"),
        (12, "the line", "5"),
    ]
    assert "evaluate cause" in batch.refused[5].rule
    assert batch.refused_rows == 10


def test_a_bad_cell_of_a_wide_file_is_told_once_by_its_own_column(tmp_path: Path) -> None:
    text = f"time,service,latency,errors\n{SECONDS},cart,n/a,2\nyesterday,cart,1,2\n"
    (batch,) = read(write(tmp_path / "a.csv", text))
    assert [(r.line, r.column, r.value) for r in batch.refused] == [
        (2, "latency", "n/a"),
        (3, "time", "yesterday"),
    ]
    assert told(batch) == [("service:cart", "errors", 0, 2.0)]


def test_semicolons_part_cells_whose_comma_is_the_decimal_mark(tmp_path: Path) -> None:
    text = f"time;service;latency;share\n{SECONDS};cart;1,5;1.234,5\n"
    (batch,) = read(write(tmp_path / "a.csv", text))
    assert told(batch) == CART[:1]
    assert "share" in batch.notes[0]


def test_a_metric_may_be_called_as_a_column_of_ours_and_an_index_has_no_name(
    tmp_path: Path,
) -> None:
    (batch,) = read(write(tmp_path / "a.csv", f",time,service,who,row\n0,{SECONDS},cart,3,4\n"))
    assert told(batch) == [("service:cart", "row", 0, 4.0), ("service:cart", "who", 0, 3.0)]


def test_a_workbook_keeps_its_times(tmp_path: Path) -> None:
    book = Workbook()
    for row in (["time", "service", "latency"], [datetime(2026, 3, 1, 12, 1), "cart", 2.5]):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    (batch,) = read(tmp_path / "a.xlsx")
    assert told(batch) == CART[1:]


TORN = {
    "archive.xlsx": (b"PK\x03\x04torn", "the file", "File is not a zip file"),
    "columns.csv": (b"when,service,latency\n", "the columns", "when, service, latency"),
    "garbage.parquet": (b"PAR1garbage", "the file", "Parquet magic bytes not found"),
    "latin.csv": ("time,node,cpu\n1,café,1\n".encode("latin-1"), "line 2", "bytes of another"),
    "quote.csv": (b'time,node,cpu\n1,"a,1\n', "line 2", "a quote without its pair"),
    "twice.csv": (b"time,node,cpu,CPU\n1,a,1,2\n", "the columns", "time, node, cpu, CPU"),
    "wide.csv": ("time,node,cpu\n".encode("utf-16"), "the first line", "UTF-16"),
}


def test_a_file_that_cannot_be_used_says_why_and_the_others_come_in(tmp_path: Path) -> None:
    for name, (content, _, _) in TORN.items():
        (tmp_path / name).write_bytes(content)
    write(tmp_path / "zz.csv", f"time,node,metric,value\n{SECONDS},cart,latency,1.5\n")
    *torn, good = read(tmp_path)
    assert [(batch.file, batch.format, batch.refused[0].column) for batch in torn] == [
        (name, "unknown", thing) for name, (_, thing, _) in TORN.items()
    ]
    for batch, (_, _, got) in zip(torn, TORN.values(), strict=True):
        assert got in batch.refused[0].value
    assert told(good) == CART[:1]


def test_a_long_file_is_handed_on_in_pieces_of_whole_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "metrics.csv", "metric,nature\nhits,counter\n")
    lines = [
        f"{SECONDS + 60 * minute},{node},{metric},{60 * minute + 5}"
        for minute in range(4)
        for node in ("cart", "pay", "shop")
        for metric in ("hits", "latency")
    ]
    write(tmp_path / "all.csv", "\n".join(["time,node,metric,value", *lines]))
    (_, once) = read(tmp_path)
    monkeypatch.setattr(measurements, "PIECE", 8)
    found = measurements.read_many([tmp_path], domain=SERVICES)
    next(found)
    batch = next(found)
    pieces = list(batch.pieces())
    assert [piece.num_rows for piece in pieces] == [3 + 4, 3 + 4, 3 + 4]
    assert batch.rows == 24
    assert told(replace(batch, samples=pa.concat_tables(pieces))) == told(once)
    whose = [set(piece["entity"].to_pylist()) for piece in pieces]
    assert whose == [{"service:cart"}, {"service:pay"}, {"service:shop"}]


def test_nodes_and_edges_name_who_was_measured(tmp_path: Path) -> None:
    write(
        tmp_path / "z.csv", f"time,node,metric,value\n{SECONDS},cart-1,cpu,1\n{SECONDS},db,cpu,2\n"
    )
    write(
        tmp_path / "nodes.csv",
        "node,level,parent,name,zone\ncart-1,pod,cart,,a\ncart,service,Shop/Front,Cart,\n,pod,,,\nx,planet,,,\n",
    )
    write(tmp_path / "edges.csv", "source,target\ndb,Cart\nn1,cart-1\ncart,cart\n,cart\n")
    nodes, edges, samples = read(tmp_path)
    assert nodes.components.to_pylist() == [
        {
            "id": "pod:cart-1",
            "level": "pod",
            "name": "cart-1",
            "parent": "service:cart",
            "attributes": '{"zone": "a"}',
        },
        {
            "id": "service:cart",
            "level": "service",
            "name": "Cart",
            "parent": None,
            "attributes": '{"parent": "Shop/Front"}',
        },
    ]
    assert [(r.line, r.column, r.value) for r in nodes.refused] == [
        (4, "node", ""),
        (5, "level", "planet"),
    ]
    assert [tuple(row.values()) for row in edges.dependencies.to_pylist()] == [
        ("service:db", "service:cart", "calls", None, None),
        ("service:n1", "pod:cart-1", "part", None, None),
    ]
    assert [r.rule for r in edges.refused] == ["another than the source", "given"]
    assert told(samples) == [("pod:cart-1", "cpu", 0, 1.0), ("service:db", "cpu", 0, 2.0)]


def test_an_edge_may_be_bounded_in_time_and_a_bound_that_cannot_be_is_refused(
    tmp_path: Path,
) -> None:
    lines = (
        "source,target,valid_from,valid_to",
        "db,cart,2026-03-01,2026-03-02T06:00:00+02:00",
        "db,pay,,2026-03-05",
        "db,shop,soon,",
        "db,mail,2026-03-02,2026-03-01",
    )
    (batch,) = read(write(tmp_path / "edges.csv", "\n".join(lines)))
    march = partial(datetime, 2026, 3)
    assert [tuple(row.values())[1:] for row in batch.dependencies.to_pylist()] == [
        ("service:cart", "calls", march(1), march(2, 4)),
        ("service:pay", "calls", None, march(5)),
    ]
    assert [(refusal.line, refusal.column, refusal.value) for refusal in batch.refused] == [
        (4, "valid_from", "soon"),
        (5, "valid_to", "2026-03-01"),
    ]


def test_what_is_stored_lends_its_names(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", f"time,node,metric,value\n{SECONDS},cart-1,cpu,1\n")
    assert told(read(file, known={"cart-1": "pod:cart-1"})[0])[0][0] == "pod:cart-1"


def test_a_declared_counter_becomes_a_rate_and_a_reset_begins_at_zero(tmp_path: Path) -> None:
    write(
        tmp_path / "metrics.csv", "metric,unit,bad,nature\nhits,1/s,fall,counter\nload,,sideways,\n"
    )
    counted = [(0, 100), (60, 160), (120, 30), (240, 150)]
    lines = "".join(f"{SECONDS + at},cart,hits,{value}\n" for at, value in reversed(counted))
    write(tmp_path / "a.csv", f"time,node,metric,value\n{lines}{SECONDS},cart,other_total,5\n")
    measures, samples = read(tmp_path)
    assert measures.measures.to_pylist() == [
        {"metric": "hits", "label": None, "unit": "1/s", "bad": -1, "nature": "counter"}
    ]
    assert [(r.column, r.value) for r in measures.refused] == [("bad", "sideways")]
    assert told(samples) == [
        ("service:cart", "hits", 60, 1.0),
        ("service:cart", "hits", 120, 0.5),
        ("service:cart", "hits", 240, 1.0),
        ("service:cart", "other_total", 0, 5.0),
    ]
    assert samples.notes == ("counters became rates per second: hits",)


def test_calls_are_measured_between_two(tmp_path: Path) -> None:
    text = f"time,caller,callee,metric,value\n{SECONDS},shop,cart,latency,0.5\n"
    (batch,) = read(write(tmp_path / "a.csv", text))
    assert told(batch) == [("service:shop→service:cart", "latency", 0, 0.5)]


def test_a_mapping_names_other_columns(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", f"clock;box;heat\n{SECONDS};n1;1.5\n")
    mapping = {"entity": "box", "level": "node", "time": "clock", "metrics": {"heat": "celsius"}}
    assert told(read(file, mapping=mapping)[0]) == [("node:n1", "celsius", 0, 1.5)]
    (refused,) = read(file)
    assert refused.format == "unknown"
    assert "time, node, metric, value" in refused.refused[0].rule
    (unknown,) = read(file, mapping=mapping | {"time": "o'clock"})
    assert "clock, box, heat" in unknown.refused[0].rule


def test_a_suite_is_read_without_its_answers_and_left_aside_below_other_files(
    tmp_path: Path,
) -> None:
    suite = tmp_path / "suite"
    write(suite / "suite.json", json.dumps({"name": "s", "kind": "metrics"}))
    write(suite / "cases.csv", "case_id,root_causes\na,[]\n")
    write(
        suite / "reference.csv", f"case_id,time,node,metric,value\nx,{SECONDS},cart,latency,1.5\n"
    )
    assert [told(batch) for batch in read(suite)] == [CART[:1]]
    assert "evaluate cause" in measurements.arranged([suite]).notes[0]
    write(tmp_path / "a.csv", f"time,node,metric,value\n{SECONDS + 60},cart,latency,2.5\n")
    assert [told(batch) for batch in read(tmp_path)] == [CART[1:]]
    assert measurements.arranged([tmp_path]).notes == (
        "suite/ was left aside: a labelled suite is for `headwater evaluate cause`",
    )
    write(suite / "suite.json", json.dumps({"name": "s", "kind": "events"}))
    (refused,) = read(suite)
    assert refused.refused[0].value == "events"


def test_what_was_loaded_is_not_read_again_but_still_lends_its_names(tmp_path: Path) -> None:
    write(tmp_path / "nodes.csv", "node,level\ncart,pod\n")
    (nodes,) = read(tmp_path)
    write(tmp_path / "a.csv", f"time,node,metric,value\n{SECONDS},cart,latency,1.5\n")
    again, samples = read(tmp_path, loaded={nodes.sha256})
    assert (again.format, again.components.num_rows) == ("loaded", 0)
    assert told(samples)[0][0] == "pod:cart"


def test_an_empty_file_and_one_without_rows_bring_nothing(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "")
    write(tmp_path / "b.csv", "time,node,metric,value\n")
    empty, bare = read(tmp_path)
    assert (empty.format, empty.notes) == ("empty", ("the file is empty",))
    assert (bare.rows, bare.samples.num_rows) == (0, 0)


def test_the_public_suites_come_in_whole() -> None:
    folder = SUITES / "petshop_low_traffic"
    if not folder.exists():
        pytest.skip("the labelled suites of ../shared/data/services are not here")
    batches = {batch.file: batch for batch in read(folder)}
    reference = pq.read_table(folder / "reference.parquet")
    stored = batches["reference.parquet"].samples
    assert stored.num_rows == reference.num_rows - reference["value"].null_count
    np.testing.assert_array_equal(
        np.sort(stored["value"].to_numpy()), np.sort(reference["value"].drop_null().to_numpy())
    )
    assert batches["nodes.csv"].components.num_rows == 42
    assert batches["edges.csv"].dependencies.num_rows == 44
