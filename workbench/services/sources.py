"""Metrics fetched from where they are kept: sources added, listed and removed, and fetched on from where they were."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from core.contracts import DAY, OnStep
from core.domain import Domain
from core.domains import DOMAINS
from core.errors import CancelledError, HeadwaterError, InvalidInputError, UnknownNameError
from data import source_store
from data.ingest import prometheus
from data.ingest.answers import Span
from data.ingest.prometheus import Prometheus
from data.ingest.promql import Kind, Plan
from data.records import MetricSource
from workbench.context import Context

log = logging.getLogger(__name__)

KIND = "prometheus"
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}")


@dataclass(frozen=True)
class Source:
    """A source as it stands; `until` is the last moment fetched (UTC), None before the first."""

    name: str
    domain: str
    kind: str
    url: str
    plan: dict[str, Any]
    until: datetime | None
    fetched_at: datetime | None
    error: str


@dataclass(frozen=True)
class FetchReport:
    """What a fetch brought: spans and samples, up to when, metric → why it could not be asked; `error` ended it."""

    name: str
    spans: int
    samples: int
    until: datetime | None
    failed: dict[str, str]
    error: str = ""


def domains() -> list[str]:
    """The domains of which measurements at moments are kept, not figures by day."""
    return [name for name, domain in DOMAINS.items() if domain.step < DAY]


def add(
    ctx: Context,
    tenant: str,
    *,
    name: str,
    url: str,
    domain: str = "services",
    plan: Mapping[str, Any] | None = None,
    actor: str = "",
) -> Source:
    """Add a Prometheus after asking it who it is, and each query of one's own whether it is understood."""
    which = _sampled(domain)
    if not NAME.fullmatch(name):
        rule = "letters, digits, dots and dashes, at most 64, a letter or digit first"
        raise InvalidInputError.of("sources", "the name", rule, name)
    asked = Plan.of(plan or {}, which.levels)
    with Prometheus(url, asked) as source:
        source.version()
        for query in asked.queries.values():
            more, by = asked.matching, "job"
            source.check(query.format(by=by, window="5m", more=more))
        address = source.url
    now = ctx.clock()
    row = MetricSource(
        tenant=tenant,
        domain=domain,
        name=name,
        kind=KIND,
        url=address,
        plan=dict(plan or {}),
        created_at=now,
    )
    return _seen(
        ctx.records.write(
            tenant,
            lambda session: source_store.add(session, row, actor=actor or ctx.actor, now=now),
        )
    )


def listing(ctx: Context, tenant: str, *, domain: str = "") -> list[Source]:
    """Every source and how far it has come, by name."""
    return [_seen(row) for row in _rows(ctx, tenant, domain)]


def remove(
    ctx: Context, tenant: str, name: str, *, domain: str = "services", actor: str = ""
) -> None:
    """Fetch no more from a source; what it brought stays."""
    told = {"tenant": tenant, "domain": domain, "name": name, "actor": actor or ctx.actor}
    now = ctx.clock()
    ctx.records.write(tenant, lambda session: source_store.remove(session, **told, now=now))


def fetch(
    ctx: Context,
    tenant: str,
    *,
    name: str = "",
    domain: str = "services",
    actor: str = "",
    on_step: OnStep | None = None,
) -> list[FetchReport]:
    """Fetch what is new from one source, or from all of the domain.

    It goes on where the last fetch was, span by span; a span is stored once, however often a fetch is killed. Of
    several sources one that fails stops no other; its error is in its report and beside the source.
    """
    rows = _rows(ctx, tenant, domain)
    if name:
        rows = [
            ctx.records.read(
                tenant,
                lambda session: source_store.get(session, tenant=tenant, domain=domain, name=name),
            )
        ]
    reports = []
    for row in rows:
        try:
            reports.append(_fetch(ctx, row, actor or ctx.actor, on_step))
        except CancelledError:
            raise
        except HeadwaterError as error:
            if name:
                raise
            log.warning("Fetching %s failed: %s", row.name, error.message)
            reports.append(FetchReport(row.name, 0, 0, _until(row), {}, error.message))
    return reports


def _fetch(ctx: Context, row: MetricSource, actor: str, on_step: OnStep | None) -> FetchReport:
    """Span by span up to now; each is marked in the cursor before it is asked for and when it is stored."""
    spans, samples, now = 0, 0, ctx.clock()
    failed: dict[str, str] = {}
    try:
        plan = Plan.of(row.plan, DOMAINS[row.domain].levels)
        with Prometheus(row.url, plan) as source:
            scrape, kinds = source.scrape_seconds(), source.kinds()
            begun = None
            while span := _begun(row) or _due(row, source, now, scrape):
                begun = begun or span.first
                row = _move(ctx, row, actor, cursor=row.cursor | {"span": vars(span)})
                new, misunderstood = _store(ctx, row, source, span, scrape, kinds)
                spans, samples, failed = spans + 1, samples + new, failed | misunderstood
                row = _move(
                    ctx,
                    row,
                    actor,
                    cursor={"until": span.last},
                    error="; ".join(f"{metric}: {said}" for metric, said in failed.items()),
                    fetched={"from": span.first, "until": span.last, "step": span.step},
                )
                share = (span.last - begun) / max(now.timestamp() - begun, 1.0)
                told = {"samples": float(samples)}
                if on_step is not None and on_step(row.name, min(share, 1.0), told) is False:
                    raise CancelledError.of(
                        "sources", "the fetch", "allowed to go on", f"a stop after {spans} spans"
                    )
    except CancelledError:
        raise
    except HeadwaterError as error:
        _move(ctx, row, actor, cursor=row.cursor, error=error.message)
        raise
    return FetchReport(row.name, spans, samples, _until(row), failed)


def _store(
    ctx: Context,
    row: MetricSource,
    source: Prometheus,
    span: Span,
    scrape: int,
    kinds: Mapping[str, Kind],
) -> tuple[int, dict[str, str]]:
    """Ask for a span and store it, unless a fetch that was killed had: samples, and what was not understood."""
    plan, samples, domain = source.plan, ctx.metrics.samples, DOMAINS[row.domain]
    sha256 = prometheus.digest(row.id, row.url, plan, span)
    if samples.loaded(row.tenant, sha256) is not None:
        return 0, {}
    fetched = prometheus.fetch(
        source,
        span,
        name=row.name,
        sha256=sha256,
        series=source.series(span),
        kinds=kinds,
        window=plan.window_seconds or max(4 * scrape, plan.step_seconds),
    )
    batch = samples.news(row.tenant, domain, fetched.batch)
    if batch.rows:
        samples.load(row.tenant, domain, batch)
    return batch.rows, dict(fetched.failed)


def _begun(row: MetricSource) -> Span | None:
    """The span that an earlier fetch began and did not finish: the same bytes, so it is stored once."""
    begun = row.cursor.get("span")
    return Span(**begun) if begun else None


def _due(row: MetricSource, source: Prometheus, now: datetime, scrape: int) -> Span | None:
    """The next span, as short as its many series ask for."""
    following = partial(
        prometheus.next_span,
        source.plan,
        until=row.cursor.get("until"),
        now=now,
        scrape=scrape,
    )
    span = following()
    return span and following(series=len(source.series(span)))


def _move(ctx: Context, row: MetricSource, actor: str, **told: Any) -> MetricSource:
    now = ctx.clock()
    return ctx.records.write(
        row.tenant, lambda session: source_store.move(session, row, actor=actor, now=now, **told)
    )


def _rows(ctx: Context, tenant: str, domain: str) -> list[MetricSource]:
    return ctx.records.read(
        tenant, lambda session: source_store.listing(session, tenant=tenant, domain=domain)
    )


def _seen(row: MetricSource) -> Source:
    return Source(
        row.name,
        row.domain,
        row.kind,
        row.url,
        row.plan,
        _until(row),
        row.fetched_at,
        row.error,
    )


def _until(row: MetricSource) -> datetime | None:
    until = row.cursor.get("until")
    return None if until is None else datetime.fromtimestamp(until, UTC)


def _sampled(domain: str) -> Domain:
    if domain not in domains():
        rule = f"one of {', '.join(domains())}"
        raise UnknownNameError.of("sources", "the domain", rule, domain)
    return DOMAINS[domain]
