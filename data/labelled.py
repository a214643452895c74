"""Labelled suites of anomaly detection, read in the layouts in which they are passed around.

| layout | what is in the folder |
|---|---|
| stream | `combined_windows.json` (file → windows of times) and `data/**/*.csv` of `timestamp,value` |
| series | npz `x (n,)`, `y (n,)`; `window` = VUS window, `train` = first rows free to learn from |
| split  | npz `train`, `test` (n,) or (n, m), `test_y`; `t0` and `step` in seconds; `*.interpretation.txt` |
| table  | npz `X (n, d)`, `y (n,)` |

A layout is known by what a folder holds, never by its name. Whatever is wrong with a file is told with the file, the
rule and the value. Labels are for scoring alone.
"""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.contracts import Bools, Floats, Panel, Periods, Times
from core.errors import InvalidInputError
from core.evaluate.detection import Cause
from core.evaluate.nab import probation
from core.features.period import period

WINDOWS = "combined_windows.json"
MANY = 100
"""VUS window of series of several metrics, as their published figures use it."""
MINUTE = 60
"""Seconds between rows where no file tells."""
BACK = 0.01
"""Largest share of the rows of a stream that may lie before the row above, as where clocks were set back."""
LAYOUTS = """\
stream: combined_windows.json, {"a.csv": [["first time", "last time"], ...]}, and data/a.csv of timestamp,value;
series: npz files of x and y, the labels, 0 or 1; split: npz files of train, test and test_y, the labels of test;
table: npz files of X, a row per case, and y."""


@dataclass(frozen=True, eq=False)
class Case:
    """One labelled series, or one table.

    panel   : all there is, (1, n, n_metric); of a table (n, 1, n_metric): each row an entity of one period
    labels  : (n,), true = anomaly
    train   : rows at the start that are free to learn from; they are not scored unless `whole`
    whole   : everything is learned from, unlabelled, and everything is scored
    window  : widest buffer of VUS; None for a table, whose rows have no neighbours
    windows : labelled windows as first and last row, where the labels are such windows
    causes  : labelled segments with the metrics that caused them
    """

    name: str
    panel: Panel
    labels: Bools
    train: int
    whole: bool
    window: int | None
    windows: tuple[tuple[int, int], ...] | None = None
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True)
class Suite:
    """A folder of cases of one layout; `series` are their files, relative to it."""

    name: str
    root: Path
    layout: str
    series: tuple[str, ...]

    def case(self, series: str) -> Case:
        """Read one file."""
        return READERS[self.layout](self.root, series)


# ── Finding ──────────────────────────────────────────────────────────────────────────────────────


def suites(path: Path) -> list[Suite]:
    """The suite in a folder, or those in the folders within it."""
    found = suite(path)
    within = sorted(folder for folder in path.iterdir() if folder.is_dir()) if not found else []
    several = [found] if found else [one for folder in within if (one := suite(folder))]
    if not several:
        rule = f"a folder of one of the layouts {', '.join(READERS)}, or of such folders"
        held = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
        raise InvalidInputError.of("labelled", str(path), rule, held, LAYOUTS)
    return several


def suite(root: Path) -> Suite | None:
    """The suite that a folder holds, None where it holds no labelled series."""
    name = root.resolve().name
    if (root / WINDOWS).is_file():
        data = root / "data"
        return Suite(name, root, "stream", _names(data, "**/*.csv"))
    files = _names(root, "*.npz")
    layouts = (_layout(root / file) for file in files)
    layout = next((known for known in layouts if known), None)
    return Suite(name, root, layout, files) if layout else None


def published(suite: Suite) -> list[dict[str, Any]]:
    """What published detectors reach on the files of a suite, where a file beside them tells.

    `*_published_vus_pr.csv` in the folder or the one above: a row per file, a column per detector. The
    mean is over the same files and is only given where all of them are there.
    `peers/expected.json`: NAB scores per detector on the same files.
    """
    peers = suite.root / "peers" / "expected.json"
    if peers.is_file():
        scores: Mapping[str, Mapping[str, float]] = json.loads(peers.read_text())["scores"]
        return [
            {"algorithm": name, "nab": {profile.lower(): score for profile, score in row.items()}}
            for name, row in scores.items()
        ]
    asked = {Path(file).stem for file in suite.series}
    for folder in (suite.root, suite.root.resolve().parent):
        for file in sorted(folder.glob("*_published_vus_pr.csv")):
            with file.open(newline="") as lines:
                named, *rows = csv.reader(lines)
            figures = [row[1:] for row in rows if Path(row[0]).stem in asked]
            if len(figures) == len(asked):
                columns = zip(named[1:], zip(*figures, strict=True), strict=True)
                return [
                    {"algorithm": name, "vus_pr": float(np.mean([float(text) for text in column]))}
                    for name, column in columns
                    if all(map(_is_number, column))
                ]
    return []


def _names(folder: Path, pattern: str) -> tuple[str, ...]:
    return tuple(sorted(file.relative_to(folder).as_posix() for file in folder.glob(pattern)))


def _layout(file: Path) -> str | None:
    """The layout that the names of an npz file's arrays call for."""
    try:
        with zipfile.ZipFile(file) as archive:
            held = {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return None
    return next((layout for layout, needed in ARRAYS.items() if needed <= held), None)


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────


def _stream(root: Path, name: str) -> Case:
    times, values = _timed(root / "data" / name, name)
    try:
        labelled = json.loads((root / WINDOWS).read_text())
    except json.JSONDecodeError as error:
        raise _refused(WINDOWS, "a JSON object of file → windows", str(error)) from None
    if name not in labelled:
        raise _refused(WINDOWS, "a list of windows for every file of data/", f"none for {name}")
    row_of = {time: row for row, time in reversed(list(enumerate(times.tolist())))}
    windows = []
    labels = np.zeros(len(times), dtype=bool)
    for window in labelled[name]:
        try:
            first, last = (row_of[_instant(moment)] for moment in window)
        except (KeyError, ValueError, TypeError):
            rule = f"two times that are rows of {name}"
            raise _refused(f"{WINDOWS}: a window", rule, window) from None
        windows.append((first, last))
        labels[first : last + 1] = True
    step = np.median(np.diff(times)) if len(times) > 1 else np.timedelta64(MINUTE, "s")
    panel = _panel(values[:, None], Periods(times, np.timedelta64(int(step.astype(int)), "s")))
    train = probation(len(times))
    return Case(name, panel, labels, train, False, period(values[train:]), windows=tuple(windows))


def _series(root: Path, name: str) -> Case:
    arrays = _arrays(root, name, "series")
    x = _numbers(arrays, "x", name)
    if x.ndim != 1:
        raise _refused(f"{name}: x", "of one dimension", x.shape)
    labels = _labels(arrays, "y", len(x), name)
    window = _whole_number(arrays, "window", period(x), 0, 10 * len(x), name)
    train = _whole_number(arrays, "train", 0, 0, len(x), name)
    return Case(name, _panel(x[:, None], _periods(len(x))), labels, train, True, window)


def _split(root: Path, name: str) -> Case:
    arrays = _arrays(root, name, "split")
    train, test = (_numbers(arrays, role, name) for role in ("train", "test"))
    if train.ndim not in (1, 2) or train.shape[1:] != test.shape[1:]:
        rule = "(n,) or (n, m), with the metrics of each other"
        raise _refused(f"{name}: train and test", rule, (train.shape, test.shape))
    window = MANY if test.ndim == 2 else period(test)
    known = np.concatenate([train, test]).reshape(len(train) + len(test), -1)
    start = _whole_number(arrays, "t0", 0, -(2**40), 2**40, name)
    step = _whole_number(arrays, "step", MINUTE, 1, 2**31, name)
    labels = np.zeros(len(known), dtype=bool)
    labels[len(train) :] = _labels(arrays, "test_y", len(test), name)
    causes = _causes(
        root / f"{Path(name).stem}.interpretation.txt", len(train), labels, known.shape[1]
    )
    panel = _panel(known, _periods(len(known), start, step))
    return Case(name, panel, labels, len(train), False, window, causes=causes)


def _table(root: Path, name: str) -> Case:
    arrays = _arrays(root, name, "table")
    x = _numbers(arrays, "X", name)
    if x.ndim != 2:
        raise _refused(f"{name}: X", "of two dimensions", x.shape)
    rows = tuple(map(str, range(len(x))))
    panel = Panel(x[:, None, :], rows, _metrics(x.shape[1]), _periods(1))
    return Case(name, panel, _labels(arrays, "y", len(x), name), 0, True, None)


READERS: Mapping[str, Callable[[Path, str], Case]] = {
    "stream": _stream,
    "series": _series,
    "split": _split,
    "table": _table,
}
ARRAYS: Mapping[str, set[str]] = {
    "series": {"x", "y"},
    "split": {"train", "test", "test_y"},
    "table": {"X", "y"},
}
"""Arrays by which an npz file is known to be of a layout."""


def _causes(file: Path, offset: int, labels: Bools, n_metric: int) -> tuple[Cause, ...]:
    """Lines of `first-last:metric,…`; rows count from 0 within the test part, metrics from 1.

    Whether `last` still belongs to the segment differs between the suites, so only its labelled rows count.
    """
    return tuple(_read_causes(file, offset, labels, n_metric)) if file.is_file() else ()


def _read_causes(file: Path, offset: int, labels: Bools, n_metric: int) -> Iterator[Cause]:
    for number, line in enumerate(file.read_text().split(), start=1):
        span, _, names = line.partition(":")
        try:
            first, last = (int(row) + offset for row in span.split("-"))
            metrics = frozenset(int(metric) - 1 for metric in names.split(","))
        except ValueError:
            rule = "first-last:metric,…"
            raise _refused(f"{file.name} line {number}", rule, line) from None
        if not metrics <= set(range(n_metric)):
            rule = f"of metrics 1 … {n_metric}"
            raise _refused(f"{file.name} line {number}", rule, line)
        rows = first + np.flatnonzero(labels[max(first, 0) : last + 1])
        if not len(rows):
            raise _refused(f"{file.name} line {number}", "a segment with labelled rows", line)
        yield Cause(rows, metrics)


def _timed(file: Path, name: str) -> tuple[Times, Floats]:
    times, values = [], []
    with file.open(newline="") as lines:
        reader = csv.DictReader(lines)
        if not {"timestamp", "value"} <= set(reader.fieldnames or ()):
            raise _refused(name, "a table with columns timestamp and value", reader.fieldnames)
        for row in reader:
            try:
                times.append(_instant(row["timestamp"]))
                values.append(float(row["value"] or "nan"))
            except (ValueError, TypeError):
                rule = "a time and a number"
                raise _refused(f"{name} line {reader.line_num}", rule, row) from None
    if not values:
        raise _refused(name, "a table with rows", "none")
    if np.isinf(values).any():
        raise _refused(f"{name}: value", "finite, or empty where missing", "∞")
    moments = np.array(times, dtype="datetime64[s]")
    back = int((np.diff(moments) < np.timedelta64(0, "s")).sum())
    if back > BACK * len(moments):
        raise _refused(f"{name}: timestamp", "in the order of time", f"{back} rows before the last")
    return moments, np.array(values)


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text.strip()).replace(microsecond=0)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _arrays(root: Path, name: str, layout: str) -> Mapping[str, NDArray[Any]]:
    if not zipfile.is_zipfile(root / name):
        raise _refused(name, "an npz file of arrays", "a file of another kind, or a part of one")
    try:
        with (root / name).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {role: file[role] for role in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise _refused(name, "an npz file of arrays", str(error)) from None
    missing = ARRAYS[layout] - arrays.keys()
    if missing:
        rule = f"an npz file with {', '.join(sorted(ARRAYS[layout]))}"
        raise _refused(name, rule, ", ".join(arrays))
    return arrays


def _numbers(arrays: Mapping[str, NDArray[Any]], role: str, name: str) -> Floats:
    array = arrays[role]
    if array.dtype.kind not in "fiub" or not array.size:
        rule = "numbers, at least one"
        raise _refused(f"{name}: {role}", rule, f"{array.dtype} {array.shape}")
    values = array.astype(np.float64)
    if np.isinf(values).any():
        raise _refused(f"{name}: {role}", "finite, or NaN where missing", "∞")
    return values


def _labels(arrays: Mapping[str, NDArray[Any]], role: str, n: int, name: str) -> Bools:
    labels = arrays[role]
    if labels.shape != (n,):
        raise _refused(f"{name}: {role}", f"of shape {(n,)}, one per row", labels.shape)
    if not np.isin(labels, (0, 1)).all():
        raise _refused(f"{name}: {role}", "0 or 1", labels[~np.isin(labels, (0, 1))][0].item())
    return labels.astype(bool)


def _whole_number(
    arrays: Mapping[str, NDArray[Any]], role: str, default: int, low: int, high: int, name: str
) -> int:
    if role not in arrays:
        return default
    array = arrays[role]
    if array.size != 1 or array.dtype.kind not in "iu" or not low <= array.item() <= high:
        raise _refused(f"{name}: {role}", f"a whole number in [{low}, {high}]", array.tolist())
    return int(array.item())


def _panel(values: Floats, periods: Periods) -> Panel:
    return Panel(values[None], ("series",), _metrics(values.shape[1]), periods)


def _metrics(n: int) -> tuple[str, ...]:
    return ("value",) if n == 1 else tuple(f"metric {number}" for number in range(1, n + 1))


def _periods(n: int, start: int = 0, step: int = MINUTE) -> Periods:
    labels = np.datetime64(start, "s") + np.arange(n) * np.timedelta64(step, "s")
    return Periods(labels, np.timedelta64(step, "s"))


def _refused(thing: str, rule: str, value: Any) -> InvalidInputError:
    return InvalidInputError.of("labelled", thing, rule, value)
