"""Adjudication: differences side by side, settled by a third, never by one of the two, and taken back as one action."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import ConflictError, InvalidInputError, PermissionDeniedError, UnknownNameError
from data import incident_store, label_store
from data.records import Incident, NewLabel
from tests.findings import new_incident
from workbench.context import Context
from workbench.services import adjudication, alerts, incidents
from workbench.services.verdicts import Verdict

TENANT = "acme"


def found(ctx: Context, *roots: str) -> list[int]:
    who = {"tenant": TENANT, "now": ctx.clock(), "actor": "scheduler"}
    return ctx.records.write(
        TENANT,
        lambda session: list(
            incident_store.upsert(
                session, **who, found=[new_incident(root) for root in roots or ("campaign:1",)]
            ).ids
        ),
    )


def say(ctx: Context, number: int, by: str, cause: str = "", **more: Any) -> int:
    told = {"disposition": "real" if cause else "expected", "cause": cause, **more}
    label = NewLabel(
        incident_id=number, entity="campaign:1", causes=[cause] if cause else [], **told
    )
    return ctx.records.write(
        TENANT,
        lambda session: (
            label_store.add(session, tenant=TENANT, label=label, actor=by, now=ctx.clock()).id
        ),
    )


def waiting(ctx: Context, actor: str = "eva") -> list[adjudication.Dispute]:
    return adjudication.disputes(ctx, TENANT, domain="ads", actor=actor)


def incident(ctx: Context, number: int) -> Incident:
    return incidents.get(ctx, TENANT, number).incident


@pytest.fixture
def dispute(ctx: Context) -> tuple[int, int, int]:
    """An incident in which Ana sees a budget cut, and Ben one that was paused."""
    (number,) = found(ctx)
    return number, say(ctx, number, "ana", "budget_cut"), say(ctx, number, "ben", "paused")


def test_what_two_people_judge_differently_waits_with_both_sides(
    ctx: Context, dispute: tuple[int, int, int]
) -> None:
    (item,) = waiting(ctx)
    assert (item.subject_kind, item.subject_id) == ("incident", dispute[0])
    assert item.title == "campaign:1 ran out of budget" and item.differs == ("causes",)
    assert [(side.by, side.verdict.causes) for side in item.sides] == [
        ("ana", ("budget_cut",)),
        ("ben", ("paused",)),
    ]
    assert not item.own and waiting(ctx, "ana")[0].own
    assert adjudication.waiting(ctx, TENANT, domain="ads") == 1
    assert adjudication.waiting(ctx, TENANT, domain="ads", actor="ben") == 0


def test_agreement_doubt_and_a_change_of_mind_are_no_dispute(ctx: Context) -> None:
    one, two, three, four = found(ctx, "campaign:1", "campaign:2", "campaign:3", "campaign:4")
    for by in ("ana", "ben"):
        say(ctx, one, by, "paused", note=f"as {by} sees it", confidence=0.3)
    say(ctx, two, "ana", "paused")
    say(ctx, two, "ben", disposition="unsure")
    say(ctx, three, "ana", "paused")
    say(ctx, three, "ana", "budget_cut")
    say(ctx, four, "ana", "paused", component="campaign:1")
    say(ctx, four, "ben", "paused")
    assert waiting(ctx) == []
    say(ctx, four, "eva", "paused", component="campaign:2")
    assert [item.differs for item in waiting(ctx)] == [("component",)]


def test_a_third_settles_it_and_the_incident_is_validated(
    ctx: Context, dispute: tuple[int, int, int]
) -> None:
    number, first, second = dispute
    assert incident(ctx, number).label_status == "labeled"
    label = adjudication.settle(
        ctx,
        TENANT,
        subject_kind="incident",
        subject_id=number,
        actor="eva",
        seen=[first, second],
        label_id=first,
        note="the budget history shows it",
    )
    assert (label.cause, label.labelled_by, label.settles) == ("budget_cut", "eva", [first, second])
    settled = incident(ctx, number)
    assert (settled.label_status, settled.root_cause, settled.labelled_by) == (
        "validated",
        "budget_cut",
        "eva",
    )
    assert waiting(ctx) == []
    alerts.undo(ctx, TENANT, actor="eva")
    assert incident(ctx, number).label_status == "labeled" and len(waiting(ctx)) == 1


def test_a_third_may_say_something_else_in_the_words_of_the_taxonomy(
    ctx: Context, dispute: tuple[int, int, int]
) -> None:
    number, first, second = dispute
    about: dict[str, Any] = {
        "subject_kind": "incident",
        "subject_id": number,
        "actor": "eva",
        "seen": [first, second],
    }
    with pytest.raises(UnknownNameError, match="budget_cut"):
        adjudication.settle(ctx, TENANT, **about, verdict=Verdict("real", ("gremlins",)))
    label = adjudication.settle(ctx, TENANT, **about, verdict=Verdict("data_error"))
    assert (label.disposition, label.cause) == ("data_error", "")
    assert incident(ctx, number).label_status == "validated"


@pytest.mark.parametrize("actor", ["ana", "ben"])
def test_nobody_settles_what_they_judged_themselves(
    ctx: Context, dispute: tuple[int, int, int], actor: str
) -> None:
    number, first, second = dispute
    with pytest.raises(PermissionDeniedError, match=f"Got '{actor}'"):
        adjudication.settle(
            ctx,
            TENANT,
            subject_kind="incident",
            subject_id=number,
            actor=actor,
            seen=[first, second],
            label_id=second,
        )
    assert incident(ctx, number).label_status == "labeled"


def test_a_label_that_came_meanwhile_is_a_conflict_that_names_both(
    ctx: Context, dispute: tuple[int, int, int]
) -> None:
    number, first, second = dispute
    third = say(ctx, number, "kai", "paused")
    about: dict[str, Any] = {"subject_kind": "incident", "subject_id": number, "actor": "eva"}
    with pytest.raises(ConflictError, match="kai judged it") as refused:
        adjudication.settle(ctx, TENANT, **about, seen=[first, second], label_id=first)
    assert refused.value.context["seen"] == [first, second]
    assert refused.value.context["stored"] == [first, second, third]
    adjudication.settle(ctx, TENANT, **about, seen=[first, second, third], label_id=first)
    with pytest.raises(ConflictError, match="eva judged it"):
        adjudication.settle(
            ctx, TENANT, **{**about, "actor": "max"}, seen=[first, second, third], label_id=second
        )


def test_a_decision_is_either_a_side_or_a_verdict_and_the_side_is_one_of_them(
    ctx: Context, dispute: tuple[int, int, int]
) -> None:
    number, first, second = dispute
    about: dict[str, Any] = {
        "subject_kind": "incident",
        "subject_id": number,
        "actor": "eva",
        "seen": [first, second],
    }
    with pytest.raises(InvalidInputError, match="either one side's label"):
        adjudication.settle(ctx, TENANT, **about)
    with pytest.raises(InvalidInputError, match=f"one of {first}, {second}. Got 99"):
        adjudication.settle(ctx, TENANT, **about, label_id=99)
    (lone,) = found(ctx, "campaign:7")
    only = say(ctx, lone, "ana", "paused")
    with pytest.raises(InvalidInputError, match="two people judged"):
        adjudication.settle(
            ctx, TENANT, **{**about, "subject_id": lone, "seen": [only]}, label_id=only
        )
