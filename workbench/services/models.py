"""Model versions: which there are, whether all can be trusted, and which of them scores a domain."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.contracts import OnStep
from core.errors import PersistenceError, SelfTestError
from core.evaluate import held_out
from data import predictions
from models.ports import ALIASES, CHAMPION, AliasRow, MoveRow, VersionRow
from models.registry import check_reason
from workbench.context import Context
from workbench.services import promotion

CURE = "Promote a sound version on the Models page, or restore the registry from a backup."


@dataclass(frozen=True)
class Move:
    """One move of a domain's champion: a promotion, or a rollback that undid one (then `stands` is false of both)."""

    domain: str
    verb: str
    champion: str
    previous: str
    reason: str
    by: str
    at: datetime
    stands: bool = True


# ── What there is ────────────────────────────────────────────────────────────────────────────────


def listing(context: Context, tenant: str, *, domain: str = "") -> list[dict[str, Any]]:
    """Every version, newest first, with the aliases that mean it."""
    return _told(context, tenant, context.registry.store.versions(tenant, domain))


def get(context: Context, tenant: str, version: str) -> dict[str, Any]:
    """One version: its row and its signed manifest, once the signature and every byte are verified.

    `recomputed` holds the metrics made again from its stored predictions, None where it has none.
    """
    (told,) = _told(context, tenant, [context.registry.store.get(tenant, version)])
    manifest = dataclasses.asdict(context.registry.manifest(tenant, version))
    stored = context.registry.predictions(tenant, version)
    again = None if stored is None else held_out.figures(predictions.unpack(stored))
    return {**told, "manifest": manifest, "recomputed": again}


def verify(context: Context, tenant: str, *, on_step: OnStep | None = None) -> dict[str, Any]:
    """Load every version as serving would, and make its metrics again from its predictions; `ok` only if all hold."""
    told = []
    for verdict in context.registry.verify(tenant, on_step):
        row = {**dataclasses.asdict(verdict), "ok": verdict.ok}
        try:
            if verdict.ok:
                _check_metrics(context, tenant, verdict.version)
        except PersistenceError as error:
            row |= {"ok": False, "error": type(error).__name__, "message": error.message}
        told.append(row)
    return {"ok": all(row["ok"] for row in told), "checked": len(told), "versions": told}


def notice(context: Context, tenant: str, domain: str) -> str:
    """Why something else than the champion scores the domain, or nothing does, and what to do; "" when all is well."""
    told = context.serve.notice(tenant, domain)
    return f"{told} {CURE}" if told else ""


# ── Which of them scores ─────────────────────────────────────────────────────────────────────────


def promote(
    context: Context,
    tenant: str,
    version: str,
    *,
    reason: str,
    actor: str,
    override: bool = False,
    seen: int | None = None,
) -> Move:
    """Let a version score its domain from now on.

    Raises PermissionDeniedError, naming each figure, for one below a minimum of the checklist unless `override`;
    ConflictError if the champion moved since `seen`; the PersistenceError of a version that does not load.
    """
    check_reason(reason)
    registry = context.registry
    row = registry.store.get(tenant, version)
    before = registry.store.alias(tenant, row.domain, CHAMPION)
    if seen is None:
        seen = before.version if before else 0
    noted = promotion.gate(context, tenant, version, actor=actor, override=override)
    reason = f"{reason}{noted}"
    alias = registry.promote(tenant, row.domain, version, actor=actor, reason=reason, seen=seen)
    context.serve.load(row)  # so that the first page that asks need not wait
    return _moved(alias, "promote", before, reason)


def rollback(
    context: Context,
    tenant: str,
    *,
    domain: str,
    reason: str,
    actor: str,
    seen: int | None = None,
) -> Move:
    """Undo the last promotion: who scored before scores again; once more goes one further back.

    Raises NotFoundError where nothing scored before, ConflictError if the champion moved since `seen`, and the
    PersistenceError of a version that no longer loads.
    """
    before = context.registry.store.alias(tenant, domain, CHAMPION)
    # as a rule it is still in memory, so that nobody waits for its files
    alias = context.registry.rollback(
        tenant, domain, actor=actor, reason=reason, seen=seen, load=context.serve.load
    )
    return _moved(alias, "rollback", before, reason)


def history(context: Context, tenant: str, domain: str, *, limit: int = 100) -> list[Move]:
    """The latest moves of the champion, newest first: who moved it, when and why."""
    moves = context.registry.store.moves(tenant, domain, CHAMPION, limit)
    undone = {move.undoes for move in moves if move.undoes is not None}
    return [_move(domain, move, undone) for move in moves]


def _moved(alias: AliasRow, verb: str, before: AliasRow | None, reason: str) -> Move:
    previous = before.version_id if before else ""
    return Move(
        alias.domain, verb, alias.version_id, previous, reason, alias.updated_by, alias.updated_at
    )


def _move(domain: str, move: MoveRow, undone: set[int]) -> Move:
    return Move(
        domain=domain,
        verb=move.verb,
        champion=move.version_id,
        previous=move.previous,
        reason=move.reason,
        by=move.actor,
        at=move.at,
        stands=move.undoes is None and move.id not in undone,
    )


def _check_metrics(context: Context, tenant: str, version: str) -> None:
    """SelfTestError unless the published metrics are those that the stored predictions give."""
    stored = context.registry.predictions(tenant, version)
    if stored is None:
        return
    published = context.registry.store.get(tenant, version).metrics
    unlike = held_out.unlike(published, predictions.unpack(stored))
    if unlike:
        rule = "those that its stored predictions give"
        raise SelfTestError.of(version, f"metrics {', '.join(unlike)}", rule, unlike)


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
