"""What a person sees of one thing to judge: its curves beside what was usual, what else moved, who is suspected,
and what was said of things like it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from core.cases import Graph
from core.contracts import DAY, Floats, Times
from core.domains import DOMAINS
from data import label_store
from data.incident_store import OWN
from data.records import AlertRow, ChangeEvent, Incident, Label
from workbench.context import Context
from workbench.services import alerts, changes, incidents, proposals, similar, taxonomy
from workbench.services.labelling import Item
from workbench.services.snapshots import Look, Measured
from workbench.services.views import AlertView, Curve, Days, Heat

CAUSES = 3
ROWS = 5
"""Rows of the heat map."""
COLUMNS = 96
"""Its columns at most: neighbouring times are averaged."""
PAST = 2
NEAR = 60
"""Components that are offered, the nearest first."""
HOPS = 2
AROUND = timedelta(days=1)


@dataclass(frozen=True)
class Suspect:
    """A cause that root-cause analysis names, and how sure it is."""

    cause: str
    component: str
    name: str
    confidence: float


@dataclass(frozen=True)
class Past:
    """Something alike that was judged: what it was, what was said of it, and why it is alike."""

    title: str
    when: datetime
    said: str
    why: str


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything beside the choices; `suspects` is empty where the model's guess must not be seen.

    components : (id, display name) of what can be named as the place it started, nearest first
    zone       : whose wall clock the curves are in
    """

    title: str
    severity: str
    sentence: str
    onset: np.datetime64
    curves: tuple[Curve, ...]
    anomalous: Days
    heat: Heat | None
    suspects: tuple[Suspect, ...]
    past: tuple[Past, ...]
    changes: tuple[ChangeEvent, ...]
    components: tuple[tuple[str, str], ...]
    zone: str = "UTC"
    notices: tuple[str, ...] = ()


def of_alert(
    ctx: Context, tenant: str, item: Item, alert: AlertRow, view: AlertView | None, graph: Graph
) -> Evidence:
    """An alert with the curves that the Alert page shows; without a view, its record alone."""
    suspects = _suspects(alert.root_causes, item)
    focus = [view.curve(view.focus)] if view and view.curves else []
    others = [curve for curve in view.curves if curve.metric != view.focus] if view else []
    return Evidence(
        title=alert.entity_name or alert.entity,
        severity=alert.severity,
        sentence=alert.sentence,
        onset=view.onset if view else np.datetime64(alert.onset.replace(tzinfo=None), "s"),
        curves=tuple(focus + others),
        anomalous=view.anomalous if view else np.array([], dtype="datetime64[s]"),
        heat=_strongest(view.heat) if view and view.heat else None,
        suspects=suspects,
        past=_said_before(ctx, tenant, item, alert),
        changes=_changes(ctx, tenant, item.domain, alert.onset, alert.last_seen),
        components=_components(graph, [alert.entity, *(one.component for one in suspects)]),
        zone=view.zone if view else "UTC",
        notices=view.notices if view else (NOTHING,),
    )


def of_incident(
    ctx: Context,
    tenant: str,
    item: Item,
    detail: incidents.IncidentDetail,
    graph: Graph,
    there: Measured,
) -> Evidence:
    """An incident with what its metrics were before, during and after it.

    The title that Headwater gives one of its own tells its guess, so who judges blind gets the places alone.
    """
    incident = detail.incident
    seen = incidents.look(ctx, tenant, detail, graph, there)
    entities = incidents.affected(incident, detail.alerts, graph)
    title = incident.title
    if item.blind and incident.source == OWN:
        entities = tuple(sorted(entities, key=graph.name))
        places = similar.listed([graph.name(entity) for entity in entities])
        title = f"Trouble at {places}" if places else f"Incident {incident.id}"
    suspects = _suspects(incident.candidates or _root(incident), item)
    near = [*(one.component for one in suspects), *entities]
    return Evidence(
        title=title,
        severity=incident.severity,
        sentence=incident.description
        or next((alert.sentence for alert in detail.alerts if alert.sentence), ""),
        onset=_onset(incident),
        curves=_curves(seen, incident) if seen else (),
        anomalous=np.array([], dtype="datetime64[s]"),
        heat=_heat(seen) if seen else None,
        suspects=suspects,
        past=_alike(ctx, tenant, incident),
        changes=_changes(ctx, tenant, item.domain, incident.onset, incident.ended_at),
        components=_components(graph, near),
        notices=() if seen else (NOTHING,),
    )


NOTHING = "No metrics of that time are stored: its record is all there is."


# ── curves ───────────────────────────────────────────────────────────────────────────────────────


def _curves(seen: Look, incident: Incident) -> tuple[Curve, ...]:
    """The rows that moved most, each beside its usual level before and how far it strays."""
    usual, spread = _usual(seen)
    times, whole = _times(seen), np.ones(len(seen.times))
    return tuple(
        Curve(
            entity=row.entity,
            name=row.name,
            metric=f"{row.entity}/{row.metric}",
            label=row.label,
            unit=row.unit,
            currency=incident.currency,
            bad=row.bad,
            days=times,
            observed=seen.curves[place],
            expected=whole * usual[place],
            spread=whole * spread[place],
            settled=whole,
        )
        for place, row in enumerate(seen.rows[:ROWS])
    )


def _heat(seen: Look) -> Heat:
    usual, spread = _usual(seen)
    curves = seen.curves[: len(usual)]
    together = -(-len(seen.times) // COLUMNS)
    kept = len(seen.times) // together * together
    deviations = (curves[:, :kept] - usual[:, None]) / spread[:, None]
    binned = deviations.reshape(len(curves), -1, together)
    known = np.isfinite(binned)
    with np.errstate(invalid="ignore"):
        means = np.where(known, binned, 0.0).sum(axis=2) / known.sum(axis=2)
    rows = seen.rows[: len(usual)]
    return Heat(
        _times(seen)[:kept:together],
        tuple(f"{row.entity}/{row.metric}" for row in rows),
        tuple(f"{row.name} · {row.label}" for row in rows),
        means,
    )


def _strongest(heat: Heat) -> Heat:
    """The rows that are furthest off, which stand first."""
    return replace(
        heat,
        channels=heat.channels[:ROWS],
        labels=heat.labels[:ROWS],
        deviations=heat.deviations[:ROWS],
    )


def _onset(incident: Incident) -> np.datetime64:
    """When it began: the local day where its domain is measured by day, else the minute in UTC."""
    if DOMAINS[incident.domain].step >= DAY:
        return np.datetime64(alerts.local_day(incident.onset), "D")
    return np.datetime64(incident.onset.replace(tzinfo=None), "m")


def _times(seen: Look) -> Times:
    """The periods, in days where they are days."""
    daily = len(seen.times) > 1 and seen.times[1] - seen.times[0] >= DAY
    return seen.times.astype("datetime64[D]") if daily else seen.times


def _usual(seen: Look) -> tuple[Floats, Floats]:
    """(n_row,) level before and robust standard deviation of the strongest rows."""
    rows = seen.rows[:ROWS]
    usual = np.array([row.before for row in rows])
    moved = np.array([row.during - row.before for row in rows])
    shift = np.array([row.shift for row in rows])
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.where(shift == 0, np.nan, moved / shift)
    return usual, spread


# ── what is suspected, and what was said ─────────────────────────────────────────────────────────


def _suspects(candidates: Iterable[Mapping[str, Any]], item: Item) -> tuple[Suspect, ...]:
    if item.blind:
        return ()
    return tuple(
        Suspect(
            str(one.get("type", "")),
            str(one.get("node", "")),
            str(one.get("name") or one.get("node", "")),
            float(one.get("confidence") or 0.0),
        )
        for one in list(candidates)[:CAUSES]
    )


def _root(incident: Incident) -> list[Mapping[str, Any]]:
    """What is told of the root where no candidates were kept."""
    if not incident.cause_type:
        return []
    told = {"node": incident.root_entity, "name": incident.root_name}
    return [{"type": incident.cause_type, **told, "confidence": incident.confidence}]


def _alike(ctx: Context, tenant: str, incident: Incident) -> tuple[Past, ...]:
    words = taxonomy.of(ctx, tenant, incident.domain)
    return tuple(
        Past(
            one.incident.title,
            one.incident.onset,
            words.label(words.now(one.incident.root_cause)) if one.incident.root_cause else "",
            one.why,
        )
        for one in similar.similar(ctx, tenant, incident.id, limit=PAST)
    )


def _said_before(ctx: Context, tenant: str, item: Item, alert: AlertRow) -> tuple[Past, ...]:
    """What was said of earlier alerts on the same entity."""
    words = taxonomy.of(ctx, tenant, item.domain)
    found: Sequence[Label] = ctx.records.read(
        tenant,
        lambda session: label_store.current(session, tenant=tenant, entity=alert.entity),
    )
    earlier = [label for label in found if label_store.subject(label) != ("alert", alert.id)]
    return tuple(
        Past(
            f"{label_store.subject(label)[0].capitalize()} {label_store.subject(label)[1]}",
            label.labelled_at,
            words.label(words.now(label.cause)) if label.cause else label.disposition,
            "the same entity",
        )
        for label in earlier[:PAST]
    )


def _changes(
    ctx: Context, tenant: str, domain: str, onset: datetime, end: datetime | None
) -> tuple[ChangeEvent, ...]:
    """What was done to the system around that time."""
    last = max(end or onset, onset)
    found = changes.between(
        ctx, tenant, domain=domain, start=onset - AROUND, end=last, entities=None
    )
    return tuple(found)


def _components(graph: Graph, places: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The places themselves, then what is within two hops of them, each once."""
    known = [place for place in dict.fromkeys(places) if place in graph.net]
    near: dict[str, int] = dict.fromkeys(known, 0)
    for place in known:
        for reach in (graph.ancestors, graph.descendants):
            for node, hops in reach(place, HOPS).items():
                near[node] = min(near.get(node, hops), hops)
    nodes = sorted(near, key=lambda node: near[node]) or sorted(graph.net)
    # what people added may lie anywhere
    added = [node for node, kind in graph.net.nodes(data="kind") if kind == proposals.KIND]
    offered = dict.fromkeys([*nodes[:NEAR], *added])
    return tuple((node, _named(graph, node)) for node in offered)


def _named(graph: Graph, node: str) -> str:
    name, level = graph.name(node), graph.level(node)
    labels = {key: label for one in DOMAINS.values() for key, label in one.level_labels.items()}
    return f"{name} ({labels.get(level, level).lower()})" if level else name


def subject_of(ctx: Context, tenant: str, item: Item) -> Any:
    """The record that an item is about: an alert, or an incident with its alerts."""
    if item.subject_kind == "alert":
        return alerts.get(ctx, tenant, item.subject_id).alert
    return incidents.get(ctx, tenant, item.subject_id)
