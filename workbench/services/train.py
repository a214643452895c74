"""Fit a detector to a tenant's panel and put it to work, or beside the one that works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.contracts import Bools, OnStep, Panel
from models.ports import CHALLENGER, CHAMPION, VersionRow
from models.train import publish, train
from workbench.context import Context


def fit_champion(
    ctx: Context,
    tenant: str,
    panel: Panel,
    *,
    domain: str,
    detector: str = "ensemble",
    params: Mapping[str, Any] | None = None,
    labels: Bools | None = None,
    actor: str,
    reason: str = "first model of this data",
    on_step: OnStep | None = None,
) -> VersionRow:
    """Fit, publish and promote: from now on this version scores the domain.

    labels : (n_entity, n_time) cells that are known anomalies, which teach nothing

    Raises ConflictError when somebody promoted another version while this one was being fitted; the fitted
    version stays published.
    """
    return _fit(
        ctx, tenant, panel, CHAMPION, domain, detector, params, labels, actor, reason, on_step
    )


def fit_challenger(
    ctx: Context,
    tenant: str,
    panel: Panel,
    *,
    domain: str,
    detector: str = "ensemble",
    params: Mapping[str, Any] | None = None,
    labels: Bools | None = None,
    actor: str,
    reason: str,
    on_step: OnStep | None = None,
) -> VersionRow:
    """Fit and publish a version to compare with the champion, which goes on scoring."""
    return _fit(
        ctx, tenant, panel, CHALLENGER, domain, detector, params, labels, actor, reason, on_step
    )


def _fit(
    ctx: Context,
    tenant: str,
    panel: Panel,
    alias: str,
    domain: str,
    detector: str,
    params: Mapping[str, Any] | None,
    labels: Bools | None,
    actor: str,
    reason: str,
    on_step: OnStep | None,
) -> VersionRow:
    store = ctx.registry.store
    parent = store.alias(tenant, domain, CHAMPION)
    before = store.alias(tenant, domain, alias)
    # who waits for a first look wants all days learned; the Train page measures
    trained = train(
        panel, name=detector, params=params, labels=labels, on_step=on_step, held_out=0.0
    )
    version = publish(
        ctx.registry,
        tenant,
        domain,
        trained,
        panel,
        parent=parent.version_id if parent else "",
        actor=actor,
    )
    ctx.registry.promote(
        tenant,
        domain,
        version.id,
        alias=alias,
        actor=actor,
        reason=reason,
        seen=before.version if before else 0,
    )
    return store.get(tenant, version.id)
