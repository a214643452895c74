"""Bearer tokens and the users they speak for; only a token's SHA-256 is kept."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from core.errors import NotFoundError
from data.audit_store import record
from data.records import Token, User


def create(session: Session, *, token: Token, actor: str, now: datetime) -> None:
    """Keep a token; its user is made when unknown."""
    if session.get(User, (token.tenant, token.user_id)) is None:
        user = User(tenant=token.tenant, id=token.user_id, name=token.user_id, created_at=now)
        session.add(user)
        session.flush()
    session.add(token)
    _tell(session, token, "create", actor, now)


def current(session: Session, *, tenant: str, token_id: str, now: datetime) -> Token | None:
    """The token if it is neither revoked nor expired and its user may still log in."""
    return session.scalar(_current(tenant, now).where(Token.id == token_id))


def any_current(session: Session, *, tenant: str, now: datetime) -> bool:
    """Whether anybody could log in with a token now."""
    return session.scalar(_current(tenant, now).limit(1)) is not None


def mark_used(session: Session, *, tenant: str, token_id: str, now: datetime) -> None:
    """Remember when the token was last shown."""
    _get(session, tenant, token_id).last_used_at = now


def revoke(session: Session, *, tenant: str, token_id: str, actor: str, now: datetime) -> None:
    """Refuse the token from now on; NotFoundError when the tenant has none of that id."""
    token = _get(session, tenant, token_id)
    token.revoked_at = token.revoked_at or now
    _tell(session, token, "revoke", actor, now)


def _current(tenant: str, now: datetime) -> Select[Any]:
    return (
        select(Token)
        .join(User, (User.tenant == Token.tenant) & (User.id == Token.user_id))
        .where(
            Token.tenant == tenant,
            Token.revoked_at.is_(None),
            or_(Token.expires_at.is_(None), Token.expires_at > now),
            User.disabled_at.is_(None),
        )
    )


def _get(session: Session, tenant: str, token_id: str) -> Token:
    token = session.get(Token, (tenant, token_id))
    if token is None:
        raise NotFoundError.of("tokens", "the token", "one of this tenant's", token_id)
    return token


def _tell(session: Session, token: Token, verb: str, actor: str, now: datetime) -> None:
    record(
        session,
        tenant=token.tenant,
        actor=actor,
        now=now,
        verb=verb,
        object_kind="token",
        object_id=token.id,
        after={"user": token.user_id, "scopes": token.scopes},
    )
