"""Past incidents that were like this one, with what people said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.likeness import Likeness, Story, likeness
from data import incident_store
from data.records import Incident
from workbench.context import Context
from workbench.services import snapshots, taxonomy

LOOKED_AT = 2000
"""Past incidents that are compared, the latest first."""
LEAST = 0.1
"""A likeness below which nothing is told: any two incidents share a word."""


@dataclass(frozen=True, eq=False)
class Similar:
    """A past incident, how alike it is (0…1) with its terms, and why, in words; `judged_as` as of `IncidentLine`."""

    incident: Incident
    similarity: float
    terms: dict[str, float]
    why: str
    judged_as: str


def similar(ctx: Context, tenant: str, incident_id: int, limit: int = 5) -> list[Similar]:
    """The past incidents of the domain most like this one, the most alike first, then the latest.

    Only what began earlier is compared: what is not known at the time explains nothing.
    """

    def read(session: Any) -> tuple[Incident, list[Incident]]:
        own = incident_store.get(session, tenant=tenant, incident_id=incident_id)
        about = {"tenant": tenant, "domain": own.domain, "onset": own.onset}
        return own, incident_store.before(session, **about, limit=LOOKED_AT)

    words = taxonomy.vocabulary(ctx, tenant)
    own, past = ctx.records.read(tenant, read)
    found = [
        Similar(
            taxonomy.retold(words, incident),
            alike.score,
            dict(alike.terms),
            _why(own, incident, alike),
            words(incident.domain).said(incident.root_cause),
        )
        for incident, alike in zip(
            past, likeness(_story(own), [_story(one) for one in past]), strict=True
        )
        if alike.score >= LEAST
    ]
    found.sort(key=lambda one: (-one.similarity, -one.incident.onset.timestamp()))
    return found[:limit]


def _story(incident: Incident) -> Story:
    """What people told of it; nothing that a label says, which is to be looked up here."""
    # a title of our own repeats the places and metrics, in the words of every other such title
    titled = "" if incident.source == "headwater" else incident.title
    text = " ".join((titled, incident.description))
    places = [
        name.rpartition(":")[2].lower() for name in (*incident.services, incident.root_entity)
    ]
    return Story(
        text,
        frozenset(name for name in places if name),
        frozenset(name.lower() for name in incident.regions),
        snapshots.shifts(incident),
    )


def _why(own: Incident, other: Incident, alike: Likeness) -> str:
    labels = {
        row["metric"]: row["label"]
        for incident in (own, other)
        for row in incident.snapshots.get("rows", ())
    }
    moved = snapshots.shifts(own)
    reasons = []
    if alike.places:
        reasons.append(f"also at {listed(alike.places)}")
    if alike.metrics:
        told = [f"{labels[name]} {'up' if moved[name] > 0 else 'down'}" for name in alike.metrics]
        reasons.append(f"{listed(told)} in both")
    if alike.words:
        reasons.append(f"both say {listed(alike.words)}")
    return "; ".join(reasons) or "alike in part"


def listed(names: Sequence[str], most: int = 3) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
