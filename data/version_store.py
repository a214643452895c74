"""Model versions and the aliases that point at them, with who moved what and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import ConflictError, NotFoundError
from data.audit_store import record
from data.record_store import Records
from data.records import Alias, ModelVersion

SERVING, RETIRED = "champion", "retired"


class Versions:
    """The rows behind the model registry."""

    def __init__(self, records: Records) -> None:
        self.records = records

    def add(
        self, tenant: str, fields: Mapping[str, Any], *, actor: str, at: datetime
    ) -> ModelVersion:
        """Insert one version; it exists from this commit on."""

        def insert(session: Session) -> ModelVersion:
            row = ModelVersion(tenant=tenant, created_at=at, created_by=actor, **fields)
            session.add(row)
            after = {"name": row.name, "digest": row.digest}
            _tell(session, tenant, actor, at, "publish", "model_version", row.id, after)
            return row

        return self.records.write(tenant, insert)

    def get(self, tenant: str, version_id: str) -> ModelVersion:
        """One version; NotFoundError when the tenant has none of that id."""
        return self.records.read(tenant, lambda session: _version(session, tenant, version_id))

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
            tenant, lambda session: session.get(Alias, (tenant, domain, alias))
        )

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
    ) -> Alias:
        """Point an alias at a version if nobody moved it since its move number `seen` (0: never set).

        The version that served until now is retired: it may stand in when its successor cannot be loaded.
        """

        def move(session: Session) -> Alias:
            version = _version(session, tenant, version_id)
            row = session.get(Alias, (tenant, domain, alias), with_for_update=True)
            stored = row.version if row else 0
            if stored != seen:
                raise ConflictError.of(
                    "promote",
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
                    _version(session, tenant, previous).state = RETIRED
                version.state = SERVING
            after = {"version_id": version_id, "previous": previous, "reason": reason}
            _tell(session, tenant, actor, at, "promote", "alias", f"{domain}/{alias}", after)
            return row

        return self.records.write(tenant, move)


def _version(session: Session, tenant: str, version_id: str) -> ModelVersion:
    row = session.get(ModelVersion, (tenant, version_id))
    if row is None:
        raise NotFoundError.of("models", "version", "one of this tenant's", version_id)
    return row


def _tell(
    session: Session,
    tenant: str,
    actor: str,
    at: datetime,
    verb: str,
    kind: str,
    number: str,
    after: dict[str, Any],
) -> None:
    record(
        session,
        tenant=tenant,
        actor=actor,
        now=at,
        verb=verb,
        object_kind=kind,
        object_id=number,
        after=after,
    )
