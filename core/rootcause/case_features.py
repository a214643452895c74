"""What a case looks like around its alarm, as numbers by name: the alarm's nodes and those one hop upstream, no further.

What lies beyond tells less of what kind of fault it is than it adds chances to learn something by heart: on causRCA a
forest names 98 % of the diagnoses from this neighbourhood and 87 % from all nodes.

| case | columns |
|---|---|
| events | of each node: its value at the alarm; how often that changed in the minute before, how often the direction turned, and the mean step |
| metrics | of each metric: how far from normal at the alarm's node, and the highest and lowest within a hop; the same over all calls |
| a suspect | the same around the node where it probably started, on a scale of logarithms; how late its calls arrive and its answers come |

What is not known is left out, which stands for normal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from weakref import WeakKeyDictionary

import numpy as np

from core.cases import Case
from core.contracts import Floats, Panel, Periods
from core.errors import InvalidInputError
from core.events import EventTable
from core.rootcause.evidence.calls import ARROW, halved
from core.rootcause.evidence.departure import centre_and_scale

MINUTE = np.timedelta64(60, "s")
PERIODS = 5
"""Periods from the alarm on whose mean is compared with normal."""
FARTHEST = 1_000.0
"""Robust standard deviations beyond which all is the same."""
SAME = "\x1f"
"""Divides the names of columns that were always equal where they were learned."""

Row = Mapping[str, float]


def described(case: Case, hops: int = 1, suspect: str = "") -> dict[str, float]:
    """The columns of a case by name.

    suspect : the node where it started, as far as anybody knows; an alarm far from it says little of what it was

    Raises InvalidInputError for cases of other kinds than events and metrics.
    """
    if case.events is not None:
        return _states(case, case.events, hops)
    if case.panel is None or not isinstance(case.normal, Panel):
        rule = "one of events, or of metrics with normal periods"
        raise InvalidInputError.of("case features", "the case", rule, case.kind)
    off = _off(case, case.panel, case.normal)
    row = _near(
        case.panel, off, case.seeds, case.hops(hops), "the alarm", f"{hops} hop{'s' * (hops > 1)}"
    )
    if case.edges is not None and case.normal_edges is not None:
        row |= _calls(case, case.edges, case.normal_edges)
    return row | _around(case, case.panel, off, suspect) if suspect in case.graph.net else row


def columns(rows: Sequence[Row]) -> tuple[str, ...]:
    """Columns to learn from: those that differ between the rows, equal ones as one, ordered by what they hold.

    So neither the names of nodes nor their order decide which column a tree looks at first.
    """
    names = sorted({name for row in rows for name in row})
    values = np.array([[row.get(name, 0.0) for name in names] for row in rows])
    alike: dict[bytes, list[str]] = {}
    for name, column in zip(names, values.T, strict=True):
        if (column != column[0]).any():
            alike.setdefault((column + 0.0).tobytes(), []).append(name)
    ordered = sorted(alike, key=lambda held: tuple(np.frombuffer(held)))
    return tuple(SAME.join(alike[held]) for held in ordered)


def table(rows: Sequence[Row], names: Sequence[str]) -> Panel:
    """Rows as a panel of one period, (n_row, 1, n_column): the mean of columns that were equal where they were learned."""
    values = np.array(
        [
            [np.mean([row.get(part, 0.0) for part in name.split(SAME)]) for name in names]
            for row in rows
        ]
    )
    once = Periods(np.zeros(1, dtype="datetime64[s]"), np.timedelta64(1, "D"))
    entities = tuple(f"case {number}" for number in range(len(rows)))
    return Panel(values.reshape(len(rows), 1, len(names)), entities, tuple(names), once)


def spoken(column: str) -> str:
    """A column as a person reads it."""
    first, *others = column.split(SAME)
    return f"{first} (and {len(others)} alike)" if others else first


# ── Events ───────────────────────────────────────────────────────────────────────────────────────


def _states(case: Case, events: EventTable, hops: int) -> dict[str, float]:
    row: dict[str, float] = {}
    place = {key: number for number, key in enumerate(events.keys)}
    for node in case.hops(hops):
        if node not in place:
            continue
        held = slice(events.offsets[place[node]], events.offsets[place[node] + 1])
        until = int(np.searchsorted(events.time[held], case.alarm.at, side="right"))
        if not until:
            continue
        time, value = events.time[held][:until], events.numbers["value"][held][:until]
        recent = time > case.alarm.at - MINUTE
        row[f"{node}: changes in a minute"] = float(recent.sum())
        if np.isnan(value).any():
            # words have no size and no direction
            continue
        steps = np.diff(value[max(int(np.argmax(recent)) - 1, 0) :]) if recent.any() else value[:0]
        steps = steps[steps != 0]
        row[f"{node}: value"] = float(value[-1])
        row[f"{node}: turns in a minute"] = float((np.diff(np.sign(steps)) != 0).sum())
        row[f"{node}: mean step"] = float(np.abs(steps).mean()) if len(steps) else 0.0
    return row


# ── Metrics ──────────────────────────────────────────────────────────────────────────────────────


def _near(
    panel: Panel, off: Floats, nodes: Iterable[str], around: Iterable[str], where: str, reach: str
) -> dict[str, float]:
    own, near = (
        [panel.row_of[node] for node in some if node in panel.row_of] for some in (nodes, around)
    )
    row: dict[str, float] = {}
    for column, metric in enumerate(panel.metrics):
        row |= _ends(f"{metric} within {reach}", off[near, column])
        seen = off[own, column][np.isfinite(off[own, column])]
        if len(seen):
            row[f"{metric} at {where}"] = float(seen.mean())
    return row


def _around(case: Case, panel: Panel, off: Floats, suspect: str) -> dict[str, float]:
    """Departures reach from 3 to 1,000: by their logarithm a threshold drawn at random can part the small ones too."""
    near = (suspect, *case.graph.net.pred[suspect])
    row = _near(panel, np.arcsinh(off), (suspect,), near, "the suspect", "1 hop of the suspect")
    if case.edges is None or case.normal_edges is None:
        return row
    calls = halved(case.edges)
    late = np.arcsinh(_off(case, calls, halved(case.normal_edges)))
    ends = np.array([arrow.partition(ARROW)[::2] for arrow in calls.entities])
    for column, metric in enumerate(calls.metrics):
        for end, whose in enumerate(("by", "to")):
            row |= _ends(
                f"{metric} of calls {whose} the suspect", late[ends[:, end] == suspect, column]
            )
    return row


def _calls(case: Case, edges: Panel, normal: Panel) -> dict[str, float]:
    off = _off(case, edges, normal)
    row: dict[str, float] = {}
    for column, metric in enumerate(edges.metrics):
        row |= _ends(f"{metric} of calls", off[:, column])
    return row


def _ends(what: str, values: Floats) -> dict[str, float]:
    seen = values[np.isfinite(values)]
    return (
        {f"highest {what}": float(seen.max()), f"lowest {what}": float(seen.min())}
        if len(seen)
        else {}
    )


def _off(case: Case, panel: Panel, normal: Panel) -> Floats:
    """(n_entity, n_metric) robust z-scores of the periods from the alarm on, NaN where nothing is known."""
    median, scale = _usual(normal)
    now = max(int(np.searchsorted(panel.periods.labels, case.alarm.at, side="right")) - 1, 0)
    values = panel.values[:, now : now + PERIODS]
    seen = np.isfinite(values)
    rows = normal.rows(panel.entities) if panel.entities != normal.entities else slice(None)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(seen, values, 0.0).sum(axis=1) / seen.sum(axis=1)
        off = (mean - median[rows]) / scale[rows]
    return np.asarray(np.clip(off, -FARTHEST, FARTHEST))


_known: WeakKeyDictionary[Panel, tuple[Floats, Floats]] = WeakKeyDictionary()


def _usual(normal: Panel) -> tuple[Floats, Floats]:
    """(n_entity, n_metric) median and scale, NaN for 0."""
    if normal not in _known:
        entities, times, metrics = normal.values.shape
        series = normal.values.transpose(0, 2, 1).reshape(-1, times)
        median, scale = centre_and_scale(series)
        scale = np.where(scale > 0, scale, np.nan)
        _known[normal] = median.reshape(entities, metrics), scale.reshape(entities, metrics)
    return _known[normal]
