"""The words of a label: what ships, what people make of it, and what an old label counts as."""

from __future__ import annotations

import pytest

from core.errors import ConflictError, InvalidInputError, UnknownNameError
from workbench.context import Context
from workbench.services import taxonomy
from workbench.services.taxonomy import Change, Taxonomy

TENANT = "acme"


def edit(ctx: Context, *changes: Change, seen: int | None = None) -> Taxonomy:
    return taxonomy.edit(ctx, TENANT, "services", changes=changes, actor="ana", seen=seen)


def test_the_words_of_the_specification_ship(ctx: Context) -> None:
    shipped = taxonomy.of(ctx, TENANT, "services")
    assert (shipped.number, shipped.several) == (0, False)
    assert " ".join(word.name for word in shipped.causes) == (
        "memory_leak database_slow deployment_failure network_latency disk_full cpu_saturation "
        "config_error external_dependency unknown"
    )
    assert [word.key for word in shipped.causes] == list("123456789")
    assert [one.name for one in shipped.dispositions] == [
        "real", "expected", "data_error", "duplicate", "unsure",
    ]  # fmt: skip
    epc = taxonomy.of(ctx, TENANT, "epc")
    assert epc.several
    assert [word.name for word in epc.causes] == [
        "epcFake", "epcDup", "locErr", "evtOrderErr", "jump",
    ]  # fmt: skip
    with pytest.raises(UnknownNameError, match="one of ads, services, epc"):
        taxonomy.of(ctx, TENANT, "weather")


def test_edits_make_versions_and_an_old_name_keeps_its_meaning(ctx: Context) -> None:
    first = edit(
        ctx,
        Change(verb="merge", name="disk_full", into="memory_leak"),
        Change(verb="add", name="dns", label="  DNS  failure "),
    )
    second = edit(
        ctx,
        Change(verb="merge", name="memory_leak", into="dns"),
        Change(verb="rename", name="unknown", label="Nobody knows"),
    )
    assert (first.number, second.number, second.by) == (1, 2, "ana")
    assert (second.now("disk_full"), second.now("memory_leak"), second.now("dns")) == ("dns",) * 3
    assert (second.label("dns"), second.label("unknown")) == ("DNS failure", "Nobody knows")
    assert second.now("what nobody ever said") == "what nobody ever said"
    assert [word.key for word in second.active] == list("12345678")
    assert [one.number for one in taxonomy.history(ctx, TENANT, "services")] == [2, 1, 0]
    back = edit(ctx, Change(verb="restore", name="disk_full"))
    assert back.now("disk_full") == "disk_full"
    assert taxonomy.of(ctx, "another tenant", "services").number == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (Change(verb="add", name="disk_full"), "a new name must be one never used"),
        (Change(verb="add", name="disk full"), "a name must be like"),
        (Change(verb="rename", name="disk_full", label=" "), "something to read"),
        (Change(verb="merge", name="disk_full", into="disk_full"), "another cause that is in use"),
        (Change(verb="retire", name="gremlins"), "the cause must be one of memory_leak"),
    ],
)
def test_a_change_that_breaks_a_rule_changes_nothing(
    ctx: Context, change: Change, told: str
) -> None:
    with pytest.raises((InvalidInputError, UnknownNameError), match=told):
        edit(ctx, Change(verb="add", name="dns"), change)
    assert taxonomy.of(ctx, TENANT, "services").number == 0


def test_no_more_causes_are_in_use_than_there_are_keys(ctx: Context) -> None:
    assert edit(ctx, Change(verb="add", name="dns")).causes[-1].key == "0"
    with pytest.raises(InvalidInputError, match="1 to 10 in use, one for each number key"):
        edit(ctx, Change(verb="add", name="queue_full"))
    assert edit(
        ctx, Change(verb="add", name="queue_full"), Change(verb="retire", name="dns")
    ).active


def test_two_people_do_not_overwrite_each_other(ctx: Context) -> None:
    edit(ctx, Change(verb="add", name="dns"), seen=0)
    with pytest.raises(ConflictError, match="0, the one you saw"):
        edit(ctx, Change(verb="retire", name="unknown"), seen=0)
