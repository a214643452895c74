"""Alerts as people meet them: a page at a time, counted, opened, moved through their life, taken back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from core.domains import DOMAINS, local_day, onsets_of
from core.errors import InvalidInputError, UnknownNameError
from data import alert_feed, alert_store, alert_tally, audit_store, outbreaks, run_store
from data.alert_feed import Cursor, Filters
from data.records import ACTIVE, STATUSES, Alert, AlertHistory, AuditEvent, Comment
from workbench.context import Context
from workbench.services import taxonomy

ANY = "any"


@dataclass(frozen=True, eq=False)
class AlertPage:
    """One page of alerts, worst and latest first; `next` opens the following one, None at the end."""

    alerts: list[Alert]
    next: str | None


@dataclass(frozen=True, eq=False)
class AlertDetail:
    """One alert with what was said about it and what was done to it, newest first."""

    alert: Alert | AlertHistory
    comments: list[Comment]
    history: list[AuditEvent]


@dataclass(frozen=True)
class TimelineCell:
    """How many alerts of one level and severity began on a day."""

    day: date
    severity: str
    level: str
    count: int


@dataclass(frozen=True)
class Since:
    """What is new since somebody last looked; `since` is None, and everything new, at the first visit."""

    since: datetime | None
    alerts: int
    incidents: int
    by_severity: dict[str, int]


@dataclass(frozen=True)
class AlertStatistics:
    """Counts over the live alerts; shares are 0…1, minutes are means, None when nothing was handled yet."""

    total: int
    active: int
    muted: int
    by_severity: dict[str, int]
    by_status: dict[str, int]
    by_level: dict[str, int]
    by_detector: dict[str, int]
    acknowledged_share: float | None
    minutes_to_acknowledge: float | None
    minutes_to_resolve: float | None
    spend_at_risk: dict[str, float]
    top_entities: list[dict[str, Any]]


def page(
    ctx: Context,
    tenant: str,
    *,
    filters: Mapping[str, Any] | None = None,
    after: str | None = None,
    limit: int = 50,
) -> AlertPage:
    """Alerts after the cursor `after`; without a status, the active ones.

    Filters: domain, severity, status ("any" for all), level, entity (one text or several), text, day or days
    (first, last), broke (day of the onset), incident, muted (True takes those under an incident too).
    """
    found = ctx.records.read(
        tenant,
        lambda session: alert_feed.page(
            session,
            tenant=tenant,
            filters=_filters(filters),
            after=read_cursor(after),
            limit=limit,
        ),
    )
    words = taxonomy.vocabulary(ctx, tenant)
    rows = [taxonomy.retold(words, alert) for alert in found.rows]
    return AlertPage(rows, write_cursor(found.after))


def facets(
    ctx: Context, tenant: str, *, filters: Mapping[str, Any] | None = None
) -> dict[str, dict[str, int]]:
    """How many alerts each choice of each filter would leave."""
    chosen = _filters(filters)
    return ctx.records.read(
        tenant, lambda session: alert_feed.facets(session, tenant=tenant, filters=chosen)
    )


def timeline(
    ctx: Context, tenant: str, *, filters: Mapping[str, Any] | None = None
) -> list[TimelineCell]:
    """Alerts by the local day of their onset, severity and level, in order of day."""
    chosen = _filters(filters)
    cells = ctx.records.read(
        tenant, lambda session: alert_feed.timeline(session, tenant=tenant, filters=chosen)
    )
    return [
        TimelineCell(local_day(onset, chosen.domain), severity, level, count)
        for onset, severity, level, count in cells
    ]


def get(ctx: Context, tenant: str, alert_id: int) -> AlertDetail:
    """One alert, from history when it was archived; NotFoundError when the tenant has none."""
    about: dict[str, Any] = {"tenant": tenant}
    words = taxonomy.vocabulary(ctx, tenant)
    found = ctx.records.read(
        tenant,
        lambda session: AlertDetail(
            alert_store.get(session, **about, alert_id=alert_id),
            alert_store.comments(session, **about, object_kind="alert", object_id=alert_id),
            audit_store.history(session, **about, objects=[("alert", alert_id)]),
        ),
    )
    return replace(found, alert=taxonomy.retold(words, found.alert))


def move(
    ctx: Context,
    tenant: str,
    alert_id: int,
    *,
    verb: str,
    actor: str,
    note: str = "",
    expected_version: int | None = None,
) -> Alert:
    """Acknowledge, resolve or reopen; a note becomes a comment under the same undo.

    Raises NotFoundError, or ConflictError when it cannot go there or changed since `expected_version`.
    """
    now = ctx.clock()
    return ctx.records.write(
        tenant,
        lambda session: alert_store.move(
            session,
            verb=verb,
            tenant=tenant,
            alert_id=alert_id,
            actor=actor,
            now=now,
            expected_version=expected_version,
            note=note,
        ),
    )


acknowledge = partial(move, verb="acknowledge")
resolve = partial(move, verb="resolve")
reopen = partial(move, verb="reopen")


def comment(ctx: Context, tenant: str, alert_id: int, *, actor: str, text: str) -> Comment:
    """Say something about an alert."""
    now = ctx.clock()
    return ctx.records.write(
        tenant,
        lambda session: alert_store.comment(
            session, tenant=tenant, alert_id=alert_id, actor=actor, now=now, body=text
        ),
    )


def undo(ctx: Context, tenant: str, *, actor: str, audit_id: int | None = None) -> AuditEvent:
    """Take back the actor's last action on an alert or incident, or a named one; undone again, it is redone."""
    now = ctx.clock()
    return ctx.records.write(
        tenant,
        lambda session: outbreaks.undo(
            session, tenant=tenant, actor=actor, now=now, audit_id=audit_id
        ),
    )


def archive(ctx: Context, tenant: str, *, days: int = 90, actor: str = "scheduler") -> int:
    """Move alerts resolved more than `days` ago to history; how many moved."""
    now = ctx.clock()
    return ctx.records.write(
        tenant,
        lambda session: alert_store.archive(
            session, tenant=tenant, now=now, days=days, actor=actor
        ),
    )


def since_last_visit(
    ctx: Context, tenant: str, *, user: str, page: str = "triage", mark: bool = True
) -> Since:
    """What came since the user last looked at the page; `mark` makes this look the last one."""
    now = ctx.clock()
    who = {"tenant": tenant, "user_id": user, "page": page}
    if mark:
        before = ctx.records.write(tenant, lambda session: run_store.visit(session, **who, now=now))
    else:
        before = ctx.records.read(tenant, lambda session: run_store.last_visit(session, **who))
    alerts, incidents = ctx.records.read(
        tenant,
        lambda session: (
            alert_tally.created_since(session, tenant=tenant, since=before),
            alert_tally.incidents_since(session, tenant=tenant, since=before),
        ),
    )
    return Since(before, sum(alerts.values()), incidents, alerts)


def statistics(ctx: Context, tenant: str, *, domain: str = "") -> AlertStatistics:
    """Totals over the live alerts of a domain, or of all."""
    scope: dict[str, Any] = {"tenant": tenant, "domain": domain}
    totals, detectors, top = ctx.records.read(
        tenant,
        lambda session: (
            alert_feed.statistics(session, **scope),
            alert_tally.by_detector(session, **scope),
            alert_tally.top_entities(session, **scope),
        ),
    )
    handled = sum(count for status, count in totals.by_status.items() if status != "open")
    return AlertStatistics(
        total=totals.total,
        active=totals.active,
        muted=totals.muted,
        by_severity=totals.by_severity,
        by_status=totals.by_status,
        by_level=totals.by_level,
        by_detector=detectors,
        acknowledged_share=handled / totals.total if totals.total else None,
        minutes_to_acknowledge=totals.minutes_to_acknowledge,
        minutes_to_resolve=totals.minutes_to_resolve,
        spend_at_risk=totals.spend_at_risk,
        top_entities=top,
    )


# ── what callers write, as the store reads it ────────────────────────────────────────────────────

_CURSOR = re.compile(r"(\d{1,2})\.(\d{1,17})\.(\d{1,18})")
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def write_cursor(cursor: Cursor | None) -> str | None:
    """A cursor as text that a link can carry: rank, microseconds, number."""
    if cursor is None:
        return None
    return f"{cursor.severity_rank}.{(cursor.moment - _EPOCH) // _MICROSECOND}.{cursor.id}"


def read_cursor(text: str | None) -> Cursor | None:
    """The cursor that `write_cursor` wrote; anything else is refused."""
    if not text:
        return None
    matched = _CURSOR.fullmatch(text)
    if matched is None:
        raise InvalidInputError.of("page", "after", "the `next` of the page before", text)
    rank, micros, number = map(int, matched.groups())
    return Cursor(rank, _EPOCH + micros * _MICROSECOND, number)


def statuses(status: Any) -> tuple[str, ...]:
    """The statuses meant: the active ones when none is named, all of them by "any"."""
    if status is None or status == ():
        return ACTIVE
    chosen = STATUSES if status == ANY else _several(status)
    for name in chosen:
        if name not in STATUSES:
            rule = f"one of {', '.join(STATUSES)} or {ANY}"
            raise UnknownNameError.of("alerts", "the status", rule, name)
    return chosen


def _several(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _levels(value: Any) -> tuple[str, ...]:
    known = dict.fromkeys(level for domain in DOMAINS.values() for level in domain.levels)
    for name in _several(value):
        if name not in known:
            raise UnknownNameError.of("alerts", "the level", f"one of {', '.join(known)}", name)
    return _several(value)


_READERS: Mapping[str, tuple[str, Any]] = {
    "domain": ("domain", str),
    "severity": ("severity", _several),
    "status": ("status", statuses),
    "level": ("level", _levels),
    "entity": ("entities", _several),
    "text": ("text", str),
    "day": ("days", lambda day: (day, day)),
    "days": ("days", tuple),
    "broke": ("broke", lambda day: day),
    "incident": ("incident_id", int),
    "muted": ("muted", lambda also: None if also else False),
}


def _filters(given: Mapping[str, Any] | None) -> Filters:
    chosen: dict[str, Any] = {}
    for name, value in (given or {}).items():
        if name not in _READERS:
            raise UnknownNameError.of("alerts", "the filter", f"one of {', '.join(_READERS)}", name)
        field, read = _READERS[name]
        if value is not None and value != "":
            chosen[field] = read(value)
    if "broke" in chosen:
        chosen["broke"] = onsets_of(chosen["broke"], chosen.get("domain", ""))
    return Filters(**chosen)
