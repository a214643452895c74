"""Model versions and the aliases that point at them, with who moved what and why.

`add`, `move_alias` and what they need are functions on a session, so that a finished job can put its version,
the alias and its own state into one transaction; `Versions` is the same behind the records' own door.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import ConflictError, NotFoundError
from data.audit_store import record
from data.model_records import Alias, ModelVersion
from data.record_store import Records
from data.records import AuditEvent

SERVING, RETIRED = "champion", "retired"
PROMOTE, ROLLBACK = "promote", "rollback"


@dataclass(frozen=True)
class Move:
    """One move of an alias; a rollback names the number of the promotion that it `undoes`."""

    id: int
    at: datetime
    actor: str
    verb: str
    version_id: str
    previous: str
    reason: str
    undoes: int | None = None


def add(
    session: Session, *, tenant: str, fields: Mapping[str, Any], actor: str, at: datetime
) -> ModelVersion:
    """Insert one version; it exists from this transaction's commit on.

    The same version once more is the row that is there; another one under its id is a ConflictError.
    """
    known = session.get(ModelVersion, (tenant, fields["id"]))
    if known is not None:
        if known.digest != fields["digest"]:
            raise ConflictError.of(
                "publish", f"version {known.id}", "published once", fields["digest"]
            )
        return known
    row = ModelVersion(tenant=tenant, created_at=at, created_by=actor, **fields)
    session.add(row)
    record(
        session,
        tenant=tenant,
        actor=actor,
        now=at,
        verb="publish",
        object_kind="model_version",
        object_id=row.id,
        after={"name": row.name, "digest": row.digest},
    )
    return row


def get(session: Session, *, tenant: str, version_id: str) -> ModelVersion:
    """One version; NotFoundError when the tenant has none of that id."""
    row = session.get(ModelVersion, (tenant, version_id))
    if row is None:
        hint = "List them: headwater models list"
        raise NotFoundError.of("models", "the version", "one of this tenant's", version_id, hint)
    return row


def alias_of(session: Session, *, tenant: str, domain: str, alias: str) -> Alias | None:
    """What an alias means now, or None when it was never set."""
    return session.get(Alias, (tenant, domain, alias))


def move_alias(
    session: Session,
    *,
    tenant: str,
    domain: str,
    alias: str,
    version_id: str,
    seen: int,
    actor: str,
    reason: str,
    at: datetime,
    undoes: int | None = None,
) -> Alias:
    """Point an alias at a version if nobody moved it since its move number `seen` (0: never set).

    A move that `undoes` a promotion is told as a rollback. The version that served until now is retired.
    """
    version = get(session, tenant=tenant, version_id=version_id)
    row = session.get(Alias, (tenant, domain, alias), with_for_update=True)
    stored = row.version if row else 0
    if stored != seen:
        raise ConflictError.of(
            PROMOTE if undoes is None else ROLLBACK,
            f"the {alias} of {domain}",
            f"still at move {seen}, the one you saw",
            f"move {stored}, {row.version_id} by {row.updated_by}" if row else "none",
            "Look at the current one, then decide.",
        )
    previous = row.version_id if row else ""
    if row is None:
        row = Alias(tenant=tenant, domain=domain, alias=alias, version_id="", updated_at=at)
        row.version = 0
        session.add(row)
    row.version_id, row.version = version_id, stored + 1
    row.updated_at, row.updated_by = at, actor
    if alias == SERVING:
        if previous and previous != version_id:
            get(session, tenant=tenant, version_id=previous).state = RETIRED
        version.state = SERVING
    record(
        session,
        tenant=tenant,
        actor=actor,
        now=at,
        verb=PROMOTE if undoes is None else ROLLBACK,
        object_kind="alias",
        object_id=f"{domain}/{alias}",
        after={"version_id": version_id, "previous": previous, "reason": reason},
        undo_of=undoes,
    )
    return row


def moves(session: Session, *, tenant: str, domain: str, alias: str) -> Iterator[Move]:
    """Every move of an alias, newest first, read as far as the caller goes."""
    query = (
        select(AuditEvent)
        .where(
            AuditEvent.tenant == tenant,
            AuditEvent.object_kind == "alias",
            AuditEvent.object_id == f"{domain}/{alias}",
        )
        .order_by(AuditEvent.id.desc())
        .execution_options(yield_per=100)
    )
    with closing(session.scalars(query)) as events:
        for event in events:
            after = event.after or {}
            yield Move(
                id=event.id,
                at=event.at,
                actor=event.actor,
                verb=event.verb,
                version_id=after["version_id"],
                previous=after["previous"],
                reason=after["reason"],
                undoes=event.undo_of,
            )


def standing(session: Session, *, tenant: str, domain: str, alias: str) -> Iterator[Move]:
    """The promotions in effect, newest first: those that no rollback undid."""
    undone: set[int] = set()
    for move in moves(session, tenant=tenant, domain=domain, alias=alias):
        if move.undoes is not None:
            undone.add(move.undoes)
        elif move.id in undone:
            undone.remove(move.id)
        else:
            yield move


class Versions:
    """The rows behind the model registry."""

    def __init__(self, records: Records) -> None:
        self.records = records

    def add(
        self, tenant: str, fields: Mapping[str, Any], *, actor: str, at: datetime
    ) -> ModelVersion:
        """Insert one version; it exists from this commit on."""
        return self.records.write(
            tenant, lambda session: add(session, tenant=tenant, fields=fields, actor=actor, at=at)
        )

    def get(self, tenant: str, version_id: str) -> ModelVersion:
        """One version; NotFoundError when the tenant has none of that id."""
        return self.records.read(
            tenant, lambda session: get(session, tenant=tenant, version_id=version_id)
        )

    def versions(self, tenant: str, domain: str = "", name: str = "") -> Sequence[ModelVersion]:
        """Versions newest first, of one domain or name where given."""
        query = select(ModelVersion).where(ModelVersion.tenant == tenant)
        if domain:
            query = query.where(ModelVersion.domain == domain)
        if name:
            query = query.where(ModelVersion.name == name)
        newest = query.order_by(ModelVersion.id.desc())
        return self.records.read(tenant, lambda session: list(session.scalars(newest)))

    def alias(self, tenant: str, domain: str, alias: str) -> Alias | None:
        """What an alias means now, or None when it was never set."""
        return self.records.read(
            tenant,
            lambda session: alias_of(session, tenant=tenant, domain=domain, alias=alias),
        )

    def served(self, tenant: str, domain: str, alias: str) -> tuple[Alias, ModelVersion] | None:
        """An alias and the version it means, read together; None when it was never set."""

        def read(session: Session) -> tuple[Alias, ModelVersion] | None:
            row = alias_of(session, tenant=tenant, domain=domain, alias=alias)
            if row is None:
                return None
            return row, get(session, tenant=tenant, version_id=row.version_id)

        return self.records.read(tenant, read)

    def moves(self, tenant: str, domain: str, alias: str, limit: int = 100) -> list[Move]:
        """The latest moves of an alias, newest first."""
        return self.records.read(
            tenant,
            lambda session: list(
                islice(moves(session, tenant=tenant, domain=domain, alias=alias), limit)
            ),
        )

    def last_promotion(self, tenant: str, domain: str, alias: str) -> Move | None:
        """The promotion that a rollback would undo; None when none stands."""
        return self.records.read(
            tenant,
            lambda session: next(
                standing(session, tenant=tenant, domain=domain, alias=alias), None
            ),
        )

    def predecessors(self, tenant: str, domain: str, alias: str) -> list[str]:
        """Versions that an alias meant before, latest first, without those that were taken back."""

        def read(session: Session) -> list[str]:
            kept = standing(session, tenant=tenant, domain=domain, alias=alias)
            return list(dict.fromkeys(move.version_id for move in kept))[1:]

        return self.records.read(tenant, read)

    def move_alias(
        self,
        tenant: str,
        domain: str,
        alias: str,
        version_id: str,
        *,
        seen: int,
        actor: str,
        reason: str,
        at: datetime,
        undoes: int | None = None,
    ) -> Alias:
        """Point an alias at a version if nobody moved it since its move number `seen` (0: never set)."""
        return self.records.write(
            tenant,
            lambda session: move_alias(
                session,
                tenant=tenant,
                domain=domain,
                alias=alias,
                version_id=version_id,
                seen=seen,
                actor=actor,
                reason=reason,
                at=at,
                undoes=undoes,
            ),
        )
