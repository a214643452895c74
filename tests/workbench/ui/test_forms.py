"""The form of every algorithm, drawn for real, and of one that nobody has written yet."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core import catalog
from core.contracts import Params, param
from workbench.ui import forms


def draw(kind: type[Params], values: dict[str, Any] | None = None) -> AppTest:
    """The form as a page of its own, with what it returns."""

    def script(kind, values):  # type: ignore[no-untyped-def]
        import streamlit as st

        from workbench.ui import forms

        st.json(forms.parameters(kind, values, "form"))

    test = AppTest.from_function(script, args=(kind, values or {})).run()
    assert not test.exception
    return test


def chosen(test: AppTest) -> dict[str, Any]:
    """What the form returns."""
    told: dict[str, Any] = json.loads(test.json[0].value)
    return told


EVERY = {name: algorithm.Params for name, algorithm in catalog.entries()}


@pytest.mark.parametrize("kind", list(EVERY.values()), ids=list(EVERY))
def test_the_untouched_form_gives_the_defaults(kind: type[Params]) -> None:
    found = chosen(draw(kind))
    assert kind.of(found) == kind()
    assert found == dataclasses.asdict(kind())


@dataclass(frozen=True)
class Strange(Params):
    long_name: int = param(8000, help="Rows", low=8, high=1_000_000, unit="rows")
    share: float = param(0.25, help="A share", low=0.0, high=1.0)
    tiny: float = param(0.005, help="A rate", low=1e-6, high=1.0)
    way: str = param("left", help="Which way", choices=("left", "right"))
    count: int = param(2, help="One of a few", choices=(1, 2, 4))
    parts: str = param("a=1", help="Free text")
    calm: bool = param(True, help="A switch")
    open_end: float = param(3.0, help="No bounds")


def test_each_kind_of_field_gets_its_widget_with_help_unit_and_bounds() -> None:
    test = draw(Strange)
    rows, share = test.number_input("form:long_name"), test.number_input("form:share")
    assert rows.label == "Long name (rows)" and rows.help == "Rows"
    assert (rows.min, rows.max, rows.step) == (8, 1_000_000, 100)
    assert (share.min, share.max, share.step) == (0.0, 1.0, pytest.approx(0.01))
    assert test.number_input("form:tiny").step == pytest.approx(0.0001)
    assert test.selectbox("form:way").options == ["left", "right"]
    assert test.selectbox("form:count").options == ["1", "2", "4"]
    assert test.text_input("form:parts").value == "a=1" and test.toggle("form:calm").value is True
    # what every algorithm has comes last
    assert test.number_input[-1].label == "Seed"


def test_what_is_entered_comes_back_in_its_own_type() -> None:
    test = draw(Strange, {"share": 0.5, "count": 4})
    assert chosen(test)["share"] == 0.5 and chosen(test)["count"] == 4
    test.number_input("form:long_name").set_value(500)
    test.number_input("form:tiny").set_value(1e-5)
    test.selectbox("form:way").set_value("right")
    test.toggle("form:calm").set_value(False)
    test.text_input("form:parts").set_value("b=2").run()
    made = Strange.of(chosen(test))
    assert made == Strange(
        long_name=500, tiny=1e-5, way="right", calm=False, parts="b=2", share=0.5, count=4
    )


def test_what_differs_from_the_defaults_is_told() -> None:
    values = {**dataclasses.asdict(Strange()), "share": 0.5, "way": "right"}
    assert forms.changed(Strange, values) == {"share": 0.5, "way": "right"}
