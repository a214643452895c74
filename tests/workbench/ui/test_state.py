"""What a session keeps: the chosen row of a table, however it was clicked."""

from __future__ import annotations

from typing import Any

import pytest
import streamlit as st

from workbench.ui import state
from workbench.ui.state import Key


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    monkeypatch.setattr(st, "session_state", kept)
    return kept


def clicked(rows: list[int], cells: list[tuple[int, str]]) -> dict[str, Any]:
    return {"selection": {"rows": rows, "columns": [], "cells": cells}}


@pytest.mark.parametrize(
    ("before", "rows"),
    [
        (clicked([0], [(2, "What")]), [2]),
        (clicked([3], []), [3]),
        (clicked([], []), []),
    ],
)
def test_a_click_on_any_cell_chooses_its_row(
    session: dict[str, Any], before: dict[str, Any], rows: list[int]
) -> None:
    session["table"] = before
    assert state.keep_row("table") == rows
    assert session["table"] == clicked(rows, [])


def test_the_clicked_row_is_the_chosen_alert(session: dict[str, Any]) -> None:
    assert state.show([11, 12, 13]) == 0
    session[Key.ROWS] = clicked([0], [(2, "Level")])
    state.take_row()
    assert session[Key.SELECTED] == 13
    assert state.show([11, 12, 13]) == 2
