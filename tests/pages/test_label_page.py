"""The Label page: opened empty, with work, through links; its words edited; what its keys do on the server's side."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.domains.ads import ADS
from data import alert_store
from tests.findings import new_alert
from tests.workbench import small_account
from tests.workbench.small_account import NOW, TENANT
from workbench.context import Context
from workbench.services import adjudication, agreement, alerts, labelling, queue, taxonomy
from workbench.services.labelling import Item
from workbench.services.taxonomy import Change
from workbench.services.verdicts import Verdict
from workbench.ui import cache, label_view, runs, state
from workbench.ui.state import Key

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    st.cache_resource.clear()
    runs._latest.clear()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Context]:
    with small_account.opened(tmp_path, data=False) as context:
        yield context


@pytest.fixture(scope="module")
def filled_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detected account with a queue of several things to judge, on entities that have data; copied by who uses it."""
    home = tmp_path_factory.mktemp("filled")
    with small_account.opened(home) as context:
        small_account.detect(context)
        entities = context.metrics.panel(TENANT, ADS).entities[:3]
        found = [
            new_alert(one, onset=NOW - timedelta(days=30), last_seen=NOW - timedelta(days=29))
            for one in entities
        ]
        context.records.write(
            TENANT,
            lambda session: alert_store.upsert(
                session, tenant=TENANT, found=found, actor="detection", now=NOW
            ),
        )
        filled = queue.fill(context, TENANT, domain="ads", actor="ana")
        assert sum(filled.open.values()) >= 4
    return home


@pytest.fixture
def filled(tmp_path: Path, filled_home: Path) -> Iterator[Context]:
    shutil.copytree(filled_home, tmp_path, dirs_exist_ok=True)
    with small_account.opened(tmp_path) as context:
        yield context


def visit(**parameters: str) -> AppTest:
    """A fresh session at the page's URL."""
    test = AppTest.from_file(str(ROOT / "workbench" / "app.py"), default_timeout=30)
    test.switch_page("../pages/label.py")
    for name, value in parameters.items():
        test.query_params[name] = value
    test.run()
    assert not test.exception
    return test


def told(test: AppTest) -> str:
    return "\n".join(one.value for one in (*test.markdown, *test.caption))


def test_without_anything_it_says_what_comes_first(empty: Context) -> None:
    test = visit()
    assert "alerts and incidents come first" in told(test)
    assert not [button for button in test.button if button.label == "Choose what to label"]


def test_without_anything_left_it_says_so_and_offers_to_choose(filled: Context) -> None:
    item = labelling.next_item(filled, TENANT, domain="ads", actor="ana")
    while item is not None:
        said = Verdict("expected")
        done = labelling.submit(filled, TENANT, item.id, actor="ana", verdict=said, seen=item.seen)
        item = done.next
    test = visit(domain="ads")
    assert "Nothing waits to be labelled." in told(test)
    choose = next(button for button in test.button if button.label == "Choose what to label")
    choose.click().run()
    assert not test.exception
    assert [toast.value for toast in test.toast] == [
        "There is nothing to choose from: no alert or incident is unlabelled."
    ]


def test_it_shows_one_item_with_its_reason_its_lease_and_what_moved(filled: Context) -> None:
    test = visit(domain="ads")
    item: Item = test.session_state[Key.LABEL_ITEM]
    assert item.id and item.until is not None
    shown = told(test)
    assert item.reason in shown
    assert f"yours until {item.until:%H:%M} UTC" in shown
    assert "**0 of 100** today" in shown
    assert "What else moved" in shown
    # the next one is held already, so that nobody else gets it either
    mine = {line.id for line in queue.listing(filled, TENANT, domain="ads") if line.leased_by}
    assert len(mine) == 2 and item.id in mine


def test_a_link_opens_an_alert_that_the_queue_did_not_ask_for(filled: Context) -> None:
    asked = {line.subject_id for line in queue.listing(filled, TENANT, domain="ads")}
    found = alerts.page(filled, TENANT, filters={"muted": True}).alerts
    alert = next(one for one in found if one.incident_id is not None or one.id not in asked)
    test = visit(domain="ads", alert=str(alert.id))
    item: Item = test.session_state[Key.LABEL_ITEM]
    assert (item.id, item.subject_kind, item.subject_id) == (0, "alert", alert.id)
    assert "You opened it." in told(test)


@pytest.mark.parametrize("link", [{"alert": "999"}, {"incident": "12345"}])
def test_a_link_to_nothing_is_told_with_an_id(filled: Context, link: dict[str, str]) -> None:
    test = visit(domain="ads", **link)
    assert "must be one of this tenant's. Got" in test.error[0].value
    assert len(test.code[0].value) == 8


@pytest.mark.parametrize("link", [{"alert": "x"}, {"domain": "elsewhere"}, {"incident": "-1"}])
def test_a_broken_link_opens_the_queue(filled: Context, link: dict[str, str]) -> None:
    assert "What else moved" in told(visit(**link))


# ── what the form says ───────────────────────────────────────────────────────────────────────────


class Session(dict[str, Any]):
    """A session's state."""


@pytest.fixture
def session(filled: Context, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session with an item on the screen, without a browser."""
    kept = Session()
    monkeypatch.setattr(st, "session_state", kept)
    monkeypatch.setattr(st, "query_params", {})
    monkeypatch.setattr(state, "who", lambda: (filled, TENANT, "ana"))
    monkeypatch.setattr(cache, "graph", lambda domain: filled.metrics.graph(TENANT, ADS))
    assert label_view.current("ads") is not None
    return kept


def say(session: Session, verb: str, **more: Any) -> None:
    """Send what the form sends."""
    shown = more.pop("shown", str(session[Key.LABEL_SHOWN]))
    session[label_view.FORM] = {"said": {"verb": verb, "shown": shown, **more}}
    label_view.take()


def verdict(**fields: Any) -> dict[str, Any]:
    plain = {"component": "", "missing": "", "confidence": "high", "note": ""}
    return {"disposition": "real", "causes": ["bid_up"], **plain, **fields}


def test_a_verdict_is_kept_once_and_the_next_item_stands_there(
    filled: Context, session: Session
) -> None:
    first, mark = session[Key.LABEL_ITEM], str(session[Key.LABEL_SHOWN])
    say(session, "submit", verdict=verdict(), seconds=3.2)
    assert session[Key.LABEL_ITEM].id != first.id
    assert "Kept on" in session[Key.LABEL_TOLD]
    # the same stroke once more, from the screen that is gone
    say(session, "submit", shown=mark, verdict=verdict(causes=["paused"]), seconds=3.3)
    (label,) = labelling.listing(filled, TENANT, domain="ads")
    assert (label.item_id, label.cause, label.seconds) == (first.id, "bid_up", 3.2)


def test_what_is_refused_stays_on_the_screen_with_its_reason(session: Session) -> None:
    first, mark = session[Key.LABEL_ITEM], session[Key.LABEL_SHOWN]
    say(session, "submit", verdict=verdict(causes=[]), seconds=1)
    assert "the cause of something real must be chosen" in session[Key.LABEL_REFUSED]
    assert (session[Key.LABEL_ITEM].id, session[Key.LABEL_SHOWN]) == (first.id, mark)
    assert session[Key.LABEL_TURN] == 1


def test_several_causes_at_a_time_where_the_words_allow_it(
    filled: Context, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the form to the label, its disagreement and the agreement that counts what is shared."""
    shipped = {**taxonomy.SHIPPED, "ads": replace(taxonomy.SHIPPED["ads"], several=True)}
    monkeypatch.setattr(taxonomy, "SHIPPED", shipped)
    assert label_view.vocabulary("ads").several
    item = session[Key.LABEL_ITEM]
    say(session, "submit", verdict=verdict(causes=["bid_up", "paused", "bid_up"]), seconds=2)
    (label,) = labelling.listing(filled, TENANT, domain="ads")
    assert (label.cause, label.causes) == ("bid_up", ["bid_up", "paused"])
    labelling.label_subject(
        filled,
        TENANT,
        item.subject_id,
        subject_kind=item.subject_kind,
        actor="bob",
        verdict=Verdict("real", ("paused",)),
    )
    (dispute,) = adjudication.disputes(filled, TENANT, domain="ads", actor="eve")
    assert dispute.differs == ("causes",)
    found = agreement.of(filled, TENANT, domain="ads", which="all")
    assert found.distance.startswith("MASI")
    assert {answer.value for answer in found.answers} == {"bid_up + paused", "paused"}


def test_what_was_put_aside_is_told_with_when_it_comes_back(filled: Context) -> None:
    item = labelling.next_item(filled, TENANT, domain="ads", actor="ana")
    while item is not None:
        item = labelling.skip(filled, TENANT, item.id, actor="ana", reason="Not now")
    away = labelling.aside(filled, TENANT, domain="ads", actor="ana")
    assert away.items >= 4 and away.until is not None
    assert labelling.aside(filled, TENANT, domain="ads", actor="bob").items == 0
    shown = told(visit(domain="ads"))
    back = f"What you put aside ({away.items}) comes back from {away.until:%H:%M} UTC on."
    assert f"The queue is done. {back}" in shown


@pytest.mark.parametrize("domain", sorted(taxonomy.SHIPPED))
def test_the_words_of_every_domain_can_be_seen_and_edited(empty: Context, domain: str) -> None:
    test = AppTest.from_file(str(ROOT / "workbench" / "app.py"), default_timeout=30)
    test.switch_page("../pages/agreement.py")
    test.query_params["domain"] = domain
    test.run()
    next(button for button in test.button if button.label == "Words").click().run()
    assert not test.exception
    assert f"Version 0 of {domain}, as it ships" in told(test)
    words = test.dataframe[-1].value["Word"].tolist()
    assert words == [word.label for word in taxonomy.SHIPPED[domain].causes]


def test_a_crossed_verdict_may_be_said_once_more(filled: Context, session: Session) -> None:
    item = session[Key.LABEL_ITEM]
    labelling.label_subject(
        filled,
        TENANT,
        item.subject_id,
        subject_kind=item.subject_kind,
        actor="bob",
        verdict=Verdict("expected", note="a sale"),
    )
    if not item.blind:
        say(session, "submit", verdict=verdict(), seconds=1)
        assert "Expected · high · a sale" in session[Key.LABEL_REFUSED]
    say(session, "submit", verdict=verdict(), seconds=1)
    people = {row.labelled_by for row in labelling.listing(filled, TENANT, domain="ads")}
    assert people == {"ana", "bob"}


def test_skip_undo_and_previous_move_the_screen(filled: Context, session: Session) -> None:
    first = session[Key.LABEL_ITEM].id
    say(session, "skip", reason="Not now")
    second = session[Key.LABEL_ITEM].id
    assert second != first
    say(session, "submit", verdict=verdict(disposition="expected", causes=[]), seconds=1)
    third = session[Key.LABEL_ITEM].id
    say(session, "previous")
    assert session[Key.LABEL_ITEM].id == second
    assert session[Key.LABEL_ITEM].mine == Verdict("expected")
    say(session, "previous")
    assert session[Key.LABEL_TOLD] == "There is nothing earlier of yours."
    say(session, "onward")
    assert session[Key.LABEL_ITEM].id == third
    say(session, "undo")
    assert session[Key.LABEL_ITEM].id == second
    say(session, "undo")
    assert session[Key.LABEL_ITEM].id == first
    say(session, "undo")
    assert session[Key.LABEL_REFUSED].startswith("Nothing to undo")


def test_the_words_of_the_version_in_force_are_offered(filled: Context) -> None:
    change = Change(verb="rename", name="bid_up", label="Bid too high")
    made = taxonomy.edit(filled, TENANT, "ads", changes=[change], actor="ana")
    assert made.number == 1
    test = visit(domain="ads")
    button = next(one for one in test.button if one.label == "Words")
    button.click().run()
    assert not test.exception
    frame = test.dataframe[0].value
    assert frame.loc[frame["Name"] == "bid_up", "Word"].item() == "Bid too high"
    assert "Version 1 of ads, made by ana" in told(test)
