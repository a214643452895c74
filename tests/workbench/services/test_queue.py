"""The labelling queue: slices in proportion, a reason on each item, a random slice that stays honest."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from core.errors import UnknownNameError
from data import alert_store, incident_store, label_pool, label_store
from data.records import LabelItem, NewLabel
from tests.findings import new_alert, new_incident
from workbench.context import Context
from workbench.services import queue, subjects

TENANT = "acme"
ABOUT: dict[str, Any] = {"tenant": TENANT, "domain": "ads"}


def raise_alerts(ctx: Context, many: int = 120, seed: int = 0) -> list[int]:
    """Alerts of as many campaigns; two detectors that agree on the even ones and are torn on the odd ones."""
    rng = np.random.default_rng(seed)
    found = [
        new_alert(
            f"campaign:{number}",
            days_ago=2 + number / 100,
            score=float(3 + rng.exponential()),
            threshold=2.0,
            parts={
                "lstm": {"p_value": 1e-7},
                "forest": {"p_value": 1e-7 if number % 2 == 0 else 0.9},
                "trees": {"left_out": "not warm"},
            },
            spend_at_risk=float(rng.lognormal(4)),
        )
        for number in range(many)
    ]
    who = {"tenant": TENANT, "now": ctx.clock(), "actor": "scheduler"}
    return list(
        ctx.records.write(
            TENANT, lambda session: alert_store.upsert(session, **who, found=found).ids
        )
    )


def say(ctx: Context, number: int, disposition: str, actor: str = "ana", **more: Any) -> int:
    label = NewLabel(alert_id=number, entity=f"campaign:{number}", disposition=disposition, **more)
    return ctx.records.write(
        TENANT,
        lambda session: (
            label_store.add(session, tenant=TENANT, label=label, actor=actor, now=ctx.clock()).id
        ),
    )


def waiting(ctx: Context) -> list[LabelItem]:
    return ctx.records.read(TENANT, lambda session: label_pool.items(session, **ABOUT))


def close(ctx: Context) -> list[LabelItem]:
    """Everybody who was asked has answered."""

    def change(session: Any) -> list[LabelItem]:
        found = label_pool.items(session, **ABOUT, states=("open",))
        for item in found:
            item.state, item.given = "done", item.wanted
        return found

    return ctx.records.write(TENANT, change)


def test_the_first_queue_has_its_slices_and_a_reason_on_every_item(ctx: Context) -> None:
    raise_alerts(ctx)
    filled = queue.fill(ctx, TENANT, domain="ads", size=40, actor="ana")
    assert filled.added == {"hard": 26, "diverse": 8, "random": 6} == filled.open
    assert filled.pool == 120
    items = waiting(ctx)
    assert len({(item.subject_kind, item.subject_id) for item in items}) == 40
    assert all(item.reason for item in items)
    assert {item.chance for item in items if item.slice == "random"} == {6 / 120}
    assert [item.slice for item in items[:10]].count("hard") in (6, 7)
    hard = [item for item in items if item.slice == "hard"]
    assert {item.reason for item in hard} == {
        "The detectors are torn: from 0.01 to 1.00, where 0.50 is the threshold."
    }


def test_a_fifth_goes_to_two_people_who_do_not_see_the_guess(ctx: Context) -> None:
    raise_alerts(ctx)
    queue.fill(ctx, TENANT, domain="ads", size=50, actor="ana")
    items = waiting(ctx)
    twice = [item for item in items if item.wanted == 2]
    assert len(twice) == 10 and all(item.blind for item in twice)
    assert not any(item.blind for item in items if item.wanted == 1)


def test_filling_again_adds_only_what_is_lacking(ctx: Context) -> None:
    raise_alerts(ctx)
    queue.fill(ctx, TENANT, domain="ads", size=30, actor="ana")
    assert queue.fill(ctx, TENANT, domain="ads", size=30, actor="ben").added == {}
    close(ctx)
    again = queue.fill(ctx, TENANT, domain="ads", size=30, actor="ben")
    assert sum(again.added.values()) == 30
    subjects_of = Counter((item.subject_kind, item.subject_id) for item in waiting(ctx))
    assert len(waiting(ctx)) == 60
    assert max(subjects_of.values()) <= 2


def test_judged_things_come_back_as_relabel_and_gold(ctx: Context) -> None:
    numbers = raise_alerts(ctx)
    for place, number in enumerate(numbers[:40]):
        say(ctx, number, "real" if place % 2 else "expected", cause="budget_cut" * (place % 2))
    for number in numbers[:6]:
        say(ctx, number, "expected", actor="ben")
    filled = queue.fill(ctx, TENANT, domain="ads", size=40, actor="ana")
    assert filled.added["relabel"] == 4 and filled.added["gold"] == 2
    gold = [item for item in waiting(ctx) if item.slice == "gold"]
    assert {item.expected["disposition"] for item in gold} == {"expected"}
    assert {item.round for item in gold} == {1}
    # nobody can tell them from the others before they answered
    told = queue.listing(ctx, TENANT, domain="ads")
    assert {line.slice for line in told if line.reason == gold[0].reason} == {"relabel"}
    assert sum(line.reason == gold[0].reason for line in told) == 6
    assert not {item.subject_id for item in waiting(ctx) if item.slice in ("hard", "random")} & set(
        numbers[:40]
    )
    torn = [item.reason for item in waiting(ctx) if item.slice == "hard"]
    assert all("Models that learned from labels are torn between" in reason for reason in torn)


def test_second_opinions_that_nobody_gives_do_not_fill_the_queue(ctx: Context) -> None:
    numbers = raise_alerts(ctx, many=60)
    for number in numbers[:10]:
        say(ctx, number, "real" if number % 2 else "expected")
    for _ in range(2):
        queue.fill(ctx, TENANT, domain="ads", size=20, actor="ana")
        ctx.records.write(TENANT, _answer_first_opinions)
    left = [item for item in waiting(ctx) if item.state == "open"]
    assert {item.slice for item in left} == {"relabel"} and len(left) == 2


def _answer_first_opinions(session: Any) -> None:
    for item in label_pool.items(session, **ABOUT, states=("open",)):
        if item.slice != "relabel":
            item.state, item.given = "done", item.wanted


def test_incidents_stand_for_their_alerts_and_withdrawn_ones_are_not_asked(ctx: Context) -> None:
    who = {"tenant": TENANT, "now": ctx.clock(), "actor": "scheduler"}

    def write(session: Any) -> tuple[int, ...]:
        alerts = alert_store.upsert(session, **who, found=[new_alert(), new_alert("keyword:7")]).ids
        made = incident_store.upsert(
            session, **who, found=[new_incident(), new_incident("campaign:9")]
        )
        incident_store.attach(session, **who, incident_id=made.ids[0], alert_ids=alerts)
        made.rows[1].status = "withdrawn"
        return made.ids

    first, _ = ctx.records.write(TENANT, write)
    assert [subject.key for subject in subjects.subjects(ctx, TENANT, "ads")] == [
        ("incident", first)
    ]
    queue.fill(ctx, TENANT, domain="ads", actor="ana")
    (line,) = queue.listing(ctx, TENANT, domain="ads")
    assert (line.subject_kind, line.title) == ("incident", "campaign:1 ran out of budget")
    (item,) = waiting(ctx)
    assert item.guess == {
        "disposition": "real",
        "cause": "budget",
        "component": "campaign:1",
        "confidence": 0.8,
    }


def test_precision_is_told_without_bias_though_hard_ones_were_judged_first(ctx: Context) -> None:
    """Every odd alert is false and is asked first, as detectors are torn on it: half are real, few answers are."""
    raise_alerts(ctx, many=200)
    queue.fill(ctx, TENANT, domain="ads", size=80, actor="ana")
    for item in close(ctx):
        say(ctx, item.subject_id, "real" if item.subject_id % 2 else "expected")
    judged = [subject for subject in subjects.subjects(ctx, TENANT, "ads") if subject.labels]
    naive = np.mean([subjects.real(subject.labels) for subject in judged])
    told = queue.precision(ctx, TENANT, domain="ads")
    assert told.answers == 12
    assert naive < 0.3 and told.value == pytest.approx(0.5, abs=0.1)
    assert told.low < 0.5 < told.high


def test_two_fills_at_once_ask_about_nothing_twice(ctx: Context) -> None:
    raise_alerts(ctx, many=10)
    found = subjects.subjects(ctx, TENANT, "ads")
    same = [
        LabelItem(
            **ABOUT,
            subject_kind=found[0].kind,
            subject_id=found[0].id,
            round=number + 1,
            slice="hard",
            created_at=ctx.clock() + timedelta(seconds=number),
        )
        for number in range(2)
    ]
    for item in same:
        ctx.records.write(
            TENANT,
            lambda session, item=item: label_pool.enqueue(
                session, **ABOUT, new=[item], actor="ana", now=ctx.clock()
            ),
        )
    assert len(waiting(ctx)) == 1


def test_an_unknown_domain_is_refused_by_name_and_nothing_to_ask_is_no_error(ctx: Context) -> None:
    with pytest.raises(UnknownNameError, match="ads"):
        queue.fill(ctx, TENANT, domain="weather", actor="ana")
    assert queue.fill(ctx, TENANT, domain="ads", actor="ana") == queue.Filled({}, {}, 0)
    assert queue.listing(ctx, TENANT, domain="ads") == []
    assert np.isnan(queue.precision(ctx, TENANT, domain="ads").value)
