from __future__ import annotations

import pytest
from sqlalchemy import select

from core.errors import InvalidInputError, PermissionDeniedError
from data.records import Token
from tests.workbench.conftest import Clock
from workbench.context import Context
from workbench.services import tokens


def stored(ctx: Context) -> list[Token]:
    return ctx.records.read("acme", lambda session: list(session.scalars(select(Token))))


def test_a_token_speaks_for_its_user_and_is_kept_only_as_a_digest(ctx: Context) -> None:
    secret = tokens.create(ctx, "acme", user="ana", scopes=["read"], name="laptop")
    assert tokens.verify(ctx, secret) == tokens.Owner("acme", "ana", ("read",))
    (row,) = stored(ctx)
    assert len(row.digest) == 64
    assert secret.startswith(row.prefix)
    tail = secret.removeprefix(row.prefix)
    assert len(tail) == 44
    assert all(tail not in str(value) for value in row.model_dump().values())
    assert row.last_used_at == ctx.clock()


def test_two_tokens_of_one_user_both_work(ctx: Context) -> None:
    first, second = (tokens.create(ctx, "acme", user="ana") for _ in range(2))
    assert first != second
    assert tokens.verify(ctx, first) == tokens.verify(ctx, second)


@pytest.mark.parametrize("change", ["", "hw.acme", "{}x", "x{}", "{} "])
def test_anything_else_is_refused(ctx: Context, change: str) -> None:
    secret = tokens.create(ctx, "acme", user="ana")
    with pytest.raises(PermissionDeniedError, match="a current one"):
        tokens.verify(ctx, change.format(secret))


def test_a_token_is_worth_nothing_at_another_tenant_or_with_another_end(ctx: Context) -> None:
    secret = tokens.create(ctx, "acme", user="ana")
    flipped = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    for wrong in (secret.replace(".acme.", ".rival."), flipped):
        with pytest.raises(PermissionDeniedError) as refused:
            tokens.verify(ctx, wrong)
        assert secret[-20:-2] not in str(refused.value)


def test_a_token_expires_and_can_be_revoked(ctx: Context, clock: Clock) -> None:
    brief = tokens.create(ctx, "acme", user="ana", days=1)
    lasting = tokens.create(ctx, "acme", user="ana")
    clock.advance(days=1)
    with pytest.raises(PermissionDeniedError):
        tokens.verify(ctx, brief)
    number = lasting.split(".")[2]
    tokens.revoke(ctx, "acme", number, actor="bob")
    with pytest.raises(PermissionDeniedError):
        tokens.verify(ctx, lasting)


@pytest.mark.parametrize(("tenant", "user"), [("../x", "ana"), ("acme", ""), ("acme", "x" * 129)])
def test_odd_names_get_no_token(ctx: Context, tenant: str, user: str) -> None:
    with pytest.raises(InvalidInputError):
        tokens.create(ctx, tenant, user=user)
