"""Behind the Alert and Root cause pages: one alert's curves, neighbours, shares, hierarchy and candidates."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from core import catalog
from core.cases import Graph
from core.contracts import Floats
from core.domain import Ratio
from core.errors import UnknownNameError
from core.hierarchy.layout import Layout, layered
from core.hierarchy.web import woven
from data.alert_feed import Filters, page
from data.records import AlertRow
from workbench.context import Context
from workbench.services import alerts, scorer, snapshots
from workbench.services import scene as scenes
from workbench.services.findings import CANDIDATES, answered, lasting, sightings_of
from workbench.services.scene import Judged, Question, Scene
from workbench.services.views import (
    AlertView,
    Candidate,
    CauseView,
    Contributions,
    Curve,
    Days,
    Heat,
    Lane,
    Node,
    Part,
    Place,
    Strip,
)

SHOWN, HEAT, GLANCE = 60, 28, 14
"""Periods of a curve, of a heat map and of a preview; a domain of shorter periods shows more of them."""
SIBLINGS = 8
DRAWING: Mapping[str, tuple[Callable[..., Layout], int, int]] = {
    "expected": (layered, 18, 3),
    "metrics": (woven, 60, CANDIDATES),
}
"""How a scene's graph is drawn, with how many nodes and candidates at most: a hierarchy's lines, a web by its hops."""
LANES = 12
NAMED = 3
"""Edges that are told by name."""
MANY = 10.0
"""From so many times what was expected on, a change is told as a multiple."""


# ── Alert ────────────────────────────────────────────────────────────────────────────────────────


def alert_view(scene: Scene, judged: Judged | None, alert: AlertRow) -> AlertView:
    """Everything about one alert that is computed rather than recorded."""
    onset, last_day = _episode(scene, alert)
    row = scene.panel.row_of.get(alert.entity)
    heat_span = scene.around(onset, last_day, HEAT)
    notices = []
    if judged is None:
        notices.append("No model can score now, so what each detector said is left out.")
    elif judged.deaf:
        notices.append(judged.deaf)
    if row is None:
        notices.append("This entity has no data in the period shown; its record stands.")
        curves: tuple[Curve, ...] = ()
    else:
        span = scene.around(onset, last_day, SHOWN)
        curves = tuple(_curve(scene, row, name, span) for name in scene.metrics_of(row, heat_span))
        padded = scene.panel.padded
        filled = 0 if padded is None else int(padded[row, heat_span].sum())
        if filled:
            notices.append(f"Short history: {filled} of the last {HEAT} days were filled in.")
    focus = _focus(scene, alert, row)
    return AlertView(
        zone=_zone(scene, row),
        unit=scene.unit,
        above=tuple(
            Place(entity, scene.graph.level(entity), scene.graph.name(entity))
            for entity in scene.above(alert.entity)
        ),
        curves=curves,
        focus=focus,
        onset=onset,
        last_day=last_day,
        anomalous=_anomalous(scene.times, row, judged, onset, last_day),
        strips=_strips(scene, row, judged, scene.around(onset, last_day, GLANCE)),
        alpha=judged.alpha if judged else scenes.ALPHA,
        heat=None if row is None else _heat(scene, row, heat_span),
        contributions=_contributions(scene, alert.explanation),
        parts=_parts(alert.parts),
        siblings=() if row is None else _siblings(scene, judged, alert, focus),
        settings=_settings(alert.settings),
        market=tuple(alert.market_conditions.items()),
        notices=tuple(notices),
    )


def glance(scene: Scene, alert: AlertRow) -> Curve | None:
    """Two weeks of the metric that stands out, None when the entity has no data."""
    row = scene.panel.row_of.get(alert.entity)
    span = scene.around(*_episode(scene, alert), GLANCE)
    return None if row is None else _curve(scene, row, _focus(scene, alert, row), span)


def explanation(context: Context, tenant: str, alert_id: int) -> dict[str, Any]:
    """Why an alert was raised: its sentence, shares by day and metric, per detector and in all."""
    alert = alerts.get(context, tenant, alert_id).alert
    return {"id": alert.id, "sentence": alert.sentence, "parts": alert.parts, **alert.explanation}


def moment(scene: Scene, alert: AlertRow) -> datetime | None:
    """As of when a domain is to be looked at to see an alert; None where the newest look, `scene`, holds it."""
    if scene.back_to(None) is None or alert.last_seen >= scene.begin:
        return None
    # alerts of one day share a look
    midnight = alert.last_seen.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return min(midnight + timedelta(days=1), scene.begin)


def _look(context: Context, tenant: str, alert: AlertRow) -> Scene:
    scene = scenes.look(context, tenant, domain=alert.domain)
    until = moment(scene, alert)
    return (
        scene if until is None else scenes.look(context, tenant, domain=alert.domain, as_of=until)
    )


def _episode(scene: Scene, alert: AlertRow) -> tuple[np.datetime64, np.datetime64]:
    """First and last period of the alert in the entity's zone."""
    zone = ZoneInfo(_zone(scene, scene.panel.row_of.get(alert.entity)))
    first, last = (
        np.datetime64(moment.astimezone(zone).replace(tzinfo=None), "s").astype(
            f"datetime64[{scene.unit}]"
        )
        for moment in (alert.onset, alert.last_seen)
    )
    return first, last


def _zone(scene: Scene, row: int | None) -> str:
    zones = scene.panel.zones
    return zones[0] if row is None or len(zones) == 1 else zones[row]


def _focus(scene: Scene, alert: AlertRow, row: int | None) -> str:
    """The channel that carries most of the score; without an explanation the oddest one."""
    known = scene.residual.metrics
    channels = tuple(alert.explanation.get("metrics", ()))
    if set(channels) <= set(known) and alert.explanation.get("shares"):
        total = np.asarray(alert.explanation["shares"], dtype=np.float64).sum(axis=0)
        if total.any():
            return str(channels[int(np.argmax(np.abs(total)))])
    if row is None:
        return known[0]
    near = scene.residual.values[row, scene.around(*_episode(scene, alert), 3)]
    return known[int(np.argmax(np.nan_to_num(np.abs(near)).max(axis=0)))]


def _curve(scene: Scene, row: int, name: str, span: slice) -> Curve:
    """A raw metric, or a ratio of two with the spread that its numerator adds to its denominator's."""
    domain, graph = scene.domain, scene.graph
    ratio = next((ratio for ratio in domain.ratios if ratio.name == name), None)
    entity = scene.panel.entities[row]
    node = graph.net.nodes.get(entity, {})
    spec: Any = ratio or domain.metric(name)
    observed, expected, spread = _ratio(scene, row, ratio) if ratio else _metric(scene, row, name)
    newest = ratio.numerator if ratio else name
    return Curve(
        entity=entity,
        name=str(node.get("name") or entity),
        metric=name,
        label=spec.label,
        unit=spec.unit,
        currency=str(node.get("currency") or ""),
        bad=spec.bad,
        days=scene.times,
        observed=observed,
        expected=expected,
        spread=spread,
        settled=scene.settled(newest)[row],
    ).cut(span)


def _metric(scene: Scene, row: int, name: str) -> tuple[Floats, Floats, Floats]:
    place = scene.reference.metrics.index(name)
    return (
        scene.panel.metric(name)[row],
        scene.reference.metric(name)[row],
        scene.spread[row, :, place],
    )


def _ratio(scene: Scene, row: int, ratio: Ratio) -> tuple[Floats, Floats, Floats]:
    above, above_expected, above_spread = _metric(scene, row, ratio.numerator)
    below, below_expected, below_spread = _metric(scene, row, ratio.denominator)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = above_expected / below_expected
        # relative variances add up along the funnel, so the link's own is the difference
        own = (above_spread / above_expected) ** 2 - (below_spread / below_expected) ** 2
        spread = middle * np.sqrt(np.maximum(own, 0.0) + 1.0 / np.maximum(above_expected, 1.0))
    return ratio.of(above, below), middle, spread


def _anomalous(
    days: Days,
    row: int | None,
    judged: Judged | None,
    onset: np.datetime64,
    last_day: np.datetime64,
) -> Days:
    within = (days >= onset) & (days <= last_day)
    if judged is not None and row is not None:
        within &= judged.p_values[row] <= judged.alpha
    return days[within]


def _strips(scene: Scene, row: int | None, judged: Judged | None, span: slice) -> tuple[Strip, ...]:
    """What was judged, by detector."""
    if judged is None or row is None:
        return ()
    voices = {**judged.parts, "all together": judged.p_values}
    return tuple(
        Strip(name, scene.times[span], values[row, span]) for name, values in voices.items()
    )


def _heat(scene: Scene, row: int, span: slice) -> Heat:
    labels = {ratio.name: ratio.label for ratio in scene.domain.ratios}
    labels |= {metric.name: metric.label for metric in scene.domain.metrics}
    known = scene.residual.metrics
    channels = tuple(name for name in scene.metrics_of(row, span) if name in known)
    columns = [known.index(name) for name in channels]
    return Heat(
        scene.times[span],
        channels,
        tuple(labels[channel] for channel in channels),
        scene.residual.values[row, span][:, columns].T,
    )


def _contributions(scene: Scene, told: Mapping[str, Any]) -> Contributions | None:
    """Shares by channel, periods summed; None where no explanation was kept. Of many channels those with a share."""
    if not told.get("shares"):
        return None
    parts = {
        name: np.asarray(part["shares"], dtype=np.float64).sum(axis=0)
        for name, part in told.get("parts", {}).items()
    }
    total = np.asarray(told["shares"], dtype=np.float64).sum(axis=0)
    labels = tuple(scene.word(name) or _words(name) for name in told["metrics"])
    kept = np.arange(len(total))
    if len(total) > SIBLINGS:
        kept = np.sort(np.argsort(-np.abs(total), kind="stable")[:SIBLINGS])
        kept = kept[total[kept] != 0] if total.any() else kept
        parts = parts if len(parts) > 1 else {}
    return Contributions(
        tuple(labels[place] for place in kept),
        total[kept],
        {name: values[kept] for name, values in parts.items()},
        float(told.get("gap") or 0.0),
    )


def _parts(parts: Mapping[str, Any]) -> tuple[Part, ...]:
    return tuple(
        Part(
            name,
            part.get("score"),
            part.get("p_value"),
            part.get("weight"),
            str(part.get("left_out") or ""),
        )
        for name, part in parts.items()
    )


def _siblings(
    scene: Scene, judged: Judged | None, alert: AlertRow, focus: str
) -> tuple[Curve, ...]:
    """This entity and the oddest (else the biggest) of those beside it."""
    row_of, episode = scene.panel.row_of, _episode(scene, alert)
    others = [other for other in scene.siblings(alert.entity) if other in row_of]
    rows = np.array([row_of[other] for other in others], dtype=np.intp)
    if not len(rows):
        return ()
    span = scene.around(*episode, HEAT)
    if judged is not None:
        near = scene.around(*episode, 7)
        order = np.argsort(judged.p_values[rows, near].min(axis=1))
    else:
        volume = scene.observed.values[:, :, 0]
        order = np.argsort(-np.nansum(volume[rows, span], axis=1))
    chosen = [row_of[alert.entity], *rows[order[: SIBLINGS - 1]]]
    return tuple(_curve(scene, int(row), focus, span) for row in chosen)


STATES = {1.0: "enabled", 0.0: "paused", -1.0: "archived"}


def _settings(kept: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """(name, before, after), or (name, value) of what did not change."""
    rows = []
    for name, value in kept.items():
        pair = value if isinstance(value, Mapping) else {"before": value, "after": value}
        both = (pair.get("before"), pair.get("after"))
        told = (STATES.get(one, one) if name == "status" else one for one in both)
        rows.append((_words(name), *dict.fromkeys(map(_plain, told))))
    return tuple(rows)


def _words(name: str) -> str:
    return name.replace("_", " ").upper() if len(name) == 3 else name.replace("_", " ").capitalize()


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,.2f}".removesuffix(".00") if isinstance(value, int | float) else str(value)


# ── Root cause ───────────────────────────────────────────────────────────────────────────────────


def cause_view(
    context: Context,
    tenant: str,
    scene: Scene,
    judged: Judged | None,
    alert: AlertRow,
    *,
    method: str | None = None,
) -> CauseView:
    """Candidates with their terms, the drawn part of the hierarchy as it was then, and the order of onsets."""
    today = scene.graph
    scene = _as_it_was(context, tenant, scene, alert)
    usual = scene.domain.defaults["localizer"]
    kept = method in (None, usual) and alert.root_causes
    if judged is None or kept:
        found = tuple(_kept(scene, cause) for cause in alert.root_causes)
    else:
        found = _found(scene, judged, alert, method or usual)
    path = found[0].path if found else (alert.entity,)
    focus = _focus(scene, alert, scene.panel.row_of.get(alert.entity))
    first = _first_days(scene, judged, alert)
    known = alert.entity in scene.graph.net
    drawn = Layout((), ())
    if known:
        draw, limit, candidates = DRAWING[scene.case_kind]
        drawn = draw(
            scene.graph,
            alert.entity,
            weight=_weights(judged, scene, alert, first),
            paths=[candidate.path for candidate in found[:candidates]],
            limit=limit,
        )
    severities = _severities(context, tenant, scene, alert, [spot.node for spot in drawn.spots])
    shown = [spot.node for spot in drawn.spots if spot.node in first]
    onsets = sorted({first[node][0] for node in shown})
    places = {day: place for place, day in enumerate(onsets, start=1)}
    nodes = tuple(
        Node(
            spot.node,
            spot.name,
            spot.level,
            spot.x,
            spot.y,
            severities.get(spot.node, "low" if spot.node in first else ""),
            _shift(scene, spot.node, focus, alert),
            first[spot.node][0] if spot.node in first else None,
            places[first[spot.node][0]] if spot.node in first else 0,
            spot.collapsed,
        )
        for spot in drawn.spots
    )
    siblings = scene.siblings(alert.entity)
    return CauseView(
        zone=_zone(scene, scene.panel.row_of.get(alert.entity)),
        unit=scene.unit,
        kind=scene.case_kind,
        method=method or usual,
        methods=methods(scene.case_kind),
        candidates=found,
        nodes=nodes,
        edges=drawn.edges,
        lanes=_lanes(scene, first, shown, path, severities),
        siblings_anomalous=sum(sibling in first for sibling in siblings),
        siblings=len(siblings),
        notices=(
            *_notices(known, bool(kept), found),
            *_since(scene, today, alert, {spot.node for spot in drawn.spots}),
        ),
    )


def _as_it_was(context: Context, tenant: str, scene: Scene, alert: AlertRow) -> Scene:
    """The scene with the graph of the alert's moment; the very same where no edge has changed since."""
    then = snapshots.graph(context, tenant, scene.domain.name, at=alert.onset)
    if set(then.net.edges) == set(scene.graph.net.edges):
        return scene
    return replace(scene, graph=then)


def _since(scene: Scene, today: Graph, alert: AlertRow, drawn: Collection[str]) -> tuple[str, ...]:
    """What has become of the edges at the drawn nodes since the alert began, in a sentence."""
    then = set(scene.graph.net.edges)
    parts = []
    for word, graph, edges in (
        ("gone", scene.graph, then.difference(today.net.edges)),
        ("new", today, set(today.net.edges).difference(then)),
    ):
        told = sorted(
            f"{graph.name(source)} → {graph.name(target)}"
            for source, target in edges
            if source in drawn or target in drawn
        )
        if told:
            more = f" and {len(told) - NAMED:,} more" if len(told) > NAMED else ""
            parts.append(f"{word} {', '.join(told[:NAMED])}{more}")
    if not parts:
        return ()
    began = _episode(scene, alert)[0].item()
    form = "%-d %b %Y, %H:%M" if isinstance(began, datetime) else "%-d %b %Y"
    return (f"Drawn as it was on {began:{form}}. Since then: {'; '.join(parts)}.",)


def _notices(known: bool, kept: bool, found: Sequence[Candidate]) -> tuple[str, ...]:
    belief = sum(candidate.confidence for candidate in found)
    told = {
        "This entity is no longer in the hierarchy; its record stands.": not known,
        "Computed now with today's data, not at detection.": known and not kept,
        "No cause stands out: more than half of the belief is in none of these.": 0 < belief < 0.5,
    }
    return tuple(sentence for sentence, holds in told.items() if holds)


def methods(kind: str) -> tuple[str, ...]:
    """The localisers of the catalogue that can look at cases of a kind."""
    return tuple(name for name, localizer in catalog.localizers() if kind in localizer.works_on)


def causes(
    context: Context, tenant: str, alert_id: int, *, method: str | None = None
) -> dict[str, Any]:
    """Ranked candidates of an alert, as kept at detection or found anew by another method."""
    alert = alerts.get(context, tenant, alert_id).alert
    known = methods(scenes.kind_of(alert.domain))
    if method not in (None, *known):
        rule = f"one of {', '.join(known)}"
        raise UnknownNameError.of("cause", "the method", rule, method)
    scene = _as_it_was(context, tenant, _look(context, tenant, alert), alert)
    usual = scene.domain.defaults["localizer"]
    if method in (None, usual) and alert.root_causes:
        found: Sequence[Candidate] = [_kept(scene, cause) for cause in alert.root_causes]
    else:
        served = scorer.standing(context, tenant, scene)
        judged = scenes.judge(scene, scorer.resumed(context, tenant, served))
        found = _found(scene, judged, alert, method or usual)
    return {"id": alert.id, "method": method or usual, "candidates": found}


def _kept(scene: Scene, cause: Mapping[str, Any]) -> Candidate:
    return _candidate(
        scene,
        node=str(cause["node"]),
        kind=str(cause["type"]),
        onset=datetime.fromisoformat(str(cause["onset"])),
        onset_day=np.datetime64(str(cause["onset_day"])).item(),
        path=tuple(cause["path"]),
        hops=int(cause["hops"]),
        terms=cause["terms"],
        score=float(cause["score"]),
        confidence=float(cause["confidence"]),
        evidence=tuple(cause["evidence"]),
    )


def _found(scene: Scene, judged: Judged, alert: AlertRow, method: str) -> tuple[Candidate, ...]:
    if alert.entity not in scene.graph.net:
        return ()
    localizer = catalog.localizer(method)
    questions = _questions(scene, judged, alert)
    return tuple(
        _candidate(
            scene,
            node=cause.node,
            kind=cause.type,
            onset=_begun(scene, cause.node, cause.onset),
            onset_day=cause.onset.astype(f"datetime64[{scene.unit}]").item(),
            path=cause.path,
            hops=cause.hops,
            terms=cause.terms,
            score=cause.score,
            confidence=cause.confidence,
            evidence=cause.evidence,
        )
        for cause in answered(scene, judged, questions, localizer)
    )


def _questions(scene: Scene, judged: Judged, alert: AlertRow) -> tuple[Question, ...]:
    """What is asked about: the outbreak that the alert is part of, or the alert alone."""
    first, last = _episode(scene, alert)
    everyone = np.ones(len(scene.panel.entities), dtype=bool)
    found = sightings_of(scene, judged, everyone, int(np.searchsorted(scene.times, first)))
    for outbreak in scene.outbreaks(found):
        mine = (found[place] for place in outbreak.places if found[place].entity == alert.entity)
        if any(
            scene.times[seen.first] <= last and first <= scene.times[seen.last] for seen in mine
        ):
            return outbreak.questions
    return (Question((scene.alarm(alert.entity, first, last),)),)


def _begun(scene: Scene, node: str, period: np.datetime64) -> datetime:
    """When a local period of the node began."""
    local: datetime = period.astype("datetime64[s]").item()
    zone = ZoneInfo(_zone(scene, scene.panel.row_of.get(node)))
    return local.replace(tzinfo=zone).astimezone(UTC)


def _candidate(scene: Scene, *, node: str, kind: str, **rest: Any) -> Candidate:
    known = node in scene.graph.net
    return Candidate(
        node=node,
        name=scene.graph.name(node) if known else node,
        level=scene.graph.level(node) if known else node.partition(":")[0],
        type=kind,
        type_label=scene.domain.word(kind),
        **rest,
    )


def _first_days(
    scene: Scene, judged: Judged | None, alert: AlertRow
) -> dict[str, tuple[np.datetime64, np.datetime64]]:
    """First and last anomalous period of every entity by the alert's last one, as far as they may belong together."""
    episode = _episode(scene, alert)
    if judged is None:
        return {alert.entity: episode}
    days = scene.times
    within = (days > scene.since(*episode)) & (days <= episode[1])
    odd = lasting(judged.p_values <= judged.alpha, scene.domain) & within
    rows = np.flatnonzero(odd.any(axis=1))
    start = np.argmax(odd[rows], axis=1)
    end = odd.shape[1] - 1 - np.argmax(odd[rows, ::-1], axis=1)
    return {
        scene.panel.entities[row]: (days[first], days[last])
        for row, first, last in zip(rows, start, end, strict=True)
    }


def _weights(
    judged: Judged | None, scene: Scene, alert: AlertRow, first: Iterable[str]
) -> dict[str, float]:
    if judged is None:
        return dict.fromkeys(first, 1.0)
    row_of = scene.panel.row_of
    window = judged.p_values[:, scene.around(*_episode(scene, alert), GLANCE)]
    surprise = -np.log10(np.clip(window.min(axis=1), 1e-12, 1.0))
    return {entity: float(surprise[row_of[entity]]) for entity in first}


def _severities(
    context: Context, tenant: str, scene: Scene, alert: AlertRow, entities: Sequence[str]
) -> dict[str, str]:
    """Worst severity of the alerts on these entities at the time of this one, muted and resolved ones too."""
    begin = _begun(scene, alert.entity, scene.since(*_episode(scene, alert)))
    chosen = Filters(domain=alert.domain, entities=tuple(entities), status=(), muted=None)
    rows = context.records.read(
        tenant, lambda session: page(session, tenant=tenant, filters=chosen, limit=1000).rows
    )
    return {
        row.entity: row.severity
        for row in reversed(rows)
        if row.onset <= alert.last_seen and row.last_seen >= begin
    }


def _shift(scene: Scene, entity: str, focus: str, alert: AlertRow) -> str:
    """Change of what is telling since the onset: observed against expected, both summed."""
    row = scene.panel.row_of.get(entity)
    if row is None:
        return ""
    onset, last_day = _episode(scene, alert)
    within = (scene.times >= onset) & (scene.times <= last_day)
    told = scene.telling(row, focus, scene.around(onset, last_day, 3))
    alike = scene.case_kind == "expected" and told == focus
    label = "" if alike else f"{scene.word(told).partition(' (')[0]} "
    focus = told
    ratio = next((ratio for ratio in scene.domain.ratios if ratio.name == focus), None)
    names = (ratio.numerator, ratio.denominator) if ratio else (focus,)
    change = 1.0
    for power, name in zip((1, -1), names, strict=False):
        seen = np.nansum(scene.panel.metric(name)[row, within])
        wanted = np.nansum(scene.reference.metric(name)[row, within])
        if seen <= 0 or wanted <= 0:
            return f"{label}−100 %" if power == 1 and wanted > 0 else ""
        change *= (seen / wanted) ** power
    if change >= MANY:
        return f"{label}× {change:.0f}"
    sign = "+" if change >= 1 else "−"
    return label + f"{sign}{abs(change - 1):.0%}".replace("%", " %")


def _lanes(
    scene: Scene,
    first: Mapping[str, tuple[np.datetime64, np.datetime64]],
    shown: Sequence[str],
    path: Sequence[str],
    severities: Mapping[str, str],
) -> tuple[Lane, ...]:
    """The path and the earliest of the other drawn nodes, earliest on top."""
    chosen = sorted(shown, key=lambda node: (node not in path, first[node][0]))[:LANES]
    chosen.sort(key=lambda node: (first[node][0], node not in path))
    return tuple(
        Lane(
            node,
            scene.graph.name(node),
            scene.graph.level(node),
            severities.get(node, "low"),
            *first[node],
        )
        for node in chosen
    )
