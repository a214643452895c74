"""Every page, opened the way a person does: with nothing there, with work to do, and through bad links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.errors import SignatureError
from data import run_store
from tests.workbench import small_account
from tests.workbench.small_account import BROKEN, NOW, TENANT
from workbench.context import Context
from workbench.services import alerts, incidents, tokens
from workbench.ui import frame, runs, verbs
from workbench.ui.state import Key

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("triage", "alert", "cause", "data", "train")


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    st.cache_resource.clear()
    runs._latest.clear()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Context]:
    with small_account.opened(tmp_path, data=False) as context:
        yield context


@pytest.fixture
def imported(tmp_path: Path) -> Iterator[Context]:
    with small_account.opened(tmp_path) as context:
        yield context


@pytest.fixture
def detected(imported: Context) -> Context:
    small_account.detect(imported)
    return imported


def visit(page: str, **parameters: str) -> AppTest:
    """A fresh session at a page's URL."""
    test = AppTest.from_file(str(ROOT / "workbench" / "app.py"), default_timeout=30)
    test.switch_page(f"../pages/{page}.py")
    for name, value in parameters.items():
        test.query_params[name] = value
    test.run()
    assert not test.exception
    return test


def words(test: AppTest) -> str:
    """Everything on the page that is text."""
    parts = [*test.markdown, *test.caption, *test.subheader, *test.error]
    return "\n".join(str(part.value) for part in parts)


def alert_of(context: Context, entity: str) -> Any:
    found = alerts.page(context, TENANT, filters={"entity": entity, "muted": True}).alerts
    assert len(found) == 1
    return found[0]


def press(test: AppTest, label: str) -> AppTest:
    """Click the one button of that label."""
    (button,) = [button for button in test.button if button.label == label]
    button.click().run()
    assert not test.exception
    return test


# ── nothing there ────────────────────────────────────────────────────────────────────────────────


def test_triage_without_data_sends_to_the_data_page(empty: Context) -> None:
    assert "No data yet. Import report files to begin." in words(visit("triage"))


def test_data_without_data_says_so_and_offers_the_upload(empty: Context) -> None:
    test = visit("data")
    assert "No data yet." in words(test) and "Nothing imported yet." in words(test)
    assert [button.label for button in test.button if not button.disabled] == ["Run detection"]


def test_triage_before_the_first_run_offers_detection(imported: Context) -> None:
    test = visit("triage")
    assert "nothing was checked yet" in words(test)
    assert [button.label for button in test.button] == ["Run detection"]


def test_a_failed_run_is_told_where_people_look_first(imported: Context) -> None:
    def fail(session: Any) -> None:
        about: dict[str, Any] = {"tenant": TENANT, "now": NOW}
        run = run_store.start(
            session, **about, domain="ads", detector="ensemble", at=NOW, actor="scheduler"
        )
        run_store.fail(session, **about, run_id=run.id, error="detect: too little to learn from.")

    imported.records.write(TENANT, fail)
    test = visit("triage")
    assert test.warning[0].value == (
        "The last detection run failed: detect: too little to learn from."
    )
    assert "nothing was checked yet" in words(test)


@pytest.mark.parametrize("given", ["999", "", "-1", "1e3", "٣", "1; drop table alert", "9" * 40])
@pytest.mark.parametrize("page", ["alert", "cause"])
def test_a_link_to_no_alert_says_so_and_leads_back(empty: Context, page: str, given: str) -> None:
    test = visit(page, alert=given)
    (error,) = test.error
    assert error.value == f"Alert {given[:40] or 'without a number'} not found."


# ── work to do ───────────────────────────────────────────────────────────────────────────────────


def test_triage_shows_the_incident_first_and_previews_the_worst_alert(detected: Context) -> None:
    test = visit("triage")
    assert "Budget cut on campaign Brand 0.1.2" in words(test)
    values = {metric.label: metric.value for metric in test.metric}
    assert values == {
        "New alerts": "1",
        "Open critical": "1",
        "Open incidents": "1",
        "Spend at risk": "$184",
    }
    table = test.dataframe[0].value
    assert list(table["What"]) == ["Brand 0.1.2"] and list(table["Severity"]) == ["▲▲ Critical"]
    assert "Likely started at campaign **Brand 0.1.2**: budget cut (86 % confidence)." in words(
        test
    )


def test_what_an_incident_mutes_stays_out_of_the_list(detected: Context) -> None:
    everything = alerts.page(detected, TENANT, filters={"muted": True}).alerts
    assert len(everything) > 5
    assert len(visit("triage").dataframe[0].value) == 1


@pytest.mark.parametrize(
    ("parameters", "rows"),
    [
        ({"severity": "critical"}, 1),
        ({"severity": "low"}, 0),
        ({"level": "keyword"}, 0),
        ({"text": "0.1.2"}, 1),
        ({"text": "nobody"}, 0),
        ({"day": "2026-03-13"}, 1),
        ({"day": "2026-03-12"}, 0),
    ],
)
def test_filters_come_from_the_url(
    detected: Context, parameters: dict[str, str], rows: int
) -> None:
    test = visit("triage", **parameters)
    assert sum(len(table.value) for table in test.dataframe) == rows
    assert ("No alert matches these filters." in words(test)) is (rows == 0)


def test_a_chosen_filter_goes_into_the_url(detected: Context) -> None:
    test = visit("triage")
    test.segmented_control(Key.SEVERITY).set_value("low").run()
    assert test.query_params == {"severity": "low"}
    test.segmented_control(Key.SEVERITY).set_value(None).run()
    assert test.query_params == {} and len(test.dataframe[0].value) == 1


def test_an_unknown_filter_in_a_link_is_ignored(detected: Context) -> None:
    test = visit("triage", severity="catastrophic", level="galaxy", status="gone", day="tomorrow")
    assert len(test.dataframe[0].value) == 1


def test_acknowledge_and_undo_from_the_preview(detected: Context) -> None:
    alert = alert_of(detected, BROKEN)
    test = visit("triage")
    test.button(f"acknowledge:alert {alert.id}").click().run()
    assert alert_of(detected, BROKEN).status == "acknowledged"
    assert test.toast[0].value == f"Acknowledged alert {alert.id}. Undo (U) takes it back."
    press(test, "Undo")
    assert alert_of(detected, BROKEN).status == "open"
    assert test.toast[0].value == "Undid your last action."


def test_undo_with_nothing_to_undo_is_told_not_raised(detected: Context) -> None:
    test = press(visit("triage"), "Undo")
    assert "undo" in test.toast[0].value


def test_resolving_the_incident_quiets_the_triage_and_undo_brings_it_back(
    detected: Context,
) -> None:
    (incident,) = incidents.page(detected, TENANT).incidents
    test = visit("cause", alert=str(incident.alert_id))
    press(test, "Resolve")
    assert test.toast[0].value == f"Resolved incident {incident.id}. Undo (U) takes it back."
    quiet = words(visit("triage"))
    assert "No open alerts. Last run 17 Mar 2026, 06:02 UTC, 91 entities scored." in quiet
    press(test, "Undo")
    assert "Budget cut on campaign Brand 0.1.2" in words(visit("triage"))


def test_the_alert_page_shows_evidence_and_meaning(detected: Context) -> None:
    alert = alert_of(detected, BROKEN)
    test = visit("alert", alert=str(alert.id))
    said = words(test)
    for part in (
        "Critical** Brand 0.1.2",
        "Impressions against expected",
        "Who noticed, when",
        "Deviation by day and channel",
        "Same weekday, four weeks before",
        "Siblings under the same parent",
        "What the score rests on",
        "lstm-autoencoder: left out, not warm: 9 of 14 days seen",
        "Budget: 80 → 20",
        "onset 13 Mar 2026",
    ):
        assert part in said.replace("[**▲▲ ", "").replace("**]", "**"), part


def test_a_chart_can_be_read_as_a_table(detected: Context) -> None:
    test = visit("alert", alert=str(alert_of(detected, BROKEN).id))
    assert not test.dataframe
    next(choice for choice in test.segmented_control if choice.options == ["Table"]).set_value(
        "Table"
    ).run()
    table = test.dataframe[0].value
    assert list(table.columns) == ["Day", "Observed", "Expected", "Spread (sd)", "Arrived"]
    newest = table.iloc[0]
    assert str(newest["Day"])[:10] == "2026-03-16" and newest["Observed"] < 0.5 * newest["Expected"]


def test_another_metric_can_be_looked_at(detected: Context) -> None:
    alert = alert_of(detected, BROKEN)
    test = visit("alert", alert=str(alert.id))
    test.segmented_control(f"{Key.FOCUS}:{alert.id}").set_value("sales").run()
    assert "Sales (7 days) against expected" in words(test)


def test_a_comment_is_kept_and_shown(detected: Context) -> None:
    alert = alert_of(detected, BROKEN)
    test = visit("alert", alert=str(alert.id))
    test.text_input(Key.COMMENT).set_value("Client cut it on <b>purpose</b>.")
    press(test, "Comment")
    assert [text.value for text in test.text] == ["Client cut it on <b>purpose</b>."]
    (comment,) = alerts.get(detected, TENANT, alert.id).comments
    assert comment.author == "ana"


def test_the_cause_page_ranks_candidates_with_their_terms(detected: Context) -> None:
    keyword = alert_of(detected, "keyword:0.1.2.0.1")
    test = visit("cause", alert=str(keyword.id))
    table = test.dataframe[0].value
    assert list(table["Candidate"]) == [BROKEN, "portfolio:0.1", "profile:0"]
    terms = table[["Likelihood", "Words", "Penalty"]].sum(axis=1)
    assert list(terms) == pytest.approx(list(table["Total"]))
    said = words(test)
    assert "**Budget cut** at campaign **campaign:0.1.2**" in said
    assert "confidence 86 %" in said and "2 hops up" in said and "widespread" in said


def test_no_cause_found_is_an_answer(detected: Context) -> None:
    portfolio = alert_of(detected, "portfolio:0.1")
    assert not portfolio.root_causes
    test = visit("cause", alert=str(portfolio.id))
    assert not test.exception and not test.error


def test_the_data_page_lists_arrivals_and_imports(detected: Context) -> None:
    test = visit("data")
    assert "What has arrived" in words(test)
    assert list(test.dataframe[0].value["Source"]) == ["spCampaigns_0.json.gz"]
    test.segmented_control(key="table:coverage").set_value("Table").run()
    states = test.dataframe[0].value
    assert set(states["spTargeting"]) == {"delivered", "partial", "missing"}


# ── who may look ─────────────────────────────────────────────────────────────────────────────────


def test_open_to_others_a_token_is_asked_for_on_every_page(
    detected: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(detected.settings.__dict__, "host", "0.0.0.0")
    secret = tokens.create(detected, "elsewhere", user="ben")
    for page in PAGES:
        assert "Brand 0.1.2" not in words(visit(page, incident="1", alert="1"))
    test = visit("triage")
    test.text_input[0].set_value("hw.local.000000000000.guess")
    press(test, "Sign in")
    assert test.error[0].value == "This token is unknown, expired or revoked."
    test.text_input[0].set_value(secret)
    press(test, "Sign in")
    assert "ben" in words(test)
    # the owner's tenant has no alerts, whatever this one has
    assert "nothing was checked yet" in words(test) and "Brand 0.1.2" not in words(test)


def test_every_key_is_listed_and_free(detected: Context) -> None:
    for page, listed in frame.KEYS.items():
        held = [key for keys, _ in listed for key in keys.split()]
        # C and R are Streamlit's own
        assert len(set(held)) == len(held) and not set(held) & {"C", "R"}, page
    app = (ROOT / "workbench" / "app.py").read_text()
    assert set(re.findall(r'title="([^"]+)"', app)) == set(frame.KEYS)
    keys = {keys for page, listed in frame.KEYS.items() if page != "Label" for keys, _ in listed}
    source = "".join(path.read_text() for path in (ROOT / "pages").glob("*.py"))
    source += "".join(path.read_text() for path in (ROOT / "workbench" / "ui").glob("*.py"))
    used = set(re.findall(r'shortcut="(\w)"', source)) | {verb.key for verb in verbs.VERBS}
    assert used == {key for key in keys if len(key) == 1}  # digits belong to the choices on a page


# ── what fails is told ───────────────────────────────────────────────────────────────────────────


def test_a_broken_store_is_told_with_an_id_and_no_trace(
    detected: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret path")

    monkeypatch.setattr(type(detected.metrics), "coverage", broken)
    test = visit("triage")
    (error,) = test.error
    assert "could not be drawn" in error.value and "secret" not in error.value
    assert len(test.code[0].value) == 8


def test_a_champion_that_cannot_be_trusted_leaves_the_record_readable(
    detected: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tampered(*_: Any) -> Any:
        raise SignatureError.of("registry", "the signature", "ours", "another")

    alert = alert_of(detected, BROKEN)
    monkeypatch.setattr(detected.serve, "champion", tampered)
    test = visit("alert", alert=str(alert.id))
    said = words(test)
    assert "No model can score now" in said and "Impressions against expected" in said
    assert "Who noticed, when" not in said and not test.error
    assert "**Budget cut** at campaign" in words(visit("cause", alert=str(alert.id)))


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_when_something_else_than_the_champion_scores(
    detected: Context, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    told = "Champion 01ab was refused, 01aa serves: its manifest must be signed."
    monkeypatch.setattr(
        detected.serve, "notice", lambda tenant, domain: told if domain == "ads" else ""
    )
    alert = str(alert_of(detected, BROKEN).id)
    test = visit(page, alert=alert)
    (said,) = [warning.value for warning in test.warning if warning.value.startswith(told)]
    assert "Promote a sound version" in said
    monkeypatch.setattr(detected.serve, "notice", lambda tenant, domain: "")
    assert said not in [warning.value for warning in test.run().warning]


@pytest.mark.parametrize("page", ["alert", "cause"])
def test_a_promotion_reaches_an_open_page_at_its_next_rerun(
    detected: Context, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    judging: list[str] = []

    class Named(small_account.Tail):
        def __init__(self, name: str) -> None:
            self.name = name

        def judge(self, panel: Any, *, last: int) -> Any:
            judging.append(self.name)
            return super().judge(panel, last=last)

    def put_to_work(name: str) -> None:
        version = SimpleNamespace(digest=name, id=name)
        served = SimpleNamespace(version=version, algorithm=Named(name), notice="")
        monkeypatch.setattr(detected.serve, "champion", lambda *_: served)

    alert = str(alert_of(detected, BROKEN).id)
    put_to_work("first")
    test = visit(page, alert=alert)
    test.run()
    assert judging == ["first"]
    put_to_work("second")
    test.run()
    test.run()
    assert judging == ["first", "second"]
    put_to_work("first")
    test.run()
    assert judging == ["first", "second"]  # what it said before is kept, so a rollback is at once


def test_the_first_address_leads_to_triage(detected: Context) -> None:
    test = AppTest.from_file(str(ROOT / "workbench" / "app.py"), default_timeout=30).run()
    assert not test.exception
    assert "Where it started" in words(test)


def test_pages_are_thin() -> None:
    for name in PAGES:
        lines = (ROOT / "pages" / f"{name}.py").read_text().splitlines()
        assert len(lines) <= 260, name
        assert "unsafe_allow_html" not in "\n".join(lines)
