"""The Models page as a modeller meets it: nothing there, nobody to compare, two to compare, bad links, promotion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit import config as streamlit_config
from streamlit.testing.v1 import AppTest

from core.errors import ChecksumMismatchError
from data import label_store
from data.records import NewLabel
from tests.workbench.two_models import TENANT, challenge
from workbench import context as contexts
from workbench.context import Context
from workbench.services import incidents, models, promotion
from workbench.ui import runs
from workbench.ui.state import Key

ROOT = Path(__file__).resolve().parents[2]
OpenHome = Callable[..., Context]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    st.cache_resource.clear()
    runs._latest.clear()


@pytest.fixture
def served(open_home: OpenHome) -> Iterator[Callable[[Path], Context]]:
    """Open a copy of a home as this process's own."""
    opened: list[Context] = []

    def serve(home: Path) -> Context:
        opened.append(open_home(home))
        contexts._shared.append(opened[-1])
        streamlit_config.set_option("server.address", "127.0.0.1")
        return opened[-1]

    yield serve
    streamlit_config.set_option("server.address", None)
    for context in opened:
        contexts._shared.remove(context)


@pytest.fixture
def alone(served: Callable[[Path], Context], detected: Path) -> Context:
    """A champion without a challenger."""
    return served(detected)


@pytest.fixture
def contest(alone: Context) -> Context:
    """A champion and a challenger."""
    challenge(alone)
    return alone


def visit(**parameters: str) -> AppTest:
    test = AppTest.from_file(str(ROOT / "workbench" / "app.py"), default_timeout=60)
    test.switch_page("../pages/models.py")
    for name, value in parameters.items():
        test.query_params[name] = value
    test.run()
    assert not test.exception
    return test


def words(test: AppTest) -> str:
    parts = [*test.markdown, *test.caption, *test.subheader, *test.error]
    return "\n".join(str(part.value) for part in parts)


def table(test: AppTest, column: str) -> Any:
    """The one table with a column of that name."""
    (found,) = [frame.value for frame in test.dataframe if column in frame.value.columns]
    return found


def press(test: AppTest, start: str) -> AppTest:
    (button,) = [button for button in test.button if button.label.startswith(start)]
    button.click().run()
    assert not test.exception
    return test


# ── nothing there, or not two ────────────────────────────────────────────────────────────────────


def test_without_data_the_page_sends_to_the_data_page(
    tmp_path: Path, served: Callable[[Path], Context]
) -> None:
    (tmp_path / "nothing").mkdir()
    served(tmp_path / "nothing")
    assert "No data yet. Import report files to begin." in words(visit())


def test_without_a_model_detection_is_offered(
    served: Callable[[Path], Context], imported: Path
) -> None:
    served(imported)
    test = visit()
    assert "No model yet. The first detection run fits one." in words(test)
    assert "Run detection" in [button.label for button in test.button]


def test_a_champion_alone_is_told_and_training_offered(alone: Context) -> None:
    test = visit()
    champion = alone.serve.champion(TENANT, "ads").version.id
    assert f"No challenger waits: {champion[-8:]} scores alone." in words(test)
    assert list(table(test, "In use as")["In use as"]) == ["Champion"]
    assert not [button for button in test.button if button.label.startswith("Roll back")]


@pytest.mark.parametrize("given", ["nobody", "1; drop table alert", "../../etc/passwd", "x" * 90])
@pytest.mark.parametrize("name", ["champion", "challenger"])
def test_a_link_to_no_version_says_so_and_leads_back(alone: Context, name: str, given: str) -> None:
    (error,) = visit(**{name: given}).error
    assert error.value == f"Version {given[:40]} not found."


def test_the_same_version_twice_is_no_contest(alone: Context) -> None:
    champion = alone.serve.champion(TENANT, "ads").version.id
    assert "No challenger waits" in words(visit(champion=champion, challenger=champion))


# ── two to compare ───────────────────────────────────────────────────────────────────────────────


def test_the_answer_and_what_would_change_stand_above_everything(contest: Context) -> None:
    test = visit()
    said = words(test)
    assert ":gray[**◇ Inconclusive**]" in said
    assert "Nobody has judged an alert of these days" in said
    assert "186 entities" not in said and "that neither learned from" in said
    changed = table(test, "Then")
    assert set(changed["Change"]) <= {"Would vanish", "Other severity", "Would appear"}
    assert f"{len(changed)}" in said and "4 of 8 minimums met · 4 not measured" in said
    assert list(table(test, "Bound")["Bound"]) == [0.85, 0.88, 0.9, 0.85, 500.0, 512.0, 0.01, 0.8]
    levels = table(test, "Entity-days")
    assert list(levels["Level"])[:3] == ["Profile", "Portfolio", "Campaign"]
    assert "No label says yet what an alarm is worth" in said


def test_with_labels_the_scorecard_has_f1_and_the_threshold_a_cost(contest: Context) -> None:
    for incident in incidents.page(contest, TENANT).incidents:
        verdict = NewLabel(
            incident_id=incident.id, entity="", disposition="real", cause=incident.cause_type
        )
        contest.records.write(
            TENANT,
            lambda session, verdict=verdict: label_store.add(
                session, tenant=TENANT, label=verdict, actor="ana", now=contest.clock()
            ),
        )
    test = visit()
    said = words(test)
    assert "Cost by threshold" in said and "cheapest at p ≤" in said
    assert "Of the judged days on which they differ" in said
    next(choice for choice in test.segmented_control if choice.options == ["Table"]).set_value(
        "Table"
    ).run()
    assert list(table(test, "Figure")["Figure"])[:4] == ["PR-AUC", "Precision", "Recall", "F1"]
    assert "Real, found" in table(test, "Cause").columns


def test_promotion_asks_for_a_reason_then_moves_the_champion_and_roll_back_returns_it(
    contest: Context,
) -> None:
    before = contest.serve.champion(TENANT, "ads").version.id
    test = visit()
    press(test, "Promote")
    assert test.toast[0].value == "Say why: a reason is kept with every promotion."
    assert contest.serve.champion(TENANT, "ads").version.id == before
    test.text_input(Key.REASON).set_value("quieter on campaigns")
    press(test, "Promote")
    after = contest.serve.champion(TENANT, "ads").version.id
    assert after != before
    assert test.toast[0].value.startswith(f"{after[-8:]} scores from now on")
    assert "No challenger waits" in words(test)
    assert table(test, "Move")["Why"][0].startswith("quieter on campaigns [comparison ")
    press(test, "Roll back to")
    assert contest.serve.champion(TENANT, "ads").version.id == before
    assert "Would change" in words(test)
    assert list(table(test, "Move")["Stands"])[:2] == ["taken back", "taken back"]


def test_a_missed_minimum_asks_for_an_override(contest: Context) -> None:
    promotion.choose(contest, TENANT, "ads", actor="ana", minimums={"memory": 10.0})
    before = contest.serve.champion(TENANT, "ads").version.id
    test = visit()
    assert "▲ 1 missed: Memory" in words(test)
    test.text_input(Key.REASON).set_value("we know")
    press(test, "Promote")
    assert "at or above every minimum" in test.toast[0].value
    assert contest.serve.champion(TENANT, "ads").version.id == before
    test.checkbox(Key.OVERRIDE).check()
    test.text_input(Key.REASON).set_value("we know")
    press(test, "Promote")
    assert contest.serve.champion(TENANT, "ads").version.id != before
    assert "override: Memory" in models.history(contest, TENANT, "ads")[0].reason


def test_the_cost_of_a_miss_is_kept_for_everybody(contest: Context) -> None:
    test = visit()
    test.select_slider(Key.RATIO).set_value(50).run()
    assert promotion.cost_ratio(contest, TENANT, "ads") == 50.0
    assert visit().select_slider(Key.RATIO).value == 50


def test_any_version_can_be_compared_by_its_link(contest: Context) -> None:
    first = challenge(contest, "isolation-forest=1", settings="isolation-forest.trees=20")
    second = challenge(contest, "ecod=1")
    said = words(visit(challenger=first.id))
    assert f"◆ challenger {first.id[-8:]}" in said and second.id[-8:] not in said


def test_a_champion_that_cannot_be_trusted_is_told_and_gives_way_in_either_direction(
    contest: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    press(typed(visit(), "quieter"), "Promote")
    broken = contest.serve.champion(TENANT, "ads").version.id
    successor = challenge(contest, "ecod=1")
    load = type(contest.serve).load

    def damaged(serve: Any, row: Any) -> Any:
        if row.id == broken:
            raise ChecksumMismatchError.of("registry", "the bytes", "as signed", "others")
        return load(serve, row)

    monkeypatch.setattr(type(contest.serve), "load", damaged)
    st.cache_resource.clear()
    test = visit()
    assert "the bytes must be as signed" in "\n".join(error.value for error in test.error)
    assert [button for button in test.button if button.label.startswith("Roll back to")]
    press(typed(test, "a sound one"), "Promote")
    assert contest.serve.champion(TENANT, "ads").version.id == successor.id
    (move, *_) = models.history(contest, TENANT, "ads")
    assert move.reason.startswith("a sound one [not compared: registry: the bytes must be")


def typed(test: AppTest, reason: str) -> AppTest:
    test.text_input(Key.REASON).set_value(reason)
    return test
