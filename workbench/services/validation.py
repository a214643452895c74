"""Is the data good enough to learn from: every check with its figure and its cure, kept as a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from core import contracts
from core.contracts import DAY, OnStep, Panel
from core.domain import Domain
from core.domains import DOMAINS
from core.errors import InvalidInputError, NotEnoughDataError, UnknownNameError
from core.evaluate import clocks, data_quality
from core.evaluate.data_quality import Check, Finding, State, untested
from data import preference_store, report_store
from data.sample_quality import Presence
from workbench.context import Context
from workbench.plain import plain
from workbench.requests import MOST_EXPECTED, MOST_VALIDATED_DAYS, VALIDATED_DAYS
from workbench.services import labelling, taxonomy

PREFERENCE = "expected metrics"
REPORT_DAYS = 28
"""Days that are looked at of what comes by day."""
CLOCK_CELLS = 20_000_000
"""Values that clocks are compared by at most; of more components, a shorter stretch."""
CLOCK_PERIODS = 1440
BY_DAY = "Reports come by day, with a date of their own: "
DELIVERED = {"delivered": 1.0, "partial": 0.5, "missing": 0.0}
COLUMNS = 168
"""Columns of the picture at most."""


@dataclass(frozen=True)
class Picture:
    """What is there when: shares[row][column] of what was due, None where nothing was; `starts` of the columns."""

    names: tuple[str, ...]
    labels: tuple[str, ...]
    starts: tuple[datetime, ...]
    hours: int
    shares: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Report:
    """One look at a domain's data from `start` to `end`; it passed where no check failed.

    samples : how many there were, `every`-th series of them looked at one by one
    """

    domain: str
    at: datetime
    actor: str
    start: datetime
    end: datetime
    passed: bool
    state: State
    samples: int
    every: int
    checks: tuple[Check, ...]
    picture: Picture
    id: int = 0


@dataclass(frozen=True)
class Expected:
    """The metrics that a domain's data must hold; version 0 is the domain's own list."""

    metrics: tuple[str, ...]
    version: int


# ── What is expected ─────────────────────────────────────────────────────────────────────────────


def expected(ctx: Context, tenant: str, *, domain: str = "services") -> Expected:
    """The tenant's list, or the domain's where nobody chose."""
    which = _sampled_domain(domain)
    row = ctx.records.read(
        tenant,
        lambda session: preference_store.get(
            session, tenant=tenant, name=f"{PREFERENCE}: {domain}"
        ),
    )
    if row is None:
        return Expected(tuple(metric.name for metric in which.metrics), 0)
    return Expected(tuple(row.value["metrics"]), row.version)


def expect(
    ctx: Context,
    tenant: str,
    metrics: Sequence[str],
    *,
    domain: str = "services",
    seen: int,
    actor: str = "",
) -> Expected:
    """Choose the list; ConflictError if somebody else did since version `seen`. A metric may be one nobody measures yet."""
    _sampled_domain(domain)
    wanted = tuple(dict.fromkeys(name.strip() for name in metrics))
    if not 1 <= len(wanted) <= MOST_EXPECTED or not all(wanted):
        rule = f"1 to {MOST_EXPECTED} names, none of them empty"
        raise InvalidInputError.of("validation", "the expected metrics", rule, list(wanted)[:5])
    now = ctx.clock()
    ctx.records.write(
        tenant,
        lambda session: preference_store.put(
            session,
            tenant=tenant,
            name=f"{PREFERENCE}: {domain}",
            value={"metrics": list(wanted)},
            seen=seen,
            actor=actor or ctx.actor,
            now=now,
        ),
    )
    return expected(ctx, tenant, domain=domain)


def _known(domain: str) -> Domain:
    if domain not in DOMAINS:
        rule = f"one of {', '.join(DOMAINS)}"
        raise UnknownNameError.of("validation", "the domain", rule, domain)
    return DOMAINS[domain]


def _sampled_domain(domain: str) -> Domain:
    which = _known(domain)
    if which.step >= DAY:
        rule = "one that is measured by the minute"
        hint = "What comes by day is expected of every report that ever came."
        raise InvalidInputError.of("validation", "the domain", rule, domain, hint)
    return which


# ── Looking ──────────────────────────────────────────────────────────────────────────────────────


def validate(
    ctx: Context,
    tenant: str,
    *,
    domain: str = "services",
    days: int = VALIDATED_DAYS,
    actor: str = "",
    on_step: OnStep | None = None,
) -> Report:
    """Look at the newest `days` of a domain now, and keep the report."""
    which = _known(domain)
    if not 1 <= days <= MOST_VALIDATED_DAYS:
        raise InvalidInputError.of("validation", "the days", f"1 to {MOST_VALIDATED_DAYS}", days)
    look = _by_sample if which.step < DAY else _by_day
    found = look(ctx, tenant, which, days, on_step)
    labels = _labels(ctx, tenant, which)
    checks = (*found.checks, labels)
    state = data_quality.worst(checks)
    report = Report(
        domain=domain,
        at=ctx.clock(),
        actor=actor or ctx.actor,
        start=found.start,
        end=found.end,
        passed=state != "fail",
        state=state,
        samples=found.samples,
        every=found.every,
        checks=checks,
        picture=found.picture,
    )
    told = plain(report)
    row = ctx.records.write(
        tenant,
        lambda session: report_store.add(
            session,
            tenant=tenant,
            domain=domain,
            passed=report.passed,
            report=told,
            actor=report.actor,
            now=report.at,
        ),
    )
    return revived(told | {"id": int(row.id)})


def latest(ctx: Context, tenant: str, *, domain: str = "services") -> Report | None:
    """The newest report; None where nobody ever looked."""
    _known(domain)
    row = ctx.records.read(
        tenant, lambda session: report_store.latest(session, tenant=tenant, domain=domain)
    )
    return None if row is None else revived(row.report | {"id": int(row.id)})


@dataclass(frozen=True)
class ReportRow:
    """A report in a list."""

    id: int
    at: datetime
    actor: str
    passed: bool


def history(ctx: Context, tenant: str, *, domain: str = "services") -> list[ReportRow]:
    """The newest reports, newest first."""
    _known(domain)
    found = ctx.records.read(
        tenant, lambda session: report_store.history(session, tenant=tenant, domain=domain)
    )
    return [ReportRow(*row) for row in found]


def revived(kept: Mapping[str, Any]) -> Report:
    """A report from the plain values that it was kept as, or answered with."""
    picture = kept["picture"]
    moments = {name: datetime.fromisoformat(kept[name]) for name in ("at", "start", "end")}
    return Report(
        **{
            **kept,
            **moments,
            "checks": tuple(
                Check(
                    **{
                        **check,
                        "findings": tuple(Finding(**found) for found in check["findings"]),
                    }
                )
                for check in kept["checks"]
            ),
            "picture": Picture(
                tuple(picture["names"]),
                tuple(picture["labels"]),
                tuple(datetime.fromisoformat(start) for start in picture["starts"]),
                picture["hours"],
                tuple(tuple(row) for row in picture["shares"]),
            ),
        }
    )


@dataclass(frozen=True)
class _Look:
    start: datetime
    end: datetime
    samples: int
    every: int
    checks: tuple[Check, ...]
    picture: Picture


def _by_sample(
    ctx: Context, tenant: str, domain: Domain, days: int, on_step: OnStep | None
) -> _Look:
    samples = ctx.metrics.samples
    span = samples.span(tenant, domain)
    if span is None:
        hint = "Import files or add a Prometheus on the Data page."
        raise NotEnoughDataError.of("validation", "measurements", "at least one", 0, hint)
    step = timedelta(seconds=float(domain.step / np.timedelta64(1, "s")))
    end = span[1] + step
    now = ctx.clock()
    # a clock that is ahead must not move the window away from all others
    start = max(span[0], min(end, now) - timedelta(days=days))
    until = now if start < now < end else end
    wanted = expected(ctx, tenant, domain=domain.name).metrics
    infos = {info.name: info for info in samples.metrics(tenant, domain)}
    every = [info.interval_seconds for info in infos.values() if info.interval_seconds]
    seconds = float(np.median(every)) if every else step.total_seconds()
    contracts.report("validation", on_step, "steps, holes and values", 0.1, {})
    found = samples.sampled(tenant, domain, start=start, end=end)
    contracts.report("validation", on_step, "clocks", 0.7, {})
    agreed = clocks.compare(*_neighbours(ctx, tenant, domain, start, until), found.series)
    contracts.report("validation", on_step, "completeness", 0.9, {})
    # what a clock that is off tells too early or too late is told of once, and is not missing besides
    shared = agreed.shared(found.series, now.timestamp())
    window = (
        (start, until)
        if shared is None
        else (max(start, _moment(shared[0])), min(until, _moment(shared[1]) + step))
    )
    there = samples.presence(
        tenant, domain, wanted, start=window[0], end=window[1], seconds=seconds
    )
    told = _teller(start, end)
    files = [
        (f"{batch.source} (import {batch.id})", batch.new + batch.duplicates, batch.duplicates)
        for batch in ctx.metrics.batches(tenant)
        if batch.domain == domain.name and batch.state == "loaded"
    ]
    labels = {metric.name: metric.label for metric in domain.metrics}
    checks = (
        data_quality.completeness(wanted, there.shares, there.due),
        data_quality.intervals(found.series),
        data_quality.gaps(found.series, found.holes, told),
        data_quality.outliers(found.series, told),
        data_quality.duplicates(files, found.corrected, found.samples),
        clocks.skew(agreed, found.series, now.timestamp(), told),
    )
    return _Look(start, end, found.samples, found.every, checks, _picture(there, labels))


def _neighbours(
    ctx: Context, tenant: str, domain: Domain, start: datetime, end: datetime
) -> tuple[Panel | None, list[tuple[str, str]], list[tuple[str, str]]]:
    """The newest stretch of the expected metrics, who is a part of whom and who else reaches whom; None without any."""
    samples = ctx.metrics.samples
    edges = sorted(samples.graph(tenant, domain).net.edges(data="kind"))
    declared = {metric.name for metric in domain.metrics}
    chosen = [info.name for info in samples.metrics(tenant, domain) if info.name in declared]
    if not edges or not chosen:
        return None, [], []
    many = len({one for edge in edges for one in edge[:2]})
    periods = min(CLOCK_PERIODS, max(240, CLOCK_CELLS // (many * len(chosen))))
    step = timedelta(seconds=float(domain.step / np.timedelta64(1, "s")))
    first = max(start, end - periods * step)
    panel = samples.panel(tenant, domain, start=first, end=end, metrics=chosen)
    parts = [(a, b) for a, b, kind in edges if kind == "part"]
    return panel, parts, [(a, b) for a, b, kind in edges if kind != "part"]


def _picture(there: Presence, labels: Mapping[str, str]) -> Picture:
    """Hours, or several together where there are many."""
    many = there.shares.shape[1]
    width = -(-many // COLUMNS)
    starts = there.hours[::width]
    shares = [
        tuple(float(row[at : at + width].mean()) for at in range(0, many, width))
        for row in there.shares
    ]
    return Picture(
        names=there.names,
        labels=tuple(labels.get(name, name) for name in there.names),
        starts=tuple(start.astype("datetime64[s]").item().replace(tzinfo=UTC) for start in starts),
        hours=width,
        shares=tuple(shares),
    )


def _by_day(ctx: Context, tenant: str, domain: Domain, days: int, on_step: OnStep | None) -> _Look:
    """What can be asked of daily reports: whether each came; what else is asked elsewhere, in words."""
    contracts.report("validation", on_step, "completeness", 0.1, {})
    rows = ctx.metrics.coverage(tenant, domain)
    if not rows:
        hint = "Import report files on the Data page."
        raise NotEnoughDataError.of("validation", "reports", "at least one", 0, hint)
    newest = max(row.day for row in rows)
    first = newest - timedelta(days=max(days, REPORT_DAYS) - 1)
    rows = [row for row in rows if row.day >= first]
    first = min(row.day for row in rows)
    names = tuple(sorted({row.report for row in rows}))
    shares = np.full((len(names), (newest - first).days + 1), np.nan)
    for row in rows:
        place = names.index(row.report), (row.day - first).days
        shares[place] = np.fmin(shares[place], DELIVERED[row.state])
    start = datetime.combine(first, datetime.min.time(), UTC)
    ask = (
        ("intervals", "Do samples come at a steady step?", "there are no samples between days."),
        (
            "gaps",
            "Are there holes in time?",
            "a missing day stands above, and under What has arrived.",
        ),
        (
            "outliers",
            "Are values within reason?",
            "the detection run judges every day of every entity.",
        ),
        (
            "duplicates",
            "Is anything told twice?",
            "the newest download of a day replaces those before.",
        ),
        (
            "clock",
            "Do all clocks agree?",
            "days are the account's own; ages are under What has arrived.",
        ),
    )
    checks = (
        data_quality.completeness(names, shares, thing="report"),
        *(untested(name, title, "of samples only", BY_DAY + why) for name, title, why in ask),
    )
    picture = Picture(
        names=names,
        labels=names,
        starts=tuple(start + timedelta(days=day) for day in range(shares.shape[1])),
        hours=24,
        shares=tuple(tuple(row) for row in plain(shares)),
    )
    return _Look(start, start + timedelta(days=shares.shape[1]), len(rows), 1, checks, picture)


def _labels(ctx: Context, tenant: str, domain: Domain) -> Check:
    """The balance of the causes that people gave; of alerts and incidents together."""
    words = taxonomy.of(ctx, tenant, domain.name)
    told = labelling.progress(ctx, tenant, domain=domain.name, actor="").balance
    return data_quality.balance({words.label(cause): many for cause, many in told.items()})


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _teller(start: datetime, end: datetime) -> Any:
    """Moments in words, with the day where there are several."""
    form = "%H:%M" if end - start <= timedelta(days=1) else "%-d %b %H:%M"

    def tell(moment: float) -> str:
        return f"{_moment(moment):{form}} UTC"

    return tell
