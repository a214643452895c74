"""The import benchmark measures what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.importing import import_bench, panel_bench, report
from core.errors import StoreError


def test_every_row_written_is_read_and_loaded(tmp_path: Path) -> None:
    file = report(tmp_path, 3_000)
    assert import_bench(file, 3_000)["rows"] == 3_000
    with pytest.raises(StoreError, match="3,001"):
        import_bench(file, 3_001)


def test_the_panel_has_the_asked_shape() -> None:
    figures = panel_bench(20, 10, 3)
    assert (figures["entities"], figures["days"], figures["rows"]) == (21, 10, 600)
