"""Adding an algorithm is one file and one catalogue line; everything else comes by itself."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import catalog
from core.checks import yield_checks
from models.train import train
from workbench.services import algorithms

ROOT = Path(__file__).resolve().parent.parent
FILE = '''"""Distance from the mean: the new algorithm of this test."""

from dataclasses import dataclass

import numpy as np

from core.contracts import Detector, Params, Tags, param


@dataclass(frozen=True)
class FarParams(Params):
    power: float = param(1.0, help="Exponent of the distance", low=0.5, high=4.0)


class Far(Detector):
    """How far a day is from the mean of all days.

    Good for: showing how little an algorithm needs. Bad for: everything that robust-z does better.
    Score: standard deviations, 0 and up. Cost: linear.

    Source: any textbook of statistics, chapter 1.
    """

    name = "far"
    source = "Any textbook of statistics, chapter 1"
    tags = Tags(min_times=2)
    Params = FarParams

    def _fit(self, panel, labels, on_step):
        flat = panel.values.reshape(-1, panel.values.shape[-1])
        mean, spread = np.nanmean(flat, axis=0), np.nanstd(flat, axis=0)
        return {"mean": mean, "spread": np.where(spread > 0, spread, 1.0)}

    def _score(self, scorer, panel):
        away = np.nan_to_num(np.abs(panel.values - scorer["mean"]) / scorer["spread"])
        return away.max(axis=-1) ** self.params.power
'''


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Any]:
    """The file, and the line."""
    (tmp_path / "far_detector.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "far_detector", raising=False)
    line = catalog.Entry("far", "far_detector:Far")
    monkeypatch.setattr(catalog, "ENTRIES", (*catalog.ENTRIES, line))
    return catalog.get("far")


def test_the_checks_know_it(added: type[Any]) -> None:
    checks = dict(yield_checks(added))
    assert len(checks) > 25
    for name, check in checks.items():
        # its class lives in a folder of this test, which another process cannot import
        if name != "fresh_process":
            check(added)


def test_the_form_the_api_and_the_docs_know_it(added: type[Any]) -> None:
    (row,) = [row for row in algorithms.listing() if row["name"] == "far"]
    assert row["installed"]
    assert [spec["name"] for spec in row["params"]] == ["seed", "power"]
    spec = importlib.util.spec_from_file_location("pages", ROOT / "docs" / "algorithms.py")
    assert spec is not None and spec.loader is not None
    docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docs)
    made = docs.pages()
    assert (
        "| `power` | `1.0` | 0.5 … 4.0 | Exponent of the distance |" in made[docs.PAGES / "far.md"]
    )
    assert "[far](far.md)" in made[docs.PAGES / "README.md"]


def test_it_trains_and_votes_like_any_other(added: type[Any], sample_panel: Any) -> None:
    trained = train(sample_panel, name="far", params={"power": "2"})
    assert trained.algorithm.params.power == 2.0
    voted = train(sample_panel, name="ensemble", params={"parts": "far=1, robust-z=1"})
    assert np.isfinite(voted.algorithm.score(sample_panel)).all()  # type: ignore[attr-defined]


@pytest.fixture
def sample_panel() -> Any:
    from core.samples import sample

    return sample()
