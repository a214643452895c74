"""Model versions: which there are, what each says of itself, and whether all can still be trusted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from core.contracts import OnStep
from models.ports import ALIASES, VersionRow
from workbench.context import Context


def listing(context: Context, tenant: str, *, domain: str = "") -> list[dict[str, Any]]:
    """Every version, newest first, with the aliases that mean it."""
    return _told(context, tenant, context.registry.store.versions(tenant, domain))


def get(context: Context, tenant: str, version: str) -> dict[str, Any]:
    """One version: its row and its signed manifest, once the signature and every byte are verified."""
    (told,) = _told(context, tenant, [context.registry.store.get(tenant, version)])
    return {**told, "manifest": dataclasses.asdict(context.registry.manifest(tenant, version))}


def verify(context: Context, tenant: str, *, on_step: OnStep | None = None) -> dict[str, Any]:
    """Load every version as serving would; `ok` only if each is sound."""
    verdicts = context.registry.verify(tenant, on_step)
    return {
        "ok": all(verdict.ok for verdict in verdicts),
        "checked": len(verdicts),
        "versions": [{**dataclasses.asdict(verdict), "ok": verdict.ok} for verdict in verdicts],
    }


def _told(context: Context, tenant: str, rows: Sequence[VersionRow]) -> list[dict[str, Any]]:
    fields = ("id", "domain", "name", "kind", "state", "created_at", "created_by", "parent")
    aliases: dict[str, list[str]] = {}
    for domain in sorted({row.domain for row in rows}):
        for alias in ALIASES:
            found = context.registry.store.alias(tenant, domain, alias)
            if found is not None:
                aliases.setdefault(found.version_id, []).append(alias)
    return [
        {
            **{name: getattr(row, name) for name in (*fields, "digest", "params", "metrics")},
            "aliases": aliases.get(row.id, []),
        }
        for row in rows
    ]
