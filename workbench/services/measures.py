"""What is measured: metrics with unit and bad direction, as people, the domain, their source or their names tell."""

from __future__ import annotations

from core.domains import DOMAINS
from core.errors import InvalidInputError, UnknownNameError
from data import audit_store
from data.samples import MetricInfo
from workbench.context import Context


def listing(
    ctx: Context, tenant: str, *, domain: str = "services", entity: str = ""
) -> list[MetricInfo]:
    """Every metric that was measured, of one entity where it is named, by name."""
    if domain not in DOMAINS:
        rule = f"one of {', '.join(DOMAINS)}"
        raise UnknownNameError.of("measures", "the domain", rule, domain)
    return ctx.metrics.samples.metrics(tenant, DOMAINS[domain], entity)


def declare(
    ctx: Context,
    tenant: str,
    metric: str,
    *,
    domain: str = "services",
    label: str | None = None,
    unit: str | None = None,
    bad: int | None = None,
    nature: str | None = None,
    actor: str = "",
) -> MetricInfo:
    """Say what a metric is; what is left out stays as it was. A person's word stands above every other."""
    found = {info.name: info for info in listing(ctx, tenant, domain=domain)}
    if metric not in found:
        raise UnknownNameError.of("measures", "the metric", "one that was measured", metric)
    told = {"label": label, "unit": unit, "bad": bad, "nature": nature}
    told = {name: value for name, value in told.items() if value is not None}
    if not told:
        raise InvalidInputError.of(metric, "a word", "given: label, unit, bad or nature", None)
    samples, which = ctx.metrics.samples, DOMAINS[domain]
    kept = samples.by_hand(tenant, which, metric)
    samples.declare(tenant, which, metric, **kept | told)
    before = {name: getattr(found[metric], name) for name in told}
    now = ctx.clock()
    ctx.records.write(
        tenant,
        lambda session: audit_store.record(
            session,
            tenant=tenant,
            actor=actor or ctx.actor,
            now=now,
            verb="declare metric",
            object_kind="metric",
            object_id=metric[:160],
            after={"told": told, "previous": before},
        ),
    )
    return next(info for info in listing(ctx, tenant, domain=domain) if info.name == metric)
