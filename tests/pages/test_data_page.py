"""The Data page of running systems: what came, what is measured, where it is fetched from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit import config as streamlit_config

from core.domains import DOMAINS
from data.records import MetricSource
from tests.pages.test_pages import visit, words
from tests.workbench.conftest import Clock
from tests.workbench.services import services_world
from workbench import context as contexts
from workbench.context import Context, open_context
from workbench.services import measures
from workbench.settings import Settings
from workbench.ui import data_view
from workbench.ui.state import Key


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    """A context without any data."""
    settings = Settings(home=tmp_path / "home", user="ana", tenant="acme")
    with open_context(settings, clock=Clock()) as context:
        monkeypatch.setattr(contexts, "_shared", [context])
        # a test has no start script beside which Streamlit would find the settings that ship
        streamlit_config.set_option("server.address", "127.0.0.1")
        yield context
        streamlit_config.set_option("server.address", None)


@pytest.fixture
def systems(empty: Context) -> Context:
    """A context with half a day of two services and their pod."""
    services_world.load(empty)
    return empty


def test_measurements_are_shown_by_metric_with_unit_and_direction(systems: Context) -> None:
    test = visit("data")
    assert not test.exception
    assert test.segmented_control(key=Key.DOMAIN).value == "services"
    told = words(test)
    assert "What has arrived" in told and "What is measured" in told
    assert "No source yet." in told
    assert "Kept 90 days back from the newest." in told
    test.segmented_control(key="table:coverage").set_value("Table").run()
    states = test.dataframe[0].value
    assert set(states.columns) == {"Day", "Latency (p95)", "Memory used"}


def test_a_correction_in_the_table_is_kept(
    systems: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = DOMAINS["services"]
    names = [info.name for info in systems.metrics.samples.metrics("acme", domain)]
    told: list[str] = []
    monkeypatch.setattr(data_view.state, "who", lambda: (systems, "acme", "bob"))
    monkeypatch.setattr(data_view.state, "notify", lambda text, **_: told.append(text))
    edited = {"edited_rows": {1: {"Hurts": data_view.HURTS[-1], "Unit": "s"}}}
    monkeypatch.setattr(data_view.st, "session_state", {Key.MEASURES: edited})
    data_view._correct("services", names)
    changed = measures.listing(systems, "acme")[1]
    assert (changed.bad, changed.unit, changed.said_by) == (-1, "s", "hand")
    assert told == ["Noted. Your word stands above file, source and name."]


def test_a_source_shows_how_far_it_is_and_what_is_wrong(systems: Context) -> None:
    now = systems.clock()
    row = MetricSource(
        tenant="acme",
        domain="services",
        name="lab",
        kind="prometheus",
        url="http://prometheus:9090",
        cursor={"until": int(now.timestamp())},
        error="Prometheus: the source must be reachable.",
        created_at=now,
    )
    systems.records.write("acme", lambda session: session.add(row))
    told = words(visit("data"))
    assert "http://prometheus:9090" in told
    assert "must be reachable" in told


def test_the_other_domain_is_empty_and_says_what_to_do(systems: Context) -> None:
    test = visit("data", domain="ads")
    assert not test.exception
    assert "No data yet." in words(test)
    assert "What is measured" not in words(test)


@pytest.mark.parametrize(
    ("page", "said"),
    [("drift", "A check"), ("models", "No model yet"), ("experiments", "No model yet")],
)
def test_pages_about_models_are_about_the_systems_that_came_in(
    systems: Context, page: str, said: str
) -> None:
    test = visit(page)
    assert not test.exception
    assert said in words(test) and "No data yet" not in words(test)


@pytest.mark.usefixtures("systems")
def test_train_offers_the_systems_that_came_in() -> None:
    test = visit("train")
    assert not test.exception
    assert "Nothing was trained here yet" in words(test)


@pytest.mark.usefixtures("empty")
def test_an_empty_home_tells_what_to_bring_in_the_words_of_its_link() -> None:
    for page in ("triage", "validation"):
        assert "No measurements yet. Add a Prometheus" in words(visit(page, domain="services"))
    told = words(visit("triage"))
    assert "Import report files to begin." in told and "headwater simulate services" in told
