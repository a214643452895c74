"""Who scores: promoted, promoted again, and rolled back, one after the other however many ask at once."""

from __future__ import annotations

import pytest

from core.errors import (
    ConflictError,
    InvalidInputError,
    MissingArtifactError,
    NotFoundError,
)
from data.audit_store import history
from data.record_store import Records
from models.registry import Registry
from tests.models.conftest import Publish, folder_of


def test_promotion_moves_the_alias_and_says_so_in_the_audit(
    registry: Registry, published: Publish, records: Records
) -> None:
    first, second = published(), published(largest=2)
    registry.promote("acme", "ads", first, actor="ana", reason="first model")
    alias = registry.promote("acme", "ads", second, actor="bob", reason="fewer false alarms")
    assert (alias.version_id, alias.version) == (second, 2)
    assert registry.store.get("acme", first).state == "retired"
    assert registry.store.get("acme", second).state == "champion"
    event = records.read("acme", lambda session: history(session, tenant="acme", limit=1))[0]
    assert (event.actor, event.verb, event.object_id) == ("bob", "promote", "ads/champion")
    assert event.after == {
        "version_id": second,
        "previous": first,
        "reason": "fewer false alarms",
    }


def test_of_two_promotions_from_the_same_look_one_conflicts(
    registry: Registry, published: Publish
) -> None:
    first, second = published(), published(largest=2)
    registry.promote("acme", "ads", first, actor="ana", reason="a", seen=0)
    with pytest.raises(ConflictError, match=f"{first} by ana"):
        registry.promote("acme", "ads", second, actor="bob", reason="b", seen=0)
    alias = registry.store.alias("acme", "ads", "champion")
    assert alias is not None
    assert alias.version_id == first


def test_a_challenger_leaves_the_champion_alone(registry: Registry, published: Publish) -> None:
    first, second = published(), published(largest=2)
    registry.promote("acme", "ads", first, actor="ana", reason="a")
    registry.promote("acme", "ads", second, alias="challenger", actor="ana", reason="to compare")
    assert registry.store.get("acme", first).state == "champion"
    assert registry.store.get("acme", second).state == "ready"


def test_who_serves_already_is_not_promoted_again(registry: Registry, published: Publish) -> None:
    first, second = published(), published(largest=2)
    registry.promote("acme", "ads", first, actor="ana", reason="a")
    registry.promote("acme", "ads", second, actor="ana", reason="b")
    with pytest.raises(InvalidInputError, match="another than the champion of ads"):
        registry.promote("acme", "ads", second, actor="ana", reason="twice")
    assert registry.rollback("acme", "ads", actor="ana", reason="c").version_id == first


def test_what_cannot_be_promoted(registry: Registry, published: Publish) -> None:
    version = published()
    with pytest.raises(InvalidInputError, match="of domain epc"):
        registry.promote("acme", "epc", version, actor="ana", reason="a")
    with pytest.raises(InvalidInputError, match="one of champion, challenger"):
        registry.promote("acme", "ads", version, alias="best", actor="ana", reason="a")
    with pytest.raises(InvalidInputError, match="reason"):
        registry.promote("acme", "ads", version, actor="ana", reason="")
    (folder_of(registry, version) / "text.json").unlink()
    with pytest.raises(MissingArtifactError):
        registry.promote("acme", "ads", version, actor="ana", reason="a")
    assert registry.store.alias("acme", "ads", "champion") is None


# ── rollback ─────────────────────────────────────────────────────────────────────────────────────


def champion(registry: Registry, tenant: str = "acme", domain: str = "ads") -> str:
    alias = registry.store.alias(tenant, domain, "champion")
    assert alias is not None
    return alias.version_id


def test_a_rollback_undoes_the_last_promotion_and_a_second_goes_one_further_back(
    registry: Registry, published: Publish, records: Records
) -> None:
    first, second, third = published(), published(largest=2), published(largest=3)
    for version in (first, second, third):
        registry.promote("acme", "ads", version, actor="ana", reason="better")
    alias = registry.rollback("acme", "ads", actor="bob", reason="too many alarms")
    assert (alias.version_id, alias.version) == (second, 4)
    assert registry.rollback("acme", "ads", actor="bob", reason="still").version_id == first
    assert [registry.store.get("acme", row).state for row in (first, second, third)] == [
        "champion",
        "retired",
        "retired",
    ]
    told = registry.store.moves("acme", "ads", "champion")
    assert [(move.verb, move.version_id, move.previous) for move in told] == [
        ("rollback", first, second),
        ("rollback", second, third),
        ("promote", third, second),
        ("promote", second, first),
        ("promote", first, ""),
    ]
    assert (told[1].actor, told[1].reason, told[1].undoes) == (
        "bob",
        "too many alarms",
        told[2].id,
    )
    with pytest.raises(NotFoundError, match="took over from another"):
        registry.rollback("acme", "ads", actor="bob", reason="more")
    assert champion(registry) == first


def test_a_rollback_goes_back_past_promotions_that_were_undone_before(
    registry: Registry, published: Publish
) -> None:
    first, second, third = published(), published(largest=2), published(largest=3)
    registry.promote("acme", "ads", first, actor="ana", reason="first")
    registry.promote("acme", "ads", second, actor="ana", reason="better")
    registry.promote("acme", "ads", third, actor="ana", reason="better still")
    registry.rollback("acme", "ads", actor="ana", reason="no")
    registry.promote("acme", "ads", third, actor="ana", reason="yes, better")
    registry.rollback("acme", "ads", actor="ana", reason="no")
    assert champion(registry) == second
    assert registry.store.predecessors("acme", "ads", "champion") == [first]
    assert registry.rollback("acme", "ads", actor="ana", reason="no").version_id == first


def test_a_rollback_stays_within_its_tenant_and_domain(
    registry: Registry, published: Publish
) -> None:
    ours = [published(), published(largest=2)]
    theirs = [published("rival"), published("rival", largest=2)]
    for mine, other in zip(ours, theirs, strict=True):
        registry.promote("acme", "ads", mine, actor="ana", reason="a")
        registry.promote("rival", "ads", other, actor="zoe", reason="a")
    registry.rollback("acme", "ads", actor="ana", reason="b")
    assert (champion(registry), champion(registry, "rival")) == (ours[0], theirs[1])
    with pytest.raises(NotFoundError, match="champion of epc"):
        registry.rollback("acme", "epc", actor="ana", reason="b")


def test_a_rollback_by_somebody_who_looked_earlier_conflicts(
    registry: Registry, published: Publish
) -> None:
    first, second = published(), published(largest=2)
    registry.promote("acme", "ads", first, actor="ana", reason="a")
    registry.promote("acme", "ads", second, actor="ana", reason="b")
    with pytest.raises(ConflictError, match=f"move 2, {second} by ana"):
        registry.rollback("acme", "ads", actor="bob", reason="c", seen=1)
    with pytest.raises(InvalidInputError, match="reason"):
        registry.rollback("acme", "ads", actor="bob", reason=" ")
    assert champion(registry) == second


def test_no_rollback_to_a_version_that_no_longer_loads(
    registry: Registry, published: Publish
) -> None:
    first, second = published(), published(largest=2)
    registry.promote("acme", "ads", first, actor="ana", reason="a")
    registry.promote("acme", "ads", second, actor="ana", reason="b")
    (folder_of(registry, first) / "text.json").unlink()
    with pytest.raises(MissingArtifactError):
        registry.rollback("acme", "ads", actor="ana", reason="c")
    assert champion(registry) == second
