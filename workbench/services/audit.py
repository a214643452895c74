"""Who did what when, and whether the chain of it is whole."""

from __future__ import annotations

from data import audit_store
from data.records import AuditEvent
from workbench.context import Context


def history(
    ctx: Context, tenant: str, *, kind: str = "", number: object = "", limit: int = 100
) -> list[AuditEvent]:
    """Events on one object (kind and number), or on all, newest first."""
    objects = [(kind, number)] if kind else []
    return ctx.records.read(
        tenant,
        lambda session: audit_store.history(session, tenant=tenant, objects=objects, limit=limit),
    )


def verify(ctx: Context, tenant: str) -> int | None:
    """The number of the first event that was changed or lost its predecessor; None when all hold."""
    return ctx.records.read(tenant, lambda session: audit_store.verify(session, tenant=tenant))
