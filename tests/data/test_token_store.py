"""Which tokens are current, on both databases."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from core.errors import NotFoundError
from data import token_store
from data.record_store import Records
from data.records import Token, User
from tests.findings import NOW


def keep(records: Records, number: str, *, expires_at: datetime | None = None) -> None:
    token = Token(
        tenant="acme",
        id=number,
        user_id="ana",
        prefix=f"hw.acme.{number}",
        digest=number * 16,
        created_at=NOW,
        expires_at=expires_at,
    )
    records.write(
        "acme", lambda session: token_store.create(session, token=token, actor="ana", now=NOW)
    )


def current(records: Records, number: str, *, days: float = 0, tenant: str = "acme") -> bool:
    now = NOW + timedelta(days=days)
    found = records.read(
        tenant,
        lambda session: token_store.current(session, tenant=tenant, token_id=number, now=now),
    )
    return found is not None


def any_current(records: Records, *, days: float = 0) -> bool:
    now = NOW + timedelta(days=days)
    return records.read(
        "acme", lambda session: token_store.any_current(session, tenant="acme", now=now)
    )


def test_a_token_is_current_until_it_expires_or_is_revoked(records: Records) -> None:
    assert not any_current(records)
    keep(records, "aaaa", expires_at=NOW + timedelta(days=1))
    keep(records, "bbbb")
    assert current(records, "aaaa")
    assert not current(records, "aaaa", days=1)
    assert not current(records, "bbbb", tenant="rival")
    assert any_current(records, days=400)
    for _ in range(2):
        records.write(
            "acme",
            lambda session: token_store.revoke(
                session, tenant="acme", token_id="bbbb", actor="bob", now=NOW
            ),
        )
    assert not current(records, "bbbb")
    assert not any_current(records, days=400)


def test_a_disabled_user_has_no_current_token(records: Records) -> None:
    keep(records, "aaaa")

    def disable(session):  # type: ignore[no-untyped-def]
        session.get(User, ("acme", "ana")).disabled_at = NOW

    records.write("acme", disable)
    assert not current(records, "aaaa")


def test_an_unknown_token_cannot_be_revoked(records: Records) -> None:
    with pytest.raises(NotFoundError, match="one of this tenant's"):
        records.write(
            "acme",
            lambda session: token_store.revoke(
                session, tenant="acme", token_id="zzzz", actor="bob", now=NOW
            ),
        )
