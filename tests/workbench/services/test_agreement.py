"""Agreement as people read it: blind judgements first, base rates beside the percentage, suspects and gold."""

from __future__ import annotations

import csv
import io
from datetime import date
from typing import Any

import networkx as nx
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from core.cases import Graph
from core.errors import UnknownNameError
from data import alert_store, label_pool, label_store
from data.records import LabelItem, NewLabel
from tests.findings import new_alert
from workbench.context import Context
from workbench.services import agreement, suspects, taxonomy
from workbench.services.taxonomy import Change

TENANT = "acme"
CAUSES = ("budget_cut", "paused", "click_fraud")


def raise_alerts(ctx: Context, many: int, facts: Any = None) -> list[int]:
    found = [
        new_alert(f"campaign:{number}", **(facts(number) if facts else {}))
        for number in range(many)
    ]
    who = {"tenant": TENANT, "now": ctx.clock(), "actor": "scheduler"}
    return list(
        ctx.records.write(
            TENANT, lambda session: alert_store.upsert(session, **who, found=found).ids
        )
    )


def say(ctx: Context, said: list[tuple[int, str, str]], **more: Any) -> None:
    """(alert, who, cause or disposition) triples."""

    def write(session: Any) -> None:
        for number, by, word in said:
            cause = word if word in CAUSES else ""
            label = NewLabel(
                alert_id=number,
                entity=f"campaign:{number}",
                disposition="real" if cause else word,
                cause=cause,
                causes=[cause] if cause else [],
                **more,
            )
            label_store.add(session, tenant=TENANT, label=label, actor=by, now=ctx.clock())

    ctx.records.write(TENANT, write)


def test_the_figures_are_those_of_the_libraries(ctx: Context) -> None:
    rng = np.random.default_rng(0)
    words = (*CAUSES, "expected")
    numbers = raise_alerts(ctx, 40)
    ana = rng.choice(words, 40)
    ben = np.where(rng.random(40) < 0.7, ana, rng.choice(words, 40))
    say(ctx, [(n, "ana", str(w)) for n, w in zip(numbers, ana, strict=True)])
    say(ctx, [(n, "ben", str(w)) for n, w in zip(numbers, ben, strict=True)])
    found = agreement.of(ctx, TENANT, domain="ads")
    assert (found.items, found.labels, found.people, found.which) == (40, 80, 2, "all")
    assert abs(found.figures["cohen"].value - cohen_kappa_score(ana, ben)) < 1e-9
    assert found.figures["percent"].value == (ana == ben).mean()
    alpha = found.figures["alpha"]
    assert alpha.low < alpha.value < alpha.high
    assert {answer.value for answer in found.answers} == set(words)
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.units) == ("ana", "ben", 40)


def test_95_percent_is_shown_with_its_base_rates(ctx: Context) -> None:
    numbers = raise_alerts(ctx, 50)
    say(ctx, [(n, by, "budget_cut") for n in numbers for by in ("ana", "ben")][:98])
    say(ctx, [(numbers[49], "ana", "budget_cut"), (numbers[49], "ben", "paused")])
    found = agreement.of(ctx, TENANT, domain="ads")
    assert found.statement == (
        f"98.0 % agree (95 % interval {100 * found.figures['percent'].low:.0f} to 100 %). 99 % of the answers are "
        "“Budget cut”, so chance alone would give 98 %; beyond chance, alpha is 0.00. That is above the 95 % asked "
        f"for, but may be luck: {found.lacking} more judged alike would show it."
    )
    assert 0.85 < found.figures["percent"].low < 0.95 and found.lacking == 60
    assert (found.confusions[0].first, found.confusions[0].second) == ("budget_cut", "paused")


def test_a_few_that_all_agree_are_told_with_how_many_more_it_takes(ctx: Context) -> None:
    numbers = raise_alerts(ctx, 9)
    words = [CAUSES[place % 3] for place in range(9)]
    say(ctx, [(n, by, w) for n, w in zip(numbers, words, strict=True) for by in ("ana", "ben")])
    found = agreement.of(ctx, TENANT, domain="ads")
    assert found.figures["percent"].low == pytest.approx(0.025 ** (1 / 9))
    assert "100.0 % agree (95 % interval 66 to 100 %)" in found.statement
    assert found.statement.endswith("but may be luck: 63 more judged alike would show it.")


def test_one_answer_alone_is_not_called_agreement(ctx: Context) -> None:
    numbers = raise_alerts(ctx, 4)
    say(ctx, [(n, by, "paused") for n in numbers for by in ("ana", "ben")])
    assert agreement.of(ctx, TENANT, domain="ads").statement.endswith(
        "with one answer only, agreement shows nothing."
    )


def test_blind_judgements_count_before_those_that_saw_the_guess(ctx: Context) -> None:
    numbers = raise_alerts(ctx, 6)
    say(ctx, [(n, by, "paused") for n in numbers[:3] for by in ("ana", "ben")])
    say(ctx, [(n, "ana", "paused") for n in numbers[3:]], blind=True)
    say(ctx, [(n, "ben", "expected") for n in numbers[3:]], blind=True)
    assert agreement.of(ctx, TENANT, domain="ads").which == "blind"
    assert agreement.of(ctx, TENANT, domain="ads").figures["percent"].value == 0.0
    assert agreement.of(ctx, TENANT, domain="ads", which="all").figures["percent"].value == 0.5


def test_adjudications_and_merged_causes_do_not_count_as_disagreement(ctx: Context) -> None:
    (number,) = raise_alerts(ctx, 1)
    say(ctx, [(number, "ana", "paused"), (number, "ben", "budget_cut")])
    say(ctx, [(number, "eva", "click_fraud")], settles=[1, 2])
    assert agreement.of(ctx, TENANT, domain="ads").people == 2
    taxonomy.edit(
        ctx,
        TENANT,
        "ads",
        changes=[Change(verb="merge", name="paused", into="budget_cut")],
        actor="ana",
    )
    assert agreement.of(ctx, TENANT, domain="ads").figures["percent"].value == 1.0
    told = agreement.to_date(ctx, TENANT, domain="ads")
    assert (told.percent, told.items) == (1.0, 1)


def test_each_aspect_compares_its_own_part_of_a_label(ctx: Context) -> None:
    one, two = raise_alerts(ctx, 2)
    say(ctx, [(one, "ana", "paused"), (one, "ben", "budget_cut"), (two, "ana", "paused")])
    say(ctx, [(two, "ben", "expected")])
    items = {
        aspect: agreement.of(ctx, TENANT, domain="ads", aspect=aspect).items
        for aspect in ("answer", "disposition", "cause")
    }
    assert items == {"answer": 2, "disposition": 2, "cause": 1}
    with pytest.raises(UnknownNameError, match="answer, disposition, cause, component"):
        agreement.of(ctx, TENANT, domain="ads", aspect="mood")


def test_components_that_are_near_in_the_graph_disagree_less(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = Graph(nx.DiGraph([("db", "api"), ("api", "web"), ("web", "app"), ("app", "cdn")]))
    monkeypatch.setattr(agreement.snapshots, "graph", lambda *_: graph)
    numbers = raise_alerts(ctx, 4)
    for number, one, other in zip(
        numbers, ("db", "api", "web", "db"), ("db", "api", "web", "api"), strict=True
    ):
        say(ctx, [(number, "ana", "paused")], component=one)
        say(ctx, [(number, "ben", "paused")], component=other)
    near = agreement.of(ctx, TENANT, domain="ads", aspect="component")
    assert near.distance == "hops in the graph, 4 or more wholly apart"
    assert near.figures["percent"].value == 0.75
    monkeypatch.setattr(agreement.snapshots, "graph", lambda *_: Graph(nx.DiGraph()))
    apart = agreement.of(ctx, TENANT, domain="ads", aspect="component")
    assert near.figures["alpha"].value > apart.figures["alpha"].value


def test_nothing_judged_twice_is_told_and_not_an_error(ctx: Context) -> None:
    found = agreement.of(ctx, TENANT, domain="services")
    assert (found.items, found.figures, found.statement) == (0, {}, "")
    assert np.isnan(agreement.to_date(ctx, TENANT, domain="services").percent)
    assert agreement.export(ctx, TENANT, domain="services").count("\n") == 1


def test_weeks_and_known_answers_are_told_apart(ctx: Context) -> None:
    one, two = raise_alerts(ctx, 2)
    say(ctx, [(one, "ana", "paused"), (one, "ben", "paused")])
    ctx.clock.advance(days=7)  # type: ignore[attr-defined]
    say(ctx, [(two, "ana", "paused"), (two, "ben", "expected")])
    found = agreement.of(ctx, TENANT, domain="ads")
    assert [(week.monday, week.items, week.percent) for week in found.weeks] == [
        (date(2026, 11, 16), 1, 1.0),
        (date(2026, 11, 23), 1, 0.0),
    ]
    gold = LabelItem(
        tenant=TENANT,
        domain="ads",
        subject_kind="alert",
        subject_id=one,
        slice="gold",
        created_at=ctx.clock(),
        expected={"disposition": "real", "causes": ["paused"], "component": ""},
        wanted=2,
    )
    (item,) = ctx.records.write(
        TENANT,
        lambda session: [
            row.id
            for row in label_pool.enqueue(
                session, tenant=TENANT, domain="ads", new=[gold], actor="ana", now=ctx.clock()
            )
        ],
    )
    say(ctx, [(one, "eva", "paused"), (one, "kai", "click_fraud")], item_id=item)
    checked = agreement.of(ctx, TENANT, domain="ads").gold
    assert [(one.by, one.right, one.asked) for one in checked] == [("eva", 1, 1), ("kai", 0, 1)]


def test_the_export_holds_every_label_and_no_formula(ctx: Context) -> None:
    numbers = raise_alerts(ctx, 2)
    say(ctx, [(n, "ana", "paused") for n in numbers], note="=HYPERLINK(1)", seconds=4.5)
    rows = list(csv.DictReader(io.StringIO(agreement.export(ctx, TENANT, domain="ads"))))
    assert [row["subject_id"] for row in rows] == [str(n) for n in numbers]
    assert rows[0]["causes"] == "paused" and rows[0]["seconds"] == "4.5"
    assert rows[0]["note"] == "'=HYPERLINK(1)"


# ── Suspects ─────────────────────────────────────────────────────────────────────────────────────


def test_planted_errors_are_the_first_suspects(ctx: Context) -> None:
    rng = np.random.default_rng(0)
    truth = [CAUSES[number % 3] for number in range(60)]

    def facts(number: int) -> dict[str, Any]:
        shares = rng.random(3) + 6.0 * np.eye(3)[number % 3]
        return {
            "explanation": {"metrics": ["spend", "clicks", "sales"], "shares": [shares.tolist()]}
        }

    numbers = raise_alerts(ctx, 60, facts)
    given = list(truth)
    for wrong in (4, 17, 33, 50):
        given[wrong] = CAUSES[(CAUSES.index(truth[wrong]) + 1) % 3]
    say(ctx, [(n, "ana", word) for n, word in zip(numbers, given, strict=True)])
    found = suspects.listing(ctx, TENANT, domain="ads", limit=4)
    assert {suspect.subject_id for suspect in found.labels} == {
        numbers[wrong] for wrong in (4, 17, 33, 50)
    }
    assert all(suspect.flagged and suspect.labelled_by == "ana" for suspect in found.labels)
    assert [suspect.likely for suspect in found.labels] == [
        truth[numbers.index(suspect.subject_id)] for suspect in found.labels
    ]
    assert (found.judged, found.flagged) == (60, 4)


def test_too_few_labels_make_no_suspects_and_say_so(ctx: Context) -> None:
    numbers = raise_alerts(ctx, 3)
    say(ctx, [(n, "ana", "paused") for n in numbers])
    found = suspects.listing(ctx, TENANT, domain="ads")
    assert found.labels == [] and found.why == (
        "It takes 20 judged things with two different answers; there are 3."
    )
