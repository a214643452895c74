"""Labelled suites of root causes: folders of past incidents whose cause is known.

| file | columns |
|---|---|
| `suite.json` | `name`, `kind` (metrics, events or dimensions), `step_seconds`; `licence`, `source`, `note` |
| `cases.csv` | `case_id`, `alarm_node` (JSON list), `alarm_metric`, `alarm_at`, `root_causes` (JSON), `cause_class`, `group`, `subsystem`, `truth_onset`, `dimensions` (JSON list) |
| `observations.parquet` | `case_id`, `time` and, by kind, `node, metric, value`; `node, value, type`; or the attributes, `value`, `count` |
| `reference.parquet` | the same columns when nothing was wrong |
| `edges.csv`, `nodes.csv` | `source, target` = cause → effect; `node` and whatever else is known of it |
| `edge_observations.parquet` | `time, caller, callee, metric, value` |

Times are seconds since 1970, or since a run began, or timestamps. `root_causes`, `cause_class`, `group`, `subsystem` and
`truth_onset` make the `Truth` and never reach a `Case`. Whatever is wrong with a file is told with file, rule and value.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.cases import WHOLE, Alarm, Case, Cube, Graph, Truth, combination
from core.contracts import Floats, Panel, Periods, Times
from core.errors import InvalidInputError, UnknownNameError
from core.events import EventTable, Texts

SUITE, CASES = "suite.json", "cases.csv"
OBSERVATIONS, REFERENCE = "observations.parquet", "reference.parquet"
EDGES, NODES, CALLS = "edges.csv", "nodes.csv", "edge_observations.parquet"
ENTRY = "ENTRY"
"""The alarm's node where the users of a system alarm, who are no node of it."""
BOOLEANS = {"true": 1.0, "false": 0.0}
COLUMNS = {
    "metrics": ("case_id", "time", "node", "metric", "value"),
    "events": ("case_id", "time", "node", "value", "type"),
    "dimensions": ("case_id", "time", "value", "count"),
}
"""Columns of the observations, by kind of suite."""
NUMBERS = {"metrics": ("value",), "events": (), "dimensions": ("value", "count")}
LAYOUT = """\
suite.json of name, kind (metrics, events, dimensions) and step_seconds; cases.csv of case_id, alarm_node, alarm_at,
root_causes, group; observations.parquet; reference.parquet and edges.csv but for dimensions."""


@dataclass(frozen=True)
class Row:
    """One line of `cases.csv`."""

    alarms: tuple[str, ...]
    metric: str
    at: np.datetime64
    dimensions: tuple[str, ...]
    truth: Truth


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of a Parquet file, in the order of their cases: texts as codes, times, numbers.

    span : case → its rows
    """

    span: Mapping[str, slice]
    time: Times
    texts: Mapping[str, Texts]
    numbers: Mapping[str, Floats]


@dataclass(frozen=True, eq=False)
class CauseSuite:
    """A folder of cases of one kind; its tables are read when the first case is asked for, and kept."""

    name: str
    kind: str
    root: Path
    step: np.timedelta64 | None
    licence: str
    source: str
    rows: Mapping[str, Row]

    @property
    def cases(self) -> tuple[str, ...]:
        """Ids of the cases, in the order of the file."""
        return tuple(self.rows)

    @property
    def subsystems(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.truth.subsystem for row in self.rows.values()))

    def case(self, name: str) -> Case:
        """What a localizer may look at; raises UnknownNameError for no case of the suite."""
        return READERS[self.kind](self, name, self._row(name))

    def truth(self, name: str) -> Truth:
        """What was wrong; raises UnknownNameError for no case of the suite."""
        return self._row(name).truth

    def _row(self, name: str) -> Row:
        if name not in self.rows:
            rule = f"one of its {len(self.rows)}"
            raise UnknownNameError.of(self.name, "the case", rule, name)
        return self.rows[name]

    # ── Tables, each read once ──

    @cached_property
    def observations(self) -> Table:
        attributes = {name: None for row in self.rows.values() for name in row.dimensions}
        table = _table(
            self.root, OBSERVATIONS, (*COLUMNS[self.kind], *attributes), NUMBERS[self.kind]
        )
        for name in self.rows:
            if name not in table.span:
                raise _refused(OBSERVATIONS, "rows of every case of cases.csv", f"none of {name}")
        return table

    @cached_property
    def reference(self) -> Table:
        return _table(self.root, REFERENCE, COLUMNS[self.kind], NUMBERS[self.kind])

    @cached_property
    def graph(self) -> Graph:
        """The nodes of `nodes.csv`, `edges.csv` and the observations; those without an edge stand alone."""
        net: nx.DiGraph[str] = nx.DiGraph()
        if (self.root / NODES).is_file():
            for line, fields in _lines(self.root / NODES, ("node",)):
                if not fields["node"]:
                    raise _refused(f"{NODES} line {line}: node", "given", "")
                known = {key: text for key, text in fields.items() if key != "node" and text}
                net.add_node(fields["node"], **known)
        for line, fields in _lines(self.root / EDGES, ("source", "target")):
            if not (fields["source"] and fields["target"]):
                raise _refused(f"{EDGES} line {line}: source and target", "given", fields)
            net.add_edge(fields["source"], fields["target"])
        net.add_nodes_from(self.nodes)
        return Graph(net)

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that anything was observed of."""
        seen = (self.observations.texts["node"], self.reference.texts["node"])
        return tuple(sorted({node for column in seen for node in column.used}))

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        seen = (self.observations.texts["metric"], self.reference.texts["metric"])
        return tuple(sorted({metric for column in seen for metric in column.used}))

    @cached_property
    def normal(self) -> Panel | EventTable:
        """What the nodes did when nothing was wrong, shared by the cases."""
        if self.kind == "metrics":
            return self._panel(self.reference, slice(None))
        return self._runs(self.reference)

    @cached_property
    def calls(self) -> Panel | None:
        """Series of the calls over all times; None where none were observed."""
        if not (self.root / CALLS).is_file():
            return None
        names = ("time", "caller", "callee", "metric", "value")
        table = _table(self.root, CALLS, names, ("value",))
        callers, callees = (table.texts[role] for role in ("caller", "callee"))
        arrows = [
            f"{caller}→{callee}"
            for caller, callee in zip(callers.values(), callees.values(), strict=True)
        ]
        pairs = Texts.of(arrows)
        metrics = table.texts["metric"].used
        return _spread(pairs, table, slice(None), pairs.vocabulary, metrics, self._step)

    @cached_property
    def normal_calls(self) -> Panel | None:
        """The calls in the periods of the reference."""
        if self.calls is None or not isinstance(self.normal, Panel):
            return None
        usual = np.isin(self.calls.periods.labels, self.normal.periods.labels)
        return _within(self.calls, usual)

    # ── Pieces of a case ──

    @property
    def _step(self) -> np.timedelta64:
        if self.step is None:
            raise _refused(f"{SUITE}: step_seconds", "a number of seconds above 0", None)
        return self.step

    def _panel(self, table: Table, rows: slice) -> Panel:
        return _spread(table.texts["node"], table, rows, self.nodes, self.metrics, self._step)

    def _runs(self, table: Table) -> EventTable:
        """All runs, keyed "run/node"."""
        runs, nodes = table.texts["case_id"], table.texts["node"]
        width = len(nodes.vocabulary)
        paired, codes = np.unique(
            runs.codes.astype(np.int64) * width + nodes.codes, return_inverse=True
        )
        keys = tuple(
            f"{runs.vocabulary[pair // width]}/{nodes.vocabulary[pair % width]}"
            for pair in paired.tolist()
        )
        texts = {"run": runs, "node": nodes, **_said(table)}
        return EventTable.of(
            Texts(codes.astype(np.int32), keys), table.time, texts, {"value": _valued(table)}
        )

    def alarms(self, row: Row) -> tuple[Graph, tuple[Alarm, ...]]:
        """The graph and its alarms; where the alarm's node has no edge, what nothing depends on alarms with it."""
        net = self.graph.net
        named = [node for node in row.alarms if net.has_node(node)]
        strange = [node for node in row.alarms if node not in named and node != ENTRY]
        if strange:
            rule = f"a node of {EDGES}, {NODES} or the observations, or {ENTRY}"
            raise _refused(f"{CASES}: alarm_node", rule, strange[0])
        if not any(net.degree(node) for node in named):
            named += [node for node in self.sinks if node not in named]
        return self.graph, tuple(Alarm(node, row.at, row.metric) for node in named)

    @cached_property
    def sinks(self) -> tuple[str, ...]:
        """Nodes with causes and without effects; of a cycle that has no effects outside, all its nodes."""
        whole: nx.DiGraph[int] = nx.condensation(self.graph.net)
        last = (
            sorted(whole.nodes[part]["members"])
            for part in whole
            if whole.out_degree(part) == 0
            and (whole.in_degree(part) or len(whole.nodes[part]["members"]) > 1)
        )
        return tuple(node for members in last for node in members)


# ── Finding ──────────────────────────────────────────────────────────────────────────────────────


def suites(path: Path) -> list[CauseSuite]:
    """The suite in a folder, or those in the folders within it."""
    within = [path] if (path / SUITE).is_file() else sorted(path.iterdir())
    folders = [folder for folder in within if (folder / SUITE).is_file()]
    if not folders:
        rule = f"a folder with a {SUITE}, or of such folders"
        held = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
        raise InvalidInputError.of("causes", str(path), rule, held, LAYOUT)
    return [suite(folder) for folder in folders]


def suite(root: Path) -> CauseSuite:
    """The suite in a folder; what its head and its cases say is checked here, its tables when they are read."""
    try:
        head = json.loads((root / SUITE).read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _refused(SUITE, "a JSON object", str(error)) from None
    if not isinstance(head, dict) or head.get("kind") not in COLUMNS:
        rule = f"an object whose kind is one of {', '.join(COLUMNS)}"
        raise _refused(SUITE, rule, head.get("kind") if isinstance(head, dict) else head, LAYOUT)
    kind, seconds = head["kind"], head.get("step_seconds")
    step = None
    if isinstance(seconds, int | float) and 0 < seconds < math.inf:
        step = np.timedelta64(round(seconds * 1e6), "us")
    elif kind == "metrics":
        raise _refused(f"{SUITE}: step_seconds", "a number of seconds above 0", seconds)
    return CauseSuite(
        str(head.get("name") or root.resolve().name),
        kind,
        root,
        step,
        str(head.get("licence") or ""),
        str(head.get("source") or ""),
        _rows(root, kind),
    )


def _rows(root: Path, kind: str) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    where_from = "dimensions" if kind == "dimensions" else "alarm_node"
    needed = ("case_id", "alarm_at", "root_causes", "group", where_from)
    for line, fields in _lines(root / CASES, needed):
        name, where = fields["case_id"], f"{CASES} line {line}"
        if not name or name in rows:
            raise _refused(f"{where}: case_id", "given, and given once", name)
        alarms = _names(where, "alarm_node", fields) if kind != "dimensions" else (WHOLE,)
        dimensions = _names(where, "dimensions", fields) if kind == "dimensions" else ()
        onset = _instant(where, "truth_onset", fields) if fields.get("truth_onset") else None
        truth = Truth(
            _roots(where, fields, dimensions),
            _classes(where, fields),
            onset,
            fields["group"] or name,
            fields.get("subsystem") or "",
        )
        at = _instant(where, "alarm_at", fields)
        rows[name] = Row(alarms, fields.get("alarm_metric") or "", at, dimensions, truth)
    if not rows:
        raise _refused(CASES, "a table with a row per case", "none")
    return rows


def _roots(where: str, fields: Mapping[str, str], dimensions: Sequence[str]) -> tuple[str, ...]:
    if not dimensions:
        return _names(where, "root_causes", fields)
    given = _json(where, "root_causes", fields["root_causes"])
    several = given if isinstance(given, list) else [given]
    rule = f"an object, or a list of objects, of {', '.join(dimensions)}"
    for one in several:
        if not isinstance(one, dict) or not one or not set(one) <= set(dimensions):
            raise _refused(f"{where}: root_causes", rule, given)
    if not several:
        raise _refused(f"{where}: root_causes", rule, given)
    return tuple(dict.fromkeys(combination(one) for one in several))


def _classes(where: str, fields: Mapping[str, str]) -> tuple[str, ...]:
    text = fields.get("cause_class") or ""
    if text.startswith("["):
        return tuple(sorted(_names(where, "cause_class", fields)))
    return (text,) if text else ()


def _names(where: str, column: str, fields: Mapping[str, str]) -> tuple[str, ...]:
    names = _json(where, column, fields[column])
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise _refused(f"{where}: {column}", 'a JSON list of names, ["a"]', fields[column])
    return tuple(dict.fromkeys(names))


def _json(where: str, column: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise _refused(f"{where}: {column}", "JSON", text) from None


def _instant(where: str, column: str, fields: Mapping[str, str]) -> np.datetime64:
    try:
        seconds = float(fields[column])
        return np.datetime64(round(seconds * 1e6), "us")
    except (ValueError, OverflowError):
        raise _refused(f"{where}: {column}", "a number of seconds", fields[column]) from None


def _lines(file: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Number and fields of every line of a CSV file with at least these columns."""
    if not file.is_file():
        raise _refused(file.name, f"a file beside {SUITE}", "none", LAYOUT)
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        missing = [column for column in needed if column not in (reader.fieldnames or ())]
        if missing:
            rule = f"a table with the columns {', '.join(needed)}"
            raise _refused(file.name, rule, reader.fieldnames)
        for row in reader:
            if None in row or None in row.values():
                rule = f"of {len(reader.fieldnames or ())} fields"
                raise _refused(f"{file.name} line {reader.line_num}", rule, list(row.values()))
            yield reader.line_num, {key: text.strip() for key, text in row.items()}


# ── Cases ────────────────────────────────────────────────────────────────────────────────────────


def _metrics_case(suite: CauseSuite, name: str, row: Row) -> Case:
    graph, alarms = suite.alarms(row)
    panel = suite._panel(suite.observations, suite.observations.span[name])
    edges = None
    if suite.calls is not None:
        edges = _within(suite.calls, np.isin(suite.calls.periods.labels, panel.periods.labels))
    return Case(
        graph,
        alarms[0],
        panel,
        alarms=alarms,
        normal=suite.normal,
        edges=edges,
        normal_edges=suite.normal_calls,
    )


def _events_case(suite: CauseSuite, name: str, row: Row) -> Case:
    graph, alarms = suite.alarms(row)
    table, rows = suite.observations, suite.observations.span[name]
    events = EventTable.of(
        table.texts["node"][rows],
        table.time[rows],
        {role: column[rows] for role, column in _said(table).items()},
        {"value": _valued(table, rows)},
    )
    return Case(graph, alarms[0], alarms=alarms, normal=suite.normal, events=events)


def _dimensions_case(suite: CauseSuite, name: str, row: Row) -> Case:
    table, rows = suite.observations, suite.observations.span[name]
    columns = [table.texts[attribute][rows] for attribute in row.dimensions]
    vocabularies = tuple(column.used for column in columns)
    codes = np.column_stack(
        [
            # what is missing gets the bucket behind the vocabulary, here −1
            (column.codes_in(words) + 1) % (len(words) + 1) - 1
            for column, words in zip(columns, vocabularies, strict=True)
        ]
    ).astype(np.intp)
    leaves, leaf = np.unique(codes, axis=0, return_inverse=True)
    times, at = np.unique(table.time[rows], return_inverse=True)
    cells = leaf.ravel() * len(times) + at
    shape = (len(leaves), len(times))
    value, count = (_summed(cells, table.numbers[role][rows], shape) for role in ("value", "count"))
    net: nx.DiGraph[str] = nx.DiGraph()
    net.add_node(WHOLE)
    cube = Cube(row.dimensions, vocabularies, leaves, value, count, times)
    return Case(Graph(net), Alarm(WHOLE, row.at, row.metric), cube=cube)


READERS: Mapping[str, Callable[[CauseSuite, str, Row], Case]] = {
    "metrics": _metrics_case,
    "events": _events_case,
    "dimensions": _dimensions_case,
}


# ── Tables ───────────────────────────────────────────────────────────────────────────────────────


def _table(root: Path, name: str, columns: Sequence[str], numbers: Sequence[str]) -> Table:
    """Columns by name; every row must have a time, numbers must be numbers, infinite ones are refused."""
    file = root / name
    if not file.is_file():
        raise _refused(name, f"a file beside {SUITE}", "none", LAYOUT)
    try:
        held = pq.read_schema(file).names
        missing = [column for column in columns if column not in held]
        if missing:
            raise _refused(name, f"a table with the columns {', '.join(columns)}", held)
        read = pq.read_table(file, columns=list(columns))
    except (pa.ArrowInvalid, OSError) as error:
        raise _refused(name, "a Parquet file", str(error)) from None
    if not len(read):
        raise _refused(name, "a table with rows", "none")
    texts = {
        column: _texts(name, column, read[column])
        for column in columns
        if column not in (*numbers, "time")
    }
    order = np.argsort(texts["case_id"].codes, kind="stable") if "case_id" in texts else None
    time = _times(name, read["time"])
    values = {column: _numbers(name, column, read[column]) for column in numbers}
    if order is None:
        return Table({}, time, texts, values)
    cases = texts["case_id"]
    bounds = np.searchsorted(cases.codes[order], np.arange(len(cases.vocabulary) + 1))
    span = {
        case: slice(int(first), int(last))
        for case, first, last in zip(cases.vocabulary, bounds[:-1], bounds[1:], strict=True)
    }
    return Table(
        span,
        time[order],
        {column: found[order] for column, found in texts.items()},
        {column: found[order] for column, found in values.items()},
    )


def _texts(file: str, column: str, values: pa.ChunkedArray) -> Texts:
    encoded = pc.dictionary_encode(pc.cast(values, pa.string())).combine_chunks()
    words = encoded.dictionary.to_pylist()
    order = sorted(range(len(words)), key=words.__getitem__)
    place = np.empty(len(words) + 1, dtype=np.int32)
    place[order], place[-1] = np.arange(len(words)), -1
    codes = encoded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    if column in ("case_id", "node", "metric", "caller", "callee") and encoded.null_count:
        line = int(np.flatnonzero(codes == len(words))[0])
        raise _refused(f"{file} row {line}: {column}", "given", None)
    return Texts(place[codes], tuple(words[index] for index in order))


def _times(file: str, values: pa.ChunkedArray) -> Times:
    if values.null_count:
        raise _refused(f"{file}: time", "given in every row", f"{values.null_count} rows without")
    if pa.types.is_timestamp(values.type):
        return np.asarray(values.to_numpy()).astype("datetime64[us]")
    seconds = _numbers(file, "time", values)
    if np.isnan(seconds).any() or (np.abs(seconds) > 1e11).any():
        odd = seconds[np.isnan(seconds) | (np.abs(seconds) > 1e11)][0].item()
        raise _refused(f"{file}: time", "seconds since 1970, or since a run began", odd)
    return np.round(seconds * 1e6).astype(np.int64).view("datetime64[us]")


def _numbers(file: str, column: str, values: pa.ChunkedArray) -> Floats:
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    if not any(is_kind(values.type) for is_kind in kinds):
        raise _refused(f"{file}: {column}", "numbers", str(values.type))
    numbers = np.asarray(pc.cast(values, pa.float64()).to_numpy(), dtype=np.float64)
    if np.isinf(numbers).any():
        raise _refused(f"{file}: {column}", "finite, or empty where missing", "∞")
    return numbers


def _said(table: Table) -> dict[str, Texts]:
    return {role: table.texts[role] for role in ("value", "type")}


def _valued(table: Table, rows: slice = slice(None)) -> Floats:
    """Values of events as numbers: true and false are 1 and 0, NaN where it is no number."""
    words = table.texts["value"]
    codes = words.codes[rows]
    used, place = np.unique(codes, return_inverse=True)
    known = [_number(words.vocabulary[code]) if code >= 0 else math.nan for code in used.tolist()]
    return np.array(known, dtype=np.float64)[place]


def _number(text: str) -> float:
    try:
        return BOOLEANS[text.lower()] if text.lower() in BOOLEANS else float(text)
    except ValueError:
        return math.nan


def _spread(
    names: Texts,
    table: Table,
    rows: slice,
    entities: tuple[str, ...],
    metrics: tuple[str, ...],
    step: np.timedelta64,
) -> Panel:
    """Long rows as a panel, each cell the mean of what falls into its period."""
    values, time = table.numbers["value"][rows], table.time[rows].view(np.int64)
    length = int(step.astype("timedelta64[us]").astype(np.int64))
    start = int(time.min()) if len(time) else 0
    labels, at = np.unique((time - start) // length, return_inverse=True)
    shape = (len(entities), len(labels), len(metrics))
    row = names.codes_in(entities)[rows].astype(np.int64)
    column = table.texts["metric"].codes_in(metrics)[rows]
    cells = (row * shape[1] + at) * shape[2] + column
    seen = np.isfinite(values)
    total = np.bincount(cells[seen], values[seen], minlength=math.prod(shape))
    count = np.bincount(cells[seen], minlength=math.prod(shape))
    mean = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    periods = Periods((labels * length + start).view("datetime64[us]"), step)
    return Panel(mean.reshape(shape), entities, metrics, periods)


def _summed(cells: NDArray[np.intp], values: Floats, shape: tuple[int, int]) -> Floats:
    """Sums by cell, NaN where nothing fell."""
    seen = np.isfinite(values)
    total = np.bincount(cells[seen], values[seen], minlength=math.prod(shape))
    count = np.bincount(cells[seen], minlength=math.prod(shape))
    return np.where(count > 0, total, np.nan).reshape(shape)


def _within(panel: Panel, times: NDArray[np.bool_]) -> Panel | None:
    if not times.any():
        return None
    periods = Periods(panel.periods.labels[times], panel.periods.step)
    return Panel(panel.values[:, times], panel.entities, panel.metrics, periods)


def _refused(thing: str, rule: str, value: Any, hint: str = "") -> InvalidInputError:
    return InvalidInputError.of("causes", thing, rule, value, hint)
