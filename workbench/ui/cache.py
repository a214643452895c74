"""The caches of the pages: bounded, keyed by tenant, data version and model digest; what is kept is never changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, TypeVar

import streamlit as st

from core.cases import Graph
from core.devices import Device
from core.errors import NotEnoughDataError, NotFoundError, PersistenceError
from data.records import AlertRow
from models.serve import Served
from workbench.services import agreement as agreements
from workbench.services import (
    brief,
    compare,
    experiments,
    investigate,
    preflight,
    proposals,
    scorer,
    snapshots,
    training,
)
from workbench.services import evidence as evidences
from workbench.services import scene as scenes
from workbench.services import surroundings as surrounding
from workbench.services import suspects as doubts
from workbench.services.agreement import Agreement, ToDate
from workbench.services.comparison import ComparisonView
from workbench.services.evidence import Evidence
from workbench.services.incidents import IncidentDetail
from workbench.services.labelling import Item
from workbench.services.preflight import Check, Estimate
from workbench.services.scene import Judged, Scene
from workbench.services.snapshots import Measured
from workbench.services.surroundings import Surroundings
from workbench.services.suspects import Suspects
from workbench.services.targets import Tally
from workbench.services.training import Form, Learnable
from workbench.services.views import AlertView, Arrivals, CauseView, Curve, Freshness
from workbench.ui import state
from workbench.ui.theme import Palette

log = logging.getLogger(__name__)

T = TypeVar("T")
Key = tuple[Any, ...]
PAGE_HEIGHT, GLANCE_HEIGHT, CHECKS_HEIGHT = 480, 120, 90  # pixels that a skeleton takes


@st.cache_resource(max_entries=6, show_spinner=False)
def _large(key: Key, _make: Callable[[], T]) -> T:  # noqa: ARG001 - the cache reads the key
    return _make()


@st.cache_resource(max_entries=256, show_spinner=False)
def _small(key: Key, _make: Callable[[], T]) -> T:  # noqa: ARG001 - the cache reads the key
    return _make()


def freshness(domain: str = "ads") -> Freshness:
    """How far the data of a domain reaches."""
    context, tenant, _ = state.who()
    key = ("freshness", tenant, domain, context.metrics.version(tenant))
    return _small(key, lambda: brief.freshness(context, tenant, domain=domain))


def arrivals(domain: str) -> Arrivals:
    """What came of a domain's newest days."""
    context, tenant, _ = state.who()
    key = ("arrivals", tenant, domain, context.metrics.version(tenant))
    return _small(key, lambda: brief.arrivals(context, tenant, domain=domain))


def known_at(domain: str = "ads") -> datetime:
    """The moment that ages count from: the newest part of a domain's data, now where nothing came yet."""
    now = state.now()
    return min(freshness(domain).as_of or now, now)


def alert_view(alert: AlertRow) -> AlertView:
    """The Alert page's view; a skeleton stands in while the account is read."""
    with st.skeleton(PAGE_HEIGHT):
        served = _served(alert.domain)
        return _small(
            ("alert", *_key(alert), *_judge(alert.domain, served)),
            lambda: investigate.alert_view(*_seen(alert, served), alert),
        )


def cause_view(alert: AlertRow, method: str | None) -> CauseView:
    """The Root cause page's view by the chosen method; a skeleton stands in while it is made."""
    context, tenant, _ = state.who()
    with st.skeleton(PAGE_HEIGHT):
        served = _served(alert.domain)
        return _small(
            ("cause", *_key(alert), *_judge(alert.domain, served), method),
            lambda: investigate.cause_view(
                context, tenant, *_seen(alert, served), alert, method=method
            ),
        )


def evidence(item: Item) -> Evidence:
    """What one sees of an item; labels given meanwhile do not move it."""
    context, tenant, _ = state.who()

    def look() -> Evidence:
        about = evidences.subject_of(context, tenant, item)
        if item.subject_kind == "incident":
            known = graph(item.domain), _measured(item.domain)
            return evidences.of_incident(context, tenant, item, about, *known)
        view = _still_view(about)
        return evidences.of_alert(context, tenant, item, about, view, graph(item.domain))

    return _small(("evidence", *_asked(item)), look)


def drawn(item: Item, colours: Palette, make: Callable[[], T]) -> T:
    """What was drawn of an item's evidence in these colours."""
    return _small(("drawn", colours, *_asked(item)), make)


def _asked(item: Item) -> Key:
    _, tenant, _ = state.who()
    subject = (item.domain, item.subject_kind, item.subject_id, item.blind)
    return tenant, *_structure(), *subject


def _structure() -> Key:
    """Other texts whenever figures come, or people add to the graph."""
    context, tenant, _ = state.who()
    return context.metrics.version(tenant), proposals.revision(context, tenant)


def _still_view(alert: AlertRow) -> AlertView | None:
    """The Alert page's view from a scene that stays as it is while labels come in; None without data."""
    context, tenant, _ = state.who()
    version = context.metrics.version(tenant)
    try:
        served = _served(alert.domain)
        key = ("still", tenant, alert.domain, version, *_judge(alert.domain, served))

        def look(until: datetime | None) -> tuple[Scene, Judged | None]:
            scene = scenes.look(context, tenant, domain=alert.domain, as_of=until)
            if served is None:
                return scene, None
            return scene, scenes.judge(scene, scorer.resumed(context, tenant, served))

        seen = _large(key, lambda: look(None))
        until = investigate.moment(seen[0], alert)
        if until is not None:
            seen = _large((*key, until), lambda: look(until))
        return investigate.alert_view(*seen, alert)
    except NotEnoughDataError as error:
        log.info("Nothing to see of alert %d: %s", alert.id, error)
        return None


def graph(domain: str) -> Graph:
    """What reaches what in a domain."""
    context, tenant, _ = state.who()
    key = ("graph", tenant, domain, *_structure())
    return _large(key, lambda: snapshots.graph(context, tenant, domain))


def _measured(domain: str) -> Measured:
    context, tenant, _ = state.who()
    key = ("measured", tenant, domain, context.metrics.version(tenant))
    return _small(key, lambda: snapshots.measured(context, tenant, domain))


def agreement_to_date(domain: str, after: int) -> ToDate:
    """How far people agree, looked at anew after every ten labels of this person."""
    context, tenant, actor = state.who()
    key = ("agreement", tenant, actor, domain, after, state.now().date())
    return _small(key, lambda: agreements.to_date(context, tenant, domain=domain))


def glance(alert: AlertRow) -> Curve | None:
    """Two weeks of the alert's metric for a preview; a skeleton of its size stands in meanwhile."""
    with st.skeleton(GLANCE_HEIGHT):
        return _small(
            ("glance", *_key(alert)), lambda: investigate.glance(_scene_of(alert)[0], alert)
        )


def comparison(domain: str, champion: str, challenger: str) -> ComparisonView:
    """Two versions on the same days, beside the alerts as they stand now; a skeleton stands in while it is made."""
    context, tenant, actor = state.who()
    key = (tenant, domain, compare.holds_for(context, tenant, domain), champion, challenger)
    with st.skeleton(PAGE_HEIGHT):
        view = _large(
            ("comparison", *key),
            lambda: compare.compare(
                context,
                tenant,
                domain=domain,
                champion=champion,
                challenger=challenger,
                actor=actor,
            ),
        )
    return compare.with_alerts(context, tenant, view)


def baseline(domain: str, treatment: str, metric: str, unit: str) -> Tally:
    """What a plan of an experiment is made from; a skeleton stands in while both models judge."""
    context, tenant, _ = state.who()
    version = compare.data_version(context, tenant)
    asked = {"domain": domain, "treatment": treatment, "metric": metric, "unit": unit}
    key = ("baseline", tenant, version, *_judge(domain, _served(domain)), *asked.values())
    with st.skeleton(CHECKS_HEIGHT):
        return _small(key, lambda: experiments.baseline(context, tenant, **asked))


def names(domain: str) -> Mapping[str, str]:
    """The display name of every entity of a domain."""
    _, tenant, _ = state.who()

    def read() -> Mapping[str, str]:
        known = graph(domain)
        return {entity: known.name(entity) for entity in known.net}

    return _large(("names", tenant, domain, *_structure()), read)


def devices() -> tuple[Device, ...]:
    """What a training may run on; the machine's devices do not change while the server runs."""
    return _small(("devices",), training.devices)


def training_forms(domain: str) -> list[Form]:
    """Every algorithm that can score a domain, with what it asks for; a skeleton stands in while they are read."""
    context, tenant, _ = state.who()
    champion = brief.standing(context, tenant, domain=domain).champion
    with st.skeleton(PAGE_HEIGHT):
        return _small(
            ("forms", tenant, domain, champion),
            lambda: training.forms(context, tenant, domain=domain),
        )


def training_window(domain: str) -> tuple[date, date]:
    """The first and the last day that can be learned from."""
    context, tenant, _ = state.who()
    return training.window(context, tenant, domain=domain, learnable=learnable(domain))


def before_training(
    *, device: str, part: bool, **asked: Any
) -> tuple[list[Check], Estimate | None]:
    """The checks before a training starts, and what it takes where none refuses; kept while the data stay."""
    context, tenant, _ = state.who()
    told = (tuple(value.items()) if name == "params" else value for name, value in asked.items())
    key = ("training", tenant, compare.data_version(context, tenant), device, part, *told)
    material = learnable(asked["domain"])

    def look() -> tuple[list[Check], Estimate | None]:
        checks = preflight.preflight(context, tenant, **asked, part=part, learnable=material)
        if any(check.status == preflight.REFUSED for check in checks):
            return checks, None
        return checks, preflight.estimate(
            context, tenant, **asked, device=device, learnable=material
        )

    with st.skeleton(CHECKS_HEIGHT):
        return _small(key, look)


def learnable(domain: str) -> Learnable:
    """All that can be learned from; a skeleton stands in while it is read."""
    context, tenant, _ = state.who()
    key = ("learnable", tenant, domain, compare.data_version(context, tenant))
    with st.skeleton(PAGE_HEIGHT):
        return _large(key, lambda: training.everything(context, tenant, domain))


def agreement_of(domain: str, aspect: str, which: str) -> Agreement:
    """How far people agree, as the labels stand now; a skeleton stands in while intervals are drawn."""
    context, tenant, _ = state.who()
    version = compare.data_version(context, tenant)
    with st.skeleton(PAGE_HEIGHT):
        return _small(
            ("agreement", tenant, version, domain, aspect, which),
            lambda: agreements.of(
                context, tenant, domain=domain, aspect=aspect, which=which or None
            ),
        )


def suspects(domain: str) -> Suspects:
    """The labels that models doubt, as they stand now; a skeleton stands in while models learn."""
    context, tenant, _ = state.who()
    key = ("suspects", tenant, compare.data_version(context, tenant), domain)
    with st.skeleton(CHECKS_HEIGHT):
        return _small(key, lambda: doubts.listing(context, tenant, domain=domain))


def surroundings(detail: IncidentDetail) -> Surroundings:
    """What happened around an incident; looked at anew each minute while it goes on. A skeleton stands in meanwhile."""
    context, tenant, _ = state.who()
    incident = detail.incident
    minute = (
        None if incident.snapshots.get("final") else state.now().replace(second=0, microsecond=0)
    )
    changes = tuple((event.id, event.at, event.title) for event in detail.changes)
    version = compare.data_version(context, tenant)
    key = ("around", tenant, incident.id, incident.version, version, changes, minute)
    with st.skeleton(PAGE_HEIGHT):
        return _small(key, lambda: surrounding.around(context, tenant, detail))


def _key(alert: AlertRow) -> Key:
    """An alert's facts depend on the data and on the model that raised it, not on what people do to it."""
    context, tenant, _ = state.who()
    version = compare.data_version(context, tenant)
    return tenant, version, alert.id, alert.model_version, alert.score


def _scene(domain: str, until: datetime | None = None) -> Scene:
    context, tenant, _ = state.who()
    key = ("scene", tenant, domain, compare.data_version(context, tenant), until)
    return _large(key, lambda: scenes.look(context, tenant, domain=domain, as_of=until))


def _scene_of(alert: AlertRow) -> tuple[Scene, datetime | None]:
    """The look that holds an alert, and as of when that is; None = now."""
    newest = _scene(alert.domain)
    until = investigate.moment(newest, alert)
    return (newest if until is None else _scene(alert.domain, until)), until


def _seen(alert: AlertRow, served: Served | None) -> tuple[Scene, Judged | None]:
    """The scene of an alert, and what the model in use says of it; None while none can be trusted."""
    context, tenant, _ = state.who()
    scene, until = _scene_of(alert)
    if served is None:
        return scene, None
    version = compare.data_version(context, tenant)
    key = ("judged", tenant, alert.domain, version, until, *_judge(alert.domain, served))
    return scene, _large(key, lambda: scenes.judge(scene, scorer.resumed(context, tenant, served)))


def _served(domain: str) -> Served | None:
    """The model in use now, asked at every rerun, so that a promotion reaches pages that are open."""
    context, tenant, _ = state.who()
    try:
        champion = context.serve.champion(tenant, domain)
        key = ("standing", tenant, domain, compare.data_version(context, tenant))
        # a cache of models would hold on to those that were released
        stands = _small(
            (*key, *_judge(domain, champion)),
            lambda: scorer.standing(context, tenant, _scene(domain)).version,
        )
        return (
            Served(stands, context.serve.load(stands))
            if stands.id != champion.version.id
            else champion
        )
    except (NotFoundError, PersistenceError) as error:
        log.warning("No champion of %s scores for tenant %s: %s", domain, tenant, error)
        return None


def _judge(domain: str, served: Served | None) -> Key:
    """Who judges: the model's digest, and the last run, since each moves the streaming parts on."""
    context, tenant, _ = state.who()
    run = brief.standing(context, tenant, domain=domain).last_run
    return served.version.digest if served else "", run
