"""The Adjudicate and Agreement pages: empty, with people who differ, settled by key, and through bad links."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st

from tests.findings import NOW
from tests.pages.test_pages import press, visit, words
from tests.pages.test_train import shown
from tests.workbench.services.test_adjudication import found, say
from workbench.context import Context, open_context
from workbench.services import adjudication, incidents
from workbench.settings import Settings
from workbench.ui import agreement_charts, theme

TENANT = "acme"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    st.cache_resource.clear()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Context]:
    """A home without measurements, in which Eva looks."""
    settings = Settings(home=tmp_path / "home", user="eva", tenant=TENANT)
    with open_context(settings, clock=lambda: NOW) as context, shown(context) as opened:
        yield opened


@pytest.fixture
def differing(here: Context) -> tuple[int, int]:
    """Two incidents: of one Ana and Ben say different things, of the other Eva is one of the sides."""
    first, second = found(here, "campaign:1", "campaign:2")
    say(here, first, "ana", "budget_cut", note="it ran out at noon", blind=True)
    say(here, first, "ben", "paused", blind=True)
    say(here, second, "ana", "budget_cut")
    say(here, second, "eva", "paused")
    return first, second


def buttons(test: Any) -> dict[str, Any]:
    return {button.label: button for button in test.button}


# ── Adjudicate ───────────────────────────────────────────────────────────────────────────────────


def test_where_nobody_could_differ_the_page_says_so_and_leads_to_labelling(here: Context) -> None:
    assert "nothing was judged by two people yet" in words(visit("adjudicate"))


def test_both_sides_stand_beside_each_other_and_what_differs_is_marked(
    here: Context, differing: tuple[int, int]
) -> None:
    test = visit("adjudicate")
    told = words(test)
    assert "campaign:1 ran out of budget" in told
    assert "1 disagreement for you to settle, 1 that you judged yourself" in told
    assert ":primary[≠ **Budget cut**]" in told and ":primary[≠ **Paused**]" in told
    assert ":gray[What it is: Real]" in told
    assert "it ran out at noon" in told
    assert {"ana is right", "ben is right", "Neither: say what it is"} <= set(buttons(test))


def test_one_press_settles_it_and_the_next_one_follows(
    here: Context, differing: tuple[int, int]
) -> None:
    test = press(visit("adjudicate"), "ben is right")
    settled = incidents.get(here, TENANT, differing[0]).incident
    assert (settled.label_status, settled.root_cause) == ("validated", "paused")
    assert "campaign:2 ran out of budget" in words(test)
    press(test, "Undo")
    assert adjudication.waiting(here, TENANT, domain="ads", actor="eva") == 1


def test_what_one_judged_oneself_is_shown_but_locked(
    here: Context, differing: tuple[int, int]
) -> None:
    test = visit("adjudicate", dispute=f"incident-{differing[1]}")
    assert "somebody else must settle it" in words(test)
    locked = buttons(test)
    assert all(
        locked[label].disabled
        for label in ("ana is right", "eva is right", "Neither: say what it is")
    )


def test_neither_opens_a_form_whose_verdict_settles_it(
    here: Context, differing: tuple[int, int]
) -> None:
    test = press(visit("adjudicate"), "Neither: say what it is")
    (disposition,) = [group for group in test.button_group if group.label == "What it is"]
    disposition.set_value("expected")
    press(test, "Settle it so")
    assert adjudication.waiting(here, TENANT, domain="ads", actor="eva") == 0
    settled = incidents.get(here, TENANT, differing[0]).incident
    assert (settled.label_status, settled.root_cause) == ("validated", "")


def test_a_refused_verdict_is_told_and_nothing_is_settled(
    here: Context, differing: tuple[int, int]
) -> None:
    test = press(visit("adjudicate"), "Neither: say what it is")
    press(test, "Settle it so")
    assert adjudication.waiting(here, TENANT, domain="ads", actor="eva") == 1
    assert any("the cause of something real" in str(toast.value) for toast in test.toast)


@pytest.mark.parametrize("given", ["incident-999", "1; drop table label"])
def test_a_link_to_no_disagreement_or_domain_shows_the_first(
    here: Context, differing: tuple[int, int], given: str
) -> None:
    assert "campaign:1 ran out of budget" in words(visit("adjudicate", domain=given, dispute=given))


# ── Agreement ────────────────────────────────────────────────────────────────────────────────────


def test_before_anything_was_judged_twice_the_page_says_how_it_comes(here: Context) -> None:
    told = words(visit("agreement"))
    assert "Nothing was judged by two people yet." in told
    assert "It takes 20 judged things with two different answers; there are 0." in told


def test_the_percentage_stands_with_its_base_rates_and_the_blind_ones_come_first(
    here: Context, differing: tuple[int, int]
) -> None:
    test = visit("agreement")
    told = words(test)
    assert (
        "0.0 % agree (95 % interval 0 to 98 %). 50 % of the answers are “Budget cut”, so chance alone would give 50 %"
        in told
    )
    assert "1 thing judged blind by several of 2 people" in told
    assert "Settle 2 disagreements" in buttons(test)
    every = words(visit("agreement", which="all"))
    assert "2 things judged by several of 3 people" in every


@pytest.mark.parametrize("aspect", ["disposition", "component", "mood"])
def test_every_aspect_opens_and_an_unknown_one_falls_back(
    here: Context, differing: tuple[int, int], aspect: str
) -> None:
    told = words(visit("agreement", aspect=aspect))
    if aspect == "disposition":
        assert "100.0 % agree (95 % interval 3 to 100 %). 100 % of the answers are “Real”" in told
        assert "agreement shows nothing" in told
    elif aspect == "component":
        assert "Nothing was judged by two people yet." in told
    else:
        assert "0.0 % agree" in told


def test_the_pictures_say_what_the_figures_say(here: Context) -> None:
    from workbench.services import agreement

    numbers = found(here, *(f"campaign:{n}" for n in range(12)))
    for n, number in enumerate(numbers):
        say(here, number, "ana", ("budget_cut", "paused", "click_fraud")[n % 3])
        say(here, number, "ben", ("budget_cut", "paused", "click_fraud")[(n + (n == 5)) % 3])
    told = agreement.of(here, TENANT, domain="ads")
    chart = agreement_charts.intervals(told, theme.LIGHT)
    points = next(trace for trace in chart.data if trace.mode == "markers")
    assert list(points.x) == [
        told.figures[name].value for name in list(agreement_charts.FIGURES)[::-1]
    ]
    assert chart.layout.yaxis.ticktext[-1] == "Agreement  <b>91.7 %</b>"
    heat = agreement_charts.matrix(told.pairs, theme.DARK).data[0]
    assert heat.z[0][1] == heat.z[1][0] == pytest.approx(told.pairs[0].kappa)
    rows = agreement_charts.figures(told)
    assert rows["95 % interval"][0] != "" and list(rows["Figure"])[-1] == "Krippendorff's alpha"
