"""Labelling: leases, verdicts, undo and previous, conflicts with both values, and what follows from a label."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import networkx as nx
import pytest

from core.cases import Graph
from core.errors import ConflictError, InvalidInputError, NotFoundError, UnknownNameError
from data import alert_store, audit_store, incident_store, label_store
from data.records import Incident, Label, LabelItem, LabelSkip, NodeProposal
from tests.findings import NOW, new_alert, new_incident
from workbench.context import Context
from workbench.services import alerts, labelling, proposals, taxonomy
from workbench.services.labelling import Item
from workbench.services.taxonomy import Change
from workbench.services.verdicts import Verdict

TENANT = "acme"
WHO: dict[str, Any] = {"tenant": TENANT, "actor": "detection", "now": NOW}
GRAPH = Graph(nx.DiGraph([("campaign:1", "ad_group:1")]))
GRAPH.net.nodes["campaign:1"]["name"] = "Shoes"
BID_UP = Verdict("real", ("bid_up",))


def queue(ctx: Context, many: int = 3, **facts: Any) -> list[int]:
    """Items on as many alerts, the first most urgent; their numbers."""

    def write(session: Any) -> list[int]:
        found = [new_alert(f"campaign:{number}") for number in range(1, many + 1)]
        subjects = alert_store.upsert(session, found=found, **WHO).ids
        items = [
            LabelItem(
                tenant=TENANT,
                domain="ads",
                subject_kind="alert",
                subject_id=subject,
                slice="hard",
                reason="LSTM 0.91, isolation forest 0.22",
                priority=1.0 - place / many,
                created_at=NOW,
                **facts,
            )
            for place, subject in enumerate(subjects)
        ]
        session.add_all(items)
        session.flush()
        return [item.id for item in items]

    return ctx.records.write(TENANT, write)


def on_incident(ctx: Context, **facts: Any) -> tuple[int, int]:
    """An item on an incident: (item, incident)."""

    def write(session: Any) -> tuple[int, int]:
        number = incident_store.upsert(session, found=[new_incident()], **WHO).ids[0]
        item = LabelItem(
            tenant=TENANT,
            domain="ads",
            subject_kind="incident",
            subject_id=number,
            slice="random",
            created_at=NOW,
            **facts,
        )
        session.add(item)
        session.flush()
        return item.id, number

    return ctx.records.write(TENANT, write)


def draw(ctx: Context, actor: str = "ana", **options: Any) -> Item | None:
    return labelling.next_item(ctx, TENANT, domain="ads", actor=actor, **options)


def drawn(ctx: Context, actor: str = "ana", **options: Any) -> Item:
    item = draw(ctx, actor, **options)
    assert item is not None
    return item


def say(ctx: Context, item: int, verdict: Verdict = BID_UP, actor: str = "ana", **more: Any) -> Any:
    return labelling.submit(ctx, TENANT, item, actor=actor, verdict=verdict, graph=GRAPH, **more)


def undo(ctx: Context, actor: str = "ana") -> Item:
    return labelling.undo(ctx, TENANT, actor=actor, domain="ads")


def row(ctx: Context, kind: Any, number: int) -> Any:
    return ctx.records.read(TENANT, lambda session: session.get(kind, (TENANT, number)))


def standing(ctx: Context) -> list[Label]:
    return ctx.records.read(TENANT, lambda session: label_store.current(session, tenant=TENANT))


def test_that_an_answer_is_known_is_told_after_it_was_given(ctx: Context) -> None:
    number, _ = on_incident(ctx)

    def known(session: Any) -> None:
        session.get(LabelItem, (TENANT, number)).slice = "gold"

    ctx.records.write(TENANT, known)
    assert drawn(ctx).slice == "relabel"
    say(ctx, number)
    answered = labelling.previous(ctx, TENANT, actor="ana", domain="ads")
    assert answered is not None and answered.slice == "gold"
    assert undo(ctx).slice == "relabel"


# ── leases ───────────────────────────────────────────────────────────────────────────────────────


def test_two_people_never_get_the_same_item(ctx: Context) -> None:
    queue(ctx, 40)
    people = [f"person {number}" for number in range(8)]

    def work(actor: str) -> list[int]:
        got: list[int] = []
        for _ in range(5):
            got.append(drawn(ctx, actor, after=got).id)
        return got

    with ThreadPoolExecutor(len(people)) as pool:
        taken = [item for some in pool.map(work, people) for item in some]
    assert len(taken) == len(set(taken)) == 40
    assert draw(ctx, "somebody else") is None


def test_a_lease_lasts_ten_minutes_and_asking_again_renews_it(ctx: Context, clock: Any) -> None:
    first, second, _ = queue(ctx)
    item = drawn(ctx)
    assert (item.id, item.until) == (first, clock.advance(minutes=10))
    assert drawn(ctx, "bob").id == second, "on its last moment it is still hers"
    again = drawn(ctx)
    assert (again.id, again.until) == (first, clock.advance(minutes=10))
    clock.advance(seconds=1)
    assert drawn(ctx, "bob", after=[second]).id == first


def test_what_was_put_aside_returns_after_half_an_hour_and_is_free_for_others_at_once(
    ctx: Context, clock: Any
) -> None:
    first, second, _ = queue(ctx)
    following = labelling.skip(ctx, TENANT, drawn(ctx).id, actor="ana", reason="Not now")
    assert following is not None and following.id == second
    assert drawn(ctx, "bob").id == first
    say(ctx, first, actor="bob")
    labelling.skip(ctx, TENANT, second, actor="ana", reason="Not now")
    clock.advance(minutes=29)
    assert drawn(ctx).id not in (first, second)
    clock.advance(minutes=2)
    assert drawn(ctx, after=[3]).id == second
    with pytest.raises(InvalidInputError, match="the reason must be something to read"):
        labelling.skip(ctx, TENANT, second, actor="ana", reason=" ")


def test_an_item_that_wants_two_people_asks_each_once_and_hides_the_guess(ctx: Context) -> None:
    (item,) = queue(ctx, 1, wanted=2, blind=True, guess={"cause": "bid_up"})
    assert drawn(ctx).guess == {}
    assert say(ctx, item).next is None, "she has judged it"
    assert (row(ctx, LabelItem, item).given, row(ctx, LabelItem, item).state) == (1, "open")
    second = drawn(ctx, "bob")
    assert (second.id, second.mine) == (item, None)
    say(ctx, item, Verdict("expected"), actor="bob", seen=0)
    assert (row(ctx, LabelItem, item).given, row(ctx, LabelItem, item).state) == (2, "done")
    assert draw(ctx, "cara") is None


def test_an_incident_whose_recording_was_taken_back_is_no_longer_asked(ctx: Context) -> None:
    item, incident = on_incident(ctx)

    def hide(session: Any) -> None:
        session.get(Incident, (TENANT, incident)).status = "withdrawn"

    ctx.records.write(TENANT, hide)
    assert draw(ctx) is None
    assert row(ctx, LabelItem, item).state == "closed"


# ── verdicts ─────────────────────────────────────────────────────────────────────────────────────


def test_a_submission_keeps_the_label_with_what_it_was_given_on_and_holds_the_next(
    ctx: Context,
) -> None:
    first, second, _ = queue(ctx)
    drawn(ctx)
    verdict = Verdict("real", ("bid_up",), "campaign:1", "medium", "  bids doubled ")
    done = say(ctx, first, verdict, seconds=7.5)
    label = done.label
    assert (label.cause, label.causes, label.component) == ("bid_up", ["bid_up"], "campaign:1")
    assert (label.confidence, label.note, label.seconds) == (0.6, "bids doubled", 7.5)
    assert (label.item_id, label.taxonomy, label.entity) == (first, 0, "campaign:1")
    assert label.features["score"] == 4.5
    assert (row(ctx, LabelItem, first).state, row(ctx, LabelItem, first).leased_by) == ("done", "")
    assert done.next.id == second and done.next.until is not None


def test_the_same_submission_twice_is_one_label(ctx: Context) -> None:
    first, *_ = queue(ctx)
    kept = say(ctx, first).label
    assert say(ctx, first).label.id == kept.id
    assert len(standing(ctx)) == 1
    # and another verdict of the same person takes the place of theirs, one undo restores it
    second = say(ctx, first, Verdict("expected")).label
    assert [label.id for label in standing(ctx)] == [second.id]
    undo(ctx)
    assert [label.id for label in standing(ctx)] == [kept.id]
    assert row(ctx, LabelItem, first).state == "done"


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (Verdict("odd"), "the disposition must be one of real, expected, data_error"),
        (Verdict("real"), "the cause of something real must be chosen"),
        (Verdict("real", ("gremlins",)), "the cause must be one of budget_cut"),
        (Verdict("real", ("bid_up", "paused")), "the causes must be one at most"),
        (Verdict("expected", confidence="sure"), "the confidence must be one of high, medium, low"),
        (Verdict("expected", component="campaign:9"), "a node of the dependency graph"),
        (Verdict("expected", note="x" * 4001), "the note must be at most 4,000 characters"),
    ],
)
def test_a_verdict_that_breaks_a_rule_is_refused_and_the_item_stays_theirs(
    ctx: Context, verdict: Verdict, told: str
) -> None:
    first, *_ = queue(ctx)
    drawn(ctx)
    with pytest.raises((InvalidInputError, UnknownNameError), match=told):
        say(ctx, first, verdict)
    assert standing(ctx) == []
    assert row(ctx, LabelItem, first).leased_by == "ana"


def test_scanned_goods_may_be_several_things_at_once(ctx: Context) -> None:
    assert taxonomy.of(ctx, TENANT, "epc").several

    def write(session: Any) -> int:
        facts = {"domain": "epc", "level": "item"}
        return alert_store.upsert(session, found=[new_alert("epc:1", **facts)], **WHO).ids[0]

    alert = ctx.records.write(TENANT, write)
    verdict = Verdict("real", ("epcDup", "jump"))
    label = labelling.label_alert(ctx, TENANT, alert, actor="ana", verdict=verdict)
    assert (label.cause, label.causes) == ("epcDup", ["epcDup", "jump"])


def test_a_component_that_the_graph_lacks_is_proposed_once_and_one_it_has_is_found(
    ctx: Context,
) -> None:
    first, second, third = queue(ctx)
    label = say(ctx, first, Verdict("real", ("bid_up",), missing="Hats  2")).label
    say(ctx, second, Verdict("real", ("bid_up",), missing="Hats 2"))
    assert say(ctx, third, Verdict("real", ("bid_up",), missing="Shoes")).label.component == (
        "campaign:1"
    )
    proposal = row(ctx, NodeProposal, 1)
    assert (proposal.name, proposal.state, proposal.label_id) == ("Hats 2", "open", label.id)
    assert row(ctx, NodeProposal, 2) is None
    for _ in range(3):
        undo(ctx)
    assert row(ctx, NodeProposal, 1).state == "withdrawn"


@pytest.mark.parametrize("decision", ["accepted", "dismissed"])
def test_a_label_is_taken_back_though_its_component_was_decided_on(
    ctx: Context, decision: str
) -> None:
    first, *_ = queue(ctx)
    verdict = Verdict("real", ("bid_up",), missing="Hats 2")
    say(ctx, first, verdict)
    proposals.decide(ctx, TENANT, 1, state=decision, actor="ben")
    back = undo(ctx)
    assert (back.id, back.label) == (first, 0)
    assert back.mine is not None and back.mine.component == "Hats 2"
    assert row(ctx, Label, 1).withdrawn
    assert row(ctx, NodeProposal, 1).state == decision
    # said once more it is the node that it became; where none was wanted it is proposed anew
    graph = proposals.laid_over(ctx, TENANT, "ads", GRAPH)
    about: dict[str, Any] = {"actor": "ana", "verdict": verdict, "graph": graph}
    again = labelling.submit(ctx, TENANT, first, **about).label
    assert (again.component, again.withdrawn) == ("Hats 2", False)
    assert (row(ctx, NodeProposal, 2) is None) == (decision == "accepted")
    # Ben's decision stays his to take back
    undone = ctx.records.write(
        TENANT, lambda session: label_store.undo(session, tenant=TENANT, actor="ben", now=NOW)
    )
    assert undone.verb == "undo" and row(ctx, NodeProposal, 1).state == "open"


@pytest.mark.parametrize(
    ("decision", "brought_back"),
    [("", "open"), ("accepted", "accepted"), ("dismissed", "dismissed")],
)
def test_a_label_whose_event_holds_what_it_proposed_is_taken_back_and_brought_back(
    ctx: Context, decision: str, brought_back: str
) -> None:
    first, *_ = queue(ctx)
    who: dict[str, Any] = {"tenant": TENANT, "now": NOW, "actor": "ana"}

    def as_it_was_written(session: Any) -> None:
        """A label as its event was kept before proposals followed from labels."""
        edit = audit_store.Edit(session, actor="ana", now=NOW)
        said = Label(
            tenant=TENANT,
            alert_id=1,
            entity="campaign:1",
            disposition="real",
            cause="bid_up",
            component="Hats 2",
            item_id=first,
            labelled_by="ana",
            labelled_at=NOW,
        )
        edit.add(said)
        about: dict[str, Any] = {"tenant": TENANT, "domain": "ads", "name": "Hats 2"}
        edit.create(
            [NodeProposal(**about, label_id=said.id, proposed_by="ana", at=NOW)], state="withdrawn"
        )
        edit.record(tenant=TENANT, verb="label", object_kind="alert", object_id=1)

    ctx.records.write(TENANT, as_it_was_written)
    if decision:
        proposals.decide(ctx, TENANT, 1, state=decision, actor="ben")
    assert undo(ctx).id == first
    assert row(ctx, Label, 1).withdrawn
    assert row(ctx, NodeProposal, 1).state == (decision or "withdrawn")
    ctx.records.write(
        TENANT, lambda session: label_store.undo(session, **who, audit_id=_newest(session))
    )
    assert not row(ctx, Label, 1).withdrawn
    assert row(ctx, NodeProposal, 1).state == brought_back


def _newest(session: Any) -> int:
    """The number of the newest event."""
    return int(audit_store.history(session, tenant=TENANT, limit=1)[0].id)


def test_a_label_that_is_brought_back_proposes_again(ctx: Context) -> None:
    first, *_ = queue(ctx)
    say(ctx, first, Verdict("real", ("bid_up",), missing="Hats 2"))
    undone = ctx.records.write(
        TENANT, lambda session: label_store.undo(session, tenant=TENANT, actor="ana", now=NOW).id
    )
    assert row(ctx, NodeProposal, 1).state == "withdrawn"
    ctx.records.write(
        TENANT,
        lambda session: label_store.undo(
            session, tenant=TENANT, actor="ana", now=NOW, audit_id=undone
        ),
    )
    assert not row(ctx, Label, 1).withdrawn
    assert row(ctx, NodeProposal, 1).state == "open"


# ── conflicts ────────────────────────────────────────────────────────────────────────────────────


def test_a_verdict_that_another_has_crossed_is_refused_with_both(ctx: Context, clock: Any) -> None:
    first, *_ = queue(ctx)
    hers = drawn(ctx)
    clock.advance(minutes=11)
    his = drawn(ctx, "bob")
    assert his.id == hers.id
    with pytest.raises(ConflictError, match="held by bob, who has said nothing yet") as held:
        say(ctx, first, seen=hers.seen)
    assert held.value.context["yours"] == BID_UP
    say(ctx, first, Verdict("expected", note="sale"), actor="bob", seen=his.seen)
    with pytest.raises(ConflictError) as crossed:
        say(ctx, first, seen=hers.seen)
    assert crossed.value.context["yours"] == BID_UP
    assert crossed.value.context["theirs"] == Verdict("expected", note="sale")
    assert "Real · Bid raised · high" in crossed.value.message
    assert "Expected · high · sale" in crossed.value.message
    assert len(standing(ctx)) == 1
    # having seen it, she may still say hers
    say(ctx, first, seen=crossed.value.context["seen"])
    assert {label.labelled_by for label in standing(ctx)} == {"ana", "bob"}


# ── undo and previous ────────────────────────────────────────────────────────────────────────────


def test_undo_goes_twenty_back_through_labels_and_skips(ctx: Context) -> None:
    numbers = queue(ctx, 24)
    for place, number in enumerate(numbers[:22]):
        if place % 5 == 4:
            labelling.skip(ctx, TENANT, number, actor="ana", reason="Not now")
        else:
            say(ctx, number)
    alerts.acknowledge(ctx, TENANT, 3, actor="ana")  # no label: left alone
    for number in reversed(numbers[2:22]):
        item = undo(ctx)
        assert item.id == number and item.until is not None
        assert item.mine == (None if (number - 1) % 5 == 4 else BID_UP)
    assert len(standing(ctx)) == 2
    assert row(ctx, LabelSkip, 1).withdrawn
    assert alerts.get(ctx, TENANT, 3).alert.status == "acknowledged"
    assert drawn(ctx).id == numbers[2]
    undo(ctx), undo(ctx)
    with pytest.raises(NotFoundError, match="Nothing to undo: no label or skip of ana in ads"):
        undo(ctx)
    assert (
        ctx.records.read(TENANT, lambda session: audit_store.verify(session, tenant=TENANT)) is None
    )


def test_an_undo_of_anybody_elses_door_reopens_the_item_too(ctx: Context) -> None:
    first, *_ = queue(ctx)
    say(ctx, first)
    event = alerts.undo(ctx, TENANT, actor="ana")
    assert (row(ctx, LabelItem, first).state, row(ctx, LabelItem, first).given) == ("open", 0)
    alerts.undo(ctx, TENANT, actor="ana", audit_id=event.id)
    assert (row(ctx, LabelItem, first).state, row(ctx, LabelItem, first).given) == ("done", 1)


def test_an_undo_after_a_second_opinion_takes_back_only_ones_own(ctx: Context) -> None:
    (item,) = queue(ctx, 1, wanted=2, blind=True)
    say(ctx, item)
    say(ctx, item, Verdict("expected"), actor="bob")
    undo(ctx)
    assert [label.labelled_by for label in standing(ctx)] == ["bob"]
    assert (row(ctx, LabelItem, item).given, row(ctx, LabelItem, item).state) == (1, "open")


def test_previous_walks_back_through_what_one_said(ctx: Context) -> None:
    first, second, _ = queue(ctx)
    say(ctx, first)
    say(ctx, second, Verdict("expected"))
    back = labelling.previous(ctx, TENANT, actor="ana", domain="ads")
    assert back is not None and (back.id, back.mine) == (second, Verdict("expected"))
    further = labelling.previous(ctx, TENANT, actor="ana", domain="ads", before=back.label)
    assert further is not None and (further.id, further.mine) == (first, BID_UP)
    end = labelling.previous(ctx, TENANT, actor="ana", domain="ads", before=further.label)
    assert end is None


# ── what follows from a label ────────────────────────────────────────────────────────────────────


def test_an_incident_goes_from_unlabeled_to_labeled_to_validated_and_back(ctx: Context) -> None:
    item, number = on_incident(ctx, wanted=2, blind=True)

    def told() -> tuple[Any, ...]:
        incident = row(ctx, Incident, number)
        return incident.label_status, incident.root_cause, incident.component, incident.labelled_by

    version = row(ctx, Incident, number).version
    say(ctx, item, Verdict("unsure"))
    assert told() == ("unlabeled", "", "", "")
    say(ctx, item, Verdict("real", ("bid_up",), "campaign:1"))
    assert told() == ("labeled", "bid_up", "campaign:1", "ana")
    say(ctx, item, Verdict("real", ("paused",), "campaign:1"), actor="bob")
    assert told() == ("labeled", "paused", "campaign:1", "bob")
    undo(ctx, "bob")
    assert told() == ("labeled", "bid_up", "campaign:1", "ana")
    say(ctx, item, Verdict("real", ("bid_up",)), actor="bob")
    assert told() == ("validated", "bid_up", "", "bob")
    assert row(ctx, Incident, number).version == version, "nobody who works on it is in conflict"
    assert row(ctx, Incident, number).cause_confidence == 0.9


def test_a_label_through_the_incident_answers_the_queue_and_tells_who_was_before(
    ctx: Context,
) -> None:
    item, number = on_incident(ctx)
    label = labelling.label_incident(ctx, TENANT, number, actor="ana", verdict=BID_UP, seen=0)
    assert label.item_id == item
    assert (label.predicted_label, label.was_right) == ("budget", False)
    assert row(ctx, LabelItem, item).state == "done"
    with pytest.raises(ConflictError, match="ana said so on"):
        labelling.label_incident(
            ctx, TENANT, number, actor="bob", verdict=Verdict("expected"), seen=0
        )


def test_progress_counts_today_and_tells_when_the_causes_are_out_of_balance(
    ctx: Context, clock: Any
) -> None:
    numbers = queue(ctx, 6)
    causes = ("bid_up", "bid_up", "bid_up", "paused")
    for number, cause in zip(numbers, causes, strict=False):
        say(ctx, number, Verdict("real", (cause,)))
        clock.advance(seconds=20)
    told = labelling.progress(ctx, TENANT, domain="ads", actor="ana")
    assert (told.done, told.target, told.waiting, told.hard_share) == (4, 100, 2, 1.0)
    assert told.pace == pytest.approx(180.0)
    assert (told.balance, told.ratio) == ({"bid_up": 3, "paused": 1}, 3.0)
    assert told.uneven == "", "four labels say nothing of how common the causes are"
    taxonomy.edit(
        ctx,
        TENANT,
        "ads",
        actor="ana",
        changes=[Change(verb="merge", name="paused", into="bid_up")],
    )
    merged = labelling.progress(ctx, TENANT, domain="ads", actor="bob")
    assert (merged.balance, merged.uneven, merged.done) == ({"bid_up": 4}, "", 0)
    clock.advance(days=1)
    assert labelling.progress(ctx, TENANT, domain="ads", actor="ana").done == 0


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ((3, 1, 1, 1, 1, 1), ""),
        ((12, 4), ""),
        ((15, 5), "15 labels say “Budget cut”, 5 “Bid raised”"),
        ((12, 9, 8, 4, 3), ""),
        ((40, 20, 14, 8), "40 labels say “Budget cut”, 8 “Listing suppressed or Buy Box lost”"),
        ((1_400, 500), ""),
    ],
)
def test_causes_are_out_of_balance_from_three_to_one_and_beyond_chance(
    ctx: Context, counts: tuple[int, ...], told: str
) -> None:
    words = taxonomy.of(ctx, TENANT, "ads")
    balance = Counter(dict(zip((word.name for word in words.active), counts, strict=False)))
    assert labelling._uneven(balance, max(counts) / min(counts), words) == told
