"""Alerts that share a root become one incident; its descendants are muted under it."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np

from core.cases import Cause, Graph, none_found
from core.domain import Domain

SLACK = np.timedelta64(1, "D")
"""By how much the onset of what is left over may seem earlier, at most."""


@dataclass(frozen=True)
class Noticed:
    """One alert: an entity's anomalous episode, and the causes found for it, best first.

    severity      : index, higher is worse
    spend_at_risk : money over the episode
    """

    entity: str
    onset: np.datetime64
    last: np.datetime64
    p_value: float
    causes: Sequence[Cause]
    spend_at_risk: float = 0.0
    severity: int = 0


@dataclass(frozen=True)
class Found:
    """One incident.

    candidates    : possible roots, best first; the first is `root`
    entities      : those alerted, the leading one first: the root itself, or else the surest
    places        : where each of them stood among the alerts that were grouped
    muted         : all but the leading one
    severity      : the worst of the alerts'
    spend_at_risk : money over the episodes, of the alerts at the level that shows most (levels repeat each other's money)
    """

    root: str
    level: str
    type: str
    onset: np.datetime64
    confidence: float
    candidates: tuple[Cause, ...]
    entities: tuple[str, ...]
    muted: tuple[str, ...]
    severity: int
    spend_at_risk: float
    title: str
    places: tuple[int, ...] = ()


def group(noticed: Sequence[Noticed], graph: Graph, domain: Domain) -> list[Found]:
    """Incidents, strongest first. An alert for which no cause stands out stays an alert of its own, in no incident.

    Alerts whose best cause is the same node belong together when their onsets are close. A weaker cause below
    the node of a stronger one, not earlier than it nor after it was over, is what the stronger one left over, and
    joins it.
    """
    ranked = sorted(
        (place for place, alert in enumerate(noticed) if not none_found(alert.causes)),
        key=lambda place: -noticed[place].causes[0].score,
    )
    groups: list[list[int]] = []
    for place in ranked:
        cause = noticed[place].causes[0]
        above = graph.ancestors(cause.node, len(domain.levels))
        home = next(
            (
                g
                for g in groups
                if _belongs(cause, noticed[g[0]].causes[0], above, domain.pause)
                and cause.onset <= max(noticed[member].last for member in g) + domain.pause
            ),
            None,
        )
        if home is None:
            groups.append([place])
        else:
            home.append(place)
    return [_incident(noticed, members, graph, domain) for members in groups]


def _belongs(cause: Cause, stronger: Cause, above: Container[str], pause: np.timedelta64) -> bool:
    if cause.node == stronger.node:
        return bool(abs(cause.onset - stronger.onset) <= pause)
    later = cause.onset >= stronger.onset - min(SLACK, pause)
    return bool(later) and stronger.node in above


def _incident(
    noticed: Sequence[Noticed], places: Sequence[int], graph: Graph, domain: Domain
) -> Found:
    members = [noticed[place] for place in places]
    root = members[0].causes[0]
    # an alert names only the candidates that touch its entity; the widest one has them all
    best = max((m.causes for m in members if m.causes[0].node == root.node), key=len)
    ordered = sorted(
        places, key=lambda place: (noticed[place].entity != root.node, noticed[place].p_value)
    )
    entities = tuple(noticed[place].entity for place in ordered)
    money: dict[str, float] = {}
    for alert in members:
        level = graph.level(alert.entity)
        money[level] = money.get(level, 0.0) + alert.spend_at_risk
    return Found(
        root=root.node,
        level=graph.level(root.node),
        type=root.type,
        onset=root.onset,
        confidence=root.confidence,
        candidates=tuple(best),
        entities=entities,
        muted=entities[1:],
        severity=max(alert.severity for alert in members),
        spend_at_risk=max(money.values()),
        title=_title(root, graph, domain),
        places=tuple(ordered),
    )


def _title(root: Cause, graph: Graph, domain: Domain) -> str:
    """ "Budget cut on campaign X: impressions −61 % (±4) since 9 Mar"."""
    what = "Unknown cause" if root.type == "unknown" else domain.word(root.type)
    level = domain.level_labels.get(graph.level(root.node), graph.level(root.node))
    if level and not level.isupper():
        level = level.lower()
    shown = f": {_lower(root.evidence[0])}" if root.evidence else ""
    return f"{what} on {level} {graph.name(root.node)}{shown}"


def _lower(sentence: str) -> str:
    return sentence if sentence[:2].isupper() else sentence[0].lower() + sentence[1:]
