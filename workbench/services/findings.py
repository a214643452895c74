"""What a detection run found, before and as it is saved: episodes, stakes, causes, words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_opening

from core import catalog
from core.cases import Cause, Graph, Localizer, none_found
from core.contracts import Attribution, Bools, Floats
from core.domain import Domain
from core.errors import UnknownNameError
from core.explainers.ensemble_attribution import EnsembleAttribution
from core.explainers.sentence import sentence
from core.rootcause.grouping import Found, Noticed, group
from core.severity import SEVERITIES, severity
from data.records import NewAlert, NewIncident
from workbench.services.scene import Judged, Question, Scene, heard

Wording = Callable[[Sequence[Cause], Sequence[str]], Sequence[Cause]]
"""Causes of one outbreak and the entities in trouble → the same, the first under another word."""
CANDIDATES = 5
CALM = 4
"""Normal periods after which an episode is over: one more than it may pause for."""


# ── What was seen ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Sighting:
    """One entity's episode: its first and last anomalous period and its worst, as columns of the panel."""

    entity: str
    row: int
    first: int
    last: int
    worst: int


def chosen_entities(scene: Scene, level: str | None, profile: str | None) -> Bools:
    """(n_entity,) which entities may raise an alert."""
    chosen = np.ones(len(scene.panel.entities), dtype=bool)
    if level is not None:
        chosen &= np.array([scene.graph.level(entity) == level for entity in scene.panel.entities])
    if profile is not None:
        top = profile if profile in scene.graph.net else f"{scene.domain.levels[0]}:{profile}"
        if top not in scene.graph.net:
            raise UnknownNameError.of("detect", "the profile", "one that was imported", profile)
        below = {top, *scene.graph.descendants(top, hops=len(scene.domain.levels))}
        chosen &= np.array([entity in below for entity in scene.panel.entities])
    return chosen


def sightings_of(
    scene: Scene, judged: Judged, chosen: Bools, since: int | None = None
) -> list[Sighting]:
    """The episodes of every chosen entity, in order of the panel; the latest where that is enough.

    since : column that they still go on at, or come after; the window's first when absent. One that ran
            already then has begun where it did, as far back as was judged.
    """
    n_time = judged.p_values.shape[1]
    start = max(n_time - scene.domain.window, 0) if since is None else since
    reach = max(n_time - scene.reach, 0)
    odd = (judged.p_values[:, reach:] <= judged.alpha) & chosen[:, None]
    odd = lasting(odd, scene.domain)
    # calm periods within one episode: as many as the records allow between sightings of the same alert
    pause = int(scene.domain.pause / scene.domain.step)
    found = []
    for row in np.flatnonzero(odd[:, max(start - reach, 0) :].any(axis=1)):
        periods = reach + np.flatnonzero(odd[row])
        episodes = np.split(periods, np.flatnonzero(np.diff(periods) > pause + 1) + 1)
        for episode in episodes if scene.domain.every_episode else episodes[-1:]:
            if episode[-1] < start:
                continue
            worst = episode[np.argmin(judged.p_values[row, episode])]
            found.append(
                Sighting(
                    scene.panel.entities[row],
                    int(row),
                    int(episode[0]),
                    int(episode[-1]),
                    int(worst),
                )
            )
    return found


def lasting(odd: Bools, domain: Domain) -> Bools:
    """(n_entity, n_time) the same without runs that are over sooner than an episode of the domain is."""
    least = int(domain.lasting / domain.step)
    if least <= 1:
        return odd
    return np.asarray(binary_opening(odd, np.ones((1, least), dtype=bool)))


@dataclass(frozen=True, eq=False)
class Stakes:
    """What each sighting puts at risk: money per period over its episode, and how severe that is (an index)."""

    money: Floats
    severity: NDArray[np.int64]

    def of(self, places: Sequence[int]) -> Stakes:
        """The stakes of some of the sightings, by their places."""
        return Stakes(self.money[places], self.severity[places])


def stakes_of(scene: Scene, judged: Judged, sightings: Sequence[Sighting]) -> Stakes:
    places = np.array([(seen.row, seen.first, seen.last) for seen in sightings], dtype=np.intp)
    money, exposed = scene.at_stake(*places.reshape(-1, 3).T)
    worst = np.array([judged.p_values[seen.row, seen.worst] for seen in sightings])
    return Stakes(money, severity(worst, exposed))


def _currency(scene: Scene, entity: str) -> str:
    return str(scene.graph.net.nodes[entity].get("currency") or "")


def located(
    scene: Scene,
    judged: Judged,
    sightings: Sequence[Sighting],
    stakes: Stakes,
    method: str | None = None,
    wording: Wording | None = None,
) -> tuple[list[Found], list[Sequence[Cause]]]:
    """Sightings grouped by the root that explains them, and the causes of each, best first.

    method  : localizer of the catalogue; the domain's own when absent
    wording : what causes that stand out are called, where people taught that
    """
    localizer = catalog.localizer(method or scene.domain.defaults["localizer"])
    labels = scene.panel.periods.labels
    causes: list[Sequence[Cause]] = [()] * len(sightings)
    for outbreak in scene.outbreaks(sightings):
        found: Sequence[Cause] = answered(scene, judged, outbreak.questions, localizer)
        if wording is not None and not none_found(found):
            found = wording(found, [sightings[place].entity for place in outbreak.places])
        for place in outbreak.places:
            causes[place] = found
    noticed = [
        Noticed(
            entity=seen.entity,
            onset=labels[seen.first],
            last=labels[seen.last],
            p_value=float(judged.p_values[seen.row, seen.worst]),
            causes=found,
            spend_at_risk=float(money) * (seen.last - seen.first + 1),
            severity=int(rank),
        )
        for seen, found, money, rank in zip(
            sightings, causes, stakes.money, stakes.severity, strict=True
        )
    ]
    return group(noticed, scene.graph, scene.domain), causes


def answered(
    scene: Scene, judged: Judged, questions: Sequence[Question], localizer: Localizer
) -> list[Cause]:
    """The causes by the first question to which one stands out, else by the very first."""
    answers: list[list[Cause]] = []
    for question in questions:
        answers.append(localizer.find(scene.case(judged, question)))
        if not none_found(answers[-1]):
            break
    best = answers[0] if none_found(answers[-1]) else answers[-1]
    return [scene.spoken(cause) for cause in best]


def explained(
    scene: Scene, judged: Judged, ensemble: Any, sightings: Sequence[Sighting]
) -> list[Attribution]:
    at = [(seen.entity, seen.worst) for seen in sightings]
    said = (judged.p_values, judged.parts)
    return EnsembleAttribution().explain(ensemble, heard(scene.residual, ensemble), at, said)


# ── What is saved ────────────────────────────────────────────────────────────────────────────────


def new_alerts(
    scene: Scene,
    judged: Judged,
    sightings: Sequence[Sighting],
    stakes: Stakes,
    told: Sequence[Attribution],
    causes: Sequence[Sequence[Cause]],
    ensemble: Any,
    model_version: str,
) -> list[NewAlert]:
    labels = scene.panel.periods.labels
    return [
        NewAlert(
            domain=scene.domain.name,
            entity=seen.entity,
            entity_name=scene.graph.name(seen.entity),
            level=scene.graph.level(seen.entity),
            onset=_utc(scene, seen.row, labels[seen.first]),
            last_seen=_utc(scene, seen.row, labels[seen.last]),
            day=labels[seen.last].astype("datetime64[D]").item(),
            score=float(-np.log10(judged.p_values[seen.row, seen.worst])),
            p_value=float(judged.p_values[seen.row, seen.worst]),
            threshold=float(-np.log10(judged.alpha)),
            severity=SEVERITIES[stakes.severity[index]],
            detector=_name(ensemble),
            parts=_votes(judged, seen, ensemble),
            explanation=_shares(told[index], scene.unit) if told else {},
            sentence=_said(scene, told[index]) if told else "",
            root_causes=[_cause(scene, cause) for cause in causes[index][:CANDIDATES]]
            if causes
            else [],
            spend_at_risk=float(stakes.money[index]) * (seen.last - seen.first + 1),
            revenue_impact=scene.lost(seen.row, seen.first, seen.last),
            currency=_currency(scene, seen.entity),
            market_conditions=dict(scene.conditions(seen.entity)),
            settings=_settings(scene, seen),
            model_version=model_version,
            services=affected(scene.graph, (seen.entity,), "service"),
        )
        for index, seen in enumerate(sightings)
    ]


def new_incident(
    scene: Scene, item: Found, sightings: Sequence[Sighting], found: Sequence[NewAlert]
) -> NewIncident:
    """An incident as it is saved; `sightings` and `found` are those that were grouped."""
    best = item.candidates[0]
    row = scene.panel.row_of[item.root]
    worst_path = max(
        (cause.path for cause in item.candidates if cause.node == item.root), key=len, default=()
    )
    seen, leading = sightings[item.places[0]], found[item.places[0]]
    return NewIncident(
        title=item.title,
        domain=scene.domain.name,
        severity=SEVERITIES[item.severity],
        onset=_utc(scene, row, item.onset),
        root_entity=item.root,
        root_name=scene.graph.name(item.root),
        root_level=item.level,
        cause_type=item.type,
        confidence=item.confidence,
        hops=best.hops,
        path=list(worst_path),
        candidates=[_cause(scene, cause) for cause in item.candidates],
        method=scene.domain.defaults["localizer"],
        spend_at_risk=item.spend_at_risk,
        money_impact=scene.lost(seen.row, seen.first, seen.last) or 0.0,
        currency=leading.currency,
        ended_at=_ended(scene, [sightings[place] for place in item.places]),
        services=affected(scene.graph, (*item.entities, item.root), "service"),
        regions=affected(scene.graph, (*item.entities, item.root), "region"),
    )


def _ended(scene: Scene, seen: Sequence[Sighting]) -> datetime | None:
    """When the last of them was normal again; None while one may still go on."""
    latest = max(seen, key=lambda one: one.last)
    labels = scene.panel.periods.labels
    if latest.last + CALM >= len(labels):
        return None
    return _utc(scene, latest.row, labels[latest.last + 1])


def affected(graph: Graph, entities: Iterable[str], level: str) -> list[str]:
    """Names at a level of what was hit: of the entities themselves and of what they belong to, each once."""
    names: dict[str, None] = {}
    for entity in entities:
        above: list[str] = []
        while entity in graph.net and entity not in above:
            above.append(entity)
            entity = str(graph.net.nodes[entity].get("parent", ""))
        names |= {graph.name(node): None for node in above if graph.level(node) == level}
    return list(names)


def _votes(judged: Judged, seen: Sighting, ensemble: Any) -> dict[str, Any]:
    """Score, p-value and weight of each part, and why a part had no vote."""
    weights = ensemble.weights
    votes: dict[str, Any] = {}
    for name, p_values in judged.parts.items():
        p_value = float(p_values[seen.row, seen.worst])
        votes[name] = {
            "score": -np.log10(p_value) + 0.0,
            "p_value": p_value,
            "weight": weights[name],
        }
    return votes | {name: {"left_out": why} for name, why in ensemble.left_out.items()}


def _shares(told: Attribution, unit: str) -> dict[str, Any]:
    """An attribution as it is kept: shares (n_period, n_metric), the rest by name; `unit` tells periods apart."""
    return {
        "metrics": list(told.metrics),
        "days": [str(day.astype(f"datetime64[{unit}]")) for day in told.days],
        "shares": np.round(told.shares, 6).tolist(),
        "score": told.score,
        "base": told.base,
        "gap": told.gap,
        "parts": {name: _shares(part, unit) for name, part in told.parts.items()},
    }


def _said(scene: Scene, told: Attribution) -> str:
    return sentence(
        told,
        scene.observed,
        scene.reference,
        scene.spread,
        scene.domain,
        _currency(scene, told.entity),
    )


def _cause(scene: Scene, cause: Cause) -> dict[str, Any]:
    row = scene.panel.row_of[cause.node]
    return {
        "node": cause.node,
        "name": scene.graph.name(cause.node),
        "level": scene.graph.level(cause.node),
        "type": cause.type,
        "type_label": scene.domain.word(cause.type),
        "onset": _utc(scene, row, cause.onset).isoformat(),
        "onset_day": str(cause.onset.astype(f"datetime64[{scene.unit}]")),
        "path": list(cause.path),
        "hops": cause.hops,
        "terms": dict(cause.terms),
        "score": cause.score,
        "confidence": cause.confidence,
        "evidence": list(cause.evidence),
    }


def _settings(scene: Scene, seen: Sighting) -> dict[str, Any]:
    """What was set before the episode and at its end; settings nobody reported are absent."""
    if seen.entity not in scene.settings.row_of:
        return {}
    values = scene.settings.values[scene.settings.row_of[seen.entity]]
    before, after = values[: seen.first], values[: seen.last + 1]
    kept = {}
    for column, name in enumerate(scene.settings.metrics):
        known = [part[np.isfinite(part[:, column]), column] for part in (before, after)]
        if len(known[1]):
            kept[name] = {
                "before": float(known[0][-1]) if len(known[0]) else None,
                "after": float(known[1][-1]),
            }
    return kept


def _utc(scene: Scene, row: int, label: np.datetime64) -> datetime:
    """A period's local start as an instant."""
    zones = scene.panel.zones
    zone = ZoneInfo(zones[0] if len(zones) == 1 else zones[row])
    local: datetime = label.astype("datetime64[s]").item()
    return local.replace(tzinfo=zone).astimezone(UTC)


def _name(ensemble: Any) -> str:
    """The ensemble's own name, or that of the one part that votes alone."""
    parts = list(ensemble.weights) + list(ensemble.left_out)
    return str(parts[0]) if len(parts) == 1 else str(ensemble.name)
