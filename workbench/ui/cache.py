"""The caches of the pages: bounded, keyed by tenant, data version and model digest; what is kept is never changed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import streamlit as st

from core.errors import NotFoundError, PersistenceError
from data.records import AlertRow
from workbench.services import brief, investigate, scorer
from workbench.services import scene as scenes
from workbench.services.scene import Judged, Scene
from workbench.services.views import AlertView, CauseView, Curve, Freshness
from workbench.ui import state

log = logging.getLogger(__name__)

T = TypeVar("T")
Key = tuple[Any, ...]
PAGE_HEIGHT, GLANCE_HEIGHT = 480, 120  # pixels that a skeleton takes


@st.cache_resource(max_entries=4, show_spinner=False)
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


def known_at() -> datetime:
    """The moment that ages count from: the newest download, now where nothing came yet."""
    now = state.now()
    return min(freshness().as_of or now, now)


def alert_view(alert: AlertRow) -> AlertView:
    """The Alert page's view; a skeleton stands in while the account is read."""
    with st.skeleton(PAGE_HEIGHT):
        return _small(
            ("alert", *_key(alert)), lambda: investigate.alert_view(*_seen(alert.domain), alert)
        )


def cause_view(alert: AlertRow, method: str | None) -> CauseView:
    """The Root cause page's view by the chosen method; a skeleton stands in while it is made."""
    context, tenant, _ = state.who()
    with st.skeleton(PAGE_HEIGHT):
        return _small(
            ("cause", *_key(alert), method),
            lambda: investigate.cause_view(
                context, tenant, *_seen(alert.domain), alert, method=method
            ),
        )


def glance(alert: AlertRow) -> Curve | None:
    """Two weeks of the alert's metric for a preview; a skeleton of its size stands in meanwhile."""
    with st.skeleton(GLANCE_HEIGHT):
        return _small(
            ("glance", *_key(alert)), lambda: investigate.glance(_scene(alert.domain), alert)
        )


def _key(alert: AlertRow) -> Key:
    """An alert's facts depend on the data and on the model that raised it, not on what people do to it."""
    context, tenant, _ = state.who()
    return tenant, context.metrics.version(tenant), alert.id, alert.model_version, alert.score


def _scene(domain: str) -> Scene:
    context, tenant, _ = state.who()
    key = ("scene", tenant, domain, context.metrics.version(tenant))
    return _large(key, lambda: scenes.look(context, tenant, domain=domain))


def _seen(domain: str) -> tuple[Scene, Judged | None]:
    """The scene, and what the champion says of it; None while none can be trusted."""
    context, tenant, _ = state.who()
    scene = _scene(domain)
    try:
        served = context.serve.champion(tenant, domain)
    except (NotFoundError, PersistenceError) as error:
        log.warning("No champion of %s scores for tenant %s: %s", domain, tenant, error)
        return scene, None
    # each run moves the streaming parts on
    run = brief.standing(context, tenant, domain=domain).last_run
    key = ("judged", tenant, domain, context.metrics.version(tenant), served.version.digest, run)
    return scene, _large(key, lambda: scenes.judge(scene, scorer.resumed(context, tenant, served)))
