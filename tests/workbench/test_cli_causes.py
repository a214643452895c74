"""Learning and suggesting causes on the command line."""

from __future__ import annotations

from tests.workbench.conftest import Headwater


def test_nothing_learned_is_told_with_its_cure(headwater: Headwater) -> None:
    kept = headwater(
        *("incidents", "record", "Cart slow", "--onset", "2026-11-20T04:00"),
        *("--service", "cart", "--json"),
    ).json
    said = headwater("incidents", "suggest", kept["incident"]["id"])
    assert said.code == 1
    assert "learned from labelled incidents first" in said.err
    assert "headwater incidents learn --domain services" in said.err
    said = headwater("incidents", "learn")
    assert said.code == 1 and "at least 2 with 2 labelled incidents" in said.err
    assert headwater("incidents", "learn", "--domain", "ads").code == 1
