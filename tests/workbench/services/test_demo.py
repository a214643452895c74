"""The demo: one call from nothing to incidents beside their truth; a second one doubles nothing."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.domains.services import SERVICES
from core.errors import ConflictError
from data.simulate.ads import account
from data.simulate.services import topology
from tests.conftest import MORNING, SIZE
from tests.server import environment
from workbench import cli, client
from workbench.context import Context, open_context
from workbench.services import demo


@pytest.fixture
def demonstrate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[], dict[str, Any]]:
    """`headwater demo --no-serve --json` of a small world on a fixed morning."""
    monkeypatch.setitem(account.SIZES, "75 days", SIZE)
    monkeypatch.setitem(topology.SIZES, "S", topology.Size(6, (2, 2), 3, 1, 2, 3))
    monkeypatch.setattr(
        client, "open_context", functools.partial(open_context, clock=lambda: MORNING)
    )
    for name, value in environment(tmp_path / "home").items():
        monkeypatch.setenv(name, value)

    def run() -> dict[str, Any]:
        arguments = ["demo", "--no-serve", "--json", "--size", "75 days"]
        monkeypatch.setattr("sys.argv", ["headwater", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return run


def test_the_demo_finds_what_it_planted_and_doubles_nothing(
    demonstrate: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    # what a kill in the middle of simulating leaves
    torn = tmp_path / "home" / "demo" / ".75 days-7-2026-03-15.partial"
    torn.mkdir(parents=True)
    (torn / "profiles.json").write_text("[")
    first = demonstrate()
    assert first.keys() == {
        "entities", "observations", "alerts", "incidents", "truth", "seconds", "systems",
    }  # fmt: skip
    assert first["truth"] == {
        "incidents": 3, "found": 3, "root_top1": 3, "root_top3": 3, "false_alarms": 0,
    }  # fmt: skip
    assert first["seconds"].keys() == {
        "simulate", "import", "train", "detect", "explain", "cause", "save",
    }  # fmt: skip
    assert first["entities"] == 186
    assert first["observations"] > 70_000
    for incident in first["incidents"]:
        assert incident.keys() == {
            "id", "title", "severity", "onset", "alerts", "root", "cause_type", "confidence",
        }  # fmt: skip
        assert incident["root"].keys() == {"entity", "level"}
        assert incident["root"]["entity"].startswith(incident["root"]["level"])
    assert not torn.exists()
    assert {row["root"]["level"] for row in first["systems"]} <= set(SERVICES.levels)
    (systems,) = (tmp_path / "home" / "demo").glob("services-*")
    midnight = systems.name.removeprefix("services-7-") + "T23:59:59Z"
    happened = json.loads((systems / "truth" / "incidents.json").read_text())
    early = sum(one["onset"] < midnight for one in happened)
    told = pd.read_csv(systems / "incidents.csv")
    assert 0 < len(told) == early < len(happened)
    assert set(pd.read_csv(systems / "labels.csv")["incident_id"]) <= set(told["id"])

    second = demonstrate()
    for name in ("entities", "observations", "alerts", "truth"):
        assert second[name] == first[name]
    assert [row["id"] for row in second["systems"]] == [row["id"] for row in first["systems"]]
    for again, before in zip(second["incidents"], first["incidents"], strict=True):
        assert again == before | {"confidence": pytest.approx(before["confidence"], rel=1e-9)}


def test_the_demo_is_not_mixed_with_figures_of_ones_own(
    imported: Path, open_home: Callable[..., Context]
) -> None:
    with pytest.raises(ConflictError) as refused:
        demo.build(open_home(imported), "local")
    assert "HEADWATER_HOME=" in refused.value.hint
