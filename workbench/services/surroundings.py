"""What happened around an incident: its metrics, what was done to the systems that reach it, those that were like it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.cases import Graph
from data.records import ChangeEvent
from workbench.context import Context
from workbench.services import incidents, similar, snapshots
from workbench.services.incidents import IncidentDetail
from workbench.services.similar import Similar
from workbench.services.snapshots import Look

HOPS = 2
"""How far up the graph a change may lie and still concern an incident."""


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Around one incident; `elsewhere` counts the changes of those hours that do not reach it.

    changes : to what it hit, to what reaches that within two hops, or to nothing in particular, earliest first
    """

    look: Look | None
    changes: tuple[ChangeEvent, ...]
    elsewhere: int
    similar: tuple[Similar, ...]


def around(ctx: Context, tenant: str, detail: IncidentDetail) -> Surroundings:
    """Everything around an incident that was read."""
    incident = detail.incident
    known = snapshots.graph(ctx, tenant, incident.domain, at=incident.onset)
    entities = incidents.affected(incident, detail.alerts, known)
    near = concerning(known, entities, detail.changes)
    return Surroundings(
        incidents.look(ctx, tenant, detail, known),
        near,
        len(detail.changes) - len(near),
        tuple(similar.similar(ctx, tenant, incident.id)),
    )


def concerning(
    known: Graph, entities: Iterable[str], changes: Iterable[ChangeEvent]
) -> tuple[ChangeEvent, ...]:
    """The changes that may concern these entities; all of them where no entity is known."""
    hit = [entity for entity in entities if entity in known.net]
    reach = {node for entity in hit for node in known.ancestors(entity, HOPS)} | {*hit}
    told = list(changes)
    if not hit:
        return tuple(told)
    places = snapshots.resolve(known, [event.entity for event in told if event.entity])
    return tuple(
        event for event in told if not event.entity or places.get(event.entity, "") in reach
    )
