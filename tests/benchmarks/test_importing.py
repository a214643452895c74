"""The import benchmark measures what it says."""

from __future__ import annotations

from benchmarks.importing import import_bench, panel_bench


def test_every_row_written_is_read_and_loaded() -> None:
    figures = import_bench(3_000)
    assert (figures["rows"], figures["refused"]) == (3_000, 0)


def test_the_panel_has_the_asked_shape() -> None:
    figures = panel_bench(20, 10, 3)
    assert (figures["entities"], figures["days"], figures["rows"]) == (21, 10, 600)
