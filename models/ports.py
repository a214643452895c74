"""What `models` asks of a store; `data` satisfies it by shape, without either importing the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

CHAMPION, CHALLENGER = "champion", "challenger"
ALIASES = (CHAMPION, CHALLENGER)
READY, SERVING, RETIRED = "ready", "champion", "retired"
"""States of a version: published, serving now, served before."""


class VersionRow(Protocol):
    """One published version; `digest` is the SHA-256 of its manifest's bytes."""

    id: str
    tenant: str
    domain: str
    name: str
    kind: str
    digest: str
    params: dict[str, Any]
    metrics: dict[str, Any]
    parent: str | None
    snapshot_digest: str
    state: str
    created_at: datetime
    created_by: str


class AliasRow(Protocol):
    """Which version an alias means; `version` counts its moves."""

    domain: str
    alias: str
    version_id: str
    version: int
    updated_at: datetime
    updated_by: str


class MoveRow(Protocol):
    """One move of an alias; a rollback names the promotion that it `undoes`, by its number."""

    @property
    def id(self) -> int: ...
    @property
    def at(self) -> datetime: ...
    @property
    def actor(self) -> str: ...
    @property
    def verb(self) -> str: ...
    @property
    def version_id(self) -> str: ...
    @property
    def previous(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def undoes(self) -> int | None: ...


class VersionStore(Protocol):
    """The rows behind the registry: a version's row is the commit point of its publication."""

    def add(
        self, tenant: str, fields: Mapping[str, Any], *, actor: str, at: datetime
    ) -> VersionRow:
        """Insert one version with its audit event, in one transaction."""
        ...

    def get(self, tenant: str, version_id: str) -> VersionRow:
        """The version, or NotFoundError."""
        ...

    def versions(self, tenant: str, domain: str = "", name: str = "") -> Sequence[VersionRow]:
        """Versions of the tenant, newest first."""
        ...

    def alias(self, tenant: str, domain: str, alias: str) -> AliasRow | None:
        """What the alias means, or None when it was never set."""
        ...

    def served(self, tenant: str, domain: str, alias: str) -> tuple[AliasRow, VersionRow] | None:
        """An alias and the version it means, read together; None when it was never set."""
        ...

    def moves(self, tenant: str, domain: str, alias: str, limit: int = ...) -> Sequence[MoveRow]:
        """The latest moves of the alias, newest first."""
        ...

    def last_promotion(self, tenant: str, domain: str, alias: str) -> MoveRow | None:
        """The promotion that a rollback would undo; None when none stands."""
        ...

    def predecessors(self, tenant: str, domain: str, alias: str) -> Sequence[str]:
        """Versions that the alias meant before, latest first, without those that were taken back."""
        ...

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
    ) -> AliasRow:
        """Point the alias at a version if its move count is still `seen` (0: never set).

        A move that `undoes` a promotion is a rollback. Writes the audit event and the versions' states in the same transaction; ConflictError names both.
        """
        ...
