"""What a promotion would do to the open alerts: which would vanish, appear, or change their severity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from core.contracts import DAY
from core.domains import DOMAINS, local_day
from core.severity import SEVERITIES
from data import alert_feed
from data.finding_store import pause
from data.records import ACTIVE
from models.ports import CHALLENGER, CHAMPION
from workbench.context import Context
from workbench.services import labelled
from workbench.services.comparison import AlertChange, Seen
from workbench.services.findings import Sighting, sightings_of, stakes_of
from workbench.services.scene import Judged, Scene

Raised = Mapping[str, Mapping[str, Sequence[Seen]]]
"""The episodes that each model raises, by entity, the earliest first."""


def raised(scene: Scene, judged: Judged) -> dict[str, list[Seen]]:
    """The episodes on which a model would raise an alert, as detection does, by entity."""
    everyone = np.ones(len(scene.panel.entities), dtype=bool)
    sightings: list[Sighting] = sightings_of(scene, judged, everyone)
    stakes = stakes_of(scene, judged, sightings)
    at = scene.panel.periods.labels.astype("datetime64[s]").astype(datetime)
    found: dict[str, list[Seen]] = {}
    for place, seen in enumerate(sightings):
        found.setdefault(seen.entity, []).append(
            Seen(
                at[seen.first],
                at[seen.last],
                SEVERITIES[stakes.severity[place]],
                float(stakes.money[place]) * (seen.last - seen.first + 1),
                str(scene.graph.net.nodes[seen.entity].get("currency") or ""),
            )
        )
    return found


def changes(
    ctx: Context,
    tenant: str,
    domain: str,
    last: date,
    found: Raised,
    names: Mapping[str, Sequence[str]],
) -> tuple[list[Any], tuple[AlertChange, ...]]:
    """The active alerts near the days that end `last`, and what a promotion would do to them."""
    which = DOMAINS[domain]
    span = timedelta(seconds=float(which.window * which.step / np.timedelta64(1, "s")))
    since = datetime.combine(last, datetime.min.time(), UTC) - span - pause(domain)
    alerts: dict[str, list[Any]] = {}
    for alert in ctx.records.read(
        tenant, lambda session: alert_feed.near(session, tenant=tenant, domain=domain, since=since)
    ):
        alerts.setdefault(alert.entity, []).append(alert)
    standing = [alert for rows in alerts.values() for alert in rows if alert.status in ACTIVE]
    changed = [*_gone(found, names, alerts), *_new(found, names, alerts)]
    order = ("vanish", "severity", "appear")
    changed.sort(key=lambda one: (one.muted, order.index(one.kind), -one.spend_at_risk, one.entity))
    return standing, tuple(changed)


def _gone(
    found: Raised, names: Mapping[str, Sequence[str]], alerts: Mapping[str, Sequence[Any]]
) -> Iterator[AlertChange]:
    """Open alerts of episodes that the champion raises and the challenger does not."""
    for entity, rows in alerts.items():
        champions, challengers = (found[who].get(entity, ()) for who in (CHAMPION, CHALLENGER))
        told = set()
        for before in champions:
            alert = _meant(rows, before)
            if alert is None or alert.status not in ACTIVE or alert.id in told:
                continue
            if not any(_near(alert, after) for after in challengers):
                told.add(alert.id)
                yield _change("vanish", entity, names[entity], alert, before)


def _new(
    found: Raised, names: Mapping[str, Sequence[str]], alerts: Mapping[str, Sequence[Any]]
) -> Iterator[AlertChange]:
    """Episodes that the challenger raises: as another severity, or where there is no alert yet."""
    for entity, challengers in found[CHALLENGER].items():
        champions = found[CHAMPION].get(entity, ())
        for after in challengers:
            alert = _meant(alerts.get(entity, ()), after)
            if alert is None:
                known = any(
                    before.first <= after.last and after.first <= before.last
                    for before in champions
                )
                if not known:
                    yield _change("appear", entity, names[entity], None, after)
            elif alert.status in ACTIVE and alert.severity != after.severity:
                yield _change("severity", entity, names[entity], alert, after)


def _meant(rows: Sequence[Any], seen: Seen) -> Any | None:
    """The alert that a run would take the episode for: of those near, an active one first, else the latest."""
    near = [alert for alert in rows if _near(alert, seen)]
    return max(near, key=lambda alert: (alert.status in ACTIVE, alert.last_seen), default=None)


def _near(alert: Any, seen: Seen) -> bool:
    """Whether an alert and an episode lie no further apart than the pause of their domain."""
    first, last = (_period(alert.domain, moment) for moment in (alert.onset, alert.last_seen))
    apart = pause(alert.domain)
    return first - apart <= seen.last and seen.first <= last + apart


def _period(domain: str, moment: datetime) -> datetime:
    """The period that a moment of an alert stands for, as its label is told: a local day's midnight, or a minute."""
    if DOMAINS[domain].step < DAY:
        return labelled.naive(moment)
    return datetime.combine(local_day(moment), datetime.min.time())


def _change(
    kind: str, entity: str, called: Sequence[str], alert: Any | None, seen: Seen
) -> AlertChange:
    name, level = called
    return AlertChange(
        kind=kind,
        alert=None if alert is None else alert.id,
        entity=entity,
        name=name,
        level=level,
        before="" if alert is None else alert.severity,
        after="" if kind == "vanish" else seen.severity,
        spend_at_risk=seen.spend_at_risk,
        currency=seen.currency,
        muted=alert is not None and alert.muted_by is not None,
    )
