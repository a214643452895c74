"""Change events: deploys, configuration and whatever else was done to the system, for every time line."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from core.domain import CHANGE_KINDS
from core.domains import DOMAINS
from core.errors import InvalidInputError, UnknownNameError
from data import change_store
from data.finding_store import Upserted, fingerprint
from data.ingest import incident_files
from data.ingest.batch import Refusal
from data.records import ChangeEvent
from workbench.context import Context

BY_HAND = "hand"


@dataclass(frozen=True)
class Imported:
    """What came of a file: rows by what became of them, the cells that were refused, what was left aside."""

    file: str
    new: int
    updated: int
    unchanged: int
    refused: tuple[Refusal, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        told = f"{self.new:,} new, {self.updated:,} updated, {self.unchanged:,} known already"
        return f"{told}, {len(self.refused):,} cells refused" if self.refused else told


def record(
    ctx: Context,
    tenant: str,
    *,
    kind: str,
    at: datetime,
    title: str,
    entity: str = "",
    detail: str = "",
    ended_at: datetime | None = None,
    key: str = "",
    domain: str = "services",
    actor: str,
) -> ChangeEvent:
    """Note that something was done; told again by the same `key`, or in the same words, it is the same event."""
    if kind not in CHANGE_KINDS:
        raise UnknownNameError.of("changes", "the kind", f"one of {', '.join(CHANGE_KINDS)}", kind)
    if not title.strip():
        raise InvalidInputError.of("changes", "the title", "given", title)
    if ended_at is not None and ended_at < at:
        raise InvalidInputError.of(
            "changes", "the end", f"no earlier than the start, {at}", ended_at
        )
    event = ChangeEvent(
        domain=known_domain(domain),
        kind=kind,
        at=at,
        ended_at=ended_at,
        entity=entity.strip(),
        title=title.strip(),
        detail=detail,
        source=BY_HAND,
        external_key=key or fingerprint(domain, kind, at, entity, title)[:32],
    )
    row: ChangeEvent = _store(ctx, tenant, [event], actor).rows[0]
    return row


def import_csv(
    ctx: Context,
    tenant: str,
    domain: str,
    source: Path | bytes,
    *,
    actor: str,
    file: str = "events.csv",
) -> Imported:
    """Take in a CSV of change events (at, kind, title; entity, detail, ended_at, id); one undo takes it back."""
    content, name = content_of(source, file)
    told = incident_files.changes(content, name, known_domain(domain))
    kept = _store(ctx, tenant, list(told.rows), actor)
    return Imported(name, kept.created, kept.updated, kept.unchanged, told.refused, told.notes)


def between(
    ctx: Context,
    tenant: str,
    *,
    domain: str,
    start: datetime,
    end: datetime,
    entities: Collection[str] | None = None,
    limit: int = 200,
) -> list[ChangeEvent]:
    """What was done in [start, end], the latest `limit`, earliest first.

    entities : only to these, or to nothing in particular, with or without the level; all where None
    """
    known_domain(domain)
    named: list[str] | None = None
    if entities is not None:
        named = [spelling for entity in entities for spelling in _spellings(entity, domain)]
    return ctx.records.read(
        tenant,
        lambda session: change_store.between(
            session,
            tenant=tenant,
            domain=domain,
            start=start,
            end=end,
            entities=named,
            limit=limit,
        ),
    )


def _spellings(entity: str, domain: str) -> list[str]:
    """An entity with and without its level, as people may have told it."""
    _, leveled, name = entity.partition(":")
    levels = () if leveled else DOMAINS[domain].levels
    return [entity, *([name] if leveled else ()), *(f"{level}:{entity}" for level in levels)]


def told_at(text: str, now: datetime) -> datetime:
    """A moment as people write it, in UTC where no zone is given; now where they write nothing."""
    if not text.strip():
        return now
    try:
        return incident_files.moment(text.strip())
    except ValueError as error:
        raise InvalidInputError.of("headwater", "the moment", str(error), text) from None


def known_domain(domain: str) -> str:
    """The domain, if there is one of that name."""
    if domain not in DOMAINS:
        raise UnknownNameError.of("headwater", "the domain", f"one of {', '.join(DOMAINS)}", domain)
    return domain


def content_of(source: Path | bytes, file: str) -> tuple[bytes, str]:
    """The bytes of a file or of an upload, with the name to tell it by."""
    if isinstance(source, bytes):
        return source, file
    try:
        return source.read_bytes(), source.name
    except OSError as error:
        raise InvalidInputError.of(
            source.name, "the file", "readable", str(source), str(error)
        ) from None


def _store(ctx: Context, tenant: str, events: list[ChangeEvent], actor: str) -> Upserted:
    now = ctx.clock()

    def write(session: Any) -> Upserted:
        return change_store.add(session, tenant=tenant, found=events, actor=actor, now=now)

    return ctx.records.write(tenant, write)
