"""Bearer tokens: shown once when made, kept only as SHA-256, bound to one tenant and user.

A token reads `hw.<tenant>.<id>.<secret>`: it names its tenant, so that it is looked up within it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from core.errors import InvalidInputError, PermissionDeniedError
from data import token_store
from data.records import Token
from workbench.context import Context

SEEN_EVERY = timedelta(minutes=5)  # how exact `last_used_at` is; each note of it costs a disk sync
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_TOKEN = re.compile(rf"hw\.({_TENANT.pattern})\.([0-9a-f]{{12}})\.[A-Za-z0-9_-]{{43}}")


@dataclass(frozen=True)
class Owner:
    """Whom a token speaks for."""

    tenant: str
    user: str
    scopes: tuple[str, ...] = ()


def create(
    ctx: Context,
    tenant: str,
    *,
    user: str,
    name: str = "",
    scopes: Sequence[str] = (),
    days: int | None = None,
    actor: str = "",
) -> str:
    """A new token of a user (made when unknown), good for `days`; it can never be shown again."""
    if not _TENANT.fullmatch(tenant):
        raise InvalidInputError.of("tokens", "the tenant", f"like {_TENANT.pattern}", tenant)
    if not 0 < len(user) <= 128:
        raise InvalidInputError.of("tokens", "the user", "a name of 1 to 128 characters", user)
    now = ctx.clock()
    number = secrets.token_hex(6)
    secret = f"hw.{tenant}.{number}.{secrets.token_urlsafe(32)}"
    token = Token(
        tenant=tenant,
        id=number,
        user_id=user,
        name=name,
        prefix=secret.rpartition(".")[0],
        digest=_digest(secret),
        scopes=list(scopes),
        created_at=now,
        expires_at=None if days is None else now + timedelta(days=days),
    )
    ctx.records.write(
        tenant,
        lambda session: token_store.create(session, token=token, actor=actor or ctx.actor, now=now),
    )
    return secret


def verify(ctx: Context, secret: str) -> Owner:
    """The owner of a token that is known, current and not revoked; PermissionDeniedError otherwise."""
    matched = _TOKEN.fullmatch(secret)
    tenant, number = matched.groups() if matched else (ctx.settings.tenant, "")
    now = ctx.clock()
    token = ctx.records.read(
        tenant,
        lambda session: token_store.current(session, tenant=tenant, token_id=number, now=now),
    )
    if token is None or not hmac.compare_digest(token.digest, _digest(secret)):
        raise PermissionDeniedError.of(
            "tokens",
            "the token",
            "a current one",
            f"{secret[:8]}…",
            "Make one: headwater tokens create USER",
        )
    if token.last_used_at is None or now - token.last_used_at > SEEN_EVERY:
        ctx.records.write(
            tenant,
            lambda session: token_store.mark_used(session, tenant=tenant, token_id=number, now=now),
        )
    return Owner(tenant, token.user_id, tuple(token.scopes))


def revoke(ctx: Context, tenant: str, token_id: str, *, actor: str) -> None:
    """Refuse the token from now on."""
    now = ctx.clock()
    ctx.records.write(
        tenant,
        lambda session: token_store.revoke(
            session, tenant=tenant, token_id=token_id, actor=actor, now=now
        ),
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
