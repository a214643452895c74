"""What the metrics of an incident were before, during and after it, taken from the store."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from core.cases import Graph
from core.contracts import DAY, Floats, Panel, Times
from core.domain import Domain
from core.domains import DOMAINS, local_day
from core.errors import NotEnoughDataError
from data import incident_reports
from data.records import Incident
from workbench.context import Context
from workbench.services import proposals

SHORTEST, LONGEST = timedelta(hours=1), timedelta(hours=6)
"""How long before and after an incident of running systems is looked at: as long as it lasted, within these, a tenth
of what lasted longer."""
DAYS_BEFORE, DAYS_AFTER = timedelta(days=14), timedelta(days=7)
"""The same where the store holds days."""
POINTS = 240
KEPT_ROWS = 24
"""Rows of a snapshot that are kept with the incident, the strongest shifts first."""
MAD = 1.4826
FLOOR = 0.05
"""The least spread, as a share of the usual level: of a constant metric no change would be small."""
WINDOWS = ("before", "during", "after")


@dataclass(frozen=True)
class Snapshot:
    """One metric of one entity: medians before, during and after, NaN where nothing was measured.

    shift : (during − before) in robust standard deviations of before; its sign is the direction
    bad   : 1 where a rise hurts, −1 where a fall does, 0 either
    """

    entity: str
    name: str
    metric: str
    label: str
    unit: str
    bad: int
    before: float
    during: float
    after: float
    shift: float


@dataclass(frozen=True, eq=False)
class Look:
    """Snapshots with the curves behind them: `curves` (n_row, n_time) at `times` (n_time,), UTC.

    windows : name → (start, end), half open      final : the incident is over and all of `after` was measured
    """

    windows: Mapping[str, tuple[datetime, datetime]]
    rows: tuple[Snapshot, ...]
    times: Times
    curves: Floats
    final: bool


@dataclass(frozen=True, eq=False)
class Measured:
    """What the store holds of running systems: whose measurements, and of each metric its label, unit and bad direction;
    of a domain that is measured by day, the metrics alone.
    """

    entities: frozenset[str]
    metrics: Mapping[str, Mapping[str, Any]]


def measured(ctx: Context, tenant: str, domain: str) -> Measured:
    """Who and what was measured in a domain; the same for one version of the data."""
    spec, samples = DOMAINS[domain], ctx.metrics.samples
    by_moment = spec.step < DAY
    known: Sequence[Any] = samples.metrics(tenant, spec) if by_moment else spec.metrics
    things = samples.components(tenant, spec) if by_moment and known else []
    return Measured(
        frozenset(one.id for one in things),
        {one.name: {"label": one.label, "unit": one.unit, "bad": one.bad} for one in known},
    )


def graph(ctx: Context, tenant: str, domain: str, *, at: datetime | None = None) -> Graph:
    """What reaches what in a domain at a moment (default: now), with the components that people added."""
    spec = DOMAINS[domain]
    told = (
        ctx.metrics.samples.graph(tenant, spec, at=at)
        if spec.step < DAY
        else ctx.metrics.graph(tenant, spec, at=at and local_day(at, domain))
    )
    return proposals.laid_over(ctx, tenant, domain, told)


def graphs(ctx: Context, tenant: str, domain: str) -> Callable[[datetime], Graph]:
    """The graph of any moment of a domain that is measured by moments, read once for all between two changes of edges."""
    changes = ctx.metrics.samples.graph_changes(tenant, DOMAINS[domain])
    read: dict[int, Graph] = {}

    def then(moment: datetime) -> Graph:
        place = bisect_right(changes, moment)
        if place not in read:
            read[place] = graph(ctx, tenant, domain, at=moment)
        return read[place]

    return then


def resolve(known: Graph, names: Sequence[str]) -> dict[str, str]:
    """Name as told → entity of the graph, "" where it has none: ids, then display names, upper or lower case."""
    nodes = {str(node).lower(): str(node) for node in known.net}
    by_name: dict[str, str] = {}
    for node in sorted(known.net, key=lambda node: known.level(node) != "service"):
        by_name.setdefault(known.name(node).lower(), str(node))
    return {
        name: nodes.get(name.lower())
        or nodes.get(f"service:{name.lower()}")
        or by_name.get(name.lower(), "")
        for name in names
    }


def windows(
    incident: Incident, domain: Domain, until: datetime
) -> dict[str, tuple[datetime, datetime]]:
    """Before, during and after, half open; an incident that goes on is looked at up to `until`."""
    least = incident.onset + timedelta(seconds=_seconds(domain.step))
    end = max(ended(incident) or until, least)
    lasted = end - incident.onset
    width = max(SHORTEST, min(lasted, LONGEST), lasted / 10)
    before, after = (width, width) if domain.step < DAY else (DAYS_BEFORE, DAYS_AFTER)
    return {
        "before": (incident.onset - before, incident.onset),
        "during": (incident.onset, end),
        "after": (end, end + after),
    }


def ended(incident: Incident) -> datetime | None:
    """When it was over, as told, else when somebody resolved it; None while it goes on."""
    return incident.ended_at or incident.resolved_at


def look(
    ctx: Context,
    tenant: str,
    incident: Incident,
    entities: Sequence[str],
    known: Graph,
    there: Measured,
) -> Look | None:
    """Snapshots of the entities and what they are made of, else of everything of the domain's unit.

    None where the store holds nothing of that time.
    """
    domain = DOMAINS[incident.domain]
    spans = windows(incident, domain, _measured_until(ctx, tenant, domain))
    start, end = spans["before"][0], spans["after"][1]
    chosen = _with_parts(known, entities) or [
        node for node in known.net if known.level(node) == domain.defaults["unit"]
    ]
    panel = _panel(ctx, tenant, domain, sorted(chosen), start, end, there) if chosen else None
    if panel is None or not np.isfinite(panel.values).any():
        return None
    times = panel.periods.labels.astype("datetime64[s]")
    phase = _phase(
        times, panel.periods.step, [_label(spans[name][0], domain) for name in WINDOWS[1:]]
    )
    medians = {name: _median(panel.values[:, phase == name]) for name in WINDOWS}
    spread = _spread(panel.values[:, phase == "before"])
    with np.errstate(invalid="ignore"):
        shifts = (medians["during"] - medians["before"]) / spread
    order = [
        (int(row), int(column))
        for row, column in np.argwhere(
            np.isfinite(medians["during"]) | np.isfinite(medians["before"])
        )
    ]
    order.sort(key=lambda cell: -np.nan_to_num(abs(shifts[cell])))
    rows = tuple(
        Snapshot(
            entity=panel.entities[row],
            name=known.name(panel.entities[row]),
            metric=panel.metrics[column],
            **there.metrics.get(
                panel.metrics[column], {"label": panel.metrics[column], "unit": "", "bad": 0}
            ),
            **{name: float(medians[name][row, column]) for name in WINDOWS},
            shift=float(shifts[row, column]),
        )
        for row, column in order
    )
    curves = np.array([panel.values[row, :, column] for row, column in order])
    last = times[np.isfinite(panel.values).any(axis=(0, 2))][-1]
    arrived = last + 2 * panel.periods.step >= _label(spans["after"][1], domain)
    final = ended(incident) is not None and bool(arrived)
    return Look(spans, rows, times, curves.reshape(len(rows), len(times)), final)


def keep(ctx: Context, tenant: str, incident: Incident, seen: Look | None) -> None:
    """Keep the strongest rows with the incident; where nothing is stored any more, those that it has, else that they
    were looked for.
    """
    nothing = {"taken_at": ctx.clock(), "final": False, "windows": {}, "rows": [], "left_out": 0}
    kept = {**nothing, **incident.snapshots} if seen is None else told(seen, ctx.clock())
    kept["version"] = ctx.metrics.version(tenant)
    ctx.records.write(
        tenant,
        lambda session: incident_reports.picture(
            session, tenant=tenant, incident_id=incident.id, snapshots=kept
        ),
    )


def due(incident: Incident, now: datetime, version: str) -> bool:
    """Whether other data than the snapshot was taken from is there now, or more of an incident that goes on."""
    kept = incident.snapshots
    if not kept or kept.get("version") != version:
        return True
    step = timedelta(seconds=_seconds(DOMAINS[incident.domain].step))
    return ended(incident) is None and datetime.fromisoformat(kept["taken_at"]) + step <= now


def told(seen: Look, now: datetime) -> dict[str, Any]:
    """The strongest rows as they are kept and told, and how many more there are."""
    return {
        "taken_at": now,
        "final": seen.final,
        "windows": {name: list(span) for name, span in seen.windows.items()},
        "rows": [vars(row) for row in telling(seen.rows)],
        "left_out": max(0, len(seen.rows) - KEPT_ROWS),
    }


def telling(rows: Sequence[Snapshot]) -> list[Snapshot]:
    """The rows that are kept, in their order: the strongest of each metric, then the strongest of all.

    One metric that moves everywhere would crowd out those that tell one incident from another.
    """
    own = {row.metric: place for place, row in reversed([*enumerate(rows)])}
    places = dict.fromkeys([*sorted(own.values()), *range(len(rows))])
    return [rows[place] for place in sorted([*places][:KEPT_ROWS])]


def shifts(incident: Incident) -> dict[str, float]:
    """Metric → its strongest shift in the snapshot that was kept."""
    strongest: dict[str, float] = {}
    for row in incident.snapshots.get("rows", ()):
        shift = row.get("shift")
        if isinstance(shift, int | float) and abs(shift) > abs(strongest.get(row["metric"], 0.0)):
            strongest[row["metric"]] = float(shift)
    return strongest


def _measured_until(ctx: Context, tenant: str, domain: Domain) -> datetime:
    """Up to when anything is known: now, or the newest measurement where that lies back."""
    now = ctx.clock()
    if domain.step < DAY:
        span = ctx.metrics.samples.span(tenant, domain)
        newest = None if span is None else span[1]
    else:
        newest = ctx.metrics.newest(tenant, domain)
    return now if newest is None else min(now, newest.astimezone(UTC))


def _with_parts(known: Graph, entities: Sequence[str]) -> set[str]:
    """The entities, and those that belong to them."""
    own = {entity for entity in entities if entity in known.net}
    return own | {node for node in known.net if known.net.nodes[node].get("parent") in own}


def _panel(
    ctx: Context,
    tenant: str,
    domain: Domain,
    entities: Sequence[str],
    start: datetime,
    end: datetime,
    there: Measured,
) -> Panel | None:
    if domain.step < DAY:
        seconds = _seconds(domain.step)
        many = max(1, int(np.ceil((end - start).total_seconds() / seconds / POINTS)))
        held = there.entities.intersection(entities)
        if not held:
            return None
        return ctx.metrics.samples.panel(
            tenant,
            domain,
            start=start,
            end=end,
            step=domain.step * many,
            entities=sorted(held),
        )
    try:
        return ctx.metrics.panel(
            tenant,
            domain,
            entities=entities,
            until=end.date(),
            days=(end.date() - start.date()).days + 1,
        )
    except NotEnoughDataError:
        return None


def _phase(times: Times, step: np.timedelta64, bounds: Sequence[np.datetime64]) -> Any:
    """(n_time,) names of the window that each period lies in; one that the onset cuts is during."""
    onset, end = bounds
    names = np.full(len(times), "during", dtype="<U6")
    names[times + step <= onset] = "before"
    names[(times >= end) & (times > onset)] = "after"
    return names


def _median(values: Floats) -> Floats:
    """(n_entity, n_metric) medians over the time axis, NaN where there is nothing."""
    empty = ~np.isfinite(values).any(axis=1)
    if not values.shape[1]:
        return np.full(empty.shape, np.nan)
    return np.where(empty, np.nan, np.nanmedian(np.where(empty[:, None], 0.0, values), axis=1))


def _spread(values: Floats) -> Floats:
    """(n_entity, n_metric) robust standard deviations, never below a share of the level."""
    level = _median(values)
    spread = MAD * _median(np.abs(values - level[:, None]))
    return np.maximum(spread, np.maximum(FLOOR * np.abs(level), np.finfo(float).eps))


def _label(moment: datetime, domain: Domain) -> np.datetime64:
    """A moment as the store labels periods: in UTC, or the local day whose midnight it is."""
    if domain.step < DAY:
        return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "s")
    return np.datetime64(local_day(moment), "s")


def _seconds(step: np.timedelta64) -> float:
    return float(step / np.timedelta64(1, "s"))
