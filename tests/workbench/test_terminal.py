"""What a person's own names and values look like on the terminal."""

from __future__ import annotations

import pytest

from workbench.terminal import facts, table

ODD = "[red]cart[/] [/x] :smile:"


def test_names_that_look_like_markup_are_printed_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table([{"name": ODD}], {"name": "[b]"}, "")
    facts({"name": ODD, "inner": {"other": ODD}})
    said = capsys.readouterr().out
    assert said.count(ODD) == 3 and "[b]" in said
